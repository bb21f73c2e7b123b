#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "experiments/config_read.h"
#include "experiments/quantise_task.h"
#include "nn/quant/search.h"

enum {
    MOST_COLS = 65536,                  /* as of loss */
    MOST_CODES = 1 << 24,               /* the search counts in floats */
    MOST_BITS = 23,                     /* of lfq */
    STAGES = 2                          /* of a codebook that is learnt */
};

/* ---- files -------------------------------------------------------------------------- */

/* Scores are sums of squares in float32: numbers have to be finite, and vectors not so
 * long that these overflow, with room for an offset that is taken off. */
static nn_status check_numbers(const char *file, const ex_npy *x, nn_err *err)
{
    const size_t cols = (size_t)x->cols, n = (size_t)x->rows * cols;
    const size_t bad = nn_bad_among(x->val, n).first;

    if (bad < n)
        return nn_fail(err, NN_EDATA, "%s: row %zu, column %zu (counted from 0) is %s as"
                       " float32; vectors and codes are finite numbers", file, bad / cols,
                       bad % cols, isnan(x->val[bad]) ? "nan" : x->val[bad] > 0 ? "inf"
                       : "-inf");
    for (size_t i = 0; i < (size_t)x->rows; i++) {
        double square = 0;
        for (size_t j = 0; j < cols; j++)
            square += (double)x->val[i * cols + j] * (double)x->val[i * cols + j];
        if (square > (double)FLT_MAX / 16)
            return nn_fail(err, NN_EDATA, "%s: row %zu (counted from 0) is %.3g long, too"
                           " long to be squared in float32; scale vectors and codes down",
                           file, i, sqrt(square));
    }
    return NN_OK;
}

static nn_status read_vectors(ex_quantise_task *t, nn_err *err)
{
    NN_TRY(ex_npy_read_rows(t->file, &t->own, &t->x, &t->shape, err));
    if (t->x.rows < 1 || t->x.cols < 1 || t->x.cols > MOST_COLS)
        return nn_fail(err, NN_EDATA, "%s: %d rows of %d numbers; wanted are 1 row or"
                       " more of 1 to %d", t->file, t->x.rows, t->x.cols, MOST_COLS);
    return check_numbers(t->file, &t->x, err);
}

/* (K, D), or with several stages (S, K, D) as well. */
static nn_status read_book(ex_quantise_task *t, const char *file, nn_err *err)
{
    ex_npy c;
    ex_npy_shape shape;

    NN_TRY(ex_npy_read_rows(file, &t->own, &c, &shape, err));
    const int stages = shape.dims == 3 && t->several ? shape.dim[0] : 1;
    const int k = shape.dim[shape.dims - 2];
    if (shape.dims > 3 || (shape.dims == 3 && !t->several))
        return nn_fail(err, NN_EDATA, "%s: an array of %d dimensions; a codebook is"
                       " (K, D)%s", file, shape.dims,
                       t->several ? ", or (S, K, D) for all stages" : "");
    if (c.rows < 1)
        return nn_fail(err, NN_EDATA, "%s: holds no codes", file);
    if (k > MOST_CODES)
        return nn_fail(err, NN_EDATA, "%s: holds %d codes; at most %d are searched", file,
                       k, MOST_CODES);
    if (c.cols != t->x.cols)
        return nn_fail(err, NN_EDATA, "%s: codes of %d numbers, but %s has rows of %d",
                       file, c.cols, t->file, t->x.cols);
    if (t->parts + stages > NN_QUANT_PARTS)
        return nn_fail(err, NN_EDATA, "%s: more than %d stages in all", file,
                       NN_QUANT_PARTS);
    NN_TRY(check_numbers(file, &c, err));
    for (int s = 0; s < stages; s++, t->parts++) {
        t->k[t->parts] = (size_t)k;
        t->code[t->parts] = c.val + (size_t)s * (size_t)k * (size_t)c.cols;
    }
    return NN_OK;
}

