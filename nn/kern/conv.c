/* Convolution as tiles over pointers to pixels.
 *
 * All three passes sweep a grid of pixels unit by unit.  A unit is at most NN_KC pixels:
 * several whole images, or some whole rows of one, or a piece of one row.  The part of
 * the source that a unit looks at is its window; where the window leaves the image it is
 * copied into scratch with zeros around (a few per cent of the work), otherwise it is
 * read in place.  From then on a pixel is one pointer: its patch is kh runs of kw * cin
 * neighbouring floats, `gap` apart.  Patches are never stored.
 *
 *   forward   y[pixel] = sum over its patch: tile_rows, kh segments, one accumulator
 *   dgrad     the same with dy as source and the taps turned round.  With stride s, input
 *             pixels fall into s * s classes, by position modulo s; a class meets only
 *             every s-th tap, so each is a sweep of its own, without wasted products
 *   wgrad     for each row of taps, a product over pixels: tile_taps, one block per unit;
 *             the pixels packed where they are used often, whole patches where they are
 *             short
 *
 * Results of few channels would leave most lanes of a tile empty.  Then lanes are pixels
 * (forward and dgrad, by planes of the source) or taps (wgrad), and `mix` sums the same
 * terms in the same order.
 *
 * Kernels of 3 x 3 and stride 1 with enough channels go to winograd.c instead, which needs a
 * quarter of the multiplications; nn_wino_fits decides by the shape alone.
 *
 * Part of the result's format: forward and dgrad sum a whole patch in one accumulator, in
 * order of source position (row, column, channel), not in blocks of NN_KC.  wgrad sums
 * the pixels of a unit in one accumulator, adds units in order within a chunk, folds the
 * chunks in a binary tree (nn_fold_float) and adds the result to dweight once.  Units and
 * chunks follow from the shape alone, never from the table or the team. */
#include "nn/kern/conv.h"

#include <stdint.h>
#include <string.h>

#include "nn/base.h"
#include "nn/kern/kern.h"
#include "nn/kern/pack.h"
#include "nn/kern/winograd.h"
#include "nn/par.h"

enum {
    JOBS = 16,              /* jobs wanted at least */
    CHUNKS = 16,            /* most chunks of a weight gradient: part of the format */
    PARTIAL = 5 << 19,      /* floats that chunks may hold, 10 MiB: part of the format */
    GRAD_JOBS = 8,          /* jobs wanted of wgrad: each packs the pixels for itself */
    COLS = 256,             /* columns of dy packed at a time: 256 KiB with NN_KC rows */
    THIN = 4,               /* channels of a result that are too few for tiles */
    FEW = 2,                /* panels from which wgrad packs the pixels, too */
    DIRECT = 128,           /* terms up to which dy is not worth packing */
    PATCH = 32, LEAST = 4   /* patches of at most so many terms, in rows of at least as
                             * many, are copied whole in wgrad */
};

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t parts(size_t n, size_t by)
{
    return (n + by - 1) / by;
}

/* `n` cut into the fewest pieces of at most `most`, as equal as can be */
static size_t even(size_t n, size_t most)
{
    return parts(n, parts(n, most));
}

/* ---- sweep: a grid of pixels and the taps through which each sees the source ----- */

typedef struct sweep {
    const float *src;                   /* (n, sh, sw, sc) */
    size_t n, sh, sw, sc;
    size_t gh, gw;                      /* pixels of the grid, per image */
    size_t th, tw, step;                /* pixel (a, b) sees rows a step + ty + [0, th) */
    ptrdiff_t ty, tx;                   /* and columns b step + tx + [0, tw) */
    size_t images, high, wide;          /* of a unit */
    size_t down, across, units;         /* strips and pieces of an image; units in all */
} sweep;

typedef struct unit {
    size_t n0, images, y0, high, x0, wide;
} unit;

