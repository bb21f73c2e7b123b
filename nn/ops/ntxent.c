/* ntxent: the loss of SimCLR, a cross-entropy that asks each row of E (2N, d) to find its
 * other view among all rows ("A Simple Framework for Contrastive Learning of Visual
 * Representations", Chen et al., 2020; spec 6.1).  Rows i and i + N are two views of one
 * image.  With S = E E' / tau:
 *
 *   l_i = -S_i,pos(i) + ln sum_(m != i) exp(S_im)           L = mean_i l_i
 *   backward   G_im = P_im - [m = pos(i)],  P_i = softmax of S_i without its column i
 *              dE += dL / (2N tau) (G + G') E
 *
 * The denominator holds the positive and leaves out nothing but i itself.  The paper
 * takes rows of length one; that is the caller's part (nn_unitrow).  Each row's maximum
 * is taken off before exp.  All rows equal: L = ln(2N - 1). */
#include <math.h>

#include "nn/base.h"
#include "nn/kern/gemm.h"
#include "nn/ops/inner.h"

static float tau_of(const nn_node *y)
{
    return *(const float *)(const void *)y->attr;
}

/* keeps G */
static void shape(nn_node *y)
{
    const int rows = nn_rows(y->in[0]);
    NN_NEED(y->in[0]->shape.rank == 2 && rows > 0 && rows % 2 == 0 && tau_of(y) > 0,
            "ntxent: wanted two views of as many rows and tau > 0, got %d rows, tau %g",
            rows, (double)tau_of(y));
    y->shape = nn_shape1(1);
    y->kept = (size_t)rows * (size_t)rows;
}

static void forward(nn_node *y, nn_arena *scratch)
{
    const size_t m = (size_t)nn_rows(y->in[0]), d = (size_t)nn_cols(y->in[0]);
    const float tau = tau_of(y);
    double *part = NN_NEW(scratch, double, m);

    nn_syrk(m, d, (nn_mat){ y->in[0]->val, d, 1 }, y->keep, m, 0, scratch);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < m; i++) {
        const size_t pos = (i + m / 2) % m;
        float *s = y->keep + i * m, top, log_sum;
        for (size_t j = 0; j < m; j++)
            s[j] /= tau;
        s[i] = -INFINITY;                       /* its share becomes exp(-inf) = 0 */
        const float positive = s[pos], sum = nn_kern_now->softmax(m, s, s, &top);
        nn_kern_now->log(1, &sum, &log_sum);
        part[i] = log_sum - (positive - top);   /* positive - top is exact or small */
        s[pos] -= 1;
    }
    y->val[0] = (float)(nn_tree_sum(part, m) / (double)m);
}

/* G <- f (G + G').  The pair (i, j) belongs to the larger of the two. */
static void symmetrise(size_t m, float f, float *g)
{
#pragma omp parallel for schedule(dynamic, 16)
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j <= i; j++)
            g[i * m + j] = g[j * m + i] = f * (g[i * m + j] + g[j * m + i]);
}

static void backward(nn_node *y, nn_arena *scratch)
{
    nn_node *e = y->in[0];
    const size_t m = (size_t)nn_rows(e), d = (size_t)nn_cols(e);
    nn_epilogue to = {0};
    float *de = nn_grad_into(e, &to.add);
    if (!de)
        return;
    symmetrise(m, y->grad[0] / ((float)m * tau_of(y)), y->keep);
    nn_gemm(m, d, m, (nn_mat){ y->keep, m, 1 }, (nn_mat){ e->val, d, 1 }, de, d, &to,
            scratch);
}

nn_node *nn_ntxent(nn_tape *t, nn_node *e, float tau)
{
    return nn_record(t, &nn_op_ntxent, &e, 1, &tau, sizeof tau);
}

static nn_node *example(nn_tape *t, nn_node *const *in)
{
    return nn_ntxent(t, in[0], 0.5f);
}

const nn_op nn_op_ntxent = { "ntxent", shape, forward, backward,
    { 1, { { 2, { 6, 5 } } }, example }, 0, NULL };
