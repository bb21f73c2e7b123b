/* maxpool, avgpool, globalpool: fewer pixels, same channels.
 *
 *   maxpool      y = max over a size x size window (padding never wins); dy goes to the
 *                pixel that won, the first of equals
 *   avgpool      y = sum over the window / size^2: padding counts as zero pixels, as
 *                PyTorch does by default (count_include_pad)
 *   globalpool   y(n,c) = mean over h, w
 *
 * Jobs are images: no two write the same gradient. */
#include <string.h>

#include "nn/base.h"
#include "nn/ops/inner.h"

typedef struct window { int size, stride, pad; } window;
typedef struct span { int from, to; } span;

static const window *of(const nn_node *y)
{
    return (const void *)y->attr;
}

/* The part of output position i's window that lies inside the image. */
static span inside(const window *w, int i, int limit)
{
    int from = i * w->stride - w->pad, to = from + w->size;
    return (span){ from < 0 ? 0 : from, to > limit ? limit : to };
}

static void shape_window(nn_node *y)
{
    const window *w = of(y);
    const int *x = y->in[0]->shape.dim;
    NN_NEED(y->in[0]->shape.rank == 4 && w->size > 0 && w->stride > 0
                && 2 * w->pad <= w->size && x[1] + 2 * w->pad >= w->size
                && x[2] + 2 * w->pad >= w->size,
            "%s: a window of %d with padding %d does not fit %d x %d", y->op->name,
            w->size, w->pad, x[1], x[2]);
    y->shape = nn_shape4(x[0], (x[1] + 2 * w->pad - w->size) / w->stride + 1,
                         (x[2] + 2 * w->pad - w->size) / w->stride + 1, x[3]);
}

static void shape_max(nn_node *y)
{
    shape_window(y);
    y->kept = nn_count(y);              /* the winner's number in its window */
}

/* The window of output pixel (i, j) in an image of x, whose first pixel is *at floats in. */
static nn_window window_at(const nn_node *y, int i, int j, size_t *at)
{
    const int *in = y->in[0]->shape.dim;
    const span v = inside(of(y), i, in[1]), h = inside(of(y), j, in[2]);
    *at = ((size_t)v.from * (size_t)in[2] + (size_t)h.from) * (size_t)in[3];
    return (nn_window){ (size_t)(v.to - v.from), (size_t)(h.to - h.from),
                        (size_t)in[2] * (size_t)in[3] };
}

static void max_forward(nn_node *y, nn_arena *scratch)
{
    const int *in = y->in[0]->shape.dim, *out = y->shape.dim;
    const size_t c = (size_t)in[3], image = (size_t)in[1] * (size_t)in[2] * c;
    const size_t pooled = (size_t)out[1] * (size_t)out[2] * c;
    (void)scratch;
#pragma omp parallel for schedule(static)
    for (int n = 0; n < in[0]; n++) {
        const float *x = y->in[0]->val + (size_t)n * image;
        size_t to = (size_t)n * pooled, at;
        for (int i = 0; i < out[1]; i++)
            for (int j = 0; j < out[2]; j++, to += c) {
                nn_window w = window_at(y, i, j, &at);
                nn_kern_now->win_max(&w, c, x + at, y->val + to, y->keep + to);
            }
    }
}

static void max_backward(nn_node *y, nn_arena *scratch)
{
    float *dx = nn_grad_zeroed(y->in[0]);
    const int *in = y->in[0]->shape.dim, *out = y->shape.dim;
    const size_t c = (size_t)in[3], image = (size_t)in[1] * (size_t)in[2] * c;
    const size_t pooled = (size_t)out[1] * (size_t)out[2] * c;
    (void)scratch;
    if (!dx)
        return;
#pragma omp parallel for schedule(static)
    for (int n = 0; n < in[0]; n++) {
        float *d = dx + (size_t)n * image;
        size_t from = (size_t)n * pooled, at;
        for (int i = 0; i < out[1]; i++)
            for (int j = 0; j < out[2]; j++, from += c) {
                nn_window w = window_at(y, i, j, &at);
                nn_kern_now->win_give(&w, c, y->keep + from, y->grad + from, d + at);
            }
    }
}

static void avg_forward(nn_node *y, nn_arena *scratch)
{
    const int *in = y->in[0]->shape.dim, *out = y->shape.dim, c = in[3];
    const size_t image = (size_t)in[1] * (size_t)in[2] * (size_t)c;
    const size_t pooled = (size_t)out[1] * (size_t)out[2] * (size_t)c;
    const float area = (float)(of(y)->size * of(y)->size);
    (void)scratch;
#pragma omp parallel for schedule(static)
    for (int n = 0; n < in[0]; n++) {
        const float *x = y->in[0]->val + (size_t)n * image;
        float *sum = y->val + (size_t)n * pooled;
        for (int i = 0; i < out[1]; i++)
            for (int j = 0; j < out[2]; j++, sum += c) {
                span v = inside(of(y), i, in[1]), h = inside(of(y), j, in[2]);
                for (int k = 0; k < c; k++)
                    sum[k] = 0;
                for (int p = v.from; p < v.to; p++)
                    for (int q = h.from; q < h.to; q++)
                        for (int k = 0; k < c; k++)
                            sum[k] += x[(p * in[2] + q) * c + k];
                for (int k = 0; k < c; k++)
                    sum[k] /= area;
            }
    }
}

