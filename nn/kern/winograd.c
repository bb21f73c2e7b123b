/* Convolution by Winograd's F(4x4, 3x3): the image is cut into tiles of 4 x 4 outputs; a
 * tile's 6 x 6 inputs, the weights and the outputs are transformed (wino.h), and between
 * the transforms stand 36 products of matrices, one per place in a tile:
 *
 *   forward   M_f (tiles, cout)  = V_f (tiles, cin) U_f (cin, cout)
 *   dgrad     the same with dy, and weights turned round with cin and cout exchanged
 *   wgrad     D_f (cout, cin)    = W_f' (cout, tiles) V_f (tiles, cin)
 *
 * 36 products of 1 instead of 16 of 9: a quarter of the multiplications.
 *
 * The pieces of work are strips: rows of tiles of one image.  A strip is transformed down
 * its columns row by row of pixels, which is how they lie in memory and where padding is
 * put in, and then along its rows, tile by tile.  A job takes a block of strips from pixels
 * to pixels, so that its V and M stay in the cache.  Where the channels are so many that U
 * would have to come past again and again, all strips are transformed first, then each
 * place is multiplied, then all strips are transformed back.
 *
 * Part of the result's format: forward and dgrad sum over all channels in one accumulator,
 * in order.  wgrad sums the tiles of a block in one accumulator, adds blocks in order
 * within a chunk and folds the chunks in a binary tree; strips, blocks and chunks follow
 * from the shape alone. */
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
    LEAST_TILES = 24,       /* of a block: fewer do not pay for a pass over U, and more */
    MOST_TILES = 64,        /* than this would not gain from it */
    WIDE_STRIP = 16,        /* most tiles of a strip: 64 columns of pixels; format */
    ROUND_USE = 4,          /* U is this much larger than a block's V and M: rounds */
    ROUND = 5 << 20,        /* floats of V and M of a round: 20 of the 32 MiB of L3 */
    CHANNELS = 64,          /* of weights transformed at a time: 147 KiB a panel */
    GRAD_TILES = 32,        /* most tiles of a block of wgrad, twice that where channels */
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

/* ---- strips ------------------------------------------------------------------------ */

/* The tiles over the pixels of a result (oh, ow), image by image and row by row.  A row of
 * tiles is one strip, or several of `wide` tiles if it is long (the last may be shorter). */
typedef struct grid {
    size_t down, across, pieces, wide, strips;
} grid;

static grid grid_of(int n, int oh, int ow)
{
    grid g = { .down = parts((size_t)oh, OUT), .across = parts((size_t)ow, OUT) };
    g.wide = parts(g.across, parts(g.across, WIDE_STRIP));
    g.pieces = parts(g.across, g.wide);
    g.strips = (size_t)n * g.down * g.pieces;
    return g;
}

/* number of the first tile of strip s; also for s = g->strips */
static size_t tile_of(const grid *g, size_t s)
{
    return s / g->pieces * g->across + s % g->pieces * g->wide;
}

/* A plane of images under a grid: tile (a, b) of an image looks at `size` rows from
 * 4 a + from on, and as many columns from 4 b + from on. */
typedef struct plane {
    const float *src;                   /* (n, h, w, c) */
    size_t h, w, c, size;
    ptrdiff_t from;
    const float *zeros;                 /* a row of them: pixels outside */
} plane;

static size_t strip_step(const grid *g, const plane *p)
{
    return (g->wide * OUT + IN - OUT) * p->c + SKEW;
}

