/* The variance term of VICReg (Bardes, Ponce, LeCun, "VICReg: Variance-Invariance-
 * Covariance Regularization", 2022): every column keeps its spread.
 *
 *   S_j = sqrt(var_j + eps)         v = 1/d sum_j max(0, target - S_j)
 *   dx_ij += -dv [S_j < target] (x_ij - mean_j) / (d (N - ddof) S_j)
 *
 * The mean's own part of the gradient vanishes, since differences from it sum to zero.
 * The root makes the push on a column independent of its spread, until eps outweighs it:
 * a column of variance zero is a point of rest.  A column that is not finite makes v
 * NaN. */
#include <math.h>
#include <string.h>

#include "nn/base.h"
#include "nn/ops/columns.h"

typedef struct settings { float target, eps; int ddof; } settings;

static settings settings_of(const nn_node *y)
{
    settings s;
    memcpy(&s, y->attr, sizeof s);
    return s;
}

/* keeps mean_j and S_j */
static void variance_shape(nn_node *y)
{
    NN_NEED(y->in[0]->shape.rank == 2 && nn_rows(y->in[0]) > settings_of(y).ddof,
            "variance: wanted more than %d rows of embeddings", settings_of(y).ddof);
    y->shape = nn_shape1(1);
    y->kept = 2 * (size_t)nn_cols(y->in[0]);
}

static void variance_forward(nn_node *y, nn_arena *scratch)
{
    const settings s = settings_of(y);
    const size_t n = (size_t)nn_rows(y->in[0]), d = (size_t)nn_cols(y->in[0]);
    float *mean = y->keep, *root = mean + d;
    double *term = NN_NEW(scratch, double, d);

    nn_column_moments(n, d, y->in[0]->val, mean, term, scratch);
    for (size_t j = 0; j < d; j++) {
        double var = term[j] / (double)((int)n - s.ddof);
        root[j] = (float)sqrt(var + (double)s.eps);
        double less = (double)s.target - (double)root[j];
        term[j] = 0 > less ? 0 : less;                  /* keeps a NaN */
    }
    y->val[0] = (float)(nn_tree_sum(term, d) / (double)d);
}

static void variance_backward(nn_node *y, nn_arena *scratch)
{
    const settings s = settings_of(y);
    const size_t n = (size_t)nn_rows(y->in[0]), d = (size_t)nn_cols(y->in[0]);
    const float *mean = y->keep, *root = mean + d;
    const double g = (double)y->grad[0] / ((double)d * (double)((int)n - s.ddof));
    int add;
    float *dx = nn_grad_into(y->in[0], &add), *w = NN_NEW(scratch, float, d);
    if (!dx)
        return;
    for (size_t j = 0; j < d; j++)                      /* S_j = 0: nothing leans */
        w[j] = root[j] < s.target && root[j] > 0 ? (float)(-g / (double)root[j]) : 0;
    nn_column_lean(n, d, y->in[0]->val, mean, w, add, dx, scratch);
}

nn_node *nn_variance(nn_tape *t, nn_node *x, float target, float eps, int ddof)
{
    settings s = { target, eps, ddof };
    return nn_record(t, &nn_op_variance, &x, 1, &s, sizeof s);
}

static nn_node *example(nn_tape *t, nn_node *const *in)
{
    return nn_variance(t, in[0], 1.0f, 1e-4f, 1);
}

const nn_op nn_op_variance = { "variance", variance_shape, variance_forward,
    variance_backward, { 1, { { 2, { 6, 5 } } }, example }, 0, NULL };
