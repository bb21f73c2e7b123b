#include "experiments/config.h"

#include <sha2.h>
#include <stdlib.h>
#include <string.h>

#include "experiments/config_read.h"
#include "experiments/init.h"
#include "nn/base.h"

const char *ex_value_text(const nn_setting *s, const void *config, char *out, size_t size)
{
    const char *field = (const char *)config + s->at;
    switch (s->kind) {
    case NN_BOOL:
        snprintf(out, size, "%s", *(const int *)(const void *)field ? "true" : "false");
        break;
    case NN_INT:
        snprintf(out, size, "%d", *(const int *)(const void *)field);
        break;
    case NN_CHOICE:
        nn_setting_word(s->words, *(const int *)(const void *)field, out, size);
        break;
    case NN_FLOAT: /* the shortest text that reads back the same */
        for (int digits = 6; digits <= 17; digits++) {
            snprintf(out, size, "%.*g", digits, *(const double *)(const void *)field);
            if (strtod(out, NULL) == *(const double *)(const void *)field)
                break;
        }
        break;
    case NN_TEXT:
        snprintf(out, size, "%s", *(const char *const *)(const void *)field);
        break;
    }
    return out;
}

/* ---- writing ------------------------------------------------------------------- */

static int left_out(const ex_config *c, int section, int row)
{
    const char *key = c->section[section].table[row].name;

    if (section == EX_TOP)
        return strcmp(key, "seed") == 0 || strcmp(key, "out") == 0
            || strcmp(key, "name") == 0;
    if (section == EX_DATA && (strcmp(key, "dir") == 0 || strcmp(key, "cache") == 0))
        return 1;
    if (section == EX_CHECKPOINT || section == EX_MEMORY)
        return 1;
    if (section == EX_INIT)
        return !c->init.from[0] || strcmp(key, "from") == 0;
    return !ex_row_counts(c, section, row);
}

/* A stream that grows into *text.  Running out of memory there is the end. */
static FILE *text_stream(char **text, size_t *bytes)
{
    FILE *f = open_memstream(text, bytes);
    NN_NEED(f, "config: out of memory");
    return f;
}

static const char *text_done(FILE *f, char **text, nn_arena *a)
{
    NN_NEED(fclose(f) == 0, "config: out of memory");
    const char *copy = nn_arena_copy(a, *text);
    free(*text);
    return copy;
}

/* Which of the user's own sets it is: the last part of where it lies.  It may be moved, but
 * is not taken for another.  No set: nothing. */
static void put_own_set(FILE *f, const ex_config *c)
{
    const char *base = getenv("FULLRANK_DATA");
    const char *dir = c->data.dir[0] || !base ? c->data.dir : base;
    size_t n = strlen(dir), from;

    if (!c->source->own)
        return;
    while (n > 1 && dir[n - 1] == '/')
        n--;
    for (from = n; from > 0 && dir[from - 1] != '/'; )
        from--;
    fprintf(f, "data.set=%.*s\n", (int)(n - from), dir + from);
}

const char *ex_config_lines(const ex_config *c, nn_arena *a)
{
    char *text = NULL, value[4096];
    size_t bytes = 0;
    FILE *f = text_stream(&text, &bytes);

    for (int i = 0; i < EX_ALL_SECTIONS; i++) {
        const ex_section *s = &c->section[i];
        if (s->chosen)
            fprintf(f, "%s.name=%s\n", s->name, s->chosen);
        if (i >= EX_SECTIONS && s->name)
            fprintf(f, "%s=yes\n", s->name);
        for (int row = 0; row < s->rows; row++)
            if (!left_out(c, i, row))
                fprintf(f, "%s%s%s=%s\n", s->name, s->name[0] ? "." : "",
                        s->table[row].name,
                        ex_value_text(&s->table[row], s->at, value, sizeof value));
        if (i == EX_DATA)
            put_own_set(f, c);
    }
    if (c->init.from[0])
        fprintf(f, "init.sha256=%s\n", c->init_sha256);
    return text_done(f, &text, a);
}

void ex_config_digest(const ex_config *c, char out[9])
{
    char hex[SHA256_DIGEST_STRING_LENGTH];
    nn_arena own = {0};
    const char *lines = ex_config_lines(c, &own);

    SHA256Data((const uint8_t *)lines, strlen(lines), hex);
    memcpy(out, hex, 8);
    out[8] = 0;
    nn_arena_free(&own);
}

