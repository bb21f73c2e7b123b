#include "data/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <sha2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "data/data.h"
#include "data/places.h"
#include "nn/par.h"

/* The file: the head, a byte for every row, and from a multiple of PAGE on the rows. */
enum { PAGE = 4096, VERSION = 1, ORDER = 0x01020304 };
static const char magic[16] = "fullrank pixels";

typedef struct head {
    char magic[16];
    uint32_t version, order;            /* order: bytes of numbers, as this machine's */
    uint8_t key[DATA_CACHE_KEY];
    uint64_t n, each;
    uint8_t notes[DATA_CACHE_NOTES];
    uint8_t sum[SHA256_DIGEST_LENGTH];  /* of the above and the bytes of the rows */
} head;

/* ---- names ---- */

nn_status data_cache_dir(const char *setting, char *out, size_t size, nn_err *err)
{
    const char *const base[] = { setting, getenv("FULLRANK_CACHE"),
                                 getenv("XDG_CACHE_HOME"), getenv("HOME") };
    static const char *const below[] = { "", "", "/fullrank", "/.cache/fullrank" };

    for (size_t i = 0; i < NN_COUNT(base); i++)
        if (base[i] && base[i][0]) {
            if ((size_t)snprintf(out, size, "%s%s", base[i], below[i]) < size)
                return NN_OK;
            return nn_fail(err, NN_ERUN, "%.1000s: too long a path for a cache; name a "
                           "shorter one in data.cache", base[i]);
        }
    return nn_fail(err, NN_ERUN, "no folder for decoded pictures: neither data.cache nor "
                   "$FULLRANK_CACHE, $XDG_CACHE_HOME or $HOME is set; set data.cache=DIR");
}

typedef struct names { char file[DATA_PATH], part[DATA_PATH], lock[DATA_PATH]; } names;

static nn_status name_files(const data_making *m, names *f, nn_err *err)
{
    enum { SHOWN = 16 };                /* bytes of the key: 128 bits */
    char hex[2 * SHOWN + 1];

    for (int i = 0; i < SHOWN; i++)
        snprintf(hex + 2 * i, 3, "%02x", m->key[i]);
    int need = snprintf(f->file, DATA_PATH, "%s/%s-%s.pixels", m->dir, m->kind, hex);
    if (need >= DATA_PATH - 8)
        return nn_fail(err, NN_ERUN, "%.1000s: too long a path for a cache; name a "
                       "shorter one in data.cache", m->dir);
    snprintf(f->part, DATA_PATH, "%.*s.part", need, f->file);
    snprintf(f->lock, DATA_PATH, "%.*s.lock", need, f->file);
    return NN_OK;
}

/* What a fault of the disk can be answered with. */
static nn_status disk_fault(const char *file, int error, nn_err *err)
{
    int full = error == ENOSPC || error == EDQUOT || error == EFBIG;
    return nn_fail(err, NN_ERUN, "%.1000s: cannot be written: %s; %s folder in data.cache",
                   file, strerror(error), full ? "free some room, or name another"
                                               : "name another");
}

static nn_status make_folders(const char *dir, nn_err *err)
{
    char path[DATA_PATH];

    snprintf(path, sizeof path, "%s", dir);
    for (char *p = path + 1; *p; p++)
        if (*p == '/') {
            *p = 0;
            mkdir(path, 0777);          /* if that fails, so does the last one */
            *p = '/';
        }
    struct stat about;
    if (mkdir(path, 0777) == 0 || (stat(path, &about) == 0 && S_ISDIR(about.st_mode)))
        return NN_OK;
    return nn_fail(err, NN_ERUN, "%.1000s: cannot make this folder: %s; name another one "
                   "in data.cache", path, strerror(errno));
}

/* ---- the layout ---- */

static size_t rows_at(const data_making *m)
{
    return (sizeof(head) + (size_t)m->n + PAGE - 1) / PAGE * PAGE;
}

static size_t whole(const data_making *m)
{
    return rows_at(m) + (size_t)m->n * m->each;
}

static void checksum(const head *h, const uint8_t *missing, size_t n, uint8_t *sum)
{
    SHA2_CTX sha;

    SHA256Init(&sha);
    SHA256Update(&sha, (const uint8_t *)h, offsetof(head, sum));
    SHA256Update(&sha, missing, n);
    SHA256Final(sum, &sha);
}

static int is_sound(const data_making *m, const head *h)
{
    uint8_t sum[SHA256_DIGEST_LENGTH];

    if (memcmp(h->magic, magic, sizeof magic) != 0 || h->version != VERSION
        || h->order != ORDER || memcmp(h->key, m->key, sizeof h->key) != 0
        || h->n != (uint64_t)m->n || h->each != m->each)
        return 0;
    checksum(h, (const uint8_t *)(h + 1), (size_t)m->n, sum);
    return memcmp(sum, h->sum, sizeof sum) == 0;
}

