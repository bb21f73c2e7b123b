#include "nn/jacobian.h"

#include <math.h>
#include <string.h>

#include "nn/base.h"
#include "nn/elem.h"
#include "nn/linalg.h"

/* Copies of x in one batch: enough to fill the products, in the memory of a step of such
 * a batch.  Part of the result, as sums may go other ways in batches of other sizes. */
enum { COPIES = 64 };

/* Rows from .. from + n - 1 of J.  The inner product of y (n, outputs) with a constant
 * that has a one at (i, from + i) picks one output of each copy; its gradient by copy i
 * is that output's row. */
static void some_rows(nn_tape *t, nn_function *f, const void *ctx, nn_shape batch,
                      const float *copies, int outputs, int from, float *j)
{
    int n = batch.dim[0];
    nn_shape flat = nn_shape2(1, n * outputs);
    float *pick = NN_NEW0(t->scratch, float, n * outputs);

    for (int i = 0; i < n; i++)
        pick[i * outputs + from + i] = 1;
    nn_node *x = nn_input(t, batch, copies, 1);
    nn_node *y = f(t, ctx, x);
    NN_NEED(nn_rows(y) == n && nn_cols(y) == outputs,
            "jacobian: %d x %d numbers come out, %d x %d should", nn_rows(y), nn_cols(y),
            n, outputs);
    nn_backward(nn_linear(t, nn_reshape(t, y, flat), nn_input(t, flat, pick, 0), NULL));
    if (x->grad)
        memcpy(j, x->grad, sizeof *j * nn_count(x));
    else                                        /* nothing of y depends on x */
        memset(j, 0, sizeof *j * nn_count(x));
}

void nn_jacobian(nn_tape *t, nn_function *f, const void *ctx, nn_shape one,
                 const float *x, int outputs, float *j)
{
    size_t cols = nn_shape_count(&one), mark = nn_arena_mark(t->scratch);
    float *copies = NN_NEW(t->scratch, float, cols * COPIES);
    nn_mode mode = t->mode;
    int record = t->record;

    NN_NEED(t->count == 0 && one.dim[0] == 1,
            "jacobian: %d nodes are on the tape, and %d inputs are given", t->count,
            one.dim[0]);
    for (size_t i = 0; i < COPIES; i++)
        memcpy(copies + i * cols, x, sizeof *x * cols);
    t->mode = NN_EVAL;
    t->record = 1;
    for (int from = 0; from < outputs; from += COPIES) {
        size_t inner = nn_arena_mark(t->scratch);
        nn_shape batch = one;
        batch.dim[0] = outputs - from < COPIES ? outputs - from : COPIES;
        some_rows(t, f, ctx, batch, copies, outputs, from, j + (size_t)from * cols);
        nn_tape_reset(t);
        nn_arena_rewind(t->scratch, inner);
    }
    t->mode = mode;
    t->record = record;
    nn_arena_rewind(t->scratch, mark);
}

double nn_log_volume(int rows, int cols, const float *j, int *floored, nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch);
    int wide = cols > rows, n = wide ? rows : cols, long_side = wide ? cols : rows;
    int low = 0;
    double *gram = NN_NEW(scratch, double, (size_t)n * (size_t)n);
    double *w = NN_NEW(scratch, double, n), sum = 0;

    if (wide) {                                 /* J' as rows, so that gram = J J' */
        float *turned = NN_NEW(scratch, float, (size_t)rows * (size_t)cols);
        for (size_t i = 0; i < (size_t)rows; i++)
            for (size_t k = 0; k < (size_t)cols; k++)
                turned[k * (size_t)rows + i] = j[i * (size_t)cols + k];
        j = turned;
    }
    nn_gram(long_side, n, j, NULL, 1, gram, scratch);
    int bad = nn_eigen_sym(n, gram, w, NN_VALUES, scratch);
    for (int i = 0; i < n; i++) {
        double s = w[i] > 0 ? sqrt(w[i]) : 0;   /* rounding may leave it below zero */
        low += s < NN_LEAST_STRETCH;
        sum += nn_log(s > NN_LEAST_STRETCH ? s : NN_LEAST_STRETCH);
    }
    if (floored)
        *floored = low;
    nn_arena_rewind(scratch, mark);
    return bad ? NAN : sum;
}
