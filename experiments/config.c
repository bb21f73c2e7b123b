#include "experiments/config.h"

#include <ctype.h>
#include <errno.h>
#include <libgen.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "experiments/config_read.h"
#include "experiments/init.h"
#include "metrics/met.h"
#include "nn/base.h"

const nn_setting ex_top_table[] = {
    NN_SET_I(ex_top, epochs, 20, 1, 100000, "passes over the training images"),
    NN_SET_I(ex_top, batch, 256, 2, 65536,
             "images per step; the last partial batch is dropped"),
    NN_SET_I(ex_top, shards, 1, 1, 1024, "equal parts a batch is split into (1 for now)"),
    NN_SET_I(ex_top, seed, 0, 0, 2147483647,
             "every random number of the run follows from it"),
    NN_SET_T(ex_top, name, "", "first folder under out; empty: the name of the file"),
    NN_SET_T(ex_top, out, "runs", "folder that holds the runs"),
    NN_SET_END
};

const nn_setting ex_metrics_table[] = {
    NN_SET_I(ex_metrics, every, 1, 1, 100000,
             "epochs between evaluations; the last is always one"),
    NN_SET_I(ex_metrics, samples, 2048, 2, 1000000,
             "held-out images the metrics are computed on"),
    NN_SET_I(ex_metrics, bank, 10000, 1, 10000000,
             "training images the kNN classifier remembers"),
    NN_SET_I(ex_metrics, knn_k, 200, 1, 1000000, "neighbours that vote in kNN"),
    NN_SET_F(ex_metrics, knn_t, 0.1, 1e-3, 1e3,
             "temperature of the votes, exp(cosine / t)"),
    NN_SET_I(ex_metrics, lid_k, 32, 2, 100000,
             "neighbours for local intrinsic dimension"),
    NN_SET_C(ex_metrics, linear, EX_LINEAR_OFF, "off|last|every",
             "linear probe of h: never, at the end, or at every evaluation"),
    NN_SET_I(ex_metrics, linear_bank, 0, 0, 10000000,
             "training images the linear probe learns from, 0 = all"),
    NN_SET_C(ex_metrics, probe, MET_SGD, "ridge|sgd",
             "how it learns: least squares at once, or logistic regression in epochs"),
    NN_SET_I(ex_metrics, probe_epochs, 50, 1, 100000, "epochs of probe=sgd"),
    NN_SET_F(ex_metrics, probe_lr, 0.1, 0, 1e3,
             "learning rate of probe=sgd; 0: the best of .01, .1, 1 on a tenth left out"),
    NN_SET_B(ex_metrics, online, 0,
             "a linear classifier on h that learns beside the method, not touching it"),
    NN_SET_F(ex_metrics, online_lr, 0.1, 1e-9, 1e3, "its learning rate"),
    NN_SET_END
};

const nn_setting ex_alarm_table[] = {
    NN_SET_C(ex_alarm, action, EX_ALARM_WARN, "warn|stop|off",
             "when the verdict is collapse: say so, stop with exit code 3, or nothing"),
    NN_SET_I(ex_alarm, patience, 3, 1, 100000,
             "collapsed evaluations in a row before that; early epochs often look bad"),
    NN_SET_END
};

const nn_setting ex_init_table[] = {
    NN_SET_T(ex_init, from, "",
             "safetensors file to start from, as PyTorch writes them; empty: random"),
    NN_SET_C(ex_init, part, EX_INIT_BACKBONE, "backbone|all",
             "what is read from it: the model alone, or the method's heads too"),
    NN_SET_END
};

const nn_setting ex_saving_table[] = {
    NN_SET_F(ex_saving, seconds, 60, 0, 1e6,
             "time between two checkpoints, and at least 200 times what writing one"
             " takes, up to an hour; 0: after every step"),
    NN_SET_END
};