static void cut(sweep *s)
{
    s->images = 1;
    s->high = s->gh;
    s->wide = even(s->gw, NN_KC);
    if (s->gw > NN_KC)
        s->high = 1;
    else if (s->gh * s->gw > NN_KC)
        s->high = even(s->gh, NN_KC / s->gw);
    else
        s->images = NN_KC / (s->gh * s->gw);
    s->down = parts(s->gh, s->high);
    s->across = parts(s->gw, s->wide);
    s->units = parts(s->n, s->images) * s->down * s->across;
}

static unit unit_at(const sweep *s, size_t u)
{
    unit r;
    r.x0 = u % s->across * s->wide;
    r.y0 = u / s->across % s->down * s->high;
    r.n0 = u / s->across / s->down * s->images;
    r.wide = min(s->wide, s->gw - r.x0);
    r.high = min(s->high, s->gh - r.y0);
    r.images = min(s->images, s->n - r.n0);
    return r;
}

static size_t pixels(const unit *u)
{
    return u->images * u->high * u->wide;
}

/* number of the unit's first pixel; its pixels are neighbours in the grid */
static size_t first(const sweep *s, const unit *u)
{
    return (u->n0 * s->gh + u->y0) * s->gw + u->x0;
}

static size_t window_size(const sweep *s)
{
    size_t high = (s->high - 1) * s->step + s->th, wide = (s->wide - 1) * s->step + s->tw;
    return s->images * high * wide * s->sc;
}

/* columns x0 .. x0 + wide of one row of the source, zero outside of it */
static void copy_row(const sweep *s, const float *row, ptrdiff_t x0, size_t wide,
                     float *out)
{
    ptrdiff_t last = x0 + (ptrdiff_t)wide, sw = (ptrdiff_t)s->sw;
    size_t left = x0 < 0 ? min((size_t)-x0, wide) : 0;
    size_t right = last > sw ? min((size_t)(last - sw), wide - left) : 0;
    size_t some = wide - left - right;

    memset(out, 0, left * s->sc * sizeof *out);
    if (some)
        memcpy(out + left * s->sc, row + (size_t)(x0 + (ptrdiff_t)left) * s->sc,
               some * s->sc * sizeof *out);
    memset(out + (left + some) * s->sc, 0, right * s->sc * sizeof *out);
}

/* Points pix[p] at the patch of the unit's p-th pixel and returns the gap between its
 * rows; `room` holds the copy of the window, if one is needed. */
static size_t look(const sweep *s, const unit *u, float *room, const float **pix)
{
    ptrdiff_t y0 = (ptrdiff_t)(u->y0 * s->step) + s->ty;
    ptrdiff_t x0 = (ptrdiff_t)(u->x0 * s->step) + s->tx;
    size_t high = (u->high - 1) * s->step + s->th, wide = (u->wide - 1) * s->step + s->tw;
    size_t image = s->sh * s->sw * s->sc, gap = s->sw * s->sc;
    int inside = y0 >= 0 && x0 >= 0 && (size_t)y0 + high <= s->sh
                 && (size_t)x0 + wide <= s->sw;
    const float *at = s->src + u->n0 * image;

    if (inside) {
        at += ((size_t)y0 * s->sw + (size_t)x0) * s->sc;
    } else {
        float *out = room;
        gap = wide * s->sc;
        for (size_t n = 0; n < u->images; n++, at += image)
            for (size_t y = 0; y < high; y++, out += gap) {
                ptrdiff_t sy = y0 + (ptrdiff_t)y;
                if (sy >= 0 && sy < (ptrdiff_t)s->sh)
                    copy_row(s, at + (size_t)sy * s->sw * s->sc, x0, wide, out);
                else
                    memset(out, 0, gap * sizeof *out);
            }
        at = room;
        image = high * gap;
    }
    for (size_t n = 0; n < u->images; n++, at += image)
        for (size_t y = 0; y < u->high; y++)
            for (size_t x = 0; x < u->wide; x++)
                *pix++ = at + y * s->step * gap + x * s->step * s->sc;
    return gap;
}

/* ---- forward and data gradient --------------------------------------------------- */

