/* C = A B in tiles.
 *
 * One side is shared: packed into panels once, by the whole team, in order of k.  Of the
 * other side each job packs only what it is about to use, NN_KC terms at a time, into
 * memory of its own that stays in the second-level cache.  The shared side is the one
 * with fewer rows (of A) or columns (of B); if even that is large it goes slab by slab.
 *
 *   job (bi, bj):   for each block of k, in order:
 *                       pack its own side
 *                       for each panel of B, for each panel of A: one tile
 *                   bias and activation, while the block of C is at hand
 *
 * Packing costs more than it saves when a panel is used but a few times; then tiles read
 * the matrix where it lies.  Every element of C is summed by one job, k in order, so
 * neither the cutting nor the packing can be seen in the result. */
#include "nn/kern/gemm.h"

#include <string.h>

#include "nn/kern/kern.h"
#include "nn/kern/pack.h"
#include "nn/par.h"

enum {
    SLAB = 1 << 22,         /* floats of the shared side held packed at a time: 16 MiB */
    OWN_ROWS = 96,          /* rows of A in a job: with NN_KC terms 96 KiB of the L2 */
    OWN_COLS = 64,          /* columns of B in a job, beside up to SHARED rows of A */
    SHARED = 1024,          /* shared rows or columns in a job */
    FEW = 4,                /* uses of a panel below which it is not packed */
    JOBS = 8,               /* jobs wanted at least, for teams up to that size */
    ALONE = 1 << 19         /* products below which a team is not worth waking: ~10 us */
};

