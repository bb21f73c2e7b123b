/* Recursive descent: one function for each line of the grammar in formula.h. */
#include "experiments/formula.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Nesting; every level takes a few hundred bytes of stack. */
enum { DEEPEST = 64 };

typedef struct reader {
    const char *text, *at, *where;
    int depth;
    ex_figure_get *get;
    void *from;
    nn_err *err;
} reader;

static nn_status sum(reader *r, double *value);

static nn_status wrong(const reader *r, const char *at, const char *what)
{
    return nn_fail(r->err, NN_ECONFIG, "%s: '%.200s', column %d: %s", r->where, r->text,
                   (int)(at - r->text) + 1, what);
}

static int next(reader *r)
{
    while (*r->at == ' ')
        r->at++;
    return (unsigned char)*r->at;
}

static nn_status take(reader *r, char c)
{
    char what[] = "wants ' '";

    what[7] = c;
    if (next(r) != c)
        return wrong(r, r->at, what);
    r->at++;
    return NN_OK;
}

static int in_name(int c)
{
    return isalnum(c) || c == '_';
}

static int in_key(int c)
{
    return in_name(c) || c == '.' || c == '/' || c == '@';
}

/* ---- figures and functions --------------------------------------------------------- */

/* After "RUN:".  The last "@" of what follows parts the key from the line. */
static nn_status figure(reader *r, ex_figure *f, double *value)
{
    const char *start = ++r->at, *at = NULL;

    for (; in_key((unsigned char)*r->at); r->at++)
        if (*r->at == '@')
            at = r->at;
    const char *end = at ? at : r->at;
    if (end == start)
        return wrong(r, start, "wants a key after ':'");
    if ((size_t)(end - start) >= sizeof f->key)
        return wrong(r, start, "this key is too long");
    snprintf(f->key, sizeof f->key, "%.*s", (int)(end - start), start);
    f->at[0] = 0;
    if (at) {
        int n = (int)(r->at - at) - 1;
        int digits = (int)strspn(at + 1, "0123456789") == n && n > 0 && n <= 9;
        if (!digits && !(n == 4 && strncmp(at + 1, "best", 4) == 0))
            return wrong(r, at, "wants an epoch or 'best' after '@'");
        snprintf(f->at, sizeof f->at, "%.*s", n, at + 1);
    }
    return r->get(r->from, f, value, r->err);
}

static double lesser(double a, double b)
{
    return isnan(a) || isnan(b) ? NAN : a < b ? a : b;
}

static nn_status function(reader *r, const char *name, const char *start, double *value)
{
    static const struct { const char *name; int takes; } known[] = {
        { "min", 2 }, { "max", 2 }, { "abs", 1 }, { "ln", 1 }
    };
    double x[2] = { 0, 0 };
    size_t i = 0;

    while (i < NN_COUNT(known) && strcmp(known[i].name, name) != 0)
        i++;
    if (i == NN_COUNT(known))
        return wrong(r, start, "no such function; there are min, max, abs and ln");
    NN_TRY(take(r, '('));
    NN_TRY(sum(r, &x[0]));
    if (known[i].takes == 2) {
        NN_TRY(take(r, ','));
        NN_TRY(sum(r, &x[1]));
    }
    NN_TRY(take(r, ')'));
    switch (i) {
    case 0: *value = lesser(x[0], x[1]); break;
    case 1: *value = -lesser(-x[0], -x[1]); break;
    case 2: *value = fabs(x[0]); break;
    default: *value = log(x[0]); break;
    }
    return NN_OK;
}

static nn_status name(reader *r, double *value)
{
    const char *start = r->at;
    ex_figure f;

    while (in_name((unsigned char)*r->at))
        r->at++;
    if ((size_t)(r->at - start) >= sizeof f.run)
        return wrong(r, start, "this name is too long");
    snprintf(f.run, sizeof f.run, "%.*s", (int)(r->at - start), start);
    if (*r->at == ':')
        return figure(r, &f, value);
    if (next(r) == '(')
        return function(r, f.run, start, value);
    return wrong(r, r->at, "wants ':' and a key after a run, or '(' after a function");
}

/* ---- arithmetic -------------------------------------------------------------------- */

/* Plain decimal digits: strtod alone would take "0x1p3" and "nan" as well. */
static nn_status number(reader *r, double *value)
{
    const char *start = r->at;
    char digits[64];

    r->at += strspn(r->at, "0123456789.");
    if (*r->at == 'e' || *r->at == 'E') {
        const char *e = r->at + 1 + (r->at[1] == '-' || r->at[1] == '+');
        size_t n = strspn(e, "0123456789");
        r->at = n ? e + n : r->at;
    }
    size_t n = (size_t)(r->at - start);
    char *end = digits;
    snprintf(digits, sizeof digits, "%.*s", (int)n, start);
    *value = strtod(digits, &end);
    if (n >= sizeof digits || *end || end == digits || in_name((unsigned char)*r->at))
        return wrong(r, start, "this is not a number");
    return NN_OK;
}

static nn_status operand(reader *r, double *value)
{
    int c = next(r);

    if (c == '(') {
        r->at++;
        NN_TRY(sum(r, value));
        return take(r, ')');
    }
    if (isdigit(c) || c == '.')
        return number(r, value);
    if (in_name(c))
        return name(r, value);
    return wrong(r, r->at, "wants a number, RUN:KEY, a function or '('");
}

static nn_status signed_one(reader *r, double *value)
{
    int minus = 0;

    for (; next(r) == '-'; r->at++)
        minus = !minus;
    NN_TRY(operand(r, value));
    *value = minus ? -*value : *value;
    return NN_OK;
}

static nn_status product(reader *r, double *value)
{
    NN_TRY(signed_one(r, value));
    for (int c = next(r); c == '*' || c == '/'; c = next(r)) {
        double x;
        r->at++;
        NN_TRY(signed_one(r, &x));
        *value = c == '*' ? *value * x : *value / x;
    }
    return NN_OK;
}

static nn_status sum(reader *r, double *value)
{
    if (++r->depth > DEEPEST)
        return wrong(r, r->at, "nested too deeply");
    NN_TRY(product(r, value));
    for (int c = next(r); c == '+' || c == '-'; c = next(r)) {
        double x;
        r->at++;
        NN_TRY(product(r, &x));
        *value = c == '+' ? *value + x : *value - x;
    }
    r->depth--;
    return NN_OK;
}

nn_status ex_formula(const char *text, const char *where, ex_figure_get *get, void *from,
                     double *value, nn_err *err)
{
    reader r = { .text = text, .at = text, .where = where, .get = get, .from = from,
                 .err = err };

    NN_TRY(sum(&r, value));
    return next(&r) ? wrong(&r, r.at, "nothing may follow here") : NN_OK;
}
