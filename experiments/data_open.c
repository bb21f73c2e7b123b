#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "experiments/config_read.h"
#include "experiments/data_task.h"
#include "experiments/run.h"
#include "ssl/method.h"

/* Which set is meant: a name of datasets.def, a configuration, or a place on the disk. */

const char *ex_data_near(const char *name, char *out, size_t size)
{
    const int n = data_source_count();
    const char **known = calloc((size_t)n + 1, sizeof *known);

    NN_NEED(known, "out of memory");
    for (int i = 0; i < n; i++)
        known[i] = data_source_at(i)->name;
    ex_meant(nn_nearest(name, known), out, size);
    free(known);
    return out[0] ? out : "; 'fullrank data list' names the sets";
}

static int ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

static nn_status no_set(const char *name, const char *what, nn_err *err)
{
    char w[256], hint[96];
    return nn_fail(err, NN_ECONFIG, "command line: no %s '%s'%s", what,
                   ex_quoted(name, w, sizeof w), ex_data_near(name, hint, sizeof hint));
}

/* ---- a configuration ---- */

static nn_status of_config(ex_data_task *t, nn_err *err)
{
    const ex_data_options *o = t->o;
    ex_config *c = NN_NEW0(&t->own, ex_config, 1);

    if (o->set)
        return nn_fail(err, NN_ECONFIG, "command line: --set goes with a folder; a"
                       " configuration says data.name=%.60s", o->set);
    NN_TRY(ex_config_load(c, o->word[1], o->words - 2, o->word + 2, &t->own, err));
    t->source = c->source;
    t->data = c->data;
    t->augment = c->augment;
    t->seed = (uint64_t)c->top.seed;
    t->views = ssl_view_count(c->method, c->method_config);
    return NN_OK;
}

/* ---- a set and settings ---- */

static const nn_setting *table_of(const ex_entry *e)
{
    if (e->section == EX_TOP && strcmp(e->key, "seed") == 0)
        return ex_top_table;
    return e->section == EX_DATA ? data_setting_table
         : e->section == EX_AUGMENT ? data_augment_table : NULL;
}

static nn_status no_setting(const ex_entry *e, const nn_setting *table, nn_err *err)
{
    enum { MOST = 128 };
    const char *known[MOST + 1];
    char w[64], hint[96], section[64];
    int n = 0;

    ex_section_text(e->section, section, sizeof section);
    if (!table)
        return nn_fail(err, NN_ECONFIG, "command line: %s%s%s means nothing to a data"
                       " set, which takes data.KEY, augment.KEY and seed", section,
                       section[0] ? "." : "", ex_quoted(e->key, w, sizeof w));
    for (; table[n].name && n < MOST; n++)
        known[n] = table[n].name;
    known[n] = NULL;
    ex_meant(nn_nearest(e->key, known), hint, sizeof hint);
    return nn_fail(err, NN_ECONFIG, "command line: no setting '%s' in %s%s",
                   ex_quoted(e->key, w, sizeof w), section,
                   hint[0] ? hint : "; 'fullrank help config' lists them");
}

/* As in a configuration: defaults, the recipe that suits the set, KEY=VALUE. */
static nn_status settings(ex_data_task *t, nn_err *err)
{
    unsigned char given[256] = {0};     /* of rows of data_augment_table */
    const ex_data_options *o = t->o;
    ex_reader *r = NN_NEW0(&t->own, ex_reader, 1);
    ex_top top;
    char full[96], section[64];

    *r = (ex_reader){ .file = "", .arena = &t->own, .err = err };
    nn_setting_defaults(ex_top_table, &top);
    for (int i = 2; i < o->words; i++)
        NN_TRY(ex_read_pair(r, o->word[i]));
    for (int i = 0; i < r->count; i++) {
        const ex_entry *e = &r->list[i];
        const nn_setting *table = table_of(e);
        int row = table ? ex_find_row(table, e->key) : -1;
        if (row < 0)
            return no_setting(e, table, err);
        NN_NEED(row < (int)sizeof given, "more settings than %zu", sizeof given);
        ex_section_text(e->section, section, sizeof section);
        snprintf(full, sizeof full, "%s%s%s", section, section[0] ? "." : "", e->key);
        given[row] |= e->section == EX_AUGMENT;
        NN_TRY(ex_set_value(&table[row], e->section == EX_DATA ? (void *)&t->data
                            : e->section == EX_AUGMENT ? (void *)&t->augment : &top,
                            e->value, "command line", full, err));
    }
    t->source = data_source_find(t->data.name);
    if (!t->source)
        return no_set(t->data.name, "data set", err);
    t->seed = (uint64_t)top.seed;
    t->views = 2;
    return data_augment_resolve(&t->augment, given, t->source->recipe, err);
}

/* A folder that is named is the one that is meant, whatever the environment says. */
static nn_status of_place(ex_data_task *t, nn_err *err)
{
    const ex_data_options *o = t->o;

    unsetenv("FULLRANK_DATA");
    t->data.dir = o->word[1];
    if (!o->set) {
        const data_source *found = ex_data_guess(o->word[1], &t->own, &t->data.dir, err);
        if (!found)
            return NN_EDATA;
        t->data.name = found->name;
    }
    return settings(t, err);
}

nn_status ex_data_open(ex_data_task *t, nn_err *err)
{
    const ex_data_options *o = t->o;
    const char *word = o->word[1];
    const data_source *named = data_source_find(word);
    struct stat st;

    nn_setting_defaults(data_setting_table, &t->data);
    nn_setting_defaults(data_augment_table, &t->augment);
    if (o->set && !data_source_find(o->set))
        return no_set(o->set, "data set", err);
    t->data.name = o->set ? o->set : word;
    if (named && (!o->set || named == data_source_find(o->set)))
        return settings(t, err);
    if (ends_with(word, ".yaml") || ends_with(word, ".yml"))
        return of_config(t, err);
    if (stat(word, &st) == 0)
        return of_place(t, err);
    return no_set(word, "data set, file or folder", err);
}

nn_status ex_data_read(ex_data_task *t, nn_err *err)
{
    return data_load(&t->data, EX_DATA_SEED, &t->own, &t->part[EX_TRAIN],
                     &t->part[EX_TEST], err);
}
