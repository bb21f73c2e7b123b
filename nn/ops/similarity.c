/* unit rows and cosine similarity.
 *
 *   unitrow   r_i = max(|x_i|, eps)     y_i = x_i / r_i
 *             dx_i += (dy_i - (dy_i . y_i) y_i) / r_i
 *   cosine    c_i = a_i . b_i / (max(|a_i|, eps) max(|b_i|, eps))
 *             da_i += dc_i (b^_i - c_i a^_i) / |a_i|          (and the same for b)
 *
 * The backward removes the part of dy that points along y: a unit vector can turn but not
 * stretch.  Rows are a unit vector's length from trouble when they are tiny: the gradient
 * grows like 1 / |x|.  A row of zeros has no direction and gets no gradient, so that it
 * stays there instead of exploding (spec 1.7; PyTorch's normalize gives dy / eps).  Above
 * zero and below eps unitrow treats the length as a constant, and cosine gives no gradient
 * either. */
#include <math.h>

#include "nn/base.h"
#include "nn/ops/inner.h"

static float eps_of(const nn_node *y)
{
    return *(const float *)(const void *)y->attr;
}

static void unit_shape(nn_node *y)
{
    y->shape = y->in[0]->shape;
    y->kept = (size_t)nn_rows(y);
}

static void unit_forward(nn_node *y, nn_arena *scratch)
{
    const int rows = nn_rows(y), cols = nn_cols(y);
    (void)scratch;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < rows; i++) {
        const float *x = y->in[0]->val + (size_t)i * (size_t)cols;
        float *yi = y->val + (size_t)i * (size_t)cols;
        float length = sqrtf(nn_kern_now->dot((size_t)cols, x, x));
        float r = length < eps_of(y) ? eps_of(y) : length;
        for (int j = 0; j < cols; j++)
            yi[j] = x[j] / r;
        y->keep[i] = length > 0 || isnan(length) ? r : 0;
    }
}

static void unit_backward(nn_node *y, nn_arena *scratch)
{
    const int rows = nn_rows(y), cols = nn_cols(y);
    int add;
    float *grad = nn_grad_into(y->in[0], &add);
    (void)scratch;
    if (!grad)
        return;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < rows; i++) {
        size_t at = (size_t)i * (size_t)cols;
        const float *yi = y->val + at, *dy = y->grad + at;
        float *dx = grad + at, r = y->keep[i];
        float along = r > eps_of(y) ? nn_kern_now->dot((size_t)cols, dy, yi) : 0;
        for (int j = 0; j < cols; j++) {
            float g = r == 0 ? 0 : (dy[j] - along * yi[j]) / r;
            dx[j] = add ? dx[j] + g : g;
        }
    }
}

/* keeps |a_i|, |b_i| and c_i of every row */
static void cosine_shape(nn_node *y)
{
    char a[64], b[64];
    NN_NEED(nn_shape_same(&y->in[0]->shape, &y->in[1]->shape), "cosine: %s and %s",
            nn_shape_text(&y->in[0]->shape, a, sizeof a),
            nn_shape_text(&y->in[1]->shape, b, sizeof b));
    y->shape = nn_shape1(nn_rows(y->in[0]));
    y->kept = 2 * (size_t)nn_rows(y->in[0]);
}

static void cosine_forward(nn_node *y, nn_arena *scratch)
{
    const int rows = nn_rows(y->in[0]);
    const size_t cols = (size_t)nn_cols(y->in[0]);
    const float eps = eps_of(y);
    (void)scratch;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < rows; i++) {
        const float *a = y->in[0]->val + (size_t)i * cols;
        const float *b = y->in[1]->val + (size_t)i * cols;
        float ra = sqrtf(nn_kern_now->dot(cols, a, a));
        float rb = sqrtf(nn_kern_now->dot(cols, b, b));
        y->keep[2 * i] = ra;
        y->keep[2 * i + 1] = rb;
        y->val[i] =
            nn_kern_now->dot(cols, a, b) / (ra < eps ? eps : ra) / (rb < eps ? eps : rb);
    }
}

/* The gradient of one side: a is the row it belongs to, b the other. */
static void cosine_side(nn_node *y, int side)
{
    const int rows = nn_rows(y->in[0]);
    const size_t cols = (size_t)nn_cols(y->in[0]);
    const float eps = eps_of(y);
    int add;
    float *grad = nn_grad_into(y->in[side], &add);
    if (!grad)
        return;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < rows; i++) {
        const float *a = y->in[side]->val + (size_t)i * cols;
        const float *b = y->in[!side]->val + (size_t)i * cols;
        float *da = grad + (size_t)i * cols, c = y->val[i];
        float ra = y->keep[2 * i + side], rb = y->keep[2 * i + !side];
        float push = ra < eps ? 0 : y->grad[i] / ra;
        rb = rb < eps ? eps : rb;
        for (size_t j = 0; j < cols; j++) {
            float g = ra < eps ? 0 : push * (b[j] / rb - c * (a[j] / ra));
            da[j] = add ? da[j] + g : g;
        }
    }
}

static void cosine_backward(nn_node *y, nn_arena *scratch)
{
    (void)scratch;
    cosine_side(y, 0);
    cosine_side(y, 1);
}

nn_node *nn_unitrow(nn_tape *t, nn_node *x, float eps)
{
    return nn_record(t, &nn_op_unitrow, &x, 1, &eps, sizeof eps);
}

nn_node *nn_cosine(nn_tape *t, nn_node *a, nn_node *b, float eps)
{
    return nn_record(t, &nn_op_cosine, (nn_node *[]){ a, b }, 2, &eps, sizeof eps);
}

static nn_node *unit_example(nn_tape *t, nn_node *const *in)
{
    return nn_unitrow(t, in[0], 1e-12f);
}

static nn_node *cosine_example(nn_tape *t, nn_node *const *in)
{
    return nn_cosine(t, in[0], in[1], 1e-8f);
}

const nn_op nn_op_unitrow = { "unitrow", unit_shape, unit_forward, unit_backward,
    { 1, { { 2, { 4, 6 } } }, unit_example }, 0, NULL };
const nn_op nn_op_cosine = { "cosine", cosine_shape, cosine_forward, cosine_backward,
    { 2, { { 2, { 4, 6 } }, { 2, { 4, 6 } } }, cosine_example }, 0, NULL };
