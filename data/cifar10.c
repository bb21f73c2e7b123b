#include "data/data.h"
#include "data/places.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* CIFAR-10: 50,000 training and 10,000 test photographs, RGB, 32 x 32, ten classes -
 * "Learning Multiple Layers of Features from Tiny Images", Krizhevsky, 2009.  No Debian
 * package: the reader takes the binary version, unpacked.
 *
 * A batch file is 10,000 records and nothing else: a label byte, then 1,024 red, 1,024
 * green and 1,024 blue bytes, each plane row by row.  Files and records behind data.limit
 * and data.test_limit are not read, and those files need not be there. */
enum {
    SIDE = 32, CHANNELS = 3, PLANE = SIDE * SIDE, RECORD = 1 + CHANNELS * PLANE,
    CLASSES = 10,
    RECORDS = 10000, /* of each file */
    BATCHES = 5,     /* files to train on; the one after them is the test's */
    FILES = BATCHES + 1
};

static const char *const file_name[FILES] = {
    "data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
    "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"
};

static const char *const labels[] = {
    "airplane", "automobile", "bird", "cat", "deer",
    "dog", "frog", "horse", "ship", "truck", NULL
};

static const char how_to_get[] =
    "put data_batch_1.bin to data_batch_5.bin and test_batch.bin (CIFAR-10's binary "
    "version, unpacked) into a folder and name it in data.dir or $FULLRANK_DATA";

extern const data_source data_cifar10;

/* ---- finding the files ---- */

static int is_there(const char *dir, int file, const char *ending, char *path)
{
    int need = snprintf(path, DATA_PATH, "%s/%s%s", dir, file_name[file], ending);
    return need < DATA_PATH && access(path, F_OK) == 0;
}

static int limited(int all, int limit)
{
    return limit && limit < all ? limit : all;
}

/* How many of the training files the limit leaves to be read. */
static int batches_of(const data_settings *s)
{
    return (limited(BATCHES * RECORDS, s->limit) + RECORDS - 1) / RECORDS;
}

/* How many of the `batches` first and of the test's are in a folder. */
static int files_in(const char *dir, int batches, const char *ending)
{
    char path[DATA_PATH];
    int found = is_there(dir, BATCHES, ending, path);

    for (int i = 0; i < batches; i++)
        found += is_there(dir, i, ending, path);
    return found;
}

static void list_places(const data_settings *s, data_places *p)
{
    const char *const base[] = { getenv("FULLRANK_DATA"), s->dir };

    p->n = 0;
    for (size_t i = 0; i < NN_COUNT(base); i++) {
        data_places_add(p, base[i], "cifar-10-batches-bin");   /* the archive's folder */
        data_places_add(p, base[i], data_cifar10.name);
        data_places_add(p, base[i], NULL);
    }
}

/* The first folder that has any of the files, or NULL.  One that has only some is an
 * error for the reader to name, not a reason to take other data from somewhere else. */
static const char *first_place(const data_places *p, const char *ending)
{
    for (int i = 0; i < p->n; i++)
        if (files_in(p->dir[i], BATCHES, ending) > 0)
            return p->dir[i];
    return NULL;
}

static int present(const data_settings *s, char *where, size_t size)
{
    data_places p;
    list_places(s, &p);

    const char *dir = first_place(&p, "");
    if (!dir || files_in(dir, batches_of(s), "") < batches_of(s) + 1)
        return 0;
    snprintf(where, size, "%s", dir);
    return 1;
}

static nn_status not_found(const data_places *p, nn_err *err)
{
    const char *packed = first_place(p, ".xz");
    char looked[512];

    if (packed)
        return nn_fail(err, NN_EDATA, "%.300s: holds the files of cifar10 packed only; "
                       "unpack them with `xz -dk *.bin.xz` there, or in a copy of the "
                       "folder", packed);
    return nn_fail(err, NN_EDATA, "data set cifar10: no files found%s; %s",
                   data_places_told(p, looked, sizeof looked), how_to_get);
}

/* ---- reading one file ---- */

static nn_status unreadable(const char *path, int error, nn_err *err)
{
    return nn_fail(err, NN_EDATA, "%.300s: cannot be read: %s", path,
                   error ? strerror(error) : "it became shorter meanwhile");
}