/* Transforms strips s0 .. s1 into places `gap` apart; `room` holds 6 rows of a strip. */
static void transform(const nn_kern *kern, const grid *g, const plane *p, size_t s0,
                      size_t s1, float *room, float *v, size_t gap)
{
    const size_t step = strip_step(g, p), c = p->c;

    for (size_t s = s0; s < s1; s++) {
        size_t tiles = tile_of(g, s + 1) - tile_of(g, s), of_row = s / g->pieces;
        size_t wide = tiles * OUT + p->size - OUT;
        ptrdiff_t y0 = (ptrdiff_t)(of_row % g->down * OUT) + p->from;
        ptrdiff_t x0 = (ptrdiff_t)(s % g->pieces * g->wide * OUT) + p->from;
        ptrdiff_t last = x0 + (ptrdiff_t)wide, w = (ptrdiff_t)p->w;
        size_t left = x0 < 0 ? min((size_t)-x0, wide) : 0;
        size_t right = last > w ? min((size_t)(last - w), wide - left) : 0;
        size_t some = wide - left - right;
        const float *image = p->src + of_row / g->down * p->h * p->w * c, *row[IN];

        for (size_t i = 0; i < p->size; i++) {
            ptrdiff_t y = y0 + (ptrdiff_t)i;
            int inside = some > 0 && y >= 0 && y < (ptrdiff_t)p->h;
            row[i] = inside ? image + ((size_t)(y * w + x0) + left) * c : p->zeros;
        }
        for (size_t i = 0; i < IN; i++) {
            memset(room + i * step, 0, left * c * sizeof *room);
            memset(room + i * step + (left + some) * c, 0, right * c * sizeof *room);
        }
        if (p->size == IN)
            kern->wino_data_down(row, some * c, OUT * p->w * c, room + left * c, step);
        else
            kern->wino_grad_down(row, some * c, OUT * p->w * c, room + left * c, step);
        for (size_t i = 0; i < IN; i++)
            if (p->size == IN)
                kern->wino_data_along(room + i * step, tiles, c, v + IN * i * gap, gap);
            else
                kern->wino_grad_along(room + i * step, tiles, c, v + IN * i * gap, gap);
        v += tiles * c;
    }
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
    grid grid;
    plane from;
    float *out;                         /* (n, h, w, c) */
    size_t h, w, c;
    const float *panel, *bias;
    size_t panel_gap, block;            /* strips of a job */
    int add;
    size_t first, end;                  /* strips of a round */
    float *v, *m;                       /* V and M of a round */
    float *room;                        /* per worker: rows of a strip; else V and M, too */
    size_t v_gap, m_gap, room_size;
} pass;

/* M_f = V_f U_f over `count` tiles. */
static void multiply(const pass *p, const float *v, const float *panel, size_t count,
                     float *m)
{
    size_t mr = (size_t)p->kern->mr, nr = (size_t)p->kern->nr, cin = p->from.c, cout = p->c;
    const float *row[NN_TILE_ROWS];
    nn_tile t = { .ldc = cout };

    for (size_t j = 0; j < cout; j += nr) {     /* a panel of U stays in the cache */
        t.cols = (int)min(nr, cout - j);
        for (size_t i = 0; i < count; i += mr) {
            t.rows = (int)min(mr, count - i);
            for (size_t r = 0; r < (size_t)t.rows; r++)
                row[r] = v + (i + r) * cin;
            t.c = m + i * cout + j;
            p->kern->tile_rows(1, cin, 0, row, panel + j * cin, &t);
        }
    }
}

static void sum(const pass *p, size_t s0, size_t s1, const float *m)
{
    const grid *g = &p->grid;
    nn_wino_strip to = { .row = p->w * p->c, .add = p->add };

    for (size_t s = s0; s < s1; s++) {
        size_t of_row = s / g->pieces, y = of_row % g->down * OUT;
        size_t x = s % g->pieces * g->wide * OUT;
        to.high = min(OUT, p->h - y);
        to.wide = min(g->wide * OUT, p->w - x);
        to.y = p->out + ((of_row / g->down * p->h + y) * p->w + x) * p->c;
        p->kern->wino_sum(m, p->m_gap, p->c, p->bias, &to);
        m += (tile_of(g, s + 1) - tile_of(g, s)) * p->c;
    }
}

/* A block of strips from pixels to pixels. */
static void block_job(void *ctx, size_t job, int worker)
{
    const pass *p = ctx;
    size_t s0 = job * p->block, s1 = min(s0 + p->block, p->grid.strips);
    size_t count = tile_of(&p->grid, s1) - tile_of(&p->grid, s0);
    float *room = p->room + (size_t)worker * p->room_size;
    float *v = room + IN * strip_step(&p->grid, &p->from), *m = v + PLACES * p->v_gap;

    transform(p->kern, &p->grid, &p->from, s0, s1, room, v, p->v_gap);
    for (size_t f = 0; f < PLACES; f++)
        multiply(p, v + f * p->v_gap, p->panel + f * p->panel_gap, count,
                 m + f * p->m_gap);
    sum(p, s0, s1, m);
}

/* Strips of a block: as many tiles as the cache holds, but enough to be worth a pass over
 * U; full tiles of 6 rows if that can be had.  It follows from the shape alone. */
static size_t block_of(const grid *g, size_t cin, size_t cout)
{
    size_t fit = min(max(CACHE / (PLACES * (cin + cout)), LEAST_TILES), MOST_TILES);
    size_t most = max(fit / g->wide, 1), even = most;

    while (even > 1 && even * g->wide % 6 != 0)
        even--;
    return even * g->wide % 6 == 0 ? even : most;
}

/* The same in three loops over all strips of a round, for layers whose U is larger than
 * V and M: there it pays to read U once and to let V and M leave the cache. */
static void round_transform(void *ctx, size_t job, int worker)
{
    const pass *p = ctx;
    size_t s0 = p->first + job, t0 = tile_of(&p->grid, p->first);
    float *room = p->room + (size_t)worker * p->room_size;

    transform(p->kern, &p->grid, &p->from, s0, s0 + 1, room,
              p->v + (tile_of(&p->grid, s0) - t0) * p->from.c, p->v_gap);
}

