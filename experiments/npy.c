#include "experiments/npy.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char MAGIC[6] = { '\x93', 'N', 'U', 'M', 'P', 'Y' };

/* NumPy writes headers of 128 bytes for arrays like ours; a structured type may need a
 * few thousand.  What is longer is not read, to be refused in any case. */
enum { MOST_HEADER = 1 << 16 };

/* Dimensions are told apart up to here. */
enum { MOST_DIMS = 32 };

typedef struct header {
    char descr[32];
    int fortran, dims;
    long long dim[MOST_DIMS];
    int seen;                           /* bit 0 descr, 1 fortran_order, 2 shape */
} header;

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
static int shape_of(const char **p, header *h)
{
    if (!take(p, '('))
        return 0;
    for (h->dims = 0; !take(p, ')'); h->dims++) {
        char *end;
        blanks(p);
        if (!isdigit((unsigned char)**p) || h->dims == MOST_DIMS)
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
static int parse(const char *text, header *h)
{
    const char *p = text;
    char key[32];

    *h = (header){ .dims = 0 };
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

/* Bytes in order of significance, whatever the machine's own order. */
static uint64_t whole(const unsigned char *b, int n, int big)
{
    uint64_t x = 0;
    for (int i = 0; i < n; i++)
        x |= (uint64_t)b[i] << 8 * (big ? n - 1 - i : i);
    return x;
}

static float number(const unsigned char *b, int bytes, int big)
{
    const uint64_t x = whole(b, bytes, big);
    const uint32_t low = (uint32_t)x;
    float f;
    double d;

    if (bytes == 4) {
        memcpy(&f, &low, sizeof f);
        return f;
    }
    memcpy(&d, &x, sizeof d);
    return (float)d;
}

/* The header as text, in the arena; NULL after an error. */
static const char *header_text(FILE *f, const char *file, nn_arena *a, nn_err *err)
{
    unsigned char b[12];

    if (fread(b, 1, 8, f) != 8 || memcmp(b, MAGIC, sizeof MAGIC) != 0) {
        nn_fail(err, NN_EDATA, "%s: not a .npy file", file);
        return NULL;
    }
    const int major = b[6], digits = major == 1 ? 2 : 4;
    if (major < 1 || major > 3) {
        nn_fail(err, NN_EDATA, "%s: .npy of version %d.%d; known are 1 to 3", file, major,
                b[7]);
        return NULL;
    }
    if (fread(b + 8, 1, (size_t)digits, f) != (size_t)digits) {
        nn_fail(err, NN_EDATA, "%s: ends within its header", file);
        return NULL;
    }
    const uint64_t n = whole(b + 8, digits, 0);
    if (n > MOST_HEADER) {
        nn_fail(err, NN_EDATA, "%s: a header of %llu bytes is none of an array of"
                " numbers", file, (unsigned long long)n);
        return NULL;
    }
    char *text = nn_arena_zero(a, n + 1);
    if (fread(text, 1, n, f) != n) {
        nn_fail(err, NN_EDATA, "%s: ends within its header", file);
        return NULL;
    }
    if (memchr(text, 0, n))
        text[0] = 0;                    /* no header has a zero byte */
    return text;
}

/* "(3, 4, 5)" */
static const char *shape_text(const header *h, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "(");
    for (int i = 0; i < h->dims && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%lld", i ? ", " : "",
                                 h->dim[i]);
    if (used < size)
        snprintf(out + used, size - used, h->dims == 1 ? ",)" : ")");
    return out;
}

/* most: dimensions beyond the second, which are rows as well. */
static nn_status check(const header *h, int most, const char *file, int *bytes, int *big,
                       nn_err *err)
{
    char shape[128];
    long long rows = 1;

    if (strcmp(h->descr + (h->descr[0] != 0), "f4") != 0
        && strcmp(h->descr + (h->descr[0] != 0), "f8") != 0)
        return nn_fail(err, NN_EDATA, "%s: holds numbers of type %s; wanted are float32"
                       " or float64: .astype('float32')", file,
                       h->descr[0] ? h->descr : "a record");
    if (h->descr[0] != '<' && h->descr[0] != '>')
        return nn_fail(err, NN_EDATA, "%s: type %s does not say the order of bytes",
                       file, h->descr);
    *bytes = h->descr[2] - '0';
    *big = h->descr[0] == '>';
    if (most == 2 && h->dims != 2)
        return nn_fail(err, NN_EDATA, "%s: an array of shape %s; wanted are rows and"
                       " columns", file, shape_text(h, shape, sizeof shape));
    if (h->dims < 2 || h->dims > most)
        return nn_fail(err, NN_EDATA, "%s: an array of shape %s; wanted are rows of"
                       " numbers in 2 to %d dimensions: x.reshape(-1, D)", file,
                       shape_text(h, shape, sizeof shape), most);
    if (h->fortran)
        return nn_fail(err, NN_EDATA, "%s: lies column by column (Fortran order); save"
                       " numpy.ascontiguousarray(x)", file);
    for (int i = 0; i < h->dims; i++) {
        const int row = i < h->dims - 1;
        if (h->dim[i] > INT_MAX || (row && rows * h->dim[i] > INT_MAX))
            return nn_fail(err, NN_EDATA, "%s: an array of shape %s is too large", file,
                           shape_text(h, shape, sizeof shape));
        rows *= row ? h->dim[i] : 1;
    }
    return NN_OK;
}

static ex_npy_shape shape_of_file(const header *h)
{
    ex_npy_shape s = { h->dims, { 0 } };
    for (int i = 0; i < h->dims; i++)
        s.dim[i] = (int)h->dim[i];
    return s;
}

static nn_status read_open(FILE *f, const char *file, int most, nn_arena *a, ex_npy *out,
                           ex_npy_shape *shape, nn_err *err)
{
    enum { BLOCK = 1 << 12 };
    unsigned char raw[BLOCK * 8];
    struct stat st;
    header h;
    char lies[128];
    int bytes = 0, big = 0, rows = 1;

    if (fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode))
        return nn_fail(err, NN_EDATA, "%s: not a file of numbers", file);
    const char *text = header_text(f, file, a, err);
    if (!text)
        return NN_EDATA;
    if (!parse(text, &h))
        return nn_fail(err, NN_EDATA, "%s: the header of this .npy file makes no sense",
                       file);
    NN_TRY(check(&h, most, file, &bytes, &big, err));
    *shape = shape_of_file(&h);
    for (int i = 0; i < h.dims - 1; i++)
        rows *= shape->dim[i];
    const int cols = shape->dim[h.dims - 1];
    const uint64_t n = (uint64_t)rows * (uint64_t)cols;
    const uint64_t there = (uint64_t)(st.st_size - ftell(f));
    if (there / (unsigned)bytes < n || there != n * (unsigned)bytes)
        return nn_fail(err, NN_EDATA, "%s: %s numbers of %d bytes do not make"
                       " the %llu bytes behind the header; the file is damaged", file,
                       shape_text(&h, lies, sizeof lies), bytes,
                       (unsigned long long)there);
    *out = (ex_npy){ rows, cols, NN_NEW(a, float, n + 1) };
    for (uint64_t at = 0; at < n; ) {
        size_t want = n - at < BLOCK ? (size_t)(n - at) : BLOCK;
        if (fread(raw, (size_t)bytes, want, f) != want)
            return nn_fail(err, NN_EDATA, "%s: cannot be read: %s", file,
                           errno ? strerror(errno) : "it has become shorter");
        for (size_t i = 0; i < want; i++)
            out->val[at + i] = number(raw + i * (size_t)bytes, bytes, big);
        at += want;
    }
    return NN_OK;
}

static nn_status read_file(const char *file, int most, nn_arena *a, ex_npy *out,
                           ex_npy_shape *shape, nn_err *err)
{
    struct stat st;

    if (stat(file, &st) == 0 && !S_ISREG(st.st_mode))
        return nn_fail(err, NN_EDATA, "%s: %s, not a .npy file", file,
                       S_ISDIR(st.st_mode) ? "is a folder" : "is a pipe or a device");
    FILE *f = fopen(file, "rb");
    if (!f)
        return nn_fail(err, NN_EDATA, "%s: %s", file, strerror(errno));
    errno = 0;
    nn_status status = read_open(f, file, most, a, out, shape, err);
    fclose(f);
    return status;
}

nn_status ex_npy_read(const char *file, nn_arena *a, ex_npy *out, nn_err *err)
{
    ex_npy_shape shape;
    return read_file(file, 2, a, out, &shape, err);
}

nn_status ex_npy_read_rows(const char *file, nn_arena *a, ex_npy *out,
                           ex_npy_shape *shape, nn_err *err)
{
    return read_file(file, EX_NPY_DIMS, a, out, shape, err);
}

/* ---- writing ---------------------------------------------------------------------- */

/* Magic, version, length and header, padded with blanks so that the numbers begin at a
 * multiple of 64, as NumPy does for mapped files. */
static int put_header(FILE *f, const char *descr, const ex_npy_shape *shape)
{
    enum { LEAD = 10, WHOLE = 256 };    /* eight dimensions of ten digits fit */
    header h = { .dims = shape->dims };
    char text[WHOLE - LEAD + 1], lies[128];

    for (int i = 0; i < h.dims; i++)
        h.dim[i] = shape->dim[i];
    const int n = snprintf(text, sizeof text,
                           "{'descr': '%s', 'fortran_order': False, 'shape': %s, }",
                           descr, shape_text(&h, lies, sizeof lies));
    const int size = LEAD + n < WHOLE / 2 ? WHOLE / 2 - LEAD : WHOLE - LEAD;
    const unsigned char lead[4] = { 1, 0, (unsigned char)size, 0 };

    memset(text + n, ' ', (size_t)(size - n));
    text[size - 1] = '\n';
    return fwrite(MAGIC, 1, sizeof MAGIC, f) == sizeof MAGIC
        && fwrite(lead, 1, sizeof lead, f) == sizeof lead
        && fwrite(text, 1, (size_t)size, f) == (size_t)size;
}

/* What is written: all at once, or item by item. */
typedef struct source {
    ex_npy_kind kind;
    const ex_npy_shape *shape;
    const void *all;
    ex_npy_item *item; void *ctx;
} source;

/* Little-endian, whatever the machine is. */
static int put_words(FILE *f, size_t n, const char *from)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t x;
        memcpy(&x, from + i * sizeof x, sizeof x);
        const unsigned char b[4] = { (unsigned char)x, (unsigned char)(x >> 8),
                                     (unsigned char)(x >> 16), (unsigned char)(x >> 24) };
        if (fwrite(b, 1, sizeof b, f) != sizeof b)
            return 0;
    }
    return 1;
}

