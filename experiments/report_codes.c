/* Codebooks in the report: how popular codes are, what images become, and the toy. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "experiments/report_codes.h"
#include "experiments/toy_codes.h"
#include "metrics/code.h"
#include "nn/quant/quant.h"

enum { SHOWN = 1000 };                  /* most images of one line */

int ex_has_codes(const ex_record *r)
{
    const json_t *row;
    size_t i;

    json_array_foreach(r->rows, i, row)
        if (json_is_number(json_object_get(row, "code/K")))
            return 1;
    return 0;
}

/* ---- what a line must be ----------------------------------------------------------- */

static int within(const json_t *v, json_int_t lo, json_int_t hi)
{
    json_int_t n = json_integer_value(v);
    return json_is_integer(v) && n >= lo && n <= hi;
}

static int is_histogram(const json_t *v)
{
    const json_t *x;
    size_t i;

    if (json_array_size(v) != MET_CODE_BINS)
        return 0;
    json_array_foreach(v, i, x)
        if (!json_is_number(x) && !json_is_null(x))
            return 0;
    return 1;
}

static const char *bins_wrong(const json_t *bins, char *out, size_t size)
{
    const json_t *part;
    size_t i;

    if (!json_is_array(bins) || json_array_size(bins) > NN_QUANT_PARTS)
        snprintf(out, size, "\"code_bins\" is not a list of at most %d lists",
                 (int)NN_QUANT_PARTS);
    else
        json_array_foreach(bins, i, part)
            if (!is_histogram(part)) {
                snprintf(out, size, "\"code_bins\" of part %zu is not a list of %d "
                         "numbers", i, (int)MET_CODE_BINS);
                return out;
            }
    return *out ? out : NULL;
}

/* Bytes of `shown` images, or 0: nobody can tell. */
static size_t picture_bytes(const json_t *status, const json_t *shown)
{
    const json_t *data = json_object_get(status, "data"), *c = json_object_get(data, "c");
    const json_t *h = json_object_get(data, "h"), *w = json_object_get(data, "w");

    if (!within(h, 1, EX_SIDE) || !within(w, 1, EX_SIDE) || !within(c, 1, 3) ||
        json_integer_value(c) == 2 || !within(shown, 1, SHOWN))
        return 0;
    return (size_t)(json_integer_value(h) * json_integer_value(w) *
                    json_integer_value(c) * json_integer_value(shown));
}

const char *ex_code_shot_wrong(const json_t *status, const json_t *shot, char *out,
                               size_t size)
{
    static const char *const side[] = { "original", "made" };
    const json_t *bins = json_object_get(shot, "code_bins");
    size_t bytes = picture_bytes(status, json_object_get(shot, "shown"));

    *out = 0;
    if (bins && !json_is_null(bins) && bins_wrong(bins, out, size))
        return out;
    for (size_t i = 0; i < NN_COUNT(side); i++) {
        const json_t *v = json_object_get(shot, side[i]);
        if (v && !json_is_null(v) && !(bytes && ex_is_base64(v, bytes))) {
            snprintf(out, size, "\"%s\" is not base64 of %zu bytes (shown x h x w x c)",
                     side[i], bytes);
            return out;
        }
    }
    return NULL;
}

/* ---- histograms and pictures ------------------------------------------------------- */

static json_t *rounded(double v)
{
    char text[32];
    snprintf(text, sizeof text, "%.3g", v);         /* finer than a shade of a colour */
    return json_real(strtod(text, NULL));
}

json_t *ex_code_bins(const json_t *shot)
{
    const json_t *bins = json_object_get(shot, "code_bins"), *part, *x;
    size_t i, j;

    if (!json_array_size(bins))
        return NULL;
    json_t *out = json_array();
    json_array_foreach(bins, i, part) {
        json_t *one = json_array();
        json_array_foreach(part, j, x)
            json_array_append_new(one, json_is_number(x) ? rounded(json_number_value(x))
                                                         : json_null());
        json_array_append_new(out, one);
    }
    return out;
}

static int has_pictures(const json_t *shot)
{
    return json_is_string(json_object_get(shot, "original")) &&
           json_is_string(json_object_get(shot, "made"));
}

static void add_made(json_t *list, const json_t *shot)
{
    json_array_append_new(list, json_pack("[OO]", json_object_get(shot, "epoch"),
                                          json_object_get(shot, "made")));
}

json_t *ex_code_pictures(const ex_record *r)
{
    const json_t *data = json_object_get(r->status, "data"), *shot;
    const json_t *first = NULL, *last = NULL;
    size_t i;

    json_array_foreach(r->shots, i, shot)
        if (has_pictures(shot)) {
            first = first ? first : shot;
            last = shot;
        }
    if (!last)
        return NULL;
    json_t *made = json_array();
    add_made(made, first);
    if (last != first)
        add_made(made, last);
    return json_pack("{sO sO sO sO sO so}", "h", json_object_get(data, "h"), "w",
                     json_object_get(data, "w"), "c", json_object_get(data, "c"), "shown",
                     json_object_get(last, "shown"), "original",
                     json_object_get(last, "original"), "made", made);
}

/* ---- the toy ----------------------------------------------------------------------- */

static json_t *hundredths(const float *v, const float *less, int n)
{
    json_t *out = json_array();

    for (int i = 0; i < n; i++) {
        long x = lrint(100 * (double)v[i]) - (less ? lrint(100 * (double)less[i]) : 0);
        json_array_append_new(out, json_integer(x));
    }
    return out;
}

static json_t *film_of(const ex_toy *t)
{
    json_t *frames = json_array();

    for (int f = 0; f < EX_TOY_FRAMES; f++)
        json_array_append_new(frames, hundredths(t->code[f], f ? t->code[f - 1] : NULL,
                                                 EX_TOY_K * EX_TOY_D));
    return json_pack("{sf sf sf so}", "moved", t->moved, "turned", t->turned, "loss",
                     t->loss, "frames", frames);
}

json_t *ex_code_toy(void)
{
    json_t *ways = json_array(), *steps = json_array();
    ex_toy *t = malloc(sizeof *t);

    NN_NEED(t, "out of memory for the toy of the report");
    for (int m = 0; m < EX_TOY_MODES; m++) {
        ex_toy_run((ex_toy_mode)m, t);
        json_array_append_new(ways, film_of(t));
    }
    for (int f = 0; f < EX_TOY_FRAMES; f++)
        json_array_append_new(steps, json_integer(t->step[f]));
    json_t *out = json_pack("{so so so}", "steps", steps, "ways", ways, "targets",
                            hundredths(t->target, NULL, EX_TOY_TARGETS * EX_TOY_D));
    free(t);
    return out;
}
