/* linear: y = x W' + b, one row per sample.
 *
 *   forward    y_ij = b_j + sum_k x_ik W_jk
 *   backward   dx = dy W       dW += dy' x       db_j += sum_i dy_ij
 *
 * x (N, in), W (out, in), b (out), y (N, out). */
#include "nn/base.h"
#include "nn/kern/gemm.h"
#include "nn/ops/inner.h"

static nn_mat plain(const float *p, int cols)
{
    return (nn_mat){ p, (size_t)cols, 1 };
}

static nn_mat turned(const float *p, int cols)
{
    return (nn_mat){ p, 1, (size_t)cols };
}

static void shape(nn_node *y)
{
    const nn_shape *x = &y->in[0]->shape, *w = &y->in[1]->shape;
    NN_NEED(x->rank == 2 && w->rank == 2 && x->dim[1] == w->dim[1],
            "linear: rows have %d numbers, the weight takes %d", x->dim[1], w->dim[1]);
    NN_NEED(y->ins < 3 || nn_count(y->in[2]) == (size_t)w->dim[0],
            "linear: %zu biases for %d outputs", nn_count(y->in[2]), w->dim[0]);
    y->shape = nn_shape2(x->dim[0], w->dim[0]);
}

static void forward(nn_node *y, nn_arena *scratch)
{
    int n = nn_rows(y), out = nn_cols(y), in = nn_cols(y->in[0]);
    nn_epilogue e = { .bias = y->ins > 2 ? y->in[2]->val : NULL };
    nn_gemm((size_t)n, (size_t)out, (size_t)in, plain(y->in[0]->val, in),
            turned(y->in[1]->val, in), y->val, (size_t)out, &e, scratch);
}

static void backward(nn_node *y, nn_arena *scratch)
{
    int n = nn_rows(y), out = nn_cols(y), in = nn_cols(y->in[0]), add, add_w;
    float *dx = nn_grad_into(y->in[0], &add), *dw = nn_grad_into(y->in[1], &add_w);
    float *db = y->ins > 2 ? nn_grad_zeroed(y->in[2]) : NULL;

    if (dx)
        nn_gemm((size_t)n, (size_t)in, (size_t)out, plain(y->grad, out),
                plain(y->in[1]->val, in), dx, (size_t)in, &(nn_epilogue){ .add = add },
                scratch);
    if (dw)
        nn_gemm((size_t)out, (size_t)in, (size_t)n, turned(y->grad, out),
                plain(y->in[0]->val, in), dw, (size_t)in, &(nn_epilogue){ .add = add_w },
                scratch);
    if (db)
        nn_grad_columns(db, (size_t)n, (size_t)out, y->grad, scratch);
}

static double flops(const nn_node *y)
{
    return 2.0 * (double)nn_count(y) * nn_cols(y->in[0]);
}

nn_node *nn_linear(nn_tape *t, nn_node *x, nn_node *weight, nn_node *bias)
{
    return nn_record(t, &nn_op_linear, (nn_node *[]){ x, weight, bias }, bias ? 3 : 2,
                     NULL, 0);
}

static nn_node *example(nn_tape *t, nn_node *const *in)
{
    return nn_linear(t, in[0], in[1], in[2]);
}

const nn_op nn_op_linear = {
    "linear", shape, forward, backward,
    { 3, { { 2, { 5, 7 } }, { 2, { 3, 7 } }, { 1, { 3 } } }, example },
    0, flops
};
