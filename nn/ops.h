#ifndef NN_OPS_H
#define NN_OPS_H

#include "nn/tape.h"

/* The operators a model or a method is written in.  N is the number of rows. */

/* conv.c, conv_transpose.c, linear.c */
nn_node *nn_conv2d(nn_tape *t, nn_node *x, nn_node *weight, nn_node *bias,
                   int stride, int pad);    /* x (n,h,w,cin), weight (cout,kh,kw,cin) */
nn_node *nn_conv_transpose2d(nn_tape *t, nn_node *x, nn_node *weight, nn_node *bias,
                             int stride, int pad);      /* weight (cin,kh,kw,cout) */
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
nn_node *nn_clamp(nn_tape *t, nn_node *x, float lo, float hi);      /* into [lo, hi] */
nn_node *nn_add(nn_tape *t, nn_node *a, nn_node *b);
nn_node *nn_scale(nn_tape *t, float a, nn_node *x);
nn_node *nn_axpy(nn_tape *t, float a, nn_node *x, nn_node *y);          /* a x + y */
nn_node *nn_exponential(nn_tape *t, nn_node *x);        /* e^x */
nn_node *nn_abs(nn_tape *t, nn_node *x);                /* |x|; no gradient where x = 0 */

/* gelu.c */
nn_node *nn_gelu(nn_tape *t, nn_node *x);           /* x Phi(x), not an approximation */

/* pool.c, upsample.c */
nn_node *nn_maxpool(nn_tape *t, nn_node *x, int size, int stride, int pad);
nn_node *nn_avgpool(nn_tape *t, nn_node *x, int size, int stride, int pad);
nn_node *nn_globalpool(nn_tape *t, nn_node *x);             /* (n,h,w,c) -> (n,c) mean */

nn_node *nn_upsample(nn_tape *t, nn_node *x, int factor);   /* (n,h,w,c) -> (n,fh,fw,c) */

/* similarity.c */
nn_node *nn_unitrow(nn_tape *t, nn_node *x, float eps);     /* x_i / max(|x_i|, eps) */
nn_node *nn_cosine(nn_tape *t, nn_node *a, nn_node *b, float eps);  /* N cosines */

/* distance.c: one element, a mean over all elements of two equal shapes.  gaussian_nll:
 * -ln N(x; mean, e^log_var) with a log_var of one element for all. */
nn_node *nn_mse(nn_tape *t, nn_node *a, nn_node *b);
nn_node *nn_l1(nn_tape *t, nn_node *a, nn_node *b);
nn_node *nn_gaussian_nll(nn_tape *t, nn_node *x, nn_node *mean, nn_node *log_var);

/* loss.c: all give one element, a mean over rows (mean and rms: over all elements) */
nn_node *nn_softmax_xent(nn_tape *t, nn_node *logits, const int *label);
nn_node *nn_soft_xent(nn_tape *t, nn_node *p, nn_node *z);
                                        /* mean_i -sum_k softmax(z)_k log softmax(p)_k */
nn_node *nn_mean(nn_tape *t, nn_node *x);
nn_node *nn_rms(nn_tape *t, nn_node *x);   /* sqrt(mean x^2); no gradient where it is 0 */

/* variance.c, covariance.c, crosscorr.c: one element out of a batch (N, d).  Variances
 * and covariances divide by N - ddof, ddof 0 or 1, N > ddof.
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
nn_node *nn_slice_cols(nn_tape *t, nn_node *x, int from, int count);    /* (N, count) */

/* ntxent.c: SimCLR's loss of e (2N, d), rows i and i + N two views of one image, -> one
 * element: mean_i -s_i,pos / tau + ln sum_(m != i) exp(s_im / tau), s = e e' of the rows
 * as they are (nn_unitrow makes cosines of it).  tau > 0, an even number of rows. */
nn_node *nn_ntxent(nn_tape *t, nn_node *e, float tau);

/* uniformity.c (Wang and Isola): one element out of rows as they are.
 *   uniformity   ln mean_(i<j) exp(-temperature |e_i - e_j|^2), temperature > 0; a single
 *                row has no pairs and gives 0 without a gradient
 *   alignment    mean_i |a_i - b_i|^power, power > 0; equal rows get no gradient */
nn_node *nn_uniformity(nn_tape *t, nn_node *e, float temperature);
nn_node *nn_alignment(nn_tape *t, nn_node *a, nn_node *b, float power);

/* sphere.c: mean_i (|x_i| - radius)^2, one element.  A zero row gets no gradient. */
nn_node *nn_sphere(nn_tape *t, nn_node *x, float radius);

/* wasserstein.c: distance of the rows of e (N, d) from an even distribution, with mean 0
 * and variance 1/d in every direction: one element, 0 or more, sqrt(2) for rows of length
 * one that are all equal.  Takes the eigenvalues of a matrix of min(N, d) rows. */