const nn_setting ex_memory_table[] = {
    NN_SET_F(ex_memory, limit, 0, 0, 1e6,
             "GiB this run may take; 0: what the machine has free at the start"),
    NN_SET_END
};

/* ---- values -------------------------------------------------------------------- */

static nn_status set_number(const nn_setting *s, char *field, const char *text,
                            const char *where, const char *full, nn_err *err)
{
    char v[64], *end;
    double x;

    if (s->kind == NN_INT) {
        errno = 0;
        long long i = strtoll(text, &end, 10);
        if (end == text || *end || isspace((unsigned char)*text))
            return nn_fail(err, NN_ECONFIG, "%s: %s wants a whole number, not '%s'",
                           where, full, ex_quoted(text, v, sizeof v));
        x = errno == ERANGE ? (i > 0 ? HUGE_VAL : -HUGE_VAL) : (double)i;
    } else {
        x = strtod(text, &end);
        if (end == text || *end || isspace((unsigned char)*text) || strpbrk(text, "xXpP"))
            return nn_fail(err, NN_ECONFIG, "%s: %s wants a number, not '%s'", where,
                           full, ex_quoted(text, v, sizeof v));
    }
    if (!(x >= s->lo && x <= s->hi))
        return nn_fail(err, NN_ECONFIG, "%s: %s = %s is out of range (%.10g to %.10g)",
                       where, full, ex_quoted(text, v, sizeof v), s->lo, s->hi);
    if (s->kind == NN_INT)
        *(int *)(void *)field = (int)x;
    else
        *(double *)(void *)field = x + 0.0;     /* -0 becomes 0: one value, one digest */
    return NN_OK;
}

static nn_status set_choice(const nn_setting *s, char *field, const char *text,
                            const char *where, const char *full, nn_err *err)
{
    enum { MOST = 32, LENGTH = 32 };
    char word[MOST][LENGTH], all[512] = "", v[64], hint[96];
    const char *known[MOST + 1];
    int n = nn_setting_words(s->words);
    size_t used = 0;

    NN_NEED(n <= MOST, "setting %s: more than %d choices", s->name, MOST);
    for (int i = 0; i < n; i++) {
        nn_setting_word(s->words, i, word[i], LENGTH);
        known[i] = word[i];
        if (strcmp(word[i], text) == 0) {
            *(int *)(void *)field = i;
            return NN_OK;
        }
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "",
                                 word[i]);
        if (used >= sizeof all)
            used = sizeof all - 1;
    }
    known[n] = NULL;
    return nn_fail(err, NN_ECONFIG, "%s: %s is one of %s, not '%s'%s", where, full, all,
                   ex_quoted(text, v, sizeof v),
                   ex_meant(nn_nearest(text, known), hint, sizeof hint));
}

static nn_status set_bool(char *field, const char *text, const char *where,
                          const char *full, nn_err *err)
{
    static const char *const yes[] = { "true", "yes", "on" };
    static const char *const no[] = { "false", "no", "off" };
    char v[64];

    for (size_t i = 0; i < NN_COUNT(yes); i++)
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *(int *)(void *)field = strcasecmp(text, yes[i]) == 0;
            return NN_OK;
        }
    return nn_fail(err, NN_ECONFIG, "%s: %s wants true or false, not '%s'", where, full,
                   ex_quoted(text, v, sizeof v));
}

nn_status ex_set_value(const nn_setting *s, void *config, const char *text,
                       const char *where, const char *full, nn_err *err)
{
    char *field = (char *)config + s->at;
    switch (s->kind) {
    case NN_BOOL:   return set_bool(field, text, where, full, err);
    case NN_INT: case NN_FLOAT: return set_number(s, field, text, where, full, err);
    case NN_CHOICE: return set_choice(s, field, text, where, full, err);
    case NN_TEXT:   *(const char **)(void *)field = text; break;
    }
    return NN_OK;
}

/* ---- components ---------------------------------------------------------------- */