typedef struct product {
    const nn_kern *kern;
    size_t m, n, k;                     /* of this slab */
    nn_mat a, b;
    float *c;
    size_t ldc;
    nn_epilogue e;
    int share_a;                        /* else B is shared */
    size_t mb, nb, down;                /* block of a job; jobs from top to bottom */
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

/* about `whole / jobs`, a multiple of `unit`, at most `most` */
static size_t piece(size_t whole, size_t jobs, size_t unit, size_t most)
{
    size_t units = parts(parts(whole, jobs), unit), top = most / unit;
    return unit * (units < top ? units : top ? top : 1);
}

static nn_mat flip(nn_mat x)
{
    return (nn_mat){ x.p, x.cs, x.rs };
}

static nn_mat from(nn_mat x, size_t i, size_t j)
{
    return (nn_mat){ x.p + i * x.rs + j * x.cs, x.rs, x.cs };
}

/* Packs rows [at, at + rows) of x, `k` terms each, into panels of `width`. */
static void pack_side(nn_mat x, size_t at, size_t rows, size_t k, size_t width,
                      float *out)
{
    for (size_t i = 0; i < rows; i += width)
        nn_pack(min(width, rows - i), width, k, from(x, at + i, 0), out + i * k);
}

static void pack_job(void *ctx, size_t job, int worker)
{
    product *p = ctx;
    size_t width = (size_t)(p->share_a ? p->kern->mr : p->kern->nr);
    size_t rows = p->share_a ? p->m : p->n, at = job * width;
    (void)worker;
    nn_mat x = from(p->share_a ? p->a : flip(p->b), at, 0);
    for (size_t k0 = 0; k0 < p->k; k0 += NN_KC) {
        size_t kc = min(NN_KC, p->k - k0);
        nn_pack(min(width, rows - at), width, kc, from(x, 0, k0),
                p->shared + p->padded * k0 + at * kc);
    }
}

static void finish(const product *p, size_t i0, size_t j0, size_t m, size_t n)
{
    const float *bias = p->e.bias;
    if (!bias && !p->e.relu)
        return;
    for (size_t i = i0; i < i0 + m; i++) {
        float *c = p->c + i * p->ldc;
        if (bias)
            for (size_t j = j0; j < j0 + n; j++)
                c[j] += bias[j];
        if (p->e.relu)
            for (size_t j = j0; j < j0 + n; j++)
                c[j] = 0 > c[j] ? 0 : c[j];             /* keeps a NaN */
    }
}

/* One operand of a block: packed panels, or the matrix itself. */
typedef struct side {
    const float *panel;                 /* NULL: read `mat` in place */
    nn_mat mat;                         /* first element of the block */
} side;

static void block(const product *p, const side *a, const side *b, size_t m, size_t n,
                  size_t kc, nn_tile t)
{
    const nn_kern *kern = p->kern;
    const size_t mr = (size_t)kern->mr, nr = (size_t)kern->nr;
    float *c = t.c;
    const float *row[NN_TILE_ROWS];

    for (size_t j = 0; j < n; j += nr) {
        const float *bp = b->panel ? b->panel + j * kc : b->mat.p + j;
        size_t ldb = b->panel ? nr : b->mat.rs;
        t.cols = (int)min(nr, n - j);
        for (size_t i = 0; i < m; i += mr) {
            t.rows = (int)min(mr, m - i);
            t.c = c + i * t.ldc + j;
            if (a->panel) {
                kern->tile_panel(kc, a->panel + i * kc, mr, bp, ldb, &t);
            } else if (a->mat.rs == 1) {
                kern->tile_panel(kc, a->mat.p + i, a->mat.cs, bp, ldb, &t);
            } else {
                for (int r = 0; r < t.rows; r++)
                    row[r] = a->mat.p + (i + (size_t)r) * a->mat.rs;
                kern->tile_rows(1, kc, 0, row, bp, &t);
            }
        }
    }
}

static void block_job(void *ctx, size_t job, int worker)
{
    const product *p = ctx;
    const size_t mr = (size_t)p->kern->mr, nr = (size_t)p->kern->nr;
    const size_t i0 = job % p->down * p->mb, j0 = job / p->down * p->nb;
    const size_t m = min(p->mb, p->m - i0), n = min(p->nb, p->n - j0);
    float *own = p->own + (size_t)worker * p->own_size;
    /* rows of A can be walked in place only with B packed */
    const int direct_a = !p->share_a && n <= (p->a.cs == 1 ? FEW * nr : nr);
    const int direct_b = p->share_a && p->b.cs == 1 && m <= FEW * mr;

    for (size_t k0 = 0; k0 < p->k; k0 += NN_KC) {
        size_t kc = min(NN_KC, p->k - k0);
        side a = { NULL, from(p->a, i0, k0) };
        side b = { NULL, from(p->b, k0, j0) };
        if (p->share_a) {
            a.panel = p->shared + p->padded * k0 + i0 * kc;
            if (!direct_b) {
                pack_side(flip(b.mat), 0, n, kc, nr, own);
                b.panel = own;
            }
        } else {
            b.panel = p->shared + p->padded * k0 + j0 * kc;
            if (!direct_a) {
                pack_side(a.mat, 0, m, kc, mr, own);
                a.panel = own;
            }
        }
        nn_tile t = { p->c + i0 * p->ldc + j0, p->ldc, 0, 0, p->e.add || k0 > 0 };
        block(p, &a, &b, m, n, kc, t);
    }
    finish(p, i0, j0, m, n);
}

static void run(size_t jobs, nn_job *job, product *p, int team)
{
    if (team)
        nn_par_run(jobs, job, p);
    else
        for (size_t j = 0; j < jobs; j++)
            job(p, j, 0);
}

static void slab(product *p)
{
    const size_t mr = (size_t)p->kern->mr, nr = (size_t)p->kern->nr;
    const int team = p->m * p->n >= ALONE / (p->k < ALONE ? p->k : ALONE);

    if (p->share_a) {
        p->nb = piece(p->n, JOBS, nr, OWN_COLS);
        p->mb = piece(p->m, 1, mr, SHARED);
    } else {
        p->mb = piece(p->m, JOBS, mr, OWN_ROWS);
        p->nb = piece(p->n, 1, nr, SHARED);
    }
    p->down = parts(p->m, p->mb);
    p->padded = p->share_a ? parts(p->m, mr) * mr : parts(p->n, nr) * nr;
    run(p->share_a ? parts(p->m, mr) : parts(p->n, nr), pack_job, p, team);
    run(p->down * parts(p->n, p->nb), block_job, p, team);
}

static void no_terms(const product *p)
{
    if (!p->e.add)
        for (size_t i = 0; i < p->m; i++)
            memset(p->c + i * p->ldc, 0, p->n * sizeof *p->c);
    finish(p, 0, 0, p->m, p->n);
}

void nn_gemm(size_t m, size_t n, size_t k, nn_mat a, nn_mat b, float *c, size_t ldc,
             const nn_epilogue *e, nn_arena *scratch)
{
    product p = { .kern = nn_kern_now, .m = m, .n = n, .k = k, .a = a, .b = b,
                  .c = c, .ldc = ldc, .share_a = m < n };
    if (e)
        p.e = *e;
    if (m == 0 || n == 0)
        return;
    if (k == 0) {
        no_terms(&p);
        return;
    }

    const size_t mark = nn_arena_mark(scratch);
    const size_t mr = (size_t)p.kern->mr, nr = (size_t)p.kern->nr;
    const size_t width = p.share_a ? mr : nr, whole = p.share_a ? m : n;
    const size_t step = piece(whole, 1, width, SLAB / k);
    const size_t own_rows = p.share_a ? OWN_COLS + nr : OWN_ROWS + mr;

    p.own_size = own_rows * NN_KC;
    p.own = NN_NEW(scratch, float, p.own_size * (size_t)nn_par_threads());
    p.shared = NN_NEW(scratch, float, (min(step, whole) + width) * k);
    for (size_t at = 0; at < whole; at += step) {
        if (p.share_a) {
            p.a = from(a, at, 0);
            p.m = min(step, m - at);
            p.c = c + at * ldc;
        } else {
            p.b = from(b, 0, at);
            p.n = min(step, n - at);
            p.c = c + at;
            p.e.bias = e && e->bias ? e->bias + at : NULL;
        }
        slab(&p);
    }
    nn_arena_rewind(scratch, mark);
}