static data_cache parts_of(const data_making *m, data_map *map)
{
    const head *h = (const head *)(const void *)map->bytes;
    return (data_cache){ map, (const uint8_t *)(h + 1),
                         (const uint8_t *)map->bytes + rows_at(m), h->notes };
}

/* *out stays empty when there is no file, a damaged or an outdated one.  aloud: with a
 * word about it. */
static nn_status find(const data_making *m, const names *f, int aloud, data_cache *out,
                      nn_err *err)
{
    struct stat about;
    data_map *map = NULL;
    int file = open(f->file, O_RDONLY | O_CLOEXEC);

    *out = (data_cache){ 0 };
    if (file < 0 && (errno == ENOENT || errno == ENOTDIR))
        return NN_OK;
    if (file < 0)
        return nn_fail(err, NN_ERUN, "%.1000s: cannot be read: %s; remove it, or name "
                       "another folder in data.cache", f->file, strerror(errno));
    int right = fstat(file, &about) == 0 && S_ISREG(about.st_mode)
                && (uint64_t)about.st_size == whole(m);
    nn_status status = right ? data_map_open(file, whole(m), f->file, &map, err) : NN_OK;
    close(file);
    NN_TRY(status);
    right = right && is_sound(m, (const head *)(const void *)map->bytes);
    if (!right && aloud)
        data_tell(0, 0, "%.900s: this cache is damaged; decoding anew", f->file);
    if (right)
        *out = parts_of(m, map);
    if (!right || m->outdated(m->ctx, out->missing)) {
        data_map_close(map);
        *out = (data_cache){ 0 };
    }
    return NN_OK;
}

static nn_status stopped(nn_err *err)
{
    return nn_fail(err, NN_EAGAIN, "stopped before all pictures were decoded; the same "
                   "command decodes them");
}

/* ---- one at a time ---- */

/* The lock is a file that goes when its owner is done: the one that was waited for may be
 * gone from the folder, then another is to be taken.  *lock = -1: the file system knows no
 * locks. */
