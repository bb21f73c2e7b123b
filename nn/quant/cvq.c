/* cvq: "Online Clustered Codebook", Zheng, Vedaldi, 2023 (CVQ-VAE).  The paper was not
 * read for this project: the update is that of its public code, as spec 6 has it.
 *
 * A codebook trained by gradient (vq.c), in which dead codes are moved towards rows.  In
 * every training step, after the loss was formed with the old C:
 *
 *   u_k <- g u_k + (1 - g) c_k / n                          c_k: rows of code k
 *   a_k  = exp(-10 K u_k / (1 - g) - 1e-3)                  0 for live codes, ~1 for dead
 *   C_k <- (1 - a_k) C_k + a_k anchor_k
 *
 * and then the optimiser's step.  u starts at 0, so that at step 1 every code without
 * rows jumps.  A code that had its fair share and lost it is half an anchor after 724
 * steps.
 *
 *   closest      the row nearest to code k (by the metric of the search)
 *   random       row k of a pool of K rows, which batches fill, then refresh
 *   probrandom   row i with probability softmax_i of the similarity to code k
 *
 * What fools it: from U(-1/K, 1/K) all codes have the same nearest row by distance, and
 * "closest" puts all of them there.  By cosine their directions differ.
 *
 * Not here: the contrastive term of the public code. */
#include <math.h>
#include <string.h>

#include "nn/base.h"
#include "nn/elem.h"
#include "nn/kern/kern.h"
#include "nn/kern/members.h"
#include "nn/par.h"
#include "nn/quant/book.h"
#include "nn/quant/search.h"

enum { CLOSEST, RANDOM, PROBRANDOM };

typedef struct cvq_config {
    nn_book_settings book;
    int init, anchor, first_batch;
    double decay;
} cvq_config;

static const nn_setting settings[] = {
    NN_BOOK_ROWS,
    NN_SET_C(cvq_config, init, NN_BOOK_UNIFORM, NN_BOOK_INIT_WORDS, NN_BOOK_INIT_HELP),
    NN_SET_C(cvq_config, anchor, CLOSEST, "closest|random|probrandom",
             "which row a dead code moves to"),
    NN_SET_B(cvq_config, first_batch, 0, "move dead codes in the first step alone"),
    NN_SET_F(cvq_config, decay, 0.99, 0, 0.999999, "g, the memory of the usage"),
    NN_SET_END
};

typedef struct cvq {
    nn_book book;
    const cvq_config *set;
    nn_param *usage;
    nn_param *pool, *filled;            /* random: (K, d), and how many rows it has */
} cvq;

static void *build(nn_store *s, const char *name, const void *config, int d)
{
    const cvq_config *c = config;
    cvq *v = NN_NEW0(s->arena, cvq, 1);

    *v = (cvq){ nn_book_new(s, name, &c->book, d, NN_PARAMETER, c->init), c, NULL, NULL,
                NULL };
    v->usage = nn_store_add_in(s, name, "embed_prob", NN_BUFFER,
                               nn_shape1(c->book.codes));
    if (c->anchor == RANDOM) {
        v->pool = nn_store_add_in(s, name, "pool", NN_BUFFER, v->book.code->shape);
        v->filled = nn_store_add_in(s, name, "pool_filled", NN_BUFFER, nn_shape1(1));
    }
    return v;
}

static nn_part quantise(nn_tape *t, void *state, nn_node *z)
{
    const cvq *v = state;
    nn_part p = nn_book_nearest(t, state, z);

    p.loss = nn_book_pull(t, &v->set->book, z, p.q, 0);
    return p;
}

static size_t rows(const void *config, size_t batch)
{
    const cvq_config *c = config;
    return nn_book_rows(c->init, (size_t)c->book.codes, batch);
}

static void start(void *state, const float *z, size_t n, size_t batch,
                  const nn_quant_clock *clock, nn_arena *scratch)
{
    cvq *v = state;
    nn_rng r = nn_book_rng(clock, v->book.hash);
    (void)batch;
    nn_book_fill(v->set->init, v->book.k, v->book.d, v->book.code->val, z, n, &r,
                 scratch);
}

/* Two of the anchors compare all rows with all codes once more. */
static int searches(const void *config)
{
    const cvq_config *c = config;
    return 1 + (c->anchor != RANDOM && !c->first_batch);
}

/* ---- anchors: which row of z each code would move to ------------------------------- */

static void closest(const cvq *v, const float *z, size_t n, int *row, nn_arena *scratch)
{
    const nn_search s = { .n = n,
                          .k = v->book.k,
                          .d = v->book.d,
                          .z = z,
                          .code = v->book.code->val,
                          .index = row,
                          .cosine = v->set->book.metric != NN_BOOK_EUCLID };
    nn_search_nearest_vectors(&s, scratch);
}

typedef struct drawing {
    const cvq *v;
    const float *z, *length;            /* (n, d), and |z_i| */
    size_t n;
    const double *until;                /* (K) random numbers in [0, 1) */
    float *share;                       /* n per worker */
    int *row;
} drawing;

