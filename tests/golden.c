#include "tests/golden.h"

#include <check.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char greeting[] = "fullrank golden 1\n";

static char *read_all(FILE *f, size_t *size)
{
    size_t room = 1 << 16, at = 0, got;
    char *text = malloc(room);
    while ((got = fread(text + at, 1, room - at, f)) > 0) {
        at += got;
        if (at == room)
            text = realloc(text, room *= 2);
    }
    *size = at;
    return text;
}

static golden_record *add(golden *g)
{
    if (g->count == g->room) {
        g->room = g->room ? 2 * g->room : 256;
        g->list = realloc(g->list, sizeof *g->list * (size_t)g->room);
    }
    golden_record *r = &g->list[g->count++];
    memset(r, 0, sizeof *r);
    return r;
}

static float little_endian(const char *bytes)
{
    uint32_t u = 0;
    float x;
    for (int i = 0; i < 4; i++)
        u |= (uint32_t)(unsigned char)bytes[i] << 8 * i;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* One record from the line `head`; the numbers start at *at.  0: damaged. */
static int parse(golden *g, char *head, const char **at, const char *end)
{
    char *word, *rest = head;
    golden_record *r = add(g);
    r->name = strdup(strtok_r(head, " ", &rest));
    r->n = 1;
    while ((word = strtok_r(NULL, " ", &rest))) {
        if (strcmp(word, "=") == 0) {
            word = strtok_r(NULL, " ", &rest);
            const golden_record *same = word ? golden_find(g, word) : NULL;
            if (!same || same == r)
                return 0;
            r->shape = same->shape;
            r->n = same->n;
            r->val = malloc(sizeof(float) * same->n);
            memcpy(r->val, same->val, sizeof(float) * same->n);
            return 1;
        }
        int dim = atoi(word);
        if (r->shape.rank == NN_MAX_RANK || dim < 1 || dim > 1 << 20)
            return 0;
        r->shape.dim[r->shape.rank++] = dim;
        r->n *= (size_t)dim;
    }
    if (r->n > (size_t)(end - *at) / 4)
        return 0;
    r->val = malloc(sizeof(float) * r->n);
    for (size_t i = 0; i < r->n; i++, *at += 4)
        r->val[i] = little_endian(*at);
    return 1;
}

nn_status golden_read(golden *g, const char *file, nn_err *err)
{
    const char *folder = getenv("FULLRANK_TESTS");
    char path[1024];
    size_t size;
    *g = (golden){0};
    snprintf(path, sizeof path, "%s/golden/%s", folder ? folder : "tests", file);
    FILE *f = fopen(path, "rb");
    if (!f)
        return nn_fail(err, NN_EDATA, "%s: cannot be opened; run from the source tree or "
                       "set FULLRANK_TESTS to its folder tests", path);
    char *text = read_all(f, &size);
    fclose(f);

    const char *at = text, *end = text + size;
    int good = size > sizeof greeting && memcmp(text, greeting, sizeof greeting - 1) == 0;
    for (at += sizeof greeting - 1; good && at < end;) {
        char head[256];
        const char *line = memchr(at, '\n', (size_t)(end - at));
        good = line && line > at && *at != ' ' && (size_t)(line - at) < sizeof head;
        if (!good)
            break;
        memcpy(head, at, (size_t)(line - at));
        head[line - at] = 0;
        at = line + 1;
        good = parse(g, head, &at, end);
    }
    free(text);
    if (good)
        return NN_OK;
    nn_fail(err, NN_EDATA, "%s: damaged after %d records", path, g->count);
    golden_free(g);
    return NN_EDATA;
}

void golden_free(golden *g)
{
    for (int i = 0; i < g->count; i++) {
        free(g->list[i].name);
        free(g->list[i].val);
    }
    free(g->list);
    *g = (golden){0};
}

golden golden_open(const char *file)
{
    golden g;
    nn_err err;
    if (golden_read(&g, file, &err) != NN_OK)
        ck_abort_msg("%s", err.text);
    return g;
}

const golden_record *golden_find(const golden *g, const char *name)
{
    for (int i = 0; i < g->count; i++)
        if (strcmp(g->list[i].name, name) == 0)
            return &g->list[i];
    return NULL;
}

const golden_record *golden_at(const golden *g, const char *format, ...)
{
    char name[256];
    va_list list;
    va_start(list, format);
    vsnprintf(name, sizeof name, format, list);
    va_end(list);
    const golden_record *r = golden_find(g, name);
    if (!r)
        ck_abort_msg("no golden record '%s'", name);
    return r;
}

double golden_gap(const golden_record *want, const float *got)
{
    double size = 0, worst = 0;
    for (size_t i = 0; i < want->n; i++) {
        double gap = fabs((double)got[i] - want->val[i]);
        if (!isfinite(got[i]))
            return INFINITY;
        size = fmax(size, fabs((double)want->val[i]));
        worst = fmax(worst, gap);
    }
    return size > GOLDEN_ZERO ? worst / size : worst;
}

void golden_check(const golden_record *want, const float *got, double tolerance)
{
    double gap = golden_gap(want, got);
    ck_assert_msg(gap <= tolerance, "%s: off by %.3g of its largest value, allowed %.3g",
                  want->name, gap, tolerance);
}
