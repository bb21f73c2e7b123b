#ifndef NN_OPS_PAIRS_H
#define NN_OPS_PAIRS_H

#include "nn/ops/inner.h"

/* The gradient of a loss on distances: each pair of rows pulls along its difference,
 *
 *   dx_to += weight (x_to - x_from)
 *
 * nn_pull_all adds a list of them to the gradient of x (n, d).  The pulls at one row are
 * added in their order in the list, whoever adds them.  With a reference (m, d), which is
 * not moved, `from` goes on past n: n + j is its row j.  reference may be NULL. */
typedef struct nn_pull { int to, from; float weight; } nn_pull;

void nn_pull_all(nn_node *x, const nn_node *reference, size_t count, const nn_pull *list,
                 nn_arena *scratch);

#endif
