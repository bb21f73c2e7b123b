#include "data/zip.h"
#include "data/files.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

/* The zip format (APPNOTE.TXT of PKWARE), little-endian: local headers with the packed
 * bytes behind them, then the directory, then its end record, which a comment of up to
 * 65,535 bytes may follow. */
enum {
    LOCAL = 30, CENTRAL = 46, END = 22, LOCATOR = 20, END64 = 56,   /* bytes of headers */
    MOST_COMMENT = 65535,
    MOST_DIRECTORY = 1 << 18, /* a thousand arrays have less */
    NAME = 64,                /* longer ones are none that anybody asks for */
    STORED = 0, DEFLATED = 8,
    DEFLATE_RATIO = 1032,     /* no deflate stream packs more bytes into one */
    BUFFER = 1 << 16
};
#define SIG_LOCAL   0x04034b50u
#define SIG_CENTRAL 0x02014b50u
#define SIG_END     0x06054b50u
#define SIG_LOCATOR 0x07064b50u
#define SIG_END64   0x06064b50u

typedef struct entry {
    char name[NAME];                    /* empty: too long to be of interest */
    int flags, method;
    uint32_t crc;
    uint64_t packed, bytes, at;
} entry;

struct data_zip {
    const char *path;
    FILE *file;
    uint64_t size;                      /* of the file */
    entry *entry; int entries;
    /* the entry that is being read */
    const entry *now;
    uint64_t left, done;                /* packed bytes to be read, bytes handed out */
    uint32_t crc;
    z_stream stream; int open;
    int broken;                         /* zlib's code, or 0 */
    int error;                          /* errno of a read that failed */
    unsigned char buffer[BUFFER];
};

static uint32_t u16(const unsigned char *p)
{
    return (uint32_t)(p[0] | p[1] << 8);
}

static uint32_t u32(const unsigned char *p)
{
    return u16(p) | u16(p + 2) << 16;
}

static uint64_t u64(const unsigned char *p)
{
    return u32(p) | (uint64_t)u32(p + 4) << 32;
}

static nn_status damaged(const data_zip *z, const char *what, nn_err *err)
{
    return nn_fail(err, NN_EDATA, "%.300s: damaged zip archive: %s; replace the file",
                   z->path, what);
}

static nn_status read_at(data_zip *z, uint64_t at, unsigned char *to, size_t n,
                         nn_err *err)
{
    if (at > z->size || n > z->size - at)
        return damaged(z, "it refers to bytes behind its end", err);
    errno = 0;
    if (fseeko(z->file, (off_t)at, SEEK_SET) != 0 || fread(to, 1, n, z->file) != n)
        return data_unreadable(z->path, errno, err);
    return NN_OK;
}

/* ---- the directory ---- */

typedef struct directory { uint64_t at, bytes, entries; } directory;

/* The end record is the last one whose comment ends with the file. */
static nn_status find_end(data_zip *z, nn_arena *a, uint64_t *at, unsigned char *end,
                          nn_err *err)
{
    size_t n = z->size < END + MOST_COMMENT ? (size_t)z->size : END + MOST_COMMENT;
    size_t mark = nn_arena_mark(a);
    unsigned char *tail = NN_NEW(a, unsigned char, n + 1);
    nn_status status = read_at(z, z->size - n, tail, n, err);
    int found = 0;

    for (size_t i = n; status == NN_OK && !found && i >= END; i--) {
        const unsigned char *p = tail + i - END;
        found = u32(p) == SIG_END && u16(p + 20) == n - i;
        if (found) {
            *at = z->size - n + i - END;
            memcpy(end, p, END);
        }
    }
    nn_arena_rewind(a, mark);
    if (status == NN_OK && !found)
        return nn_fail(err, NN_EDATA, "%.300s: not a .npz file, or cut: it does not end as "
                       "a zip archive does; replace the file", z->path);
    return status;
}

static nn_status find_directory(data_zip *z, nn_arena *a, directory *d, nn_err *err)
{
    unsigned char end[END] = { 0 }, locator[LOCATOR], end64[END64];
    uint64_t at = 0;

    NN_TRY(find_end(z, a, &at, end, err));
    *d = (directory){ u32(end + 16), u32(end + 12), u16(end + 10) };
    if (d->at == UINT32_MAX || d->bytes == UINT32_MAX || d->entries == UINT16_MAX) {
        if (at < LOCATOR)
            return damaged(z, "its zip64 record is missing", err);
        NN_TRY(read_at(z, at - LOCATOR, locator, LOCATOR, err));
        if (u32(locator) != SIG_LOCATOR)
            return damaged(z, "its zip64 record is missing", err);
        NN_TRY(read_at(z, u64(locator + 8), end64, END64, err));
        if (u32(end64) != SIG_END64)
            return damaged(z, "its zip64 record is missing", err);
        *d = (directory){ u64(end64 + 48), u64(end64 + 40), u64(end64 + 32) };
    }
    if (d->bytes > MOST_DIRECTORY || d->entries > d->bytes / CENTRAL)
        return damaged(z, "its directory is larger than any of arrays", err);
    return NN_OK;
}