static void avg_backward(nn_node *y, nn_arena *scratch)
{
    float *dx = nn_grad_zeroed(y->in[0]);
    const int *in = y->in[0]->shape.dim, *out = y->shape.dim, c = in[3];
    const size_t image = (size_t)in[1] * (size_t)in[2] * (size_t)c;
    const size_t pooled = (size_t)out[1] * (size_t)out[2] * (size_t)c;
    const float area = (float)(of(y)->size * of(y)->size);
    (void)scratch;
    if (!dx)
        return;
#pragma omp parallel for schedule(static)
    for (int n = 0; n < in[0]; n++) {
        float *d = dx + (size_t)n * image;
        const float *dy = y->grad + (size_t)n * pooled;
        for (int i = 0; i < out[1]; i++)
            for (int j = 0; j < out[2]; j++, dy += c) {
                span v = inside(of(y), i, in[1]), h = inside(of(y), j, in[2]);
                for (int p = v.from; p < v.to; p++)
                    for (int q = h.from; q < h.to; q++)
                        for (int k = 0; k < c; k++)
                            d[(p * in[2] + q) * c + k] += dy[k] / area;
            }
    }
}

static void shape_global(nn_node *y)
{
    NN_NEED(y->in[0]->shape.rank == 4, "globalpool: rank %d, wanted images",
            y->in[0]->shape.rank);
    y->shape = nn_shape2(y->in[0]->shape.dim[0], y->in[0]->shape.dim[3]);
}

static void global_forward(nn_node *y, nn_arena *scratch)
{
    const int *in = y->in[0]->shape.dim, c = in[3];
    const size_t pixels = (size_t)in[1] * (size_t)in[2];
    (void)scratch;
#pragma omp parallel for schedule(static)
    for (int n = 0; n < in[0]; n++) {
        float *mean = y->val + (size_t)n * (size_t)c;
        nn_kern_now->col_sum(pixels, (size_t)c,
                             y->in[0]->val + (size_t)n * pixels * (size_t)c, mean);
        for (int k = 0; k < c; k++)
            mean[k] /= (float)pixels;
    }
}

static void global_backward(nn_node *y, nn_arena *scratch)
{
    int add;
    float *dx = nn_grad_into(y->in[0], &add);
    const int *in = y->in[0]->shape.dim;
    const size_t c = (size_t)in[3], pixels = (size_t)in[1] * (size_t)in[2];
    if (!dx)
        return;
    float *share = NN_NEW(scratch, float, nn_count(y));
    for (size_t i = 0; i < nn_count(y); i++)
        share[i] = y->grad[i] / (float)pixels;
#pragma omp parallel for schedule(static)
    for (int n = 0; n < in[0]; n++) {
        const float *g = share + (size_t)n * c;
        float *d = dx + (size_t)n * pixels * c;
        for (size_t p = 0; p < pixels; p++, d += c)
            if (add)
                nn_kern_now->axpy(c, 1, g, d);
            else
                memcpy(d, g, c * sizeof *d);
    }
}

nn_node *nn_maxpool(nn_tape *t, nn_node *x, int size, int stride, int pad)
{
    return nn_record(t, &nn_op_maxpool, &x, 1, &(window){ size, stride, pad },
                     sizeof(window));
}

nn_node *nn_avgpool(nn_tape *t, nn_node *x, int size, int stride, int pad)
{
    return nn_record(t, &nn_op_avgpool, &x, 1, &(window){ size, stride, pad },
                     sizeof(window));
}

nn_node *nn_globalpool(nn_tape *t, nn_node *x)
{
    return nn_record(t, &nn_op_globalpool, &x, 1, NULL, 0);
}

static nn_node *max_example(nn_tape *t, nn_node *const *in)
{
    return nn_maxpool(t, in[0], 3, 2, 1);
}

static nn_node *avg_example(nn_tape *t, nn_node *const *in)
{
    return nn_avgpool(t, in[0], 3, 2, 1);
}

static nn_node *global_example(nn_tape *t, nn_node *const *in)
{
    return nn_globalpool(t, in[0]);
}

const nn_op nn_op_maxpool = { "maxpool", shape_max, max_forward, max_backward,
    { 1, { { 4, { 2, 5, 6, 3 } } }, max_example }, 0, NULL };
const nn_op nn_op_avgpool = { "avgpool", shape_window, avg_forward, avg_backward,
    { 1, { { 4, { 2, 5, 6, 3 } } }, avg_example }, 0, NULL };
const nn_op nn_op_globalpool = { "globalpool", shape_global, global_forward, global_backward,
    { 1, { { 4, { 2, 3, 4, 5 } } }, global_example }, 0, NULL };
