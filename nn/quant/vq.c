/* vq: the codebook of VQ-VAE - "Neural Discrete Representation Learning", van den Oord,
 * Vinyals, Kavukcuoglu, 2017.  Not read for this project: formulas are those of spec 2.
 *
 *   k_i = argmin_k |z_i - C_k|^2          q_i = C[k_i]
 *   loss = mean |sg(z) - q|^2 + beta mean |z - sg(q)|^2
 *   dC_k = 2/(n D) sum over i with k_i = k of (C_k - z_i)         0 for codes without rows
 *
 * How it dies: codes start within 1/K of the origin, far from all rows.  The first step
 * gives all rows to the few codes that face them; these move, and the others are left
 * behind with a gradient of exactly zero, for ever.
 *
 * legacy: VQGAN's public code has beta on the codebook's term and 1 on the encoder's
 * (taming-transformers, legacy=True).  With restart > 0 codes that nobody uses are put
 * where rows are (book.h); usage starts at the fair share n/K. */
#include "nn/base.h"
#include "nn/kern/members.h"
#include "nn/quant/book.h"

typedef struct vq_config {
    nn_book_settings book;
    int legacy, init;
    double restart, decay;
} vq_config;

static const nn_setting settings[] = {
    NN_BOOK_ROWS,
    NN_SET_B(vq_config, legacy, 0, "beta weighs the codebook's term, as in VQGAN's code"),
    NN_SET_C(vq_config, init, NN_BOOK_UNIFORM, NN_BOOK_INIT_WORDS, NN_BOOK_INIT_HELP),
    NN_SET_F(vq_config, restart, 0, 0, 1,
             "codes used less than this share of n/K get a random vector; 0: never"),
    NN_SET_F(vq_config, decay, 0.99, 0, 1, "memory of the usage that restart looks at"),
    NN_SET_END
};

typedef struct vq {
    nn_book book;
    const vq_config *set;
    nn_param *usage;                    /* NULL: no restarts */
} vq;

static void *build(nn_store *s, const char *name, const void *config, int d)
{
    const vq_config *c = config;
    vq *v = NN_NEW0(s->arena, vq, 1);

    *v = (vq){ nn_book_new(s, name, &c->book, d, NN_PARAMETER, c->init), c, NULL };
    if (c->restart > 0)
        v->usage = nn_store_add_in(s, name, "cluster_size", NN_BUFFER,
                                nn_shape1(c->book.codes));
    return v;
}

static nn_part quantise(nn_tape *t, void *state, nn_node *z)
{
    const vq *v = state;
    nn_part p = nn_book_nearest(t, state, z);

    p.loss = nn_book_pull(t, &v->set->book, z, p.q, v->set->legacy);
    return p;
}

static size_t rows(const void *config, size_t batch)
{
    const vq_config *c = config;
    size_t wanted = nn_book_rows(c->init, (size_t)c->book.codes, batch);
    return wanted || c->restart <= 0 ? wanted : batch;
}

static void start(void *state, const float *z, size_t n, size_t batch,
                  const nn_quant_clock *clock, nn_arena *scratch)
{
    vq *v = state;
    nn_rng r = nn_book_rng(clock, v->book.hash);

    if (nn_book_rows(v->set->init, v->book.k, batch))
        nn_book_fill(v->set->init, v->book.k, v->book.d, v->book.code->val, z, n, &r,
                     scratch);
    if (v->usage)
        nn_init_constant(v->usage, (float)((double)batch / (double)v->book.k));
}

static int settle(void *state, const float *z, const int *index, size_t n,
                  const nn_quant_clock *clock, nn_quant_moved *moved, nn_arena *scratch)
{
    vq *v = state;

    if (!v->usage)
        return 0;
    nn_members m = nn_code_members(n, v->book.k, index, scratch);
    nn_usage_decay(v->book.k, v->set->decay, &m, v->usage->val);
    nn_restart dead =
        nn_restart_dead(v->book.k, v->book.d, v->usage->val, v->set->restart, z, n, clock,
                        v->book.hash, v->book.code->val, scratch);
    *moved = (nn_quant_moved){ v->book.code, dead.row, dead.rows };
    return dead.rows;
}

const nn_quant nn_quant_vq = {
    .name = "vq",
    .about = "codebook trained by gradient (VQ-VAE, 2017)",
    .config_size = sizeof(vq_config),
    .settings = settings,
    .codes = nn_book_codes,
    .wrong = nn_book_wrong,
    .searches = nn_book_searches,
    .build = build,
    .prepare = nn_book_prepare,
    .quantise = quantise,
    .table = nn_book_table,
    .rows = rows,
    .start = start,
    .settle = settle,
};
