#include "experiments/quantise.h"

#include <float.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "experiments/config.h"
#include "experiments/config_read.h"
#include "experiments/machine.h"
#include "experiments/npy.h"
#include "experiments/survey.h"
#include "nn/quant/book.h"
#include "nn/quant/search.h"

/* Two sorts of methods:
 *
 *   books   the nearest of given codes, stage by stage on what is left over: every kind
 *           of quant.def with a table of codes (they differ in training alone), and
 *           cosine, unit and rvq
 *   grids   codes that are no table (fsq, lfq): the quantiser itself, without training
 *
 *   rows of X -> a chunk -> z, index, q of every part -> figures, and files if wanted
 *
 * Beside X and the codes nothing grows with n but what is to be written. */
enum {
    CHUNK = 1 << 14,                    /* rows at a time; and their floats: 16 MiB */
    CHUNK_FLOATS = 1 << 22,
    LEAST_CHUNK = 256,                  /* codes are packed anew for every chunk */
    MOST_COLS = 65536,                  /* as of loss */
    MOST_CODES = 1 << 24,               /* the search counts in floats */
    MOST_FIT = 1 << 20,                 /* as of `codes` in a configuration */
    ROUNDS = 20, STAGES = 2             /* of a codebook that is learnt */
};

typedef struct book_settings { int metric, stages; } book_settings;

static const nn_setting metric_table[] = {
    NN_SET_C(book_settings, metric, NN_BOOK_EUCLID, "euclid|cosine|unit", "nearest by what"),
    NN_SET_END
};
static const nn_setting stages_table[] = {
    NN_SET_C(book_settings, metric, NN_BOOK_EUCLID, "euclid|cosine|unit", "nearest by what"),
    NN_SET_I(book_settings, stages, 0, 0, NN_QUANT_PARTS, "0: as many as codebooks, or 2"),
    NN_SET_END
};
static const nn_setting no_table[] = { NN_SET_END };

/* Methods with a book that are none of quant.def. */
static const struct { const char *name; int metric, several; const nn_setting *table; }
extra[] = {
    { "cosine", NN_BOOK_COSINE, 0, no_table },
    { "unit", NN_BOOK_UNIT, 0, no_table },
    { "rvq", NN_BOOK_EUCLID, 1, stages_table },
};

/* What decides codes; the rest of a kind's settings is for training. */
static const char *const deciding[] = { "groups", "stages", "levels", "bits", "scale",
                                        "spherical", NULL };

typedef struct task {
    const ex_quantise_options *o;
    const char *name, *file;
    const nn_setting *table;
    void *config;
    book_settings book;                 /* of books; several: stages may be more than one */
    int several;
    nn_quant_plan plan;                 /* of grids; kind NULL: a book */
    nn_quantiser *grid;
    nn_store store;
    int bits_given;
    ex_npy x;
    ex_npy_shape shape;
    int parts, groups, stages;
    const float *code[NN_QUANT_PARTS];  /* (k, d) each */
    size_t k[NN_QUANT_PARTS], d;
    int fit, rounds, seed;
    ex_survey part[NN_QUANT_PARTS];
    met_code_sum sum;                   /* of whole vectors */
    met_code_loss whole;
    int *index;                         /* (n, parts); NULL: not wanted */
    float *decoded;                     /* (n, D); NULL */
    nn_arena own, scratch;
} task;

/* ---- the command line --------------------------------------------------------------- */

static const char *near(const char *word, const char *const *known, const char *otherwise,
                        char *out, size_t size)
{
    const char *best = nn_nearest(word, known);
    if (best)
        return ex_meant(best, out, size);
    return otherwise;
}

/* Every method, into a list that ends with NULL. */
static const char **methods(nn_arena *a)
{
    const int kinds = nn_quant_count();
    const char **list = NN_NEW0(a, const char *, kinds + (int)NN_COUNT(extra) + 1);

    for (int i = 0; i < kinds; i++)
        list[i] = nn_quant_at(i)->name;
    for (size_t i = 0; i < NN_COUNT(extra); i++)
        list[(size_t)kinds + i] = extra[i].name;
    return list;
}

