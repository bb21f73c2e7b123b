#include "data/cifar.h"
#include "data/files.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

/* CIFAR-10 and CIFAR-100: 50,000 training and 10,000 test photographs each, RGB, 32 x 32,
 * of ten classes and of a hundred - "Learning Multiple Layers of Features from Tiny
 * Images", Krizhevsky, 2009.  No Debian package: the reader takes the binary versions,
 * unpacked.
 *
 * A file is records and nothing else (data/cifar.h).  Files and records behind data.limit
 * and data.test_limit are not read, and those files need not be there. */
enum {
    SIDE = DATA_CIFAR_SIDE, CHANNELS = 3, PLANE = SIDE * SIDE, PIXELS = CHANNELS * PLANE,
    MOST_BATCHES = 5
};

typedef struct cifar {
    data_fixed files;                   /* those to train on, and the test's as the last */
    int labels;                         /* label bytes of a record */
    float mean[3], std[3];              /* of the training pixels, as published */
} cifar;

/* ---- the two sets ---- */

static const data_fixed_file file10[] = {
    { "data_batch_1.bin", 10000, 1 + PIXELS }, { "data_batch_2.bin", 10000, 1 + PIXELS },
    { "data_batch_3.bin", 10000, 1 + PIXELS }, { "data_batch_4.bin", 10000, 1 + PIXELS },
    { "data_batch_5.bin", 10000, 1 + PIXELS }, { "test_batch.bin", 10000, 1 + PIXELS }
};

static const data_fixed_file file100[] = {
    { "train.bin", 50000, 2 + PIXELS }, { "test.bin", 10000, 2 + PIXELS }
};

static const cifar ten = {
    .files = {
        .set = "cifar10", .folder = "cifar-10-batches-bin",
        .file = file10, .files = NN_COUNT(file10), .archive = "cifar-10-binary.tar.gz",
        .how = "put data_batch_1.bin to data_batch_5.bin and test_batch.bin (CIFAR-10's "
               "binary version, unpacked) into a folder and name it in data.dir or "
               "$FULLRANK_DATA"
    },
    .labels = 1,
    .mean = { 0.4914f, 0.4822f, 0.4465f }, .std = { 0.2470f, 0.2435f, 0.2616f }
};

static const cifar hundred = {
    .files = {
        .set = "cifar100", .folder = "cifar-100-binary",
        .file = file100, .files = NN_COUNT(file100), .archive = "cifar-100-binary.tar.gz",
        .how = "put train.bin and test.bin (CIFAR-100's binary version, unpacked) into a "
               "folder and name it in data.dir or $FULLRANK_DATA"
    },
    .labels = 2,
    .mean = { 0.5071f, 0.4865f, 0.4409f }, .std = { 0.2673f, 0.2564f, 0.2762f }
};

static const char *const names10[] = {
    "airplane", "automobile", "bird", "cat", "deer",
    "dog", "frog", "horse", "ship", "truck", NULL
};

static const char *const fine[] = {
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle",
    "bicycle", "bottle", "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can",
    "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock", "cloud",
    "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant",
    "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
    "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree",
    "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid",
    "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy",
    "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea",
    "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone",
    "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe",
    "whale", "willow_tree", "wolf", "woman", "worm", NULL
};

static const char *const coarse[] = {
    "aquatic_mammals", "fish", "flowers", "food_containers", "fruit_and_vegetables",
    "household_electrical_devices", "household_furniture", "insects",
    "large_carnivores", "large_man-made_outdoor_things", "large_natural_outdoor_scenes",
    "large_omnivores_and_herbivores", "medium_mammals", "non-insect_invertebrates",
    "people", "reptiles", "small_mammals", "trees", "vehicles_1", "vehicles_2", NULL
};

static const cifar *set_of(const data_settings *s)
{
    return strcmp(s->name, hundred.files.set) == 0 ? &hundred : &ten;
}

static const cifar *other(const cifar *c)
{
    return c == &ten ? &hundred : &ten;
}

/* ---- which files ---- */

/* The files to train on, in order, and the records that the limit leaves of them. */
typedef struct choice { int batch[MOST_BATCHES], batches, n; } choice;

static int files_to_read(const cifar *c, const choice *w)
{
    const int each = c->files.file[0].records;
    return (w->n + each - 1) / each;
}

