/* centre and gain: a row as a mean, a length and a direction.
 *
 *   centre   y_ij = x_ij - m_i,  m_i = mean_j x_ij     dx_ij += dy_ij - mean_j dy_ij
 *   gain     y_ij = g_i x_ij + b_i                     dx_ij += g_i dy_ij
 *
 * g and b are constants: in gain-shape quantisation they are worked out from the vector
 * that is to be met, and only the shape learns.  Means are summed in double, so equal
 * elements become exact zeros however large they are. */
#include <string.h>

#include "nn/base.h"
#include "nn/ops/inner.h"

typedef struct gain { const float *g, *b; } gain;

static gain setting_of(const nn_node *y)
{
    gain s;
    memcpy(&s, y->attr, sizeof s);
    return s;
}

static void shape(nn_node *y)
{
    NN_NEED(y->in[0]->shape.rank == 2 && nn_count(y->in[0]) > 0, "%s: wanted rows",
            y->op->name);
    y->shape = y->in[0]->shape;
}

static double mean_of(const float *x, size_t d)
{
    double sum = 0;
    for (size_t j = 0; j < d; j++)
        sum += (double)x[j];
    return sum / (double)d;
}

static void centre_forward(nn_node *y, nn_arena *scratch)
{
    const size_t n = (size_t)nn_rows(y), d = (size_t)nn_cols(y);
    (void)scratch;
#pragma omp parallel for schedule(static) if (n * d > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++) {
        const float *x = y->in[0]->val + i * d;
        const double mean = mean_of(x, d);
        for (size_t j = 0; j < d; j++)
            y->val[i * d + j] = (float)((double)x[j] - mean);
    }
}

static void centre_backward(nn_node *y, nn_arena *scratch)
{
    const size_t n = (size_t)nn_rows(y), d = (size_t)nn_cols(y);
    int add;
    float *dx = nn_grad_into(y->in[0], &add);
    (void)scratch;
    if (!dx)
        return;
#pragma omp parallel for schedule(static) if (n * d > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++) {
        const double mean = mean_of(y->grad + i * d, d);
        for (size_t j = i * d; j < i * d + d; j++) {
            const float g = (float)((double)y->grad[j] - mean);
            dx[j] = add ? dx[j] + g : g;
        }
    }
}

static void gain_forward(nn_node *y, nn_arena *scratch)
{
    const size_t n = (size_t)nn_rows(y), d = (size_t)nn_cols(y);
    const gain s = setting_of(y);
    const float *x = y->in[0]->val;
    (void)scratch;
#pragma omp parallel for schedule(static) if (n * d > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++)
        for (size_t j = i * d; j < i * d + d; j++)
            y->val[j] = s.g[i] * x[j] + s.b[i];
}

static void gain_backward(nn_node *y, nn_arena *scratch)
{
    const size_t n = (size_t)nn_rows(y), d = (size_t)nn_cols(y);
    const gain s = setting_of(y);
    int add;
    float *dx = nn_grad_into(y->in[0], &add);
    (void)scratch;
    if (!dx)
        return;
#pragma omp parallel for schedule(static) if (n * d > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++)
        for (size_t j = i * d; j < i * d + d; j++) {
            const float g = s.g[i] * y->grad[j];
            dx[j] = add ? dx[j] + g : g;
        }
}

nn_node *nn_centre(nn_tape *t, nn_node *x)
{
    return nn_record(t, &nn_op_centre, &x, 1, NULL, 0);
}

nn_node *nn_gain(nn_tape *t, nn_node *x, const float *g, const float *b)
{
    const gain s = { g, b };
    return nn_record(t, &nn_op_gain, &x, 1, &s, sizeof s);
}

static nn_node *centre_example(nn_tape *t, nn_node *const *in)
{
    return nn_centre(t, in[0]);
}

static nn_node *gain_example(nn_tape *t, nn_node *const *in)
{
    static const float g[3] = { 1.5f, -0.5f, 0 }, b[3] = { 0.25f, 0, -2 };
    return nn_gain(t, in[0], g, b);
}

const nn_op nn_op_centre = { "centre", shape, centre_forward, centre_backward,
    { 1, { { 2, { 3, 5 } } }, centre_example }, 0, NULL };
const nn_op nn_op_gain = { "gain", shape, gain_forward, gain_backward,
    { 1, { { 2, { 3, 5 } } }, gain_example }, 0, NULL };
