/* Nearest codes by a product whose results never leave the registers.
 *
 *   for each block of codes:                   packed once, by the whole team
 *       job: a block of vectors                packed by its thread
 *           for each group of panels of codes  that stays in the second-level cache
 *               for each panel of vectors: the kernel's running maximum over the group
 *
 * No choice of sizes below can be seen in the result. */
#include "nn/quant/search.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "nn/base.h"
#include "nn/kern/kern.h"
#include "nn/kern/pack.h"
#include "nn/par.h"

enum {
    CODES = 1 << 18,        /* floats of codes packed at a time: 1 MiB */
    GROUP = 1 << 15,        /* floats of codes in a group: 128 KiB of the L2 */
    VECTORS = 1 << 15,      /* floats of vectors in a job: another 128 KiB */
    JOBS = 8,               /* jobs wanted at least, for teams up to that size */
    MOST_CODES = 1 << 24,   /* the kernel counts codes in floats */
    OFFSET = 3              /* offset over spread from which the mean is taken off */
};

typedef struct search {
    const nn_search *s;
    const nn_kern *kern;
    size_t mr, nr;
    double *part;                       /* per chunk of codes: d sums, one of squares,
                                           how many codes are finite */
    float *mean;                        /* of the codes: d numbers */
    int far;                            /* 1: it is taken off */
    size_t from, codes;                 /* the block at hand */
    size_t vectors;                     /* of a job */
    size_t group;                       /* panels */
    float *packed, *line, *own;         /* line, own: per worker */
    float *best, *which;                /* n, rounded up to whole panels */
    char *bad;                          /* per panel of codes: one is not finite */
} search;

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t parts(size_t n, size_t by)
{
    return (n + by - 1) / by;
}

/* n cut into `jobs` or more, each a multiple of `unit` and at most `most` */
static size_t piece(size_t n, size_t jobs, size_t unit, size_t most)
{
    size_t units = parts(parts(n, jobs), unit), top = most / unit;
    return unit * (units < top ? units : top ? top : 1);
}

static double square_of(const float *c, size_t d)
{
    double square = 0;
    for (size_t i = 0; i < d; i++)
        square += (double)c[i] * (double)c[i];
    return square;
}

/* ---- the offset -------------------------------------------------------------------- */

static void offset_chunk(void *ctx, size_t chunk, int worker)
{
    const search *p = ctx;
    const size_t d = p->s->d, end = min(p->s->k, (chunk + 1) * NN_ROWS);
    double *sum = p->part + chunk * (d + 2), *square = sum + d, *finite = sum + d + 1;
    (void)worker;
    memset(sum, 0, (d + 2) * sizeof *sum);
    for (size_t j = chunk * NN_ROWS; j < end; j++) {
        const float *c = p->s->code + j * d;
        double cc = square_of(c, d);
        if (!isfinite((float)(cc / 2)))
            continue;
        for (size_t i = 0; i < d; i++)
            sum[i] += (double)c[i];
        *square += cc;
        *finite += 1;
    }
}

/* spread^2 = mean |c|^2 - |mean|^2, in double: it only has to be known to a few digits.
 * Codes that cannot win do not count. */
static void find_offset(search *p)
{
    const size_t d = p->s->d, chunks = parts(p->s->k, NN_ROWS);
    double length = 0;
    nn_par_run(chunks, offset_chunk, p);
    nn_fold_double(p->part, chunks, d + 2);
    const double k = fmax(p->part[d + 1], 1);
    for (size_t i = 0; i < d; i++)
        length += p->part[i] / k * (p->part[i] / k);
    double spread = p->part[d] / k - length;
    p->far = length > OFFSET * OFFSET * spread;
    for (size_t i = 0; i < d; i++)
        p->mean[i] = (float)(p->part[i] / k);
}

/* ---- packing ----------------------------------------------------------------------- */

/* rows `at` .. at + rows - 1 of x (d columns) without the offset: where they lie, if
 * there is none, or in `line` */
static const float *lines(const search *p, const float *x, size_t at, size_t rows,
                          float *line)
{
    const size_t d = p->s->d;
    x += at * d;
    if (!p->far)
        return x;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < d; i++)
            line[r * d + i] = x[r * d + i] - p->mean[i];
    return line;
}

/* Scores by cosine: c / |c|, and where they start: at 0, below all others if c has no
 * direction, and at -infinity if c is not finite. */
static float unit_code(const float *c, size_t d, float *unit)
{
    double length = sqrt(square_of(c, d));
    for (size_t i = 0; i < d; i++)
        unit[i] = length == 0 ? 0 : (float)((double)c[i] / length);
    return length == 0 ? -FLT_MAX : length < (double)INFINITY ? 0 : -INFINITY;
}

/* codes `at` .. at + rows - 1 as they are scored, and where their scores start */
static const float *code_lines(const search *p, size_t at, size_t rows, float *line,
                               float *start)
{
    const size_t d = p->s->d;
    if (p->s->cosine) {
        for (size_t r = 0; r < rows; r++)
            start[r] = unit_code(p->s->code + (at + r) * d, d, line + r * d);
        return line;
    }
    const float *c = lines(p, p->s->code, at, rows, line);
    for (size_t r = 0; r < rows; r++)
        start[r] = -(float)(square_of(c + r * d, d) / 2);
    return c;
}

/* One panel of codes: a line of starts, then the codes.  What is not there loses to all,
 * and so does a code that is not finite: its scores are -infinity or NaN. */
