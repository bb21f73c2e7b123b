#include "data/idx.h"
#include "data/files.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* The files, by what they hold. */
enum { TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS, FILES };
enum { NAME = 64 };

enum {
    MAGIC_IMAGES = 0x0803,
    MAGIC_LABELS = 0x0801,
    MOST_BYTES = 1 << 30, /* of one file, unpacked: 20 times what the sets have */
    DEFLATE_RATIO = 1032  /* no deflate stream packs more bytes into one */
};

/* ---- finding the files ---- */

static const char *name_of(const data_idx *set, int file, char out[NAME])
{
    static const char *const kind[] = { "images-idx3-ubyte", "labels-idx1-ubyte" };

    snprintf(out, NAME, "%s%s-%s", set->prefix ? set->prefix : "",
             file < TEST_IMAGES ? "train" : set->test ? set->test : "t10k",
             kind[file % 2]);
    return out;
}

static int is_there(const data_idx *set, const char *dir, int file, char *path)
{
    char name[NAME];
    name_of(set, file, name);
    return data_is_there(dir, name, ".gz", path) || data_is_there(dir, name, "", path);
}

static int files_in(const data_idx *set, const char *dir)
{
    char path[DATA_PATH];
    int found = 0;

    for (int i = 0; i < FILES; i++)
        found += is_there(set, dir, i, path);
    return found;
}

/* MNIST and Fashion-MNIST use the same file names, so that a folder called "mnist" must
 * not be taken for Fashion-MNIST. */
static int belongs_to_another(const char *dir, const char *name)
{
    char copy[DATA_PATH];
    snprintf(copy, sizeof copy, "%s", dir);
    for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
        copy[n - 1] = 0;

    const char *slash = strrchr(copy, '/');
    const data_source *other = data_source_find(slash ? slash + 1 : copy);
    return other && strcmp(other->name, name) != 0;
}

static void add_named(data_places *p, const char *dir, const data_idx *set)
{
    data_places_add(p, dir, set->source->name);
    if (set->below)
        data_places_add(p, dir, set->below);
    if (dir && !belongs_to_another(dir, set->source->name))
        data_places_add(p, dir, NULL);
}

static void list_places(const data_idx *set, const data_settings *s, data_places *p)
{
    p->n = 0;
    add_named(p, getenv("FULLRANK_DATA"), set);
    add_named(p, s->dir, set);
    if (!*s->dir)                               /* who names a folder wants that one */
        data_places_add(p, set->folder, NULL);
}

/* The first folder that has any of the files, or NULL.  One that has only some is an error
 * for the reader to name, not a reason to take other data from somewhere else. */
static const char *best_place(const data_idx *set, const data_places *p)
{
    for (int i = 0; i < p->n; i++)
        if (files_in(set, p->dir[i]) > 0)
            return p->dir[i];
    return NULL;
}

int data_idx_present(const data_idx *set, const data_settings *s, char *where,
                     size_t size)
{
    data_places p;
    list_places(set, s, &p);

    const char *dir = best_place(set, &p);
    if (!dir || files_in(set, dir) < FILES)
        return 0;
    snprintf(where, size, "%s", dir);
    return 1;
}

/* What to do about a set that is not there. */
static const char *how_to_get(const data_idx *set, char *out, size_t size)
{
    const data_source *source = set->source;
    char name[NAME];

    if (set->prefix)
        snprintf(out, size, "put %s.gz and its three companions into a folder and name "
                 "it in data.dir or $FULLRANK_DATA", name_of(set, TRAIN_IMAGES, name));
    else if (source->package)
        snprintf(out, size, "run `apt-get install %s`, or put its four idx files into a "
                 "folder and name it in data.dir or $FULLRANK_DATA", source->package);
    else
        snprintf(out, size,
                 "put its four idx files into a folder and name it in data.dir "
                 "or $FULLRANK_DATA");
    return out;
}

static nn_status not_found(const data_idx *set, const data_places *p, nn_err *err)
{
    char looked[512], how[256], path[DATA_PATH], name[NAME];

    name_of(set, TRAIN_IMAGES, name);
    for (int i = 0; i < p->n; i++) {
        if (data_is_there(p->dir[i], name, ".xz", path))
            return nn_fail(err, NN_EDATA, "%.300s: packed with xz, which is not read; "
                           "unpack it and its companions with `xz -d`", path);
        if (set->archive && data_is_there(p->dir[i], set->archive, "", path))
            return nn_fail(err, NN_EDATA, "%.300s: the archive of %s is not read; unpack "
                           "it with `%s` there", path, set->source->name, set->unpack);
    }
    return nn_fail(err, NN_EDATA, "data set %s: no files found%s; %s", set->source->name,
                   data_places_told(p, looked, sizeof looked),
                   how_to_get(set, how, sizeof how));
}