static const char *component(int section, int i)
{
    switch (section) {
    case EX_METHOD: return i < ssl_method_count() ? ssl_method_at(i)->name : NULL;
    case EX_MODEL:  return i < nn_model_count() ? nn_model_at(i)->name : NULL;
    case EX_QUANTISER: return i < nn_quant_count() ? nn_quant_at(i)->name : NULL;
    case EX_DATA:   return i < data_source_count() ? data_source_at(i)->name : NULL;
    case EX_OPTIM:  return i < opt_method_count() ? opt_method_at(i)->name : NULL;
    default:        return NULL;
    }
}

/* What a section means when the file does not choose; a method is always chosen. */
static const char *const usual[EX_SECTIONS] = {
    [EX_MODEL] = "conv3", [EX_QUANTISER] = "vq", [EX_DATA] = "fashion-mnist",
    [EX_OPTIM] = "sgd"
};

const char *ex_usual(int section)
{
    return usual[section];
}

static nn_status choose(const ex_reader *r, ex_config *c, int section)
{
    enum { MOST = 64 };
    static const char *const noun[EX_SECTIONS] = {
        [EX_METHOD] = "method", [EX_MODEL] = "model", [EX_QUANTISER] = "quantiser",
        [EX_DATA] = "data set", [EX_OPTIM] = "optimiser"
    };
    ex_section *s = &c->section[section];
    const char *known[MOST + 1], *want = usual[section];
    char at[EX_PLACE], w[64], hint[96], all[400] = "";
    int n = 0;
    size_t used = 0;

    for (int i = 0; i < r->count; i++)
        if (r->list[i].section == section && strcmp(r->list[i].key, "name") == 0) {
            want = r->list[i].value;
            s->chosen_mark = r->list[i].mark;
        }
    for (const char *name; n < MOST && (name = component(section, n)); n++) {
        known[n] = name;
        used +=
            (size_t)snprintf(all + used, sizeof all - used, "%s%s", n ? ", " : "", name);
        if (used >= sizeof all)
            used = sizeof all - 1;
    }
    known[n] = NULL;
    if (!want)
        return nn_fail(r->err, NN_ECONFIG,
                       "%s: no method; add 'method: {name: ...}' with one of"
                       " %s",
                       r->file, all);
    for (int i = 0; i < n; i++)
        if (strcmp(known[i], want) == 0) {
            s->chosen = known[i];
            return NN_OK;
        }
    const char *near = nn_nearest(want, known);
    return nn_fail(r->err, NN_ECONFIG, "%s: no %s '%s'%s",
                   ex_place(r->file, s->chosen_mark, at, sizeof at), noun[section],
                   ex_quoted(want, w, sizeof w),
                   near ? ex_meant(near, hint, sizeof hint)
                        : (snprintf(hint, sizeof hint, "; there is %.80s", all), hint));
}

static void fill(nn_arena *a, ex_section *s, const char *name, const nn_setting *table,
                 void *at)
{
    s->name = name;
    s->table = table;
    s->at = at;
    for (s->rows = 0; table[s->rows].name; s->rows++)
        ;
    s->mark = NN_NEW0(a, ex_mark, s->rows + 1);
    nn_setting_defaults(table, at);
}

/* The section of a codebook, if the method has one. */
static nn_status choose_quantiser(const ex_reader *r, ex_config *c)
{
    static const nn_setting none[] = { NN_SET_END };
    ex_section *s = &c->section[EX_QUANTISER];
    char at[EX_PLACE];

    if (c->method->quantises) {
        NN_TRY(choose(r, c, EX_QUANTISER));
        const nn_quant *kind = nn_quant_find(s->chosen);
        void *config = nn_arena_zero(r->arena, kind->config_size);
        fill(r->arena, s, "quantiser", kind->settings, config);
        c->quantiser = (nn_quant_plan){ kind, config };
        return NN_OK;
    }
    fill(r->arena, s, "quantiser", none, NULL);
    for (int i = 0; i < r->count; i++)
        if (r->list[i].section == EX_QUANTISER)
            return nn_fail(r->err, NN_ECONFIG,
                           "%s: quantiser means nothing to %s, which has no codebook;"
                           " method.name=vqvae has one",
                           ex_place(r->file, r->list[i].mark, at, sizeof at),
                           c->method->name);
    return NN_OK;
}