/* YAML's double-quoted form, for texts. */
static void put_quoted(FILE *f, const char *text)
{
    fputc('"', f);
    for (; *text; text++) {
        unsigned char b = (unsigned char)*text;
        if (b == '"' || b == '\\')
            fprintf(f, "\\%c", b);
        else if (b < 0x20 || b == 0x7F)
            fprintf(f, "\\x%02X", b);
        else
            fputc(b, f);
    }
    fputc('"', f);
}

static void put_row(FILE *f, int indent, const char *key, const char *value, int text,
                    ex_mark m)
{
    static const char *const origin[] = { "default", "recipe", "file", "command line" };
    long from = ftell(f);
    fprintf(f, "%*s%s: ", indent, "", key);
    if (text)
        put_quoted(f, value);
    else
        fputs(value, f);
    int width = (int)(ftell(f) - from);
    fprintf(f, "%*s# %s\n", width < 34 ? 34 - width : 1, "", origin[m.from]);
}

static void put_rows(FILE *f, const ex_config *c, int section, int indent)
{
    const ex_section *s = &c->section[section];
    char value[4096];

    for (int row = 0; row < s->rows; row++)
        if (ex_row_counts(c, section, row))
            put_row(f, indent, s->table[row].name,
                    ex_value_text(&s->table[row], s->at, value, sizeof value),
                    s->table[row].kind == NN_TEXT, s->mark[row]);
}

/* As one section, so that a key reads as on the command line: add.vicreg.mu. */
static void put_extras(FILE *f, const ex_config *c)
{
    if (c->extras)
        fputs("add:\n", f);
    for (int i = EX_SECTIONS; i < EX_ALL_SECTIONS; i++)
        if (c->section[i].name) {
            const ex_section *s = &c->section[i];
            put_row(f, 2, s->name + 4, s->rows ? "" : "{}", 0, s->chosen_mark);
            put_rows(f, c, i, 4);
        }
}

const char *ex_config_yaml(const ex_config *c, nn_arena *a)
{
    static const int order[] = { EX_METHOD, EX_MODEL, EX_QUANTISER, EX_DATA, EX_AUGMENT,
                                 EX_OPTIM,  EX_TOP,   EX_METRICS,   EX_ALARM,
                                 EX_INIT,   EX_CHECKPOINT, EX_MEMORY };
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = text_stream(&text, &bytes);

    fprintf(f, "# Every setting of this run; beside each, where its value came from.\n"
               "# 'fullrank train' reads this file too: same seed, same bits.\n"
               "# digest %s\n", c->digest);
    for (size_t i = 0; i < NN_COUNT(order); i++) {
        const ex_section *s = &c->section[order[i]];
        if (order[i] == EX_QUANTISER && !s->chosen)
            continue;
        if (s->name[0])
            fprintf(f, "%s:\n", s->name);
        if (s->chosen)
            put_row(f, 2, "name", s->chosen, 0, s->chosen_mark);
        put_rows(f, c, order[i], s->name[0] ? 2 : 0);
        if (order[i] == EX_METHOD)
            put_extras(f, c);
    }
    return text_done(f, &text, a);
}

/* ---- help ---------------------------------------------------------------------- */

/* Which optimisers read a setting; nothing when all do. */
static void readers_of(const char *key, char *out, size_t size)
{
    size_t used = 0;
    int readers = 0;
    out[0] = 0;
    for (int i = 0; i < opt_method_count() && used < size; i++)
        if (opt_method_uses(opt_method_at(i), key))
            used += (size_t)snprintf(out + used, size - used, "%s%s",
                                     readers++ ? ", " : "; for ", opt_method_at(i)->name);
    if (readers == opt_method_count())
        out[0] = 0;
}