static nn_status bad_batches(const char *text, nn_err *err)
{
    return nn_fail(err, NN_ECONFIG, "data.batches: '%.100s' is no choice of 1 to %d, each "
                   "once, as in 1,3", text, MOST_BATCHES);
}

static nn_status choose_batches(const char *text, choice *w, nn_err *err)
{
    const char *p = text;

    for (w->batches = 0; w->batches < MOST_BATCHES; ) {
        while (isspace((unsigned char)*p))
            p++;
        int batch = *p - '1';
        if (batch < 0 || batch >= MOST_BATCHES)
            return bad_batches(text, err);
        for (int i = 0; i < w->batches; i++)
            if (w->batch[i] == batch)
                return bad_batches(text, err);
        w->batch[w->batches++] = batch;
        for (p++; isspace((unsigned char)*p); p++)
            ;
        if (!*p)
            return NN_OK;
        if (*p++ != ',')
            break;
    }
    return bad_batches(text, err);
}

static nn_status choose(const cifar *c, const data_settings *s, choice *w, nn_err *err)
{
    *w = (choice){ .batches = c->files.files - 1 };
    for (int i = 0; i < w->batches; i++)
        w->batch[i] = i;
    if (c == &ten && s->batches && *s->batches)
        NN_TRY(choose_batches(s->batches, w, err));
    w->n = data_limited(w->batches * c->files.file[0].records, s->limit);
    return NN_OK;
}

static int present(const data_settings *s, char *where, size_t size)
{
    const cifar *c = set_of(s);
    const data_fixed *f = &c->files;
    char path[DATA_PATH];
    data_places p;
    choice w;

    const char *dir = data_fixed_place(f, s, &p);
    if (!dir || choose(c, s, &w, NULL) != NN_OK
        || !data_is_there(dir, f->file[f->files - 1].name, "", path))
        return 0;
    for (int i = 0; i < files_to_read(c, &w); i++)
        if (!data_is_there(dir, f->file[w.batch[i]].name, "", path))
            return 0;
    snprintf(where, size, "%s", dir);
    return 1;
}

/* ---- reading ---- */

/* Planes to channels last. */
static void interleave(const uint8_t *plane, uint8_t *pixel)
{
    for (int i = 0; i < PLANE; i++)
        for (int j = 0; j < CHANNELS; j++)
            pixel[i * CHANNELS + j] = plane[j * PLANE + i];
}

nn_status data_cifar_records(FILE *file, const char *path, data_cifar_kind kind, int n,
                             uint8_t *pixel, uint16_t *label, nn_err *err)
{
    enum { MOST_LABELS = 2 };
    uint8_t record[MOST_LABELS + PIXELS];
    const size_t size = (size_t)kind.labels + PIXELS;

    for (int i = 0; i < n; i++) {
        if (fread(record, size, 1, file) != 1)
            return data_unreadable(path, ferror(file) ? errno : 0, err);
        label[i] = record[kind.which];
        if (label[i] >= kind.classes)
            return nn_fail(err, NN_EDATA, "%.300s: label %d of record %d is outside "
                           "0..%d; replace the file", path, label[i], i,
                           kind.classes - 1);
        interleave(record + kind.labels, pixel + (size_t)i * PIXELS);
    }
    return NN_OK;
}

/* The other set's file under a name of this one's is known by its size. */
static nn_status open_file(const cifar *c, const char *dir, int which, char *path,
                           FILE **file, nn_err *err)
{
    const data_fixed *o = &other(c)->files;
    long long bytes;

    if (data_is_there(dir, c->files.file[which].name, "", path)) {
        NN_TRY(data_open_stream(path, file, &bytes, err));
        fclose(*file);
        for (int i = 0; i < o->files; i++)
            if (bytes == (long long)o->file[i].records * o->file[i].record)
                return nn_fail(err, NN_EDATA, "%.300s: has the size of %s of %s; replace "
                               "the file, or set data.name to %s", path, o->file[i].name,
                               o->set, o->set);
    }
    return data_fixed_open(&c->files, dir, which, path, file, err);
}

typedef struct part { const cifar *set; const char *dir; int coarse; } part;