/* Sizes that do not fit into 32 bits stand in an extra field, in this order. */
static int take64(entry *e, const unsigned char *x, size_t n)
{
    uint64_t *const wide[] = { &e->bytes, &e->packed, &e->at };
    size_t next = 0;

    while (n >= 4 && u16(x) != 1) {
        size_t step = 4 + (size_t)u16(x + 2);
        if (step > n)
            return 0;
        x += step;
        n -= step;
    }
    size_t have = n >= 4 && 4 + (size_t)u16(x + 2) <= n ? u16(x + 2) : 0;
    for (size_t i = 0; i < NN_COUNT(wide); i++)
        if (*wide[i] == UINT32_MAX) {
            if (next + 8 > have)
                return 0;
            *wide[i] = u64(x + 4 + next);
            next += 8;
        }
    return 1;
}

/* The entry at p, with n bytes of directory from there on; returns its length, 0: none. */
static size_t take_entry(const unsigned char *p, size_t n, entry *e)
{
    if (n < CENTRAL || u32(p) != SIG_CENTRAL)
        return 0;
    const size_t name = u16(p + 28), extra = u16(p + 30), comment = u16(p + 32);
    const size_t whole = CENTRAL + name + extra + comment;

    if (whole > n)
        return 0;
    *e = (entry){
        .flags = (int)u16(p + 8), .method = (int)u16(p + 10), .crc = u32(p + 16),
        .packed = u32(p + 20), .bytes = u32(p + 24), .at = u32(p + 42)
    };
    if (name < NAME)
        memcpy(e->name, p + CENTRAL, name);
    return take64(e, p + CENTRAL + name, extra) ? whole : 0;
}

static nn_status read_directory(data_zip *z, nn_arena *a, nn_err *err)
{
    directory d;

    NN_TRY(find_directory(z, a, &d, err));
    unsigned char *bytes = NN_NEW(a, unsigned char, d.bytes + 1), *p = bytes;
    NN_TRY(read_at(z, d.at, bytes, (size_t)d.bytes, err));
    z->entry = NN_NEW(a, entry, d.entries + 1);
    for (; (uint64_t)z->entries < d.entries; z->entries++) {
        entry *e = &z->entry[z->entries];
        size_t n = take_entry(p, (size_t)(bytes + d.bytes - p), e);
        if (n == 0)
            return damaged(z, "an entry of its directory makes no sense", err);
        if (e->name[0] && data_zip_find(z, e->name) >= 0)
            return nn_fail(err, NN_EDATA, "%.300s: two entries are called %s; save it "
                           "again with numpy.savez", z->path, e->name);
        p += n;
    }
    return NN_OK;
}

nn_status data_zip_open(const char *path, nn_arena *a, data_zip **out, nn_err *err)
{
    data_zip *z = nn_arena_zero(a, sizeof *z);
    long long size;

    *out = NULL;
    z->path = nn_arena_copy(a, path);
    NN_TRY(data_open_stream(path, &z->file, &size, err));
    z->size = (uint64_t)size;
    nn_status status = read_directory(z, a, err);
    if (status != NN_OK)
        data_zip_close(z);
    else
        *out = z;
    return status;
}

static void stop(data_zip *z)
{
    if (z->open)
        inflateEnd(&z->stream);
    z->open = 0;
    z->now = NULL;
}

void data_zip_close(data_zip *z)
{
    if (!z)
        return;
    stop(z);
    if (z->file)
        fclose(z->file);
    z->file = NULL;
}

int data_zip_find(const data_zip *z, const char *name)
{
    for (int i = 0; i < z->entries; i++)
        if (strcmp(z->entry[i].name, name) == 0)
            return i;
    return -1;
}

/* ---- one entry ---- */

