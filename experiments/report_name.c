/* Names of runs, and the small accessors that the page and the table share. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "experiments/report_read.h"

/* Runs that differ in up to so many settings are named by them: more fit no line. */
enum { NAMING = 3 };

const char *ex_text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

double ex_number_of(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

const json_t *ex_record_last(const ex_record *r)
{
    size_t n = json_array_size(r->rows);
    return n ? json_array_get(r->rows, n - 1) : NULL;
}

int ex_width(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += (*text & 0xc0) != 0x80;
    return n;
}

void ex_plain(char *out, size_t size, const char *text, int most)
{
    int chars = 0, cut = ex_width(text) > most;
    size_t n = 0;

    /* 4: room for "..." and the final zero */
    for (const unsigned char *p = (const unsigned char *)text; *p && n + 4 < size; p++) {
        int inside = (*p & 0xc0) == 0x80;       /* a later byte of a UTF-8 character */
        int second_set = *p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0;
        if (!inside && chars++ == most - 3 * cut)
            break;
        out[n++] = *p < 32 || *p == 127 || second_set ? '?' : (char)*p;
        p += second_set;
    }
    strcpy(out + n, cut ? "..." : "");
}

/* The row [key, value, origin] of a setting, or NULL. */
static const json_t *setting_row(const ex_record *r, const char *key)
{
    const json_t *row;
    size_t i;
    json_array_foreach(r->config, i, row)
        if (strcmp(json_string_value(json_array_get(row, 0)), key) == 0)
            return row;
    return NULL;
}

/* What the run has for a setting.  A regulariser's is "-" where a run has not added it;
 * NULL: a setting that the run has not, of another method, say. */
static const char *value_of(const ex_record *r, const char *key)
{
    const json_t *row = setting_row(r, key);

    if (!row)
        return strncmp(key, "add.", 4) == 0 ? "-" : NULL;
    return json_string_value(json_array_get(row, 1));
}

/* Does the setting tell the runs apart?  Every run must have it, and somebody must have
 * chosen it: what a recipe implies is told by the recipe. */
static int tells_apart(const ex_record *rec, int runs, const char *key)
{
    const char *first = NULL;
    int differs = 0, chosen = 0;

    if (strcmp(key, "name") == 0 || strcmp(key, "out") == 0 || strcmp(key, "seed") == 0)
        return 0;
    for (int i = 0; i < runs; i++) {
        const json_t *row = setting_row(&rec[i], key);
        const char *value = value_of(&rec[i], key);
        if (!value)
            return 0;
        first = first ? first : value;
        differs |= strcmp(value, first) != 0;
        chosen |= row && strcmp(json_string_value(json_array_get(row, 2)), "recipe") != 0;
    }
    return differs && chosen;
}

static int holds(const json_t *list, const json_t *word)
{
    const json_t *one;
    size_t i;

    json_array_foreach(list, i, one)
        if (json_equal(one, word))
            return 1;
    return 0;
}

static json_t *telling_keys(const ex_record *rec, int runs)
{
    json_t *keys = json_array(), *row;
    size_t i;

    for (int k = 0; k < runs; k++)              /* the first may lack a regulariser */
        json_array_foreach(rec[k].config, i, row) {
            json_t *key = json_array_get(row, 0);
            if (!holds(keys, key) && tells_apart(rec, runs, json_string_value(key)))
                json_array_append(keys, key);
        }
    return keys;
}

/* "stop_gradient=true, ldreg.beta=-": the run's values of `keys`; a name stands alone. */
static void say_settings(const ex_record *r, const json_t *keys, char *out, size_t size)
{
    const json_t *k;
    size_t i, used = 0;

    *out = 0;
    json_array_foreach(keys, i, k) {
        const char *key = json_string_value(k), *dot = strrchr(key, '.');
        const char *word = strncmp(key, "add.", 4) == 0 ? key + 4 : dot ? dot + 1 : key;
        const char *value = value_of(r, key);
        int bare = dot && strcmp(word, "name") == 0;
        used += (size_t)snprintf(out + used, size - used, "%s%s%s%s", i ? ", " : "",
                                 bare ? "" : word, bare ? "" : "=", value);
        if (used >= size)
            return;
    }
}

/* How many of the first `runs` have the label of run `k`. */
static int like(const ex_record *rec, int runs, int k)
{
    int n = 0;
    for (int i = 0; i < runs; i++)
        n += strcmp(rec[i].label, rec[k].label) == 0;
    return n;
}

static void add_seeds(ex_record *rec, int runs)
{
    int *shared = malloc((size_t)runs * sizeof *shared);

    NN_NEED(shared, "out of memory for the names of %d runs", runs);
    for (int k = 0; k < runs; k++)
        shared[k] = like(rec, runs, k) > 1 && !isnan(ex_number_of(rec[k].status, "seed"));
    for (int k = 0; k < runs; k++)
        if (shared[k]) {
            size_t n = strlen(rec[k].label);
            snprintf(rec[k].label + n, sizeof rec[k].label - n, ", seed %.0f",
                     ex_number_of(rec[k].status, "seed"));
        }
    free(shared);
}

void ex_record_name(ex_record *rec, int runs)
{
    json_t *keys = telling_keys(rec, runs);
    size_t differ = json_array_size(keys);

    for (int k = 0; k < runs; k++) {
        const char *own = ex_text_of(rec[k].status, "label");
        char text[1024];
        if (differ >= 1 && differ <= NAMING)
            say_settings(&rec[k], keys, text, sizeof text);
        else
            snprintf(text, sizeof text, "%s",
                     *own ? own : ex_text_of(rec[k].status, "method"));
        /* leaves room for seed and number even when every character has four bytes */
        ex_plain(rec[k].label, sizeof rec[k].label - 48, text, EX_LABEL);
    }
    json_decref(keys);
    add_seeds(rec, runs);
    for (int k = 1; k < runs; k++) {
        size_t n = strlen(rec[k].label);
        for (int i = 2; like(rec, k, k); i++)
            snprintf(rec[k].label + n, sizeof rec[k].label - n, " (%d)", i);
    }
}
