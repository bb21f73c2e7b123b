#ifndef NN_OPS_H
#define NN_OPS_H

#include "nn/tape.h"

/* The operators a model or a method is written in.  N is the number of rows. */

/* conv.c, linear.c */
nn_node *nn_conv2d(nn_tape *t, nn_node *x, nn_node *weight, nn_node *bias,
                   int stride, int pad);    /* x (n,h,w,cin), weight (cout,kh,kw,cin) */
nn_node *nn_linear(nn_tape *t, nn_node *x, nn_node *weight, nn_node *bias);
                                                /* (N,in) (out,in) (out) -> (N,out) */
/* batchnorm.c: the statistics of one call come from its rows alone (1.1 of the spec).
 * residual may be NULL; gamma and beta may be NULL (affine = 0). */
typedef enum nn_act { NN_LINEAR, NN_RELU } nn_act;
typedef struct nn_running { float *mean, *var; float momentum, eps; } nn_running;
nn_node *nn_batchnorm(nn_tape *t, nn_node *x, nn_node *gamma, nn_node *beta,
                      nn_node *residual, nn_act act, nn_running running);

/* elementwise.c */
nn_node *nn_relu(nn_tape *t, nn_node *x);
nn_node *nn_add(nn_tape *t, nn_node *a, nn_node *b);
nn_node *nn_scale(nn_tape *t, float a, nn_node *x);
nn_node *nn_axpy(nn_tape *t, float a, nn_node *x, nn_node *y);          /* a x + y */

/* pool.c */
nn_node *nn_maxpool(nn_tape *t, nn_node *x, int size, int stride, int pad);
nn_node *nn_avgpool(nn_tape *t, nn_node *x, int size, int stride, int pad);
nn_node *nn_globalpool(nn_tape *t, nn_node *x);             /* (n,h,w,c) -> (n,c) mean */

/* similarity.c */
nn_node *nn_unitrow(nn_tape *t, nn_node *x, float eps);     /* x_i / max(|x_i|, eps) */
nn_node *nn_cosine(nn_tape *t, nn_node *a, nn_node *b, float eps);  /* N cosines */

/* loss.c: all give one element, a mean over rows (mse: over all elements) */
nn_node *nn_mse(nn_tape *t, nn_node *a, nn_node *b);
nn_node *nn_softmax_xent(nn_tape *t, nn_node *logits, const int *label);
nn_node *nn_soft_xent(nn_tape *t, nn_node *p, nn_node *z);
                                        /* mean_i -sum_k softmax(z)_k log softmax(p)_k */
nn_node *nn_mean(nn_tape *t, nn_node *x);

/* variance.c, covariance.c, crosscorr.c: one element out of a batch (N, d).  Variances and
 * covariances divide by N - ddof, ddof 0 or 1, N > ddof.
 *   variance     mean_j max(0, target - sqrt(var_j + eps))
 *   covariance   1/d sum_{j != k} cov_jk^2
 *   crosscorr    sum_j (1 - C_jj)^2 + lambda sum_{j != k} C_jk^2,  C = A'B / N, where the
 *                columns of A and B are standardised already (nn_batchnorm without
 *                gamma and beta) */
nn_node *nn_variance(nn_tape *t, nn_node *x, float target, float eps, int ddof);
nn_node *nn_covariance(nn_tape *t, nn_node *x, int ddof);
nn_node *nn_crosscorr(nn_tape *t, nn_node *a, nn_node *b, float lambda);

/* shape.c */
nn_node *nn_stopgrad(nn_tape *t, nn_node *x);
nn_node *nn_concat(nn_tape *t, nn_node *const *x, int count);   /* along rows */
nn_node *nn_concat_cols(nn_tape *t, nn_node *const *x, int count);
nn_node *nn_reshape(nn_tape *t, nn_node *x, nn_shape shape);

#endif
