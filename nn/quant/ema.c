/* ema: a codebook of moving averages - VQ-VAE, 2017, appendix; formulas and defaults of
 * spec 4 from public codes.
 *
 *   N_k <- g N_k + (1 - g) c_k            c_k: rows of code k in this step
 *   M_k <- g M_k + (1 - g) sum of these rows
 *   C_k <- M_k / N~_k         N~_k = (N_k + eps) / (N + K eps) N, N = sum N_k
 *   loss = beta mean |z - sg(q)|^2            no gradient reaches the codes
 *
 * With g = 0 a step is a round of k-means.  A code without rows in this step is left
 * alone: M and N shrink alike, so M / N stays.  The smoothed N~_k would take it to the
 * origin: by 1 % when N_k is a hundred eps, by half when it is eps.  A code that is found
 * again after that (N_k < 1e-3) waits until there is something to divide by.
 *
 * N starts at the fair share n/K, or at the sizes of the clusters that C starts from, and
 * M = N C.  (From N = 1 nothing falls below the limit
 * of restarts for hundreds of steps; from N = 0, as some codes have it, the first
 * step divides a small sum by a small count.)  metric=unit scales C to length 1 at the
 * start and after each step. */
#include <math.h>
#include <string.h>

#include "nn/base.h"
#include "nn/kern/members.h"
#include "nn/quant/book.h"
#include "nn/quant/search.h"

typedef struct ema_config {
    nn_book_settings book;
    int init;
    double decay, restart, eps;
} ema_config;

static const double least_count = 1e-3;

static const nn_setting settings[] = {
    NN_BOOK_ROWS,
    NN_SET_C(ema_config, init, NN_BOOK_UNIFORM, NN_BOOK_INIT_WORDS, NN_BOOK_INIT_HELP),
    NN_SET_F(ema_config, decay, 0.99, 0, 1, "g, the memory of counts and sums"),
    NN_SET_F(ema_config, restart, 0, 0, 1,
             "codes used less than this share of n/K get a random vector; 0: never"),
    NN_SET_F(ema_config, eps, 1e-5, 0, 1, "of the smoothed counts"),
    NN_SET_END
};

typedef struct ema {
    nn_book book;
    const ema_config *set;
    nn_param *count, *sum;
} ema;

static void *build(nn_store *s, const char *name, const void *config, int d)
{
    const ema_config *c = config;
    ema *v = NN_NEW0(s->arena, ema, 1);

    *v = (ema){ nn_book_new(s, name, &c->book, d, NN_BUFFER, c->init), c, NULL, NULL };
    v->count = nn_store_add_in(s, name, "cluster_size", NN_BUFFER,
                               nn_shape1(c->book.codes));
    v->sum = nn_store_add_in(s, name, "embed_avg", NN_BUFFER, v->book.code->shape);
    return v;
}

static nn_part quantise(nn_tape *t, void *state, nn_node *z)
{
    const ema *v = state;
    nn_part p = nn_book_nearest(t, state, z);

    p.loss = nn_commit(t, z, p.q, (float)v->set->book.beta, 0);
    return p;
}

/* metric=unit: length 1, for a code that has one. */
static void scale_code(const ema *v, size_t j)
{
    float *c = v->book.code->val + j * v->book.d;
    double square = 0;

    for (size_t i = 0; i < v->book.d; i++)
        square += (double)c[i] * (double)c[i];
    if (v->set->book.metric != NN_BOOK_UNIT || square == 0)
        return;
    for (size_t i = 0; i < v->book.d; i++)
        c[i] = (float)((double)c[i] / sqrt(square));
}

/* M = N C, in exact step with each other. */
static void multiply_sums(ema *v, size_t j)
{
    for (size_t i = 0; i < v->book.d; i++)
        v->sum->val[j * v->book.d + i] =
            v->count->val[j] * v->book.code->val[j * v->book.d + i];
}

/* N of clusters: the rows that each got, as many as a step brings in all. */
static void count_clusters(ema *v, const float *z, size_t n, size_t batch,
                           nn_arena *scratch)
{
    const size_t mark = nn_arena_mark(scratch);
    const nn_search s = { .n = n,
                          .k = v->book.k,
                          .d = v->book.d,
                          .z = z,
                          .code = v->book.code->val,
                          .index = NN_NEW(scratch, int, n) };

    nn_search_nearest(&s, scratch);
    nn_members m = nn_code_members(n, v->book.k, s.index, scratch);
    for (size_t j = 0; j < v->book.k; j++)
        v->count->val[j] = (float)((double)(m.first[j + 1] - m.first[j]) * (double)batch
                                   / (double)n);
    nn_arena_rewind(scratch, mark);
}

static size_t rows(const void *config, size_t batch)
{
    const ema_config *c = config;
    size_t wanted = nn_book_rows(c->init, (size_t)c->book.codes, batch);
    return wanted ? wanted : batch;
}

static void start(void *state, const float *z, size_t n, size_t batch,
                  const nn_quant_clock *clock, nn_arena *scratch)
{
    ema *v = state;
    nn_rng r = nn_book_rng(clock, v->book.hash);

    if (nn_book_rows(v->set->init, v->book.k, batch))
        nn_book_fill(v->set->init, v->book.k, v->book.d, v->book.code->val, z, n, &r,
                     scratch);
    if (nn_book_clusters(v->set->init))
        count_clusters(v, z, n, batch, scratch);
    else
        nn_init_constant(v->count, (float)((double)batch / (double)v->book.k));
    for (size_t j = 0; j < v->book.k; j++) {
        scale_code(v, j);
        multiply_sums(v, j);
    }
}

/* C_k <- M_k / N~_k, where there are rows and something to divide by. */
static void divide(ema *v, const nn_members *m)
{
    const double eps = v->set->eps, k = (double)v->book.k;
    double total = 0;

    for (size_t j = 0; j < v->book.k; j++)
        total += (double)v->count->val[j];
    for (size_t j = 0; j < v->book.k; j++) {
        const double n = (double)v->count->val[j];
        const double smooth = (n + eps) / (total + k * eps) * total;
        if (m->first[j] == m->first[j + 1] || n < least_count)
            continue;
        for (size_t i = j * v->book.d; i < (j + 1) * v->book.d; i++)
            v->book.code->val[i] = (float)((double)v->sum->val[i] / smooth);
        scale_code(v, j);
    }
}

static int settle(void *state, const float *z, const int *index, size_t n,
                  const nn_quant_clock *clock, nn_quant_moved *moved, nn_arena *scratch)
{
    ema *v = state;
    const float keep = (float)v->set->decay, gain = (float)(1 - v->set->decay);
    float *hit = NN_NEW(scratch, float, v->book.k * v->book.d);
    nn_members m = nn_code_members(n, v->book.k, index, scratch);
    (void)moved;

    nn_code_sums(&m, v->book.d, z, 0, hit, scratch);
    nn_usage_decay(v->book.k, v->set->decay, &m, v->count->val);
    for (size_t i = 0; i < v->book.k * v->book.d; i++)
        v->sum->val[i] = keep * v->sum->val[i] + gain * hit[i];
    divide(v, &m);
    nn_restart dead =
        nn_restart_dead(v->book.k, v->book.d, v->count->val, v->set->restart, z, n, clock,
                        v->book.hash, v->book.code->val, scratch);
    for (int i = 0; i < dead.rows; i++)
        multiply_sums(v, (size_t)dead.row[i]);
    return dead.rows;
}

const nn_quant nn_quant_ema = {
    .name = "ema",
    .about = "codebook of moving averages (VQ-VAE, 2017)",
    .config_size = sizeof(ema_config),
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