static int put_numbers(FILE *f, const source *s, size_t n, const void *val)
{
    return s->kind == EX_NPY_BYTE ? fwrite(val, 1, n, f) == n : put_words(f, n, val);
}

static int put_all(FILE *f, const source *s)
{
    size_t n = 1;

    for (int i = s->all ? 0 : 1; i < s->shape->dims; i++)
        n *= (size_t)s->shape->dim[i];
    if (s->all)
        return put_numbers(f, s, n, s->all);
    for (int i = 0; i < s->shape->dim[0]; i++) {
        const void *item = s->item(s->ctx, i);
        if (!item)
            errno = EINTR;
        if (!item || !put_numbers(f, s, n, item))
            return 0;
    }
    return 1;
}

static nn_status write_file(const char *file, const source *s, nn_err *err)
{
    static const char *const descr[] = { "<f4", "<i4", "|u1" };
    const mode_t mask = umask(0);
    const size_t size = strlen(file) + sizeof ".XXXXXX";
    struct stat st;

    umask(mask);
    if (stat(file, &st) == 0 && !S_ISREG(st.st_mode))   /* a device would be replaced */
        return nn_fail(err, NN_ERUN, "%s: cannot be written: %s", file,
                       S_ISDIR(st.st_mode) ? "is a folder" : "is not a regular file");
    char *part = malloc(size);
    NN_NEED(part, "out of memory for a file name of %zu bytes", size);
    snprintf(part, size, "%s.XXXXXX", file);
    int fd = mkstemp(part);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "wb");
    int fine = f && put_header(f, descr[s->kind], s->shape) && put_all(f, s)
        && fflush(f) == 0 && fsync(fd) == 0 && fchmod(fd, 0666 & ~mask) == 0;
    int why = errno;
    if (f && fclose(f) != 0 && fine) {
        why = errno;
        fine = 0;
    }
    if (fine && rename(part, file) != 0) {
        why = errno;
        fine = 0;
    }
    if (!fine && fd >= 0)
        unlink(part);
    free(part);
    return fine ? NN_OK : nn_fail(err, NN_ERUN, "%s: cannot be written: %s", file,
                                  strerror(why));
}

nn_status ex_npy_write(const char *file, const ex_npy *m, nn_err *err)
{
    const ex_npy_shape shape = { 2, { m->rows, m->cols } };
    return ex_npy_write_floats(file, &shape, m->val, err);
}

nn_status ex_npy_write_floats(const char *file, const ex_npy_shape *shape,
                              const float *val, nn_err *err)
{
    const source s = { .kind = EX_NPY_FLOAT, .shape = shape, .all = val };
    return write_file(file, &s, err);
}

nn_status ex_npy_write_ints(const char *file, const ex_npy_shape *shape, const int *val,
                            nn_err *err)
{
    const source s = { .kind = EX_NPY_INT, .shape = shape, .all = val };
    return write_file(file, &s, err);
}

nn_status ex_npy_write_items(const char *file, ex_npy_kind kind,
                             const ex_npy_shape *shape, ex_npy_item *item, void *ctx,
                             nn_err *err)
{
    const source s = { kind, shape, NULL, item, ctx };
    return write_file(file, &s, err);
}