/* A method that decodes needs a model that can. */
static nn_status check_decodes(const ex_reader *r, const ex_config *c)
{
    char at[EX_PLACE], all[200] = "";
    size_t used = 0;

    if (!c->method->decodes || c->model->decode)
        return NN_OK;
    for (int i = 0; i < nn_model_count() && used < sizeof all; i++)
        if (nn_model_at(i)->decode)
            used += (size_t)snprintf(all + used, sizeof all - used, "%s%s",
                                     used ? ", " : "", nn_model_at(i)->name);
    return nn_fail(r->err, NN_ECONFIG, "%s: %s needs a model that makes images again, which"
                   " %s does not; model.name is one of %s",
                   ex_config_where(c, EX_MODEL, "name", at, sizeof at), c->method->name,
                   c->model->name, all);
}

static nn_status choose_all(const ex_reader *r, ex_config *c)
{
    static const nn_setting none[] = { NN_SET_END };
    static const int choices[] = { EX_METHOD, EX_MODEL, EX_DATA, EX_OPTIM };
    ex_section *s = c->section;
    nn_arena *a = r->arena;

    for (size_t i = 0; i < NN_COUNT(choices); i++)
        NN_TRY(choose(r, c, choices[i]));
    c->method = ssl_method_find(s[EX_METHOD].chosen);
    c->model = nn_model_find(s[EX_MODEL].chosen);
    c->source = data_source_find(s[EX_DATA].chosen);
    c->optimiser = opt_method_find(s[EX_OPTIM].chosen);
    c->method_config = nn_arena_zero(a, c->method->config_size);
    c->model_config = nn_arena_zero(a, c->model->config_size);

    const nn_setting *of_method = c->method->settings ? c->method->settings : none;
    const nn_setting *of_model = c->model->settings ? c->model->settings : none;
    fill(a, &s[EX_TOP], "", ex_top_table, &c->top);
    fill(a, &s[EX_METHOD], "method", of_method, c->method_config);
    fill(a, &s[EX_MODEL], "model", of_model, c->model_config);
    fill(a, &s[EX_DATA], "data", data_setting_table, &c->data);
    fill(a, &s[EX_AUGMENT], "augment", data_augment_table, &c->augment);
    fill(a, &s[EX_OPTIM], "optim", opt_setting_table, &c->optim);
    fill(a, &s[EX_METRICS], "metrics", ex_metrics_table, &c->metrics);
    fill(a, &s[EX_ALARM], "alarm", ex_alarm_table, &c->alarm);
    fill(a, &s[EX_INIT], "init", ex_init_table, &c->init);
    fill(a, &s[EX_CHECKPOINT], "checkpoint", ex_saving_table, &c->checkpoint);
    fill(a, &s[EX_MEMORY], "memory", ex_memory_table, &c->memory);
    c->data.name = c->source->name;
    NN_TRY(check_decodes(r, c));
    return choose_quantiser(r, c);
}

