#include "experiments/data_measure.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int ex_data_labelled(const data_images *d, int i)
{
    return i < data_labelled(d);
}

int ex_data_channels(const data_images *d)
{
    return d->value ? 1 : d->c;
}

const char *ex_data_class(const data_images *d, int k, char *out, size_t size)
{
    for (int i = 0; d->names && d->names[i]; i++)
        if (i == k)
            return d->names[i];
    snprintf(out, size, "%d", k);
    return out;
}

const char *ex_data_channel(const data_images *d, int j)
{
    static const char *const colour[] = { "red", "green", "blue" };
    return d->value ? "numbers" : d->c == 1 ? "grey" : colour[j];
}

static void note(int *count, int at[EX_NAMED], int i)
{
    if (*count < EX_NAMED)
        at[*count] = i;
    ++*count;
}

/* ---- sums ---- */

typedef struct sums { uint64_t x[3], xx[3]; double y, yy, shift; } sums;

/* One byte in three at most enters a channel: 2^64 / 255^2 is 10^14 pixels. */
static void add_pixels(sums *s, const uint8_t *p, size_t pixels, int c)
{
    for (int j = 0; j < c; j++) {
        uint64_t x = 0, xx = 0;
        for (size_t i = 0; i < pixels; i++) {
            const uint32_t v = p[i * (size_t)c + (size_t)j];
            x += v;
            xx += (uint64_t)v * v;
        }
        s->x[j] += x;
        s->xx[j] += xx;
    }
}

/* Taken from the first number on: the variance of numbers far from 0 keeps its digits. */
static int add_numbers(sums *s, const float *v, size_t n, int first)
{
    double y = 0, yy = 0;

    if (first)
        s->shift = isfinite(v[0]) ? (double)v[0] : 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)v[i] - s->shift;
        y += d;
        yy += d * d;
    }
    if (!isfinite(yy))
        return 0;
    s->y += y;
    s->yy += yy;
    return 1;
}

static double deviation(double square, double mean)
{
    const double var = square - mean * mean;
    return sqrt(var > 0 ? var : 0);
}

static void close_sums(const sums *s, const data_images *d, ex_part_figures *f)
{
    const size_t each = data_raw_count(d);

    for (int j = 0; j < ex_data_channels(d); j++) {
        const double n = (double)each * (d->n - f->broken) / ex_data_channels(d);
        const double mean = d->value ? s->y / n : (double)s->x[j] / n;
        const double square = d->value ? s->yy / n : (double)s->xx[j] / n;
        const double scale = d->value ? 1 : 255;
        f->mean[j] = (mean + s->shift) / scale;
        f->std[j] = deviation(square, mean) / scale;
    }
}

/* ---- single images ---- */

static int is_constant(const data_images *d, int i)
{
    const size_t n = data_raw_count(d), c = (size_t)d->c;
    size_t k = c;

    if (d->value) {
        const float *v = data_value_at(d, i);
        for (k = 1; k < n && v[k] == v[0]; k++)
            ;
        return n > 1 && k == n;
    }
    const uint8_t *p = data_pixel_at(d, i);
    return n > c && memcmp(p, p + c, n - c) == 0;
}

static void measure_part(const data_images *d, nn_arena *a, ex_part_figures *f)
{
    const size_t each = data_raw_count(d);
    sums s = {0};

    *f = (ex_part_figures){ .count = NN_NEW0(a, int, d->classes + 1) };
    for (int i = 0; i < d->n; i++) {
        if (!d->value)
            add_pixels(&s, data_pixel_at(d, i), each / (size_t)d->c, d->c);
        else if (!add_numbers(&s, data_value_at(d, i), each, i == 0))
            note(&f->broken, f->broken_at, i);
        if (is_constant(d, i))
            note(&f->constant, f->constant_at, i);
        f->count[d->label[i]] += ex_data_labelled(d, i);
    }
    close_sums(&s, d, f);
    f->least = f->most = f->count[0];
    for (int k = 1; k < d->classes; k++) {
        f->least = f->count[k] < f->least ? f->count[k] : f->least;
        f->most = f->count[k] > f->most ? f->count[k] : f->most;
    }
}

/* ---- copies ---- */

/* One kind of image: its hash, and the first of it in each part (-1: none). */
typedef struct slot { uint64_t hash; int first[2]; } slot;

static const void *bytes_of(const data_images *d, int i)
{
    if (d->value)
        return data_value_at(d, i);
    return data_pixel_at(d, i);
}

static size_t size_of(const data_images *d)
{
    return data_raw_count(d) * (d->value ? sizeof(float) : 1);
}

/* FNV-1a over words of 8 bytes, high bits brought down. */
static uint64_t hash_of(const uint8_t *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u, word;

    for (size_t i = 0; i < n; i += sizeof word) {
        word = 0;
        memcpy(&word, p + i, n - i < sizeof word ? n - i : sizeof word);
        h = (h ^ word) * 0x100000001b3u;
        h ^= h >> 32;
    }
    return h;
}

static int same(const data_images *a, int i, const data_images *b, int j)
{
    const size_t n = size_of(a);
    return n == size_of(b) && memcmp(bytes_of(a, i), bytes_of(b, j), n) == 0;
}

static void note_copy(ex_copies *c, const data_images *a, int i, const data_images *b,
                      int j)
{
    if (c->count < EX_NAMED) {
        c->at[c->count][0] = i;
        c->at[c->count][1] = j;
    }
    c->count++;
    c->other_label += ex_data_labelled(a, i) && ex_data_labelled(b, j)
                      && a->label[i] != b->label[j];
}

/* Where images like image i of part k stand, or the empty slot that waits for them. */
static slot *find(slot *table, size_t slots, const data_images *const part[2], int k,
                  int i, uint64_t hash)
{
    for (size_t at = (size_t)hash & (slots - 1); ; at = (at + 1) & (slots - 1)) {
        slot *s = &table[at];
        const int p = s->first[0] < 0;
        if (s->first[p] < 0)
            return s;
        if (s->hash == hash && same(part[p], s->first[p], part[k], i))
            return s;
    }
}

/* Open addressing in a table at most half full, training images first. */
static void find_copies(const data_images *const part[2], nn_arena *a, ex_copies *copies)
{
    const size_t mark = nn_arena_mark(a), n = (size_t)part[0]->n + (size_t)part[1]->n;
    size_t slots = 2;

    while (slots < 2 * n)
        slots *= 2;
    slot *table = NN_NEW(a, slot, slots);
    for (size_t i = 0; i < slots; i++)
        table[i] = (slot){ 0, { -1, -1 } };
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < part[k]->n; i++) {
            const uint64_t h = hash_of(bytes_of(part[k], i), size_of(part[k]));
            slot *s = find(table, slots, part, k, i, h);
            if (k == 1 && s->first[0] >= 0)
                note_copy(&copies[EX_ACROSS], part[0], s->first[0], part[1], i);
            if (s->first[k] >= 0)
                note_copy(&copies[k], part[k], s->first[k], part[k], i);
            else
                s->first[k] = i;
            s->hash = h;
        }
    nn_arena_rewind(a, mark);
}

void ex_data_measure(const data_images *train, const data_images *test, nn_arena *a,
                     ex_data_figures *f)
{
    const data_images *const part[2] = { train, test };

    *f = (ex_data_figures){ 0 };
    for (int k = 0; k < 2; k++)
        measure_part(part[k], a, &f->part[k]);
    find_copies(part, a, f->copies);
}
