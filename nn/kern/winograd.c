/* Convolution by Winograd's F(4x4, 3x3): the image is cut into tiles of 4 x 4 outputs; a
 * tile's 6 x 6 inputs, the weights and the outputs are transformed (wino.h), and between
 * the transforms stand 36 products of matrices, one per place in a tile:
 *
 *   forward   M_f (tiles, cout)  = V_f (tiles, cin) U_f (cin, cout)
 *   dgrad     the same with dy, and weights turned round with cin and cout exchanged
 *   wgrad     D_f (cout, cin)    = W_f' (cout, tiles) V_f (tiles, cin)
 *
 * 36 products of 1 instead of 16 of 9: a quarter of the multiplications.  A job takes a
 * block of tiles from pixels to pixels, so that its V and M stay in the cache.
 *
 * Part of the result's format: forward and dgrad sum over all channels in one accumulator,
 * in order.  wgrad sums the tiles of a block in one accumulator, adds blocks in order
 * within a chunk and folds the chunks in a binary tree; blocks and chunks follow from the
 * shape alone. */
#include "nn/kern/winograd.h"

#include <string.h>

#include "nn/base.h"
#include "nn/kern/kern.h"
#include "nn/kern/pack.h"
#include "nn/par.h"

enum {
    OUT = 4, IN = 6, PLACES = IN * IN,
    LEAST = 16,             /* channels from which it pays: one vector; format */
    CACHE = 96 << 10,       /* floats of V and M of a block: 384 of the 512 KiB of L2 */
    MOST_TILES = 64,        /* of a block: enough to stream U past */
    CHANNELS = 64,          /* of weights transformed at a time: 147 KiB a panel */
    GRAD_TILES = 32,        /* tiles of a block of wgrad, twice that where the channels */
    WIDE_CHANNELS = 128,    /* of both sides are more than this; format */
    CHUNKS = 8,             /* most chunks of wgrad; format */
    PARTIAL = 5 << 19,      /* floats of their sums, 10 MiB; format */
    SKEW = 16               /* floats between places, against aliases in the cache */
};

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t max(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t parts(size_t n, size_t by)
{
    return (n + by - 1) / by;
}

/* 36 products a tile against 9 an output: tiles that hang over the edge by more than half
 * do not pay. */
int nn_wino_fits(const nn_conv *c)
{
    size_t tiles = parts((size_t)c->oh, OUT) * parts((size_t)c->ow, OUT);
    return c->kh == 3 && c->kw == 3 && c->stride == 1 && c->pad <= 2 && c->cin >= LEAST
        && c->cout >= LEAST && 2 * PLACES * tiles <= 9 * (size_t)c->oh * (size_t)c->ow;
}

/* ---- tiles ------------------------------------------------------------------------- */

/* A plane of images, and the tiles over its neighbour: tile (a, b) of an image looks at
 * rows 4 a + from .. and columns 4 b + from .. of the plane. */
typedef struct plane {
    const float *src;
    size_t h, w, c, down, across;
    ptrdiff_t from;
    const float *zeros;                 /* c of them: pixels outside */
} plane;

/* Pointers to size x size pixels of tile t. */
static void look(const plane *p, size_t t, int size, const float **pix)
{
    size_t image = t / (p->down * p->across), in = t % (p->down * p->across);
    ptrdiff_t y0 = (ptrdiff_t)(in / p->across * OUT) + p->from;
    ptrdiff_t x0 = (ptrdiff_t)(in % p->across * OUT) + p->from;
    const float *src = p->src + image * p->h * p->w * p->c;

    for (ptrdiff_t i = y0; i < y0 + size; i++)
        for (ptrdiff_t j = x0; j < x0 + size; j++) {
            int inside = i >= 0 && j >= 0 && i < (ptrdiff_t)p->h && j < (ptrdiff_t)p->w;
            *pix++ = inside ? src + ((size_t)i * p->w + (size_t)j) * p->c : p->zeros;
        }
}

/* Where the outputs of tile t go; NULL outside of the plane. */
static void place(const plane *p, float *out, size_t t, float **pix)
{
    const float *found[OUT * OUT];
    look(p, t, OUT, found);
    for (int i = 0; i < OUT * OUT; i++)
        pix[i] = found[i] == p->zeros ? NULL : out + (found[i] - p->src);
}

/* ---- weights ----------------------------------------------------------------------- */

/* U_f in panels of nr columns: k = source channel, j = channel of the result. */
typedef struct weights {
    const nn_kern *kern;
    const float *w;
    size_t cin, cout;                   /* of the product: source, result */
    size_t wide;                        /* channels of one tap in memory */
    int turned;                         /* 1: data gradient */
    float *panel, *room;                /* room: per worker */
    size_t room_size, gap;              /* floats of one place in `panel` */
} weights;

static void weights_job(void *ctx, size_t job, int worker)
{
    const weights *s = ctx;
    const nn_kern *kern = s->kern;
    size_t nr = (size_t)kern->nr, j0 = job * nr, cols = min(nr, s->cout - j0);
    float *room = s->room + (size_t)worker * s->room_size;
    const float *tap[9];

    if (s->turned) {            /* w (cin, 3, 3, cout): columns lie side by side */
        size_t step = 9 * s->wide;
        for (size_t k = 0; k < s->cin; k++) {
            for (int i = 0; i < 9; i++)
                tap[i] = s->w + k * step + (size_t)(8 - i) * s->wide + j0;
            float *out = s->panel + j0 * s->cin + k * nr;
            if (cols < nr)              /* the last panel is filled up with zeros */
                for (int f = 0; f < PLACES; f++)
                    memset(out + (size_t)f * s->gap, 0, nr * sizeof *out);
            kern->wino_weight(tap, cols, out, s->gap);
        }
        return;
    }
    for (size_t k0 = 0; k0 < s->cin; k0 += CHANNELS) {
        size_t count = min(CHANNELS, s->cin - k0);
        for (size_t j = 0; j < cols; j++) {
            for (int i = 0; i < 9; i++)
                tap[i] = s->w + ((j0 + j) * 9 + (size_t)i) * s->wide + k0;
            kern->wino_weight(tap, count, room + j * count, nr * count);
        }
        for (size_t f = 0; f < PLACES; f++)
            nn_pack(cols, nr, count, (nn_mat){ room + f * nr * count, count, 1 },
                    s->panel + f * s->gap + j0 * s->cin + k0 * nr);
    }
}

static float *transformed(const nn_conv *c, const float *weight, int turned, size_t *gap,
                          nn_arena *scratch)
{
    size_t nr = (size_t)nn_kern_now->nr;
    weights s = { .kern = nn_kern_now, .w = weight, .turned = turned,
                  .cin = (size_t)(turned ? c->cout : c->cin),
                  .cout = (size_t)(turned ? c->cin : c->cout), .wide = (size_t)c->cin };
    size_t panels = parts(s.cout, nr);

    s.gap = panels * nr * s.cin;
    s.panel = NN_NEW(scratch, float, PLACES * s.gap);
    s.room_size = PLACES * nr * CHANNELS;
    s.room = NN_NEW(scratch, float, s.room_size * (size_t)nn_par_threads());
    nn_par_run(panels, weights_job, &s);
    *gap = s.gap;
    return s.panel;
}

/* ---- forward and data gradient ----------------------------------------------------- */

typedef struct pass {
    const nn_kern *kern;
    plane from, to;
    float *out;
    const float *panel, *bias;
    size_t panel_gap, tiles, block;
    int add;
    float *room;                        /* per worker: V, then M */
    size_t v_gap, m_gap, room_size;
} pass;

static void multiply(const pass *p, const float *v, const float *panel, size_t count,
                     float *m)
{
    size_t mr = (size_t)p->kern->mr, nr = (size_t)p->kern->nr, cin = p->from.c,
           cout = p->to.c;
    const float *row[MOST_TILES];
    nn_tile t = { .ldc = cout };

    for (size_t i = 0; i < count; i++)
        row[i] = v + i * cin;
    for (size_t j = 0; j < cout; j += nr) {     /* a panel of U stays in the cache */
        t.cols = (int)min(nr, cout - j);
        for (size_t i = 0; i < count; i += mr) {
            t.rows = (int)min(mr, count - i);
            t.c = m + i * cout + j;
            p->kern->tile_rows(1, cin, 0, row + i, panel + j * cin, &t);
        }
    }
}

static void pass_job(void *ctx, size_t job, int worker)
{
    const pass *p = ctx;
    size_t t0 = job * p->block, count = min(p->block, p->tiles - t0);
    float *v = p->room + (size_t)worker * p->room_size, *m = v + PLACES * p->v_gap;
    const float *pix[PLACES];
    float *out[OUT * OUT];

    for (size_t t = 0; t < count; t++) {
        look(&p->from, t0 + t, IN, pix);
        p->kern->wino_data(pix, p->from.c, v + t * p->from.c, p->v_gap);
    }
    for (size_t f = 0; f < PLACES; f++)
        multiply(p, v + f * p->v_gap, p->panel + f * p->panel_gap, count,
                 m + f * p->m_gap);
    for (size_t t = 0; t < count; t++) {
        place(&p->to, p->out, t0 + t, out);
        p->kern->wino_sum(m + t * p->to.c, p->m_gap, p->to.c, p->bias, p->add, out);
    }
}

/* Tiles of a block: as many as the cache holds, but enough to be worth a pass over U, and
 * few enough for several jobs.  No result depends on it. */
static size_t block_of(size_t tiles, size_t cin, size_t cout, size_t mr)
{
    size_t fit = CACHE / (PLACES * (cin + cout)) / mr * mr;
    size_t block = min(max(fit, 4 * mr), max(MOST_TILES / mr * mr, mr));
    return min(block, max(parts(tiles, 4 * mr) * mr, mr));
}

static void run(pass *p, nn_arena *scratch)
{
    size_t mr = (size_t)p->kern->mr;

    p->block = block_of(p->tiles, p->from.c, p->to.c, mr);
    p->v_gap = p->block * p->from.c + SKEW;
    p->m_gap = p->block * p->to.c + SKEW;
    p->room_size = PLACES * (p->v_gap + p->m_gap);
    p->room = NN_NEW(scratch, float, p->room_size * (size_t)nn_par_threads());
    nn_par_run(parts(p->tiles, p->block), pass_job, p);
}

/* The two planes of a convolution, over the tiles of an output of oh x ow. */
static plane plane_of(const float *src, int h, int w, int c, int oh, int ow, int from,
                      const float *zeros)
{
    return (plane){ .src = src, .h = (size_t)h, .w = (size_t)w, .c = (size_t)c,
                    .down = parts((size_t)oh, OUT), .across = parts((size_t)ow, OUT),
                    .from = from, .zeros = zeros };
}

static size_t tiles_of(const plane *p, int images)
{
    return (size_t)images * p->down * p->across;
}

static const float *zero_pixel(const nn_conv *c, nn_arena *scratch)
{
    return NN_NEW0(scratch, float, max((size_t)c->cin, (size_t)c->cout));
}

void nn_wino_forward(const nn_conv *c, const float *x, const float *weight,
                     const float *bias, float *y, nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch);
    const float *zeros = zero_pixel(c, scratch);
    pass p = { .kern = nn_kern_now, .out = y, .bias = bias,
               .from = plane_of(x, c->h, c->w, c->cin, c->oh, c->ow, -c->pad, zeros),
               .to = plane_of(y, c->oh, c->ow, c->cout, c->oh, c->ow, 0, zeros) };

    p.tiles = tiles_of(&p.from, c->n);
    p.panel = transformed(c, weight, 0, &p.panel_gap, scratch);
    run(&p, scratch);
    nn_arena_rewind(scratch, mark);
}

