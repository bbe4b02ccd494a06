/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DECISION_H
#define DECISION_H

// A change of several edges is one: what the edge that it was first made on has come to is what the others come to.

struct node;
struct store_pending;

enum decision { DECISION_NONE, DECISION_CONFIRMED, DECISION_REVERTED }; // NONE: not yet, or it does not answer

// Asks it over the peer's socket of the node file; takes two seconds at most.
enum decision decision_ask(const struct node *node, const struct store_pending *pending);

#endif
