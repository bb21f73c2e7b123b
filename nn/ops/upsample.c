/* upsample: every pixel becomes f x f equal ones (nearest neighbour).
 *
 *   forward    y(n,i,j,c) = x(n, i / f, j / f, c)
 *   backward   dx(n,i,j,c) += sum_{u,v < f} dy(n, f i + u, f j + v, c), row by row
 *
 * Jobs are rows of x, over all images: no two touch the same pixel. */
#include <string.h>

#include "nn/base.h"
#include "nn/ops/inner.h"

static int factor(const nn_node *y)
{
    return *(const int *)(const void *)y->attr;
}

static void shape(nn_node *y)
{
    const int *x = y->in[0]->shape.dim, f = factor(y);
    NN_NEED(y->in[0]->shape.rank == 4 && f > 0,
            "upsample: wanted images and a factor of 1 or more, got %d", f);
    y->shape = nn_shape4(x[0], f * x[1], f * x[2], x[3]);
}

static void forward(nn_node *y, nn_arena *scratch)
{
    const int *in = y->in[0]->shape.dim;
    const size_t f = (size_t)factor(y), wide = (size_t)in[2], c = (size_t)in[3];
    const size_t rows = (size_t)in[0] * (size_t)in[1], out = f * wide * c;
    (void)scratch;
#pragma omp parallel for schedule(static) if (nn_count(y) > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < rows; i++) {
        const float *x = y->in[0]->val + i * wide * c;
        float *first = y->val + i * f * out;
        for (size_t j = 0; j < f * wide; j++)
            memcpy(first + j * c, x + j / f * c, sizeof(float) * c);
        for (size_t u = 1; u < f; u++)
            memcpy(first + u * out, first, sizeof(float) * out);
    }
}

static void backward(nn_node *y, nn_arena *scratch)
{
    float *dx = nn_grad_zeroed(y->in[0]);
    const int *in = y->in[0]->shape.dim;
    const size_t f = (size_t)factor(y), wide = (size_t)in[2], c = (size_t)in[3];
    const size_t rows = (size_t)in[0] * (size_t)in[1], out = f * wide * c;
    (void)scratch;
    if (!dx)
        return;
#pragma omp parallel for schedule(static) if (nn_count(y) > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < rows; i++) {
        float *d = dx + i * wide * c;
        const float *dy = y->grad + i * f * out;
        for (size_t u = 0; u < f; u++)
            for (size_t j = 0; j < f * wide; j++, dy += c)
                nn_kern_now->axpy(c, 1, dy, d + j / f * c);
    }
}

nn_node *nn_upsample(nn_tape *t, nn_node *x, int f)
{
    return nn_record(t, &nn_op_upsample, &x, 1, &f, sizeof f);
}

static nn_node *example(nn_tape *t, nn_node *const *in)
{
    return nn_upsample(t, in[0], 3);
}

const nn_op nn_op_upsample = { "upsample", shape, forward, backward,
    { 1, { { 4, { 2, 3, 2, 2 } } }, example }, 0, NULL };
