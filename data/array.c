#include "data/array.h"
#include "data/files.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* No array of images in memory is larger; what claims to be is a mistake or a trap. */
static const uint64_t most_bytes = UINT64_C(1) << 36;

/* ---- where arrays are ---- */

nn_status data_store_open(data_store *s, const char *path, nn_arena *a, nn_err *err)
{
    struct stat about;
    int there = stat(path, &about) == 0, folder = there && S_ISDIR(about.st_mode);

    *s = (data_store){ 0 };
    if (snprintf(s->path, DATA_PATH, "%s%s", path, folder ? "/" : "") >= DATA_PATH)
        return data_unreadable(path, ENAMETOOLONG, err);
    return there && !folder ? data_zip_open(path, a, &s->zip, err) : NN_OK;
}

void data_store_close(data_store *s)
{
    data_zip_close(s->zip);
    s->zip = NULL;
}

static int path_of(const data_store *s, const char *name, char path[DATA_PATH])
{
    return snprintf(path, DATA_PATH, "%s%s.npy", s->path, name) < DATA_PATH;
}

static int entry_of(const data_store *s, const char *name)
{
    char entry[64];
    snprintf(entry, sizeof entry, "%s.npy", name);
    return data_zip_find(s->zip, entry);
}

int data_store_has(const data_store *s, const char *name)
{
    char path[DATA_PATH];
    struct stat about;

    if (s->zip)
        return entry_of(s, name) >= 0;
    return path_of(s, name, path) && stat(path, &about) == 0;
}

/* ---- the header ---- */

static nn_status open_bytes(data_array *x, const char *name, uint64_t *bytes, nn_err *err)
{
    char path[DATA_PATH];
    long long size = 0;

    if (x->store->zip) {
        snprintf(x->name, sizeof x->name, "%.300s: %.64s", x->store->path, name);
        return data_zip_start(x->store->zip, entry_of(x->store, name), bytes, err);
    }
    if (!path_of(x->store, name, path))
        return data_unreadable(x->store->path, ENAMETOOLONG, err);
    snprintf(x->name, sizeof x->name, "%.300s", path);
    nn_status status = data_open_stream(path, &x->file, &size, err);
    *bytes = (uint64_t)size;
    return status;
}

static size_t pull(void *from, void *to, size_t n)
{
    data_array *x = from;
    return x->file ? data_npy_pull_file(x->file, to, n)
                   : data_zip_pull(x->store->zip, to, n);
}

/* '<f4': where the bytes' order matters it must be told. */
static nn_status read_type(data_array *x, nn_err *err)
{
    const char *descr = x->npy.descr;
    char order = descr[0];

    if (strchr(descr, 'O'))
        return nn_fail(err, NN_EDATA, "%s: holds objects of Python, which are not "
                       "unpickled; save numbers: numpy.stack(x)", x->name);
    x->kind = order ? descr[1] : 0;
    x->bytes = x->kind && strlen(descr) == 3 ? descr[2] - '0' : 0;
    x->big = order == '>';
    const int bytes = x->bytes;
    if (!x->kind || !strchr("uifb", x->kind)
        || (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8)
        || (order != '<' && order != '>' && bytes != 1))
        return nn_fail(err, NN_EDATA, "%s: holds values of type %s, not plain numbers; "
                       "save it as .astype('uint8') or .astype('float32')", x->name,
                       order ? descr : "record");
    return NN_OK;
}

/* The bytes behind the header must be the numbers that it tells of. */
static nn_status check_size(data_array *x, uint64_t bytes, nn_err *err)
{
    const uint64_t count = data_npy_count(&x->npy);
    const uint64_t there = bytes > x->npy.length ? bytes - x->npy.length : 0;
    char shape[128];

    data_npy_shape(&x->npy, shape, sizeof shape);
    if (count > most_bytes / (uint64_t)x->bytes)
        return nn_fail(err, NN_EDATA, "%s: the header says %s numbers of %d bytes, more "
                       "than are read into memory; save fewer", x->name, shape, x->bytes);
    if (there != count * (uint64_t)x->bytes)
        return nn_fail(err, NN_EDATA, "%s: %s numbers of %d bytes do not make the %llu "
                       "bytes behind the header; the file is damaged: save it again",
                       x->name, shape, x->bytes, (unsigned long long)there);
    if (x->npy.dims < 1 || x->npy.dim[0] < 1 || count == 0 || x->npy.dim[0] > INT_MAX)
        return nn_fail(err, NN_EDATA, "%s: an array of shape %s; wanted are 1 to %d rows",
                       x->name, shape, INT_MAX);
    x->n = (int)x->npy.dim[0];
    x->row = (size_t)(count / (uint64_t)x->n) * (size_t)x->bytes;
    return NN_OK;
}

nn_status data_array_open(data_store *s, const char *name, data_array *out, nn_err *err)
{
    uint64_t bytes;

    *out = (data_array){ .store = s };
    nn_status status = open_bytes(out, name, &bytes, err);
    if (status != NN_OK)
        return status;
    status = data_npy_header(pull, out, out->name, &out->npy, err);
    if (status == NN_OK)
        status = read_type(out, err);
    if (status == NN_OK)
        status = check_size(out, bytes, err);
    return status == NN_OK ? NN_OK : data_array_close(out, status, err);
}

/* ---- rows ---- */

/* What an archive knows about an early end is the better word. */
static nn_status cut(data_array *x, nn_err *err)
{
    if (x->store->zip)
        NN_TRY(data_zip_end(x->store->zip, err));
    return data_unreadable(x->name, x->file && ferror(x->file) ? errno : 0, err);
}

/* Row i of an array whose first dimension runs fastest. */
static void gather(const data_array *x, int i, unsigned char *to)
{
    const size_t bytes = (size_t)x->bytes, count = x->row / bytes;
    long long index[DATA_NPY_DIMS] = { i };

    for (size_t k = 0; k < count; k++) {
        size_t at = 0;
        for (int j = x->npy.dims - 1; j >= 0; j--)
            at = at * (size_t)x->npy.dim[j] + (size_t)index[j];
        memcpy(to + k * bytes, x->whole + at * bytes, bytes);
        for (int j = x->npy.dims - 1; j > 0 && ++index[j] == x->npy.dim[j]; j--)
            index[j] = 0;
    }
}

nn_status data_array_row(data_array *x, nn_arena *a, unsigned char *to, nn_err *err)
{
    errno = 0;
    if (!x->npy.fortran || x->npy.dims == 1) {
        x->at++;
        return pull(x, to, x->row) == x->row ? NN_OK : cut(x, err);
    }
    if (!x->whole) {
        const size_t all = (size_t)x->n * x->row;
        x->whole = NN_NEW(a, unsigned char, all);
        if (pull(x, x->whole, all) != all)
            return cut(x, err);
    }
    gather(x, x->at++, to);
    return NN_OK;
}

nn_status data_array_close(data_array *x, nn_status so_far, nn_err *err)
{
    if (so_far == NN_OK && x->store->zip && x->at == x->n)
        so_far = data_zip_end(x->store->zip, err);
    if (x->file)
        fclose(x->file);
    x->file = NULL;
    return so_far;
}
