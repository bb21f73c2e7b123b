#include "data/files.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

nn_status data_unreadable(const char *path, int error, nn_err *err)
{
    return nn_fail(err, NN_EDATA, "%.300s: cannot be read: %s", path,
                   error ? strerror(error) : "it became shorter meanwhile");
}

/* Without O_NONBLOCK opening a pipe waits for somebody who writes into it. */
nn_status data_open(const char *path, int *file, long long *bytes, nn_err *err)
{
    struct stat about;

    *file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (*file < 0)
        return data_unreadable(path, errno, err);
    if (fstat(*file, &about) == 0 && S_ISREG(about.st_mode)) {
        *bytes = about.st_size;
        return NN_OK;
    }
    close(*file);
    *file = -1;
    return nn_fail(err, NN_EDATA, "%.300s: not a regular file; put the data set's "
                   "file in its place", path);
}

nn_status data_open_stream(const char *path, FILE **file, long long *bytes, nn_err *err)
{
    int opened;

    *file = NULL;
    NN_TRY(data_open(path, &opened, bytes, err));
    *file = fdopen(opened, "rb");
    if (*file)
        return NN_OK;
    int why = errno;
    close(opened);
    return data_unreadable(path, why, err);
}

int data_is_there(const char *dir, const char *name, const char *ending, char *path)
{
    int need = snprintf(path, DATA_PATH, "%s/%s%s", dir, name, ending);
    return need < DATA_PATH && access(path, F_OK) == 0;
}

int data_limited(int all, int limit)
{
    return limit && limit < all ? limit : all;
}

/* ---- names for people ---- */

/* Bytes of the UTF-8 character at p, 0 when there is none or it cannot be printed. */
static int utf8_length(const unsigned char *p)
{
    if (*p < 0x80)
        return *p >= 0x20 && *p != 0x7F;
    int n = *p >= 0xC2 && *p < 0xE0 ? 2 : *p >= 0xE0 && *p < 0xF0 ? 3
            : *p >= 0xF0 && *p < 0xF5 ? 4 : 0;
    for (int i = 1; i < n; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    /* forms that are too long, surrogates, what lies beyond U+10FFFF, and the control
     * characters U+0080 to U+009F */
    if ((*p == 0xE0 && p[1] < 0xA0) || (*p == 0xED && p[1] > 0x9F)
        || (*p == 0xF0 && p[1] < 0x90) || (*p == 0xF4 && p[1] > 0x8F)
        || (*p == 0xC2 && p[1] < 0xA0))
        return 0;
    return n;
}

const char *data_readable(const char *name, nn_arena *a)
{
    char *out = NN_NEW(a, char, 4 * strlen(name) + 1), *to = out;
    const unsigned char *p = (const unsigned char *)name;

    while (*p) {
        int n = utf8_length(p);
        if (n == 0) {
            to += sprintf(to, "\\x%02X", *p++);
            continue;
        }
        memcpy(to, p, (size_t)n);
        to += n;
        p += n;
    }
    *to = 0;
    return out;
}

/* ---- sets without headers ---- */

static const char *first_place(const data_fixed *f, const data_places *p,
                               const char *ending)
{
    char path[DATA_PATH];

    for (int i = 0; i < p->n; i++)
        for (int k = 0; k < f->files; k++)
            if (data_is_there(p->dir[i], f->file[k].name, ending, path))
                return p->dir[i];
    return NULL;
}

const char *data_fixed_place(const data_fixed *f, const data_settings *s, data_places *p)
{
    const char *const base[] = { getenv("FULLRANK_DATA"), s->dir };

    p->n = 0;
    for (size_t i = 0; i < NN_COUNT(base); i++) {
        data_places_add(p, base[i], f->folder);
        data_places_add(p, base[i], f->set);
        data_places_add(p, base[i], NULL);
    }
    return first_place(f, p, "");
}

nn_status data_fixed_not_found(const data_fixed *f, const data_places *p, nn_err *err)
{
    const char *packed = first_place(f, p, ".xz");
    char looked[512], path[DATA_PATH];

    if (packed)
        return nn_fail(err, NN_EDATA, "%.300s: holds the files of %s packed only; unpack "
                       "them with `xz -dk *.bin.xz` there, or in a copy of the folder",
                       packed, f->set);
    for (int i = 0; i < p->n; i++)
        if (data_is_there(p->dir[i], f->archive, "", path))
            return nn_fail(err, NN_EDATA, "%.300s: the archive of %s is not read; unpack "
                           "it with `tar -xzf %s` there", path, f->set, f->archive);
    return nn_fail(err, NN_EDATA, "data set %s: no files found%s; %s", f->set,
                   data_places_told(p, looked, sizeof looked), f->how);
}

static nn_status missing(const data_fixed *f, const char *dir, const char *name,
                         nn_err *err)
{
    char packed[DATA_PATH];

    if (data_is_there(dir, name, ".xz", packed))
        return nn_fail(err, NN_EDATA, "%.300s/%s: missing beside the other files of %s; "
                       "unpack it with `xz -dk %.300s`", dir, name, f->set, packed);
    return nn_fail(err, NN_EDATA, "%.300s/%s: missing beside the other files of %s; %s",
                   dir, name, f->set, f->how);
}

/* There is no header that could be wrong: the size is all there is to compare. */
nn_status data_fixed_open(const data_fixed *f, const char *dir, int file, char *path,
                          FILE **out, nn_err *err)
{
    const data_fixed_file *want = &f->file[file];
    const long long whole = (long long)want->records * want->record;
    long long bytes;

    if (!data_is_there(dir, want->name, "", path))
        return missing(f, dir, want->name, err);
    NN_TRY(data_open_stream(path, out, &bytes, err));
    if (bytes == whole)
        return NN_OK;
    fclose(*out);
    *out = NULL;
    return nn_fail(err, NN_EDATA, "%.300s: %s: %lld bytes, wanted %lld (%d records "
                   "of %d); replace the file", path,
                   bytes < whole ? "ends too early" : "too long", bytes, whole,
                   want->records, want->record);
}

/* ---- writing ---- */

/* Under `part`, a name that mkstemp completes; 0, or what went wrong. */
static int write_part(char *part, data_put *put, const void *what)
{
    const mode_t mask = umask(0);

    umask(mask);
    int fd = mkstemp(part);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "wb");
    int fine = f && put(f, what) && fflush(f) == 0 && fsync(fd) == 0
               && fchmod(fd, 0666 & ~mask) == 0;
    int why = fine ? 0 : errno ? errno : EIO;
    if ((f ? fclose(f) : fd >= 0 ? close(fd) : 0) != 0 && fine)
        why = errno;
    if (why && fd >= 0)
        unlink(part);
    return why;
}