/* One sweep and where its sums go: pixel (a, b) to (a lat + oy, b lat + ox) of `out`. */
typedef struct pass {
    sweep s;
    const float *panel;                 /* weights in panels of nr columns */
    size_t terms, cols;                 /* th tw sc, and floats of an output pixel */
    float *out;                         /* (n, oh, ow, cols) */
    size_t oh, ow, oy, ox, lat;
    const float *bias;
    int add;
    size_t group;                       /* columns of a job, a multiple of nr */
    size_t jobs;
} pass;

typedef struct passes {
    const nn_kern *kern;
    pass *pass;
    size_t count;
    float *room;                        /* per worker: window, then sums to be spread */
    const float **pix;                  /* per worker: to pixels, or to planes */
    size_t window, room_size, pixes;    /* pixes: pointers of a worker */
} passes;

static void multiply(const nn_kern *kern, const pass *p, const float *const *pix,
                     size_t count, size_t gap, size_t j0, size_t cols, nn_tile t)
{
    const size_t mr = (size_t)kern->mr, nr = (size_t)kern->nr;
    float *c = t.c;
    for (size_t j = j0; j < j0 + cols; j += nr) {
        const float *b = p->panel + j * p->terms;
        t.cols = (int)min(nr, j0 + cols - j);
        for (size_t i = 0; i < count; i += mr) {
            t.rows = (int)min(mr, count - i);
            t.c = c + i * t.ldc + j;
            kern->tile_rows(p->s.th, p->s.tw * p->s.sc, gap, pix + i, b, &t);
        }
    }
}

/* Where the first pixel of the unit's row y of the grid lies in `out`. */
static size_t place(const pass *p, const unit *u, size_t n, size_t y)
{
    size_t row = n * p->oh + y * p->lat + p->oy;
    return (row * p->ow + u->x0 * p->lat + p->ox) * p->cols;
}

/* `cols` is few: see THIN.  Planes pay when many taps meet them: not for one class of
 * several. */
static int is_thin(const pass *p)
{
    return p->cols <= THIN && p->s.step == 1 && p->lat == 1;
}

/* Planes of one image of a unit, one a channel, and a row of sums. */
static size_t planes_size(const sweep *s)
{
    return (s->sc + 1) * (s->high + s->th) * (s->wide + s->tw);
}

/* The window of image n, channel by channel: `size` floats each, in rows of `wide`, zero
 * outside of the image. */
static void part_planes(const sweep *s, const unit *u, size_t n, size_t wide, size_t size,
                        float *plane)
{
    const ptrdiff_t x0 = (ptrdiff_t)u->x0 + s->tx, sh = (ptrdiff_t)s->sh;
    const ptrdiff_t sw = (ptrdiff_t)s->sw, last = x0 + (ptrdiff_t)wide;
    const size_t left = x0 < 0 ? min((size_t)-x0, wide) : 0;
    const size_t right = last > sw ? min((size_t)(last - sw), wide - left) : 0;
    const size_t some = wide - left - right;

    for (size_t y = 0; y < size / wide; y++, plane += wide) {
        const ptrdiff_t sy = (ptrdiff_t)(u->y0 + y) + s->ty;
        const int inside = some && sy >= 0 && sy < sh;
        for (size_t c = 0; c < s->sc; c++) {
            float *row = plane + c * size;
            memset(row, 0, (inside ? left : wide) * sizeof *row);
            memset(row + wide - right, 0, right * sizeof *row);
        }
        if (inside) {
            const float *image = s->src + n * s->sh * s->sw * s->sc;
            size_t at = (size_t)sy * s->sw + (size_t)(x0 + (ptrdiff_t)left);
            nn_turn(some, s->sc, image + at * s->sc, s->sc, plane + left, size);
        }
    }
}

/* A column of an image's pixels is one long row of sums; what lies between the rows of
 * the grid belongs to no pixel and is dropped. */
