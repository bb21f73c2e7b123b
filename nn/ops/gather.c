/* gather: rows of a table by their number, the codes of a quantiser.
 *
 *   forward    y_i = T[k_i]                  T (K, d), k_i in 0 .. K-1
 *   backward   dT_j += sum of dy_i over the i with k_i = j
 *
 * A row that nobody asked for gets no gradient: in a codebook of its own (VQ-VAE) such a
 * code never moves again.  Each row's sum is made by one thread in order of i, in double
 * (nn/kern/members.h), so that rows asked for a thousand times lose no digits. */
#include <string.h>

#include "nn/base.h"
#include "nn/kern/members.h"
#include "nn/ops/inner.h"

typedef struct gather { const int *index; int n; } gather;

static gather setting_of(const nn_node *y)
{
    gather g;
    memcpy(&g, y->attr, sizeof g);
    return g;
}

static void shape(nn_node *y)
{
    const gather g = setting_of(y);
    NN_NEED(y->in[0]->shape.rank == 2 && nn_rows(y->in[0]) > 0 && g.n > 0,
            "gather: wanted a table of rows and a number of indices, got %d", g.n);
    y->shape = nn_shape2(g.n, nn_cols(y->in[0]));
}

static void forward(nn_node *y, nn_arena *scratch)
{
    const size_t n = (size_t)nn_rows(y), d = (size_t)nn_cols(y);
    const int codes = nn_rows(y->in[0]), *index = setting_of(y).index;
    const float *table = y->in[0]->val;
    (void)scratch;
#pragma omp parallel for schedule(static) if (n * d > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++) {
        NN_NEED(index[i] >= 0 && index[i] < codes, "gather: row %d of %d", index[i],
                codes);
        memcpy(y->val + i * d, table + (size_t)index[i] * d, sizeof(float) * d);
    }
}

static void backward(nn_node *y, nn_arena *scratch)
{
    nn_node *table = y->in[0];
    int add;
    float *dt = nn_grad_into(table, &add);
    if (!dt)
        return;
    nn_members m = nn_code_members((size_t)nn_rows(y), (size_t)nn_rows(table),
                                   setting_of(y).index, scratch);
    nn_code_sums(&m, (size_t)nn_cols(y), y->grad, add, dt, scratch);
}

nn_node *nn_gather(nn_tape *t, nn_node *table, const int *index, int n)
{
    const gather g = { index, n };
    return nn_record(t, &nn_op_gather, &table, 1, &g, sizeof g);
}

static nn_node *example(nn_tape *t, nn_node *const *in)
{
    static const int index[] = { 3, 0, 3, 1, 3 };
    return nn_gather(t, in[0], index, NN_COUNT(index));
}

const nn_op nn_op_gather = { "gather", shape, forward, backward,
    { 1, { { 2, { 4, 3 } } }, example }, 0, NULL };
