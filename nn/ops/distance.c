/* Distances of two equal shapes: what a decoder's images are measured by.  One element, a
 * mean over all n elements.
 *
 *   mse            m = sum (a - b)^2 / n           da += 2 dm (a - b) / n, db the opposite
 *   l1             m = sum |a - b| / n             da += dm sign(a - b) / n, db the opposite
 *   gaussian_nll   m = (l + s e^-l + ln 2 pi) / 2,    s = sum (x - mu)^2 / n
 *                  dx += dm e^-l (x - mu) / n, dmu the opposite;  dl += dm (1 - s e^-l) / 2
 *
 * sign(0) = 0.  gaussian_nll is -ln N(x; mu, e^l) with one variance for all elements; its
 * least value over l is where e^l = s. */
#include <math.h>

#include "nn/base.h"
#include "nn/elem.h"
#include "nn/ops/inner.h"

enum { CHUNK = 4096 };          /* elements per partial sum: part of the result's format */

static size_t chunk_of(size_t n, size_t chunk)
{
    size_t left = n - chunk * CHUNK;
    return left < CHUNK ? left : CHUNK;
}

static void shape(nn_node *y)
{
    NN_NEED(nn_shape_same(&y->in[0]->shape, &y->in[1]->shape), "%s: shapes differ",
            y->op->name);
    NN_NEED(nn_count(y->in[0]) > 0, "%s: nothing to average", y->op->name);
    y->shape = nn_shape1(1);
}

double nn_mean_dist2(const nn_node *a, const nn_node *b, nn_arena *scratch)
{
    const size_t n = nn_count(a), chunks = (n + CHUNK - 1) / CHUNK;
    double *part = NN_NEW(scratch, double, chunks);
#pragma omp parallel for schedule(static) if (n > NN_WORTH_A_TEAM)
    for (size_t c = 0; c < chunks; c++)
        part[c] = nn_kern_now->dist2(chunk_of(n, c), a->val + c * CHUNK,
                                     b->val + c * CHUNK);
    return nn_tree_sum(part, chunks) / (double)n;
}

void nn_grad_apart(nn_node *x, const float *other, float g)
{
    const size_t n = nn_count(x), chunks = (n + CHUNK - 1) / CHUNK;
    int add;
    float *dx = nn_grad_into(x, &add);
    if (!dx)
        return;
#pragma omp parallel for schedule(static) if (n > NN_WORTH_A_TEAM)
    for (size_t c = 0; c < chunks; c++)
        nn_kern_now->apart(chunk_of(n, c), g, x->val + c * CHUNK, other + c * CHUNK, add,
                           dx + c * CHUNK);
}

static void mse_forward(nn_node *y, nn_arena *scratch)
{
    y->val[0] = (float)nn_mean_dist2(y->in[0], y->in[1], scratch);
}

static void mse_backward(nn_node *y, nn_arena *scratch)
{
    nn_node *a = y->in[0], *b = y->in[1];
    const float g = 2 * y->grad[0] / (float)nn_count(a);
    (void)scratch;
    nn_grad_apart(a, b->val, g);
    nn_grad_apart(b, a->val, g);
}

static void l1_forward(nn_node *y, nn_arena *scratch)
{
    const size_t n = nn_count(y->in[0]), chunks = (n + CHUNK - 1) / CHUNK;
    const float *a = y->in[0]->val, *b = y->in[1]->val;
    double *part = NN_NEW(scratch, double, chunks);
#pragma omp parallel for schedule(static) if (n > NN_WORTH_A_TEAM)
    for (size_t c = 0; c < chunks; c++) {
        double sum = 0;
        for (size_t i = c * CHUNK; i < c * CHUNK + chunk_of(n, c); i++)
            sum += fabs((double)a[i] - (double)b[i]);
        part[c] = sum;
    }
    y->val[0] = (float)(nn_tree_sum(part, chunks) / (double)n);
}

