/* Seeds of k-means: rows far apart.
 *
 *   D_i = the least |z_i - c|^2 over the seeds c so far       P(i) = w_i D_i / sum w D
 *
 * Sums run in double over the rows in order, so that a draw depends on nothing but the
 * rows and the random number.  O(n k d): every seed is compared with every row once. */
#include <math.h>
#include <string.h>

#include "nn/kern/kern.h"
#include "nn/quant/book.h"

/* A row with a probability that goes with chance_i; n if all are zero. */
static size_t pick(size_t n, const double *chance, nn_rng *r)
{
    double total = 0, sum = 0;
    size_t last = n;

    for (size_t i = 0; i < n; i++)
        total += chance[i];
    const double at = total > 0 ? nn_rng_double(r) * total : 0;
    for (size_t i = 0; i < n; i++) {
        if (!(chance[i] > 0))
            continue;
        sum += chance[i];
        last = i;
        if (sum > at)
            break;
    }
    return last;
}

static double weight_of(const nn_seeds *s, size_t i)
{
    const float *z = s->z + i * s->d;
    return !isfinite(nn_kern_now->dot(s->d, z, z)) ? 0
        : s->weight ? (double)s->weight[i] : 1;
}

/* D_i of all rows falls to the distance from c where that is less. */
static void near_to(const nn_seeds *s, const float *c, float *dist)
{
    const nn_kern *kern = nn_kern_now;
#pragma omp parallel for schedule(static) if (s->n * s->d > NN_BOOK_TEAM)
    for (size_t i = 0; i < s->n; i++) {
        const float far = kern->dist2(s->d, s->z + i * s->d, c);
        dist[i] = far < dist[i] ? far : dist[i];
    }
}

void nn_seeds_draw(const nn_seeds *s, float *code, nn_rng *r, nn_arena *scratch)
{
    const size_t mark = nn_arena_mark(scratch), n = s->n, d = s->d;
    double *weight = NN_NEW(scratch, double, n), *chance = NN_NEW(scratch, double, n);
    float *dist = NN_NEW(scratch, float, n), *opposite = NN_NEW(scratch, float, d);

    for (size_t i = 0; i < n; i++) {
        weight[i] = chance[i] = weight_of(s, i);
        dist[i] = INFINITY;
    }
    for (size_t j = 0; j < s->k; j++, code += d) {
        size_t i = pick(n, chance, r);
        if (i == n)
            i = pick(n, weight, r);
        if (i == n)
            i = nn_rng_below(r, (uint32_t)n);
        memcpy(code, s->z + i * d, sizeof *code * d);
        near_to(s, code, dist);
        for (size_t c = 0; c < d; c++)
            opposite[c] = -code[c];
        if (s->mirrored)
            near_to(s, opposite, dist);
        for (i = 0; i < n; i++)         /* rows that are not finite have no distance */
            chance[i] = weight[i] > 0 ? weight[i] * (double)dist[i] : 0;
    }
    nn_arena_rewind(scratch, mark);
}

void nn_kmeans_plusplus(size_t k, size_t d, float *code, const float *z, size_t n,
                        nn_rng *r, nn_arena *scratch)
{
    const nn_seeds s = { .k = k, .d = d, .n = n, .z = z };
    nn_seeds_draw(&s, code, r, scratch);
}