/* What `add` names, in the order of addons.def: equal runs have equal digests. */
static nn_status choose_extras(const ex_reader *r, ex_config *c)
{
    static const nn_setting none[] = { NN_SET_END };
    char at[EX_PLACE], name[64];

    for (int i = 0; i < ssl_addon_count(); i++) {
        const ssl_addon *addon = ssl_addon_at(i);
        ex_section *s = &c->section[EX_SECTIONS + i];
        if (r->added[i].from == EX_DEFAULT)
            continue;
        if (c->extras == SSL_MAX_ADDONS)
            return nn_fail(r->err, NN_ECONFIG, "%s: more than %d regularisers",
                           ex_place(r->file, r->added[i], at, sizeof at), SSL_MAX_ADDONS);
        void *config = nn_arena_zero(r->arena, addon->config_size);
        ex_section_text(EX_SECTIONS + i, name, sizeof name);
        fill(r->arena, s, nn_arena_copy(r->arena, name),
             addon->settings ? addon->settings : none, config);
        s->chosen_mark = r->added[i];
        c->extra[c->extras++] = (ssl_extra){ addon, config };
    }
    return NN_OK;
}

/* ---- resolving ----------------------------------------------------------------- */

static nn_status unknown_key(const ex_reader *r, const ex_section *s, const ex_entry *e)
{
    enum { MOST = 128 };
    const char *known[MOST + 2];
    char at[EX_PLACE], w[64], hint[96], of[80] = "";
    int n = 0;

    for (int i = 0; i < s->rows && n < MOST; i++)
        known[n++] = s->table[i].name;
    if (s->chosen)
        known[n++] = "name";
    known[n] = NULL;
    if (s->chosen)
        snprintf(of, sizeof of, " (%.60s)", s->chosen);
    ex_meant(nn_nearest(e->key, known), hint, sizeof hint);
    return nn_fail(r->err, NN_ECONFIG, "%s: no setting '%s' in %s%s%s",
                   ex_place(r->file, e->mark, at, sizeof at),
                   ex_quoted(e->key, w, sizeof w), s->name, of,
                   hint[0] ? hint : "; 'fullrank help config' lists them");
}

static nn_status apply(const ex_reader *r, ex_config *c)
{
    char at[EX_PLACE], full[160];
    for (int i = 0; i < r->count; i++) {
        const ex_entry *e = &r->list[i];
        ex_section *s = &c->section[e->section];
        if (s->chosen && strcmp(e->key, "name") == 0)
            continue;
        int row = ex_find_row(s->table, e->key);
        if (row < 0)
            return unknown_key(r, s, e);
        snprintf(full, sizeof full, "%s%s%s", s->name, s->name[0] ? "." : "", e->key);
        if (!ex_row_counts(c, e->section, row))
            return nn_fail(r->err, NN_ECONFIG, "%s: %s means nothing to %s",
                           ex_place(r->file, e->mark, at, sizeof at), full, s->chosen);
        NN_TRY(ex_set_value(&s->table[row], s->at, e->value,
                            ex_place(r->file, e->mark, at, sizeof at), full, r->err));
        s->mark[row] = e->mark;
    }
    return NN_OK;
}

/* Where the augmentation was last touched by the user: the recipe or any of its keys. */
static const char *augment_place(const ex_config *c, char *at, size_t size)
{
    const ex_section *s = &c->section[EX_AUGMENT];
    const char *last = "recipe";

    for (int i = 0; i < s->rows; i++)
        if (s->mark[i].from >= EX_FILE)
            last = s->table[i].name;
    return ex_config_where(c, EX_AUGMENT, last, at, size);
}

static nn_status resolve_augment(const ex_reader *r, ex_config *c)
{
    ex_section *s = &c->section[EX_AUGMENT];
    unsigned char *given = NN_NEW0(r->arena, unsigned char, s->rows + 1);
    char at[EX_PLACE];
    nn_err why = {0};

    for (int i = 0; i < s->rows; i++)
        given[i] = s->mark[i].from >= EX_FILE;
    int asked = c->augment.recipe;
    nn_status status = data_augment_resolve(&c->augment, given, c->source->recipe, &why);
    if (status != NN_OK)
        return nn_fail(r->err, NN_ECONFIG, "%s: %s", augment_place(c, at, sizeof at),
                       why.text);
    for (int i = 0; i < s->rows; i++)
        if (!given[i] && data_in_recipe(&s->table[i])
            && (strcmp(s->table[i].name, "recipe") != 0 || asked != c->augment.recipe))
            s->mark[i].from = EX_RECIPE;
    return NN_OK;
}

