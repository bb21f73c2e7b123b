/* Distances between rows, in tiles.
 *
 * X is packed twice, once the way a tile reads its rows and once the way it reads its
 * columns, in blocks of BLOCK rows.  A job is a pair of blocks (bi, bj) with bi <= bj; it
 * fills its part of the upper triangle and mirrors it.
 *
 *   select   the k smallest of n floats: the k-th smallest by bisection on the bits of a
 *            float, which are ordered like the numbers they stand for (none is negative);
 *            31 counts of the elements below a limit, each a sweep through the row */
#include "nn/kern/pairs.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "nn/base.h"
#include "nn/kern/kern.h"
#include "nn/kern/pack.h"
#include "nn/par.h"

enum {
    BLOCK = 96,             /* rows of a block: whole tiles of 6 and 16, 96 KiB a NN_KC */
    WHOLE = 4096,           /* rows up to which n x n floats are held: 64 MiB */
    SOME = 8,               /* rows in a job of the selection */
    FREE = -1               /* no row stands here yet */
};

/* The k smallest of one row, not yet in order. */
typedef struct found { int *from; float *dist2; } found;

typedef struct pairs {
    const nn_kern *kern;
    size_t n, d, blocks;
    const float *x;
    float *a, *b;                       /* packed: block, block of k, panel, k, row */
    size_t a_rows, b_rows;              /* rows of a block of each, with padding */
    float *c;
    size_t stride;
    size_t slab;                        /* block of rows that c begins with */
    size_t rows;                        /* rows of X in c that are asked for */
    size_t asked;                       /* blocks with such rows; distances have all */
    size_t k;                           /* of the selection */
    int *from;
    float *dist2;
    found found;                        /* k per worker */
} pairs;

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static size_t rows_of(const pairs *p, size_t block)
{
    return min(BLOCK, p->n - block * BLOCK);
}

/* Rows [at, at + rows) of X in panels of `width`, block of k after block of k. */
static void pack_rows(const pairs *p, size_t block, size_t width, size_t padded,
                      float *out)
{
    const size_t rows = rows_of(p, block);
    for (size_t k0 = 0; k0 < p->d; k0 += NN_KC) {
        size_t kc = min(NN_KC, p->d - k0);
        nn_mat x = { p->x + block * BLOCK * p->d + k0, p->d, 1 };
        nn_pack_panels(rows, width, kc, x, out + padded * k0);
    }
}

static void pack_job(void *ctx, size_t job, int worker)
{
    const pairs *p = ctx;
    (void)worker;
    pack_rows(p, job, (size_t)p->kern->mr, p->a_rows, p->a + job * p->a_rows * p->d);
    pack_rows(p, job, (size_t)p->kern->nr, p->b_rows, p->b + job * p->b_rows * p->d);
}

/* Distances of block bi to block bj into c.  With upper = 1, tiles that lie below the
 * diagonal of a block with itself are left out. */
static void block(const pairs *p, size_t bi, size_t bj, float *c, int upper)
{
    const size_t mr = (size_t)p->kern->mr, nr = (size_t)p->kern->nr;
    const size_t m = rows_of(p, bi), n = rows_of(p, bj);
    const float *a = p->a + bi * p->a_rows * p->d, *b = p->b + bj * p->b_rows * p->d;

    for (size_t k0 = 0; k0 < p->d; k0 += NN_KC) {
        size_t kc = min(NN_KC, p->d - k0);
        for (size_t j = 0; j < n; j += nr)
            for (size_t i = 0; i < m; i += mr) {
                if (upper && bi == bj && j + nr <= i)
                    break;
                nn_tile t = { c + i * p->stride + j, p->stride, (int)min(mr, m - i),
                              (int)min(nr, n - j), k0 > 0 };
                p->kern->tile_dist(kc, a + p->a_rows * k0 + i * kc,
                                   b + p->b_rows * k0 + j * kc, &t);
            }
    }
}

static void pair_job(void *ctx, size_t job, int worker)
{
    const pairs *p = ctx;
    const size_t bi = job / p->blocks, bj = job % p->blocks;
    const size_t i0 = bi * BLOCK, j0 = bj * BLOCK;
    (void)worker;
    if (bi > bj || bi >= p->asked)
        return;
    block(p, bi, bj, p->c + i0 * p->stride + j0, 1);
    if (bj >= p->asked)
        return;
    for (size_t j = 0; j < rows_of(p, bj); j++) {
        size_t end = bi == bj ? j : rows_of(p, bi);
        for (size_t i = 0; i < end; i++)
            p->c[(j0 + j) * p->stride + i0 + i] = p->c[(i0 + i) * p->stride + j0 + j];
    }
}

static void slab_job(void *ctx, size_t job, int worker)
{
    const pairs *p = ctx;
    (void)worker;
    block(p, p->slab, job, p->c + job * BLOCK, 0);
}