/* ---- books -------------------------------------------------------------------------- */

int ex_quantise_chunk(const ex_quantise_task *t)
{
    const int fit = EX_CHUNK_FLOATS / t->x.cols;
    return fit > EX_CHUNK ? EX_CHUNK : fit < EX_LEAST_CHUNK ? EX_LEAST_CHUNK : fit;
}

/* The operator of training, so that the bits are its. */
static void unit_rows(const ex_quantise_task *t, float *x, size_t rows, nn_arena *scratch)
{
    const size_t d = (size_t)t->x.cols, most = (size_t)ex_quantise_chunk(t);

    for (size_t at = 0; at < rows; at += most) {
        const size_t mark = nn_arena_mark(scratch);
        const size_t n = rows - at < most ? rows - at : most;
        nn_tape tape;
        nn_tape_start(&tape, scratch, scratch);
        tape.record = 0;
        nn_node *in = nn_input(&tape, nn_shape2((int)n, (int)d), x + at * d, 0);
        memcpy(x + at * d, nn_unitrow(&tape, in, 1e-12f)->val, sizeof *x * n * d);
        nn_pool_free(&tape.pool);
        nn_arena_rewind(scratch, mark);
    }
}

void ex_quantise_gather(size_t n, size_t d, const float *code, const int *index,
                        const float *z, float *q, float *rest)
{
    for (size_t i = 0; i < n; i++) {
        const float *c = code + (size_t)index[i] * d;
        memcpy(q + i * d, c, sizeof *q * d);
        for (size_t j = 0; rest && j < d; j++)
            rest[i * d + j] = z[i * d + j] - c[j];
    }
}

/* Each stage on what those before it leave over: rows of X drawn far apart (k-means++), and
 * rounds of k-means. */
static void fit(ex_quantise_task *t)
{
    const size_t n = (size_t)t->x.rows, d = (size_t)t->x.cols, k = (size_t)t->fit;
    float *rest = t->x.val, *q = NULL;
    int *index = NULL;
    const size_t mark = nn_arena_mark(&t->scratch);

    if (t->stages > 1) {
        rest = NN_NEW(&t->scratch, float, n * d);
        q = NN_NEW(&t->scratch, float, n * d);
        index = NN_NEW(&t->scratch, int, n);
        memcpy(rest, t->x.val, sizeof *rest * n * d);
    }
    for (int s = 0; s < t->stages; s++) {
        float *code = NN_NEW(&t->own, float, k * d);
        nn_rng r = nn_rng_at((uint64_t)t->seed, NN_RNG_QUANT, 0, (uint64_t)s);
        nn_kmeans_plusplus(k, d, code, rest, n, &r, &t->scratch);
        nn_kmeans(k, d, code, rest, n, t->rounds, &t->scratch);
        if (t->book.metric == NN_BOOK_UNIT)
            unit_rows(t, code, k, &t->scratch);
        t->code[s] = code;
        t->k[s] = k;
        if (s + 1 == t->stages)
            break;
        nn_search_nearest(&(nn_search){ .n = n, .k = k, .d = d, .z = rest, .code = code,
                                        .index = index }, &t->scratch);
        ex_quantise_gather(n, d, code, index, rest, q, rest);
    }
    t->parts = t->stages;
    nn_arena_rewind(&t->scratch, mark);
}

