#include "data/subset.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/files.h"
#include "nn/elem.h"

/* Draws of NN_RNG_SUBSET: which images of a class stay, and colours of both parts. */
enum { OF_CLASS, OF_TRAIN, OF_TEST };

int data_limit_is_late(const data_settings *s)
{
    return s->classes && s->classes[0];
}

static size_t stored_row(const data_images *d, uint32_t i)
{
    return d->row ? d->row[i] : i;
}

uint16_t *data_take(data_images *d, const uint32_t *index, int n, nn_arena *a)
{
    size_t each = (size_t)d->factors;
    uint32_t *row = NN_NEW(a, uint32_t, n);
    uint16_t *label = NN_NEW(a, uint16_t, n);
    float *factor = d->factor ? NN_NEW(a, float, (size_t)n * each) : NULL;

    for (int k = 0; k < n; k++) {
        uint32_t i = index[k];
        NN_NEED(i < (uint32_t)d->n, "image %u of %d", i, d->n);
        row[k] = (uint32_t)stored_row(d, i);
        label[k] = d->label[i];
        if (factor)
            memcpy(factor + (size_t)k * each, d->factor + i * each, sizeof *factor * each);
    }
    d->n = n;
    d->row = row;
    d->label = label;
    d->factor = factor;
    d->print = 0;
    return label;
}

/* ---- classes ---- */

enum { WORD = 128 };

/* The next word of "a, b,c", without the spaces around it; NULL at the end. */
static const char *next_word(const char *p, char word[WORD])
{
    if (!*p)
        return NULL;
    size_t n = strcspn(p, ",");
    const char *from = p, *end = p + n;
    while (from < end && *from == ' ')
        from++;
    while (end > from && end[-1] == ' ')
        end--;
    snprintf(word, WORD, "%.*s", (int)(end - from), from);
    return p[n] ? p + n + 1 : p + n;
}

/* A class by its name or, if none is called so, by its number; -1: there is none. */
static int class_of(const data_images *d, const char *word)
{
    char *end;

    for (int k = 0; d->names && d->names[k]; k++)
        if (strcmp(d->names[k], word) == 0)
            return k;
    if (word[0] < '0' || word[0] > '9')
        return -1;
    long k = strtol(word, &end, 10);
    return *end == 0 && k < d->classes ? (int)k : -1;
}

static nn_status no_class(const data_settings *s, const data_images *d, const char *word,
                          nn_err *err)
{
    const char *near = d->names ? nn_nearest(word, d->names) : NULL;

    if (near)
        return nn_fail(err, NN_ECONFIG, "data.classes: %s has no class '%s'; did you mean "
                       "'%s'?", s->name, word, near);
    return nn_fail(err, NN_ECONFIG, "data.classes: %s has no class '%s'; its classes are "
                   "numbered 0 to %d", s->name, word, d->classes - 1);
}

typedef struct choice { int count, of[DATA_MOST_CLASSES]; } choice;

static nn_status read_classes(const data_settings *s, const data_images *d, choice *c,
                              nn_err *err)
{
    char word[WORD];

    c->count = 0;
    for (const char *p = s->classes; (p = next_word(p, word));) {
        int k = class_of(d, word);
        if (k < 0)
            return no_class(s, d, word, err);
        for (int i = 0; i < c->count; i++)
            if (c->of[i] == k)
                return nn_fail(err, NN_ECONFIG, "data.classes: '%s' is there twice; leave "
                               "one out", word);
        c->of[c->count++] = k;
    }
    if (c->count < 2)
        return nn_fail(err, NN_ECONFIG, "data.classes: one class alone leaves nothing to "
                       "tell apart; list two or more, as 0,3,5");
    return NN_OK;
}

/* The names of those that stay: their numbers, where they have none. */
static const char *const *names_of(const data_images *d, const choice *c, nn_arena *a)
{
    const char **names = NN_NEW0(a, const char *, c->count + 1);
    char number[16];

    for (int k = 0; k < c->count; k++) {
        snprintf(number, sizeof number, "%d", c->of[k]);
        names[k] = d->names ? d->names[c->of[k]] : nn_arena_copy(a, number);
    }
    return names;
}

