/* Losses beside PyTorch's, forward and backward: VICReg, the spanning tree of T-REGS, the
 * local intrinsic dimension of LDReg, and nearest codes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "nn/kern/gemm.h"
#include "nn/kern/members.h"
#include "nn/op.h"
#include "nn/ops.h"
#include "nn/quant/search.h"

/* ---- losses on a tape -------------------------------------------------------------- */

enum { VIEWS = 2 };

typedef struct loss {
    int n, d, views, k;
    nn_lid_estimator estimator;
    float *x[VIEWS];
    nn_node *(*build)(const struct loss *l, nn_tape *t, nn_node *const *x);
    nn_tape tape;
    nn_arena step, scratch;
    double value;
} loss;

static void *loss_new(int views, int n, int d)
{
    loss *l = calloc(1, sizeof *l);

    NN_NEED(l, "bench: out of memory");
    l->n = n, l->d = d, l->views = views;
    for (int v = 0; v < views; v++)
        l->x[v] = bench_new((size_t)n * (size_t)d, (unsigned)v + 1);
    nn_tape_start(&l->tape, &l->step, &l->scratch);
    return l;
}

static void loss_run(void *state)
{
    loss *l = state;
    nn_node *x[VIEWS];

    nn_tape_reset(&l->tape);
    for (int v = 0; v < l->views; v++)
        x[v] = nn_input(&l->tape, nn_shape2(l->n, l->d), l->x[v], 1);
    nn_node *y = l->build(l, &l->tape, x);
    nn_backward(y);
    l->value = nn_item(y);
}

static double loss_value(void *state)
{
    const loss *l = state;
    return l->value;
}

static void loss_drop(void *state)
{
    loss *l = state;
    nn_tape_free(&l->tape);
    nn_arena_free(&l->step);
    nn_arena_free(&l->scratch);
    for (int v = 0; v < l->views; v++)
        free(l->x[v]);
    free(l);
}

static int two(int words, char *const *word, int *n, int *d)
{
    return words == 2 && bench_int(word[0], 2, 1 << 20, n)
           && bench_int(word[1], 1, 1 << 20, d);
}

/* 25 invariance + 25 variance + covariance, as VICReg's code weighs them */
static nn_node *vicreg(const loss *l, nn_tape *t, nn_node *const *x)
{
    const float weight = 25, eps = 1e-4f;
    nn_node *sum = nn_scale(t, weight, nn_mse(t, x[0], x[1]));
    (void)l;

    for (int v = 0; v < VIEWS; v++) {
        sum = nn_axpy(t, weight / 2, nn_variance(t, x[v], 1, eps, 1), sum);
        sum = nn_add(t, sum, nn_covariance(t, x[v], 1));
    }
    return sum;
}

static void *vicreg_make(int words, char *const *word, char *why)
{
    int n, d;
    (void)why;
    if (!two(words, word, &n, &d))
        return NULL;
    loss *l = loss_new(VIEWS, n, d);
    l->build = vicreg;
    return l;
}

const bench_item bench_item_vicreg = { "vicreg", vicreg_make, loss_run, loss_value,
                                       loss_drop };

/* minus the length of the tree of unit rows; both sides get them as such */
static nn_node *tree(const loss *l, nn_tape *t, nn_node *const *x)
{
    (void)l;
    return nn_scale(t, -1, nn_tree(t, x[0]));
}

static void *tree_make(int words, char *const *word, char *why)
{
    int n, d;
    (void)why;
    if (!two(words, word, &n, &d))
        return NULL;
    loss *l = loss_new(1, n, d);
    l->build = tree;
    for (int i = 0; i < n; i++) {
        float *row = l->x[0] + (size_t)i * (size_t)d;
        double sum = 0;
        for (int j = 0; j < d; j++)
            sum += (double)row[j] * row[j];
        for (int j = 0; j < d; j++)
            row[j] = (float)(row[j] / sqrt(sum));
    }
    return l;
}

const bench_item bench_item_tree = { "tree", tree_make, loss_run, loss_value, loss_drop };

/* minus the mean log dimension; neighbours move, too, as PyTorch's gradient has it */
static nn_node *lid(const loss *l, nn_tape *t, nn_node *const *x)
{
    const nn_lid_settings s = { l->k, l->estimator, NN_LID_BOTH };
    return nn_scale(t, -1, nn_mean(t, nn_lid(t, x[0], NULL, s)));
}

/* HOW N D K */
static void *lid_make(int words, char *const *word, char *why)
{
    int n, d, k;
    (void)why;
    if (words != 4 || !two(2, word + 1, &n, &d) || !bench_int(word[3], 2, n - 2, &k))
        return NULL;
    loss *l = loss_new(1, n, d);
    l->build = lid;
    l->k = k;
    l->estimator = strcmp(word[0], "mom") == 0 ? NN_LID_MOM_PAPER : NN_LID_HILL;
    return l;
}

