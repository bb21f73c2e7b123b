/* How far every code is from the next one, by distances that are never stored.
 *
 *   job: a block of codes, packed by its thread
 *       for each panel of all codes, packed by that thread
 *           for each panel of the block: a tile of distances, the least of its columns
 *
 * Every pair is worked out twice, so that jobs write nothing but their own codes. */
#include <math.h>

#include "nn/kern/kern.h"
#include "nn/kern/pack.h"
#include "nn/par.h"
#include "nn/quant/search.h"

enum {
    OWN = 1 << 15,          /* floats of codes in a job: 128 KiB of the L2 */
    JOBS = 8                /* jobs wanted at least, for teams up to that size */
};

typedef struct space {
    const nn_kern *kern;
    size_t k, d, mr, nr;
    size_t codes;                       /* of a job: whole panels of nr */
    const float *code;
    float *dist;
    float *row, *own, *tile;            /* per worker */
} space;

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t parts(size_t n, size_t by)
{
    return (n + by - 1) / by;
}

static void pack(const space *p, size_t at, size_t rows, size_t width, float *out)
{
    nn_mat c = { p->code + at * p->d, p->d, 1 };
    nn_pack_panels(min(rows, p->k - at), width, p->d, c, out);
}

/* All mr x nr sums of squared differences of two panels. */
static void distances(const space *p, const float *a, const float *b, float *tile)
{
    for (size_t q = 0; q < p->d; q += NN_KC) {
        nn_tile t = { tile, p->nr, (int)p->mr, (int)p->nr, q > 0 };
        p->kern->tile_dist(min(NN_KC, p->d - q), a + q * p->mr, b + q * p->nr, &t);
    }
}

/* least_j = min_i tile(i,j), but not of code `row` + i with itself, code `col` + j */
static void lower(const space *p, size_t row, size_t col, float *tile)
{
    float *least = p->dist + col;
    const size_t rows = min(p->mr, p->k - row), cols = min(p->nr, p->k - col);
    for (size_t i = 0; i < rows; i++, tile += p->nr) {
        if (row + i - col < cols)
            tile[row + i - col] = INFINITY;
        for (size_t j = 0; j < cols; j++)
            least[j] = tile[j] < least[j] ? tile[j] : least[j];
    }
}

static void space_job(void *ctx, size_t job, int worker)
{
    const space *p = ctx;
    const size_t at = job * p->codes, end = min(p->k, at + p->codes), w = (size_t)worker;
    float *row = p->row + w * p->mr * p->d, *own = p->own + w * p->codes * p->d;
    float *tile = p->tile + w * p->mr * p->nr;

    for (size_t j = at; j < end; j++)
        p->dist[j] = INFINITY;
    pack(p, at, p->codes, p->nr, own);
    for (size_t i = 0; i < p->k; i += p->mr) {
        pack(p, i, p->mr, p->mr, row);
        for (size_t j = at; j < end; j += p->nr) {
            distances(p, row, own + (j - at) * p->d, tile);
            lower(p, i, j, tile);
        }
    }
}

void nn_search_neighbours(size_t k, size_t d, const float *code, float *dist,
                          nn_arena *scratch)
{
    const size_t mark = nn_arena_mark(scratch), team = (size_t)nn_par_threads();
    const size_t nr = (size_t)nn_kern_now->nr;
    const size_t panels = min(parts(parts(k, JOBS), nr), OWN / d / nr);
    space p = { .kern = nn_kern_now, .k = k, .d = d, .mr = (size_t)nn_kern_now->mr,
                .nr = nr, .codes = nr * (panels ? panels : 1), .code = code,
                .dist = dist };
    p.row = NN_NEW(scratch, float, team * p.mr * d);
    p.own = NN_NEW(scratch, float, team * p.codes * d);
    p.tile = NN_NEW(scratch, float, team * p.mr * nr);
    nn_par_run(parts(k, p.codes), space_job, &p);
    nn_arena_rewind(scratch, mark);
}