static void thin_unit(const nn_kern *kern, const pass *p, const unit *u, float *room,
                      const float **plane)
{
    const sweep *s = &p->s;
    const size_t wide = u->wide + s->tw - 1, size = (u->high + s->th - 1) * wide;
    const size_t sums = (u->high - 1) * wide + u->wide;
    float *line = room + s->sc * size;

    for (size_t k = 0; k < p->terms; k++) {
        size_t tap = k / s->sc;
        plane[k] = room + k % s->sc * size + tap / s->tw * wide + tap % s->tw;
    }
    for (size_t n = u->n0; n < u->n0 + u->images; n++) {
        part_planes(s, u, n, wide, size, room);
        for (size_t j = 0; j < p->cols; j++) {
            kern->mix(p->terms, p->panel + j, (size_t)kern->nr, plane, 0, sums, 0, line);
            for (size_t y = 0; y < u->high; y++) {
                const float *sum = line + y * wide;
                float *out = p->out + place(p, u, n, u->y0 + y) + j;
                for (size_t x = 0; x < u->wide; x++, out += p->cols) {
                    float v = p->add ? *out + sum[x] : sum[x];
                    *out = p->bias ? v + p->bias[j] : v;
                }
            }
        }
    }
}

/* Asks for `cols` floats, `ahead` after out, which will be written soon.  They may lie
 * behind the end, where C lets no pointer go; then nothing happens. */
static void call(const float *out, size_t ahead, size_t cols)
{
    for (size_t j = 0; j < cols; j += 16)                   /* a line of 64 bytes */
        __builtin_prefetch((const void *)((uintptr_t)out + (ahead + j) * sizeof *out), 1);
}

/* Carries columns j0 .. j0 + cols of the unit's sums to their places; sum = NULL stands
 * for zeros. */
static void spread(const nn_kern *kern, const pass *p, const unit *u, const float *sum,
                   size_t j0, size_t cols)
{
    const size_t step = p->lat * p->cols, below = p->ow * step;
    if (sum)
        sum += j0;
    for (size_t n = u->n0; n < u->n0 + u->images; n++)
        for (size_t y = u->y0; y < u->y0 + u->high; y++) {
            float *out = p->out + place(p, u, n, y) + j0;
            for (size_t x = 0; x < u->wide; x++, out += step) {
                call(out, below, cols);
                if (!sum) {
                    memset(out, 0, cols * sizeof *out);
                    continue;
                }
                if (p->add)
                    kern->axpy(cols, 1, sum, out);
                else
                    memcpy(out, sum, cols * sizeof *out);
                sum += p->cols;
            }
        }
}

static void add_bias(const nn_kern *kern, const pass *p, float *c, size_t count,
                     size_t j0, size_t cols)
{
    for (size_t i = 0; i < count; i++, c += p->cols)
        kern->axpy(cols, 1, p->bias + j0, c + j0);
}

static void one_unit(const passes *all, const pass *p, size_t job, int worker)
{
    const unit u = unit_at(&p->s, job % p->s.units);
    const size_t count = pixels(&u), j0 = job / p->s.units * p->group;
    const size_t cols = min(p->group, p->cols - j0);
    float *room = all->room + (size_t)worker * all->room_size, *sum = room + all->window;
    const float **pix = all->pix + (size_t)worker * all->pixes;

    if (p->terms == 0) {                    /* pixels that no tap reaches */
        if (!p->add)
            spread(all->kern, p, &u, NULL, j0, cols);
        return;
    }
    if (is_thin(p)) {
        thin_unit(all->kern, p, &u, room, pix);
        return;
    }
    nn_tile t = { sum, p->cols, 0, 0, 0 };
    if (p->lat == 1) {
        t.c = p->out + first(&p->s, &u) * p->cols;
        t.add = p->add;
    }
    size_t gap = look(&p->s, &u, room, pix);
    multiply(all->kern, p, pix, count, gap, j0, cols, t);
    if (p->bias)
        add_bias(all->kern, p, t.c, count, j0, cols);
    if (p->lat > 1)
        spread(all->kern, p, &u, sum, j0, cols);
}

/* The classes of one place in the image run one after the other, so that neighbouring
 * pixels are written while their lines are in the cache. */