const bench_item bench_item_lid = { "lid", lid_make, loss_run, loss_value, loss_drop };

/* ---- nearest codes ----------------------------------------------------------------- */

enum { NEAREST, VQ, SIMVQ };

/* z (n, d); the codes (k, d) are C itself, or basis times W (d, d). */
typedef struct codes {
    int form;
    size_t n, k, d;
    float *z, *code, *basis, *w, *dz, *dcode, *dw, *dist;
    int *index;
    nn_arena scratch;
    double value;
} codes;

/* FORM N D K */
static void *codes_make(int words, char *const *word, char *why)
{
    static const char *const form[] = { "nearest", "vq", "simvq" };
    int n, d, k, f = 0;
    (void)why;

    while (words && f < 3 && strcmp(word[0], form[f]) != 0)
        f++;
    if (words != 4 || f == 3 || !bench_int(word[1], 1, 1 << 24, &n)
        || !bench_int(word[2], 1, 1 << 14, &d) || !bench_int(word[3], 1, 1 << 24, &k))
        return NULL;
    codes *c = calloc(1, sizeof *c);
    NN_NEED(c, "bench: out of memory");
    c->form = f;
    c->n = (size_t)n, c->d = (size_t)d, c->k = (size_t)k;
    c->z = bench_new(c->n * c->d, 1);
    c->code = bench_new(c->k * c->d, 2);
    c->dz = bench_new(c->n * c->d, 0);
    c->dcode = bench_new(c->k * c->d, 0);
    c->dist = bench_new(c->n, 0);
    c->index = calloc(c->n, sizeof *c->index);
    NN_NEED(c->index, "bench: out of memory");
    if (f == SIMVQ) {
        c->basis = bench_new(c->k * c->d, 2);
        c->w = calloc(c->d * c->d, sizeof *c->w);
        c->dw = calloc(c->d * c->d, sizeof *c->dw);
        NN_NEED(c->w && c->dw, "bench: out of memory");
        for (size_t i = 0; i < c->d; i++)
            c->w[i * c->d + i] = 1;
    }
    return c;
}

/* L = mse(q, sg z) + 1/4 mse(z, sg q):
 *   dz_i = 1/2 (z_i - q_i) / (n d)
 *   dC_j = 2 / (n d) sum over its tokens (C_j - z_i) */
static void codes_backward(codes *c)
{
    const float unit = 2 / ((float)c->n * (float)c->d);
    size_t mark = nn_arena_mark(&c->scratch);
    nn_members m = nn_code_members(c->n, c->k, c->index, &c->scratch);

    for (size_t i = 0; i < c->n; i++) {
        const float *q = c->code + (size_t)c->index[i] * c->d, *z = c->z + i * c->d;
        for (size_t j = 0; j < c->d; j++)
            c->dz[i * c->d + j] = 0.25f * unit * (z[j] - q[j]);
    }
    nn_code_sums(&m, c->d, c->z, 0, c->dcode, &c->scratch);
    for (size_t j = 0; j < c->k; j++) {
        float hits = (float)(m.first[j + 1] - m.first[j]);
        float *g = c->dcode + j * c->d;
        const float *q = c->code + j * c->d;
        for (size_t i = 0; i < c->d; i++)
            g[i] = unit * (hits * q[i] - g[i]);
    }
    nn_arena_rewind(&c->scratch, mark);
}

static void codes_run(void *state)
{
    codes *c = state;
    const nn_mat basis = { c->basis, c->d, 1 };

    if (c->form == SIMVQ)
        nn_gemm(c->k, c->d, c->d, basis, (nn_mat){ c->w, c->d, 1 }, c->code, c->d, NULL,
                &c->scratch);
    const nn_search s = { c->n, c->k, c->d, c->z, c->code, c->index, c->dist, 0 };
    nn_search_nearest(&s, &c->scratch);
    c->value = 0;
    if (c->form == NEAREST) {
        for (size_t i = 0; i < c->n; i++)
            c->value += c->index[i];
        c->value /= (double)c->n;
        return;
    }
    for (size_t i = 0; i < c->n; i++)
        c->value += c->dist[i];
    c->value *= 1.25 / ((double)c->n * (double)c->d);
    codes_backward(c);
    if (c->form == SIMVQ)
        nn_gemm(c->d, c->d, c->k, (nn_mat){ c->basis, 1, c->d },
                (nn_mat){ c->dcode, c->d, 1 }, c->dw, c->d, NULL, &c->scratch);
}

static double codes_value(void *state)
{
    const codes *c = state;
    return c->value;
}

