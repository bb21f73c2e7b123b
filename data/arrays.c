#include "data/array.h"
#include "data/files.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The user's own arrays: one .npz file or some .npy files (data/array.h), named by
 * data.dir.
 *
 *   x_train or train_images or images       uint8 (n, h, w), (n, h, w, c), (n, c, h, w):
 *                                           pictures, c 1 or 3
 *                                           float32, float64 (n, d): vectors
 *   y_train or train_labels or labels       integers (n) or (n, 1)
 *   x_test or test_images                   as x_train
 *   y_test or test_labels
 *
 * Without labels a part is unlabelled, and so is an image whose label is -1; those come
 * last.  Classes are the values that occur in either array
 * of labels, in increasing order, and are called by them.  Without a test part every image
 * goes where a hash of its bytes sends it (data.test_share): the same images to the same
 * part, whatever their order, and equal images together. */

enum { TRAIN_X, TRAIN_Y, TEST_X, TEST_Y, ARRAYS };
enum { SPELLINGS = 3 };
static const char *const spelling[ARRAYS][SPELLINGS] = {
    { "x_train", "train_images", "images" }, { "y_train", "train_labels", "labels" },
    { "x_test", "test_images", NULL }, { "y_test", "test_labels", NULL }
};

enum {
    NO_LABEL = -1,
    MOST_SIDE = 1 << 14,
    MOST_NUMBERS = 1 << 26 /* of one image or vector */
};

typedef struct set {
    data_store store;
    nn_arena *arena;
    nn_err *err;
    const char *name[ARRAYS];           /* as it is spelled; NULL: not there */
    int64_t *value;                     /* (classes) what occurs in the labels, rising */
    int classes;
} set;

static nn_status find(set *s)
{
    for (int i = 0; i < ARRAYS; i++)
        for (int k = 0; k < SPELLINGS && spelling[i][k]; k++) {
            if (!data_store_has(&s->store, spelling[i][k]))
                continue;
            if (s->name[i])
                return nn_fail(s->err, NN_EDATA, "%.300s: holds both %s and %s; keep one",
                               s->store.path, s->name[i], spelling[i][k]);
            s->name[i] = spelling[i][k];
        }
    if (s->name[TRAIN_X])
        return NN_OK;
    return nn_fail(s->err, NN_EDATA, "%.300s: no array x_train, train_images or images "
                   "there; save one, as numpy.savez('set.npz', x_train=x, y_train=y, "
                   "x_test=..., y_test=...), and name the file in data.dir",
                   s->store.path);
}

/* ---- images ---- */

/* How the rows of an array become images. */
typedef struct layout { int h, w, c, planes, vectors; } layout;

static int channels(long long c)
{
    return c == 1 || c == 3;
}

static nn_status layout_of(const set *s, const data_array *x, layout *l)
{
    const long long *d = x->npy.dim;
    const int bytes = x->kind == 'u' && x->bytes == 1;
    long long h = 0, w = 0, c = 0;
    char shape[128];

    *l = (layout){ .vectors = x->kind == 'f' && x->bytes >= 4 && x->npy.dims == 2 };
    if (l->vectors) {
        h = w = 1;
        c = d[1];
    } else if (bytes && (x->npy.dims == 3 || (x->npy.dims == 4 && channels(d[3])))) {
        h = d[1];
        w = d[2];
        c = x->npy.dims == 3 ? 1 : d[3];
    } else if (bytes && x->npy.dims == 4 && channels(d[1])) {
        l->planes = 1;
        h = d[2];
        w = d[3];
        c = d[1];
    }
    data_npy_shape(&x->npy, shape, sizeof shape);
    if (!c)
        return nn_fail(s->err, NN_EDATA, "%s: holds %s numbers of type %s; wanted are "
                       "bytes (n, h, w) or (n, h, w, 1 or 3), or floats (n, d): "
                       "(255 * x).round().astype('uint8') for pictures, "
                       "x.reshape(len(x), -1).astype('float32') for vectors", x->name,
                       shape, x->npy.descr);
    if (h > MOST_SIDE || w > MOST_SIDE || c > MOST_NUMBERS || h * w > MOST_NUMBERS / c)
        return nn_fail(s->err, NN_EDATA, "%s: holds %s numbers, too many in a row; save "
                       "images of up to %d a side, and rows of up to %d numbers",
                       x->name, shape, MOST_SIDE, MOST_NUMBERS);
    l->h = (int)h;
    l->w = (int)w;
    l->c = (int)c;
    return NN_OK;
}

