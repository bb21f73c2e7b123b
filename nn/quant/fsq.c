/* fsq: "Finite Scalar Quantization: VQ-VAE Made Simple", Mentzer et al., 2023.  The paper
 * was not read for this project: spec 10.
 *
 * No codebook, no auxiliary loss: each of a few columns is squashed and rounded to one of
 * L_d levels (nn/ops/fsq.c).  The code is the point of the grid:
 *
 *   index = sum_d (u_d + floor(L_d / 2)) prod_(j < d) L_j        zq_d = u_d / floor(L_d / 2)
 *
 * so all prod L_d codes lie within reach of every vector, and none can die. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/base.h"
#include "nn/quant/quant.h"

typedef struct fsq_config {
    nn_quant_common common;
    const char *levels;
} fsq_config;

static const nn_setting settings[] = {
    NN_QUANT_ROWS,
    NN_SET_T(fsq_config, levels, "8 6 5",
             "levels of each column: 8 6 5 are 240 codes; 5 and more of each work best"),
    NN_SET_END
};

typedef struct fsq { int columns, level[NN_FSQ_MOST]; } fsq;

/* "8 6 5", "8,6,5" or "[8, 6, 5]"; columns 0: not such a list. */
static fsq parse(const char *text)
{
    fsq f = { 0 };

    for (const char *p = text; *p; ) {
        char *end;
        p += strspn(p, " ,[]");
        if (!*p)
            break;
        long level = strtol(p, &end, 10);
        if (end == p || level < 3 || level > NN_FSQ_LEVELS
            || f.columns == NN_FSQ_MOST)
            return (fsq){ 0 };
        f.level[f.columns++] = (int)level;
        p = end;
    }
    return f;
}

static int codes(const void *config)
{
    const fsq_config *c = config;
    const fsq f = parse(c->levels);
    long k = f.columns > 0;

    for (int i = 0; i < f.columns && k < 1 << 24; i++)
        k *= f.level[i];
    return k < 1 << 24 ? (int)k : 0;
}

static int columns(const void *config)
{
    const fsq_config *c = config;
    return parse(c->levels).columns;
}

static const char *wrong(const void *config)
{
    return codes(config) ? NULL
                         : "levels wants 1 to 16 numbers of 3 to 255 with a product "
                           "below 2^24, like '8 6 5'";
}

static void *build(nn_store *s, const char *name, const void *config, int d)
{
    const fsq_config *c = config;
    fsq *f = NN_NEW(s->arena, fsq, 1);

    *f = parse(c->levels);
    NN_NEED(f->columns == d, "%s: %d levels for %d columns", name, f->columns, d);
    return f;
}

/* The point of the grid that q is, whose entries are whole numbers over floor(L / 2). */
static int index_of(const fsq *f, const float *q)
{
    int index = 0, base = 1;

    for (int j = 0; j < f->columns; base *= f->level[j++]) {
        const int half = f->level[j] / 2;
        index += base * ((int)lrintf(q[j] * (float)half) + half);
    }
    return index;
}

static nn_part quantise(nn_tape *t, void *state, nn_node *z)
{
    const fsq *f = state;
    const int n = nn_rows(z);
    int *index = NN_NEW(t->step, int, n);
    nn_part p = { .q = nn_fsq(t, z, f->level), .index = index };

    for (int i = 0; i < n; i++) {
        const float *q = p.q->val + (size_t)i * (size_t)f->columns;
        index[i] = isfinite(q[0]) ? index_of(f, q) : 0;
    }
    return p;
}

static void decode(void *state, const int *index, size_t n, float *q)
{
    const fsq *f = state;

    for (size_t i = 0; i < n; i++)
        for (int j = 0, rest = index[i]; j < f->columns; rest /= f->level[j++]) {
            const int half = f->level[j] / 2;
            q[i * (size_t)f->columns + (size_t)j] =
                (float)(rest % f->level[j] - half) / (float)half;
        }
}

const nn_quant nn_quant_fsq = {
    .name = "fsq",
    .about = "rounding to a fixed grid, no codebook (FSQ, 2023)",
    .config_size = sizeof(fsq_config),
    .settings = settings,
    .codes = codes,
    .columns = columns,
    .wrong = wrong,
    .own_gradient = 1,
    .build = build,
    .quantise = quantise,
    .decode = decode,
};
