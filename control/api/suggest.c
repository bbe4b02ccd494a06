// SPDX-License-Identifier: BSD-3-Clause

// A slip is worth a hint when it is short: up to a third of the word's length, at least one. Names come one at
// a time so that callers can offer them from any table they have.

#include "control/api/suggest.h"

#include <string.h>

#define WORD_MAX 64

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t distance(const char *a, const char *b)
{
	size_t rows[3][WORD_MAX + 1];
	size_t a_length = strlen(a), b_length = strlen(b);
	size_t *before = rows[0], *above = rows[1], *row = rows[2];

	if (a_length > WORD_MAX || b_length > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= b_length; j++)
		above[j] = j;
	for (size_t i = 1; i <= a_length; i++) {
		size_t *reused = before;

		row[0] = i;
		for (size_t j = 1; j <= b_length; j++) {
			row[j] = least(least(above[j], row[j - 1]) + 1,
				above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = least(row[j], before[j - 2] + 1);
		}
		before = above;
		above = row;
		row = reused;
	}
	return above[b_length];
}

void api_suggest_begin(struct api_suggestion *suggestion, const char *word)
{
	size_t length = strlen(word);

	suggestion->word = word;
	suggestion->best = NULL;
	suggestion->distance = (length < 6 ? 1 : length / 3) + 1; // what is nearer is near
}

void api_suggest_offer(struct api_suggestion *suggestion, const char *name)
{
	size_t length = strlen(suggestion->word);
	size_t found = length > 1 && strncmp(suggestion->word, name, length) == 0
			       ? 1
			       : distance(suggestion->word, name);

	if (found < suggestion->distance) {
		suggestion->distance = found;
		suggestion->best = name;
	}
}

const char *api_suggest_end(const struct api_suggestion *suggestion)
{
	return suggestion->best;
}
