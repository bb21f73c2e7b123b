/* lfq: lookup-free quantisation (spec 10; formulas from public code).
 *
 *   q_d = s sign(z_d), 0 to -s             index: bits of the signs, the first most significant
 *   loss = beta mean |z - sg(q)|^2
 *        + entropy (E_i H(p(. | z_i)) - gamma H(E_i p(. | z_i)))
 *   p: softmax over all 2^bits codes of 2 tau z . c
 *
 * The first entropy asks every vector to be sure of its code, the second all codes to be
 * used; without it the signs agree and the book is a few codes.  Above `group` bits the
 * second is taken of groups of bits.  spherical: z and the codes have length 1 (BSQ).
 * Independent tables find its reconstructions worse than a table's (spec 13.3). */
#include <math.h>

#include "nn/base.h"
#include "nn/quant/quant.h"

typedef struct lfq_config {
    nn_quant_common common;
    int bits, spherical, group;
    double scale, beta, entropy, gamma, tau;
} lfq_config;

static const nn_setting settings[] = {
    NN_QUANT_ROWS,
    NN_SET_I(lfq_config, bits, 9, 1, 23, "columns; there are 2^bits codes"),
    NN_SET_F(lfq_config, scale, 1, 1e-6, 1e6, "s; spherical: 1 / sqrt(bits) instead"),
    NN_SET_B(lfq_config, spherical, 0, "vectors and codes of length 1"),
    NN_SET_F(lfq_config, beta, 0, 0, 1e6, "weight of the commitment"),
    NN_SET_F(lfq_config, entropy, 0.1, 0, 1e6, "weight of the two entropies"),
    NN_SET_F(lfq_config, gamma, 1, 0, 1e6, "of the second, which spreads the codes"),
    NN_SET_F(lfq_config, tau, 100, 1e-6, 1e6, "inverse temperature of p"),
    NN_SET_I(lfq_config, group, 9, 1, 12,
             "bits whose 2^group codes are counted together"),
    NN_SET_END
};

typedef struct lfq { const lfq_config *set; float scale; } lfq;

static int codes(const void *config)
{
    const lfq_config *c = config;
    return 1 << c->bits;
}

static int columns(const void *config)
{
    const lfq_config *c = config;
    return c->bits;
}

static const char *wrong(const void *config)
{
    const lfq_config *c = config;
    return c->spherical && c->common.stages > 1
        ? "spherical works with one stage: what a stage leaves over is not of length 1"
        : NULL;
}

static void *build(nn_store *s, const char *name, const void *config, int d)
{
    const lfq_config *c = config;
    lfq *f = NN_NEW(s->arena, lfq, 1);

    NN_NEED(c->bits == d, "%s: %d bits for %d columns", name, c->bits, d);
    *f = (lfq){ c, (float)(c->spherical ? 1 / sqrt(c->bits) : c->scale) };
    return f;
}

static nn_node *prepare(nn_tape *t, void *state, nn_node *z)
{
    const lfq *f = state;
    return f->set->spherical ? nn_unitrow(t, z, 1e-12f) : z;
}

static nn_part quantise(nn_tape *t, void *state, nn_node *z)
{
    const lfq *f = state;
    const lfq_config *c = f->set;
    const int n = nn_rows(z);
    int *index = NN_NEW(t->step, int, n);
    nn_part p = { .q = nn_sign(t, z, f->scale), .index = index };

    for (int i = 0; i < n; i++) {
        const float *q = p.q->val + (size_t)i * (size_t)c->bits;
        index[i] = 0;
        for (int j = 0; j < c->bits; j++)
            index[i] = 2 * index[i] + (q[j] > 0);
    }
    if (c->beta > 0)
        p.loss = nn_commit(t, z, p.q, (float)c->beta, 0);
    if (c->entropy > 0) {
        nn_node *e = nn_scale(t, (float)c->entropy,
                              nn_bit_entropy(t, z, f->scale, (float)c->tau,
                                             (float)c->gamma, c->group));
        p.loss = p.loss ? nn_add(t, p.loss, e) : e;
    }
    return p;
}

static void decode(void *state, const int *index, size_t n, float *q)
{
    const lfq *f = state;
    const size_t bits = (size_t)f->set->bits;

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < bits; j++)
            q[i * bits + j] = index[i] >> (bits - 1 - j) & 1 ? f->scale : -f->scale;
}

const nn_quant nn_quant_lfq = {
    .name = "lfq", .about = "signs as codes, kept apart by entropy (LFQ; spherical: BSQ)",
    .config_size = sizeof(lfq_config), .settings = settings, .codes = codes,
    .columns = columns, .wrong = wrong, .build = build, .prepare = prepare,
    .quantise = quantise, .decode = decode,
};
