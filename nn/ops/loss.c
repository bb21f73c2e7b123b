/* Losses: one number out of many.
 *
 *   mean           m = sum x / n                        dx += dm / n
 *   rms            m = sqrt(sum x^2 / n)                dx += dm x / (n m), 0 where m = 0
 *   softmax_xent   m = mean_i -log softmax(x_i)[label_i]
 *                  dx_ij += dm (softmax(x_i)_j - [j = label_i]) / N
 *   soft_xent      s = softmax(z), l = log softmax(p),  m = mean_i D_i,  D_i = -sum_k s_ik l_ik
 *                  dp_ik += dm (softmax(p)_ik - s_ik) / N
 *                  dz_ik += dm s_ik (-l_ik - D_i) / N
 *
 * The last is SimSiam's cross-entropy similarity.  n counts elements, N rows.  The row's
 * maximum is subtracted before exp, so large logits do not overflow. */
#include <math.h>
#include <string.h>

#include "nn/base.h"
#include "nn/ops/inner.h"

enum { CHUNK = 4096 };          /* elements per partial sum: part of the result's format */

static void scalar_of_one(nn_node *y)
{
    NN_NEED(nn_count(y->in[0]) > 0, "%s: nothing to average", y->op->name);
    y->shape = nn_shape1(1);
}

static void mean_forward(nn_node *y, nn_arena *scratch)
{
    size_t n = nn_count(y->in[0]), chunks = (n + CHUNK - 1) / CHUNK;
    double *part = NN_NEW(scratch, double, chunks);
    for (size_t c = 0; c < chunks; c++) {
        size_t left = n - c * CHUNK;
        part[c] =
            nn_kern_now->sum(left < CHUNK ? left : CHUNK, y->in[0]->val + c * CHUNK);
    }
    y->val[0] = (float)(nn_tree_sum(part, chunks) / (double)n);
}

static void mean_backward(nn_node *y, nn_arena *scratch)
{
    size_t n = nn_count(y->in[0]);
    int add;
    float *dx = nn_grad_into(y->in[0], &add), g = y->grad[0] / (float)n;
    (void)scratch;
    for (size_t i = 0; dx && i < n; i++)
        dx[i] = add ? dx[i] + g : g;
}

static size_t chunk_of(size_t n, size_t chunk)
{
    size_t left = n - chunk * CHUNK;
    return left < CHUNK ? left : CHUNK;
}

static void rms_forward(nn_node *y, nn_arena *scratch)
{
    const size_t n = nn_count(y->in[0]), chunks = (n + CHUNK - 1) / CHUNK;
    const float *x = y->in[0]->val;
    double *part = NN_NEW(scratch, double, chunks);
    for (size_t c = 0; c < chunks; c++)
        part[c] = nn_kern_now->dot(chunk_of(n, c), x + c * CHUNK, x + c * CHUNK);
    y->val[0] = (float)sqrt(nn_tree_sum(part, chunks) / (double)n);
}

static void rms_backward(nn_node *y, nn_arena *scratch)
{
    const float m = y->val[0], n = (float)nn_count(y->in[0]);
    const float f = m == 0 ? 0 : y->grad[0] / (n * m);
    (void)scratch;
    nn_grad_pass(y->in[0], f, y->in[0]->val);
}

/* p = softmax(x) of one row.  Its logarithm is x - top - log_sum, in this order: the first
 * difference is exact or small, so that large logits cost no digits. */
typedef struct norm { float top, log_sum; } norm;

static norm softmax_row(size_t n, const float *x, float *p)
{
    norm r;
    float sum = nn_kern_now->softmax(n, x, p, &r.top);
    nn_kern_now->log(1, &sum, &r.log_sum);
    return r;
}

/* keeps softmax(x) - [j = label_i], which is the gradient but for a factor */
static void xent_shape(nn_node *y)
{
    NN_NEED(y->in[0]->shape.rank == 2, "softmax_xent: wanted rows of logits");
    scalar_of_one(y);
    y->kept = nn_count(y->in[0]);
}

static const int *labels_of(const nn_node *y)
{
    const int *label;
    memcpy(&label, y->attr, sizeof label);
    return label;
}

static void xent_forward(nn_node *y, nn_arena *scratch)
{
    const int rows = nn_rows(y->in[0]), cols = nn_cols(y->in[0]), *label = labels_of(y);
    double *part = NN_NEW(scratch, double, rows);
#pragma omp parallel for schedule(static)
    for (int i = 0; i < rows; i++) {
        const float *x = y->in[0]->val + (size_t)i * (size_t)cols;
        NN_NEED(label[i] >= 0 && label[i] < cols, "softmax_xent: label %d of %d classes",
                label[i], cols);
        float *p = y->keep + (size_t)i * (size_t)cols;
        norm r = softmax_row((size_t)cols, x, p);
        part[i] = r.log_sum - (x[label[i]] - r.top);
        p[label[i]] -= 1;
    }
    y->val[0] = (float)(nn_tree_sum(part, (size_t)rows) / rows);
}

