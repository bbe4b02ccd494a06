/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef API_SUGGEST_H
#define API_SUGGEST_H

#include <stddef.h>

// "Did you mean": the name nearest to word, counting insertions, deletions, substitutions and swaps of
// neighbors (restricted Damerau-Levenshtein distance), or the only one that begins with it. NULL = none is near.
struct api_suggestion {
	const char *word;
	const char *best;
	size_t distance;
};
void api_suggest_begin(struct api_suggestion *suggestion, const char *word);
void api_suggest_offer(struct api_suggestion *suggestion, const char *name);
const char *api_suggest_end(const struct api_suggestion *suggestion);

#endif
