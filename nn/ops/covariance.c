/* The covariance term of VICReg (variance.c has the paper): columns do not repeat each
 * other.  With Z the centred batch (N, d) and m = N - ddof:
 *
 *   k = 1/(d m^2) sum_{j != l} (Z'Z)_jl^2       dx += 4 dk/(d m^2) Z offdiag(Z'Z)
 *
 * Two roads lead there, and the shape alone chooses.  N >= d: by the d x d matrix, as it
 * stands.  N < d: since |Z'Z| = |ZZ'| (Frobenius) and Z (Z'Z) = (ZZ') Z, by the N x N
 * matrix of the rows, from which the diagonal s_j = sum_i z_ij^2 is taken off:
 *
 *   k = 1/(d m^2) (|ZZ'|^2 - sum_j s_j^2)
 *   dx_ij += 4 dk/(d m^2) ((ZZ' Z)_ij - s_j z_ij)
 *
 * That is N/d of the work.  It is a difference: its error is that of the whole, diagonal
 * included, a few 1e-7 of |Z'Z|^2 / (d m^2).  Since N - 1 directions must hold d columns,
 * the part off the diagonal is then at least 1 - (N - 1)/d of the whole for columns of
 * equal variance, and little cancels unless N is near d; it is small only where a few
 * columns hold nearly all of the variance (tests/test_covariance.c has both cases). */
#include "nn/base.h"
#include "nn/kern/gemm.h"
#include "nn/ops/columns.h"

static int ddof_of(const nn_node *y)
{
    return *(const int *)(const void *)y->attr;
}

static int by_rows(size_t n, size_t d)
{
    return n < d;
}

/* keeps Z, the smaller of the two products, and s */
static void covariance_shape(nn_node *y)
{
    NN_NEED(y->in[0]->shape.rank == 2 && nn_rows(y->in[0]) > ddof_of(y),
            "covariance: wanted more than %d rows of embeddings", ddof_of(y));
    const size_t n = (size_t)nn_rows(y->in[0]), d = (size_t)nn_cols(y->in[0]);
    y->shape = nn_shape1(1);
    y->kept = n * d + (by_rows(n, d) ? n * n : d * d) + d;
}

/* 1 / (d m^2) */
static double unit(const nn_node *y)
{
    const double m = nn_rows(y->in[0]) - ddof_of(y);
    return 1 / ((double)nn_cols(y->in[0]) * m * m);
}

static void covariance_forward(nn_node *y, nn_arena *scratch)
{
    const size_t n = (size_t)nn_rows(y->in[0]), d = (size_t)nn_cols(y->in[0]);
    const size_t side = by_rows(n, d) ? n : d;
    float *z = y->keep, *product = z + n * d, *s = product + side * side;
    float *mean = NN_NEW(scratch, float, d);
    double *square = NN_NEW(scratch, double, d), diagonal = 0;

    nn_column_moments(n, d, y->in[0]->val, mean, square, scratch);
    nn_column_lean(n, d, y->in[0]->val, mean, NULL, 0, z, scratch);
    for (size_t j = 0; j < d; j++) {
        s[j] = (float)square[j];
        square[j] *= square[j];
    }
    if (by_rows(n, d)) {
        nn_syrk(n, d, (nn_mat){ z, d, 1 }, product, n, 0, scratch);
        diagonal = nn_tree_sum(square, d);
    } else {
        nn_syrk(d, n, (nn_mat){ z, 1, d }, product, d, 0, scratch);
        for (size_t j = 0; j < d; j++)
            product[j * d + j] -= product[j * d + j];   /* zero, or NaN if it was none */
    }
    double whole = nn_matrix_dot(side, side, product, product, scratch);
    y->val[0] = (float)((whole - diagonal) * unit(y));
}

static void covariance_backward(nn_node *y, nn_arena *scratch)
{
    const size_t n = (size_t)nn_rows(y->in[0]), d = (size_t)nn_cols(y->in[0]);
    const size_t side = by_rows(n, d) ? n : d;
    float *z = y->keep, *product = z + n * d, *s = product + side * side;
    const float f = (float)(4 * (double)y->grad[0] * unit(y));
    nn_epilogue e = {0};
    float *dx = nn_grad_into(y->in[0], &e.add);
    if (!dx)
        return;
    nn_matrix_scale(side * side, f, product);           /* ours, and read only here */
    if (by_rows(n, d)) {
        for (size_t j = 0; j < d; j++)
            s[j] *= -f;
        nn_column_lean(n, d, z, NULL, s, e.add, dx, scratch);
        e.add = 1;
        nn_gemm(n, d, n, (nn_mat){ product, n, 1 }, (nn_mat){ z, d, 1 }, dx, d, &e,
                scratch);
    } else {
        nn_gemm(n, d, d, (nn_mat){ z, d, 1 }, (nn_mat){ product, d, 1 }, dx, d, &e,
                scratch);
    }
}

nn_node *nn_covariance(nn_tape *t, nn_node *x, int ddof)
{
    return nn_record(t, &nn_op_covariance, &x, 1, &ddof, sizeof ddof);
}

static nn_node *example(nn_tape *t, nn_node *const *in)
{
    return nn_covariance(t, in[0], 1);
}

const nn_op nn_op_covariance = { "covariance", covariance_shape, covariance_forward,
    covariance_backward, { 1, { { 2, { 4, 6 } } }, example }, 0, NULL };