static nn_status check(const data_zip *z, const entry *e, nn_err *err)
{
    enum { ENCRYPTED = 1 };

    if (e->flags & ENCRYPTED)
        return nn_fail(err, NN_EDATA, "%.300s: %s is encrypted; save it again with "
                       "numpy.savez", z->path, e->name);
    if (e->method != STORED && e->method != DEFLATED)
        return nn_fail(err, NN_EDATA, "%.300s: %s is packed by method %d, which is not "
                       "read; save it again with numpy.savez_compressed", z->path, e->name,
                       e->method);
    if (e->packed > z->size || e->bytes > e->packed * DEFLATE_RATIO
        || (e->method == STORED && e->bytes != e->packed))
        return nn_fail(err, NN_EDATA, "%.300s: %s is said to hold %llu bytes, which its "
                       "%llu packed ones cannot; replace the file", z->path, e->name,
                       (unsigned long long)e->bytes, (unsigned long long)e->packed);
    return NN_OK;
}

nn_status data_zip_start(data_zip *z, int i, uint64_t *bytes, nn_err *err)
{
    const entry *e = &z->entry[i];
    unsigned char head[LOCAL];

    stop(z);
    NN_TRY(check(z, e, err));
    NN_TRY(read_at(z, e->at, head, LOCAL, err));
    const uint64_t from = e->at + LOCAL + u16(head + 26) + u16(head + 28);
    if (u32(head) != SIG_LOCAL)
        return damaged(z, "an entry is not where the directory says", err);
    if (from > z->size || e->packed > z->size - from)
        return damaged(z, "it refers to bytes behind its end", err);
    if (fseeko(z->file, (off_t)from, SEEK_SET) != 0)
        return data_unreadable(z->path, errno, err);
    z->now = e;
    z->left = e->packed;
    z->done = 0;
    z->crc = (uint32_t)crc32(0, NULL, 0);
    z->broken = z->error = 0;
    memset(&z->stream, 0, sizeof z->stream);
    if (e->method == DEFLATED) {
        NN_NEED(inflateInit2(&z->stream, -MAX_WBITS) == Z_OK, "zlib: out of memory");
        z->open = 1;
    }
    *bytes = e->bytes;
    return NN_OK;
}

/* Up to n of the packed bytes that are left. */
static size_t packed(data_zip *z, void *to, size_t n)
{
    if (n > z->left)
        n = (size_t)z->left;
    errno = 0;
    size_t got = fread(to, 1, n, z->file);
    if (got < n)
        z->error = errno ? errno : -1;
    z->left -= got;
    return got;
}

static size_t unpacked(data_zip *z, unsigned char *to, size_t n)
{
    z_stream *s = &z->stream;
    int code = z->broken;

    s->next_out = to;
    s->avail_out = (uInt)n;
    while (s->avail_out && code == Z_OK) {
        if (s->avail_in == 0) {
            s->next_in = z->buffer;
            s->avail_in = (uInt)packed(z, z->buffer, BUFFER);
        }
        code = inflate(s, Z_NO_FLUSH);
    }
    z->broken = code;
    return n - s->avail_out;
}

size_t data_zip_pull(void *zip, void *to, size_t n)
{
    enum { PART = 1 << 24 };            /* zlib counts in 32 bits */
    data_zip *z = zip;
    unsigned char *out = to;
    size_t at = 0;

    while (at < n) {
        size_t some = n - at < PART ? n - at : PART;
        size_t got = z->open ? unpacked(z, out + at, some) : packed(z, out + at, some);
        z->crc = (uint32_t)crc32(z->crc, out + at, (uInt)got);
        at += got;
        if (got < some)
            break;
    }
    z->done += at;
    return at;
}

nn_status data_zip_end(data_zip *z, nn_err *err)
{
    const entry *e = z->now;
    unsigned char more;

    if (z->done <= e->bytes && data_zip_pull(z, &more, 1) == 1 && z->done > e->bytes)
        return nn_fail(err, NN_EDATA, "%.300s: %s unpacks to more bytes than its directory "
                       "says; replace the file", z->path, e->name);
    if (z->error)
        return data_unreadable(z->path, z->error > 0 ? z->error : 0, err);
    if (z->open && z->broken != Z_OK && z->broken != Z_STREAM_END)
        return nn_fail(err, NN_EDATA, "%.300s: %s is corrupt (%s); replace the file",
                       z->path, e->name, z->stream.msg ? z->stream.msg : "cut");
    if (z->done != e->bytes || z->left || z->stream.avail_in)
        return nn_fail(err, NN_EDATA, "%.300s: %s unpacks to other than the %llu bytes its "
                       "directory says; replace the file", z->path, e->name,
                       (unsigned long long)e->bytes);
    if (z->crc != e->crc)
        return nn_fail(err, NN_EDATA, "%.300s: the checksum of %s is wrong; replace the "
                       "file", z->path, e->name);
    return NN_OK;
}
