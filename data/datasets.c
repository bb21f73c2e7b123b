#include "data/data.h"

#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "data/map.h"
#include "data/resize.h"
#include "data/subset.h"

/* The list of data sets, and what all of them share. */

#define X(set) extern const data_source data_##set;
#include "data/datasets.def"
#undef X

static const data_source *const all[] = {
#define X(set) &data_##set,
#include "data/datasets.def"
#undef X
};

const nn_setting data_setting_table[] = {
    NN_SET_T(data_settings, name, "fashion-mnist",
             "data set, see `fullrank list datasets`"),
    NN_SET_T(
        data_settings, dir, "",
        "folder that holds its files, after $FULLRANK_DATA; empty: then the system's"),
    NN_SET_I(data_settings, limit, 0, 0, 1e8,
             "train on the first so many images; 0 = all"),
    NN_SET_I(data_settings, test_limit, 0, 0, 1e8,
             "evaluate on the first so many test images; 0 = all"),
    NN_SET_C(data_settings, split, DATA_AUTO,
             "auto|balanced|byclass|bymerge|letters|digits|mnist|train|unlabeled|"
             "train+unlabeled",
             "emnist: which of its sets, auto = balanced; stl10: what to train on, "
             "auto = train"),
    NN_SET_B(data_settings, upright, 1,
             "emnist: turn its images upright, as they lie on their side in the files"),
    NN_SET_T(data_settings, batches, "",
             "cifar10: training files to read, as 1,3 in this order; empty = 1 to 5"),
    NN_SET_C(data_settings, labels, DATA_FINE, "fine|coarse",
             "cifar100: 100 classes, or the 20 groups of five they form"),
    NN_SET_F(data_settings, test_share, .1, 0, .9,
             "folder, arrays: held out where there is no test part, by a hash of the path "
             "or the image"),
    NN_SET_I(data_settings, size, 10000, 10, 1e6,
             "sets that are made: training samples; a fifth as many for the test"),
    NN_SET_C(data_settings, difficulty, 0, "normal|easy|hard",
             "shapes: easy: kind and rotation alone vary; hard: small figures among "
             "others"),
    NN_SET_I(data_settings, dim, 32, 1, 4096,
             "clouds, sphere, torus, swiss_roll: numbers of a vector"),
    NN_SET_I(data_settings, intrinsic, 4, 1, 32,
             "sphere, torus: dimension of the surface"),
    NN_SET_I(data_settings, components, 10, 1, DATA_MOST_CLASSES,
             "clouds: how many, one class each"),
    NN_SET_F(data_settings, separation, 4, 0, 1e6,
             "clouds: root mean square distance of two centres"),
    NN_SET_F(data_settings, noise, 0, 0, 1e6,
             "sphere, torus, swiss_roll: deviation of what is added to every number"),
    NN_SET_F(data_settings, offset, 0, -1e6, 1e6,
             "clouds: added to every number, which normalising takes away"),
    NN_SET_T(data_settings, classes, "",
             "these classes alone, by name or number, as 0,3,5; empty = all"),
    NN_SET_F(data_settings, fraction, 0, 0, 1,
             "keep so much of every class of the training images; 0 = all"),
    NN_SET_F(data_settings, long_tail, 0, 0, 1e6,
             "make the last class so many times smaller than the first; 0 = off"),
    NN_SET_F(data_settings, shortcut, 0, 0, 1,
             "colour grey pictures, so many by their class, others otherwise; 0 = off"),
    NN_SET_F(data_settings, shortcut_test, 0.1, 0, 1,
             "the same of test pictures; 1 / classes: colours tell nothing"),
    NN_SET_I(data_settings, subset_seed, 0, 0, 1e9,
             "which images fraction, long_tail and shortcut take: not `seed`"),
    NN_SET_C(data_settings, sampler, 0, "shuffle|balanced",
             "every image once an epoch, or every class equally often"),
    NN_SET_I(data_settings, side, 64, 8, 1024,
             "folder: pictures become so many pixels wide and high"),
    NN_SET_C(data_settings, fit, DATA_CROP, "crop|squash|pad",
             "folder: the middle square, all of it distorted, or with black bars"),
    NN_SET_C(data_settings, resample, DATA_BILINEAR, "bilinear|bicubic|area",
             "folder: the kernel of the resizing, antialiased"),
    NN_SET_C(data_settings, channels, DATA_RGB, "3|1",
             "folder: 3 = RGB, 1 = grey"),
    NN_SET_C(data_settings, broken, DATA_REFUSE, "refuse|skip",
             "folder: what to do when pictures cannot be read"),
    NN_SET_T(data_settings, cache, "",
             "folder for decoded pictures; empty: $FULLRANK_CACHE, then ~/.cache/fullrank"),
    NN_SET_B(data_settings, normalise, 1,
             "subtract the set's mean and divide by its deviation, per channel"),
    NN_SET_B(data_settings, symmetric, 0,
             "pixels from -1 to 1 instead, as some autoencoders have them"),
    NN_SET_END
};