void nn_wino_dgrad(const nn_conv *c, const float *dy, const float *weight, float *dx,
                   int add, nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch);
    const float *zeros = zero_pixel(c, scratch);
    pass p = { .kern = nn_kern_now, .out = dx, .add = add,
               .from = plane_of(dy, c->oh, c->ow, c->cout, c->h, c->w, c->pad - 2, zeros),
               .to = plane_of(dx, c->h, c->w, c->cin, c->h, c->w, 0, zeros) };

    p.tiles = tiles_of(&p.from, c->n);
    p.panel = transformed(c, weight, 1, &p.panel_gap, scratch);
    run(&p, scratch);
    nn_arena_rewind(scratch, mark);
}

/* ---- weight gradient --------------------------------------------------------------- */

typedef struct wgrad {
    const nn_kern *kern;
    plane x, dy;
    float *dweight;
    size_t tiles, block, blocks, chunks;
    float *v, *w;                       /* transforms: per worker, or of all tiles */
    size_t v_gap, w_gap, room_size;
    float *sum;                         /* (chunks, places, cout, cin) */
    size_t sum_gap, sum_size;
} wgrad;

/* V and W of `count` tiles from t0 on. */
static void transform(const wgrad *g, size_t t0, size_t count, float *v, float *w)
{
    const float *pix[PLACES];
    for (size_t t = 0; t < count; t++) {
        look(&g->x, t0 + t, IN, pix);
        g->kern->wino_data(pix, g->x.c, v + t * g->x.c, g->v_gap);
        look(&g->dy, t0 + t, OUT, pix);
        g->kern->wino_grad(pix, g->dy.c, w + t * g->dy.c, g->w_gap);
    }
}

