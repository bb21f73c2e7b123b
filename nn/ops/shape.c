/* stopgrad, reshape, concat, concat_cols, slice_cols: values move, or only their names do.
 *
 *   stopgrad      y = x, and nothing comes back: what SimSiam's targets stand on
 *   reshape       y = x under another shape; dx += dy
 *   concat        rows of all inputs one after the other; each gets its part of dy
 *   concat_cols   columns side by side
 *   slice_cols    some columns next to each other, taken out */
#include <string.h>

#include "nn/base.h"
#include "nn/ops/inner.h"

static void borrow(nn_node *y)
{
    y->shared = 1;
}

static void stop_shape(nn_node *y)
{
    y->shape = y->in[0]->shape;
    borrow(y);
}

static void borrow_forward(nn_node *y, nn_arena *scratch)
{
    (void)scratch;
    y->val = y->in[0]->val;
}

static void stop_backward(nn_node *y, nn_arena *scratch)
{
    (void)y;
    (void)scratch;
}

static void reshape_shape(nn_node *y)
{
    memcpy(&y->shape, y->attr, sizeof y->shape);
    char a[64], b[64];
    NN_NEED(nn_count(y) == nn_count(y->in[0]), "reshape: %s into %s",
            nn_shape_text(&y->in[0]->shape, a, sizeof a),
            nn_shape_text(&y->shape, b, sizeof b));
    borrow(y);
}

static void pass_backward(nn_node *y, nn_arena *scratch)
{
    (void)scratch;
    nn_grad_pass(y->in[0], 1, y->grad);
}

static void concat_shape(nn_node *y)
{
    y->shape = y->in[0]->shape;
    for (int i = 1; i < y->ins; i++) {
        NN_NEED(y->in[i]->shape.rank == y->shape.rank
                && memcmp(y->in[i]->shape.dim + 1, y->shape.dim + 1,
                          sizeof(int) * (size_t)(y->shape.rank - 1)) == 0,
                "concat: input %d differs in more than its rows", i);
        y->shape.dim[0] += y->in[i]->shape.dim[0];
    }
}

static void concat_forward(nn_node *y, nn_arena *scratch)
{
    float *out = y->val;
    (void)scratch;
    for (int i = 0; i < y->ins; out += nn_count(y->in[i]), i++)
        memcpy(out, y->in[i]->val, sizeof(float) * nn_count(y->in[i]));
}

static void concat_backward(nn_node *y, nn_arena *scratch)
{
    const float *dy = y->grad;
    (void)scratch;
    for (int i = 0; i < y->ins; dy += nn_count(y->in[i]), i++)
        nn_grad_pass(y->in[i], 1, dy);
}

static void cols_shape(nn_node *y)
{
    int cols = 0;
    for (int i = 0; i < y->ins; i++) {
        NN_NEED(y->in[i]->shape.rank == 2 && nn_rows(y->in[i]) == nn_rows(y->in[0]),
                "concat_cols: input %d has %d rows, wanted %d", i, nn_rows(y->in[i]),
                nn_rows(y->in[0]));
        cols += nn_cols(y->in[i]);
    }
    y->shape = nn_shape2(nn_rows(y->in[0]), cols);
}

static void cols_forward(nn_node *y, nn_arena *scratch)
{
    size_t rows = (size_t)nn_rows(y), cols = (size_t)nn_cols(y), from = 0;
    (void)scratch;
    for (int i = 0; i < y->ins; i++) {
        size_t c = (size_t)nn_cols(y->in[i]);
        for (size_t r = 0; r < rows; r++)
            memcpy(y->val + r * cols + from, y->in[i]->val + r * c, sizeof(float) * c);
        from += c;
    }
}

static void cols_backward(nn_node *y, nn_arena *scratch)
{
    size_t rows = (size_t)nn_rows(y), cols = (size_t)nn_cols(y), from = 0;
    (void)scratch;
    for (int i = 0; i < y->ins; i++) {
        size_t c = (size_t)nn_cols(y->in[i]);
        float *dx = nn_grad_zeroed(y->in[i]);
        for (size_t r = 0; dx && r < rows; r++)
            for (size_t j = 0; j < c; j++)
                dx[r * c + j] += y->grad[r * cols + from + j];
        from += c;
    }
}

typedef struct slice { int from, count; } slice;

