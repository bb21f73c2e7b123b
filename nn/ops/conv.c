/* conv2d: convolution of NHWC images, y = x * w (+ bias).
 *
 *   forward    y(n,i,j,o)  = b_o + sum_{u,v,c} x(n, i s + u - p, j s + v - p, c) w(o,u,v,c)
 *   backward   dx, dw: the same sum read the other two ways;  db_o += sum_{n,i,j} dy
 *
 * x (n, h, w, cin), w (cout, kh, kw, cin), b (cout), y (n, oh, ow, cout); pixels outside
 * the image count as zero. */
#include "nn/base.h"
#include "nn/kern/conv.h"
#include "nn/ops/inner.h"

typedef struct geometry { int stride, pad; } geometry;

static nn_conv plan(const nn_node *y)
{
    const geometry *g = (const void *)y->attr;
    const int *x = y->in[0]->shape.dim, *w = y->in[1]->shape.dim;
    nn_conv c = { .n = x[0], .h = x[1], .w = x[2], .cin = x[3], .cout = w[0], .kh = w[1],
                  .kw = w[2], .stride = g->stride, .pad = g->pad };
    NN_NEED(nn_conv_plan(&c),
            "conv2d: a kernel of %d x %d does not fit %d x %d with padding %d", c.kh,
            c.kw, c.h, c.w, c.pad);
    return c;
}

static void shape(nn_node *y)
{
    const nn_shape *x = &y->in[0]->shape, *w = &y->in[1]->shape;
    NN_NEED(x->rank == 4 && w->rank == 4 && x->dim[3] == w->dim[3],
            "conv2d: images have %d channels, the weight %d", x->dim[3], w->dim[3]);
    NN_NEED(y->ins < 3 || nn_count(y->in[2]) == (size_t)w->dim[0],
            "conv2d: %zu biases for %d channels", nn_count(y->in[2]), w->dim[0]);
    nn_conv c = plan(y);
    y->shape = nn_shape4(c.n, c.oh, c.ow, c.cout);
}

static void forward(nn_node *y, nn_arena *scratch)
{
    nn_conv c = plan(y);
    nn_conv_forward(&c, y->in[0]->val, y->in[1]->val, y->ins > 2 ? y->in[2]->val : NULL,
                    y->val, scratch);
}

static void backward(nn_node *y, nn_arena *scratch)
{
    nn_conv c = plan(y);
    int add;
    float *dx = nn_grad_into(y->in[0], &add), *dw = nn_grad_zeroed(y->in[1]);
    float *db = y->ins > 2 ? nn_grad_zeroed(y->in[2]) : NULL;

    if (dw)
        nn_conv_wgrad(&c, y->in[0]->val, y->grad, dw, scratch);
    if (db)
        nn_grad_columns(db, (size_t)nn_rows(y), (size_t)nn_cols(y), y->grad, scratch);
    if (dx)
        nn_conv_dgrad(&c, y->grad, y->in[1]->val, dx, add, scratch);
}

/* Terms that fall on the padding are counted too, as the field does. */
static double flops(const nn_node *y)
{
    nn_conv c = plan(y);
    return 2.0 * (double)nn_count(y) * c.kh * c.kw * c.cin;
}

nn_node *nn_conv2d(nn_tape *t, nn_node *x, nn_node *weight, nn_node *bias, int stride,
                   int pad)
{
    return nn_record(t, &nn_op_conv2d, (nn_node *[]){ x, weight, bias }, bias ? 3 : 2,
                     &(geometry){ stride, pad }, sizeof(geometry));
}

static nn_node *example(nn_tape *t, nn_node *const *in)
{
    return nn_conv2d(t, in[0], in[1], in[2], 2, 1);
}

const nn_op nn_op_conv2d = {
    "conv2d", shape, forward, backward,
    { 3, { { 4, { 2, 5, 4, 3 } }, { 4, { 4, 3, 3, 3 } }, { 1, { 4 } } }, example },
    0, flops
};