/* dx (+)= g sign(x - other) */
static void step_towards(nn_node *x, const float *other, float g)
{
    const size_t n = nn_count(x);
    int add;
    float *dx = nn_grad_into(x, &add);
    if (!dx)
        return;
#pragma omp parallel for schedule(static) if (n > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++) {
        float d = x->val[i] > other[i] ? g : x->val[i] < other[i] ? -g : 0;
        dx[i] = add ? dx[i] + d : d;
    }
}

static void l1_backward(nn_node *y, nn_arena *scratch)
{
    nn_node *a = y->in[0], *b = y->in[1];
    const float g = y->grad[0] / (float)nn_count(a);
    (void)scratch;
    step_towards(a, b->val, g);
    step_towards(b, a->val, g);
}

/* keeps e^-l and s e^-l */
static void nll_shape(nn_node *y)
{
    shape(y);
    NN_NEED(nn_count(y->in[2]) == 1, "gaussian_nll: %zu variances, wanted one",
            nn_count(y->in[2]));
    y->kept = 2;
}

static void nll_forward(nn_node *y, nn_arena *scratch)
{
    const double ln_2_pi = 0x1.d67f1c864beb5p+0, l = (double)y->in[2]->val[0];
    const double precision = nn_exp(-l);
    const double ratio = nn_mean_dist2(y->in[0], y->in[1], scratch) * precision;
    y->keep[0] = (float)precision;
    y->keep[1] = (float)ratio;
    y->val[0] = (float)(0.5 * (l + ratio + ln_2_pi));
}

static void nll_backward(nn_node *y, nn_arena *scratch)
{
    nn_node *x = y->in[0], *mean = y->in[1];
    const float g = y->grad[0] * y->keep[0] / (float)nn_count(x);
    float *dl = nn_grad_zeroed(y->in[2]);
    (void)scratch;
    nn_grad_apart(x, mean->val, g);
    nn_grad_apart(mean, x->val, g);
    if (dl)
        dl[0] += 0.5f * y->grad[0] * (1 - y->keep[1]);
}

nn_node *nn_mse(nn_tape *t, nn_node *a, nn_node *b)
{
    return nn_record(t, &nn_op_mse, (nn_node *[]){ a, b }, 2, NULL, 0);
}

nn_node *nn_l1(nn_tape *t, nn_node *a, nn_node *b)
{
    return nn_record(t, &nn_op_l1, (nn_node *[]){ a, b }, 2, NULL, 0);
}

nn_node *nn_gaussian_nll(nn_tape *t, nn_node *x, nn_node *mean, nn_node *log_var)
{
    return nn_record(t, &nn_op_gaussian_nll, (nn_node *[]){ x, mean, log_var }, 3, NULL,
                     0);
}

static nn_node *mse_example(nn_tape *t, nn_node *const *in)
{
    return nn_mse(t, in[0], in[1]);
}

static nn_node *l1_example(nn_tape *t, nn_node *const *in)
{
    return nn_l1(t, in[0], in[1]);
}

static nn_node *nll_example(nn_tape *t, nn_node *const *in)
{
    return nn_gaussian_nll(t, in[0], in[1], in[2]);
}

const nn_op nn_op_mse = { "mse", shape, mse_forward, mse_backward,
    { 2, { { 2, { 3, 5 } }, { 2, { 3, 5 } } }, mse_example }, 0, NULL };
const nn_op nn_op_l1 = { "l1", shape, l1_forward, l1_backward,
    { 2, { { 2, { 3, 5 } }, { 2, { 3, 5 } } }, l1_example }, 0, NULL };
const nn_op nn_op_gaussian_nll = { "gaussian_nll", nll_shape, nll_forward, nll_backward,
    { 3, { { 2, { 3, 5 } }, { 2, { 3, 5 } }, { 1, { 1 } } }, nll_example }, 0, NULL };
