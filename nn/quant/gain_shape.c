/* gain_shape: a codebook of directions; length and offset are the vector's own (spec 11).
 *
 *   b = mean(v)     u = v - b     k = argmax_k <u, S_k>     g = <u, S_k>     q = g S_k + b
 *   S_k = (E_k - mean E_k) / |E_k - mean E_k|              E (K, d), trained
 *   loss = mean |sg(v) - q|^2 + beta mean |v - sg(q)|^2     g and b are constants
 *
 * bias=false is plain gain-shape: b = 0 and shapes are not centred.  signed: k is that of
 * the largest |<u, S_k>|, 0 .. K-1 as before, and half as many shapes do, because g may
 * be below zero.  Encoding is compress.h's, with its edge cases.
 *
 * What a code is worth does not depend on lengths, so none is out of reach; shapes that
 * nobody uses get a gradient of exactly zero all the same, as in vq.c.  The gradient of
 * E_k is at right angles to S_k: |E_k| only grows, and slows the turning.
 *
 * An index tells the shape alone: side_information. */
#include "nn/base.h"
#include "nn/quant/book.h"
#include "nn/quant/compress.h"

typedef struct gain_shape_config {
    nn_quant_common common;
    int codes, bias, two_sided, init;
    double beta;
} gain_shape_config;

static const float least_row = 1e-12f;          /* length of E_k, as metric=unit has it */

static const nn_setting settings[] = {
    NN_QUANT_ROWS,
    NN_SET_I(gain_shape_config, codes, 512, 1, 1 << 20, "K, the number of shapes"),
    NN_SET_B(gain_shape_config, bias, 1,
             "take the mean of every vector off first, and put it back after"),
    { "signed", NN_BOOL, offsetof(gain_shape_config, two_sided), 0, 0, 1, NULL,
      "a vector may use a shape the other way round" },
    NN_SET_C(gain_shape_config, init, NN_BOOK_NORMAL, NN_BOOK_INIT_WORDS,
             NN_BOOK_INIT_HELP),
    NN_SET_F(gain_shape_config, beta, 0.25, 0, 1e6,
             "weight of the commitment, the encoder's side of the loss"),
    NN_SET_END
};

typedef struct gain_shape {
    const gain_shape_config *set;
    nn_param *code;
    uint64_t hash;
} gain_shape;

static int codes(const void *config)
{
    const gain_shape_config *c = config;
    return c->codes;
}

static void *build(nn_store *s, const char *name, const void *config, int d)
{
    const gain_shape_config *c = config;
    gain_shape *v = NN_NEW0(s->arena, gain_shape, 1);

    *v = (gain_shape){ .set = c, .hash = nn_hash_name(name) };
    v->code = nn_store_add_in(s, name, "embedding.weight", NN_PARAMETER,
                              nn_shape2(c->codes, d));
    nn_book_init(s, v->code, c->init);
    return v;
}

static nn_node *table(nn_tape *t, void *state)
{
    const gain_shape *v = state;
    nn_node *e = nn_leaf(t, v->code);
    return nn_unitrow(t, v->set->bias ? nn_centre(t, e) : e, least_row);
}

static nn_gain_shapes shapes(const gain_shape *v, float *shape)
{
    return (nn_gain_shapes){ .k = (size_t)v->code->shape.dim[0],
                             .d = (size_t)v->code->shape.dim[1], .bias = v->set->bias,
                             .two_sided = v->set->two_sided, .shape = shape };
}

static nn_part quantise(nn_tape *t, void *state, nn_node *z)
{
    const gain_shape *v = state;
    const int n = nn_rows(z);
    nn_node *shape = table(t, state);
    const nn_gain_shapes s = shapes(v, shape->val);
    const nn_gain_codes c = { NN_NEW(t->step, int, n), NN_NEW(t->step, float, n),
                              NN_NEW(t->step, float, n) };
    nn_part p = { .index = c.index };

    nn_gain_shape_encode(&s, z->val, (size_t)n, c, t->scratch);
    p.q = nn_gain(t, nn_gather(t, shape, c.index, n), c.gain, c.offset);
    p.loss = nn_commit(t, z, p.q, (float)v->set->beta, 1);
    return p;
}

static size_t rows(const void *config, size_t batch)
{
    const gain_shape_config *c = config;
    return nn_book_rows(c->init, (size_t)c->codes, batch);
}

/* Vectors, or their clusters by direction. */
static void start(void *state, const float *z, size_t n, size_t batch,
                  const nn_quant_clock *clock, nn_arena *scratch)
{
    gain_shape *v = state;
    const nn_gain_shapes s = shapes(v, v->code->val);
    const int init = v->set->init;
    nn_rng r = nn_book_rng(clock, v->hash);

    if (!nn_book_rows(init, s.k, batch))
        return;
    if (init == NN_BOOK_PLUSPLUS)
        nn_gain_shape_seed(&s, z, n, &r, scratch);
    else
        nn_book_fill(NN_BOOK_DATA, s.k, s.d, s.shape, z, n, &r, scratch);
    nn_gain_shape_fit(&s, z, n, init == NN_BOOK_DATA ? 0 : NN_BOOK_ROUNDS, NULL, scratch);
}

/* Signed: each shape and its opposite. */
static int searches(const void *config)
{
    const gain_shape_config *c = config;
    return c->two_sided ? 2 : 1;
}

const nn_quant nn_quant_gain_shape = {
    .name = "gain_shape",
    .about = "directions as codes; gain and offset per vector",
    .config_size = sizeof(gain_shape_config),
    .settings = settings,
    .codes = codes,
    .side_information = 1,
    .searches = searches,
    .build = build,
    .quantise = quantise,
    .table = table,
    .rows = rows,
    .start = start,
};