static nn_status have_books(ex_quantise_task *t, nn_err *err)
{
    const int unit = t->book.metric == NN_BOOK_UNIT;

    for (int i = 0; i < t->o->books; i++)
        NN_TRY(read_book(t, t->o->book[i], err));
    if (t->parts && t->book.stages && t->book.stages != t->parts)
        return nn_fail(err, NN_ECONFIG, "command line: stages = %d, but there are"
                       " codebooks for %d", t->book.stages, t->parts);
    t->stages = t->parts ? t->parts : t->book.stages ? t->book.stages
        : t->several ? STAGES : 1;
    if (unit && t->stages > 1)
        return nn_fail(err, NN_ECONFIG, "command line: metric=unit works with one stage:"
                       " what a stage leaves over is not of length 1");
    if (unit)
        unit_rows(t, t->x.val, (size_t)t->x.rows, &t->scratch);
    for (int i = 0; unit && i < t->parts; i++) {
        float *code = NN_NEW(&t->own, float, t->k[i] * (size_t)t->x.cols);
        memcpy(code, t->code[i], sizeof *code * t->k[i] * (size_t)t->x.cols);
        unit_rows(t, code, t->k[i], &t->scratch);
        t->code[i] = code;
    }
    if (t->fit)
        fit(t);
    t->groups = 1;
    t->d = (size_t)t->x.cols;
    return NN_OK;
}

/* ---- grids -------------------------------------------------------------------------- */

static void put(ex_quantise_task *t, const char *key, int value)
{
    const int row = ex_find_row(t->table, key);
    void *at = row < 0 ? NULL : (char *)t->config + t->table[row].at;

    if (at && t->table[row].kind == NN_INT)
        *(int *)at = value;
    else if (at)
        *(double *)at = value;
}

/* The columns decide the bits, where a group has few enough of them. */
static nn_status choose_bits(ex_quantise_task *t, int groups, nn_err *err)
{
    int each = t->x.cols / groups, more = groups;

    if (ex_find_row(t->table, "bits") < 0 || t->bits_given)
        return NN_OK;
    while (more <= NN_QUANT_PARTS
           && (t->x.cols % more || t->x.cols / more > MOST_BITS))
        more++;
    if (each > MOST_BITS && more <= NN_QUANT_PARTS)
        return nn_fail(err, NN_ECONFIG, "command line: %s takes up to %d columns a group,"
                       " not %d; groups=%d makes groups of %d", t->name, MOST_BITS, each,
                       more, t->x.cols / more);
    if (each > MOST_BITS)
        return nn_fail(err, NN_ECONFIG, "command line: %s takes up to %d columns a group,"
                       " not %d", t->name, MOST_BITS, each);
    put(t, "bits", each);
    return NN_OK;
}

/* The loss of training, entropies of all codes, is not asked for.  A width that does not
 * fit would get a projection, which training alone makes. */
static nn_status have_grid(ex_quantise_task *t, nn_err *err)
{
    const nn_quant_common *c = t->config;
    const nn_quant *kind = t->plan.kind;
    char why[256];

    if (t->x.cols % c->groups)
        return nn_fail(err, NN_ECONFIG, "command line: groups = %d, but %s has rows of %d,"
                       " which cannot be cut so", c->groups, t->file, t->x.cols);
    NN_TRY(choose_bits(t, c->groups, err));
    put(t, "entropy", 0);
    if (nn_quant_refuses(&t->plan, t->x.cols, why, sizeof why))
        return nn_fail(err, NN_ECONFIG, "command line: %s on rows of %d: %s", t->name,
                       t->x.cols, why);
    const int wanted = kind->columns ? kind->columns(t->config) * c->groups : t->x.cols;
    if (wanted != t->x.cols)
        return nn_fail(err, NN_EDATA, "%s: rows of %d numbers, but %s with these settings"
                       " takes %d", t->file, t->x.cols, t->name, wanted);
    t->store = (nn_store){ .arena = &t->own };
    t->grid = nn_quantiser_new(&t->store, "quantiser", &t->plan, t->x.cols);
    t->groups = c->groups;
    t->stages = c->stages;
    t->parts = nn_quantiser_parts(t->grid);
    t->d = (size_t)nn_quantiser_columns(t->grid);
    for (int i = 0; i < t->parts; i++)
        t->k[i] = (size_t)nn_quantiser_codes(t->grid);
    return NN_OK;
}

nn_status ex_quantise_read(ex_quantise_task *t, nn_err *err)
{
    NN_TRY(read_vectors(t, err));
    return t->plan.kind ? have_grid(t, err) : have_books(t, err);
}