static size_t count_of(const layout *l)
{
    return (size_t)l->h * (size_t)l->w * (size_t)l->c;
}

static void to_pixels(const layout *l, const unsigned char *row, uint8_t *out)
{
    const size_t plane = (size_t)l->h * (size_t)l->w, c = (size_t)l->c;

    if (!l->planes)
        memcpy(out, row, plane * c);
    for (size_t i = 0; i < plane && l->planes; i++)
        for (size_t j = 0; j < c; j++)
            out[i * c + j] = row[j * plane + i];
}

static nn_status to_values(const set *s, const data_array *x, const unsigned char *row,
                           float *out)
{
    const size_t bytes = (size_t)x->bytes;

    for (size_t k = 0; k < x->row / bytes; k++) {
        out[k] = data_npy_float(row + k * bytes, x->bytes, x->big);
        if (!isfinite(out[k]))
            return nn_fail(s->err, NN_EDATA, "%s: number %zu of row %d is not a finite "
                           "float32; mend the array", x->name, k, x->at - 1);
    }
    return NN_OK;
}

/* Uniform on [0, 1) by the image: FNV-1a, and a last stir for its high bits. */
static double place_of(const uint8_t *byte, size_t n)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < n; i++)
        h = (h ^ byte[i]) * UINT64_C(0x00000100000001b3);
    h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
    h ^= h >> 32;
    return (double)(h >> 11) * 0x1p-53;
}

/* Images that are kept: `image` of them in store[], image i being number from[i] of its
 * array. */
typedef struct part { data_images *d; int most; uint32_t *row, *from; } part;

typedef struct kept {
    layout l;
    uint8_t *pixel;
    float *value;
    int stored;
} kept;

/* The next image to the place behind those kept. */
static nn_status next(set *s, data_array *x, kept *k, unsigned char *row)
{
    const size_t at = (size_t)k->stored * count_of(&k->l);

    NN_TRY(data_array_row(x, s->arena, row, s->err));
    if (k->value)
        return to_values(s, x, row, k->value + at);
    to_pixels(&k->l, row, k->pixel + at);
    return NN_OK;
}

static int part_of(const kept *k, double share)
{
    const size_t count = count_of(&k->l), at = (size_t)k->stored * count;

    if (share == 0)
        return 0;
    const double u = k->value
        ? place_of((const uint8_t *)(k->value + at), count * sizeof *k->value)
        : place_of(k->pixel + at, count);
    return u < share;
}

static int is_full(const part *p)
{
    return p->d->n == p->most;
}

/* Reads an array to its end, if an archive's checksum is to be compared, or until nothing
 * more is wanted. */
static nn_status fill(set *s, data_array *x, kept *k, part *p, double share)
{
    unsigned char *row = NN_NEW(s->arena, unsigned char, x->row);

    for (int i = 0; i < x->n; i++) {
        if (is_full(&p[0]) && (share == 0 || is_full(&p[1])) && !x->store->zip)
            break;
        NN_TRY(next(s, x, k, row));
        part *to = &p[part_of(k, share)];
        if (is_full(to))
            continue;
        to->from[to->d->n] = (uint32_t)i;
        to->row[to->d->n++] = (uint32_t)k->stored++;
    }
    return NN_OK;
}

static void describe(const kept *k, const part *p)
{
    data_images *d = p->d;

    d->h = k->l.h;
    d->w = k->l.w;
    d->c = k->l.c;
    d->pixel = k->pixel;
    d->value = k->value;
}

/* share = 0: the first images to p[0]; otherwise to both parts.  One place more than is
 * kept holds the image that is being looked at. */
static nn_status read_images(set *s, int which, part *p, double share)
{
    data_array x;
    kept k = { .stored = 0 };

    NN_TRY(data_array_open(&s->store, s->name[which], &x, s->err));
    nn_status status = layout_of(s, &x, &k.l);
    if (status != NN_OK)
        return data_array_close(&x, status, s->err);
    int room = 0;
    for (int i = 0; i < (share > 0 ? 2 : 1); i++) {
        p[i].most = data_limited(x.n, p[i].most);
        p[i].row = NN_NEW(s->arena, uint32_t, p[i].most);
        p[i].from = NN_NEW(s->arena, uint32_t, p[i].most);
        room = p[i].most < x.n - room ? room + p[i].most : x.n;
    }
    const size_t numbers = ((size_t)room + 1) * count_of(&k.l);
    if (k.l.vectors)
        k.value = NN_NEW(s->arena, float, numbers);
    else
        k.pixel = NN_NEW(s->arena, uint8_t, numbers);
    const size_t mark = nn_arena_mark(s->arena);
    status = fill(s, &x, &k, p, share);
    nn_arena_rewind(s->arena, mark);
    for (int i = 0; i < (share > 0 ? 2 : 1); i++) {
        describe(&k, &p[i]);
        if (share > 0)
            p[i].d->row = p[i].row;
    }
    return data_array_close(&x, status, s->err);
}