/* A warm-up that outlasts the run would never reach the learning rate that was asked for. */
static nn_status check_warmup(const ex_reader *r, const ex_config *c)
{
    char at[EX_PLACE];

    if (c->optim.warmup_epochs > 0 && c->optim.warmup_epochs >= c->top.epochs)
        return nn_fail(r->err, NN_ECONFIG,
                       "%s: optim.warmup_epochs is %g, but the run has %d"
                       " epochs; a warm-up has to end before the run does",
                       ex_config_where(c, EX_OPTIM, "warmup_epochs", at, sizeof at),
                       c->optim.warmup_epochs, c->top.epochs);
    return NN_OK;
}

/* A regulariser that starts after the last epoch would never be there. */
static nn_status check_starts(const ex_reader *r, const ex_config *c)
{
    char at[EX_PLACE];

    for (int i = 0; i < ssl_addon_count(); i++) {
        const ex_section *s = &c->section[EX_SECTIONS + i];
        const int row = s->table ? ex_find_row(s->table, "start_epoch") : -1;
        if (row < 0)
            continue;
        const char *field = (const char *)s->at + s->table[row].at;
        const int start = *(const int *)(const void *)field;
        if (start > 0 && start >= c->top.epochs)
            return nn_fail(r->err, NN_ECONFIG,
                           "%s: %s.start_epoch is %d, but the run has %d epochs, so it"
                           " would never start; %s.start_epoch=0 starts at once",
                           ex_config_where(c, EX_SECTIONS + i, "start_epoch", at,
                                           sizeof at), s->name, start, c->top.epochs,
                           s->name);
    }
    return NN_OK;
}

/* A method of one view has no second for a regulariser. */
static nn_status check_views(const ex_reader *r, const ex_config *c)
{
    const int views = ssl_view_count(c->method, c->method_config);
    char at[EX_PLACE], or[96] = "";

    for (int i = 0; i < ssl_addon_count(); i++) {
        const ex_section *s = &c->section[EX_SECTIONS + i];
        if (!s->table || ssl_addon_views(ssl_addon_at(i), s->at) <= views)
            continue;
        if (ex_find_row(s->table, "views") >= 0)
            snprintf(or, sizeof or, ", or set %.60s.views=first", s->name);
        return nn_fail(r->err, NN_ECONFIG,
                       "%s: %s reads two views of an image, but %s makes one; leave it"
                       " out%s", ex_place(r->file, s->chosen_mark, at, sizeof at),
                       s->name, c->method->name, or);
    }
    return NN_OK;
}

/* Local crops are compared with the views in a way that the method must define. */
static nn_status check_locals(const ex_reader *r, const ex_config *c)
{
    char at[EX_PLACE];

    if (!c->augment.local_crops || c->method->local)
        return NN_OK;
    return nn_fail(r->err, NN_ECONFIG, "%s: augment.local_crops = %d: method %s does not"
                   " define a loss of local crops, as simsiam and byol do; set"
                   " augment.local_crops: 0",
                   ex_config_where(c, EX_AUGMENT, "local_crops", at, sizeof at),
                   c->augment.local_crops, c->method->name);
}

/* lr and base_lr say the same thing in two ways; 0 means "not given". */
static nn_status resolve_lr(const ex_reader *r, ex_config *c)
{
    const ex_section *s = &c->section[EX_OPTIM];
    const ex_mark lr = s->mark[ex_find_row(s->table, "lr")];
    const ex_mark base = s->mark[ex_find_row(s->table, "base_lr")];
    char a[EX_PLACE], b[EX_PLACE];

    if (c->optim.lr > 0 && c->optim.base_lr > 0)
        return nn_fail(r->err, NN_ECONFIG,
                       "%s: optim.lr, but %s: optim.base_lr; give one of them"
                       " (lr = base_lr * batch / 256)",
                       ex_place(r->file, lr, a, sizeof a),
                       ex_place(r->file, base, b, sizeof b));
    NN_TRY(check_warmup(r, c));
    NN_TRY(check_views(r, c));
    NN_TRY(check_locals(r, c));
    NN_TRY(check_starts(r, c));
    return opt_settle(c->optimiser, &c->optim, r->err);
}