/* The row at which the sum of softmax_i s_ik passes the code's random number. */
static void draw_job(void *ctx, size_t k, int worker)
{
    const drawing *p = ctx;
    const size_t d = p->v->book.d, n = p->n;
    const int cosine = p->v->set->book.metric != NN_BOOK_EUCLID;
    const float *c = p->v->book.code->val + k * d;
    const float norm = sqrtf(nn_kern_now->dot(d, c, c));
    float *s = p->share + (size_t)worker * n, top;
    double sum = 0;
    size_t i = 0;

    for (size_t j = 0; j < n; j++)
        s[j] = cosine ? nn_kern_now->dot(d, p->z + j * d, c)
                            / fmaxf(p->length[j] * norm, 1e-12f)
                      : -nn_kern_now->dist2(d, p->z + j * d, c);
    nn_kern_now->softmax(n, s, s, &top);
    while (i + 1 < n && sum + (double)s[i] < p->until[k])
        sum += (double)s[i++];
    p->row[k] = (int)i;
}

static void probrandom(const cvq *v, const float *z, size_t n, nn_rng *r, int *row,
                       nn_arena *scratch)
{
    float *length = NN_NEW(scratch, float, n);
    double *until = NN_NEW(scratch, double, v->book.k);

    for (size_t i = 0; i < n; i++)
        length[i] =
            sqrtf(nn_kern_now->dot(v->book.d, z + i * v->book.d, z + i * v->book.d));
    for (size_t k = 0; k < v->book.k; k++)
        until[k] = nn_rng_double(r);
    nn_par_run(v->book.k, draw_job,
               &(drawing){ v, z, length, n, until,
                           NN_NEW(scratch, float, n *(size_t)nn_par_threads()), row });
}

static void put_row(cvq *v, size_t at, const float *z, size_t i)
{
    memcpy(v->pool->val + at * v->book.d, z + i * v->book.d, sizeof *z * v->book.d);
}

/* Filled in order; then a batch of more than K rows replaces all of it, a smaller one as
 * many rows as it has, at random places. */
static void refresh_pool(cvq *v, const float *z, size_t n, nn_rng *r)
{
    size_t filled = (size_t)v->filled->val[0], i = 0;

    if (filled == v->book.k && n > v->book.k) {
        for (size_t k = 0; k < v->book.k; k++)
            put_row(v, k, z, nn_rng_below(r, (uint32_t)n));
    } else if (filled == v->book.k) {
        for (; i < n; i++)
            put_row(v, nn_rng_below(r, (uint32_t)v->book.k), z, i);
    } else {
        for (; i < n && filled < v->book.k; i++)
            put_row(v, filled++, z, i);
        v->filled->val[0] = (float)filled;
    }
}

/* (K, d) anchors: rows of z that `row` names, or the pool.  NULL while the pool is not
 * full. */
static const float *anchors(cvq *v, const float *z, size_t n, const nn_quant_clock *clock,
                            nn_arena *scratch)
{
    const size_t d = v->book.d;
    nn_rng r = nn_book_rng(clock, v->book.hash);

    if (v->set->anchor == RANDOM) {
        refresh_pool(v, z, n, &r);
        return (size_t)v->filled->val[0] == v->book.k ? v->pool->val : NULL;
    }
    int *row = NN_NEW(scratch, int, v->book.k);
    float *a = NN_NEW(scratch, float, v->book.k * d);
    if (v->set->anchor == CLOSEST)
        closest(v, z, n, row, scratch);
    else
        probrandom(v, z, n, &r, row, scratch);
    for (size_t k = 0; k < v->book.k; k++)
        memcpy(a + k * d, z + (size_t)row[k] * d, sizeof *a * d);
    return a;
}

static int settle(void *state, const float *z, const int *index, size_t n,
                  const nn_quant_clock *clock, nn_quant_moved *moved, nn_arena *scratch)
{
    cvq *v = state;
    const double g = v->set->decay, k = (double)v->book.k;
    nn_members m = nn_code_members(n, v->book.k, index, scratch);
    int jumps = 0;
    (void)moved;

    for (size_t j = 0; j < v->book.k; j++) {
        const double hits = (double)(m.first[j + 1] - m.first[j]);
        v->usage->val[j] =
            (float)(g * (double)v->usage->val[j] + (1 - g) * hits / (double)n);
    }
    if (v->set->first_batch && clock->step > 0)
        return 0;
    const float *anchor = anchors(v, z, n, clock, scratch);
    for (size_t j = 0; anchor && j < v->book.k; j++) {
        const double a = nn_exp(-(double)v->usage->val[j] * k * 10 / (1 - g) - 1e-3);
        float *c = v->book.code->val + j * v->book.d;
        for (size_t i = 0; i < v->book.d; i++)
            c[i] =
                (float)((1 - a) * (double)c[i] + a * (double)anchor[j * v->book.d + i]);
        jumps += a > 0.5;
    }
    return jumps;
}

const nn_quant nn_quant_cvq = {
    .name = "cvq",
    .about = "dead codes drift to vectors of the batch (CVQ-VAE, 2023)",
    .config_size = sizeof(cvq_config),
    .settings = settings,
    .codes = nn_book_codes,
    .wrong = nn_book_wrong,
    .searches = searches,
    .build = build,
    .prepare = nn_book_prepare,
    .quantise = quantise,
    .table = nn_book_table,
    .rows = rows,
    .start = start,
    .settle = settle,
};
