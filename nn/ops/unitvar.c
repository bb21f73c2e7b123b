/* The trace loss of INTL: what is whitened should have variance one.  Over the columns of
 * each row i (NN_OVER_CHANNELS) or the rows of each column i (NN_OVER_BATCH), with c
 * numbers in each:
 *
 *   v_i = sum (x - mean_i)^2 / (c - 1)      L = sum_i (v_i - 1)^2
 *   dx += 4 dL (v_i - 1)/(c - 1) (x - mean_i)
 *
 * On whitened batches the v_i are the diagonal of the covariance: iterations that did not
 * reach white leave them below one, and this pushes the small eigenvalues up.  A row or
 * column that is constant is pushed nowhere. */
#include <string.h>

#include "nn/ops/columns.h"
#include "nn/ops/whiten.h"

static nn_axis axis_of(const nn_node *y)
{
    nn_axis axis;
    memcpy(&axis, y->attr, sizeof axis);
    return axis;
}

static size_t whitened(const nn_node *y)
{
    const nn_node *x = y->in[0];
    return (size_t)(axis_of(y) == NN_OVER_CHANNELS ? nn_rows(x) : nn_cols(x));
}

/* keeps mean_i and v_i */
static void unit_variance_shape(nn_node *y)
{
    nn_whiten_freedom(y->in[0], axis_of(y));
    y->shape = nn_shape1(1);
    y->kept = 2 * whitened(y);
}

/* The moments of rows: means and sums of squares, one accumulator each, in double. */
static void row_moments(size_t n, size_t d, const float *x, float *mean, double *square)
{
#pragma omp parallel for schedule(static) if (n * d > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++) {
        const float *xi = x + i * d;
        double sum = 0, q = 0;
        for (size_t j = 0; j < d; j++)
            sum += (double)xi[j];
        mean[i] = (float)(sum / (double)d);
        for (size_t j = 0; j < d; j++) {
            double off = (double)xi[j] - (double)mean[i];
            q += off * off;
        }
        square[i] = q;
    }
}

static void unit_variance_forward(nn_node *y, nn_arena *scratch)
{
    const nn_node *x = y->in[0];
    const size_t n = (size_t)nn_rows(x), d = (size_t)nn_cols(x), wide = whitened(y);
    const double free = (double)nn_whiten_freedom(x, axis_of(y));
    float *mean = y->keep, *v = mean + wide;
    double *term = NN_NEW(scratch, double, wide);

    if (axis_of(y) == NN_OVER_CHANNELS)
        row_moments(n, d, x->val, mean, term);
    else
        nn_column_moments(n, d, x->val, mean, term, scratch);
    for (size_t i = 0; i < wide; i++) {
        double var = term[i] / free;
        v[i] = (float)var;
        term[i] = (var - 1) * (var - 1);
    }
    y->val[0] = (float)nn_tree_sum(term, wide);
}

static void unit_variance_backward(nn_node *y, nn_arena *scratch)
{
    nn_node *x = y->in[0];
    const size_t n = (size_t)nn_rows(x), d = (size_t)nn_cols(x), wide = whitened(y);
    const double f = 4 * (double)y->grad[0] / (double)nn_whiten_freedom(x, axis_of(y));
    const float *mean = y->keep, *v = mean + wide;
    float *w = NN_NEW(scratch, float, wide);
    int add;
    float *dx = nn_grad_into(x, &add);
    if (!dx)
        return;
    for (size_t i = 0; i < wide; i++)
        w[i] = (float)(f * ((double)v[i] - 1));
    if (axis_of(y) == NN_OVER_BATCH) {
        nn_column_lean(n, d, x->val, mean, w, add, dx, scratch);
        return;
    }
#pragma omp parallel for schedule(static) if (n * d > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++) {
            float g = w[i] * (x->val[i * d + j] - mean[i]);
            dx[i * d + j] = add ? dx[i * d + j] + g : g;
        }
}

nn_node *nn_unit_variance(nn_tape *t, nn_node *x, nn_axis axis)
{
    return nn_record(t, &nn_op_unit_variance, &x, 1, &axis, sizeof axis);
}

static nn_node *example(nn_tape *t, nn_node *const *in)
{
    return nn_unit_variance(t, in[0], NN_OVER_CHANNELS);
}

const nn_op nn_op_unit_variance = { "unit_variance", unit_variance_shape,
    unit_variance_forward, unit_variance_backward, { 1, { { 2, { 4, 6 } } }, example }, 0,
    NULL };
