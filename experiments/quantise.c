#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "experiments/config_read.h"
#include "experiments/machine.h"
#include "experiments/quantise_task.h"

enum {
    ROUNDS = 20,                        /* of k-means, unless told */
    MOST_FIT = 1 << 20                  /* codes to learn: as in a configuration */
};

#define METRIC \
    NN_SET_C(ex_book_settings, metric, NN_BOOK_EUCLID, "euclid|cosine|unit", \
             "nearest by what")

static const nn_setting metric_table[] = {
    METRIC,
    NN_SET_END
};
static const nn_setting stages_table[] = {
    METRIC,
    NN_SET_I(ex_book_settings, stages, 0, 0, NN_QUANT_PARTS,
             "0: as many as there are codebooks, or 2"),
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

static int find(ex_quantise_task *t, const char *name)
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

static int decides(const ex_quantise_task *t, const char *key)
{
    int i = 0;
    if (!t->plan.kind)
        return 1;
    while (deciding[i] && strcmp(key, deciding[i]) != 0)
        i++;
    return deciding[i] != NULL;
}

static nn_status set(ex_quantise_task *t, const char *pair, nn_err *err)
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
        return nn_fail(err, NN_ECONFIG, "command line: '%s' of %s matters in training"
                       " alone; leave it out", ex_quoted(key, w, sizeof w), t->name);
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

/* A result never replaces another, nor what it was made from. */
static nn_status check_files(const ex_quantise_task *t, nn_err *err)
{
    const ex_quantise_options *o = t->o;
    const char *const to[] = { o->indices, o->decoded, o->codebook };

    for (size_t i = 0; i < NN_COUNT(to); i++) {
        int twice = to[i] && strcmp(to[i], t->file) == 0;
        for (size_t j = 0; j < i && to[i]; j++)
            twice |= to[j] && strcmp(to[i], to[j]) == 0;
        for (int j = 0; j < o->books && to[i]; j++)
            twice |= strcmp(to[i], o->book[j]) == 0;
        if (twice)
            return nn_fail(err, NN_ECONFIG, "command line: %.200s is named twice; a result"
                           " wants a file of its own", to[i]);
    }
    return NN_OK;
}

static nn_status check_options(ex_quantise_task *t, nn_err *err)
{
    const nn_quant *kind = nn_quant_find(t->name);
    const ex_quantise_options *o = t->o;
    const char *of_run = o->split ? "split" : o->checkpoint ? "checkpoint" : NULL;
    const char *of_fit = o->rounds ? "rounds" : o->seed ? "seed"
        : o->codebook ? "codebook-out" : NULL;

    if (kind && kind->side_information)
        return nn_fail(err, NN_ECONFIG, "command line: %s keeps more of a vector than its"
                       " code; only its runs can be quantised: fullrank quantise RUN",
                       t->name);
    if (of_run)
        return nn_fail(err, NN_ECONFIG, "command line: --%s is of a run, not of %s",
                       of_run, t->name);
    if (!t->file)
        return nn_fail(err, NN_ECONFIG, "command line: %s wants a file of vectors:"
                       " fullrank quantise %s X.npy", t->name, t->name);
    if (t->plan.kind && (o->books || o->fit || of_fit))
        return nn_fail(err, NN_ECONFIG, "command line: %s has no codebook; leave --%s"
                       " out", t->name, o->books ? "codebook" : o->fit ? "fit" : of_fit);
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
        return nn_fail(err, NN_ECONFIG, "command line: %s takes one --codebook, not %d;"
                       " rvq takes one for every stage", t->name, o->books);
    NN_TRY(check_files(t, err));
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

static nn_status understand(ex_quantise_task *t, nn_err *err)
{
    const ex_quantise_options *o = t->o;

    for (int i = 1; i < o->words; i++)
        if (is_setting(o->word[i]))
            NN_TRY(set(t, o->word[i], err));
        else if (!t->file)
            t->file = o->word[i];
        else
            return nn_fail(err, NN_ECONFIG, "command line: one file of vectors, not"
                           " '%.80s' as well; codes are given with --codebook",
                           o->word[i]);
    return check_options(t, err);
}

/* ---- results ------------------------------------------------------------------------ */

/* Indices: the shape of X without its last dimension, and one for the parts if there are
 * several. */
static nn_status write_files(const ex_quantise_task *t, nn_err *err)
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

static const char *by(const ex_quantise_task *t)
{
    static const char *const words[] = { "euclid", "cosine", "unit" };
    return t->plan.kind ? "grid" : words[t->book.metric];
}

static const char *part_name(const ex_quantise_task *t, int i, char *out, size_t size)
{
    if (t->grid)
        return nn_quantiser_part_name(t->grid, i, out, size);
    snprintf(out, size, "s%d", i);
    return out;
}

/* Means over the parts, but errors of the whole: that is what remains in the end. */
static void tell_json(const ex_quantise_task *t, FILE *out)
{
    json_t *parts = json_array();
    char name[16];
    int same = 1;

    for (int i = 0; i < t->parts; i++) {
        json_t *p = json_pack("{s:s, s:I}", "part",
                              part_name(t, i, name, sizeof name), "K",
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

static void tell(const ex_quantise_task *t, FILE *out)
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

static nn_status of_file(ex_quantise_task *t, nn_err *err)
{
    NN_TRY(ex_machine_choose(t->o->threads, err));
    NN_TRY(understand(t, err));
    NN_TRY(ex_quantise_read(t, err));
    NN_TRY(ex_quantise_rows(t, err));
    return write_files(t, err);
}

static nn_status no_such(const char *name, nn_arena *a, nn_err *err)
{
    char w[64], hint[96];
    return nn_fail(err, NN_ECONFIG, "command line: no method or folder of a run '%s'%s",
                   ex_quoted(name, w, sizeof w),
                   near(name, methods(a), "; 'fullrank list quantisers' names the"
                        " methods", hint, sizeof hint));
}

nn_status ex_quantise(const ex_quantise_options *o, FILE *out, nn_err *err)
{
    struct stat st;
    ex_quantise_task *t = calloc(1, sizeof *t);
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
