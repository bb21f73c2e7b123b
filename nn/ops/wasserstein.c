/* wasserstein: how far the rows of Z (N, d) are from filling the sphere evenly, as the
 * 2-Wasserstein distance between the Gaussian with their mean and covariance and
 * N(0, I/d) ("Rethinking the Uniformity Metric in Self-Supervised Learning"; spec 8).
 * With mu the mean, Zc = Z - mu, Sigma = Zc'Zc / N and its eigenvalues s_k:
 *
 *   W^2 = |mu|^2 + 1 + tr Sigma - 2/sqrt(d) tr Sigma^(1/2)
 *       = |mu|^2 + sum_k (sqrt(s_k) - 1/sqrt(d))^2
 *   dZ += dW / (N W) (mu + Zc - 1/sqrt(d) Zc Sigma^(-1/2))              W below 1e-6: 0
 *
 * The second form is a sum of squares: nothing cancels.  The mean sees a common point,
 * the roots see every dimension that is lost, which uniformity hardly does.  The paper
 * takes rows of length one; that is the caller's part (nn_unitrow).
 *
 * Two roads, and the shape alone chooses.  N >= d: by the d x d matrix Sigma.  N < d: by
 * the N x N matrix G = Zc Zc'/N of the rows, which has the same eigenvalues but for d - N
 * zeros, and Zc Sigma^(-1/2) = G^(-1/2) Zc.  Eigenvalues are found in double.  Where one
 * is zero the root has no slope, and Zc nothing along it: those below 1e-12 of the
 * largest count as zero and are left out of the inverse root; others enter it as 1e-8 at
 * least. */
#include <math.h>

#include "nn/base.h"
#include "nn/kern/gemm.h"
#include "nn/linalg.h"
#include "nn/ops/columns.h"

static const double
    NONE = 1e-12,       /* rounding of float rows puts 1e-14 of the largest there */
    FLOOR = 1e-8,       /* spec 8 */
    NEAR = 1e-6;        /* nearer than this the gradient is a quotient of roundings */

static size_t side_of(size_t n, size_t d)
{
    return n < d ? n : d;
}

/* keeps Zc, mu, the inverse root and 1 / (N W) */
static void shape(nn_node *y)
{
    const size_t n = (size_t)nn_rows(y->in[0]), d = (size_t)nn_cols(y->in[0]);
    NN_NEED(y->in[0]->shape.rank == 2 && n > 0, "wasserstein: wanted rows of embeddings");
    y->shape = nn_shape1(1);
    y->kept = n * d + d + side_of(n, d) * side_of(n, d) + 1;
}

/* z = x - mean; the smaller of the two matrices in double. */
static void second_moments(size_t n, size_t d, const float *x, const double *mean,
                           float *z, double *matrix, nn_arena *scratch)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            z[i * d + j] = (float)((double)x[i * d + j] - mean[j]);
    if (n >= d) {
        nn_gram((int)n, (int)d, z, NULL, (double)n, matrix, scratch);
        return;
    }
    float *turned = NN_NEW(scratch, float, n * d);
    for (size_t j = 0; j < d; j++)
        for (size_t i = 0; i < n; i++)
            turned[j * n + i] = z[i * d + j];
    nn_gram((int)d, (int)n, turned, NULL, (double)n, matrix, scratch);
}

/* H = sum_k q_k q_k' / sqrt(s_k) over the first `rank` eigenvectors, the rows of q. */
static void inverse_root(size_t side, size_t rank, const double *s, const double *q,
                         float *h, nn_arena *scratch)
{
    float *r = NN_NEW(scratch, float, side * side);
#pragma omp parallel for schedule(static)
    for (size_t k = 0; k < rank; k++) {
        const double by = 1 / sqrt(sqrt(s[k] < FLOOR ? FLOOR : s[k]));
        for (size_t i = 0; i < side; i++)
            r[k * side + i] = (float)(by * q[k * side + i]);
    }
    nn_syrk(side, rank, (nn_mat){ r, 1, side }, h, side, 0, scratch);
}

static void forward(nn_node *y, nn_arena *scratch)
{
    const size_t n = (size_t)nn_rows(y->in[0]), d = (size_t)nn_cols(y->in[0]);
    const size_t side = side_of(n, d);
    float *z = y->keep, *mu = z + n * d, *h = mu + d, *by = h + side * side;
    double *mean = NN_NEW(scratch, double, d), *s = NN_NEW(scratch, double, side);
    double *q = NN_NEW(scratch, double, side * side);

    nn_col_mean((int)n, (int)d, y->in[0]->val, mean, scratch);
    second_moments(n, d, y->in[0]->val, mean, z, q, scratch);
    nn_eigen_sym((int)side, q, s, NN_VECTORS, scratch);     /* failing, s is NaN */

    size_t rank = side;
    while (rank > 0 && s[rank - 1] <= NONE * s[0])
        rank--;
    const double even = 1 / sqrt((double)d);
    double square = (double)(d - rank) / (double)d;         /* of all that are zero */
    for (size_t k = 0; k < rank; k++)
        square += (sqrt(s[k]) - even) * (sqrt(s[k]) - even);
    for (size_t j = 0; j < d; j++) {
        mu[j] = (float)mean[j];
        square += mean[j] * mean[j];
    }
    inverse_root(side, rank, s, q, h, scratch);
    const double w = sqrt(square);
    y->val[0] = (float)w;
    *by = w < NEAR ? 0 : (float)(1 / ((double)n * w));
}

static void backward(nn_node *y, nn_arena *scratch)
{
    const size_t n = (size_t)nn_rows(y->in[0]), d = (size_t)nn_cols(y->in[0]);
    const size_t side = side_of(n, d);
    const float *z = y->keep;
    float *mu = y->keep + n * d, *h = mu + d, *each = NN_NEW(scratch, float, d);
    const float f = y->grad[0] * h[side * side];
    nn_epilogue e = {0};
    float *dz = nn_grad_into(y->in[0], &e.add);
    if (!dz)
        return;
    for (size_t j = 0; j < d; j++) {
        mu[j] = -mu[j];
        each[j] = f;
    }
    nn_column_lean(n, d, z, mu, each, e.add, dz, scratch);          /* f (Zc + mu) */
    e.add = 1;
    nn_matrix_scale(side * side, (float)(-(double)f / sqrt((double)d)), h);
    if (n < d)
        nn_gemm(n, d, n, (nn_mat){ h, n, 1 }, (nn_mat){ z, d, 1 }, dz, d, &e, scratch);
    else
        nn_gemm(n, d, d, (nn_mat){ z, d, 1 }, (nn_mat){ h, d, 1 }, dz, d, &e, scratch);
}

nn_node *nn_wasserstein(nn_tape *t, nn_node *e)
{
    return nn_record(t, &nn_op_wasserstein, &e, 1, NULL, 0);
}

static nn_node *example(nn_tape *t, nn_node *const *in)
{
    return nn_wasserstein(t, in[0]);
}

const nn_op nn_op_wasserstein = { "wasserstein", shape, forward, backward,
    { 1, { { 2, { 9, 5 } } }, example }, 0, NULL };
