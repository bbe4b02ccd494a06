// SPDX-License-Identifier: BSD-3-Clause
#include "tools/culvertctl/command.h"

const struct noun_fields noun_fields[] = {{0}};