/* ---- reading one file ---- */

typedef struct reader {
    const data_idx *set;
    int which;                          /* TRAIN_IMAGES ... */
    nn_arena *arena;
    nn_err *err;
    char path[DATA_PATH];
    gzFile file;
    int zipped;
    uint64_t on_disk;                   /* bytes of the file as it lies there */
    int n;                              /* what was read: n items of `each` bytes */
    size_t each;
    uint8_t *bytes;
} reader;

static int of_images(const reader *r)
{
    return r->which == TRAIN_IMAGES || r->which == TEST_IMAGES;
}

/* Every complaint about a file's contents ends with the same advice. */
__attribute__((format(printf, 2, 3)))
static nn_status damaged(reader *r, const char *format, ...)
{
    char what[512], package[128] = "";
    va_list list;

    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    if (r->set->source->package)
        snprintf(package, sizeof package, " or run `apt-get install --reinstall %s`",
                 r->set->source->package);
    return nn_fail(r->err, NN_EDATA, "%.300s: %s; replace the file%s", r->path, what,
                   package);
}

static nn_status open_file(reader *r)
{
    int zipped_name = strlen(r->path) > 3
                      && strcmp(r->path + strlen(r->path) - 3, ".gz") == 0;
    long long bytes;
    int file;

    NN_TRY(data_open(r->path, &file, &bytes, r->err));
    r->on_disk = (uint64_t)bytes;
    r->file = gzdopen(file, "rb");
    if (!r->file) {
        close(file);
        return data_unreadable(r->path, ENOMEM, r->err);
    }
    gzbuffer(r->file, 1 << 17);
    r->zipped = !gzdirect(r->file);
    if (zipped_name && !r->zipped)
        return damaged(r, "not a gzip file");
    return NN_OK;
}

/* zlib puts what it takes for the path, as "<fd:5>: ", before its text. */
static const char *reason(const char *text)
{
    const char *end = strstr(text, ">: ");
    return end ? end + 3 : text;
}

/* Reads n bytes, or what is left of them: *at tells how many came.  *cut is 1 when the
 * stream broke off before its end. */
static nn_status pull(reader *r, uint8_t *to, size_t n, size_t *at, int *cut)
{
    int got = 1, code;

    for (*at = 0; got > 0 && *at < n; *at += got > 0 ? (size_t)got : 0) {
        size_t rest = n - *at;
        got = gzread(r->file, to + *at, (unsigned)(rest < 1 << 24 ? rest : 1 << 24));
    }
    const char *text = gzerror(r->file, &code);
    if (code == Z_ERRNO)
        return data_unreadable(r->path, errno, r->err);
    if (got < 0 && code != Z_BUF_ERROR)
        return damaged(r, "corrupt gzip data (%s)", reason(text));
    *cut = code == Z_BUF_ERROR;
    return NN_OK;
}

/* Reads exactly n bytes. */
static nn_status take(reader *r, uint8_t *to, size_t n, const char *what)
{
    size_t at;
    int cut;

    NN_TRY(pull(r, to, n, &at, &cut));
    if (at < n)
        return damaged(r, "ends too early: %zu of %zu bytes of %s", at, n, what);
    return NN_OK;
}

/* Reads the last n bytes of the stream; `to` has room for one more.  Asking for that one
 * makes zlib go on to the end of the stream, where it compares the checksum: a file cut
 * within its last bytes would pass otherwise. */
static nn_status take_rest(reader *r, uint8_t *to, size_t n, const char *what)
{
    size_t at;
    int cut;

    NN_TRY(pull(r, to, n + 1, &at, &cut));
    if (at > n)
        return damaged(r, "holds more bytes than its header says");
    if (at < n)
        return damaged(r, "ends too early: %zu of %zu bytes of %s", at, n, what);
    if (cut)
        return damaged(r, "ends too early: the checksum is missing");
    return NN_OK;
}

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Magic number and sizes: sets r->n and r->each. */
static nn_status read_header(reader *r)
{
    const data_idx *set = r->set;
    const char *items = of_images(r) ? "images" : "labels";
    uint32_t wanted = of_images(r) ? MAGIC_IMAGES : MAGIC_LABELS;
    size_t size = of_images(r) ? 16 : 8;
    uint8_t head[16];

    NN_TRY(take(r, head, size, "header"));
    if (big_endian(head) != wanted)
        return damaged(r, "not an idx file of %s: magic number 0x%08x, wanted 0x%08x",
                       items, big_endian(head), wanted);
    r->each = 1;
    if (of_images(r)) {
        uint32_t h = big_endian(head + 8), w = big_endian(head + 12);
        if (h != (uint32_t)set->h || w != (uint32_t)set->w)
            return damaged(r, "holds images of %u x %u, wanted %d x %d", h, w, set->h,
                           set->w);
        r->each = (size_t)h * w;
    }

    uint64_t count = big_endian(head + 4), bytes = count * r->each;
    uint64_t possible = r->zipped ? r->on_disk * DEFLATE_RATIO : r->on_disk - size;
    if (count == 0)
        return damaged(r, "the header says 0 %s", items);
    if (bytes > possible || bytes > MOST_BYTES)
        return damaged(r,
                       "the header says %llu %s, more than a file of %llu bytes can hold",
                       (unsigned long long)count, items, (unsigned long long)r->on_disk);
    r->n = (int)count;
    return NN_OK;
}

