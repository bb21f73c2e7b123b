/* fsq: a few levels in every column, and no codebook that could collapse ("Finite Scalar
 * Quantization: VQ-VAE Made Simple", Mentzer, Minnen, Agustsson, Tschannen, 2023).
 *
 *   h = (L - 1)(1 + 1e-3) / 2       o = 1/2 if L is even, else 0      s = atanh(o / h)
 *   t = tanh(z + s)      u = round(t h - o)      y = u / floor(L / 2)      L by column
 *   dz += dy h (1 - t^2) / floor(L / 2)
 *
 * u is one of the L integers from -floor(L / 2) on; of two that are equally near the even
 * one is taken.  The gradient is that of y without the rounding.  s puts z = 0 on u = 0.
 * With two levels that would hold a wide band of z on one of them: 2 is refused, nn_sign
 * has two levels.  From 1001 levels on the 1e-3 would make room for two more. */
#include <math.h>
#include <string.h>

#include "nn/base.h"
#include "nn/elem.h"
#include "nn/ops/inner.h"

enum { FEWEST = 3 };

typedef struct column { double h, o, s; float half; } column;

static column column_of(int levels)
{
    column c = { .h = (levels - 1) * (1 + 1e-3) / 2, .o = levels % 2 ? 0 : 0.5,
                 .half = (float)(levels / 2) };
    const double x = c.o / c.h;
    c.s = nn_log((1 + x) / (1 - x)) / 2;
    return c;
}

/* keeps dy/dz */
static void shape(nn_node *y)
{
    const int *levels = (const int *)(const void *)y->attr;
    for (int j = 0; j < nn_cols(y->in[0]); j++)
        NN_NEED(levels[j] >= FEWEST && levels[j] <= NN_FSQ_LEVELS,
                "fsq: %d levels in column %d, wanted %d to %d", levels[j], j, FEWEST,
                NN_FSQ_LEVELS);
    y->shape = y->in[0]->shape;
    y->kept = nn_count(y);
}

static void forward(nn_node *y, nn_arena *scratch)
{
    const int *levels = (const int *)(const void *)y->attr;
    const size_t n = (size_t)nn_rows(y), d = (size_t)nn_cols(y);
    const float *z = y->in[0]->val;
    column *of = NN_NEW(scratch, column, d);
    for (size_t j = 0; j < d; j++)
        of[j] = column_of(levels[j]);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++) {
            const column *c = &of[j];
            const double t = nn_tanh((double)z[i * d + j] + c->s);
            const double u = rint(t * c->h - c->o) + 0.0;       /* -0 becomes 0 */
            y->val[i * d + j] = (float)u / c->half;
            y->keep[i * d + j] = (float)(c->h * (1 - t) * (1 + t)) / c->half;
        }
}

static void backward(nn_node *y, nn_arena *scratch)
{
    const size_t n = nn_count(y);
    int add;
    float *dz = nn_grad_into(y->in[0], &add);
    (void)scratch;
    if (!dz)
        return;
#pragma omp parallel for schedule(static) if (n > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++) {
        const float g = y->grad[i] * y->keep[i];
        dz[i] = add ? dz[i] + g : g;
    }
}

nn_node *nn_fsq(nn_tape *t, nn_node *z, const int *levels)
{
    const int cols = nn_cols(z);
    NN_NEED(z->shape.rank == 2 && cols > 0 && cols <= NN_FSQ_MOST,
            "fsq: wanted rows of 1 to %d columns, got %d", NN_FSQ_MOST, cols);
    return nn_record(t, &nn_op_fsq, &z, 1, levels, sizeof *levels * (size_t)cols);
}

static nn_node *example(nn_tape *t, nn_node *const *in)
{
    static const int levels[] = { 8, 5, 4 };
    return nn_fsq(t, in[0], levels);
}

const nn_op nn_op_fsq = { "fsq", shape, forward, backward,
    { 1, { { 2, { 3, 3 } } }, example }, NN_SURROGATE, NULL };