/* The first n records of these files. */
static nn_status read_part(const part *p, const int *file, int n, nn_arena *a,
                           data_images *d, nn_err *err)
{
    const cifar *c = p->set;
    const int two = c->labels == 2, each = c->files.file[file[0]].records;
    const data_cifar_kind kind = {
        .labels = c->labels, .which = two && !p->coarse,
        .classes = !two ? 10 : p->coarse ? 20 : 100
    };
    uint8_t *pixel = NN_NEW(a, uint8_t, (size_t)n * PIXELS);
    uint16_t *label = NN_NEW(a, uint16_t, n);

    for (int at = 0; at < n; at += each) {
        int some = n - at < each ? n - at : each;
        char path[DATA_PATH];
        FILE *in;
        NN_TRY(open_file(c, p->dir, file[at / each], path, &in, err));
        nn_status status = data_cifar_records(in, path, kind, some,
                                              pixel + (size_t)at * PIXELS, label + at,
                                              err);
        fclose(in);
        NN_TRY(status);
    }
    *d = (data_images){
        .n = n, .h = SIDE, .w = SIDE, .c = CHANNELS, .classes = kind.classes,
        .pixel = pixel, .label = label, .names = !two ? names10 : p->coarse ? coarse : fine
    };
    memcpy(d->mean, c->mean, sizeof d->mean);
    memcpy(d->std, c->std, sizeof d->std);
    return NN_OK;
}

/* A folder with the other set in it is worth a better word than "no files". */
static nn_status not_found(const cifar *c, const data_settings *s, const data_places *p,
                           nn_err *err)
{
    const data_fixed *o = &other(c)->files;
    data_places unused;
    const char *dir = data_fixed_place(o, s, &unused);

    for (int i = 0; dir && i < p->n; i++)
        if (strcmp(p->dir[i], dir) == 0)
            return nn_fail(err, NN_EDATA, "%.300s: holds the files of %s, not of %s; set "
                           "data.name to %s, or name another folder", dir, o->set,
                           c->files.set, o->set);
    return data_fixed_not_found(&c->files, p, err);
}

static nn_status load(const data_settings *s, uint64_t seed, nn_arena *a,
                      data_images *train, data_images *test, nn_err *err)
{
    const cifar *c = set_of(s);
    const int last = c->files.files - 1;
    size_t mark = nn_arena_mark(a);
    data_places places;
    choice w;
    (void)seed;

    NN_TRY(choose(c, s, &w, err));
    part p = { c, data_fixed_place(&c->files, s, &places), s->labels == DATA_COARSE };
    if (!p.dir)
        return not_found(c, s, &places, err);
    nn_status status = read_part(&p, w.batch, w.n, a, train, err);
    if (status == NN_OK)
        status = read_part(&p, &last, data_limited(c->files.file[last].records,
                                                   s->test_limit), a, test, err);
    if (status != NN_OK)
        nn_arena_rewind(a, mark);
    return status;
}

/* Sizes of the files are the format's; their sums are not published, the archives' are. */
static const data_file published10[] = {
    { "data_batch_1.bin", 30730000, NULL }, { "data_batch_2.bin", 30730000, NULL },
    { "data_batch_3.bin", 30730000, NULL }, { "data_batch_4.bin", 30730000, NULL },
    { "data_batch_5.bin", 30730000, NULL }, { "test_batch.bin", 30730000, NULL },
    { NULL, 0, NULL }
};

static const data_file published100[] = {
    { "train.bin", 153700000, NULL }, { "test.bin", 30740000, NULL }, { NULL, 0, NULL }
};

const data_source data_cifar10 = {
    .name = "cifar10", .about = "photographs, RGB 32 x 32, 10 classes (own files)",
    .labels = names10, .recipe = "simsiam_cifar", .files = published10,
    .train = 50000, .test = 10000, .h = 32, .w = 32, .c = 3, .classes = 10,
    .origin = "https://www.cs.toronto.edu/~kriz/cifar.html (cifar-10-binary.tar.gz, md5 "
              "c32a1d4ab5d03f1284b67883e8d87530; unpacked)",
    .load = load, .present = present
};

const data_source data_cifar100 = {
    .name = "cifar100",
    .about = "photographs, RGB 32 x 32, 100 classes or 20 (own files)",
    .recipe = "simsiam_cifar", .files = published100,
    .train = 50000, .test = 10000, .h = 32, .w = 32, .c = 3, .classes = 100,
    .origin = "https://www.cs.toronto.edu/~kriz/cifar.html (cifar-100-binary.tar.gz, md5 "
              "03b5dce01913d631647c71ecec9e9cb8; unpacked)",
    .load = load, .present = present
};
