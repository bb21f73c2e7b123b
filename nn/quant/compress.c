#include "nn/quant/compress.h"

#include <math.h>
#include <string.h>

#include "nn/kern/members.h"
#include "nn/par.h"
#include "nn/quant/book.h"
#include "nn/quant/search.h"

static const double least_length = 1e-8;        /* of u: what is shorter has no shape */

static double dot(size_t d, const float *a, const float *b)
{
    double sum = 0;
    for (size_t j = 0; j < d; j++)
        sum += (double)a[j] * (double)b[j];
    return sum;
}

/* ---- codes ------------------------------------------------------------------------- */

/* u_i = v_i - b_i and b_i = mean(v_i), or v_i and 0 */
static void split(const nn_gain_shapes *s, const float *v, size_t n, float *u, float *b)
{
    const size_t d = s->d;
#pragma omp parallel for schedule(static) if (n * s->d > NN_BOOK_TEAM)
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t j = i * d; j < i * d + d; j++)
            sum += (double)v[j];
        const double mean = s->bias ? sum / (double)d : 0;
        for (size_t j = i * d; j < i * d + d; j++)
            u[j] = (float)((double)v[j] - mean);
        b[i] = (float)mean;
    }
}

/* The shapes as they are searched: two-sided, [S; -S]. */
static const float *sides(const nn_gain_shapes *s, nn_arena *scratch)
{
    const size_t all = s->k * s->d;

    if (!s->two_sided)
        return s->shape;
    float *both = NN_NEW(scratch, float, 2 * all);
    for (size_t i = 0; i < all; i++) {
        both[i] = s->shape[i];
        both[all + i] = -s->shape[i];
    }
    return both;
}

/* k_i and g_i of the rows u */
static size_t assign(const nn_gain_shapes *s, const float *u, size_t n, int *index,
                     float *gain, nn_arena *scratch)
{
    const size_t mark = nn_arena_mark(scratch), d = s->d;
    float *dist = NN_NEW(scratch, float, n);
    const nn_search search = {
        .n = n, .k = s->two_sided ? 2 * s->k : s->k, .d = d, .z = u,
        .code = sides(s, scratch), .index = index, .dist = dist, .cosine = 1
    };
    const size_t lost = nn_search_nearest(&search, scratch);

#pragma omp parallel for schedule(static) if (n * s->d > NN_BOOK_TEAM)
    for (size_t i = 0; i < n; i++) {
        const float *ui = u + i * d;
        index[i] %= (int)s->k;
        if (isnan(dist[i]))
            gain[i] = NAN;
        else if (dot(d, ui, ui) < least_length * least_length)
            gain[i] = 0;
        else
            gain[i] = (float)dot(d, ui, s->shape + (size_t)index[i] * d);
    }
    nn_arena_rewind(scratch, mark);
    return lost;
}

size_t nn_gain_shape_encode(const nn_gain_shapes *s, const float *v, size_t n,
                            nn_gain_codes c, nn_arena *scratch)
{
    const size_t mark = nn_arena_mark(scratch);
    float *u = NN_NEW(scratch, float, n * s->d);

    split(s, v, n, u, c.offset);
    const size_t lost = assign(s, u, n, c.index, c.gain, scratch);
    nn_arena_rewind(scratch, mark);
    return lost;
}

/* The arithmetic of nn_gain, so that a quantiser's codes decode to its values. */
void nn_gain_shape_decode(const nn_gain_shapes *s, nn_gain_codes c, size_t n, float *v)
{
    const size_t d = s->d;
#pragma omp parallel for schedule(static) if (n * s->d > NN_BOOK_TEAM)
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            v[i * d + j] = c.gain[i] * s->shape[(size_t)c.index[i] * d + j] + c.offset[i];
}

/* ---- shapes ------------------------------------------------------------------------ */

/* to <- t / |t|, t = x less its mean with bias; where t has no length, `to` stays. */
static int normalise(const nn_gain_shapes *s, const float *x, float *to)
{
    double mean = 0, square = 0;

    for (size_t j = 0; s->bias && j < s->d; j++)
        mean += (double)x[j];
    mean /= (double)s->d;
    for (size_t j = 0; j < s->d; j++)
        square += ((double)x[j] - mean) * ((double)x[j] - mean);
    if (square == 0)
        return 0;
    for (size_t j = 0; j < s->d; j++)
        to[j] = (float)(((double)x[j] - mean) / sqrt(square));
    return 1;
}