static int find(task *t, const char *name)
{
    const nn_quant *kind = nn_quant_find(name);

    t->name = name;
    t->config = &t->book;
    if (kind && kind->table) {
        t->table = metric_table;
    } else if (kind) {
        t->table = kind->settings;
        t->config = nn_arena_zero(&t->own, kind->config_size);
        t->plan = (nn_quant_plan){ kind, t->config };
    }
    for (size_t i = 0; i < NN_COUNT(extra); i++)
        if (!kind && strcmp(name, extra[i].name) == 0) {
            t->table = extra[i].table;
            t->book.metric = extra[i].metric;
            t->several = extra[i].several;
        }
    if (!t->table)
        return 0;
    nn_setting_defaults(t->table, t->config);
    return 1;
}

static int decides(const task *t, const char *key)
{
    int i = 0;
    if (!t->plan.kind)
        return 1;
    while (deciding[i] && strcmp(key, deciding[i]) != 0)
        i++;
    return deciding[i] != NULL;
}

static nn_status set(task *t, const char *pair, nn_err *err)
{
    enum { MOST = 64 };
    const char *known[MOST + 1], *equals = strchr(pair, '=');
    char w[64], hint[96], none[128];
    char *key = nn_arena_copy(&t->own, pair);
    int n = 0;

    key[equals - pair] = 0;
    const int row = ex_find_row(t->table, key);
    if (row >= 0 && decides(t, key)) {
        t->bits_given |= strcmp(key, "bits") == 0;
        return ex_set_value(&t->table[row], t->config, nn_arena_copy(&t->own, equals + 1),
                            "command line", key, err);
    }
    if (row >= 0)
        return nn_fail(err, NN_ECONFIG, "command line: '%s' of %s matters in training alone;"
                       " leave it out", ex_quoted(key, w, sizeof w), t->name);
    for (int i = 0; t->table[i].name && n < MOST; i++)
        if (decides(t, t->table[i].name))
            known[n++] = t->table[i].name;
    known[n] = NULL;
    snprintf(none, sizeof none, "; %s", n ? "known are " : "it has none");
    for (int i = 0; i < n; i++)
        snprintf(none + strlen(none), sizeof none - strlen(none), "%s%s", i ? ", " : "",
                 known[i]);
    return nn_fail(err, NN_ECONFIG, "command line: no setting '%s' in %s%s",
                   ex_quoted(key, w, sizeof w), t->name,
                   near(key, known, none, hint, sizeof hint));
}

static nn_status whole_number(const char *option, const char *text, int least, int most,
                              int *to, nn_err *err)
{
    char *end;
    if (!text)
        return NN_OK;
    const long x = strtol(text, &end, 10);
    if (end == text || *end || x < least || x > most)
        return nn_fail(err, NN_ECONFIG, "command line: --%s wants a whole number from %d"
                       " to %d, not '%.40s'", option, least, most, text);
    *to = (int)x;
    return NN_OK;
}

static nn_status check_options(task *t, nn_err *err)
{
    const ex_quantise_options *o = t->o;
    const char *of_run = o->split ? "split" : o->checkpoint ? "checkpoint" : NULL;
    const char *of_fit = o->rounds ? "rounds" : o->seed ? "seed"
        : o->codebook ? "codebook-out" : NULL;

    if (of_run)
        return nn_fail(err, NN_ECONFIG, "command line: --%s is of a run, not of %s",
                       of_run, t->name);
    if (!t->file)
        return nn_fail(err, NN_ECONFIG, "command line: %s wants a file of vectors:"
                       " fullrank quantise %s X.npy", t->name, t->name);
    if (t->plan.kind && (o->books || o->fit || of_fit))
        return nn_fail(err, NN_ECONFIG, "command line: %s has no codebook; leave --%s out",
                       t->name, o->books ? "codebook" : o->fit ? "fit" : of_fit);
    if (o->books && o->fit)
        return nn_fail(err, NN_ECONFIG, "command line: --codebook gives codes and --fit"
                       " learns others; leave one out");
    if (of_fit && !o->fit)
        return nn_fail(err, NN_ECONFIG, "command line: --%s goes with --fit K", of_fit);
    if (!t->plan.kind && !o->books && !o->fit)
        return nn_fail(err, NN_ECONFIG, "command line: %s wants --codebook FILE.npy, or"
                       " --fit K to learn one of K codes from %s", t->name, t->file);
    if (o->fit && t->book.metric == NN_BOOK_COSINE)
        return nn_fail(err, NN_ECONFIG, "command line: --fit makes codes that are near by"
                       " distance; for angles take unit instead of cosine");
    if (!t->several && o->books > 1)
        return nn_fail(err, NN_ECONFIG, "command line: %s takes one --codebook, not %d; rvq"
                       " takes one for every stage", t->name, o->books);
    t->rounds = ROUNDS;
    NN_TRY(whole_number("fit", o->fit, 1, MOST_FIT, &t->fit, err));
    NN_TRY(whole_number("rounds", o->rounds, 0, 10000, &t->rounds, err));
    return whole_number("seed", o->seed, 0, 0x7fffffff, &t->seed, err);
}

