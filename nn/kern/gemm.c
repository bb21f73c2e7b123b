/* C = A B in tiles.
 *
 * One side is shared: packed into panels once, by the whole team, in order of k.  Of the
 * other side each job packs only what it is about to use, NN_TERMS terms at a time, into
 * memory of its own that stays in the second-level cache.  The shared side is the one
 * with fewer rows (of A) or columns (of B); if all its terms are too many, they go
 * slab by slab.
 *
 *   job (own, shared):  for each block of k, in order:
 *                           pack its own side
 *                           for each chunk of A, for each panel of B in it: its tiles
 *                       bias and activation, while the block of C is at hand
 *
 * Packing costs more than it saves when a panel is used but a few times; then tiles read
 * the matrix where it lies.  Small and thin products go a way of their own (thin.c).
 * Every element of C is summed by one job at a time, k in order, so neither the cutting
 * nor the packing can be seen in the result.
 *
 * A product with its own transpose is the same with half the tiles: a job leaves out what
 * lies above the diagonal and copies what lies below to the other side, a panel at a
 * time: tiles are turned while they are in the L1, and leave in whole lines that have
 * been called for meanwhile. */
#include "nn/kern/gemm.h"

#include <string.h>

#include "nn/kern/kern.h"
#include "nn/kern/pack.h"
#include "nn/kern/thin.h"
#include "nn/par.h"

enum {
    SLAB = 1 << 22,         /* floats of the shared side held packed at a time: 16 MiB */
    OWN_ROWS = 96,          /* rows of A in a job: with NN_TERMS terms 192 KiB */
    OWN_COLS = 192,         /* columns of B in a job: 384 KiB at most */
    SHARED = 1024,          /* shared rows or columns in a job */
    CHUNK = 96,             /* rows of A that stay in the L2 while B's panels pass */
    GROUP = 64,             /* rows packed by one job: a few lines of each term at once */
    FEW = 4,                /* uses of a panel below which it is not packed */
    JOBS = 8,               /* a multiple of this many jobs: even for teams up to it */
    ALONE = 1 << 19,        /* products below which a team is not worth waking: ~10 us */
    SQUARE = 48,            /* a symmetric job has a multiple: whole tiles of 6 x 16 */
    ITEMS = 4,              /* products of a batch, at least, that go one to a thread */
    ITEM = 1 << 22          /* and multiplications in one, at most: it fits the L2 */
};

typedef struct product {
    const nn_kern *kern;
    size_t m, n, k;                     /* k: of this slab */
    nn_mat a, b;
    float *c;
    size_t ldc;
    nn_epilogue e;
    int share_a;                        /* else B is shared */
    int lower;                          /* B is A turned: only what is not above i = j */
    int last;                           /* no terms come after this slab's */
    size_t own_jobs, share_jobs;        /* how often each side is cut */
    size_t groups;                      /* jobs that pack one block of k */
    size_t square;                      /* rows of a job when `lower`, else 0 */
    float *shared, *own;                /* shared: block of k, panel, k, row */
    size_t padded;                      /* rows of a block of `shared` */
    size_t own_size;                    /* floats per worker */
} product;

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t parts(size_t n, size_t by)
{
    return (n + by - 1) / by;
}

/* Piece `i` of `n` rows cut into `jobs` of as many whole units as can be even. */
typedef struct span { size_t at, size; } span;

static span piece(size_t n, size_t unit, size_t jobs, size_t i)
{
    const size_t units = parts(n, unit);
    const size_t from = min(n, units * i / jobs * unit);
    return (span){ from, min(n, units * (i + 1) / jobs * unit) - from };
}

static nn_mat flip(nn_mat x)
{
    return (nn_mat){ x.p, x.cs, x.rs };
}

static nn_mat from(nn_mat x, size_t i, size_t j)
{
    return (nn_mat){ x.p + i * x.rs + j * x.cs, x.rs, x.cs };
}

/* Packs a group of panels of the shared side, for one block of k. */
static void pack_job(void *ctx, size_t job, int worker)
{
    product *p = ctx;
    const size_t width = (size_t)(p->share_a ? p->kern->mr : p->kern->nr);
    const size_t rows = p->share_a ? p->m : p->n;
    const size_t k0 = job / p->groups * NN_TERMS, kc = min(NN_TERMS, p->k - k0);
    const span s = piece(rows, width, p->groups, job % p->groups);
    (void)worker;
    nn_mat x = p->share_a ? from(p->a, s.at, k0) : flip(from(p->b, k0, s.at));
    nn_pack_panels(s.size, width, kc, x, p->shared + p->padded * k0 + s.at * kc);
}