static void round_multiply(void *ctx, size_t f, int worker)
{
    const pass *p = ctx;
    size_t t0 = tile_of(&p->grid, p->first), t1 = tile_of(&p->grid, p->end);
    (void)worker;
    multiply(p, p->v + f * p->v_gap, p->panel + f * p->panel_gap, t1 - t0,
             p->m + f * p->m_gap);
}

static void round_sum(void *ctx, size_t job, int worker)
{
    const pass *p = ctx;
    size_t s0 = p->first + job, t0 = tile_of(&p->grid, p->first);
    (void)worker;
    sum(p, s0, s0 + 1, p->m + (tile_of(&p->grid, s0) - t0) * p->c);
}

static void rounds(pass *p, size_t strips, nn_arena *scratch)
{
    p->v_gap = strips * p->grid.wide * p->from.c + SKEW;
    p->m_gap = strips * p->grid.wide * p->c + SKEW;
    p->v = NN_NEW(scratch, float, PLACES * p->v_gap);
    p->m = NN_NEW(scratch, float, PLACES * p->m_gap);
    p->room = NN_NEW(scratch, float, p->room_size * (size_t)nn_par_threads());
    for (p->first = 0; p->first < p->grid.strips; p->first = p->end) {
        p->end = min(p->first + strips, p->grid.strips);
        nn_par_run(p->end - p->first, round_transform, p);
        nn_par_run(PLACES, round_multiply, p);
        nn_par_run(p->end - p->first, round_sum, p);
    }
}

static void run(pass *p, nn_arena *scratch)
{
    size_t cin = p->from.c, cout = p->c, strips = p->grid.strips, wide = p->grid.wide;
    size_t both = wide * (cin + cout);          /* of a strip, per place: V and M */

    p->block = block_of(&p->grid, cin, cout);
    p->room_size = IN * strip_step(&p->grid, &p->from);
    if (cin * cout > ROUND_USE * p->block * both) {
        rounds(p, min(max(ROUND / (PLACES * both), 1), strips), scratch);
        return;
    }
    p->v_gap = p->block * wide * cin + SKEW;
    p->m_gap = p->block * wide * cout + SKEW;
    p->room_size += PLACES * (p->v_gap + p->m_gap);
    p->room = NN_NEW(scratch, float, p->room_size * (size_t)nn_par_threads());
    nn_par_run(parts(strips, p->block), block_job, p);
}

static plane plane_of(const float *src, int h, int w, int c, size_t size, int from,
                      const float *zeros)
{
    return (plane){ .src = src, .h = (size_t)h, .w = (size_t)w, .c = (size_t)c,
                    .size = size, .from = from, .zeros = zeros };
}

static const float *zero_row(const nn_conv *c, const grid *g, nn_arena *scratch)
{
    size_t wide = g->wide * OUT + IN - OUT;
    return NN_NEW0(scratch, float, wide * max((size_t)c->cin, (size_t)c->cout));
}

void nn_wino_forward(const nn_conv *c, const float *x, const float *weight,
                     const float *bias, float *y, nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch);
    grid g = grid_of(c->n, c->oh, c->ow);
    pass p = { .kern = nn_kern_now, .grid = g, .out = y, .h = (size_t)c->oh,
               .w = (size_t)c->ow, .c = (size_t)c->cout, .bias = bias,
               .from = plane_of(x, c->h, c->w, c->cin, IN, -c->pad,
                                zero_row(c, &g, scratch)) };

    p.panel = transformed(c, weight, 0, &p.panel_gap, scratch);
    run(&p, scratch);
    nn_arena_rewind(scratch, mark);
}

void nn_wino_dgrad(const nn_conv *c, const float *dy, const float *weight, float *dx,
                   int add, nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch);
    grid g = grid_of(c->n, c->h, c->w);
    pass p = { .kern = nn_kern_now, .grid = g, .out = dx, .h = (size_t)c->h,
               .w = (size_t)c->w, .c = (size_t)c->cin, .add = add,
               .from = plane_of(dy, c->oh, c->ow, c->cout, IN, c->pad - 2,
                                zero_row(c, &g, scratch)) };

    p.panel = transformed(c, weight, 1, &p.panel_gap, scratch);
    run(&p, scratch);
    nn_arena_rewind(scratch, mark);
}

/* ---- weight gradient --------------------------------------------------------------- */

typedef struct wgrad {
    const nn_kern *kern;
    grid grid;
    plane x, dy;
    float *dweight;
    size_t block, blocks, chunks;       /* strips of a block */
    float *v, *w;                       /* transforms of all tiles, if there is one chunk */
    float *room;                        /* per worker: rows of a strip; else V and W, too */
    size_t v_gap, w_gap, rows, room_size;
    float *sum;                         /* (chunks, places, cout, cin) */
    size_t sum_gap, sum_size;
} wgrad;

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

