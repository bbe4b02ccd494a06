/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef COMMON_SIGNALS_H
#define COMMON_SIGNALS_H

// Of all signals only SIGTERM and SIGINT ask a process of ours to end. Ignores those whose default
// would end or stop it all the same: a terminal that is hung up or not ours any more, a reader who
// went away, a stray kill. Before there are threads; whoever runs a program sets them back.
void signals_ignore(void);

#endif