void nn_gain_shape_seed(const nn_gain_shapes *s, const float *v, size_t n, nn_rng *r,
                        nn_arena *scratch)
{
    const size_t mark = nn_arena_mark(scratch), d = s->d;
    float *u = NN_NEW(scratch, float, n * d), *weight = NN_NEW(scratch, float, n);
    const nn_seeds seeds = { .k = s->k, .d = d, .n = n, .z = u, .weight = weight,
                             .mirrored = s->two_sided };

    split(s, v, n, u, weight);
#pragma omp parallel for schedule(static) if (n * s->d > NN_BOOK_TEAM)
    for (size_t i = 0; i < n; i++) {
        weight[i] = (float)dot(d, u + i * d, u + i * d);
        normalise(s, u + i * d, u + i * d);
    }
    nn_seeds_draw(&seeds, s->shape, r, scratch);
    nn_arena_rewind(scratch, mark);
}

/* What a row's gain weighs in the fit. */
static float facing(const nn_gain_shapes *s, float g)
{
    return !s->two_sided && g < 0 ? 0 : g;
}

/* The sum of g^2, folded in a tree; `square` is overwritten. */
static double objective_of(const nn_gain_shapes *s, const float *gain, size_t n,
                           double *square)
{
    for (size_t i = 0; i < n; i++) {
        const double g = (double)facing(s, gain[i]);
        square[i] = g * g;
    }
    nn_fold_double(square, n, 1);
    return n ? square[0] : 0;
}

static void update(const nn_gain_shapes *s, const float *u, size_t n, const int *index,
                   const float *gain, nn_arena *scratch)
{
    const size_t mark = nn_arena_mark(scratch), d = s->d;
    float *pull = NN_NEW(scratch, float, n * d), *sum = NN_NEW(scratch, float, s->k * d);
    const nn_members m = nn_code_members(n, s->k, index, scratch);

#pragma omp parallel for schedule(static) if (n * s->d > NN_BOOK_TEAM)
    for (size_t i = 0; i < n; i++)
        for (size_t j = i * d; j < i * d + d; j++)
            pull[j] = facing(s, gain[i]) * u[j];
    nn_code_sums(&m, d, pull, 0, sum, scratch);
    for (size_t j = 0; j < s->k; j++)
        normalise(s, sum + j * d, s->shape + j * d);
    nn_arena_rewind(scratch, mark);
}

void nn_gain_shape_fit(const nn_gain_shapes *s, const float *v, size_t n, int rounds,
                       double *objective, nn_arena *scratch)
{
    const size_t mark = nn_arena_mark(scratch);
    float *u = NN_NEW(scratch, float, n * s->d), *b = NN_NEW(scratch, float, n);
    float *gain = NN_NEW(scratch, float, n);
    double *square = NN_NEW(scratch, double, n);
    int *index = NN_NEW(scratch, int, n);

    for (size_t j = 0; j < s->k; j++)
        if (!normalise(s, s->shape + j * s->d, s->shape + j * s->d))
            memset(s->shape + j * s->d, 0, sizeof *s->shape * s->d);
    split(s, v, n, u, b);
    for (int i = 0; i < rounds + (objective != NULL); i++) {
        assign(s, u, n, index, gain, scratch);
        if (objective)
            objective[i] = objective_of(s, gain, n, square);
        if (i < rounds)
            update(s, u, n, index, gain, scratch);
    }
    nn_arena_rewind(scratch, mark);
}

/* ---- storage ----------------------------------------------------------------------- */

nn_gain_storage nn_gain_shape_storage(const nn_gain_shapes *s, size_t n)
{
    const double d = (double)s->d, word = 32, byte = 8;
    double bits = byte + (s->bias ? byte : 0);

    for (size_t codes = 1; codes < s->k; codes *= 2)
        bits++;
    return (nn_gain_storage){
        .plain = word * (double)n * d,
        .codes = bits * (double)n,
        .once = word * (double)s->k * d + (s->bias ? 3 : 2) * word
    };
}