static void pass_job(void *ctx, size_t job, int worker)
{
    const passes *all = ctx;
    for (size_t i = 0; i < all->count; i++)
        if (job < all->pass[i].jobs)
            one_unit(all, &all->pass[i], job, worker);
}

static void run(passes *all, nn_arena *scratch)
{
    const size_t nr = (size_t)all->kern->nr, team = (size_t)nn_par_threads();
    size_t jobs = 0, sums = 0;

    all->pixes = NN_KC;
    for (size_t i = 0; i < all->count; i++) {
        pass *p = &all->pass[i];
        size_t panels = parts(p->cols, nr);
        size_t groups = min(panels, parts(JOBS, p->s.units));
        p->group = parts(panels, groups) * nr;
        p->jobs = p->s.units * parts(p->cols, p->group);
        if (p->jobs > jobs)
            jobs = p->jobs;
        size_t window = is_thin(p) ? planes_size(&p->s) : window_size(&p->s);
        if (window > all->window)
            all->window = window;
        if (is_thin(p) && p->terms > all->pixes)
            all->pixes = p->terms;
        if (p->lat > 1)
            sums = NN_KC * p->cols;
    }
    all->room_size = all->window + sums;
    all->room = NN_NEW(scratch, float, all->room_size * team);
    all->pix = NN_NEW(scratch, const float *, all->pixes * team);
    nn_par_run(jobs, pass_job, all);
}

int nn_conv_plan(nn_conv *c)
{
    if (c->n < 0 || c->cin < 1 || c->cout < 1 || c->kh < 1 || c->kw < 1 || c->stride < 1
        || c->pad < 0 || c->h < 1 || c->w < 1)
        return 0;
    long high = (long)c->h + 2 * (long)c->pad - c->kh;
    long wide = (long)c->w + 2 * (long)c->pad - c->kw;
    if (high < 0 || wide < 0)
        return 0;
    c->oh = (int)(high / c->stride) + 1;
    c->ow = (int)(wide / c->stride) + 1;
    return 1;
}

static void check(const nn_conv *c)
{
    nn_conv again = *c;
    NN_NEED(nn_conv_plan(&again) && again.oh == c->oh && again.ow == c->ow,
            "conv: %d x %d x %d by kernel %d x %d, stride %d, pad %d is not %d x %d",
            c->h, c->w, c->cin, c->kh, c->kw, c->stride, c->pad, c->oh, c->ow);
}

/* the sweep of the forward pass over x */
static sweep over_input(const nn_conv *c, const float *x)
{
    sweep s = {
        .src = x, .n = (size_t)c->n, .sh = (size_t)c->h, .sw = (size_t)c->w,
        .sc = (size_t)c->cin, .gh = (size_t)c->oh, .gw = (size_t)c->ow,
        .th = (size_t)c->kh, .tw = (size_t)c->kw, .step = (size_t)c->stride,
        .ty = -c->pad, .tx = -c->pad,
    };
    cut(&s);
    return s;
}

void nn_conv_forward(const nn_conv *c, const float *x, const float *weight,
                     const float *bias, float *y, nn_arena *scratch)
{
    check(c);
    if (c->n == 0)
        return;
    if (nn_wino_fits(c)) {
        nn_wino_forward(c, x, weight, bias, y, scratch);
        return;
    }
    const size_t mark = nn_arena_mark(scratch);
    const size_t cols = (size_t)c->cout, terms = (size_t)c->kh * (size_t)c->kw
                                                 * (size_t)c->cin;
    const nn_kern *kern = nn_kern_now;
    const size_t nr = (size_t)kern->nr;
    float *panel = NN_NEW(scratch, float, parts(cols, nr) * nr * terms);
    pass p = { .s = over_input(c, x), .panel = panel, .terms = terms, .cols = cols,
               .out = y, .oh = (size_t)c->oh, .ow = (size_t)c->ow, .lat = 1,
               .bias = bias };
    passes all = { .kern = kern, .pass = &p, .count = 1 };

    for (size_t j = 0; j < cols; j += nr)
        nn_pack(min(nr, cols - j), nr, terms, (nn_mat){ weight + j * terms, terms, 1 },
                panel + j * terms);
    run(&all, scratch);
    nn_arena_rewind(scratch, mark);
}