static slice slice_of(const nn_node *y)
{
    slice s;
    memcpy(&s, y->attr, sizeof s);
    return s;
}

static void slice_shape(nn_node *y)
{
    const slice s = slice_of(y);
    NN_NEED(y->in[0]->shape.rank == 2 && s.from >= 0 && s.count > 0
                && s.from + s.count <= nn_cols(y->in[0]),
            "slice_cols: columns %d to %d of %d", s.from, s.from + s.count,
            nn_cols(y->in[0]));
    y->shape = nn_shape2(nn_rows(y->in[0]), s.count);
}

static void slice_forward(nn_node *y, nn_arena *scratch)
{
    const size_t rows = (size_t)nn_rows(y), cols = (size_t)nn_cols(y->in[0]);
    const slice s = slice_of(y);
    const size_t from = (size_t)s.from, count = (size_t)s.count;
    (void)scratch;
    for (size_t r = 0; r < rows; r++)
        memcpy(y->val + r * count, y->in[0]->val + r * cols + from, sizeof(float) * count);
}

static void slice_backward(nn_node *y, nn_arena *scratch)
{
    const size_t rows = (size_t)nn_rows(y), cols = (size_t)nn_cols(y->in[0]);
    const slice s = slice_of(y);
    const size_t from = (size_t)s.from, count = (size_t)s.count;
    float *dx = nn_grad_zeroed(y->in[0]);
    (void)scratch;
    for (size_t r = 0; dx && r < rows; r++)
        for (size_t j = 0; j < count; j++)
            dx[r * cols + from + j] += y->grad[r * count + j];
}

nn_node *nn_stopgrad(nn_tape *t, nn_node *x)
{
    return nn_record(t, &nn_op_stopgrad, &x, 1, NULL, 0);
}

nn_node *nn_reshape(nn_tape *t, nn_node *x, nn_shape to)
{
    return nn_record(t, &nn_op_reshape, &x, 1, &to, sizeof to);
}

nn_node *nn_concat(nn_tape *t, nn_node *const *x, int count)
{
    return nn_record(t, &nn_op_concat, x, count, NULL, 0);
}

nn_node *nn_concat_cols(nn_tape *t, nn_node *const *x, int count)
{
    return nn_record(t, &nn_op_concat_cols, x, count, NULL, 0);
}

nn_node *nn_slice_cols(nn_tape *t, nn_node *x, int from, int count)
{
    const slice s = { from, count };
    return nn_record(t, &nn_op_slice_cols, &x, 1, &s, sizeof s);
}

static nn_node *stop_example(nn_tape *t, nn_node *const *in)
{
    return nn_stopgrad(t, in[0]);
}
static nn_node *concat_example(nn_tape *t, nn_node *const *in)
{
    return nn_concat(t, in, 2);
}
static nn_node *cols_example(nn_tape *t, nn_node *const *in)
{
    return nn_concat_cols(t, in, 2);
}
static nn_node *slice_example(nn_tape *t, nn_node *const *in)
{
    return nn_slice_cols(t, in[0], 1, 2);
}
static nn_node *reshape_example(nn_tape *t, nn_node *const *in)
{
    return nn_reshape(t, in[0], nn_shape2(2, 12));
}

const nn_op nn_op_stopgrad = { "stopgrad", stop_shape, borrow_forward, stop_backward,
    { 1, { { 2, { 3, 4 } } }, stop_example }, NN_NO_GRADIENT, NULL };
const nn_op nn_op_reshape = { "reshape", reshape_shape, borrow_forward, pass_backward,
    { 1, { { 4, { 2, 2, 2, 3 } } }, reshape_example }, 0, NULL };
const nn_op nn_op_concat = { "concat", concat_shape, concat_forward, concat_backward,
    { 2, { { 2, { 3, 4 } }, { 2, { 2, 4 } } }, concat_example }, 0, NULL };
const nn_op nn_op_concat_cols = { "concat_cols", cols_shape, cols_forward, cols_backward,
    { 2, { { 2, { 3, 4 } }, { 2, { 3, 2 } } }, cols_example }, 0, NULL };
const nn_op nn_op_slice_cols = { "slice_cols", slice_shape, slice_forward, slice_backward,
    { 1, { { 2, { 3, 4 } } }, slice_example }, 0, NULL };
