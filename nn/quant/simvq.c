/* simvq: "Addressing Representation Collapse in Vector Quantized Models with One Linear
 * Layer", Zhu et al., 2025.  The paper was not read for this project: spec 7.
 *
 *   B (K, d) ~ N(0, 1/d), frozen          W (d, D), b (D) trained
 *   C = B W + 1 b'                        the codes that are searched and decoded with
 *   loss = mean |sg(z) - q|^2 + beta mean |z - sg(q)|^2
 *
 *   E_i = 2/(n D) (q_i - z_i)      dW = sum_i B[k_i]' E_i      db = sum_i E_i
 *
 * Collapse it prevents: one step of W moves every code, dC = -eta (B B' + 1 1') R, where
 * in vq.c a code without rows has no gradient at all.  The price: C lies in an affine
 * image of a frozen cloud, so on fixed features it is a poor quantiser; the encoder has
 * to come towards it.
 *
 * q is B[k_i] W + b, not a row looked up in C: the gradient then needs n rows of B
 * instead of K.  Both are the same sum in the same order, so the bits are those of C's
 * row.
 *
 * bias: the paper's box has none, its public code does.  train_basis: B learns, too -
 * whether freezing is needed is an open question (spec 7.2). */
#include <math.h>
#include <stdio.h>

#include "nn/quant/book.h"

typedef struct simvq_config {
    nn_book_settings book;
    int basis, basis_dim, train_basis, bias, legacy;
} simvq_config;

enum { NORMAL, UNIFORM };

static const nn_setting settings[] = {
    NN_BOOK_ROWS,
    NN_SET_C(simvq_config, basis, NORMAL, "normal|uniform",
             "where B is drawn from: N(0, 1/d), or uniform of the same variance"),
    NN_SET_I(simvq_config, basis_dim, 0, 0, 65536, "d, the columns of B; 0: those of z"),
    NN_SET_B(simvq_config, train_basis, 0, "B learns, too"),
    NN_SET_B(simvq_config, bias, 1, "the whole book can move (b)"),
    NN_SET_B(simvq_config, legacy, 0,
             "beta weighs the codebook's term, as in VQGAN's code"),
    NN_SET_END
};

typedef struct simvq {
    const simvq_config *set;
    nn_param *basis;
    nn_linear_layer project;
} simvq;

static void *build(nn_store *s, const char *name, const void *config, int d)
{
    const simvq_config *c = config;
    const int wide = c->basis_dim ? c->basis_dim : d;
    char part[256];
    simvq *v = NN_NEW0(s->arena, simvq, 1);

    v->set = c;
    v->basis = nn_store_add_in(s, name, "embedding.weight",
                               c->train_basis ? NN_PARAMETER : NN_BUFFER,
                               nn_shape2(c->book.codes, wide));
    if (c->basis == NORMAL)
        nn_init_normal(s, v->basis, 1 / sqrt(wide));
    else
        nn_init_uniform(s, v->basis, sqrt(3.0 / wide));     /* variance 1/d */
    snprintf(part, sizeof part, "%s.embedding_proj", name);
    v->project = nn_linear_new(s, part, wide, d, c->bias ? NN_BIAS : NN_NO_BIAS);
    return v;
}

static nn_node *prepare(nn_tape *t, void *state, nn_node *z)
{
    const simvq *v = state;
    return nn_book_scaled(t, &v->set->book, z);
}

/* Without gradient: that goes through the rows that are used alone. */
static nn_node *table(nn_tape *t, void *state)
{
    const simvq *v = state;
    nn_node *w = nn_stopgrad(t, nn_leaf(t, v->project.weight));
    nn_node *b = v->project.bias ? nn_stopgrad(t, nn_leaf(t, v->project.bias)) : NULL;
    nn_node *c = nn_linear(t, nn_stopgrad(t, nn_leaf(t, v->basis)), w, b);

    return nn_book_scaled(t, &v->set->book, c);
}

static nn_part quantise(nn_tape *t, void *state, nn_node *z)
{
    const simvq *v = state;
    nn_part p = { .index = nn_book_search(t, &v->set->book, z, table(t, state)->val) };
    nn_node *used = nn_gather(t, nn_leaf(t, v->basis), p.index, nn_rows(z));

    p.q = nn_book_scaled(t, &v->set->book, nn_linear_apply(t, &v->project, used));
    p.loss = nn_book_pull(t, &v->set->book, z, p.q, v->set->legacy);
    return p;
}

const nn_quant nn_quant_simvq = {
    .name = "simvq",
    .about = "a frozen random codebook behind one linear layer (SimVQ, 2025)",
    .config_size = sizeof(simvq_config),
    .settings = settings,
    .codes = nn_book_codes,
    .wrong = nn_book_wrong,
    .searches = nn_book_searches,
    .build = build,
    .prepare = prepare,
    .quantise = quantise,
    .table = table,
};
