/* relu, abs, clamp, exponential, add, scale, axpy: one number in, one number out.
 *
 *   relu     y = max(0, x)        dx += dy where y > 0
 *   abs      y = |x|              dx += dy where x > 0, -dy where x < 0
 *   clamp    y = min(max(x, lo), hi)    dx += dy where lo <= x <= hi
 *   exponential  y = e^x          dx += dy y
 *   add      y = a + b            da += dy, db += dy
 *   scale    y = a x              dx += a dy
 *   axpy     z = a x + y          dx += a dz, dy += dz */
#include <math.h>

#include "nn/base.h"
#include "nn/ops/inner.h"

static float factor(const nn_node *y)
{
    return *(const float *)(const void *)y->attr;
}

typedef struct range { float lo, hi; } range;

static const range *range_of(const nn_node *y)
{
    return (const void *)y->attr;
}

static void shape_one(nn_node *y)
{
    y->shape = y->in[0]->shape;
}

static void shape_two(nn_node *y)
{
    char a[64], b[64];
    NN_NEED(nn_shape_same(&y->in[0]->shape, &y->in[1]->shape), "%s: %s and %s",
            y->op->name, nn_shape_text(&y->in[0]->shape, a, sizeof a),
            nn_shape_text(&y->in[1]->shape, b, sizeof b));
    y->shape = y->in[0]->shape;
}

static void relu_forward(nn_node *y, nn_arena *scratch)
{
    const float *x = y->in[0]->val;
    size_t n = nn_count(y);
    (void)scratch;
#pragma omp parallel for schedule(static) if (n > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++)
        y->val[i] = x[i] < 0 ? 0 : x[i];            /* NaN stays NaN */
}

static void relu_backward(nn_node *y, nn_arena *scratch)
{
    const float *v = y->val, *dy = y->grad;
    int add;
    float *dx = nn_grad_into(y->in[0], &add);
    size_t n = nn_count(y);
    (void)scratch;
    if (!dx)
        return;
#pragma omp parallel for schedule(static) if (n > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++) {
        float d = dy[i], g = v[i] > 0 ? d : 0;
        dx[i] = add ? dx[i] + g : g;
    }
}

static void abs_forward(nn_node *y, nn_arena *scratch)
{
    const float *x = y->in[0]->val;
    size_t n = nn_count(y);
    (void)scratch;
#pragma omp parallel for schedule(static) if (n > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++)
        y->val[i] = fabsf(x[i]);
}

static void abs_backward(nn_node *y, nn_arena *scratch)
{
    const float *x = y->in[0]->val, *dy = y->grad;
    int add;
    float *dx = nn_grad_into(y->in[0], &add);
    size_t n = nn_count(y);
    (void)scratch;
    if (!dx)
        return;
#pragma omp parallel for schedule(static) if (n > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++) {
        float d = dy[i], g = x[i] > 0 ? d : x[i] < 0 ? -d : 0;
        dx[i] = add ? dx[i] + g : g;
    }
}

static void clamp_shape(nn_node *y)
{
    const range *r = range_of(y);
    NN_NEED(r->lo <= r->hi, "clamp: from %g to %g", (double)r->lo, (double)r->hi);
    shape_one(y);
}

static void clamp_forward(nn_node *y, nn_arena *scratch)
{
    const range r = *range_of(y);
    const float *x = y->in[0]->val;
    size_t n = nn_count(y);
    (void)scratch;
#pragma omp parallel for schedule(static) if (n > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++) {
        float v = x[i] < r.lo ? r.lo : x[i];            /* NaN stays NaN */
        y->val[i] = v > r.hi ? r.hi : v;
    }
}

static void clamp_backward(nn_node *y, nn_arena *scratch)
{
    const range r = *range_of(y);
    const float *x = y->in[0]->val, *dy = y->grad;
    int add;
    float *dx = nn_grad_into(y->in[0], &add);
    size_t n = nn_count(y);
    (void)scratch;
    if (!dx)
        return;
#pragma omp parallel for schedule(static) if (n > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++) {
        float d = dy[i], g = ((x[i] >= r.lo) & (x[i] <= r.hi)) ? d : 0;
        dx[i] = add ? dx[i] + g : g;
    }
}

static void exponential_forward(nn_node *y, nn_arena *scratch)
{
    (void)scratch;
    nn_kern_now->exp(nn_count(y), y->in[0]->val, y->val);
}

static void exponential_backward(nn_node *y, nn_arena *scratch)
{
    int add;
    float *dx = nn_grad_into(y->in[0], &add);
    (void)scratch;
    for (size_t i = 0; dx && i < nn_count(y); i++) {
        float g = y->grad[i] * y->val[i];
        dx[i] = add ? dx[i] + g : g;
    }
}

static void add_forward(nn_node *y, nn_arena *scratch)
{
    const float *a = y->in[0]->val, *b = y->in[1]->val;
    size_t n = nn_count(y);
    (void)scratch;
#pragma omp parallel for schedule(static) if (n > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++)
        y->val[i] = a[i] + b[i];
}

