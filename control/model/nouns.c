// SPDX-License-Identifier: BSD-3-Clause
// The list of nouns as a table. In a file of its own so that a test can link a list with a field more.

#include "control/model/nouns.h"
#include "control/model/schema.h"

#define NOUN_EXTERN(symbol, name) extern const struct noun name##_noun;
NOUN_LIST(NOUN_EXTERN)

#define NOUN_ENTRY(symbol, name) [NOUN_##symbol] = &name##_noun,
const struct noun *const nouns[NOUNS] = {NOUN_LIST(NOUN_ENTRY)};
