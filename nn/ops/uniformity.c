/* uniformity and alignment: what contrastive losses come down to ("Understanding
 * Contrastive Representation Learning through Alignment and Uniformity on the
 * Hypersphere", Wang and Isola, 2020).
 *
 *   uniformity   u = ln mean_(i<j) exp(-t D_ij),   D_ij = |e_i - e_j|^2,   E (N, d)
 *                de_i += -4 t du sum_j W_ij (e_i - e_j)
 *                W_ij = exp(-t D_ij) / sum_(k != l) exp(-t D_kl), zero for i = j
 *   alignment    m = mean_i r_i^a,   r_i = |a_i - b_i|
 *                da_i += dm a r_i^(a - 2) (a_i - b_i) / N, db_i the opposite
 *
 * Uniformity is lowest when rows spread evenly over the sphere and 0 when all are equal;
 * alignment is 0 when the two views of every image are.  The paper takes rows of length
 * one, t = 2 and a = 2; lengths are the caller's part (nn_unitrow).
 *
 * Distances and pulls are made from differences, so that rows that nearly coincide keep
 * theirs.  W is a softmax by rows, joined in double: the nearest pair of all keeps its
 * weight however large t is.  A single row has no pair: u = 0 without a gradient.  Where
 * r_i = 0 there is no direction, hence no gradient. */
#include <math.h>

#include "nn/base.h"
#include "nn/elem.h"
#include "nn/kern/pairs.h"
#include "nn/ops/inner.h"

static float setting_of(const nn_node *y)
{
    return *(const float *)(const void *)y->attr;
}

/* ---- uniformity ------------------------------------------------------------------- */

/* keeps W, its rows as far apart as nn_dist2 has them */
static void uniformity_shape(nn_node *y)
{
    const size_t n = (size_t)nn_rows(y->in[0]);
    NN_NEED(y->in[0]->shape.rank == 2 && n > 0 && n < 1 << 24 && setting_of(y) > 0,
            "uniformity: wanted rows of embeddings and a temperature > 0, got %g",
            (double)setting_of(y));
    y->shape = nn_shape1(1);
    y->kept = n > 1 ? n * nn_dist2_stride(n) : 0;
}

static void uniformity_forward(nn_node *y, nn_arena *scratch)
{
    const nn_node *e = y->in[0];
    const size_t n = (size_t)nn_rows(e), stride = nn_dist2_stride(n);
    const float temperature = setting_of(y);
    float *top = NN_NEW(scratch, float, n), *sum = NN_NEW(scratch, float, n);
    double *share = NN_NEW(scratch, double, n), *part = NN_NEW(scratch, double, n);

    y->val[0] = 0;
    if (n == 1)
        return;
    nn_dist2(n, (size_t)nn_cols(e), e->val, y->keep, scratch);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        float *w = y->keep + i * stride;
        for (size_t j = 0; j < n; j++)
            w[j] *= -temperature;
        w[i] = -INFINITY;                       /* its share becomes exp(-inf) = 0 */
        sum[i] = nn_kern_now->softmax(n, w, w, top + i);
    }

    double most = (double)top[0];
    for (size_t i = 1; i < n; i++)
        most = (double)top[i] > most ? (double)top[i] : most;
    for (size_t i = 0; i < n; i++)
        part[i] = share[i] = nn_exp((double)top[i] - most) * (double)sum[i];
    const double all = nn_tree_sum(part, n), ordered = (double)n * (double)(n - 1);
    y->val[0] = (float)(most + nn_log(all / ordered));
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            y->keep[i * stride + j] *= (float)(share[i] / all);
}

static void uniformity_backward(nn_node *y, nn_arena *scratch)
{
    nn_node *e = y->in[0];
    const size_t n = (size_t)nn_rows(e), d = (size_t)nn_cols(e);
    const size_t stride = nn_dist2_stride(n);
    const float f = -4 * setting_of(y) * y->grad[0];
    int *every = NN_NEW(scratch, int, n);
    float *de = n > 1 ? nn_grad_zeroed(e) : NULL;
    if (!de)
        return;
    for (size_t i = 0; i < n; i++)
        every[i] = (int)i;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        float *w = y->keep + i * stride;
        for (size_t j = 0; j < n; j++)
            w[j] *= f;
        nn_pulls pulls = { n, every, w, e->val, d };
        nn_kern_now->pull(d, e->val + i * d, &pulls, de + i * d);
    }
}

nn_node *nn_uniformity(nn_tape *t, nn_node *e, float temperature)
{
    return nn_record(t, &nn_op_uniformity, &e, 1, &temperature, sizeof temperature);
}

/* ---- alignment -------------------------------------------------------------------- */

/* keeps r_i^2 */
static void alignment_shape(nn_node *y)
{
    NN_NEED(y->in[0]->shape.rank == 2 && nn_rows(y->in[0]) > 0
                && nn_shape_same(&y->in[0]->shape, &y->in[1]->shape)
                && setting_of(y) > 0,
            "alignment: wanted two equal shapes of rows and a power > 0, got %g",
            (double)setting_of(y));
    y->shape = nn_shape1(1);
    y->kept = (size_t)nn_rows(y->in[0]);
}

static void alignment_forward(nn_node *y, nn_arena *scratch)
{
    const size_t n = y->kept, d = (size_t)nn_cols(y->in[0]);
    const float *a = y->in[0]->val, *b = y->in[1]->val, power = setting_of(y);
    double *part = NN_NEW(scratch, double, n);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        float r2 = y->keep[i] = nn_kern_now->dist2(d, a + i * d, b + i * d);
        part[i] = power == 2 ? (double)r2 : nn_pow((double)r2, (double)power / 2);
    }
    y->val[0] = (float)(nn_tree_sum(part, n) / (double)n);
}

/* The gradient of one side: x and its other. */
static void alignment_side(const nn_node *y, nn_node *x, const float *other)
{
    const size_t n = y->kept, d = (size_t)nn_cols(x);
    const double power = (double)setting_of(y);
    const double f = power * (double)y->grad[0] / (double)n;
    int add;
    float *dx = nn_grad_into(x, &add);
    if (!dx)
        return;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        const double r2 = (double)y->keep[i];
        const double g = power == 2 ? f : r2 == 0 ? 0 : f * nn_pow(r2, power / 2 - 1);
        nn_kern_now->apart(d, (float)g, x->val + i * d, other + i * d, add, dx + i * d);
    }
}

static void alignment_backward(nn_node *y, nn_arena *scratch)
{
    (void)scratch;
    alignment_side(y, y->in[0], y->in[1]->val);
    alignment_side(y, y->in[1], y->in[0]->val);
}

nn_node *nn_alignment(nn_tape *t, nn_node *a, nn_node *b, float power)
{
    return nn_record(t, &nn_op_alignment, (nn_node *[]){ a, b }, 2, &power, sizeof power);
}

static nn_node *uniformity_example(nn_tape *t, nn_node *const *in)
{
    return nn_uniformity(t, in[0], 2);
}

static nn_node *alignment_example(nn_tape *t, nn_node *const *in)
{
    return nn_alignment(t, in[0], in[1], 1.5f);
}

const nn_op nn_op_uniformity = { "uniformity", uniformity_shape, uniformity_forward,
    uniformity_backward, { 1, { { 2, { 6, 4 } } }, uniformity_example }, 0, NULL };
const nn_op nn_op_alignment = { "alignment", alignment_shape, alignment_forward,
    alignment_backward, { 2, { { 2, { 4, 6 } }, { 2, { 4, 6 } } }, alignment_example }, 0,
    NULL };