/* V and W of block b; returns its number of tiles. */
static size_t transform_both(const wgrad *g, size_t b, float *room, float *v, float *w)
{
    size_t s0 = b * g->block, s1 = min(s0 + g->block, g->grid.strips);
    transform(g->kern, &g->grid, &g->x, s0, s1, room, v, g->v_gap);
    transform(g->kern, &g->grid, &g->dy, s0, s1, room, w, g->w_gap);
    return tile_of(&g->grid, s1) - tile_of(&g->grid, s0);
}

/* A chunk: its blocks one after the other, each from pixels to sums. */
static void chunk_job(void *ctx, size_t chunk, int worker)
{
    const wgrad *g = ctx;
    float *room = g->room + (size_t)worker * g->room_size;
    float *v = room + g->rows, *w = v + PLACES * g->v_gap;
    size_t from = chunk * g->blocks / g->chunks, to = (chunk + 1) * g->blocks / g->chunks;

    for (size_t b = from; b < to; b++) {
        size_t count = transform_both(g, b, room, v, w);
        for (size_t f = 0; f < PLACES; f++)
            accumulate(g, v + f * g->v_gap, w + f * g->w_gap, count,
                       g->sum + chunk * g->sum_size + f * g->sum_gap, b > from);
    }
}

/* One chunk that is too large for a worker's cache: transforms of all tiles first ... */
static void transform_job(void *ctx, size_t b, int worker)
{
    const wgrad *g = ctx;
    size_t t0 = tile_of(&g->grid, b * g->block);
    transform_both(g, b, g->room + (size_t)worker * g->room_size, g->v + t0 * g->x.c,
                   g->w + t0 * g->dy.c);
}

/* ... then the products, one place a job. */
static void place_job(void *ctx, size_t f, int worker)
{
    const wgrad *g = ctx;
    (void)worker;
    for (size_t b = 0; b < g->blocks; b++) {
        size_t t0 = tile_of(&g->grid, b * g->block);
        size_t t1 = tile_of(&g->grid, min((b + 1) * g->block, g->grid.strips));
        accumulate(g, g->v + f * g->v_gap + t0 * g->x.c, g->w + f * g->w_gap + t0 * g->dy.c,
                   t1 - t0, g->sum + f * g->sum_gap, b > 0);
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
    size_t cin = (size_t)c->cin, cout = (size_t)c->cout;
    wgrad g = { .kern = nn_kern_now, .grid = grid_of(c->n, c->oh, c->ow),
                .dweight = dweight };
    const float *zeros = zero_row(c, &g.grid, scratch);

    g.x = plane_of(x, c->h, c->w, c->cin, IN, -c->pad, zeros);
    g.dy = plane_of(dy, c->oh, c->ow, c->cout, OUT, 0, zeros);
    g.block = max((cin + cout > WIDE_CHANNELS ? 2 * GRAD_TILES : GRAD_TILES) / g.grid.wide,
                  1);
    g.blocks = parts(g.grid.strips, g.block);
    g.sum_gap = cin * cout;
    g.sum_size = PLACES * g.sum_gap;
    g.chunks = min(min(g.blocks, CHUNKS), max(PARTIAL / g.sum_size, 1));
    g.sum = NN_NEW(scratch, float, g.chunks * g.sum_size);
    g.rows = IN * max(strip_step(&g.grid, &g.x), strip_step(&g.grid, &g.dy));
    if (g.chunks > 1) {
        g.v_gap = g.block * g.grid.wide * cin + SKEW;
        g.w_gap = g.block * g.grid.wide * cout + SKEW;
        g.room_size = g.rows + PLACES * (g.v_gap + g.w_gap);
        g.room = NN_NEW(scratch, float, g.room_size * team);
        nn_par_run(g.chunks, chunk_job, &g);
        nn_fold_float(g.sum, g.chunks, g.sum_size);
    } else {
        size_t tiles = tile_of(&g.grid, g.grid.strips);
        g.v_gap = tiles * cin + SKEW;
        g.w_gap = tiles * cout + SKEW;
        g.v = NN_NEW(scratch, float, PLACES * g.v_gap);
        g.w = NN_NEW(scratch, float, PLACES * g.w_gap);
        g.room_size = g.rows;
        g.room = NN_NEW(scratch, float, g.room_size * team);
        nn_par_run(g.blocks, transform_job, &g);
        nn_par_run(PLACES, place_job, &g);
    }
    nn_par_run(cout, finish_job, &g);
    nn_arena_rewind(scratch, mark);
}
