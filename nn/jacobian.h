#ifndef NN_JACOBIAN_H
#define NN_JACOBIAN_H

#include "nn/ops.h"

/* How a function of one input answers to small changes of it: J_ik = d f_i / d x_k.
 *
 * f records y (n, outputs) = f(x) for n inputs on the tape.  Rows must not know of each
 * other, which is so in NN_EVAL: then a batch of copies of x, each with another output to
 * differentiate, gives as many rows of J in one way back.
 *
 *   nn_jacobian     J (outputs, numbers of x), at x (1, ...), in NN_EVAL.  The tape is
 *                   empty before and after.  Parameters whose grad is not NULL get the
 *                   gradients of all rows added, which costs time and means nothing: give
 *                   it parameters without.
 *   nn_log_volume   sum over the min(rows, cols) singular values s of J of
 *                   ln max(s, NN_LEAST_STRETCH), and in *floored (may be NULL) how many
 *                   were less.  NaN when an entry is not finite.
 *
 * The sum is JEPA-SCORE ("Gaussian Embeddings: How JEPAs Secretly Learn Your Data
 * Density"): higher where the encoder stretches its input, that is where the density it
 * has learnt is higher.  Singular values are the roots of the eigenvalues of J J' or J'J,
 * the smaller of the two, in double: what is below 1e-7 of the largest is rounding, which
 * it is in a float J anyway. */
typedef nn_node *nn_function(nn_tape *t, const void *ctx, nn_node *x);

#define NN_LEAST_STRETCH 1e-6           /* the floor of the paper's listing */

void   nn_jacobian(nn_tape *t, nn_function *f, const void *ctx, nn_shape one,
                   const float *x, int outputs, float *j);
double nn_log_volume(int rows, int cols, const float *j, int *floored,
                     nn_arena *scratch);

#endif