static nn_status read_open(reader *r)
{
    NN_TRY(open_file(r));
    NN_TRY(read_header(r));

    size_t bytes = (size_t)r->n * r->each;
    r->bytes = NN_NEW(r->arena, uint8_t, bytes + 1);
    return take_rest(r, r->bytes, bytes, of_images(r) ? "images" : "labels");
}

static nn_status read_file(reader *r, const char *dir)
{
    char how[256], name[NAME];

    if (!is_there(r->set, dir, r->which, r->path))
        return nn_fail(r->err, NN_EDATA,
                       "%.300s/%s.gz: missing beside the other files of %s; %s", dir,
                       name_of(r->set, r->which, name), r->set->source->name,
                       how_to_get(r->set, how, sizeof how));
    nn_status status = read_open(r);
    if (r->file)
        gzclose(r->file);
    return status;
}

/* ---- a whole set ---- */

/* Swaps rows and columns of a square image. */
static void turn(uint8_t *pixel, int side)
{
    for (int y = 0; y < side; y++)
        for (int x = 0; x < y; x++) {
            uint8_t kept = pixel[y * side + x];
            pixel[y * side + x] = pixel[x * side + y];
            pixel[x * side + y] = kept;
        }
}

static nn_status read_part(reader *image, const char *dir, int limit, data_images *d)
{
    const data_idx *set = image->set;
    reader label = *image;
    label.which = image->which + 1;

    NN_TRY(read_file(image, dir));
    NN_TRY(read_file(&label, dir));
    if (image->n != label.n)
        return nn_fail(image->err, NN_EDATA,
                       "%.300s holds %d images, but %.300s %d labels: "
                       "they do not belong together; replace both",
                       image->path, image->n, label.path, label.n);
    uint16_t *class = NN_NEW(image->arena, uint16_t, label.n);
    for (int i = 0; i < label.n; i++) {
        int k = label.bytes[i] - set->first_label;
        if (k < 0 || k >= set->classes)
            return damaged(&label, "label %d of image %d is outside %d..%d",
                           label.bytes[i], i, set->first_label,
                           set->first_label + set->classes - 1);
        class[i] = (uint16_t)k;
    }
    for (int i = 0; i < image->n && set->turned; i++)
        turn(image->bytes + (size_t)i * image->each, set->h);
    *d = (data_images){
        .n = data_limited(image->n, limit),
        .h = set->h, .w = set->w, .c = 1, .classes = set->classes,
        .pixel = image->bytes, .label = class, .names = set->names,
        .mean = { set->mean }, .std = { set->std }
    };
    return NN_OK;
}

nn_status data_idx_load(const data_idx *set, const data_settings *s, nn_arena *a,
                        data_images *train, data_images *test, nn_err *err)
{
    reader first = { .set = set, .which = TRAIN_IMAGES, .arena = a, .err = err };
    reader second = { .set = set, .which = TEST_IMAGES, .arena = a, .err = err };
    size_t mark = nn_arena_mark(a);
    data_places p;
    list_places(set, s, &p);

    const char *dir = best_place(set, &p);
    if (!dir)
        return not_found(set, &p, err);
    nn_status status = read_part(&first, dir, s->limit, train);
    if (status == NN_OK)
        status = read_part(&second, dir, s->test_limit, test);
    if (status != NN_OK) {
        nn_arena_rewind(a, mark);
        return status;
    }
    if (set->std == 0)
        data_measure(train, test);
    return NN_OK;
}

/* ---- as a data_source ---- */

static const data_idx *set_of(const data_settings *s)
{
    return data_source_find(s->name)->reader;
}

nn_status data_idx_load_set(const data_settings *s, uint64_t seed, nn_arena *a,
                            data_images *train, data_images *test, nn_err *err)
{
    (void)seed;
    return data_idx_load(set_of(s), s, a, train, test, err);
}

int data_idx_set_present(const data_settings *s, char *where, size_t size)
{
    return data_idx_present(set_of(s), s, where, size);
}
