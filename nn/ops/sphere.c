/* sphere: keeps rows near a sphere, the second half of T-REG (spec 5.1, where it is L_S).
 *
 *   s = mean_i (|x_i| - R)^2
 *   dx_i += 2 ds (|x_i| - R) / (N |x_i|) x_i
 *
 * Without it the tree term drives the rows apart for ever.  A zero row has no direction
 * to be pushed in, hence no gradient.  Lengths are summed in double: the gradient hangs
 * on the small difference from R. */
#include <math.h>

#include "nn/base.h"
#include "nn/ops/inner.h"

static float radius_of(const nn_node *y)
{
    return *(const float *)(const void *)y->attr;
}

/* keeps (|x_i| - R) / |x_i| */
static void shape(nn_node *y)
{
    NN_NEED(y->in[0]->shape.rank == 2 && nn_rows(y->in[0]) > 0 && radius_of(y) >= 0,
            "sphere: wanted rows and a radius of 0 or more, got %g",
            (double)radius_of(y));
    y->shape = nn_shape1(1);
    y->kept = (size_t)nn_rows(y->in[0]);
}

static void forward(nn_node *y, nn_arena *scratch)
{
    const size_t n = y->kept, d = (size_t)nn_cols(y->in[0]);
    double *part = NN_NEW(scratch, double, n);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        const float *x = y->in[0]->val + i * d;
        double square = 0;
        for (size_t j = 0; j < d; j++)
            square += (double)x[j] * (double)x[j];
        const double length = sqrt(square), off = length - (double)radius_of(y);
        part[i] = off * off;
        y->keep[i] = length == 0 ? 0 : (float)(off / length);
    }
    y->val[0] = (float)(nn_tree_sum(part, n) / (double)n);
}

static void backward(nn_node *y, nn_arena *scratch)
{
    const size_t n = y->kept, d = (size_t)nn_cols(y->in[0]);
    const float *x = y->in[0]->val, f = 2 * y->grad[0] / (float)n;
    int add;
    float *dx = nn_grad_into(y->in[0], &add);
    (void)scratch;
    if (!dx)
        return;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        const float g = f * y->keep[i];
        for (size_t j = i * d; j < i * d + d; j++)
            dx[j] = add ? dx[j] + g * x[j] : g * x[j];
    }
}

nn_node *nn_sphere(nn_tape *t, nn_node *x, float radius)
{
    return nn_record(t, &nn_op_sphere, &x, 1, &radius, sizeof radius);
}

static nn_node *example(nn_tape *t, nn_node *const *in)
{
    return nn_sphere(t, in[0], 1.25f);
}

const nn_op nn_op_sphere = { "sphere", shape, forward, backward,
    { 1, { { 2, { 4, 6 } } }, example }, 0, NULL };
