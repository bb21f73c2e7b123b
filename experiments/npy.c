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

/* Dimensions are told apart up to here; two are wanted. */
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

static nn_status check(const header *h, const char *file, int *bytes, int *big,
                       nn_err *err)
{
    char shape[128];

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
    if (h->dims != 2)
        return nn_fail(err, NN_EDATA, "%s: an array of shape %s; wanted are rows and"
                       " columns", file, shape_text(h, shape, sizeof shape));
    if (h->fortran)
        return nn_fail(err, NN_EDATA, "%s: lies column by column (Fortran order); save"
                       " numpy.ascontiguousarray(x)", file);
    if (h->dim[0] > INT_MAX || h->dim[1] > INT_MAX)
        return nn_fail(err, NN_EDATA, "%s: an array of shape %s is too large", file,
                       shape_text(h, shape, sizeof shape));
    return NN_OK;
}

static nn_status read_open(FILE *f, const char *file, nn_arena *a, ex_npy *out,
                           nn_err *err)
{
    enum { BLOCK = 1 << 12 };
    unsigned char raw[BLOCK * 8];
    struct stat st;
    header h;
    int bytes = 0, big = 0;

    if (fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode))
        return nn_fail(err, NN_EDATA, "%s: not a file of numbers", file);
    const char *text = header_text(f, file, a, err);
    if (!text)
        return NN_EDATA;
    if (!parse(text, &h))
        return nn_fail(err, NN_EDATA, "%s: the header of this .npy file makes no sense",
                       file);
    NN_TRY(check(&h, file, &bytes, &big, err));
    const uint64_t n = (uint64_t)h.dim[0] * (uint64_t)h.dim[1];
    const uint64_t there = (uint64_t)(st.st_size - ftell(f));
    if (there / (unsigned)bytes < n || there != n * (unsigned)bytes)
        return nn_fail(err, NN_EDATA, "%s: (%lld, %lld) numbers of %d bytes do not make"
                       " the %llu bytes behind the header; the file is damaged", file,
                       h.dim[0], h.dim[1], bytes, (unsigned long long)there);
    *out = (ex_npy){ (int)h.dim[0], (int)h.dim[1], NN_NEW(a, float, n + 1) };
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

nn_status ex_npy_read(const char *file, nn_arena *a, ex_npy *out, nn_err *err)
{
    struct stat st;

    if (stat(file, &st) == 0 && !S_ISREG(st.st_mode))
        return nn_fail(err, NN_EDATA, "%s: %s, not a .npy file", file,
                       S_ISDIR(st.st_mode) ? "is a folder" : "is a pipe or a device");
    FILE *f = fopen(file, "rb");
    if (!f)
        return nn_fail(err, NN_EDATA, "%s: %s", file, strerror(errno));
    errno = 0;
    nn_status status = read_open(f, file, a, out, err);
    fclose(f);
    return status;
}

/* ---- writing ---------------------------------------------------------------------- */

/* Magic, version, length and header, padded with blanks so that the numbers begin at a
 * multiple of 64, as NumPy does for mapped files. */
static int put_header(FILE *f, const ex_npy *m)
{
    char text[128 - 10 + 1];
    int n = snprintf(text, sizeof text,
                     "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }",
                     m->rows, m->cols);
    const unsigned char lead[4] = { 1, 0, sizeof text - 1, 0 };

    memset(text + n, ' ', sizeof text - 1 - (size_t)n);
    text[sizeof text - 2] = '\n';
    return fwrite(MAGIC, 1, sizeof MAGIC, f) == sizeof MAGIC
        && fwrite(lead, 1, sizeof lead, f) == sizeof lead
        && fwrite(text, 1, sizeof text - 1, f) == sizeof text - 1;
}

static int put_numbers(FILE *f, const ex_npy *m)
{
    const size_t n = (size_t)m->rows * (size_t)m->cols;
    for (size_t i = 0; i < n; i++) {
        uint32_t x;
        memcpy(&x, &m->val[i], sizeof x);
        const unsigned char b[4] = { (unsigned char)x, (unsigned char)(x >> 8),
                                     (unsigned char)(x >> 16), (unsigned char)(x >> 24) };
        if (fwrite(b, 1, sizeof b, f) != sizeof b)
            return 0;
    }
    return 1;
}

nn_status ex_npy_write(const char *file, const ex_npy *m, nn_err *err)
{
    const mode_t mask = umask(0);
    const size_t size = strlen(file) + sizeof ".XXXXXX";
    char *part = malloc(size);

    umask(mask);
    NN_NEED(part, "out of memory for a file name of %zu bytes", size);
    snprintf(part, size, "%s.XXXXXX", file);
    int fd = mkstemp(part);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "wb");
    int fine = f && put_header(f, m) && put_numbers(f, m) && fflush(f) == 0
        && fsync(fd) == 0 && fchmod(fd, 0666 & ~mask) == 0;
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