/* D_f (+)= W_f' V_f over `count` tiles. */
static void accumulate(const wgrad *g, const float *v, const float *w, size_t count,
                       float *d, int add)
{
    size_t mr = (size_t)g->kern->mr, nr = (size_t)g->kern->nr, cin = g->x.c,
           cout = g->dy.c;
    nn_tile t = { .ldc = cin, .add = add };

    for (size_t j = 0; j < cin; j += nr) {
        t.cols = (int)min(nr, cin - j);
        for (size_t i = 0; i < cout; i += mr) {
            t.rows = (int)min(mr, cout - i);
            t.c = d + i * cin + j;
            g->kern->tile_panel(count, w + i, cout, v + j, cin, &t);
        }
    }
}

/* A chunk: its blocks one after the other, each from pixels to sums. */
static void chunk_job(void *ctx, size_t chunk, int worker)
{
    const wgrad *g = ctx;
    float *v = g->v + (size_t)worker * g->room_size, *w = v + PLACES * g->v_gap;
    size_t from = chunk * g->blocks / g->chunks, to = (chunk + 1) * g->blocks / g->chunks;

    for (size_t b = from; b < to; b++) {
        size_t t0 = b * g->block, count = min(g->block, g->tiles - t0);
        transform(g, t0, count, v, w);
        for (size_t f = 0; f < PLACES; f++)
            accumulate(g, v + f * g->v_gap, w + f * g->w_gap, count,
                       g->sum + chunk * g->sum_size + f * g->sum_gap, b > from);
    }
}