static int is_setting(const char *word)
{
    const size_t n = strlen(word);
    return strchr(word, '=') && (n < 4 || strcmp(word + n - 4, ".npy") != 0);
}

static nn_status understand(task *t, nn_err *err)
{
    const ex_quantise_options *o = t->o;

    for (int i = 1; i < o->words; i++)
        if (is_setting(o->word[i]))
            NN_TRY(set(t, o->word[i], err));
        else if (!t->file)
            t->file = o->word[i];
        else
            return nn_fail(err, NN_ECONFIG, "command line: one file of vectors, not '%.80s'"
                           " as well; codes are given with --codebook", o->word[i]);
    return check_options(t, err);
}

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

static nn_status read_vectors(task *t, nn_err *err)
{
    NN_TRY(ex_npy_read_rows(t->file, &t->own, &t->x, &t->shape, err));
    if (t->x.rows < 1 || t->x.cols < 1 || t->x.cols > MOST_COLS)
        return nn_fail(err, NN_EDATA, "%s: %d rows of %d numbers; wanted are 1 row or more"
                       " of 1 to %d", t->file, t->x.rows, t->x.cols, MOST_COLS);
    return check_numbers(t->file, &t->x, err);
}

/* (K, D), or with several stages (S, K, D) as well. */
static nn_status read_book(task *t, const char *file, nn_err *err)
{
    ex_npy c;
    ex_npy_shape shape;

    NN_TRY(ex_npy_read_rows(file, &t->own, &c, &shape, err));
    const int stages = shape.dims == 3 && t->several ? shape.dim[0] : 1;
    const int k = shape.dim[shape.dims - 2];
    if (shape.dims > 3 || (shape.dims == 3 && !t->several))
        return nn_fail(err, NN_EDATA, "%s: an array of %d dimensions; a codebook is (K, D)%s",
                       file, shape.dims, t->several ? ", or (S, K, D) for all stages" : "");
    if (c.rows < 1)
        return nn_fail(err, NN_EDATA, "%s: holds no codes", file);
    if (k > MOST_CODES)
        return nn_fail(err, NN_EDATA, "%s: holds %d codes; at most %d are searched", file, k,
                       MOST_CODES);
    if (c.cols != t->x.cols)
        return nn_fail(err, NN_EDATA, "%s: codes of %d numbers, but %s has rows of %d", file,
                       c.cols, t->file, t->x.cols);
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

static int chunk_rows(const task *t)
{
    const int fit = CHUNK_FLOATS / t->x.cols;
    return fit > CHUNK ? CHUNK : fit < LEAST_CHUNK ? LEAST_CHUNK : fit;
}

/* The operator of training, so that the bits are its. */
static void unit_rows(const task *t, float *x, size_t rows, nn_arena *scratch)
{
    const size_t d = (size_t)t->x.cols, most = (size_t)chunk_rows(t);

    for (size_t at = 0; at < rows; at += most) {
        const size_t mark = nn_arena_mark(scratch), n = rows - at < most ? rows - at : most;
        nn_tape tape;
        nn_tape_start(&tape, scratch, scratch);
        tape.record = 0;
        nn_node *in = nn_input(&tape, nn_shape2((int)n, (int)d), x + at * d, 0);
        memcpy(x + at * d, nn_unitrow(&tape, in, 1e-12f)->val, sizeof *x * n * d);
        nn_pool_free(&tape.pool);
        nn_arena_rewind(scratch, mark);
    }
}

/* q of n rows, and what they leave over (rest may be z, or NULL). */
static void gather(size_t n, size_t d, const float *code, const int *index, const float *z,
                   float *q, float *rest)
{
    for (size_t i = 0; i < n; i++) {
        const float *c = code + (size_t)index[i] * d;
        memcpy(q + i * d, c, sizeof *q * d);
        for (size_t j = 0; rest && j < d; j++)
            rest[i * d + j] = z[i * d + j] - c[j];
    }
}

/* Each stage on what those before it leave over: rows of X drawn at random, all different
 * where there are enough, and rounds of k-means. */
static void fit(task *t)
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
        nn_book_fill(NN_BOOK_DATA, k, d, code, rest, n, &r, &t->scratch);
        nn_kmeans(k, d, code, rest, n, t->rounds, &t->scratch);
        if (t->book.metric == NN_BOOK_UNIT)
            unit_rows(t, code, k, &t->scratch);
        t->code[s] = code;
        t->k[s] = k;
        if (s + 1 == t->stages)
            break;
        nn_search_nearest(&(nn_search){ .n = n, .k = k, .d = d, .z = rest, .code = code,
                                        .index = index }, &t->scratch);
        gather(n, d, code, index, rest, q, rest);
    }
    t->parts = t->stages;
    nn_arena_rewind(&t->scratch, mark);
}

