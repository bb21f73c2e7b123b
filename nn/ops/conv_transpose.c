/* conv_transpose: a convolution read backwards, y = x *' w (+ bias): every pixel of x
 * spreads a weighted stamp over y.
 *
 *   forward    y(n, i s + u - p, j s + v - p, o) = b_o + sum_{i,j,u,v,c} x(n,i,j,c) w(c,u,v,o)
 *   backward   dx is the convolution of dy;  dw and db as there
 *
 * x (n, h, w, cin), w (cin, kh, kw, cout), b (cout), y (n, oh, ow, cout) with
 * oh = (h - 1) stride - 2 pad + kh; what falls outside is dropped.  PyTorch stores w as
 * (cin, cout, kh, kw).
 *
 * With the parts exchanged this is conv.c: w is the weight of the convolution that makes
 * images like x out of images like y, forward is the data gradient of that convolution,
 * dx its forward. */
#include "nn/base.h"
#include "nn/kern/conv.h"
#include "nn/ops/inner.h"

typedef struct geometry { int stride, pad; } geometry;

/* The convolution from y to x. */
static nn_conv plan(const nn_node *y)
{
    const geometry *g = (const void *)y->attr;
    const int *x = y->in[0]->shape.dim, *w = y->in[1]->shape.dim;
    nn_conv c = { .n = x[0], .cin = w[3], .cout = w[0], .kh = w[1], .kw = w[2],
                  .stride = g->stride, .pad = g->pad };
    c.h = (x[1] - 1) * c.stride - 2 * c.pad + c.kh;
    c.w = (x[2] - 1) * c.stride - 2 * c.pad + c.kw;
    NN_NEED(nn_conv_plan(&c) && c.oh == x[1] && c.ow == x[2],
            "conv_transpose: a kernel of %d x %d, stride %d, makes nothing of %d x %d with "
            "padding %d", c.kh, c.kw, c.stride, x[1], x[2], c.pad);
    return c;
}

static void shape(nn_node *y)
{
    const nn_shape *x = &y->in[0]->shape, *w = &y->in[1]->shape;
    NN_NEED(x->rank == 4 && w->rank == 4 && x->dim[3] == w->dim[0],
            "conv_transpose: images have %d channels, the weight %d", x->dim[3],
            w->dim[0]);
    NN_NEED(y->ins < 3 || nn_count(y->in[2]) == (size_t)w->dim[3],
            "conv_transpose: %zu biases for %d channels", nn_count(y->in[2]), w->dim[3]);
    nn_conv c = plan(y);
    y->shape = nn_shape4(c.n, c.h, c.w, c.cin);
}

static void forward(nn_node *y, nn_arena *scratch)
{
    nn_conv c = plan(y);
    const size_t n = nn_count(y), cols = (size_t)c.cin;

    nn_conv_dgrad(&c, y->in[0]->val, y->in[1]->val, y->val, 0, scratch);
    if (y->ins < 3)
        return;
    const float *bias = y->in[2]->val;
#pragma omp parallel for schedule(static) if (n > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i += cols)
        nn_kern_now->axpy(cols, 1, bias, y->val + i);
}

static void backward(nn_node *y, nn_arena *scratch)
{
    nn_conv c = plan(y);
    nn_node *x = y->in[0];
    int add;
    float *dx = nn_grad_into(x, &add), *dw = nn_grad_zeroed(y->in[1]);
    float *db = y->ins > 2 ? nn_grad_zeroed(y->in[2]) : NULL;

    if (dw)
        nn_conv_wgrad(&c, y->grad, x->val, dw, scratch);
    if (db)
        nn_grad_columns(db, (size_t)nn_rows(y), (size_t)nn_cols(y), y->grad, scratch);
    if (dx && !add)
        nn_conv_forward(&c, y->grad, y->in[1]->val, NULL, dx, scratch);
    if (dx && add) {                    /* a convolution's forward only overwrites */
        float *part = NN_NEW(scratch, float, nn_count(x));
        nn_conv_forward(&c, y->grad, y->in[1]->val, NULL, part, scratch);
        nn_grad_pass(x, 1, part);
    }
}

/* Terms that fall outside of y are counted too, as conv2d counts its padding. */
static double flops(const nn_node *y)
{
    nn_conv c = plan(y);
    return 2.0 * (double)nn_count(y->in[0]) * c.kh * c.kw * c.cin;
}

nn_node *nn_conv_transpose2d(nn_tape *t, nn_node *x, nn_node *weight, nn_node *bias,
                             int stride, int pad)
{
    return nn_record(t, &nn_op_conv_transpose, (nn_node *[]){ x, weight, bias },
                     bias ? 3 : 2, &(geometry){ stride, pad }, sizeof(geometry));
}

static nn_node *example(nn_tape *t, nn_node *const *in)
{
    return nn_conv_transpose2d(t, in[0], in[1], in[2], 2, 1);
}

const nn_op nn_op_conv_transpose = {
    "conv_transpose", shape, forward, backward,
    { 3, { { 4, { 2, 3, 2, 3 } }, { 4, { 3, 4, 4, 4 } }, { 1, { 4 } } }, example },
    0, flops
};
