#include "experiments/survey.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "nn/base.h"

ex_survey ex_survey_open(size_t k, size_t d, nn_arena *a)
{
    return (ex_survey){ .k = k, .d = d, .count = NN_NEW0(a, double, k),
                        .sum = met_code_sum_of((int)d, a), .erank = NAN,
                        .duplicates = NAN };
}

void ex_survey_add(ex_survey *s, size_t n, const int *index, const float *z,
                   const float *q, nn_arena *scratch)
{
    for (size_t i = 0; i < n; i++)
        s->count[index[i]]++;
    met_code_add(&s->sum, n, z, q, scratch);
}

/* ---- copies ------------------------------------------------------------------------- */

/* FNV-1a over the numbers of a code, high bits brought down, because those of round
 * numbers differ only there.  0 and -0 are equal, and no code holds a NaN. */
static uint64_t hash_of(const float *c, size_t d)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < d; i++) {
        const float x = c[i] + 0;       /* -0 + 0 = 0 */
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        h = (h ^ bits) * 0x100000001b3u;
        h ^= h >> 32;
    }
    return h;
}

static int same(const float *a, const float *b, size_t d)
{
    size_t i = 0;
    while (i < d && a[i] == b[i])
        i++;
    return i == d;
}

/* Open addressing in a table at most half full. */
static double copies(size_t k, size_t d, const float *code, nn_arena *scratch)
{
    const size_t mark = nn_arena_mark(scratch);
    size_t slots = 2, found = 0;

    while (slots < 2 * k)
        slots *= 2;
    int *slot = NN_NEW(scratch, int, slots);
    for (size_t i = 0; i < slots; i++)
        slot[i] = -1;
    for (size_t j = 0; j < k; j++) {
        const float *c = code + j * d;
        size_t at = (size_t)hash_of(c, d) & (slots - 1);
        while (slot[at] >= 0 && !same(code + (size_t)slot[at] * d, c, d))
            at = (at + 1) & (slots - 1);
        found += slot[at] >= 0;
        slot[at] = slot[at] < 0 ? (int)j : slot[at];
    }
    nn_arena_rewind(scratch, mark);
    return (double)found;
}

void ex_survey_close(ex_survey *s, const float *book, nn_arena *scratch)
{
    const size_t mark = nn_arena_mark(scratch);
    float *count = NN_NEW(scratch, float, s->k);

    for (size_t j = 0; j < s->k; j++)
        count[j] = (float)s->count[j];
    s->usage = met_code_usage(s->k, count);
    s->loss = met_code_loss_of(&s->sum);
    if (book) {
        s->erank = met_code_rank(s->k, s->d, book, NULL, scratch).erank;
        s->duplicates = copies(s->k, s->d, book, scratch);
    }
    nn_arena_rewind(scratch, mark);
}

/* ---- telling ------------------------------------------------------------------------ */

json_t *ex_json_number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static const struct { const char *name; size_t at; } figures[] = {
    { "code/used", offsetof(ex_survey, usage.used) },
    { "code/usage", offsetof(ex_survey, usage.usage) },
    { "code/usage_max", offsetof(ex_survey, usage.usage_max) },
    { "code/perplexity", offsetof(ex_survey, usage.perplexity) },
    { "code/error", offsetof(ex_survey, loss.error) },
    { "code/error_relative", offsetof(ex_survey, loss.relative) },
    { "code/z_rms", offsetof(ex_survey, loss.z_rms) },
    { "code/erank", offsetof(ex_survey, erank) },
    { "code/duplicates", offsetof(ex_survey, duplicates) },
};

void ex_survey_json(const ex_survey *s, int parts, json_t *o)
{
    for (size_t i = 0; i < NN_COUNT(figures); i++) {
        double sum = 0;
        for (int k = 0; k < parts; k++)
            sum += *(const double *)(const void *)((const char *)&s[k] + figures[i].at);
        json_object_set_new(o, figures[i].name, ex_json_number(sum / parts));
    }
}

void ex_survey_head(FILE *out)
{
    fprintf(out, "%-6s %9s %9s %9s %9s %11s %11s %9s %9s %9s %7s\n", "part", "codes",
            "used", "usage", "usage_max", "perplexity", "error", "relative", "rms of z",
            "erank", "copies");
}

static void cell(FILE *out, int width, int digits, double x)
{
    if (isnan(x))
        fprintf(out, " %*s", width, "-");
    else
        fprintf(out, " %*.*g", width, digits, x);
}

void ex_survey_line(const ex_survey *s, const char *name, FILE *out)
{
    fprintf(out, "%-6s %9zu %9.0f", name, s->k, s->usage.used);
    cell(out, 9, 4, s->usage.usage);
    cell(out, 9, 4, s->usage.usage_max);
    cell(out, 11, 6, s->usage.perplexity);
    cell(out, 11, 6, s->loss.error);
    cell(out, 9, 4, s->loss.relative);
    cell(out, 9, 4, s->loss.z_rms);
    cell(out, 9, 4, s->erank);
    cell(out, 7, 7, s->duplicates);
    fputc('\n', out);
}