static nn_status have_books(task *t, nn_err *err)
{
    const int unit = t->book.metric == NN_BOOK_UNIT;

    for (int i = 0; i < t->o->books; i++)
        NN_TRY(read_book(t, t->o->book[i], err));
    if (t->parts && t->book.stages && t->book.stages != t->parts)
        return nn_fail(err, NN_ECONFIG, "command line: stages = %d, but there are codebooks"
                       " for %d", t->book.stages, t->parts);
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

static void put(task *t, const char *key, int value)
{
    const int row = ex_find_row(t->table, key);
    void *at = row < 0 ? NULL : (char *)t->config + t->table[row].at;

    if (at && t->table[row].kind == NN_INT)
        *(int *)at = value;
    else if (at)
        *(double *)at = value;
}

/* The columns decide the bits; the loss of training, entropies of all codes, is not asked
 * for.  A width that does not fit would get a projection, which only training can make. */
static nn_status have_grid(task *t, nn_err *err)
{
    const nn_quant_common *c = t->config;
    const nn_quant *kind = t->plan.kind;
    char why[256];

    if (ex_find_row(t->table, "bits") >= 0 && !t->bits_given && t->x.cols / c->groups < 24)
        put(t, "bits", t->x.cols / c->groups);
    put(t, "entropy", 0);
    if (nn_quant_refuses(&t->plan, t->x.cols, why, sizeof why))
        return nn_fail(err, NN_ECONFIG, "command line: %s on rows of %d: %s", t->name,
                       t->x.cols, why);
    const int wanted = kind->columns(t->config) * c->groups;
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

/* ---- a chunk ------------------------------------------------------------------------ */

typedef struct chunk {
    size_t from, n;
    const float *z[NN_QUANT_PARTS], *q[NN_QUANT_PARTS];
    const int *index[NN_QUANT_PARTS];
} chunk;

static nn_status search_books(task *t, chunk *c, nn_err *err)
{
    nn_arena *a = &t->scratch;
    const size_t d = t->d, n = c->n;
    const float *z = t->x.val + c->from * d;

    for (int s = 0; s < t->parts; s++) {
        int *index = NN_NEW(a, int, n);
        float *q = NN_NEW(a, float, n * d);
        float *rest = s + 1 < t->parts ? NN_NEW(a, float, n * d) : NULL;
        const nn_search search = { .n = n, .k = t->k[s], .d = d, .z = z,
                                   .code = t->code[s], .index = index,
                                   .cosine = t->book.metric == NN_BOOK_COSINE };
        if (nn_search_nearest(&search, a))
            return nn_fail(err, NN_EDATA, "%s: rows %zu to %zu: what is left over after"
                           " stage %d is too long to be squared in float32", t->file,
                           c->from, c->from + n - 1, s);
        gather(n, d, t->code[s], index, z, q, rest);
        c->z[s] = z;
        c->q[s] = q;
        c->index[s] = index;
        z = rest;
    }
    return NN_OK;
}

static void ask_grid(task *t, nn_tape *tape, chunk *c)
{
    const nn_quant_clock clock = { .steps = 1 };
    nn_node *z = nn_input(tape, nn_shape2((int)c->n, t->x.cols),
                          t->x.val + c->from * (size_t)t->x.cols, 0);
    const nn_quantised found = nn_quantise(tape, t->grid, z, &clock);

    for (int i = 0; i < t->parts; i++) {
        c->z[i] = found.z[i]->val;
        c->q[i] = found.code[i]->val;
        c->index[i] = found.index[i];
    }
}

/* Whole vectors: groups side by side, the codes of the stages added up. */
static void join(const task *t, const chunk *c, float *z, float *q)
{
    const size_t d = t->d, all = (size_t)t->x.cols;

    for (int p = 0; p < t->parts; p++) {
        const size_t group = (size_t)(p / t->stages) * d;
        const int first = p % t->stages == 0;
        for (size_t i = 0; i < c->n; i++)
            for (size_t j = 0; j < d; j++) {
                const size_t at = i * all + group + j, from = i * d + j;
                z[at] = first ? c->z[p][from] : z[at];
                q[at] = first ? c->q[p][from] : q[at] + c->q[p][from];
            }
    }
}

static void note(task *t, const chunk *c)
{
    const size_t parts = (size_t)t->parts, all = (size_t)t->x.cols;
    float *z = NN_NEW(&t->scratch, float, c->n * all),
          *q = NN_NEW(&t->scratch, float, c->n * all);

    join(t, c, z, q);
    met_code_add(&t->sum, c->n, z, q, &t->scratch);
    for (size_t p = 0; p < parts; p++) {
        ex_survey_add(&t->part[p], c->n, c->index[p], c->z[p], c->q[p], &t->scratch);
        for (size_t i = 0; t->index && i < c->n; i++)
            t->index[(c->from + i) * parts + p] = c->index[p][i];
    }
    if (t->decoded)
        memcpy(t->decoded + c->from * all, q, sizeof *q * c->n * all);
}

static nn_status quantise(task *t, nn_err *err)
{
    const size_t n = (size_t)t->x.rows, most = (size_t)chunk_rows(t);

    for (int i = 0; i < t->parts; i++)
        t->part[i] = ex_survey_open(t->k[i], t->d, &t->own);
    t->sum = met_code_sum_of(t->x.cols, &t->own);
    if (t->o->indices)
        t->index = NN_NEW(&t->own, int, n * (size_t)t->parts);
    if (t->o->decoded)
        t->decoded = NN_NEW(&t->own, float, n * (size_t)t->x.cols);
    for (size_t from = 0; from < n; from += most) {
        const size_t mark = nn_arena_mark(&t->scratch);
        chunk c = { .from = from, .n = n - from < most ? n - from : most };
        nn_tape tape;
        nn_tape_start(&tape, &t->scratch, &t->scratch);
        tape.mode = NN_EVAL;
        tape.record = 0;
        nn_status status = NN_OK;
        if (t->grid)
            ask_grid(t, &tape, &c);
        else
            status = search_books(t, &c, err);
        if (status == NN_OK)
            note(t, &c);
        nn_pool_free(&tape.pool);
        nn_arena_rewind(&t->scratch, mark);
        NN_TRY(status);
    }
    for (int i = 0; i < t->parts; i++)
        ex_survey_close(&t->part[i], t->code[i], &t->scratch);
    t->whole = met_code_loss_of(&t->sum);
    return NN_OK;
}

/* ---- results ------------------------------------------------------------------------ */

/* Indices: the shape of X without its last dimension, and one for the parts if there are
 * several. */
static nn_status write_files(const task *t, nn_err *err)
{
    const ex_quantise_options *o = t->o;
    ex_npy_shape shape = t->shape;

    shape.dims -= t->parts == 1;
    shape.dim[t->shape.dims - 1] = t->parts;
    if (o->indices)
        NN_TRY(ex_npy_write_ints(o->indices, &shape, t->index, err));
    if (o->decoded)
        NN_TRY(ex_npy_write_floats(o->decoded, &t->shape, t->decoded, err));
    if (!o->codebook)
        return NN_OK;
    const size_t each = t->k[0] * t->d;         /* learnt: all of one size */
    nn_arena own = {0};
    float *all = NN_NEW(&own, float, each * (size_t)t->parts);
    for (int i = 0; i < t->parts; i++)
        memcpy(all + (size_t)i * each, t->code[i], sizeof *all * each);
    const int k = (int)t->k[0], d = (int)t->d;
    const ex_npy_shape book = t->parts == 1 ? (ex_npy_shape){ 2, { k, d } }
                                            : (ex_npy_shape){ 3, { t->parts, k, d } };
    nn_status status = ex_npy_write_floats(o->codebook, &book, all, err);
    nn_arena_free(&own);
    return status;
}

static const char *by(const task *t)
{
    static const char *const words[] = { "euclid", "cosine", "unit" };
    return t->plan.kind ? "grid" : words[t->book.metric];
}

static const char *part_name(const task *t, int i, char *out, size_t size)
{
    if (t->grid)
        return nn_quantiser_part_name(t->grid, i, out, size);
    snprintf(out, size, "s%d", i);
    return out;
}

/* Means over the parts, but errors of the whole: that is what remains in the end. */
static void tell_json(const task *t, FILE *out)
{
    json_t *parts = json_array();
    char name[16];
    int same = 1;

    for (int i = 0; i < t->parts; i++) {
        json_t *p = json_pack("{s:s, s:I}", "part", part_name(t, i, name, sizeof name), "K",
                              (json_int_t)t->k[i]);
        ex_survey_json(&t->part[i], 1, p);
        json_array_append_new(parts, p);
        same &= t->k[i] == t->k[0];
    }
    json_t *o = json_pack("{s:s, s:s, s:i, s:i, s:o}", "method", t->name, "search", by(t),
                          "n", t->x.rows, "D", t->x.cols, "K",
                          same ? json_integer((json_int_t)t->k[0]) : json_null());
    NN_NEED(o, "quantise: out of memory, or a name that is not UTF-8");
    ex_survey_json(t->part, t->parts, o);
    json_object_set_new(o, "code/error", ex_json_number(t->whole.error));
    json_object_set_new(o, "code/error_relative", ex_json_number(t->whole.relative));
    json_object_set_new(o, "code/z_rms", ex_json_number(t->whole.z_rms));
    json_object_set_new(o, "parts", parts);
    json_dumpf(o, out, JSON_INDENT(2) | JSON_REAL_PRECISION(10));
    fputc('\n', out);
    json_decref(o);
}

static void tell(const task *t, FILE *out)
{
    static const char *const words[] = { "nearest by distance", "nearest by angle",
                                         "nearest of unit length" };
    char name[16];

    fprintf(out, "%s: %s\nn = %d, D = %d\n", t->name,
            t->plan.kind ? t->plan.kind->about : words[t->book.metric], t->x.rows,
            t->x.cols);
    ex_survey_head(out);
    for (int i = 0; i < t->parts; i++)
        ex_survey_line(&t->part[i], part_name(t, i, name, sizeof name), out);
    fprintf(out, "mean |x - q|^2 %.9g", t->whole.error);
    if (isfinite(t->whole.relative))
        fprintf(out, ", %.4g of the variance of x", t->whole.relative);
    fputc('\n', out);
}

static nn_status of_file(task *t, nn_err *err)
{
    NN_TRY(ex_machine_choose(t->o->threads, err));
    NN_TRY(understand(t, err));
    NN_TRY(read_vectors(t, err));
    NN_TRY(t->plan.kind ? have_grid(t, err) : have_books(t, err));
    NN_TRY(quantise(t, err));
    return write_files(t, err);
}

static nn_status no_such(const char *name, nn_arena *a, nn_err *err)
{
    char w[64], hint[96];
    return nn_fail(err, NN_ECONFIG, "command line: no method or folder of a run '%s'%s",
                   ex_quoted(name, w, sizeof w),
                   near(name, methods(a), "; 'fullrank list quantisers' names the methods",
                        hint, sizeof hint));
}

nn_status ex_quantise(const ex_quantise_options *o, FILE *out, nn_err *err)
{
    struct stat st;
    task *t = calloc(1, sizeof *t);
    nn_status status;

    NN_NEED(t, "out of memory");
    signal(SIGXFSZ, SIG_IGN);           /* a limit on file sizes is an error of writing */
    t->o = o;
    if (find(t, o->word[0])) {
        status = of_file(t, err);
        if (status == NN_OK)
            (o->json ? tell_json : tell)(t, out);
    } else if (stat(o->word[0], &st) == 0 && S_ISDIR(st.st_mode)) {
        status = ex_quantise_run(o, out, err);
    } else {
        status = no_such(o->word[0], &t->own, err);
    }
    nn_arena_free(&t->own);
    nn_arena_free(&t->scratch);
    free(t);
    return status;
}