static data_teller *listener;           /* set once, by the program at its start */

void data_on_news(data_teller *tell)
{
    listener = tell;
}

void data_tell(long done, long of, const char *format, ...)
{
    char text[1024];
    va_list list;

    if (!listener)
        return;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    listener(text, done, of);
}

static const volatile sig_atomic_t *stop;       /* set once, as the listener is */

void data_heed(const volatile sig_atomic_t *s)
{
    stop = s;
}

int data_stopped(void)
{
    return stop && *stop;
}

int data_source_count(void)
{
    return (int)NN_COUNT(all);
}

const data_source *data_source_at(int i)
{
    NN_NEED(i >= 0 && i < data_source_count(), "data set %d of %d", i,
            data_source_count());
    return all[i];
}

const data_source *data_source_find(const char *name)
{
    for (size_t i = 0; i < NN_COUNT(all); i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}

static nn_status load_part(const data_source *found, const data_settings *s, uint64_t seed,
                           nn_arena *a, data_images *train, data_images *test, nn_err *err)
{
    data_settings whole = *s;
    data_images *part[] = { train, test };

    if (data_limit_is_late(s))
        whole.limit = whole.test_limit = 0;
    NN_TRY(found->load(&whole, seed, a, train, test, err));
    if (s->symmetric && train->value)
        return nn_fail(err, NN_ECONFIG, "data.symmetric means nothing to %s, which holds "
                       "vectors; leave it out", s->name);
    for (int k = 0; k < 2; k++) {
        if (!part[k]->names)
            part[k]->names = found->labels;
        if (!part[k]->factor_names)
            part[k]->factor_names = found->factors;
    }
    return data_subset(s, a, train, test, err);
}

nn_status data_load(const data_settings *s, uint64_t seed, nn_arena *a,
                    data_images *train, data_images *test, nn_err *err)
{
    const data_source *found = data_source_find(s->name);

    if (!found) {
        const char *words[NN_COUNT(all) + 1] = { NULL };
        for (size_t i = 0; i < NN_COUNT(all); i++)
            words[i] = all[i]->name;
        const char *nearest = nn_nearest(s->name, words);
        return nn_fail(err, NN_ECONFIG, "data.name: no data set '%s'%s%s%s", s->name,
                       nearest ? "; did you mean '" : "; see `fullrank list datasets`",
                       nearest ? nearest : "", nearest ? "'?" : "");
    }
    *train = *test = (data_images){ 0 };
    nn_status status = load_part(found, s, seed, a, train, test, err);
    if (status != NN_OK) {
        data_release(train);
        data_release(test);
        return status;
    }
    for (int j = 0; j < 3 && (s->symmetric || !s->normalise); j++) {
        train->mean[j] = test->mean[j] = s->symmetric ? 0.5f : 0;
        train->std[j] = test->std[j] = s->symmetric ? 0.5f : 1;
    }
    return NN_OK;
}

void data_release(data_images *d)
{
    data_map_close(d->map);
    *d = (data_images){ 0 };
}

/* ---- where an image lies ---- */

static size_t stored_at(const data_images *d, int i)
{
    NN_NEED(i >= 0 && i < d->n, "image %d of %d", i, d->n);
    return d->row ? d->row[i] : (size_t)i;
}

int data_stored_h(const data_images *d)
{
    return d->stored_h ? d->stored_h : d->h;
}

int data_stored_w(const data_images *d)
{
    return d->stored_w ? d->stored_w : d->w;
}

size_t data_raw_count(const data_images *d)
{
    return (size_t)data_stored_h(d) * (size_t)data_stored_w(d) * (size_t)d->c;
}

const uint8_t *data_pixel_at(const data_images *d, int i)
{
    return d->pixel + stored_at(d, i) * data_raw_count(d);
}

const float *data_value_at(const data_images *d, int i)
{
    return d->value + stored_at(d, i) * data_raw_count(d);
}

void data_raw(const data_images *d, int i, float *out)
{
    size_t count = data_raw_count(d);

    if (d->value) {
        memcpy(out, data_value_at(d, i), sizeof *out * count);
        return;
    }
    const uint8_t *pixel = data_pixel_at(d, i);
    for (size_t k = 0; k < count; k++)
        out[k] = pixel[k];
}

int data_labelled(const data_images *d)
{
    return d->n - d->unlabelled;
}

float data_mean_of(const data_images *d, int j)
{
    return d->mean[d->value ? 0 : j];
}

float data_std_of(const data_images *d, int j)
{
    return d->std[d->value ? 0 : j];
}

/* ---- fingerprint ---- */

/* Four lanes of FNV-1a over 64-bit words.  The shift after the multiplication, which the
 * byte-wise original does not need, lets the high bits of a word reach the low ones. */
enum { LANES = 4 };
#define FNV_START UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x00000100000001b3)

static uint64_t stir(uint64_t h, uint64_t word)
{
    h = (h ^ word) * FNV_PRIME;
    return h ^ h >> 32;
}

static uint64_t little_endian(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return le64toh(word);
}

/* Bytes may come in parts, all but the last of a multiple of 8 LANES. */
typedef struct hash { uint64_t lane[LANES], start; size_t n; } hash;

static hash hash_open(uint64_t h)
{
    hash s = { .start = h };
    for (int k = 0; k < LANES; k++)
        s.lane[k] = stir(h, (uint64_t)k + 1);
    return s;
}

static void hash_add(hash *s, const uint8_t *p, size_t n)
{
    size_t at = 0;

    for (; at + 8 * LANES <= n; at += 8 * LANES)
        for (int k = 0; k < LANES; k++)
            s->lane[k] = stir(s->lane[k], little_endian(p + at + 8 * k));
    for (; at < n; at++)
        s->lane[at % LANES] = stir(s->lane[at % LANES], p[at]);
    s->n += n;
}

static uint64_t hash_close(const hash *s)
{
    uint64_t h = s->start;
    for (int k = 0; k < LANES; k++)
        h = stir(h, s->lane[k]);
    return stir(h, s->n);
}

static uint64_t hash_bytes(uint64_t h, const uint8_t *p, size_t n)
{
    hash s = hash_open(h);
    hash_add(&s, p, n);
    return hash_close(&s);
}

/* Numbers by their bits. */
static uint64_t hash_image(uint64_t h, const data_images *d, int i)
{
    size_t count = data_raw_count(d);

    if (!d->value)
        return hash_bytes(h, data_pixel_at(d, i), count);
    const float *value = data_value_at(d, i);
    for (size_t k = 0; k < count; k++) {
        uint32_t bits;
        memcpy(&bits, value + k, sizeof bits);
        h = stir(h, bits);
    }
    return h;
}

/* A byte each where a byte can hold every label, two where not. */
static uint64_t hash_labels(uint64_t h, const data_images *d)
{
    enum { SOME = 128 * LANES };
    uint8_t byte[2 * SOME];
    hash s = hash_open(h);

    for (int at = 0; at < d->n; at += SOME) {
        int end = d->n - at < SOME ? d->n : at + SOME;
        size_t to = 0;
        for (int i = at; i < end; i++) {
            byte[to++] = (uint8_t)d->label[i];
            if (d->classes > 256)
                byte[to++] = (uint8_t)(d->label[i] >> 8);
        }
        hash_add(&s, byte, to);
    }
    return hash_close(&s);
}

uint64_t data_fingerprint(const data_images *d)
{
    const int size[] = { d->n, data_stored_h(d), data_stored_w(d), d->c, d->classes };
    uint64_t h = FNV_START;

    if (d->print)
        return d->print;
    for (size_t i = 0; i < NN_COUNT(size); i++)
        h = stir(h, (uint64_t)size[i]);
    if (d->value || d->row) {
        for (int i = 0; i < d->n; i++)
            h = hash_image(h, d, i);
    } else {
        h = hash_bytes(h, d->pixel, (size_t)d->n * data_raw_count(d));
    }
    return hash_labels(h, d);
}
