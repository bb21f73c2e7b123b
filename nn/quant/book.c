#include "nn/quant/book.h"

#include <math.h>
#include <string.h>

#include "nn/base.h"
#include "nn/par.h"
#include "nn/quant/search.h"

/* No restart in the last tenth of a run: the books that are compared are settled ones. */
static const double last_part = 0.1;

int nn_book_codes(const void *settings)
{
    const nn_book_settings *b = settings;
    return b->codes;
}

/* A stage after the first is given what is left over, which has no length of its own. */
const char *nn_book_wrong(const void *settings)
{
    const nn_book_settings *b = settings;
    return b->metric == NN_BOOK_UNIT && b->common.stages > 1
        ? "metric=unit works with one stage: what a stage leaves over is not of length 1"
        : NULL;
}

int nn_book_searches(const void *settings)
{
    (void)settings;
    return 1;
}

const int *nn_book_search(nn_tape *t, const nn_book_settings *b, const nn_node *z,
                          const float *code)
{
    const nn_search s = {
        .n = (size_t)nn_rows(z), .k = (size_t)b->codes, .d = (size_t)nn_cols(z),
        .z = z->val, .code = code, .index = NN_NEW(t->step, int, nn_rows(z)),
        .cosine = b->metric == NN_BOOK_COSINE
    };
    nn_search_nearest(&s, t->scratch);  /* rows without a code show in the loss: NaN */
    return s.index;
}

nn_node *nn_book_scaled(nn_tape *t, const nn_book_settings *b, nn_node *x)
{
    return b->metric == NN_BOOK_UNIT ? nn_unitrow(t, x, 1e-12f) : x;
}

nn_node *nn_book_pull(nn_tape *t, const nn_book_settings *b, nn_node *z, nn_node *q,
                      int legacy)
{
    const float beta = (float)b->beta;
    return legacy ? nn_commit(t, z, q, 1, beta) : nn_commit(t, z, q, beta, 1);
}

nn_book nn_book_new(nn_store *s, const char *name, const nn_book_settings *set, int d,
                    nn_role role, int init)
{
    nn_book b = { .set = set, .hash = nn_hash_name(name), .k = (size_t)set->codes,
                  .d = (size_t)d };

    b.code = nn_store_add_in(s, name, "embedding.weight", role, nn_shape2(set->codes, d));
    nn_book_init(s, b.code, init);
    return b;
}

nn_node *nn_book_prepare(nn_tape *t, void *state, nn_node *z)
{
    const nn_book *b = state;
    return nn_book_scaled(t, b->set, z);
}

nn_node *nn_book_table(nn_tape *t, void *state)
{
    const nn_book *b = state;
    return nn_book_scaled(t, b->set, nn_leaf(t, b->code));
}

nn_part nn_book_nearest(nn_tape *t, void *state, nn_node *z)
{
    const nn_book *b = state;
    nn_node *code = nn_book_table(t, state);
    nn_part p = { .index = nn_book_search(t, b->set, z, code->val) };

    p.q = nn_gather(t, code, p.index, nn_rows(z));
    return p;
}

void nn_book_init(nn_store *s, nn_param *code, int init)
{
    const double k = code->shape.dim[0], d = code->shape.dim[1];

    if (init == NN_BOOK_UNIFORM)
        nn_init_uniform(s, code, 1 / k);
    else if (init == NN_BOOK_NORMAL)
        nn_init_normal(s, code, 1 / sqrt(d));
    else
        nn_init_constant(code, 0);
}

int nn_book_clusters(int init)
{
    return init == NN_BOOK_KMEANS || init == NN_BOOK_PLUSPLUS;
}

size_t nn_book_rows(int init, size_t codes, size_t batch)
{
    if (init == NN_BOOK_UNIFORM || init == NN_BOOK_NORMAL)
        return 0;
    return codes > batch ? codes : batch;
}

nn_rng nn_book_rng(const nn_quant_clock *clock, uint64_t hash)
{
    const uint64_t step = (uint64_t)clock->step;
    return nn_rng_at(clock->seed, NN_RNG_QUANT, (uint32_t)(step & 0xffffff),
                     hash + (step >> 24));
}