/* ---- labels ---- */

static nn_status not_labels(const set *s, const data_array *y)
{
    char shape[128];

    return nn_fail(s->err, NN_EDATA, "%s: holds %s values of type %s; wanted are integers "
                   "(n) or (n, 1), one label an image: y.argmax(1) of rows with a 1, "
                   ".astype('int64') of floats", y->name,
                   data_npy_shape(&y->npy, shape, sizeof shape), y->npy.descr);
}

/* Two's complement of the number's width. */
static int64_t integer(const data_array *y, const unsigned char *b)
{
    const uint64_t x = data_npy_bits(b, y->bytes, y->big);
    const uint64_t sign = UINT64_C(1) << (8 * y->bytes - 1);

    return y->kind == 'i' && y->bytes < 8 ? (int64_t)((x ^ sign) - sign) : (int64_t)x;
}

/* Index of v in the values that were seen, or where it belongs. */
static int place(const set *s, int64_t v)
{
    int lo = 0, hi = s->classes;

    while (lo < hi) {
        int middle = (lo + hi) / 2;
        if (s->value[middle] < v)
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo;
}

static nn_status see(set *s, const data_array *y, int64_t v)
{
    const int at = place(s, v);

    if (at < s->classes && s->value[at] == v)
        return NN_OK;
    if (s->classes == DATA_MOST_CLASSES)
        return nn_fail(s->err, NN_EDATA, "%s: holds more than %d different labels; save "
                       "the number of a class for each image", y->name,
                       DATA_MOST_CLASSES);
    memmove(s->value + at + 1, s->value + at,
            sizeof *s->value * (size_t)(s->classes - at));
    s->value[at] = v;
    s->classes++;
    return NN_OK;
}

static nn_status read_integers(set *s, data_array *y, int64_t *out)
{
    unsigned char row[8];

    if ((y->kind != 'i' && y->kind != 'u' && y->kind != 'b') || y->npy.dims > 2
        || y->row != (size_t)y->bytes)
        return not_labels(s, y);
    for (int i = 0; i < y->n; i++) {
        NN_TRY(data_array_row(y, s->arena, row, s->err));
        out[i] = integer(y, row);
        if (y->kind == 'u' && out[i] < 0)
            return nn_fail(s->err, NN_EDATA, "%s: label %llu of image %d is no class; save "
                           "the number of a class for each image", y->name,
                           (unsigned long long)out[i], i);
        if (out[i] != NO_LABEL)
            NN_TRY(see(s, y, out[i]));
    }
    return NN_OK;
}

/* All labels of an array of n images; NULL: it has none. */
static nn_status read_labels(set *s, int which, int64_t **out)
{
    data_array x, y;

    *out = NULL;
    if (!s->name[which])
        return NN_OK;
    NN_TRY(data_array_open(&s->store, s->name[which - 1], &x, s->err));
    NN_TRY(data_array_close(&x, NN_OK, s->err));
    NN_TRY(data_array_open(&s->store, s->name[which], &y, s->err));
    if (x.n != y.n) {
        data_array_close(&y, NN_EDATA, s->err);
        return nn_fail(s->err, NN_EDATA, "%s holds %d images, but %s %d labels: they do "
                       "not belong together; save both again", x.name, x.n, y.name, y.n);
    }
    *out = NN_NEW(s->arena, int64_t, y.n);
    return data_array_close(&y, read_integers(s, &y, *out), s->err);
}

static const char *const *names_of(const set *s)
{
    const char **name = NN_NEW0(s->arena, const char *, s->classes + 1);
    char text[32];

    for (int i = 0; i < s->classes; i++) {
        snprintf(text, sizeof text, "%lld", (long long)s->value[i]);
        name[i] = nn_arena_copy(s->arena, text);
    }
    return name;
}

/* Images without a label go behind the others; order stays. */
static void labelled_first(set *s, part *p, const int64_t *value)
{
    const int n = p->d->n;
    uint32_t *row = NN_NEW(s->arena, uint32_t, n), *from = NN_NEW(s->arena, uint32_t, n);
    int at = 0;

    for (int without = 0; without <= 1; without++) {
        for (int i = 0; i < n; i++)
            if ((value[p->from[i]] == NO_LABEL) == without) {
                row[at] = p->row[i];
                from[at++] = p->from[i];
            }
        p->d->unlabelled = without ? p->d->unlabelled : n - at;
    }
    p->row = row;
    p->from = from;
    if (p->d->unlabelled)
        p->d->row = row;
}

/* A class at least, also where nothing has a label. */
static void label(set *s, part *p, const int64_t *value)
{
    data_images *d = p->d;
    uint16_t *class = NN_NEW0(s->arena, uint16_t, d->n);

    d->unlabelled = d->n;
    if (value)
        labelled_first(s, p, value);
    for (int i = 0; i < data_labelled(d); i++)
        class[i] = (uint16_t)place(s, value[p->from[i]]);
    d->label = class;
    d->classes = s->classes ? s->classes : 1;
}

/* ---- the set ---- */

static nn_status check_parts(const set *s, const data_settings *o, const data_images *a,
                             const data_images *b)
{
    if (s->name[TEST_X] && (a->h != b->h || a->w != b->w || a->c != b->c
                            || !a->value != !b->value))
        return nn_fail(s->err, NN_EDATA, "%.300s: %s holds rows of %d x %d x %d, but %s of "
                       "%d x %d x %d: they do not belong together; save both again",
                       s->store.path, s->name[TRAIN_X], a->h, a->w, a->c, s->name[TEST_X],
                       b->h, b->w, b->c);
    if (a->n < 1 || b->n < 1)
        return nn_fail(s->err, NN_EDATA, "%.300s: there is no x_test, and data.test_share "
                       "= %g holds %d of %d images out; choose another share", s->store.path,
                       o->test_share, b->n, a->n + b->n);
    return NN_OK;
}

static nn_status read_set(set *s, const data_settings *o, data_images *train,
                          data_images *test)
{
    part p[2] = { { .d = train, .most = o->limit }, { .d = test, .most = o->test_limit } };
    int64_t *of_train, *of_test = NULL;

    NN_TRY(find(s));
    s->value = NN_NEW(s->arena, int64_t, DATA_MOST_CLASSES);
    NN_TRY(read_labels(s, TRAIN_Y, &of_train));
    if (s->name[TEST_X]) {
        NN_TRY(read_labels(s, TEST_Y, &of_test));
        NN_TRY(read_images(s, TRAIN_X, p, 0));
        NN_TRY(read_images(s, TEST_X, p + 1, 0));
    } else if (o->test_share > 0) {
        of_test = of_train;
        NN_TRY(read_images(s, TRAIN_X, p, o->test_share));
    } else {
        return nn_fail(s->err, NN_EDATA, "%.300s: there is no x_test, and data.test_share "
                       "= 0 holds no images out; save x_test, or give a share",
                       s->store.path);
    }
    NN_TRY(check_parts(s, o, train, test));
    label(s, &p[0], of_train);
    label(s, &p[1], of_test);
    train->names = test->names = names_of(s);
    data_measure(train, test);
    return NN_OK;
}

static nn_status load(const data_settings *o, uint64_t seed, nn_arena *a,
                      data_images *train, data_images *test, nn_err *err)
{
    const size_t mark = nn_arena_mark(a);
    set s = { .arena = a, .err = err };
    (void)seed;

    if (!*o->dir)
        return nn_fail(err, NN_EDATA, "data set arrays: no file named; name a .npz file, a "
                       "folder of .npy files or the beginning of their names in data.dir");
    nn_status status = data_store_open(&s.store, o->dir, a, err);
    if (status == NN_OK)
        status = read_set(&s, o, train, test);
    data_store_close(&s.store);
    if (status != NN_OK) {
        *train = *test = (data_images){ 0 };
        nn_arena_rewind(a, mark);
    }
    return status;
}

static int present(const data_settings *o, char *where, size_t size)
{
    nn_arena own = { 0 };
    set s = { .arena = &own };

    int found = *o->dir && data_store_open(&s.store, o->dir, &own, NULL) == NN_OK
                && find(&s) == NN_OK;
    data_store_close(&s.store);
    nn_arena_free(&own);
    if (found)
        snprintf(where, size, "%s", o->dir);
    return found;
}

const data_source data_arrays = {
    .name = "arrays", .about = "your own NumPy arrays, pictures or vectors (.npz, .npy)",
    .recipe = "simsiam_cifar", .own = 1, .load = load, .present = present
};
