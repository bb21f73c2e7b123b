#include "data/stl10.h"
#include "data/files.h"

#include <errno.h>
#include <string.h>

/* STL-10: 5,000 training and 8,000 test photographs, RGB, 96 x 96, ten classes, and
 * 100,000 without labels - "An Analysis of Single-Layer Networks in Unsupervised Feature
 * Learning", Coates, Lee, Ng, 2011.  No Debian package: the reader takes the binary
 * version, unpacked.
 *
 * What lies behind data.limit is not read, and a file behind it need not be there: of the
 * 2.7 GB without labels only the images wanted are in memory. */
enum {
    SIDE = DATA_STL10_SIDE, CHANNELS = 3, PLANE = SIDE * SIDE,
    PIXELS = DATA_STL10_PIXELS,
    TRAIN_X = 0, TRAIN_Y, TEST_X, TEST_Y, UNLABELED_X
};

static const data_fixed_file file[] = {
    { "train_X.bin", 5000, PIXELS }, { "train_y.bin", 5000, 1 },
    { "test_X.bin", 8000, PIXELS }, { "test_y.bin", 8000, 1 },
    { "unlabeled_X.bin", 100000, PIXELS }
};

static const data_fixed set = {
    .set = "stl10", .folder = "stl10_binary", .file = file, .files = NN_COUNT(file),
    .archive = "stl10_binary.tar.gz",
    .how = "put train_X.bin, train_y.bin, test_X.bin, test_y.bin and, for data.split = "
           "unlabeled, unlabeled_X.bin (STL-10's binary version, unpacked) into a folder "
           "and name it in data.dir or $FULLRANK_DATA"
};

static const char *const names[] = {
    "airplane", "bird", "car", "cat", "deer",
    "dog", "horse", "monkey", "ship", "truck", NULL
};

/* ---- which images ---- */

typedef struct choice { int labelled, unlabelled; } choice;

static nn_status choose(const data_settings *s, choice *w, nn_err *err)
{
    const int with = s->split == DATA_UNLABELED ? 0 : file[TRAIN_X].records;
    const int without = s->split == DATA_UNLABELED || s->split == DATA_BOTH
                        ? file[UNLABELED_X].records : 0;

    if (s->split != DATA_AUTO && s->split < DATA_TRAIN)
        return nn_fail(err, NN_ECONFIG, "data.split: stl10 has train, unlabeled and "
                       "train+unlabeled; choose one of them");
    const int n = data_limited(with + without, s->limit);
    w->labelled = n < with ? n : with;
    w->unlabelled = n - w->labelled;
    return NN_OK;
}

static int present(const data_settings *s, char *where, size_t size)
{
    char path[DATA_PATH];
    data_places p;
    choice w;

    const char *dir = data_fixed_place(&set, s, &p);
    if (!dir || choose(s, &w, NULL) != NN_OK)
        return 0;
    const int wanted[] = { w.labelled > 0, w.labelled > 0, 1, 1, w.unlabelled > 0 };
    for (int i = 0; i < set.files; i++)
        if (wanted[i] && !data_is_there(dir, file[i].name, "", path))
            return 0;
    snprintf(where, size, "%s", dir);
    return 1;
}

/* ---- reading ---- */

/* Planes column by column to rows of pixels. */
static void upright(const uint8_t *plane, uint8_t *pixel)
{
    for (int x = 0; x < SIDE; x++)
        for (int y = 0; y < SIDE; y++)
            for (int j = 0; j < CHANNELS; j++)
                pixel[(y * SIDE + x) * CHANNELS + j] = plane[j * PLANE + x * SIDE + y];
}

nn_status data_stl10_images(FILE *in, const char *path, int n, uint8_t *pixel,
                            nn_err *err)
{
    uint8_t record[PIXELS];

    for (int i = 0; i < n; i++) {
        if (fread(record, sizeof record, 1, in) != 1)
            return data_unreadable(path, ferror(in) ? errno : 0, err);
        upright(record, pixel + (size_t)i * PIXELS);
    }
    return NN_OK;
}