nn_node *nn_wasserstein(nn_tape *t, nn_node *e);

/* tree.c: length of the minimum spanning tree of the rows of x (N, d) */
nn_node *nn_tree(nn_tape *t, nn_node *x);

/* lid.c: ln of the local intrinsic dimension around each row of x (N, d) -> (N), from the
 * k nearest among all other rows of x and all rows of `reference` (M, d), which may be
 * NULL and never moves; k is clamped to N + M - 2.  With NN_LID_DETACHED only a point
 * moves and its neighbours stand still, as in LDReg; with NN_LID_BOTH those in x move,
 * too, and the gradient is that of the value.  nn_lid_floored: points of a node (before
 * backward) whose dimension is not finite but for a floor. */
typedef enum nn_lid_estimator {
    NN_LID_MOM, NN_LID_MOM_PAPER, NN_LID_MLE, NN_LID_HILL, NN_LID_UNBIASED
} nn_lid_estimator;
typedef enum nn_lid_pull { NN_LID_DETACHED, NN_LID_BOTH } nn_lid_pull;
typedef struct nn_lid_settings {
    int k;
    nn_lid_estimator estimator;
    nn_lid_pull pull;
} nn_lid_settings;
nn_node *nn_lid(nn_tape *t, nn_node *x, nn_node *reference, nn_lid_settings settings);
int      nn_lid_floored(const nn_node *y);

/* iternorm.c, spectral.c, unitvar.c: whitening of a batch (N, d), of its rows over their
 * channels or of its columns over the batch (whiten.h says how).  More than one channel,
 * or more than one row.
 *   iternorm        Newton's iteration towards covariance one, iterations >= 1
 *   spectral        eigenvalues l of the covariance become l^(1 - power), 0 < power <= 1;
 *                   power 1 is ZCA whitening
 *   unit_variance   one element, the sum over rows or columns of (variance - 1)^2
 * A batch without variance is whitened to zeros, without gradient. */
typedef enum nn_axis { NN_OVER_CHANNELS, NN_OVER_BATCH } nn_axis;
nn_node *nn_iternorm(nn_tape *t, nn_node *x, int iterations, nn_axis axis);
nn_node *nn_unit_variance(nn_tape *t, nn_node *x, nn_axis axis);
nn_node *nn_spectral(nn_tape *t, nn_node *x, float power, nn_axis axis);

/* gather.c: rows of a table (K, d) by number -> (n, d).  `index` outlives the step. */
nn_node *nn_gather(nn_tape *t, nn_node *table, const int *index, int n);

/* straight.c: the value of the codes q, bit for bit, with a gradient for the vectors z
 * and none for q; both (n, d).  `straight` hands the gradient on as it is, `rotation`
 * turned and stretched as z would have to be to become q. */
nn_node *nn_straight(nn_tape *t, nn_node *z, nn_node *q);
nn_node *nn_rotation(nn_tape *t, nn_node *z, nn_node *q);

/* commit.c: (to_z + to_q) mean (z - q)^2 over all elements, one element.  z feels to_z of
 * it and q feels to_q: the commitment and the codebook term of VQ-VAE.  Weights >= 0; a
 * side of weight 0 gets no gradient. */
nn_node *nn_commit(nn_tape *t, nn_node *z, nn_node *q, float to_z, float to_q);

/* gain.c, by rows of x (n, d): less its own mean; and g_i x_ij + b_i with constants g and
 * b of n elements, which outlive the step. */
nn_node *nn_centre(nn_tape *t, nn_node *x);
nn_node *nn_gain(nn_tape *t, nn_node *x, const float *g, const float *b);

/* fsq.c: column j of z (n, d) rounded to levels[j] levels -> (n, d); d <= NN_FSQ_MOST,
 * 3 <= levels[j] <= NN_FSQ_LEVELS, copied.  With L levels a value is u / (L / 2) in
 * float32, u one of the L integers from -(L / 2) on, L / 2 rounded down. */
enum { NN_FSQ_MOST = 16, NN_FSQ_LEVELS = 255 };
nn_node *nn_fsq(nn_tape *t, nn_node *z, const int *levels);

/* lfq.c: the corners {-s, s}^d as a codebook; z (n, d), s > 0.
 *   sign          the nearest corner -> (n, d), 0 going to -s; the gradient passes as it
 *                 is
 *   bit_entropy   mean_i H(p_i) - gamma H(mean_i p_i), one element, p_i the softmax over
 *                 all corners c of 2 tau z_i.c; tau > 0, gamma >= 0.  The second entropy
 *                 is taken over groups of at most `group` columns (1 to 12) and added up:
 *                 time and memory go with 2^group */
nn_node *nn_sign(nn_tape *t, nn_node *z, float s);
nn_node *nn_bit_entropy(nn_tape *t, nn_node *z, float s, float tau, float gamma,
                        int group);

#endif
