/* The loss of Barlow Twins (Zbontar, Jing, Misra, LeCun, Deny, "Barlow Twins: Self-
 * Supervised Learning via Redundancy Reduction", 2021) on standardised columns:
 *
 *   C = A'B / N      L = sum_j (1 - C_jj)^2 + lambda sum_{j != l} C_jl^2
 *   G = dL/dC: -2 (1 - C_jj) on the diagonal, 2 lambda C_jl off it
 *   dA += B G' / N      dB += A G / N
 *
 * As in covariance.c the shape chooses the road.  N < d: |A'B|^2 = <AA', BB'>, and with
 * w_j = -2 (1 - C_jj) - 2 lambda C_jj for the diagonal,
 *
 *   dA += 2 lambda/N^2 BB' A + B diag(w)/N      dB += 2 lambda/N^2 AA' B + A diag(w)/N
 *
 * The sum off the diagonal is again a difference of the whole and the diagonal; with
 * standardised columns the whole is at least d/(N - 1) times a fully correlated
 * diagonal. */
#include "nn/base.h"
#include "nn/kern/gemm.h"
#include "nn/ops/columns.h"

static float lambda_of(const nn_node *y)
{
    return *(const float *)(const void *)y->attr;
}

static int by_rows(size_t n, size_t d)
{
    return n < d;
}

/* keeps the diagonal of C; then AA' and BB', or N C with zeros on its diagonal */
static void crosscorr_shape(nn_node *y)
{
    NN_NEED(y->in[0]->shape.rank == 2
                && nn_shape_same(&y->in[0]->shape, &y->in[1]->shape),
            "crosscorr: wanted two equal shapes of rows");
    const size_t n = (size_t)nn_rows(y->in[0]), d = (size_t)nn_cols(y->in[0]);
    y->shape = nn_shape1(1);
    y->kept = d + (by_rows(n, d) ? 2 * n * n : d * d);
}

static void crosscorr_forward(nn_node *y, nn_arena *scratch)
{
    const float *a = y->in[0]->val, *b = y->in[1]->val;
    const size_t n = (size_t)nn_rows(y->in[0]), d = (size_t)nn_cols(y->in[0]);
    float *diag = y->keep, *p = diag + d, *q = p + n * n;
    double *miss = NN_NEW(scratch, double, d), *square = NN_NEW(scratch, double, d), off;

    nn_column_dots(n, d, a, b, miss, scratch);
    for (size_t j = 0; j < d; j++) {
        double c = miss[j] / (double)n;
        diag[j] = (float)c;
        miss[j] = (1 - c) * (1 - c);
        square[j] = c * c;
    }
    if (by_rows(n, d)) {
        nn_syrk(n, d, (nn_mat){ a, d, 1 }, p, n, 0, scratch);
        nn_syrk(n, d, (nn_mat){ b, d, 1 }, q, n, 0, scratch);
        off = nn_matrix_dot(n, n, p, q, scratch) / ((double)n * (double)n)
            - nn_tree_sum(square, d);
    } else {
        nn_gemm(d, d, n, (nn_mat){ a, 1, d }, (nn_mat){ b, d, 1 }, p, d, NULL, scratch);
        for (size_t j = 0; j < d; j++)
            p[j * d + j] = 0;                           /* a NaN is in diag already */
        off = nn_matrix_dot(d, d, p, p, scratch) / ((double)n * (double)n);
    }
    y->val[0] = (float)(nn_tree_sum(miss, d) + (double)lambda_of(y) * off);
}

/* One side by rows: dx (+)= f G x + o diag(w), G the product of the other side's rows. */
static void side(nn_node *x, const float *gram, const float *other, const float *w,
                 nn_arena *scratch)
{
    const size_t n = (size_t)nn_rows(x), d = (size_t)nn_cols(x);
    nn_epilogue e = { .add = 1 };
    int add;
    float *dx = nn_grad_into(x, &add);
    if (!dx)
        return;
    nn_column_lean(n, d, other, NULL, w, add, dx, scratch);
    nn_gemm(n, d, n, (nn_mat){ gram, n, 1 }, (nn_mat){ x->val, d, 1 }, dx, d, &e,
            scratch);
}

static void crosscorr_backward(nn_node *y, nn_arena *scratch)
{
    nn_node *a = y->in[0], *b = y->in[1];
    const size_t n = (size_t)nn_rows(a), d = (size_t)nn_cols(a);
    const double g = (double)y->grad[0] / (double)n, lambda = (double)lambda_of(y);
    const float f = (float)(2 * lambda * g / (double)n);
    float *diag = y->keep, *p = diag + d, *q = p + n * n;

    if (by_rows(n, d)) {
        for (size_t j = 0; j < d; j++) {
            double c = (double)diag[j];
            diag[j] = (float)(g * (-2 * (1 - c) - 2 * lambda * c));
        }
        nn_matrix_scale(2 * n * n, f, p);               /* ours, and read only here */
        side(a, q, b->val, diag, scratch);
        side(b, p, a->val, diag, scratch);
        return;
    }
    nn_matrix_scale(d * d, f, p);
    for (size_t j = 0; j < d; j++)
        p[j * d + j] = (float)(-2 * g * (1 - (double)diag[j]));
    nn_epilogue e = {0};
    float *dx = nn_grad_into(a, &e.add);
    if (dx)
        nn_gemm(n, d, d, (nn_mat){ b->val, d, 1 }, (nn_mat){ p, 1, d }, dx, d, &e,
                scratch);
    dx = nn_grad_into(b, &e.add);
    if (dx)
        nn_gemm(n, d, d, (nn_mat){ a->val, d, 1 }, (nn_mat){ p, d, 1 }, dx, d, &e,
                scratch);
}

nn_node *nn_crosscorr(nn_tape *t, nn_node *a, nn_node *b, float lambda)
{
    return nn_record(t, &nn_op_crosscorr, (nn_node *[]){ a, b }, 2, &lambda,
                     sizeof lambda);
}

static nn_node *example(nn_tape *t, nn_node *const *in)
{
    return nn_crosscorr(t, in[0], in[1], 0.3f);
}

const nn_op nn_op_crosscorr = { "crosscorr", crosscorr_shape, crosscorr_forward,
    crosscorr_backward, { 2, { { 2, { 3, 5 } }, { 2, { 3, 5 } } }, example }, 0, NULL };