void nn_finish(const nn_epilogue *e, size_t j, size_t m, size_t n, float *c, size_t ldc)
{
    if (!e->bias && !e->relu)
        return;
    for (size_t i = 0; i < m; i++, c += ldc) {
        if (e->bias)
            for (size_t q = 0; q < n; q++)
                c[q] += e->bias[j + q];
        if (e->relu)
            for (size_t q = 0; q < n; q++)
                c[q] = 0 > c[q] ? 0 : c[q];             /* keeps a NaN */
    }
}

/* One operand of a block: packed panels, or the matrix itself. */
typedef struct side {
    const float *panel;                 /* NULL: read `mat` in place */
    nn_mat mat;                         /* first element of the block */
} side;

/* Where a chunk of a panel goes on the other side of the diagonal: `room`, in which its
 * tiles are turned, then `cols` rows of C from c on. */
typedef struct other {
    float *room, *c;
    size_t ldc, rows, cols;             /* of the chunk as summed; or cols = 0 */
} other;

/* Calls for the lines of one row of C. */
static void call(const other *o, size_t row)
{
    enum { LINE = 16 };                 /* floats */
    if (row < o->cols)
        for (size_t i = 0; i < o->rows; i += LINE)
            __builtin_prefetch(o->c + row * o->ldc + i, 1);
}

static void put_other(const other *o)
{
    for (size_t j = 0; j < o->cols; j++)
        memcpy(o->c + j * o->ldc, o->room + j * CHUNK, o->rows * sizeof *o->c);
}

/* The tiles of a block of C, for one block of k.  If `room` is not NULL, the first `left`
 * columns of the block, whole panels of sums that are complete, go to the other side of
 * the diagonal as well. */
static void block(const product *p, const side *a, const side *b, span rows, span cols,
                  size_t kc, int add, float *room, size_t left)
{
    const nn_kern *kern = p->kern;
    const size_t mr = (size_t)kern->mr, nr = (size_t)kern->nr, m = rows.size;
    const size_t chunk = CHUNK / mr * mr;
    float *c = p->c + rows.at * p->ldc + cols.at;
    const float *row[NN_TILE_ROWS];
    nn_tile t = { .ldc = p->ldc, .add = add };

    for (size_t i0 = 0; i0 < m; i0 += chunk)
        for (size_t j = 0; j < cols.size; j += nr) {
            const float *bp = b->panel ? b->panel + j * kc : b->mat.p + j;
            size_t ldb = b->panel ? nr : b->mat.rs;
            const other o = { room, p->c + (cols.at + j) * p->ldc + rows.at + i0, p->ldc,
                              min(chunk, m - i0), room && j < left ? nr : 0 };
            t.cols = (int)min(nr, cols.size - j);
            for (size_t i = i0; i < min(m, i0 + chunk); i += mr) {
                t.rows = (int)min(mr, m - i);
                t.c = c + i * t.ldc + j;
                if (p->lower && cols.at + j >= rows.at + i + (size_t)t.rows)
                    continue;
                call(&o, (i - i0) / mr);
                if (a->panel) {
                    kern->tile_panel(kc, a->panel + i * kc, mr, bp, ldb, &t);
                } else if (a->mat.rs == 1) {
                    kern->tile_panel(kc, a->mat.p + i, a->mat.cs, bp, ldb, &t);
                } else {
                    for (int r = 0; r < t.rows; r++)
                        row[r] = a->mat.p + (i + (size_t)r) * a->mat.rs;
                    kern->tile_rows(1, kc, 0, row, bp, &t);
                }
                if (o.cols)
                    nn_turn((size_t)t.rows, nr, t.c, t.ldc, room + (i - i0), CHUNK);
            }
            put_other(&o);
        }
}

/* Columns of a block that lie left of its rows' square, in whole panels. */
static size_t left_of(const product *p, span rows, span cols)
{
    const size_t nr = (size_t)p->kern->nr;
    return min(cols.size, rows.at > cols.at ? rows.at - cols.at : 0) / nr * nr;
}

/* Copies the block's other elements below the diagonal to the other side. */
static void mirror(const product *p, span rows, span cols, size_t left)
{
    for (size_t i = rows.at; i < rows.at + rows.size; i++)
        for (size_t j = cols.at + left; j < min(i, cols.at + cols.size); j++)
            p->c[j * p->ldc + i] = p->c[i * p->ldc + j];
}