/* One chunk that is too large for a worker's cache: transforms of all tiles first ... */
static void transform_job(void *ctx, size_t b, int worker)
{
    const wgrad *g = ctx;
    size_t t0 = b * g->block;
    (void)worker;
    transform(g, t0, min(g->block, g->tiles - t0), g->v + t0 * g->x.c,
              g->w + t0 * g->dy.c);
}

/* ... then the products, one place a job. */
static void place_job(void *ctx, size_t f, int worker)
{
    const wgrad *g = ctx;
    (void)worker;
    for (size_t b = 0; b < g->blocks; b++) {
        size_t t0 = b * g->block;
        accumulate(g, g->v + f * g->v_gap + t0 * g->x.c, g->w + f * g->w_gap + t0 * g->dy.c,
                   min(g->block, g->tiles - t0), g->sum + f * g->sum_gap, b > 0);
    }
}

static void finish_job(void *ctx, size_t o, int worker)
{
    const wgrad *g = ctx;
    float *tap[9];
    (void)worker;
    for (int i = 0; i < 9; i++)
        tap[i] = g->dweight + (o * 9 + (size_t)i) * g->x.c;
    g->kern->wino_dweight(g->sum + o * g->x.c, g->sum_gap, g->x.c, tap);
}

void nn_wino_wgrad(const nn_conv *c, const float *x, const float *dy, float *dweight,
                   nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch), team = (size_t)nn_par_threads();
    const float *zeros = zero_pixel(c, scratch);
    size_t cin = (size_t)c->cin, cout = (size_t)c->cout;
    wgrad g = { .kern = nn_kern_now, .dweight = dweight,
                .x = plane_of(x, c->h, c->w, c->cin, c->oh, c->ow, -c->pad, zeros),
                .dy = plane_of(dy, c->oh, c->ow, c->cout, c->oh, c->ow, 0, zeros) };

    g.tiles = tiles_of(&g.x, c->n);
    g.block = cin + cout > WIDE_CHANNELS ? 2 * GRAD_TILES : GRAD_TILES;
    g.blocks = parts(g.tiles, g.block);
    g.sum_gap = cin * cout;
    g.sum_size = PLACES * g.sum_gap;
    g.chunks = min(min(g.blocks, CHUNKS), max(PARTIAL / g.sum_size, 1));
    g.sum = NN_NEW(scratch, float, g.chunks * g.sum_size);
    if (g.chunks > 1) {
        g.v_gap = g.block * cin + SKEW;
        g.w_gap = g.block * cout + SKEW;
        g.room_size = PLACES * (g.v_gap + g.w_gap);
        g.v = NN_NEW(scratch, float, g.room_size * team);
        nn_par_run(g.chunks, chunk_job, &g);
        nn_fold_float(g.sum, g.chunks, g.sum_size);
    } else {
        g.v_gap = g.tiles * cin + SKEW;
        g.w_gap = g.tiles * cout + SKEW;
        g.v = NN_NEW(scratch, float, PLACES * g.v_gap);
        g.w = NN_NEW(scratch, float, PLACES * g.w_gap);
        nn_par_run(g.blocks, transform_job, &g);
        nn_par_run(PLACES, place_job, &g);
    }
    nn_par_run(cout, finish_job, &g);
    nn_arena_rewind(scratch, mark);
}