/* k of n rows: all different where there are enough. */
static void draw_rows(size_t k, size_t d, float *code, const float *z, size_t n,
                      nn_rng *r, nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch);
    uint32_t *order = NN_NEW(scratch, uint32_t, n);

    nn_rng_permute(r, order, (uint32_t)n);
    for (size_t j = 0; j < k; j++) {
        size_t i = j < n ? order[j] : nn_rng_below(r, (uint32_t)n);
        memcpy(code + j * d, z + i * d, sizeof *code * d);
    }
    nn_arena_rewind(scratch, mark);
}

void nn_book_fill(int init, size_t k, size_t d, float *code, const float *z, size_t n,
                  nn_rng *r, nn_arena *scratch)
{
    if (init == NN_BOOK_PLUSPLUS)
        nn_kmeans_plusplus(k, d, code, z, n, r, scratch);
    else
        draw_rows(k, d, code, z, n, r, scratch);
    if (init != NN_BOOK_DATA)
        nn_kmeans(k, d, code, z, n, NN_BOOK_ROUNDS, scratch);
}

void nn_kmeans(size_t k, size_t d, float *code, const float *z, size_t n, int rounds,
               nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch);
    int *index = NN_NEW(scratch, int, n);
    float *sum = NN_NEW(scratch, float, k * d);
    const nn_search s = { .n = n, .k = k, .d = d, .z = z, .code = code, .index = index };

    for (int i = 0; i < rounds; i++) {
        size_t inner = nn_arena_mark(scratch);
        nn_search_nearest(&s, scratch);
        nn_members m = nn_code_members(n, k, index, scratch);
        nn_code_sums(&m, d, z, 0, sum, scratch);
        for (size_t j = 0; j < k; j++) {
            const float hits = (float)(m.first[j + 1] - m.first[j]);
            for (size_t c = 0; hits > 0 && c < d; c++)
                code[j * d + c] = sum[j * d + c] / hits;
        }
        nn_arena_rewind(scratch, inner);
    }
    nn_arena_rewind(scratch, mark);
}

double nn_kmeans_fit(size_t k, size_t d, float *code, const float *z, size_t n,
                     int rounds, nn_rng *r, nn_arena *scratch)
{
    const size_t mark = nn_arena_mark(scratch);
    float *dist = NN_NEW(scratch, float, n);
    double *part = NN_NEW(scratch, double, n);
    const nn_search s = { .n = n, .k = k, .d = d, .z = z, .code = code, .dist = dist,
                          .index = NN_NEW(scratch, int, n) };

    nn_kmeans_plusplus(k, d, code, z, n, r, scratch);
    nn_kmeans(k, d, code, z, n, rounds, scratch);
    nn_search_nearest(&s, scratch);
    for (size_t i = 0; i < n; i++)
        part[i] = (double)dist[i];
    nn_fold_double(part, n, 1);
    const double left = part[0];
    nn_arena_rewind(scratch, mark);
    return left;
}

void nn_usage_decay(size_t k, double decay, const nn_members *m, float *usage)
{
    const float keep = (float)decay, gain = (float)(1 - decay);

    for (size_t j = 0; j < k; j++)
        usage[j] = keep * usage[j] + gain * (float)(m->first[j + 1] - m->first[j]);
}

nn_restart nn_restart_dead(size_t k, size_t d, float *usage, double share, const float *z,
                           size_t n, const nn_quant_clock *clock, uint64_t hash,
                           float *code, nn_arena *scratch)
{
    const float tau = (float)(share * (double)n / (double)k);
    nn_restart dead = { NULL, 0 };

    if (share <= 0 || (double)clock->step >= (1 - last_part) * (double)clock->steps)
        return dead;
    nn_rng r = nn_book_rng(clock, hash);
    dead.row = NN_NEW(scratch, int, k);
    for (size_t j = 0; j < k; j++) {
        if (!(usage[j] < tau))
            continue;
        size_t i = nn_rng_below(&r, (uint32_t)n);
        memcpy(code + j * d, z + i * d, sizeof *code * d);
        usage[j] = tau;
        dead.row[dead.rows++] = (int)j;
    }
    return dead;
}