static pairs pairs_of(size_t n, size_t d, const float *x, nn_arena *scratch)
{
    pairs p = { .kern = nn_kern_now, .n = n, .d = d, .x = x,
                .blocks = (n + BLOCK - 1) / BLOCK, .stride = nn_dist2_stride(n) };
    p.asked = p.blocks;
    p.a_rows = up(BLOCK, (size_t)p.kern->mr);
    p.b_rows = up(BLOCK, (size_t)p.kern->nr);
    p.a = NN_NEW(scratch, float, p.blocks * p.a_rows * d);
    p.b = NN_NEW(scratch, float, p.blocks * p.b_rows * d);
    nn_par_run(p.blocks, pack_job, &p);
    return p;
}

/* An odd number of cache lines, so that the rows of a tile do not meet in one set. */
size_t nn_dist2_stride(size_t n)
{
    return ((n + 15) / 16 | 1) * 16;
}

void nn_dist2(size_t n, size_t d, const float *x, float *c, nn_arena *scratch)
{
    const size_t mark = nn_arena_mark(scratch);
    pairs p = pairs_of(n, d, x, scratch);
    p.c = c;
    nn_par_run(p.blocks * p.blocks, pair_job, &p);
    nn_arena_rewind(scratch, mark);
}

/* ---- nearest ---------------------------------------------------------------------- */

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The k-th smallest of n numbers, none negative; infinity if fewer than k are finite. */
static float kth(const pairs *p, const float *row)
{
    const uint32_t infinity = 0x7f800000;
    uint32_t lo = 0, hi = infinity + 1;         /* fewer than k below lo; hi: not so */
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (p->kern->count_less(p->n, row, float_of(mid)) < p->k)
            lo = mid;
        else
            hi = mid;
    }
    return float_of(lo);
}

/* Brings the numbers of one row into order, nearest first.  A number's place is how many
 * are less; of equals, which come with ascending index, the next one free. */
static void put_in_order(const pairs *p, size_t numbers, const found *f, int *from,
                         float *dist2)
{
    for (size_t m = 0; m < numbers; m++)
        from[m] = FREE;
    for (size_t m = 0; m < numbers; m++) {
        size_t place = p->kern->count_less(numbers, f->dist2, f->dist2[m]);
        while (from[place] != FREE)
            place++;
        from[place] = f->from[m];
        dist2[place] = f->dist2[m];
    }
}

/* Row i of the distances; its own place is spoilt on the way. */
static void nearest_of(const pairs *p, size_t i, float *row, const found *f)
{
    int *from = p->from + i * p->k;
    float *dist2 = p->dist2 + i * p->k;
    size_t held = 0;

    row[i] = NAN;                               /* below no limit */
    const float last = kth(p, row);
    for (size_t j = 0; j < p->n; j++) {
        f->from[held] = (int)j;                 /* written anew until one is to stay */
        held += row[j] < last;
    }
    for (size_t j = 0; held < p->k && j < p->n; j++)
        if (row[j] == last)
            f->from[held++] = (int)j;
    for (size_t m = 0; m < held; m++)
        f->dist2[m] = row[f->from[m]];
    put_in_order(p, held, f, from, dist2);
    for (size_t j = 0; held < p->k; j++)
        if (isnan(row[j]) && j != i) {
            from[held] = (int)j;
            dist2[held++] = NAN;
        }
}

static void nearest_job(void *ctx, size_t job, int worker)
{
    const pairs *p = ctx;
    const found f = { p->found.from + (size_t)worker * p->k,
                      p->found.dist2 + (size_t)worker * p->k };
    for (size_t i = job * SOME; i < min(job * SOME + SOME, p->rows); i++)
        nearest_of(p, p->slab * BLOCK + i, p->c + i * p->stride, &f);
}

void nn_neighbours(size_t n, size_t d, const float *x, size_t queries, size_t k,
                   int *from, float *dist2, nn_arena *scratch)
{
    const size_t mark = nn_arena_mark(scratch);
    NN_NEED(k > 0 && k < n && n < 1 << 24 && queries <= n,
            "neighbours: %zu of %zu rows for %zu of them", k, n, queries);
    pairs p = pairs_of(n, d, x, scratch);
    p.asked = (queries + BLOCK - 1) / BLOCK;
    p.k = k;
    p.from = from;
    p.dist2 = dist2;
    p.found.from = NN_NEW(scratch, int, k * (size_t)nn_par_threads());
    p.found.dist2 = NN_NEW(scratch, float, k * (size_t)nn_par_threads());
    const size_t rows = n <= WHOLE ? min(n, p.asked * BLOCK) : BLOCK;
    p.c = NN_NEW(scratch, float, rows * p.stride);
    if (n <= WHOLE) {
        p.rows = queries;
        nn_par_run(p.blocks * p.blocks, pair_job, &p);
        nn_par_run((queries + SOME - 1) / SOME, nearest_job, &p);
    } else {
        for (p.slab = 0; p.slab < p.asked; p.slab++) {
            p.rows = min(rows_of(&p, p.slab), queries - p.slab * BLOCK);
            nn_par_run(p.blocks, slab_job, &p);
            nn_par_run(BLOCK / SOME, nearest_job, &p);
        }
    }
    nn_arena_rewind(scratch, mark);
}
