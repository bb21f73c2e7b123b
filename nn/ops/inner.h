#ifndef NN_OPS_INNER_H
#define NN_OPS_INNER_H

#include "nn/kern/kern.h"
#include "nn/op.h"
#include "nn/ops.h"
#include "nn/par.h"

/* Shared by the operators of this folder. */

/* dx (+)= a dy, element by element: the gradient of whatever passes values through. */
void nn_grad_pass(nn_node *x, float a, const float *dy);

/* loss.c: the mean of (a - b)^2 over all elements, and dx (+)= g (x - other). */
double nn_mean_dist2(const nn_node *a, const nn_node *b, nn_arena *scratch);
void   nn_grad_apart(nn_node *x, const float *other, float g);

/* s_j += sum over rows of x_ij: the gradient of a bias.  Chunks of NN_ROWS rows, folded
 * as a tree in double. */
void nn_grad_columns(float *s, size_t rows, size_t cols, const float *x,
                     nn_arena *scratch);

/* Number of NN_ROWS chunks in `rows`, and the rows of chunk i. */
size_t nn_chunks(size_t rows);
size_t nn_chunk_rows(size_t rows, size_t chunk);

/* Sum of n doubles as a tree; part is overwritten. */
double nn_tree_sum(double *part, size_t n);

/* Elements from which an elementwise loop is worth a team: 64 KiB, about what one core
 * moves while a team starts.  Elementwise results do not depend on it. */
enum { NN_WORTH_A_TEAM = 16384 };

#endif
