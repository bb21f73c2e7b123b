#include "experiments/npy.h"
#include "data/files.h"
#include "data/npy.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* most: dimensions beyond the second, which are rows as well. */
static nn_status check(const data_npy *h, int most, const char *file, int *bytes, int *big,
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
                       " columns", file, data_npy_shape(h, shape, sizeof shape));
    if (h->dims < 2 || h->dims > most)
        return nn_fail(err, NN_EDATA, "%s: an array of shape %s; wanted are rows of"
                       " numbers in 2 to %d dimensions: x.reshape(-1, D)", file,
                       data_npy_shape(h, shape, sizeof shape), most);
    if (h->fortran)
        return nn_fail(err, NN_EDATA, "%s: lies column by column (Fortran order); save"
                       " numpy.ascontiguousarray(x)", file);
    for (int i = 0; i < h->dims; i++) {
        const int row = i < h->dims - 1;
        if (h->dim[i] > INT_MAX || (row && rows * h->dim[i] > INT_MAX))
            return nn_fail(err, NN_EDATA, "%s: an array of shape %s is too large", file,
                           data_npy_shape(h, shape, sizeof shape));
        rows *= row ? h->dim[i] : 1;
    }
    return NN_OK;
}

static ex_npy_shape shape_of_file(const data_npy *h)
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
    data_npy h;
    char lies[128];
    int bytes = 0, big = 0, rows = 1;

    if (fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode))
        return nn_fail(err, NN_EDATA, "%s: not a file of numbers", file);
    NN_TRY(data_npy_header(data_npy_pull_file, f, file, &h, err));
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
                       data_npy_shape(&h, lies, sizeof lies), bytes,
                       (unsigned long long)there);
    *out = (ex_npy){ rows, cols, NN_NEW(a, float, n + 1) };
    for (uint64_t at = 0; at < n; ) {
        size_t want = n - at < BLOCK ? (size_t)(n - at) : BLOCK;
        if (fread(raw, (size_t)bytes, want, f) != want)
            return nn_fail(err, NN_EDATA, "%s: cannot be read: %s", file,
                           errno ? strerror(errno) : "it has become shorter");
        for (size_t i = 0; i < want; i++)
            out->val[at + i] = data_npy_float(raw + i * (size_t)bytes, bytes, big);
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

static int put_header(FILE *f, const char *descr, const ex_npy_shape *shape)
{
    data_npy h = { .dims = shape->dims };
    unsigned char start[DATA_NPY_START];

    snprintf(h.descr, sizeof h.descr, "%s", descr);
    for (int i = 0; i < h.dims; i++)
        h.dim[i] = shape->dim[i];
    const size_t n = data_npy_start(&h, start);
    return fwrite(start, 1, n, f) == n;
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

static int put_file(FILE *f, const void *what)
{
    static const char *const descr[] = { "<f4", "<i4", "|u1" };
    const source *s = what;
    return put_header(f, descr[s->kind], s->shape) && put_all(f, s);
}

static nn_status write_file(const char *file, const source *s, nn_err *err)
{
    return data_write(file, put_file, s, err);
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