static void help_table(FILE *out, const char *section, const nn_setting *table)
{
    char readers[160] = "";
    for (const nn_setting *s = table; s->name; s++) {
        char key[80], range[160] = "", value[64] = "";
        if (section[0] && strcmp(s->name, "name") == 0)
            continue;
        snprintf(key, sizeof key, "%s%s%s", section, section[0] ? "." : "", s->name);
        switch (s->kind) {
        case NN_BOOL:
            snprintf(value, sizeof value, "%s", s->def != 0 ? "true" : "false");
            snprintf(range, sizeof range, "true or false");
            break;
        case NN_INT: case NN_FLOAT:
            snprintf(value, sizeof value, "%.10g", s->def);
            snprintf(range, sizeof range, "%s, %.10g to %.10g",
                     s->kind == NN_INT ? "whole number" : "number", s->lo, s->hi);
            break;
        case NN_CHOICE:
            nn_setting_word(s->words, (int)s->def, value, sizeof value);
            snprintf(range, sizeof range, "%s", s->words);
            break;
        case NN_TEXT:
            snprintf(value, sizeof value, "\"%s\"", s->words);
            snprintf(range, sizeof range, "text");
            break;
        }
        if (table == opt_setting_table)
            readers_of(s->name, readers, sizeof readers);
        fprintf(out, "  %-24s %-10s %s\n  %-24s %-10s [%s%s]\n", key, value, s->help, "",
                "", range, readers);
    }
}

void ex_config_help(FILE *out)
{
    fputs("Settings of a run, in the file as 'section: {key: value}', on the command "
          "line as\n"
          "section.key=value.  Columns: key, default, meaning; below it what is "
          "accepted.\n\n"
          "Outside any section\n",
          out);
    help_table(out, "", ex_top_table);
    for (int i = 0; i < ssl_method_count(); i++) {
        fprintf(out, "\nmethod.name: %s - %s\n", ssl_method_at(i)->name,
                ssl_method_at(i)->paper);
        if (ssl_method_at(i)->settings)
            help_table(out, "method", ssl_method_at(i)->settings);
    }
    fputs("\nadd: regularisers, as 'add: [{NAME: {KEY: VALUE}}]', added to the method's"
          " loss\n", out);
    for (int i = 0; i < ssl_addon_count(); i++) {
        char section[64];
        fprintf(out, "\nadd.%s - %s\n", ssl_addon_at(i)->name, ssl_addon_at(i)->paper);
        ex_section_text(EX_SECTIONS + i, section, sizeof section);
        if (ssl_addon_at(i)->settings)
            help_table(out, section, ssl_addon_at(i)->settings);
    }
    for (int i = 0; i < nn_model_count(); i++) {
        const nn_model *m = nn_model_at(i);
        fprintf(out, "\nmodel.name: %s%s - %s\n", m->name,
                strcmp(m->name, ex_usual(EX_MODEL)) == 0 ? " (default)" : "", m->about);
        if (m->settings)
            help_table(out, "model", m->settings);
    }
    fputs("\nquantiser: of methods with a codebook\n", out);
    for (int i = 0; i < nn_quant_count(); i++) {
        const nn_quant *q = nn_quant_at(i);
        fprintf(out, "\nquantiser.name: %s%s - %s\n", q->name,
                strcmp(q->name, ex_usual(EX_QUANTISER)) == 0 ? " (default)" : "", q->about);
        help_table(out, "quantiser", q->settings);
    }
    fputs("\ndata.name\n", out);
    for (int i = 0; i < data_source_count(); i++)
        fprintf(out, "  %-24s %s%s\n", data_source_at(i)->name, data_source_at(i)->about,
                strcmp(data_source_at(i)->name, ex_usual(EX_DATA)) == 0 ? " (default)"
                                                                        : "");
    help_table(out, "data", data_setting_table);
    fputs("\naugment: a recipe sets every key below it that is not given\n", out);
    help_table(out, "augment", data_augment_table);
    fputs("\noptim.name\n", out);
    for (int i = 0; i < opt_method_count(); i++)
        fprintf(out, "  %-24s %s%s\n", opt_method_at(i)->name, opt_method_at(i)->about,
                strcmp(opt_method_at(i)->name, ex_usual(EX_OPTIM)) == 0 ? " (default)"
                                                                        : "");
    help_table(out, "optim", opt_setting_table);
    fputs("\nmetrics: what is measured after an epoch\n", out);
    help_table(out, "metrics", ex_metrics_table);
    fputs("\nalarm: what happens when the verdict is collapse\n", out);
    help_table(out, "alarm", ex_alarm_table);
    fputs("\ninit: weights to start from\n", out);
    help_table(out, "init", ex_init_table);
    ex_init_help(out);
    fputs("\ncheckpoint: saved while it runs, for --resume; no result depends on it\n",
          out);
    help_table(out, "checkpoint", ex_saving_table);
    fputs("\nmemory: refused with a message before the system runs out\n", out);
    help_table(out, "memory", ex_memory_table);
}