static nn_status take_lock(const names *f, int *lock, nn_err *err)
{
    const struct timespec moment = { 0, 50000000 };     /* flock() itself heeds nothing */
    struct stat mine, there;

    for (;;) {
        *lock = open(f->lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (*lock < 0)
            return disk_fault(f->lock, errno, err);
        int got = flock(*lock, LOCK_EX | LOCK_NB);
        if (got != 0 && errno == EWOULDBLOCK) {
            data_tell(0, 0, "another fullrank is decoding these pictures; waiting for it");
            while (!data_stopped() && (got = flock(*lock, LOCK_EX | LOCK_NB)) != 0
                   && (errno == EWOULDBLOCK || errno == EINTR))
                nanosleep(&moment, NULL);
        }
        if (got != 0 && data_stopped()) {
            close(*lock);
            return stopped(err);
        }
        if (got != 0) {
            close(*lock);
            *lock = -1;
            return NN_OK;
        }
        if (fstat(*lock, &mine) == 0 && stat(f->lock, &there) == 0
            && mine.st_ino == there.st_ino && mine.st_dev == there.st_dev)
            return NN_OK;
        close(*lock);
    }
}

static void give_lock(const names *f, int lock)
{
    unlink(f->lock);
    if (lock >= 0)
        close(lock);
}

/* ---- making it ---- */

typedef struct maker {
    const data_making *m;
    const names *f;
    int file, first;                    /* first: row of job 0 */
    uint8_t *missing;                   /* (n) */
    atomic_int failed;                  /* the first fault to come, kept in err */
    nn_status status;
    nn_err err;
} maker;

static void keep_fault(maker *k, nn_status status, const nn_err *err)
{
    if (atomic_exchange(&k->failed, 1))
        return;
    k->status = status;
    k->err = *err;
}

/* 0, or an errno. */
static int put(int file, const void *bytes, size_t n, size_t at)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = pwrite(file, (const char *)bytes + done, n - done,
                             (off_t)(at + done));
        if (got < 0 && errno != EINTR)
            return errno;
        done += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

static void make_row(void *ctx, size_t job, int worker)
{
    maker *k = ctx;
    const data_making *m = k->m;
    int i = k->first + (int)job, error = 0;
    nn_err err = { 0 };
    (void)worker;

    if (atomic_load(&k->failed) || data_stopped())
        return;
    uint8_t *row = calloc(1, m->each);
    if (!row)
        nn_no_memory("a decoded picture needs %zu bytes more", m->each);
    nn_status status = m->make(m->ctx, i, row, &err);
    k->missing[i] = status == NN_EDATA;
    if (status == NN_OK) {
        error = put(k->file, row, m->each, rows_at(m) + (size_t)i * m->each);
        if (error)
            status = disk_fault(k->f->part, error, &err);
    }
    free(row);
    if (status != NN_OK && status != NN_EDATA)
        keep_fault(k, status, &err);
}

/* A strip of rows at a time, so that there is something to tell. */
static nn_status make_rows(maker *k, nn_err *err)
{
    enum { STRIP = 256 };

    for (k->first = 0; k->first < k->m->n && !k->failed && !data_stopped();
         k->first += STRIP) {
        int rest = k->m->n - k->first;
        data_tell(k->first, k->m->n, "decoding pictures");
        nn_par_run((size_t)(rest < STRIP ? rest : STRIP), make_row, k);
    }
    if (!k->failed && data_stopped())
        return stopped(err);
    if (!k->failed) {
        data_tell(k->m->n, k->m->n, "decoding pictures");
        return NN_OK;
    }
    *err = k->err;
    return k->status;
}

/* Room for all of it before an hour's work.  Where a file system cannot promise room, the
 * rows find out. */
static int reserve(int file, size_t n)
{
    if (fallocate(file, 0, 0, (off_t)n) == 0)
        return 0;
    if (errno != EOPNOTSUPP && errno != ENOSYS)
        return errno;
    return ftruncate(file, (off_t)n) == 0 ? 0 : errno;
}

static int put_head(maker *k, head *h)
{
    const data_making *m = k->m;

    memcpy(h->magic, magic, sizeof magic);
    memcpy(h->key, m->key, sizeof h->key);
    h->version = VERSION;
    h->order = ORDER;
    h->n = (uint64_t)m->n;
    h->each = m->each;
    checksum(h, k->missing, (size_t)m->n, h->sum);
    int error = put(k->file, k->missing, (size_t)m->n, sizeof *h);
    return error ? error : put(k->file, h, sizeof *h, 0);
}

/* So that the name lasts as well; a folder that cannot be synced is no harm. */
static void sync_folder(const char *dir)
{
    int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (folder < 0)
        return;
    fsync(folder);
    close(folder);
}

static nn_status fill(maker *k, nn_err *err)
{
    const data_making *m = k->m;
    head h = { 0 };
    data_map *map;
    int error = reserve(k->file, whole(m));

    if (error)
        return disk_fault(k->f->part, error, err);
    NN_TRY(make_rows(k, err));
    NN_TRY(data_map_open(k->file, whole(m), k->f->part, &map, err));
    nn_status status = m->conclude(m->ctx, k->missing,
                                   (const uint8_t *)map->bytes + rows_at(m), h.notes,
                                   err);
    data_map_close(map);
    NN_TRY(status);
    error = put_head(k, &h);
    if (error || fsync(k->file) != 0)
        return disk_fault(k->f->part, error ? error : errno, err);
    return NN_OK;
}

static nn_status make(const data_making *m, names *f, int locked, nn_err *err)
{
    maker k = { .m = m, .f = f };

    if (!locked) {                      /* two may be at it: each under its own name */
        size_t at = strlen(f->file);
        snprintf(f->part + at, DATA_PATH - at, ".p%d", (int)getpid());
    }
    k.file = open(f->part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (k.file < 0)
        return disk_fault(f->part, errno, err);
    k.missing = calloc((size_t)m->n, 1);
    if (!k.missing)
        nn_no_memory("the list of pictures needs %d bytes more", m->n);
    nn_status status = fill(&k, err);
    close(k.file);
    free(k.missing);
    if (status == NN_OK && rename(f->part, f->file) != 0)
        status = disk_fault(f->file, errno, err);
    if (status != NN_OK)
        unlink(f->part);
    else
        sync_folder(m->dir);
    return status;
}

nn_status data_cache_open(const data_making *m, data_cache *out, nn_err *err)
{
    names f;
    int lock;

    NN_TRY(name_files(m, &f, err));
    NN_TRY(find(m, &f, 0, out, err));
    if (out->map)
        return NN_OK;
    NN_TRY(make_folders(m->dir, err));
    NN_TRY(take_lock(&f, &lock, err));
    nn_status status = find(m, &f, 1, out, err);    /* who was waited for may have made it */
    if (status == NN_OK && !out->map)
        status = make(m, &f, lock >= 0, err);
    if (status == NN_OK && !out->map)
        status = find(m, &f, 1, out, err);
    give_lock(&f, lock);
    if (status == NN_OK && !out->map)
        return nn_fail(err, NN_ERUN, "%.1000s: was changed by another program; name "
                       "another folder in data.cache", f.file);
    return status;
}