/* One axis of a class: input pixels i with (i + pad) mod stride = c, and its taps. */
typedef struct axis {
    size_t start, count;                /* i = start + stride a, a < count */
    size_t taps, last;                  /* k = last, last - stride ...: source upwards */
    ptrdiff_t from;                     /* where a = 0 looks in the output by k = last */
} axis;

static axis class_axis(size_t size, size_t kernel, size_t stride, size_t pad, size_t c)
{
    axis r = { .start = (c + stride - pad % stride) % stride };
    r.count = r.start < size ? (size - 1 - r.start) / stride + 1 : 0;
    r.taps = c < kernel ? (kernel - 1 - c) / stride + 1 : 0;
    r.last = r.taps ? c + (r.taps - 1) * stride : 0;
    r.from = ((ptrdiff_t)(r.start + pad) - (ptrdiff_t)c) / (ptrdiff_t)stride
             - (ptrdiff_t)r.taps + 1;
    return r;
}

/* Panels of the weights that one class meets: k = (row up, column right, cout). */
static float *class_panel(const nn_conv *c, const nn_kern *kern, const float *weight,
                          axis y, axis x, nn_arena *scratch)
{
    const size_t nr = (size_t)kern->nr, cin = (size_t)c->cin, cout = (size_t)c->cout;
    const size_t kw = (size_t)c->kw, stride = (size_t)c->stride;
    const size_t terms = y.taps * x.taps * cout, step = (size_t)c->kh * kw * cin;
    float *panel = NN_NEW(scratch, float, parts(cin, nr) * nr * terms), *out = panel;

    for (size_t j = 0; j < cin; j += nr)
        for (size_t u = 0; u < y.taps; u++)
            for (size_t v = 0; v < x.taps; v++, out += cout * nr) {
                size_t tap = (y.last - u * stride) * kw + x.last - v * stride;
                nn_mat w = { weight + tap * cin + j, 1, step };
                nn_pack(min(nr, cin - j), nr, cout, w, out);
            }
    return panel;
}

void nn_conv_dgrad(const nn_conv *c, const float *dy, const float *weight, float *dx,
                   int add, nn_arena *scratch)
{
    check(c);
    if (c->n == 0)
        return;
    if (nn_wino_fits(c)) {
        nn_wino_dgrad(c, dy, weight, dx, add, scratch);
        return;
    }
    const size_t mark = nn_arena_mark(scratch);
    const size_t s = (size_t)c->stride, pad = (size_t)c->pad;
    passes all = { .kern = nn_kern_now, .pass = NN_NEW(scratch, pass, s * s) };

    for (size_t i = 0; i < s * s; i++) {
        axis y = class_axis((size_t)c->h, (size_t)c->kh, s, pad, i / s);
        axis x = class_axis((size_t)c->w, (size_t)c->kw, s, pad, i % s);
        if (y.count == 0 || x.count == 0)
            continue;
        pass *p = &all.pass[all.count++];
        *p = (pass){
            .s = { .src = dy, .n = (size_t)c->n, .sh = (size_t)c->oh, .sw = (size_t)c->ow,
                   .sc = (size_t)c->cout, .gh = y.count, .gw = x.count,
                   .th = y.taps, .tw = x.taps, .step = 1, .ty = y.from, .tx = x.from },
            .terms = y.taps * x.taps * (size_t)c->cout, .cols = (size_t)c->cin,
            .out = dx, .oh = (size_t)c->h, .ow = (size_t)c->w, .oy = y.start,
            .ox = x.start, .lat = s, .add = add,
        };
        p->panel = class_panel(c, all.kern, weight, y, x, scratch);
        cut(&p->s);
    }
    run(&all, scratch);
    nn_arena_rewind(scratch, mark);
}

