/* Small and thin products: C = A B where A is never packed.
 *
 * A is walked where it lies, in rows or in columns; B's rows fill vectors.  A B of which
 * neighbours in a row do not lie side by side is packed once, and it is small, because
 * the shorter side is made B: C' = B' A' holds the same sums, term for term, so the two
 * sides can change places and nobody sees it.  The sums then come out turned; a job keeps
 * them in a room of its own and turns them at the end.
 *
 *   job (rows, columns):  for each block of k, in order:
 *                             for each row of tiles, for each tile in it: its sums
 *                         turn, if the sides have changed places; bias and activation */
#include "nn/kern/thin.h"

#include "nn/kern/kern.h"
#include "nn/kern/pack.h"
#include "nn/par.h"

enum {
    WORK = 1 << 22,         /* products of a small one, 160^3: all sides fit the L2 */
    SIDE = 64,              /* rows packed of a thin one: with NN_TERMS terms 128 KiB */
    DEEP = 1 << 14,         /* and at most so many terms: 4 MiB of panels */
    ROWS = 96,              /* most rows and columns of a job: its room is 72 KiB */
    COLS = 192,
    JOBS = 8,               /* jobs wanted, for teams up to that size */
    ALONE = 1 << 18,        /* products below which a team is not worth waking: 5 us */
    PACK = 1 << 14          /* floats below which packing is not worth a team: 5 us */
};

typedef struct thin {
    const nn_kern *kern;
    size_t m, n, k;
    nn_mat a, b;
    float *panel;                       /* B packed: block of k, panel; or NULL */
    size_t padded;                      /* columns of B, in whole panels */
    int turned;                         /* C is the transpose of what is summed */
    float *c;
    size_t ldc;
    nn_epilogue e;
    float *room;                        /* ROWS x COLS per worker, when turned */
    size_t down, across;                /* pieces of the rows and of the columns */
} thin;

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

static nn_mat flip(nn_mat x)
{
    return (nn_mat){ x.p, x.cs, x.rs };
}

static void pack_job(void *ctx, size_t job, int worker)
{
    thin *p = ctx;
    const size_t k0 = job * NN_TERMS, kc = min(NN_TERMS, p->k - k0);
    const nn_mat x = { p->b.p + k0 * p->b.rs, p->b.cs, p->b.rs };
    (void)worker;
    nn_pack_panels(p->n, (size_t)p->kern->nr, kc, x, p->panel + p->padded * k0);
}

/* Rows of the next tile when `left` are: two lower tiles before one that is full and one
 * that is nearly empty. */
static size_t step(const nn_kern *kern, size_t left)
{
    const size_t mr = (size_t)kern->mr, low = (size_t)kern->low;
    return left > mr && left <= 2 * low ? low : min(left, mr);
}

/* The sums of one tile over block k0: rows from i, columns from j, to t->c. */
static void tile(const thin *p, size_t i, size_t j, size_t k0, const nn_tile *t)
{
    const nn_kern *kern = p->kern;
    const size_t kc = min(NN_TERMS, p->k - k0), nr = (size_t)kern->nr;
    const float *a = p->a.p + i * p->a.rs + k0 * p->a.cs;
    const float *b = p->panel ? p->panel + p->padded * k0 + j * kc
                              : p->b.p + k0 * p->b.rs + j;
    const size_t ldb = p->panel ? nr : p->b.rs;
    const float *row[NN_TILE_ROWS];

    if (p->a.cs != 1) {
        kern->tile_panel(kc, a, p->a.cs, b, ldb, t);
        return;
    }
    for (int r = 0; r < t->rows; r++)
        row[r] = a + (size_t)r * p->a.rs;
    if (p->panel)
        kern->tile_rows(1, kc, 0, row, b, t);
    else
        kern->tile_plain(kc, row, b, ldb, t);
}

/* The sums of rows [i0, i1), columns [j0, j1) over block k0, to c.  The shorter side is
 * the one that is gone through again and again: it stays in the nearest cache. */
static void block(const thin *p, size_t i0, size_t i1, size_t j0, size_t j1, size_t k0,
                  float *c, size_t ldc, int add)
{
    const size_t nr = (size_t)p->kern->nr;
    nn_tile t = { .ldc = ldc, .add = add };

    if (i1 - i0 < j1 - j0) {
        for (size_t j = j0; j < j1; j += nr) {
            t.cols = (int)min(nr, j1 - j);
            for (size_t i = i0; i < i1; i += (size_t)t.rows) {
                t.rows = (int)step(p->kern, i1 - i);
                t.c = c + (i - i0) * ldc + (j - j0);
                tile(p, i, j, k0, &t);
            }
        }
        return;
    }
    for (size_t i = i0; i < i1; i += (size_t)t.rows) {
        t.rows = (int)step(p->kern, i1 - i);
        for (size_t j = j0; j < j1; j += nr) {
            t.cols = (int)min(nr, j1 - j);
            t.c = c + (i - i0) * ldc + (j - j0);
            tile(p, i, j, k0, &t);
        }
    }
}