static nn_status keep_classes(const data_settings *s, const choice *c, int limit,
                              const char *key, data_images *d, nn_arena *a,
                              nn_arena *work, nn_err *err)
{
    uint32_t *index = NN_NEW(work, uint32_t, d->n);
    int now[DATA_MOST_CLASSES], n = 0;

    memset(now, 0xff, sizeof now);
    for (int k = 0; k < c->count; k++)
        now[c->of[k]] = k;
    for (int i = 0; i < d->n && (!limit || n < limit); i++)
        if (now[d->label[i]] >= 0)
            index[n++] = (uint32_t)i;
    if (n == 0)
        return nn_fail(err, NN_ECONFIG, "data.classes: no %s image of %s is of these "
                       "classes; choose others", key, s->name);
    d->names = names_of(d, c, a);
    uint16_t *label = data_take(d, index, n, a);
    for (int i = 0; i < n; i++)
        label[i] = (uint16_t)now[label[i]];
    d->classes = c->count;
    return NN_OK;
}

/* ---- fractions and tails ---- */

/* The slack lets r^-1 n_max be a whole number where it is one on paper. */
int data_tail_count(int most, double r, int c, int classes)
{
    double slack = 1 + 1e-9;
    double left = classes < 2 ? most : most * nn_exp(-nn_log(r) * c / (classes - 1));
    return left * slack >= 1 ? (int)floor(left * slack) : 1;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* How many of class c stay, of those it `has`. */
static void count_left(const data_settings *s, int classes, const int *has, int *left)
{
    int most = 0;

    for (int c = 0; c < classes; c++) {
        int some = s->fraction > 0 ? (int)floor(s->fraction * has[c] + 0.5) : has[c];
        left[c] = least(some > 0 ? some : 1, has[c]);
        most = left[c] > most ? left[c] : most;
    }
    for (int c = 0; c < classes && s->long_tail > 0; c++)
        left[c] = least(left[c], data_tail_count(most, s->long_tail, c, classes));
}

/* The first left[c] of every class in an order drawn for it. */
static void thin_out(const data_settings *s, data_images *d, nn_arena *a, nn_arena *work)
{
    int has[DATA_MOST_CLASSES] = { 0 }, left[DATA_MOST_CLASSES], n = 0, start = 0;
    uint32_t *order = NN_NEW(work, uint32_t, d->n), *index = NN_NEW(work, uint32_t, d->n);
    uint32_t *number = NN_NEW(work, uint32_t, d->n);    /* of an image in its class */
    unsigned char *stays = NN_NEW0(work, unsigned char, d->n);  /* class by class */
    unsigned char *of[DATA_MOST_CLASSES];

    for (int i = 0; i < d->n; i++)
        number[i] = (uint32_t)has[d->label[i]]++;
    count_left(s, d->classes, has, left);
    for (int c = 0; c < d->classes; start += has[c], c++) {
        nn_rng r = nn_rng_at((uint64_t)s->subset_seed, NN_RNG_SUBSET, OF_CLASS,
                             (uint64_t)c);
        of[c] = stays + start;
        nn_rng_permute(&r, order, (uint32_t)has[c]);
        for (int k = 0; k < left[c]; k++)
            of[c][order[k]] = 1;
    }
    for (int i = 0; i < d->n; i++)
        if (of[d->label[i]][number[i]])
            index[n++] = (uint32_t)i;
    data_take(d, index, n, a);
}

/* ---- shortcuts ---- */

void data_class_colour(int c, int classes, uint8_t rgb[3])
{
    static const double full[3] = { 0, 2, 4 };          /* of a turn, in sixths */

    for (int j = 0; j < 3; j++) {
        double away = fabs(6.0 * c / classes - full[j]);
        away = away > 3 ? 6 - away : away;              /* round the circle */
        double v = 2 - away;
        v = v > 0 ? v : 0;
        rgb[j] = (uint8_t)floor(255 * (v < 1 ? v : 1) + 0.5);
    }
}

static int colour_of(const data_images *d, int i, double p, uint64_t seed, uint32_t part)
{
    nn_rng r = nn_rng_at(seed, NN_RNG_SUBSET, part, stored_row(d, (uint32_t)i));
    int own = nn_rng_double(&r) < p;
    int other = (int)nn_rng_below(&r, (uint32_t)d->classes - 1);
    return own ? d->label[i] : other + (other >= d->label[i]);
}

static void paint(const uint8_t *grey, size_t pixels, const uint8_t rgb[3], uint8_t *out)
{
    for (size_t k = 0; k < pixels; k++)
        for (int j = 0; j < 3; j++)
            *out++ = (uint8_t)((grey[k] * rgb[j] + 127) / 255);
}

/* One more factor, the colour's number, behind those there are. */
static void add_factor(data_images *d, const int *colour, nn_arena *a)
{
    int before = d->factors, now = before + 1;
    float *factor = NN_NEW(a, float, (size_t)d->n * now);
    const char **names = NN_NEW0(a, const char *, now + 1);

    for (int i = 0; i < d->n; i++) {
        for (int k = 0; k < before; k++)
            factor[(size_t)i * now + k] = d->factor[(size_t)i * before + k];
        factor[(size_t)i * now + before] = (float)colour[i];
    }
    for (int k = 0; k < before; k++)
        names[k] = d->factor_names ? d->factor_names[k] : "";
    names[before] = "colour";
    d->factor = factor;
    d->factors = now;
    d->factor_names = names;
}

static void colour_all(const data_settings *s, double p, uint32_t part, data_images *d,
                       nn_arena *a, nn_arena *work)
{
    size_t pixels = data_raw_count(d);
    uint8_t *out = NN_NEW(a, uint8_t, (size_t)d->n * pixels * 3), rgb[3];
    int *colour = NN_NEW(work, int, d->n);

    for (int i = 0; i < d->n; i++) {
        colour[i] = colour_of(d, i, p, (uint64_t)s->subset_seed, part);
        data_class_colour(colour[i], d->classes, rgb);
        paint(data_pixel_at(d, i), pixels, rgb, out + (size_t)i * pixels * 3);
    }
    add_factor(d, colour, a);
    d->pixel = out;
    d->row = NULL;
    d->c = 3;
    d->print = 0;
}

/* ---- all of it ---- */

static nn_status possible(const data_settings *s, const data_images *train,
                          const data_images *test, nn_err *err)
{
    int parts = data_limit_is_late(s) || s->fraction > 0 || s->long_tail > 0;
    int unlabelled = train->unlabelled + test->unlabelled;

    if (s->long_tail > 0 && s->long_tail < 1)
        return nn_fail(err, NN_ECONFIG, "data.long_tail: %g is below 1: it is how many "
                       "times the first class is larger than the last; try %g",
                       s->long_tail, 1 / s->long_tail);
    if ((parts || s->shortcut > 0 || s->sampler) && unlabelled)
        return nn_fail(err, NN_ECONFIG, "data.classes, fraction, long_tail, shortcut and "
                       "sampler: balanced go by labels, and %d images of %s have none; "
                       "leave these keys out, or the images without a label", unlabelled,
                       s->name);
    if (s->shortcut > 0 && (!train->pixel || train->c != 1))
        return nn_fail(err, NN_ECONFIG, "data.shortcut: colours grey pictures, and those "
                       "of %s are %s; choose another data.name, or shortcut: 0", s->name,
                       train->pixel ? "in colour" : "numbers");
    if (s->shortcut > 0 && train->classes < 2)
        return nn_fail(err, NN_ECONFIG, "data.shortcut: one class has no other's colour; "
                       "choose another data.name, or shortcut: 0");
    return NN_OK;
}

static nn_status choose(const data_settings *s, nn_arena *a, nn_arena *work,
                        data_images *train, data_images *test, nn_err *err)
{
    choice *c = NN_NEW(work, choice, 1);

    NN_TRY(possible(s, train, test, err));
    if (data_limit_is_late(s)) {
        NN_TRY(read_classes(s, train, c, err));
        NN_TRY(keep_classes(s, c, s->limit, "training", train, a, work, err));
        NN_TRY(keep_classes(s, c, s->test_limit, "test", test, a, work, err));
    }
    if (s->fraction > 0 || s->long_tail > 0)
        thin_out(s, train, a, work);
    if (s->shortcut > 0) {
        colour_all(s, s->shortcut, OF_TRAIN, train, a, work);
        colour_all(s, s->shortcut_test, OF_TEST, test, a, work);
        data_measure(train, test);
    }
    train->balanced = s->sampler;
    return NN_OK;
}

nn_status data_subset(const data_settings *s, nn_arena *a, data_images *train,
                      data_images *test, nn_err *err)
{
    nn_arena work = {0};
    nn_status status = choose(s, a, &work, train, test, err);

    nn_arena_free(&work);
    return status;
}