nn_status data_stl10_labels(FILE *in, const char *path, int n, uint16_t *label,
                            nn_err *err)
{
    for (int i = 0; i < n; i++) {
        int byte = getc(in);
        if (byte == EOF)
            return data_unreadable(path, ferror(in) ? errno : 0, err);
        if (byte < 1 || byte > DATA_STL10_CLASSES)
            return nn_fail(err, NN_EDATA, "%.300s: label %d of image %d is outside 1..%d; "
                           "replace the file", path, byte, i, DATA_STL10_CLASSES);
        label[i] = (uint16_t)(byte - 1);
    }
    return NN_OK;
}

/* The first n images of a file, or its labels. */
static nn_status read_file(const char *dir, int which, int n, uint8_t *pixel,
                           uint16_t *label, nn_err *err)
{
    char path[DATA_PATH];
    FILE *in;

    if (n == 0)
        return NN_OK;
    NN_TRY(data_fixed_open(&set, dir, which, path, &in, err));
    nn_status status = label ? data_stl10_labels(in, path, n, label, err)
                             : data_stl10_images(in, path, n, pixel, err);
    fclose(in);
    return status;
}

/* The first images of file `which`, their labels from the file after it, and behind them
 * those without. */
static nn_status read_part(const char *dir, int which, choice w, nn_arena *a,
                           data_images *d, nn_err *err)
{
    const int n = w.labelled + w.unlabelled;
    uint8_t *pixel = NN_NEW(a, uint8_t, (size_t)n * PIXELS);
    uint16_t *label = NN_NEW0(a, uint16_t, n);

    NN_TRY(read_file(dir, which + 1, w.labelled, NULL, label, err));
    NN_TRY(read_file(dir, which, w.labelled, pixel, NULL, err));
    NN_TRY(read_file(dir, UNLABELED_X, w.unlabelled,
                     pixel + (size_t)w.labelled * PIXELS, NULL, err));
    *d = (data_images){
        .n = n, .h = SIDE, .w = SIDE, .c = CHANNELS, .classes = DATA_STL10_CLASSES,
        .pixel = pixel, .label = label, .unlabelled = w.unlabelled
    };
    return NN_OK;
}

static nn_status load(const data_settings *s, uint64_t seed, nn_arena *a,
                      data_images *train, data_images *test, nn_err *err)
{
    size_t mark = nn_arena_mark(a);
    data_places p;
    choice w;
    (void)seed;

    NN_TRY(choose(s, &w, err));
    const char *dir = data_fixed_place(&set, s, &p);
    if (!dir)
        return data_fixed_not_found(&set, &p, err);
    nn_status status = read_part(dir, TRAIN_X, w, a, train, err);
    choice judged = { .labelled = data_limited(file[TEST_X].records, s->test_limit) };
    if (status == NN_OK)
        status = read_part(dir, TEST_X, judged, a, test, err);
    if (status != NN_OK) {
        nn_arena_rewind(a, mark);
        return status;
    }
    data_measure(train, test);
    return NN_OK;
}

/* Sizes are the format's; sums those that torchvision publishes. */
static const data_file published[] = {
    { "train_X.bin", 138240000, "918c2871b30a85fa023e0c44e0bee87f" },
    { "train_y.bin", 5000, "5a34089d4802c674881badbb80307741" },
    { "test_X.bin", 221184000, "7f263ba9f9e0b06b93213547f721ac82" },
    { "test_y.bin", 8000, "36f9794fa4beb8a2c72628de14fa638e" },
    { "unlabeled_X.bin", 2764800000, "5242ba1fed5e4be9e1e742405eb56ca4" },
    { NULL, 0, NULL }
};

const data_source data_stl10 = {
    .name = "stl10",
    .about = "photographs, RGB 96 x 96, 10 classes, 100,000 without (own files)",
    .labels = names, .recipe = "simsiam_imagenet", .files = published,
    .train = 5000, .test = 8000, .h = 96, .w = 96, .c = 3, .classes = 10,
    .origin = "https://cs.stanford.edu/~acoates/stl10/ (stl10_binary.tar.gz, md5 "
              "91f7769df0f17e558f3565bffb0c7dfb; unpacked)",
    .load = load, .present = present
};