/* ---- weight gradient ------------------------------------------------------------- */

typedef struct wgrad {
    const nn_kern *kern;
    sweep s;
    const float *dy;
    float *dweight;                     /* (cout, terms) */
    size_t cout, terms, across;         /* across: floats of a row of taps, kw cin */
    size_t chunks, group;               /* columns of a job */
    int thin;                           /* parts are turned: (chunks, cout, terms) */
    float *part;                        /* (chunks, terms, cout) */
    float *room;                        /* per worker: window, panels of dy, one of x */
    const float **pix;
    size_t window, room_size;
} wgrad;

/* Four floats, in whatever register the machine has for them: these copies are too short
 * for calls of memcpy. */
typedef float four __attribute__((vector_size(16)));

static void copy(float *out, const float *from, size_t n)
{
    four v;
    size_t j = 0;
    for (; j + 4 <= n; j += 4) {
        memcpy(&v, from + j, sizeof v);
        memcpy(out + j, &v, sizeof v);
    }
    for (; j < n; j++)
        out[j] = from[j];
}

/* Few terms, as in a first layer: a row of taps alone would leave most of a tile's rows
 * empty, so that patches are copied, and dy is read where it lies. */
static void wgrad_patches(const wgrad *w, const float *const *pix, size_t count,
                          size_t gap, const float *dy, float *patch, float *sum, size_t j0,
                          size_t cols, int add)
{
    const nn_kern *kern = w->kern;
    const size_t mr = (size_t)kern->mr, nr = (size_t)kern->nr, terms = w->terms;
    nn_tile t = { .ldc = w->cout, .add = add };
    float *out = patch;

    for (size_t q = 0; q < count; q++) {
        for (size_t j = 0; j < cols; j += 16)           /* a line of 64 bytes */
            __builtin_prefetch(dy + q * w->cout + j0 + j);
        for (size_t at = 0; at < terms; at += w->across, out += w->across)
            copy(out, pix[q] + at / w->across * gap, w->across);
    }
    for (size_t j = 0; j < cols; j += nr) {
        t.cols = (int)min(nr, cols - j);
        for (size_t i = 0; i < terms; i += mr) {
            t.rows = (int)min(mr, terms - i);
            t.c = sum + i * w->cout + j0 + j;
            kern->tile_panel(count, patch + i, terms, dy + j0 + j, w->cout, &t);
        }
    }
}

/* Adds one unit's products to columns j0 .. j0 + cols of the chunk's sums. */
static void wgrad_unit(const wgrad *w, const float *const *pix, size_t count, size_t gap,
                       const float *dy, float *panels, float *sum, size_t j0, size_t cols,
                       int add)
{
    const nn_kern *kern = w->kern;
    const size_t mr = (size_t)kern->mr, nr = (size_t)kern->nr;
    const int pack_x = cols > FEW * nr, packed = w->cout > nr && w->terms > DIRECT;
    float *xs = panels + COLS * NN_KC + nr * NN_KC;
    nn_tile t = { .ldc = w->cout, .add = add };

    if (packed)
        nn_pack_panels(cols, nr, count, (nn_mat){ dy + j0, 1, w->cout }, panels);
    for (size_t i = 0; i < w->terms; i += (size_t)t.rows) {
        size_t inside = i % w->across, at = i / w->across * gap + inside;
        t.rows = (int)min(mr, w->across - inside);
        if (pack_x)
            nn_pack_pixels((size_t)t.rows, mr, count, pix, at, xs);
        for (size_t j = 0; j < cols; j += nr) {
            const float *b = packed ? panels + j * count : dy + j0 + j;
            size_t ldb = packed ? nr : w->cout;
            t.cols = (int)min(nr, cols - j);
            t.c = sum + i * w->cout + j0 + j;
            if (pack_x)
                kern->tile_panel(count, xs, mr, b, ldb, &t);
            else
                kern->tile_taps(count, pix, at, b, ldb, &t);
        }
    }
}