static nn_status resolve_name(const ex_reader *r, ex_config *c)
{
    char at[EX_PLACE], v[64], base[EX_PLACE];

    if (c->top.name[0] == 0) { /* the file's name, made fit for a folder */
        snprintf(base, sizeof base, "%s", r->file);
        char *stem = nn_arena_copy(r->arena, basename(base));
        char *dot = strrchr(stem, '.');
        if (dot && dot != stem)
            *dot = 0;
        for (char *p = stem; *p; p++)
            if (!isalnum((unsigned char)*p) && *p != '_' && *p != '-'
                && (*p != '.' || p == stem))
                *p = '-';
        c->top.name = stem;
    }
    for (const char *p = c->top.name; *p; p++)
        if ((!isalnum((unsigned char)*p) && !strchr("._-", *p)) || c->top.name[0] == '.')
            return nn_fail(r->err, NN_ECONFIG,
                           "%s: name becomes a folder: letters, digits, '.',"
                           " '_' and '-' (not '.' first), not '%s'",
                           ex_config_where(c, EX_TOP, "name", at, sizeof at),
                           ex_quoted(c->top.name, v, sizeof v));
    if (strlen(c->top.name) > 100)
        return nn_fail(r->err, NN_ECONFIG, "%s: name is longer than 100 letters",
                       ex_config_where(c, EX_TOP, "name", at, sizeof at));
    if (c->top.out[0] == 0)
        return nn_fail(r->err, NN_ECONFIG, "%s: out is empty; name a folder",
                       ex_config_where(c, EX_TOP, "out", at, sizeof at));
    return NN_OK;
}

/* Adds a word behind a comma.  What does not fit is left out whole, and ", ..." at the
 * end tells so. */
static void __attribute__((format(printf, 2, 3)))
add_to_label(ex_config *c, const char *format, ...)
{
    const char *dots = ", ...";
    size_t used = strlen(c->label), size = sizeof c->label;
    char word[256];
    va_list list;

    va_start(list, format);
    vsnprintf(word, sizeof word, format, list);
    va_end(list);
    if (used >= 3 && strcmp(c->label + used - 3, "...") == 0)
        return;
    if (used + strlen(", ") + strlen(word) + strlen(dots) < size)
        snprintf(c->label + used, size - used, "%s%s", used ? ", " : "", word);
    else
        snprintf(c->label + used, size - used, "%s", used ? dots : "...");
}

/* "lambda=1, nu=2" for the settings of a section that are not at their default, each
 * with `prefix` before it, behind what is in the label already. */
static void label_settings(ex_config *c, const ex_section *s, const char *prefix,
                           size_t config_size, nn_arena *a)
{
    void *plain = nn_arena_zero(a, config_size);
    char value[64], usually[64];

    nn_setting_defaults(s->table, plain);
    for (int i = 0; i < s->rows; i++) {
        ex_value_text(&s->table[i], s->at, value, sizeof value);
        ex_value_text(&s->table[i], plain, usually, sizeof usually);
        if (strcmp(value, usually) != 0)
            add_to_label(c, "%s%s=%s", prefix, s->table[i].name, value);
    }
}

/* What tells this run from its neighbours: the settings of the command line, otherwise
 * the method's settings that are not at their default, or its name, and the regularisers
 * with theirs: "proj_dim=8, +vicreg, vicreg.mu=2". */
