#include "data/idx.h"

/* EMNIST: handwritten digits and letters, grey, 28 x 28, in six sets (data.split) -
 * "EMNIST: an extension of MNIST to handwritten letters", Cohen, Afshar, Tapson, van
 * Schaik, 2017.  No Debian package: put the four files of a set into a folder and name
 * it in data.dir.  Mean and deviation are measured.
 *
 *   balanced    112,800 / 18,800    47 classes: digits, capitals, and the small letters
 *   bymerge     697,932 / 116,323      that do not look like their capitals
 *   byclass     697,932 / 116,323   62 classes: digits, capitals, small letters
 *   letters     124,800 / 20,800    26 classes, capital or small; labels from 1
 *   digits      240,000 / 40,000    10 classes
 *   mnist        60,000 / 10,000    10 classes
 *
 * The files have the images column by column, so that they look turned and mirrored; they
 * are put upright unless data.upright is false. */
extern const data_source data_emnist;

#define DIGITS "0", "1", "2", "3", "4", "5", "6", "7", "8", "9"
#define CAPITALS "A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M", \
                 "N", "O", "P", "Q", "R", "S", "T", "U", "V", "W", "X", "Y", "Z"

static const char *const digits[] = { DIGITS, NULL };
static const char *const letters[] = { CAPITALS, NULL };
static const char *const merged[] = {
    DIGITS, CAPITALS, "a", "b", "d", "e", "f", "g", "h", "n", "q", "r", "t", NULL
};
static const char *const all[] = {
    DIGITS, CAPITALS, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m",
    "n", "o", "p", "q", "r", "s", "t", "u", "v", "w", "x", "y", "z", NULL
};

typedef struct split {
    const char *prefix;
    const char *const *names; int classes, first_label;
} split;

static const split split_of[] = {
    [DATA_AUTO] = { "emnist-balanced-", merged, 47, 0 },
    [DATA_BALANCED] = { "emnist-balanced-", merged, 47, 0 },
    [DATA_BYCLASS] = { "emnist-byclass-", all, 62, 0 },
    [DATA_BYMERGE] = { "emnist-bymerge-", merged, 47, 0 },
    [DATA_LETTERS] = { "emnist-letters-", letters, 26, 1 },
    [DATA_DIGITS] = { "emnist-digits-", digits, 10, 0 },
    [DATA_MNIST] = { "emnist-mnist-", digits, 10, 0 }
};

static int has_split(const data_settings *s)
{
    return s->split < (int)NN_COUNT(split_of);
}

static data_idx set_of(const data_settings *s)
{
    const split *p = &split_of[s->split];

    return (data_idx){
        .source = &data_emnist, .h = 28, .w = 28, .classes = p->classes,
        .prefix = p->prefix, .test = "test", .first_label = p->first_label,
        .turned = s->upright, .names = p->names,
        .archive = "gzip.zip", .unpack = "unzip gzip.zip", .below = "gzip"
    };
}

static nn_status load(const data_settings *s, uint64_t seed, nn_arena *a,
                      data_images *train, data_images *test, nn_err *err)
{
    (void)seed;
    if (!has_split(s))
        return nn_fail(err, NN_ECONFIG, "data.split: emnist has balanced, byclass, "
                       "bymerge, letters, digits and mnist; choose one of them");
    const data_idx set = set_of(s);
    return data_idx_load(&set, s, a, train, test, err);
}

static int present(const data_settings *s, char *where, size_t size)
{
    if (!has_split(s))
        return 0;
    const data_idx set = set_of(s);
    return data_idx_present(&set, s, where, size);
}

const data_source data_emnist = {
    .name = "emnist",
    .about = "handwritten digits and letters, grey 28 x 28, 10 to 62 classes (own files)",
    .recipe = "grey28",
    .origin = "https://www.nist.gov/itl/products-and-services/emnist-dataset (gzip.zip, "
              "md5 58c8d27c78d21e728a6bc7b3cc06412e: emnist-SPLIT-train-images-idx3-"
              "ubyte.gz, ...-train-labels-idx1-ubyte.gz, and test for train)",
    .load = load, .present = present
};
