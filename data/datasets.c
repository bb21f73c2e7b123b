#include "data/data.h"

#include <endian.h>
#include <string.h>

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
    NN_SET_I(data_settings, size, 10000, 10, 200000,
             "shapes: training images to generate; a fifth as many for the test"),
    NN_SET_B(data_settings, normalise, 1,
             "subtract the set's mean and divide by its deviation, per channel"),
    NN_SET_B(data_settings, symmetric, 0,
             "pixels from -1 to 1 instead, as some autoencoders have them"),
    NN_SET_END
};

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
    NN_TRY(found->load(s, seed, a, train, test, err));
    for (int j = 0; j < 3 && (s->symmetric || !s->normalise); j++) {
        train->mean[j] = test->mean[j] = s->symmetric ? 0.5f : 0;
        train->std[j] = test->std[j] = s->symmetric ? 0.5f : 1;
    }
    return NN_OK;
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

static uint64_t hash_bytes(uint64_t h, const uint8_t *p, size_t n)
{
    uint64_t lane[LANES];
    size_t at = 0;

    for (int k = 0; k < LANES; k++)
        lane[k] = stir(h, (uint64_t)k + 1);
    for (; at + 8 * LANES <= n; at += 8 * LANES)
        for (int k = 0; k < LANES; k++)
            lane[k] = stir(lane[k], little_endian(p + at + 8 * k));
    for (; at < n; at++)
        lane[at % LANES] = stir(lane[at % LANES], p[at]);
    for (int k = 0; k < LANES; k++)
        h = stir(h, lane[k]);
    return stir(h, n);
}

uint64_t data_fingerprint(const data_images *d)
{
    const int size[] = { d->n, d->h, d->w, d->c, d->classes };
    uint64_t h = FNV_START;

    for (size_t i = 0; i < NN_COUNT(size); i++)
        h = stir(h, (uint64_t)size[i]);
    h = hash_bytes(h, d->pixel, (size_t)d->n * d->h * d->w * d->c);
    return hash_bytes(h, d->label, (size_t)d->n);
}
