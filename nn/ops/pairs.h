#ifndef NN_OPS_PAIRS_H
#define NN_OPS_PAIRS_H

#include "nn/ops/inner.h"

/* The gradient of a loss on distances: each pair of rows pulls along its difference,
 *
 *   dx_to += weight (x_to - x_from)
 *
 * nn_pull_all adds a list of them to the gradient of x.  The pulls at one row are added
 * in their order in the list, whoever adds them. */
typedef struct nn_pull { int to, from; float weight; } nn_pull;

void nn_pull_all(nn_node *x, size_t count, const nn_pull *list, nn_arena *scratch);

#endif
