#include "data/fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/data.h"
#include "data/resize.h"
#include "nn/base.h"

enum { LONGEST = 16 };

size_t data_fit_bytes(const data_fit *f)
{
    return (size_t)f->side * (size_t)f->side * (size_t)f->c;
}

static void *take(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    if (!p)
        nn_no_memory("a picture needs %zu bytes more", bytes);
    return p;
}

/* The middle of a strip. */
static void shorten(int *at, int *length, int other)
{
    int most = other * LONGEST;         /* sides of a picture are below 2^15 */
    if (*length > most) {
        *at = (*length - most) / 2;
        *length = most;
    }
}

/* The sizes before the middle is cut out or black is put around. */
static void choose(const data_fit *f, const data_picture *p, data_scaling *s)
{
    int64_t side = f->side;

    *s = (data_scaling){ .h = p->h, .w = p->w, .c = p->c, .box = { 0, 0, p->h, p->w },
                         .oh = f->side, .ow = f->side, .how = f->resample };
    if (f->fit == DATA_CROP) {
        shorten(&s->box.top, &s->box.h, s->box.w);
        shorten(&s->box.left, &s->box.w, s->box.h);
        if (s->box.h > s->box.w)
            s->oh = (int)(side * s->box.h / s->box.w);
        else
            s->ow = (int)(side * s->box.w / s->box.h);
    } else if (f->fit == DATA_PAD) {    /* lrint: halves to the even, as Python's round */
        if (p->h > p->w)
            s->ow = (int)lrint((double)p->w / p->h * f->side);
        else
            s->oh = (int)lrint((double)p->h / p->w * f->side);
        s->oh = s->oh ? s->oh : 1;
        s->ow = s->ow ? s->ow : 1;
    }
}

/* Where a length begins in the middle of another, halves to the even; negative when it
 * is the longer one. */
static int middle(int inner, int outer)
{
    return (int)lrint((outer - inner) / 2.0);
}

/* Rows of `in` (h, w) to their place in `out` (side, side). */
static void place(const data_fit *f, const uint8_t *in, int h, int w, uint8_t *out)
{
    size_t c = (size_t)f->c, side = (size_t)f->side;
    int top = middle(h, f->side), left = middle(w, f->side);
    size_t columns = w < f->side ? (size_t)w : side;
    int rows = h < f->side ? h : f->side;

    memset(out, 0, data_fit_bytes(f));
    for (int y = 0; y < rows; y++) {
        size_t from = (size_t)(top < 0 ? y - top : y) * (size_t)w
                      + (size_t)(left < 0 ? -left : 0);
        size_t to = (size_t)(top > 0 ? y + top : y) * side + (size_t)(left > 0 ? left : 0);
        memcpy(out + to * c, in + from * c, columns * c);
    }
}

void data_fit_picture(const data_fit *f, const data_picture *p, uint8_t *out)
{
    data_scaling s;

    NN_NEED(p->c == f->c, "fit: %d channels, wanted %d", p->c, f->c);
    choose(f, p, &s);
    void *work = take(data_scale_space(&s));
    uint8_t *scaled = take((size_t)s.oh * (size_t)s.ow * (size_t)s.c);
    data_scale(&s, p->pixel, scaled, work);
    place(f, scaled, s.oh, s.ow, out);
    free(scaled);
    free(work);
}