static void pack_codes(void *ctx, size_t panel, int worker)
{
    search *p = ctx;
    const size_t d = p->s->d, mr = p->mr, at = panel * mr, rows = min(mr, p->codes - at);
    float *line = p->line + (size_t)worker * NN_TILE_ROWS * d;
    float *out = p->packed + panel * (d + 1) * mr;

    const float *c = code_lines(p, p->from + at, rows, line, out);
    p->bad[panel] = 0;
    for (size_t r = 0; r < mr; r++) {
        if (r >= rows)
            out[r] = -INFINITY;
        else
            p->bad[panel] |= !isfinite(out[r]);
    }
    nn_pack(rows, mr, d, (nn_mat){ c, d, 1 }, out + mr);
}

static void pack_vectors(const search *p, size_t at, size_t rows, float *line, float *out)
{
    const size_t d = p->s->d, nr = p->nr;
    for (size_t i = 0; i < rows; i += nr, out += nr * d) {
        const float *z = lines(p, p->s->z, at + i, min(nr, rows - i), line);
        nn_pack(min(nr, rows - i), nr, d, (nn_mat){ z, d, 1 }, out);
    }
}

/* ---- the search -------------------------------------------------------------------- */

static void score_job(void *ctx, size_t job, int worker)
{
    search *p = ctx;
    const size_t d = p->s->d, at = job * p->vectors;
    const size_t rows = min(p->vectors, p->s->n - at), panels = parts(p->codes, p->mr);
    float *z = p->own + (size_t)worker * p->vectors * d;

    pack_vectors(p, at, rows, p->line + (size_t)worker * NN_TILE_ROWS * d, z);
    for (size_t g = 0; g < panels; g += p->group)
        for (size_t i = 0; i < rows; i += p->nr)
            p->kern->code_max(min(p->group, panels - g), d,
                              p->packed + g * p->mr * (d + 1),
                              (float)(p->from + g * p->mr), z + i * d,
                              p->best + at + i, p->which + at + i);
}

static void finish_job(void *ctx, size_t job, int worker)
{
    const search *p = ctx;
    const nn_search *s = p->s;
    const size_t d = s->d, end = min(s->n, (job + 1) * NN_ROWS);
    (void)worker;
    for (size_t i = job * NN_ROWS; i < end; i++) {
        int found = isfinite(p->best[i]);
        s->index[i] = found ? (int)p->which[i] : 0;
        if (s->dist)
            s->dist[i] = found ? p->kern->dist2(d, s->z + i * d,
                                                s->code + (size_t)s->index[i] * d)
                               : NAN;
    }
}

static void reserve(search *p, nn_arena *scratch)
{
    const size_t n = p->s->n, k = p->s->k, d = p->s->d;
    const size_t team = (size_t)nn_par_threads();
    const size_t block = piece(k, 1, p->mr, CODES / (d + 1));

    p->vectors = piece(n, JOBS, p->nr, VECTORS / d);
    p->group = piece(block, 1, p->mr, GROUP / (d + 1)) / p->mr;
    p->codes = block;
    p->part = NN_NEW(scratch, double, parts(k, NN_ROWS) * (d + 2));
    p->mean = NN_NEW(scratch, float, d);
    p->packed = NN_NEW(scratch, float, block * (d + 1));
    p->bad = NN_NEW(scratch, char, block / p->mr);
    p->line = NN_NEW(scratch, float, team * NN_TILE_ROWS * d);
    p->own = NN_NEW(scratch, float, team * p->vectors * d);
    p->best = NN_NEW(scratch, float, parts(n, p->nr) * p->nr);
    p->which = NN_NEW(scratch, float, parts(n, p->nr) * p->nr);
}

/* strict: a code that is not finite leaves no vector a nearest one */
static size_t run(const nn_search *s, int strict, nn_arena *scratch)
{
    search p = { .s = s, .kern = nn_kern_now, .mr = (size_t)nn_kern_now->mr,
                 .nr = (size_t)nn_kern_now->nr };
    const size_t mark = nn_arena_mark(scratch);
    size_t lost = 0;
    int bad = 0;

    NN_NEED(s->k > 0 && s->d > 0 && s->k <= MOST_CODES,
            "search: %zu codes of dimension %zu", s->k, s->d);
    if (s->n == 0)
        return 0;
    reserve(&p, scratch);
    for (size_t i = 0; i < s->n; i++) {
        p.best[i] = -INFINITY;
        p.which[i] = 0;
    }
    if (!s->cosine)
        find_offset(&p);
    for (size_t block = p.codes; p.from < s->k; p.from += block) {
        p.codes = min(block, s->k - p.from);
        nn_par_run(parts(p.codes, p.mr), pack_codes, &p);
        nn_par_run(parts(s->n, p.vectors), score_job, &p);
        for (size_t i = 0; i < parts(p.codes, p.mr); i++)
            bad |= p.bad[i];
    }
    for (size_t i = 0; i < s->n; i++) {
        if (bad && strict)
            p.best[i] = -INFINITY;
        lost += !isfinite(p.best[i]);
    }
    nn_par_run(parts(s->n, NN_ROWS), finish_job, &p);
    nn_arena_rewind(scratch, mark);
    return lost;
}

size_t nn_search_nearest(const nn_search *s, nn_arena *scratch)
{
    return run(s, 1, scratch);
}

size_t nn_search_nearest_vectors(const nn_search *s, nn_arena *scratch)
{
    nn_search turned = *s;
    turned.n = s->k, turned.z = s->code;
    turned.k = s->n, turned.code = s->z;
    return run(&turned, 0, scratch);
}