nn_status data_write(const char *file, data_put *put, const void *what, nn_err *err)
{
    const size_t size = strlen(file) + sizeof ".XXXXXX";
    struct stat about;

    if (stat(file, &about) == 0 && !S_ISREG(about.st_mode))
        return nn_fail(err, NN_ERUN, "%.300s: cannot be written: %s", file,
                       S_ISDIR(about.st_mode) ? "is a folder" : "is not a regular file");
    char *part = malloc(size);
    NN_NEED(part, "out of memory for a file name of %zu bytes", size);
    snprintf(part, size, "%s.XXXXXX", file);
    int why = write_part(part, put, what);
    if (!why && rename(part, file) != 0) {
        why = errno;
        unlink(part);
    }
    free(part);
    return why ? nn_fail(err, NN_ERUN, "%.300s: cannot be written: %s", file,
                         strerror(why)) : NN_OK;
}

/* ---- mean and deviation ---- */

static void measure_bytes(data_images *d)
{
    const size_t count = data_raw_count(d);
    const double n = (double)d->n * (double)(count / (size_t)d->c);
    uint64_t sum[3] = { 0 }, square[3] = { 0 };

    for (int i = 0; i < d->n; i++) {
        const uint8_t *x = data_pixel_at(d, i);
        for (size_t k = 0; k < count; k += (size_t)d->c)
            for (int j = 0; j < d->c; j++) {
                uint32_t v = x[k + (size_t)j];
                sum[j] += v;
                square[j] += v * v;
            }
    }
    for (int j = 0; j < d->c; j++) {
        double mean = (double)sum[j] / n, var = (double)square[j] / n - mean * mean;
        d->mean[j] = (float)(mean / 255);
        d->std[j] = var > 0 ? (float)(sqrt(var) / 255) : 1;
    }
}

/* Two passes: the squares are of what is left when the mean is taken away. */
static void measure_numbers(data_images *d)
{
    const size_t count = data_raw_count(d);
    const double n = (double)d->n * (double)count;
    double sum = 0, square = 0;

    for (int i = 0; i < d->n; i++) {
        const float *x = data_value_at(d, i);
        for (size_t k = 0; k < count; k++)
            sum += x[k];
    }
    for (int i = 0; i < d->n; i++) {
        const float *x = data_value_at(d, i);
        for (size_t k = 0; k < count; k++)
            square += (x[k] - sum / n) * (x[k] - sum / n);
    }
    d->mean[0] = (float)(sum / n);
    d->std[0] = square > 0 ? (float)sqrt(square / n) : 1;
}

void data_measure(data_images *train, data_images *test)
{
    if (train->value)
        measure_numbers(train);
    else
        measure_bytes(train);
    memcpy(test->mean, train->mean, sizeof test->mean);
    memcpy(test->std, train->std, sizeof test->std);
}