static void make_label(const ex_reader *r, ex_config *c)
{
    char value[64];

    c->label[0] = 0;
    for (int i = 0; i < r->count; i++) {
        const ex_entry *e = &r->list[i];
        const ex_section *s = &c->section[e->section];
        int bookkeeping = e->section == EX_CHECKPOINT || e->section == EX_MEMORY
            || (e->section == EX_TOP && (strcmp(e->key, "seed") == 0
                || strcmp(e->key, "out") == 0 || strcmp(e->key, "name") == 0));
        if (e->mark.from == EX_COMMAND && !bookkeeping)
            add_to_label(c, "%s%s%s=%s", e->section < EX_SECTIONS ? "" : s->name + 4,
                         e->section < EX_SECTIONS ? "" : ".", e->key,
                         ex_quoted(e->value, value, sizeof value));
    }
    if (c->label[0])
        return;
    label_settings(c, &c->section[EX_METHOD], "", c->method->config_size, r->arena);
    if (c->quantiser.kind) {
        add_to_label(c, "%s", c->quantiser.kind->name);
        label_settings(c, &c->section[EX_QUANTISER], "", c->quantiser.kind->config_size,
                       r->arena);
    }
    if (c->label[0] == 0)
        add_to_label(c, "%s", c->method->name);
    for (int i = EX_SECTIONS; i < EX_ALL_SECTIONS; i++) {
        const ex_section *s = &c->section[i];
        if (!s->name)
            continue;
        add_to_label(c, "+%s", s->name + 4);            /* 4: "add." */
        snprintf(value, sizeof value, "%s.", s->name + 4);
        label_settings(c, s, value, ssl_addon_at(i - EX_SECTIONS)->config_size, r->arena);
    }
}

nn_status ex_config_load(ex_config *c, const char *file, int pairs,
                         const char *const *pair, nn_arena *a, nn_err *err)
{
    ex_reader *r = NN_NEW0(a, ex_reader, 1);
    char at[EX_PLACE];

    *c = (ex_config){ .file = nn_arena_copy(a, file) };
    r->file = c->file;
    r->arena = a;
    r->err = err;
    NN_TRY(ex_read_file(r));
    for (int i = 0; i < pairs; i++)
        NN_TRY(ex_read_pair(r, pair[i]));
    NN_TRY(choose_all(r, c));
    NN_TRY(choose_extras(r, c));
    NN_TRY(apply(r, c));
    NN_TRY(resolve_augment(r, c));
    NN_TRY(resolve_lr(r, c));
    NN_TRY(resolve_name(r, c));
    if (c->top.shards != 1)
        return nn_fail(err, NN_ECONFIG,
                       "%s: shards = %d: splitting a batch comes with a later"
                       " version; only 1 works now",
                       ex_config_where(c, EX_TOP, "shards", at, sizeof at),
                       c->top.shards);
    if (c->init.from[0])
        NN_TRY(ex_init_sha256(c->init.from,
                              ex_config_where(c, EX_INIT, "from", at, sizeof at),
                              c->init_sha256, err));
    make_label(r, c);
    ex_config_digest(c, c->digest);
    return NN_OK;
}

int ex_row_counts(const ex_config *c, int section, int row)
{
    const ex_section *s = &c->section[section];
    if (s->chosen && strcmp(s->table[row].name, "name") == 0)
        return 0;
    return section != EX_OPTIM || opt_method_uses(c->optimiser, s->table[row].name);
}

const char *ex_config_where(const ex_config *c, int section, const char *key,
                            char *out, size_t size)
{
    const ex_section *s = &c->section[section];
    if (s->chosen && strcmp(key, "name") == 0)
        return ex_place(c->file, s->chosen_mark, out, size);
    int row = ex_find_row(s->table, key);
    NN_NEED(row >= 0, "config: no row '%s' in section '%s'", key, s->name);
    return ex_place(c->file, s->mark[row], out, size);
}