static void add_backward(nn_node *y, nn_arena *scratch)
{
    (void)scratch;
    nn_grad_pass(y->in[0], 1, y->grad);
    nn_grad_pass(y->in[1], 1, y->grad);
}

static void scale_forward(nn_node *y, nn_arena *scratch)
{
    const float a = factor(y), *x = y->in[0]->val;
    size_t n = nn_count(y);
    (void)scratch;
#pragma omp parallel for schedule(static) if (n > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++)
        y->val[i] = a * x[i];
}

static void scale_backward(nn_node *y, nn_arena *scratch)
{
    (void)scratch;
    nn_grad_pass(y->in[0], factor(y), y->grad);
}

static void axpy_forward(nn_node *z, nn_arena *scratch)
{
    const float a = factor(z), *x = z->in[0]->val, *y = z->in[1]->val;
    size_t n = nn_count(z);
    (void)scratch;
#pragma omp parallel for schedule(static) if (n > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++)
        z->val[i] = a * x[i] + y[i];
}

static void axpy_backward(nn_node *z, nn_arena *scratch)
{
    (void)scratch;
    nn_grad_pass(z->in[0], factor(z), z->grad);
    nn_grad_pass(z->in[1], 1, z->grad);
}

nn_node *nn_relu(nn_tape *t, nn_node *x)
{
    return nn_record(t, &nn_op_relu, &x, 1, NULL, 0);
}

nn_node *nn_abs(nn_tape *t, nn_node *x)
{
    return nn_record(t, &nn_op_abs, &x, 1, NULL, 0);
}

nn_node *nn_clamp(nn_tape *t, nn_node *x, float lo, float hi)
{
    return nn_record(t, &nn_op_clamp, &x, 1, &(range){ lo, hi }, sizeof(range));
}

nn_node *nn_exponential(nn_tape *t, nn_node *x)
{
    return nn_record(t, &nn_op_exponential, &x, 1, NULL, 0);
}

nn_node *nn_add(nn_tape *t, nn_node *a, nn_node *b)
{
    return nn_record(t, &nn_op_add, (nn_node *[]){ a, b }, 2, NULL, 0);
}

nn_node *nn_scale(nn_tape *t, float a, nn_node *x)
{
    return nn_record(t, &nn_op_scale, &x, 1, &a, sizeof a);
}

nn_node *nn_axpy(nn_tape *t, float a, nn_node *x, nn_node *y)
{
    return nn_record(t, &nn_op_axpy, (nn_node *[]){ x, y }, 2, &a, sizeof a);
}

static nn_node *relu_example(nn_tape *t, nn_node *const *in) { return nn_relu(t, in[0]); }
static nn_node *abs_example(nn_tape *t, nn_node *const *in) { return nn_abs(t, in[0]); }
static nn_node *clamp_example(nn_tape *t, nn_node *const *in)
{
    return nn_clamp(t, in[0], -0.4f, 0.6f);
}
static nn_node *exponential_example(nn_tape *t, nn_node *const *in)
{
    return nn_exponential(t, in[0]);
}
static nn_node *add_example(nn_tape *t, nn_node *const *in)
{
    return nn_add(t, in[0], in[1]);
}
static nn_node *scale_example(nn_tape *t, nn_node *const *in)
{
    return nn_scale(t, -1.5f, in[0]);
}
static nn_node *axpy_example(nn_tape *t, nn_node *const *in)
{
    return nn_axpy(t, 0.7f, in[0], in[1]);
}

const nn_op nn_op_relu = { "relu", shape_one, relu_forward, relu_backward,
    { 1, { { 2, { 4, 6 } } }, relu_example }, 0, NULL };
const nn_op nn_op_abs = { "abs", shape_one, abs_forward, abs_backward,
    { 1, { { 2, { 4, 6 } } }, abs_example }, 0, NULL };
const nn_op nn_op_clamp = { "clamp", clamp_shape, clamp_forward, clamp_backward,
    { 1, { { 2, { 4, 6 } } }, clamp_example }, 0, NULL };
const nn_op nn_op_exponential = { "exponential", shape_one, exponential_forward,
    exponential_backward, { 1, { { 2, { 4, 6 } } }, exponential_example }, 0, NULL };
const nn_op nn_op_add = { "add", shape_two, add_forward, add_backward,
    { 2, { { 2, { 4, 6 } }, { 2, { 4, 6 } } }, add_example }, 0, NULL };
const nn_op nn_op_scale = { "scale", shape_one, scale_forward, scale_backward,
    { 1, { { 2, { 4, 6 } } }, scale_example }, 0, NULL };
const nn_op nn_op_axpy = { "axpy", shape_two, axpy_forward, axpy_backward,
    { 2, { { 2, { 4, 6 } }, { 2, { 4, 6 } } }, axpy_example }, 0, NULL };