static void xent_backward(nn_node *y, nn_arena *scratch)
{
    (void)scratch;
    nn_grad_pass(y->in[0], y->grad[0] / (float)nn_rows(y->in[0]), y->keep);
}

/* keeps softmax(p), softmax(z), log softmax(p) and D */
static void soft_shape(nn_node *y)
{
    NN_NEED(y->in[0]->shape.rank == 2
                && nn_shape_same(&y->in[0]->shape, &y->in[1]->shape),
            "soft_xent: wanted two equal shapes of rows");
    scalar_of_one(y);
    y->kept = 3 * nn_count(y->in[0]) + (size_t)nn_rows(y->in[0]);
}

static void soft_forward(nn_node *y, nn_arena *scratch)
{
    const int rows = nn_rows(y->in[0]);
    const size_t cols = (size_t)nn_cols(y->in[0]), all = nn_count(y->in[0]);
    double *part = NN_NEW(scratch, double, rows);
#pragma omp parallel for schedule(static)
    for (int i = 0; i < rows; i++) {
        size_t at = (size_t)i * cols;
        const float *p = y->in[0]->val + at;
        float *l = y->keep + 2 * all + at, *s = y->keep + all + at;
        norm r = softmax_row(cols, p, y->keep + at);
        softmax_row(cols, y->in[1]->val + at, s);
        for (size_t k = 0; k < cols; k++)
            l[k] = p[k] - r.top - r.log_sum;
        float d = -nn_kern_now->dot(cols, s, l);
        y->keep[3 * all + (size_t)i] = d;
        part[i] = d;
    }
    y->val[0] = (float)(nn_tree_sum(part, (size_t)rows) / rows);
}

static void soft_backward(nn_node *y, nn_arena *scratch)
{
    const size_t all = nn_count(y->in[0]), cols = (size_t)nn_cols(y->in[0]);
    const float *q = y->keep, *s = q + all, *l = s + all, *d = l + all;
    float g = y->grad[0] / (float)nn_rows(y->in[0]);
    int add_p, add_z;
    float *dp = nn_grad_into(y->in[0], &add_p), *dz = nn_grad_into(y->in[1], &add_z);
    (void)scratch;
#pragma omp parallel for schedule(static) if (dp && all > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < (dp ? all : 0); i++)
        dp[i] = (add_p ? dp[i] : 0) + g * (q[i] - s[i]);
#pragma omp parallel for schedule(static) if (dz && all > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < (dz ? all : 0); i++)
        dz[i] = (add_z ? dz[i] : 0) + g * s[i] * (-l[i] - d[i / cols]);
}

nn_node *nn_mean(nn_tape *t, nn_node *x)
{
    return nn_record(t, &nn_op_mean, &x, 1, NULL, 0);
}

nn_node *nn_rms(nn_tape *t, nn_node *x)
{
    return nn_record(t, &nn_op_rms, &x, 1, NULL, 0);
}

nn_node *nn_softmax_xent(nn_tape *t, nn_node *logits, const int *label)
{
    return nn_record(t, &nn_op_softmax_xent, &logits, 1, &label, sizeof label);
}

nn_node *nn_soft_xent(nn_tape *t, nn_node *p, nn_node *z)
{
    return nn_record(t, &nn_op_soft_xent, (nn_node *[]){ p, z }, 2, NULL, 0);
}

static nn_node *mean_example(nn_tape *t, nn_node *const *in) { return nn_mean(t, in[0]); }
static nn_node *rms_example(nn_tape *t, nn_node *const *in) { return nn_rms(t, in[0]); }
static nn_node *soft_example(nn_tape *t, nn_node *const *in)
{
    return nn_soft_xent(t, in[0], in[1]);
}

static nn_node *xent_example(nn_tape *t, nn_node *const *in)
{
    static const int label[] = { 2, 0, 4 };
    return nn_softmax_xent(t, in[0], label);
}

const nn_op nn_op_mean = { "mean", scalar_of_one, mean_forward, mean_backward,
    { 1, { { 2, { 3, 5 } } }, mean_example }, 0, NULL };
const nn_op nn_op_rms = { "rms", scalar_of_one, rms_forward, rms_backward,
    { 1, { { 2, { 3, 5 } } }, rms_example }, 0, NULL };
const nn_op nn_op_softmax_xent = { "softmax_xent", xent_shape, xent_forward, xent_backward,
    { 1, { { 2, { 3, 5 } } }, xent_example }, 0, NULL };
const nn_op nn_op_soft_xent = { "soft_xent", soft_shape, soft_forward, soft_backward,
    { 2, { { 2, { 3, 5 } }, { 2, { 3, 5 } } }, soft_example }, 0, NULL };