/* Few columns: lanes are taps. */
static void wgrad_thin(const wgrad *w, const float *const *pix, size_t count, size_t gap,
                       const float *dy, float *sum, int add)
{
    for (size_t j = 0; j < w->cout; j++)
        for (size_t i = 0; i < w->terms; i += w->across)
            w->kern->mix(count, dy + j, w->cout, pix, i / w->across * gap, w->across, add,
                         sum + j * w->terms + i);
}

static void wgrad_job(void *ctx, size_t job, int worker)
{
    const wgrad *w = ctx;
    const size_t chunk = job % w->chunks, j0 = job / w->chunks * w->group;
    const size_t end = min(j0 + w->group, w->cout);
    const size_t from = chunk * w->s.units / w->chunks;
    const size_t to = (chunk + 1) * w->s.units / w->chunks;
    float *room = w->room + (size_t)worker * w->room_size;
    float *sum = w->part + chunk * w->terms * w->cout;
    const float **pix = w->pix + (size_t)worker * NN_KC;

    for (size_t i = from; i < to; i++) {
        unit u = unit_at(&w->s, i);
        size_t gap = look(&w->s, &u, room, pix);
        const float *dy = w->dy + first(&w->s, &u) * w->cout;
        int whole = w->terms <= PATCH && w->across >= LEAST;
        if (w->thin) {
            wgrad_thin(w, pix, pixels(&u), gap, dy, sum, i > from);
            continue;
        }
        for (size_t j = j0; j < end; j += COLS)
            (whole ? wgrad_patches : wgrad_unit)(w, pix, pixels(&u), gap, dy,
                                                 room + w->window, sum, j,
                                                 min(COLS, end - j), i > from);
    }
}

/* Turns a block of rows of the folded sums, unless they are, and adds it. */
static void add_job(void *ctx, size_t job, int worker)
{
    const wgrad *w = ctx;
    const size_t from = job * NN_ROWS, to = min(from + NN_ROWS, w->terms);
    const size_t down = w->thin ? 1 : w->cout, across = w->thin ? w->terms : 1;
    (void)worker;
    for (size_t j = 0; j < w->cout; j++)
        for (size_t i = from; i < to; i++)
            w->dweight[j * w->terms + i] += w->part[i * down + j * across];
}

void nn_conv_wgrad(const nn_conv *c, const float *x, const float *dy, float *dweight,
                   nn_arena *scratch)
{
    check(c);
    if (c->n == 0)
        return;
    if (nn_wino_fits(c)) {
        nn_wino_wgrad(c, x, dy, dweight, scratch);
        return;
    }
    const size_t mark = nn_arena_mark(scratch), team = (size_t)nn_par_threads();
    wgrad w = { .kern = nn_kern_now, .s = over_input(c, x), .dy = dy, .dweight = dweight,
                .cout = (size_t)c->cout, .across = (size_t)c->kw * (size_t)c->cin };
    const size_t mr = (size_t)w.kern->mr, nr = (size_t)w.kern->nr;
    const size_t panels = parts(w.cout, nr);

    w.terms = (size_t)c->kh * w.across;
    w.thin = w.cout <= THIN && w.across >= NN_LANES;
    size_t room = PARTIAL / (w.terms * w.cout);
    w.chunks = min(w.s.units, min(CHUNKS, room ? room : 1));
    w.group = parts(panels, min(panels, parts(GRAD_JOBS, w.chunks))) * nr;
    w.window = window_size(&w.s);
    w.room_size = w.window + (COLS + nr + mr) * NN_KC;
    w.part = NN_NEW(scratch, float, w.chunks * w.terms * w.cout);
    w.room = NN_NEW(scratch, float, w.room_size * team);
    w.pix = NN_NEW(scratch, const float *, NN_KC * team);

    nn_par_run(w.chunks * parts(w.cout, w.group), wgrad_job, &w);
    nn_fold_float(w.part, w.chunks, w.terms * w.cout);
    nn_par_run(parts(w.terms, NN_ROWS), add_job, &w);
    nn_arena_rewind(scratch, mark);
}