/* Which rows and columns of C a job owns; none if it lies above the diagonal. */
static void place(const product *p, size_t job, span *rows, span *cols)
{
    const size_t mr = (size_t)p->kern->mr, nr = (size_t)p->kern->nr;
    const size_t own = job % p->own_jobs, share = job / p->own_jobs;
    if (p->lower) {
        /* the longest rows first; the columns end where the rows do, so that a job
         * writes above the diagonal only in a square that no other job writes */
        const size_t at = (p->own_jobs - 1 - own) * p->square;
        const size_t wide = SHARED / p->square * p->square;
        const size_t end = min(p->m, at + p->square);
        *rows = (span){ at, end - at };
        cols->at = share * wide;
        cols->size = end > cols->at ? min(wide, min(end, p->n) - cols->at) : 0;
    } else if (p->share_a) {
        *rows = piece(p->m, mr, p->share_jobs, share);
        *cols = piece(p->n, nr, p->own_jobs, own);
    } else {
        *rows = piece(p->m, mr, p->own_jobs, own);
        *cols = piece(p->n, nr, p->share_jobs, share);
    }
}

/* floats: room for a chunk of a panel, turned */
static size_t room_size(const product *p)
{
    return p->lower ? (size_t)p->kern->nr * CHUNK : 0;
}

static void block_job(void *ctx, size_t job, int worker)
{
    const product *p = ctx;
    const size_t mr = (size_t)p->kern->mr, nr = (size_t)p->kern->nr;
    float *own = p->own + (size_t)worker * p->own_size;
    span rows, cols;
    place(p, job, &rows, &cols);
    if (rows.size == 0 || cols.size == 0)
        return;
    /* rows of A can be walked in place only with B packed */
    const int direct_a = !p->share_a && cols.size <= (p->a.cs == 1 ? FEW * nr : nr);
    const int direct_b = p->share_a && p->b.cs == 1 && rows.size <= FEW * mr;

    const size_t left = p->lower ? left_of(p, rows, cols) : 0;

    for (size_t k0 = 0; k0 < p->k; k0 += NN_TERMS) {
        size_t kc = min(NN_TERMS, p->k - k0);
        const int complete = p->last && k0 + kc == p->k;
        float *room = p->lower && complete ? own + p->own_size - room_size(p) : NULL;
        side a = { NULL, from(p->a, rows.at, k0) };
        side b = { NULL, from(p->b, k0, cols.at) };
        if (p->share_a) {
            a.panel = p->shared + p->padded * k0 + rows.at * kc;
            if (!direct_b) {
                nn_pack_panels(cols.size, nr, kc, flip(b.mat), own);
                b.panel = own;
            }
        } else {
            b.panel = p->shared + p->padded * k0 + cols.at * kc;
            if (!direct_a) {
                nn_pack_panels(rows.size, mr, kc, a.mat, own);
                a.panel = own;
            }
        }
        block(p, &a, &b, rows, cols, kc, p->e.add || k0 > 0, room, left);
    }
    if (p->last && p->lower)
        mirror(p, rows, cols, left);
    else if (p->last)
        nn_finish(&p->e, cols.at, rows.size, cols.size,
                  p->c + rows.at * p->ldc + cols.at, p->ldc);
}

static void run(size_t jobs, nn_job *job, product *p, int team)
{
    if (team)
        nn_par_run(jobs, job, p);
    else
        for (size_t j = 0; j < jobs; j++)
            job(p, j, 0);
}

static void slab(product *p, int team)
{
    const size_t mr = (size_t)p->kern->mr, nr = (size_t)p->kern->nr;
    const size_t own_unit = p->share_a ? nr : mr, share_unit = p->share_a ? mr : nr;
    const size_t own = p->share_a ? p->n : p->m, share = p->share_a ? p->m : p->n;

    p->own_jobs = JOBS * parts(own, JOBS * (p->share_a ? OWN_COLS : OWN_ROWS));
    p->own_jobs = min(p->own_jobs, parts(own, own_unit));
    p->share_jobs = parts(share, SHARED);
    if (p->lower) {
        p->square = SQUARE * min(OWN_ROWS / SQUARE, parts(own, 2 * JOBS * SQUARE));
        p->own_jobs = parts(own, p->square);
        p->share_jobs = parts(share, SHARED / p->square * p->square);
    }
    p->padded = parts(share, share_unit) * share_unit;
    p->groups = min(parts(share, share_unit), parts(share, GROUP));
    run(p->groups * parts(p->k, NN_TERMS), pack_job, p, team);
    run(p->own_jobs * p->share_jobs, block_job, p, team);
}

static void no_terms(const product *p)
{
    if (!p->e.add)
        for (size_t i = 0; i < p->m; i++)
            memset(p->c + i * p->ldc, 0, p->n * sizeof *p->c);
    nn_finish(&p->e, 0, p->m, p->n, p->c, p->ldc);
}

/* Terms in a slab: whole blocks, as many as SLAB allows, and one at least. */
static size_t slab_terms(const product *p)
{
    const size_t rows = p->share_a ? p->m : p->n;
    const size_t most = SLAB / rows / NN_TERMS * NN_TERMS;
    return min(p->k, most ? most : NN_TERMS);
}

