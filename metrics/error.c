/* Quantisation error: what is lost between z and its code q.
 *
 *   error     mean |z - q|^2
 *   relative  error / mean |z - mean z|^2  =  error n / (sum |y|^2 - |sum y|^2 / n)
 *
 * The error alone goes to zero with z itself, which is a collapse and no success; the
 * relative one does not.  y is z less the first z: of z itself a large mean would leave
 * little of the difference, and of a constant z every y is exactly zero.  Column sums in
 * double over chunks of 256 vectors, folded in a tree. */
#include <math.h>
#include <string.h>

#include "metrics/code.h"
#include "nn/base.h"
#include "nn/par.h"

enum { ROWS = 256 };                    /* vectors of a chunk: part of the result */

typedef enum kind { ERROR, LENGTH, SPREAD, SUM, KINDS } kind;

met_code_sum met_code_sum_of(int d, nn_arena *a)
{
    NN_NEED(d > 0, "vectors of %d dimensions", d);
    return (met_code_sum){ .d = d, .first = NN_NEW0(a, float, d),
                           .sum = NN_NEW0(a, double, d) };
}

typedef struct batch {
    size_t n, d;
    const float *z, *q, *first;
    double *part;                       /* (chunks, KINDS, d) */
} batch;

static void chunk(void *ctx, size_t job, int worker)
{
    const batch *b = ctx;
    size_t d = b->d, end = (job + 1) * ROWS < b->n ? (job + 1) * ROWS : b->n;
    double *s = b->part + job * KINDS * d;
    (void)worker;

    memset(s, 0, sizeof *s * KINDS * d);
    for (size_t i = job * ROWS; i < end; i++)
        for (size_t j = 0; j < d; j++) {
            double z = b->z[i * d + j], e = z - b->q[i * d + j], y = z - b->first[j];
            s[ERROR * d + j] += e * e;
            s[LENGTH * d + j] += z * z;
            s[SPREAD * d + j] += y * y;
            s[SUM * d + j] += y;
        }
}

void met_code_add(met_code_sum *s, size_t n, const float *z, const float *q,
                  nn_arena *scratch)
{
    if (n == 0)
        return;
    size_t mark = nn_arena_mark(scratch);
    size_t d = (size_t)s->d, chunks = (n + ROWS - 1) / ROWS;
    batch b = { n, d, z, q, s->first, NN_NEW(scratch, double, chunks * KINDS * d) };

    if (s->n == 0)
        memcpy(s->first, z, sizeof *z * d);
    nn_par_run(chunks, chunk, &b);
    nn_fold_double(b.part, chunks, KINDS * d);
    for (size_t j = 0; j < d; j++) {
        s->error += b.part[ERROR * d + j];
        s->length += b.part[LENGTH * d + j];
        s->spread += b.part[SPREAD * d + j];
        s->sum[j] += b.part[SUM * d + j];
    }
    s->n += (double)n;
    nn_arena_rewind(scratch, mark);
}

met_code_loss met_code_loss_of(const met_code_sum *s)
{
    double shift = 0;

    if (s->n == 0)
        return (met_code_loss){ NAN, NAN, NAN, NAN };
    for (int j = 0; j < s->d; j++)
        shift += s->sum[j] * s->sum[j];
    double variance = (s->spread - shift / s->n) / s->n, error = s->error / s->n;
    return (met_code_loss){
        .error = error,
        .per_element = error / s->d,
        .relative = variance > 0 ? error / variance : NAN,
        .z_rms = sqrt(s->length / s->n),
    };
}