static void block_job(void *ctx, size_t job, int worker)
{
    const thin *p = ctx;
    const size_t mr = (size_t)p->kern->mr, nr = (size_t)p->kern->nr;
    const size_t down = parts(p->m, mr), across = parts(p->n, nr);
    const size_t i = job % p->down, j = job / p->down;
    const size_t i0 = down * i / p->down * mr, j0 = across * j / p->across * nr;
    const size_t i1 = min(p->m, down * (i + 1) / p->down * mr);
    const size_t j1 = min(p->n, across * (j + 1) / p->across * nr);
    const size_t m = i1 - i0, n = j1 - j0;
    float *c = p->c + (p->turned ? j0 * p->ldc + i0 : i0 * p->ldc + j0);
    float *sums = c;
    size_t ld = p->ldc;

    if (p->turned) {
        sums = p->room + (size_t)worker * ROWS * COLS;
        ld = parts(n, nr) * nr;
        if (p->e.add)
            nn_turn(n, m, c, p->ldc, sums, ld);
    }
    for (size_t k0 = 0; k0 < p->k; k0 += NN_TERMS)
        block(p, i0, i1, j0, j1, k0, sums, ld, p->e.add || k0 > 0);
    if (p->turned) {
        nn_turn(m, n, sums, ld, c, p->ldc);
        nn_finish(&p->e, i0, n, m, c, p->ldc);
    } else {
        nn_finish(&p->e, j0, m, n, c, p->ldc);
    }
}

static void run(size_t jobs, nn_job *job, thin *p, int team)
{
    if (team)
        nn_par_run(jobs, job, p);
    else
        for (size_t j = 0; j < jobs; j++)
            job(p, j, 0);
}

/* Pieces of the longer side, and of the shorter one if the longer is short too: JOBS of
 * them, if there are so many tiles, and none larger than ROWS x COLS. */
static void cut(thin *p)
{
    const size_t mr = (size_t)p->kern->mr, nr = (size_t)p->kern->nr;
    const size_t rows = parts(p->m, mr), cols = parts(p->n, nr);
    if (p->m >= p->n) {
        p->down = max(min(rows, JOBS), parts(rows, ROWS / mr));
        p->across = max(min(cols, parts(JOBS, p->down)), parts(cols, COLS / nr));
    } else {
        p->across = max(min(cols, JOBS), parts(cols, COLS / nr));
        p->down = max(min(rows, parts(JOBS, p->across)), parts(rows, ROWS / mr));
    }
}

int nn_thin(size_t m, size_t n, size_t k, nn_mat a, nn_mat b, float *c, size_t ldc,
            const nn_epilogue *e, nn_arena *scratch)
{
    thin p = { .kern = nn_kern_now, .m = m, .n = n, .k = k, .a = a, .b = b,
               .c = c, .ldc = ldc, .e = *e };
    const int small = m * n <= WORK / min(k, WORK);
    const int slim = min(m, n) <= SIDE && k <= DEEP;
    /* A turned and B turned, or B turned and the longer: they change places */
    if (b.cs != 1 && (a.cs != 1 || n > m)) {
        p.m = n;
        p.n = m;
        p.a = flip(b);
        p.b = flip(a);
        p.turned = 1;
    }
    const int packed = p.b.cs != 1;
    if (!small && !(slim && packed))
        return 0;

    const size_t mark = nn_arena_mark(scratch), nr = (size_t)p.kern->nr;
    const int team = m * n >= ALONE / min(k, ALONE);
    if (packed) {
        p.padded = parts(p.n, nr) * nr;
        p.panel = NN_NEW(scratch, float, p.padded * k);
        run(parts(k, NN_TERMS), pack_job, &p, team && p.n * k >= PACK);
    }
    if (p.turned)
        p.room = NN_NEW(scratch, float, (size_t)(ROWS * COLS) * (size_t)nn_par_threads());
    cut(&p);
    run(p.down * p.across, block_job, &p, team);
    nn_arena_rewind(scratch, mark);
    return 1;
}
