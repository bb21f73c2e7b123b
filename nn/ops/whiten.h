#ifndef NN_OPS_WHITEN_H
#define NN_OPS_WHITEN_H

#include "nn/ops/inner.h"

/* What the whitening operators share: the batch X (n, d) as a centred matrix of length
 * one, and the smaller of its two Gram matrices.
 *
 *   A  = X less its mean   over the columns of each row (NN_OVER_CHANNELS, count c = d)
 *                          or over the rows of each column (NN_OVER_BATCH, c = n)
 *   Â  = A / |A|           Frobenius norm; S = ÂÂ' or Â'Â has trace 1
 *
 * A whitened batch is f(Sigma) A with Sigma = AA'/(c - 1), or A f(Sigma) with Sigma =
 * A'A/(c - 1).  For any f these two roads lead to the same place, f(ÂÂ') Â = Â f(Â'Â), so
 * the smaller matrix is taken, whatever is whitened: the shape alone decides.
 *
 * Means are double: a constant row or column gives zeros to the bit, so that |A| = 0 is
 * seen where it is meant and rounding is not blown up into a signal. */

/* Fills a (n, d) with Â and returns |A|; a batch with |A| = 0 gives zeros. */
double nn_unit_centred(size_t n, size_t d, nn_axis axis, const float *x, float *a,
                       nn_arena *scratch);

/* dx (+)= (f / size) (dâ - mean - along Â), mean as above: the way back, where size = |A|
 * and along = <dâ, Â> for a result that the length of A does not change.  f = 0 gives
 * zeros. */
void nn_unit_centred_back(size_t n, size_t d, nn_axis axis, const float *a, double size,
                          double f, double along, const float *da, int add, float *dx,
                          nn_arena *scratch);

/* c - 1 for this axis; at least 1, else the caller is told. */
size_t nn_whiten_freedom(const nn_node *x, nn_axis axis);

/* The side of the smaller Gram matrix, m = min(n, d), and products with it:
 *   pair   P (m, m) = X Y' or X'Y, the sum over the longer side
 *   turn   Y (n, d) (+)= P X or X P */
size_t nn_short_side(size_t n, size_t d);
void   nn_short_pair(size_t n, size_t d, const float *x, const float *y, float *p,
                     nn_arena *scratch);
void   nn_short_turn(size_t n, size_t d, const float *p, const float *x, int add,
                     float *y, nn_arena *scratch);

/* x = f (x + x') / 2 on (m, m) */
void nn_symmetric_part(size_t m, float f, float *x);

#endif