static nn_status missing(const char *dir, int which, nn_err *err)
{
    const char *name = file_name[which];
    char packed[DATA_PATH];

    if (is_there(dir, which, ".xz", packed))
        return nn_fail(err, NN_EDATA, "%.300s/%s: missing beside the other files of "
                       "cifar10; unpack it with `xz -dk %.300s`", dir, name, packed);
    return nn_fail(err, NN_EDATA, "%.300s/%s: missing beside the other files of cifar10; "
                   "%s", dir, name, how_to_get);
}

/* Opens it and compares its size: there is no header that could be wrong. */
static nn_status open_file(const char *dir, int which, char *path, FILE **file,
                           nn_err *err)
{
    const long long whole = (long long)RECORDS * RECORD;
    struct stat about;

    if (!is_there(dir, which, "", path))
        return missing(dir, which, err);
    if (stat(path, &about) != 0)
        return unreadable(path, errno, err);
    if (!S_ISREG(about.st_mode))
        return nn_fail(err, NN_EDATA, "%.300s: not a regular file; put the data set's "
                       "file in its place", path);
    if (about.st_size != whole)
        return nn_fail(err, NN_EDATA, "%.300s: %s: %lld bytes, wanted %lld (%d records "
                       "of %d); replace the file", path,
                       about.st_size < whole ? "ends too early" : "too long",
                       (long long)about.st_size, whole, RECORDS, RECORD);
    *file = fopen(path, "rb");
    return *file ? NN_OK : unreadable(path, errno, err);
}

/* Planes to channels last. */
static void interleave(const uint8_t *plane, uint8_t *pixel)
{
    for (int i = 0; i < PLANE; i++)
        for (int j = 0; j < CHANNELS; j++)
            pixel[i * CHANNELS + j] = plane[j * PLANE + i];
}

/* The first n records. */
static nn_status read_records(FILE *file, const char *path, int n, uint8_t *pixel,
                              uint16_t *label, nn_err *err)
{
    uint8_t record[RECORD];

    for (int i = 0; i < n; i++) {
        if (fread(record, RECORD, 1, file) != 1)
            return unreadable(path, ferror(file) ? errno : 0, err);
        if (record[0] >= CLASSES)
            return nn_fail(err, NN_EDATA, "%.300s: label %d of record %d is outside "
                           "0..%d; replace the file", path, record[0], i, CLASSES - 1);
        label[i] = record[0];
        interleave(record + 1, pixel + (size_t)i * CHANNELS * PLANE);
    }
    return NN_OK;
}

/* ---- the whole set ---- */

/* The first n records of the files that start with `first`. */
static nn_status read_part(const char *dir, int first, int n, nn_arena *a, data_images *d,
                           nn_err *err)
{
    uint8_t *pixel = NN_NEW(a, uint8_t, (size_t)n * CHANNELS * PLANE);
    uint16_t *label = NN_NEW(a, uint16_t, n);

    for (int at = 0; at < n; at += RECORDS) {
        int some = n - at < RECORDS ? n - at : RECORDS;
        char path[DATA_PATH];
        FILE *file;
        NN_TRY(open_file(dir, first + at / RECORDS, path, &file, err));
        nn_status status = read_records(file, path, some,
                                        pixel + (size_t)at * CHANNELS * PLANE, label + at,
                                        err);
        fclose(file);
        NN_TRY(status);
    }
    *d = (data_images){
        .n = n, .h = SIDE, .w = SIDE, .c = CHANNELS, .classes = CLASSES,
        .pixel = pixel, .label = label,
        .mean = { 0.4914f, 0.4822f, 0.4465f }, .std = { 0.2470f, 0.2435f, 0.2616f }
    };
    return NN_OK;
}

static nn_status load(const data_settings *s, uint64_t seed, nn_arena *a,
                      data_images *train, data_images *test, nn_err *err)
{
    size_t mark = nn_arena_mark(a);
    data_places p;
    (void)seed;
    list_places(s, &p);

    const char *dir = first_place(&p, "");
    if (!dir)
        return not_found(&p, err);
    nn_status status = read_part(dir, 0, limited(BATCHES * RECORDS, s->limit), a, train,
                                 err);
    if (status == NN_OK)
        status = read_part(dir, BATCHES, limited(RECORDS, s->test_limit), a, test, err);
    if (status != NN_OK)
        nn_arena_rewind(a, mark);
    return status;
}

const data_source data_cifar10 = {
    .name = "cifar10", .about = "photographs, RGB 32 x 32, 10 classes (own files)",
    .labels = labels, .recipe = "simsiam_cifar",
    .train = 50000, .test = 10000, .h = 32, .w = 32, .c = 3, .classes = 10,
    .load = load, .present = present
};
