#include "data/npy.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char MAGIC[6] = { '\x93', 'N', 'U', 'M', 'P', 'Y' };

/* NumPy writes headers of 128 bytes for arrays like ours; a structured type may need a
 * few thousand.  What is longer is not read, to be refused in any case. */
enum { MOST_HEADER = 1 << 16 };

/* ---- the header, a dictionary of Python ------------------------------------------- */

static void blanks(const char **p)
{
    while (isspace((unsigned char)**p))
        (*p)++;
}

static int take(const char **p, char c)
{
    blanks(p);
    if (**p != c)
        return 0;
    (*p)++;
    return 1;
}

/* 'text' or "text" without escapes; 0: it is something else, or too long. */
static int text_of(const char **p, char *out, size_t size)
{
    blanks(p);
    const char quote = **p;
    if (quote != '\'' && quote != '"')
        return 0;
    const char *from = *p + 1, *end = strchr(from, quote);
    if (!end || (size_t)(end - from) >= size || memchr(from, '\\', (size_t)(end - from)))
        return 0;
    memcpy(out, from, (size_t)(end - from));
    out[end - from] = 0;
    *p = end + 1;
    return 1;
}

static int word_of(const char **p, const char *word)
{
    blanks(p);
    if (strncmp(*p, word, strlen(word)) != 0)
        return 0;
    *p += strlen(word);
    return 1;
}

/* (3, 4), (3,) or () */
static int shape_of(const char **p, data_npy *h)
{
    if (!take(p, '('))
        return 0;
    for (h->dims = 0; !take(p, ')'); h->dims++) {
        char *end;
        blanks(p);
        if (!isdigit((unsigned char)**p) || h->dims == DATA_NPY_DIMS)
            return 0;
        errno = 0;
        h->dim[h->dims] = strtoll(*p, &end, 10);
        *p = end;
        if (errno)
            h->dim[h->dims] = LLONG_MAX;
        if (!take(p, ',') && (blanks(p), **p != ')'))
            return 0;
    }
    return 1;
}

/* 0: not a header.  A type that is no plain word (a list) leaves descr empty. */
static int parse(const char *text, data_npy *h)
{
    const char *p = text;
    char key[32];

    *h = (data_npy){ .dims = 0 };
    if (!take(&p, '{'))
        return 0;
    while (!take(&p, '}')) {
        if (!text_of(&p, key, sizeof key) || !take(&p, ':'))
            return 0;
        int bit = strcmp(key, "descr") == 0 ? 1 : strcmp(key, "fortran_order") == 0 ? 2
            : strcmp(key, "shape") == 0 ? 4 : 0;
        if (!bit || (h->seen & bit))
            return 0;
        h->seen |= bit;
        if (bit == 1 && !text_of(&p, h->descr, sizeof h->descr))
            return 1;
        if (bit == 2 && !(h->fortran = word_of(&p, "True")) && !word_of(&p, "False"))
            return 0;
        if (bit == 4 && !shape_of(&p, h))
            return 0;
        if (!take(&p, ',') && (blanks(&p), *p != '}'))
            return 0;
    }
    blanks(&p);
    return *p == 0 && h->seen == 7;
}

/* ---- reading ---------------------------------------------------------------------- */

size_t data_npy_pull_file(void *file, void *to, size_t n)
{
    return fread(to, 1, n, file);
}

/* Bytes in order of significance, whatever the machine's own order. */
uint64_t data_npy_bits(const unsigned char *b, int n, int big)
{
    uint64_t x = 0;
    for (int i = 0; i < n; i++)
        x |= (uint64_t)b[i] << 8 * (big ? n - 1 - i : i);
    return x;
}

float data_npy_float(const unsigned char *b, int n, int big)
{
    const uint64_t x = data_npy_bits(b, n, big);
    const uint32_t low = (uint32_t)x;
    float f;
    double d;

    if (n == 4) {
        memcpy(&f, &low, sizeof f);
        return f;
    }
    memcpy(&d, &x, sizeof d);
    return (float)d;
}

nn_status data_npy_header(data_npy_pull *pull, void *from, const char *name,
                          data_npy *out, nn_err *err)
{
    unsigned char b[12];
    char text[MOST_HEADER + 1];

    if (pull(from, b, 8) != 8 || memcmp(b, MAGIC, sizeof MAGIC) != 0)
        return nn_fail(err, NN_EDATA, "%s: not a .npy file", name);
    const int major = b[6], digits = major == 1 ? 2 : 4;
    if (major < 1 || major > 3)
        return nn_fail(err, NN_EDATA, "%s: .npy of version %d.%d; known are 1 to 3", name,
                       major, b[7]);
    if (pull(from, b + 8, (size_t)digits) != (size_t)digits)
        return nn_fail(err, NN_EDATA, "%s: ends within its header", name);
    const uint64_t n = data_npy_bits(b + 8, digits, 0);
    if (n > MOST_HEADER)
        return nn_fail(err, NN_EDATA, "%s: a header of %llu bytes is none of an array of"
                       " numbers", name, (unsigned long long)n);
    if (pull(from, text, (size_t)n) != n)
        return nn_fail(err, NN_EDATA, "%s: ends within its header", name);
    text[n] = 0;
    if (memchr(text, 0, (size_t)n) || !parse(text, out))
        return nn_fail(err, NN_EDATA, "%s: the header of this .npy file makes no sense",
                       name);
    out->length = 8 + (size_t)digits + (size_t)n;
    return NN_OK;
}

const char *data_npy_shape(const data_npy *h, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "(");
    for (int i = 0; i < h->dims && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%lld", i ? ", " : "",
                                 h->dim[i]);
    if (used < size)
        snprintf(out + used, size - used, h->dims == 1 ? ",)" : ")");
    return out;
}

uint64_t data_npy_count(const data_npy *h)
{
    uint64_t n = 1;

    for (int i = 0; i < h->dims; i++)
        if (h->dim[i] == 0)
            return 0;
    for (int i = 0; i < h->dims; i++) {
        if (n > (uint64_t)INT64_MAX / 16 / (uint64_t)h->dim[i])
            return UINT64_MAX;
        n *= (uint64_t)h->dim[i];
    }
    return n;
}

/* ---- writing ---------------------------------------------------------------------- */

size_t data_npy_start(const data_npy *h, unsigned char *out)
{
    enum { LEAD = 10 };
    char text[DATA_NPY_START - LEAD + 1], shape[128];

    const int n = snprintf(text, sizeof text,
                           "{'descr': '%s', 'fortran_order': False, 'shape': %s, }",
                           h->descr, data_npy_shape(h, shape, sizeof shape));
    const int size = (LEAD + n < DATA_NPY_START / 2 ? DATA_NPY_START / 2 : DATA_NPY_START)
                     - LEAD;
    const unsigned char lead[4] = { 1, 0, (unsigned char)size, 0 };

    memset(text + n, ' ', (size_t)(size - n));
    text[size - 1] = '\n';
    memcpy(out, MAGIC, sizeof MAGIC);
    memcpy(out + sizeof MAGIC, lead, sizeof lead);
    memcpy(out + LEAD, text, (size_t)size);
    return LEAD + (size_t)size;
}