/* floats: the shared side of a slab, and what one worker packs */
static size_t shared_size(const product *p)
{
    const size_t unit = (size_t)(p->share_a ? p->kern->mr : p->kern->nr);
    return parts(p->share_a ? p->m : p->n, unit) * unit * slab_terms(p);
}

static size_t own_size(const product *p)
{
    const size_t unit = (size_t)(p->share_a ? p->kern->nr : p->kern->mr);
    return ((p->share_a ? OWN_COLS : OWN_ROWS) + 2 * unit) * NN_TERMS + room_size(p);
}

static void solve(const product *whole, int team)
{
    const size_t terms = slab_terms(whole);
    for (size_t k0 = 0; k0 < whole->k; k0 += terms) {
        product p = *whole;
        p.a = from(whole->a, 0, k0);
        p.b = from(whole->b, k0, 0);
        p.k = min(terms, whole->k - k0);
        p.e.add = whole->e.add || k0 > 0;
        p.last = k0 + p.k == whole->k;
        slab(&p, team);
    }
}

static product product_of(size_t m, size_t n, size_t k, nn_mat a, nn_mat b, float *c,
                          size_t ldc, const nn_epilogue *e)
{
    product p = { .kern = nn_kern_now, .m = m, .n = n, .k = k, .a = a, .b = b,
                  .c = c, .ldc = ldc, .share_a = m < n };
    if (e)
        p.e = *e;
    return p;
}

/* with a team and scratch space for it */
static void solve_together(product *p, nn_arena *scratch)
{
    const size_t mark = nn_arena_mark(scratch);
    p->own_size = own_size(p);
    p->own = NN_NEW(scratch, float, p->own_size * (size_t)nn_par_threads());
    p->shared = NN_NEW(scratch, float, shared_size(p));
    solve(p, p->m * p->n >= ALONE / min(p->k, ALONE));
    nn_arena_rewind(scratch, mark);
}

void nn_gemm(size_t m, size_t n, size_t k, nn_mat a, nn_mat b, float *c, size_t ldc,
             const nn_epilogue *e, nn_arena *scratch)
{
    product p = product_of(m, n, k, a, b, c, ldc, e);
    if (m == 0 || n == 0)
        return;
    if (k == 0)
        no_terms(&p);
    else if (!nn_thin(m, n, k, a, b, c, ldc, &p.e, scratch))
        solve_together(&p, scratch);
}

void nn_syrk(size_t n, size_t k, nn_mat a, float *c, size_t ldc, int add,
             nn_arena *scratch)
{
    product p = product_of(n, n, k, a, flip(a), c, ldc, &(nn_epilogue){ .add = add });
    if (n == 0)
        return;
    if (k == 0) {
        no_terms(&p);
        for (size_t i = 0; add && i < n; i++)   /* what is below counts */
            for (size_t j = 0; j < i; j++)
                c[j * ldc + i] = c[i * ldc + j];
        return;
    }
    p.lower = 1;
    solve_together(&p, scratch);
}

/* A batch of small products: one thread does one item, in scratch space of its own. */
typedef struct batch {
    product first;
    size_t a_step, b_step, c_step, shared_size;
} batch;

static void batch_job(void *ctx, size_t item, int worker)
{
    const batch *all = ctx;
    product p = all->first;
    p.a.p += item * all->a_step;
    p.b.p += item * all->b_step;
    p.c += item * all->c_step;
    p.own += (size_t)worker * p.own_size;
    p.shared += (size_t)worker * all->shared_size;
    solve(&p, 0);
}

void nn_gemm_batch(size_t count, size_t m, size_t n, size_t k, nn_mat a, size_t a_step,
                   nn_mat b, size_t b_step, float *c, size_t ldc, size_t c_step,
                   const nn_epilogue *e, nn_arena *scratch)
{
    const int small = m * n <= ITEM / (k ? min(k, ITEM) : 1);
    if (m == 0 || n == 0)
        return;
    if (k == 0 || count < ITEMS || !small) {
        for (size_t i = 0; i < count; i++) {
            nn_mat ai = { a.p + i * a_step, a.rs, a.cs };
            nn_mat bi = { b.p + i * b_step, b.rs, b.cs };
            nn_gemm(m, n, k, ai, bi, c + i * c_step, ldc, e, scratch);
        }
        return;
    }
    const size_t mark = nn_arena_mark(scratch), team = (size_t)nn_par_threads();
    batch all = { product_of(m, n, k, a, b, c, ldc, e), a_step, b_step, c_step, 0 };
    all.first.own_size = own_size(&all.first);
    all.shared_size = shared_size(&all.first);
    all.first.own = NN_NEW(scratch, float, all.first.own_size * team);
    all.first.shared = NN_NEW(scratch, float, all.shared_size * team);
    nn_par_run(count, batch_job, &all);
    nn_arena_rewind(scratch, mark);
}
