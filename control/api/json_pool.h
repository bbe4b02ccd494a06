/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef API_JSON_POOL_H
#define API_JSON_POOL_H

// From here on jansson's blocks come from lists of the calling thread, of at most so many of each size. Before its first value is made; what json_dumps()
// returns is still free()'s.
void json_pool_use(unsigned int kept_of_a_size);

#endif