static void codes_drop(void *state)
{
    codes *c = state;
    float *all[] = { c->z, c->code, c->basis, c->w, c->dz, c->dcode, c->dw, c->dist };
    for (size_t i = 0; i < NN_COUNT(all); i++)
        free(all[i]);
    free(c->index);
    nn_arena_free(&c->scratch);
    free(c);
}

const bench_item bench_item_vq = { "vq", codes_make, codes_run, codes_value, codes_drop };

/* ---- the rows ---------------------------------------------------------------------- */

static int rows(int quick, bench_row *row, int most)
{
    /* Both sides sum in float32, in their own orders: 1e-4 is what a loss is off by when
     * some thousands of terms are; the mean index of a search changes by one token in
     * 16,384 that lies between two codes, at 65,536 codes by up to 4. */
    static const struct {
        bench_row row;
        int quick;
    } list[] = {
        { { "vicreg 256 2048", "VICReg, N 256, D 2048", "vicreg 256 2048", 0, 1e-4 }, 1 },
        { { "vicreg 256 8192", "VICReg, N 256, D 8192", "vicreg 256 8192", 0, 1e-4 }, 0 },
        { { "vicreg 2048", "VICReg, N 2048, D 2048", "vicreg 2048 2048", 0, 1e-4 }, 0 },
        { { "vicreg others", "VICReg, N 512, D 2048", "vicreg 512 2048", 0, 1e-4 }, 0 },
        { { "tree 256", "tree, N 256, D 512", "tree 256 512", 0, 1e-4 }, 1 },
        { { "tree 1024", "tree, N 1024, D 512", "tree 1024 512", 0, 1e-4 }, 1 },
        { { "tree 2048", "tree, N 2048, D 512", "tree 2048 512", 0, 1e-4 }, 0 },
        { { "lid", "LDReg, moments, N 1024, D 2048, k 64", "lid mom 1024 2048 64", 0,
            1e-4 },
          1 },
        { { "lid", "LDReg, likelihood, N 1024, D 2048, k 64", "lid mle 1024 2048 64", 0,
            1e-4 },
          1 },
        { { "vq 1024", "nearest code, K 1024", "vq nearest 16384 64 1024", 0, 1e-3 }, 1 },
        { { "vq 1024", "VQ, K 1024", "vq vq 16384 64 1024", 0, 1e-4 }, 1 },
        { { "vq 1024", "SimVQ, K 1024", "vq simvq 16384 64 1024", 0, 1e-4 }, 1 },
        { { "vq 8192", "nearest code, K 8192", "vq nearest 16384 64 8192", 0, 1e-3 }, 1 },
        { { "vq 8192", "VQ, K 8192", "vq vq 16384 64 8192", 0, 1e-4 }, 0 },
        { { "vq 8192", "SimVQ, K 8192", "vq simvq 16384 64 8192", 0, 1e-4 }, 0 },
        { { "vq 65536", "nearest code, K 65536", "vq nearest 16384 64 65536", 0, 1e-3 },
          0 },
        { { "vq 65536", "VQ, K 65536", "vq vq 16384 64 65536", 0, 1e-4 }, 0 },
        { { "vq 65536", "SimVQ, K 65536", "vq simvq 16384 64 65536", 0, 1e-4 }, 0 },
    };
    int n = 0;

    for (size_t i = 0; i < NN_COUNT(list) && n < most; i++)
        if (!quick || list[i].quick)
            row[n++] = list[i].row;
    return n;
}

static const bench_goal goals[] = {
    { "vicreg 256 2048", "VICReg N=256, D=2048", NULL, 8, 15, 0 },
    { "vicreg 256 8192", "VICReg N=256, D=8192", NULL, 25, 80, 0 },
    { "vicreg 2048", "VICReg N=2048, D=2048", NULL, 2.5, 3.5, 0 },
    { "tree 256", "tree term, N=256", NULL, 5, 10, 0 },
    { "tree 1024", "tree term, N=1024", NULL, 10, 25, 0 },
    { "tree 2048", "tree term, N=2048", NULL, 20, 40, 0 },
    { "lid", "LDReg N=1024", NULL, 2.5, 4, 0 },
    { "vq 1024", "VQ, SimVQ, K=1024", NULL, 2.5, 4, 0 },
    { "vq 8192", "VQ, SimVQ, K=8192", NULL, 4, 6, 0 },
    { "vq 65536", "VQ, SimVQ, K=65536", NULL, 4, 6, 0 },
    { NULL, NULL, NULL, 0, 0, 0 }
};

const bench_kind bench_kind_losses = {
    .name = "losses",
    .about = "losses, forward and backward, and nearest codes (16,384 tokens, D 64)",
    .partner = { "ours", "torch" },
    .rows = rows,
    .goals = goals,
    .seconds = 0.2,
    .rounds = 9,
};
