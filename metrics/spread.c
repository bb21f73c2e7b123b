/* Spread: how far the coordinates move from one image to the next.
 *
 *   std       sqrt(d) mean_j std_j(u)     u_i = z_i / |z_i|, population std   (M1)
 *   raw_std   mean_j std_j(z)             the scale itself                    (M2)
 *   dead      share of j with std_j(z) < 1e-6                                 (M20)
 *
 * std is 1 for directions spread evenly over the sphere and 0 at a constant ("Exploring
 * Simple Siamese Representation Learning", Chen and He, 2021, logs it).  It says nothing
 * about rank: rows that are one of two opposite sign vectors have std 1 and rank 1.
 * raw_std sees the norm shrink, which every scale-free metric misses. */
#include <math.h>

#include "metrics/met.h"
#include "nn/linalg.h"

static double std_value(met_view *v)
{
    if (!v->usable)
        return NAN;
    const float *u = met_unit(v);
    size_t mark = nn_arena_mark(v->arena);
    double *mean = NN_NEW(v->arena, double, v->d), *std = NN_NEW(v->arena, double, v->d);
    double sum = 0;

    nn_col_mean(v->n, v->d, u, mean, v->arena);
    met_col_std(v->n, v->d, u, mean, std, v->arena);
    for (int j = 0; j < v->d; j++)
        sum += std[j];
    nn_arena_rewind(v->arena, mark);
    return sum / sqrt(v->d);
}

static double one(int n, int d, int k)
{
    (void)n, (void)d, (void)k;
    return 1;
}

/* Mean of the columns' raw std, and the share of columns below 1e-6. */
static double raw(met_view *v, int count_dead)
{
    if (!v->usable)
        return NAN;
    const double *mean = v->mean;
    size_t mark = nn_arena_mark(v->arena);
    double *std = NN_NEW(v->arena, double, v->d), sum = 0;

    met_col_std(v->n, v->d, v->x, mean, std, v->arena);
    for (int j = 0; j < v->d; j++)
        sum += count_dead ? std[j] < 1e-6 : std[j];
    nn_arena_rewind(v->arena, mark);
    return sum / v->d;
}

static double raw_std_value(met_view *v)
{
    return raw(v, 0);
}

static double dead_value(met_view *v)
{
    return raw(v, 1);
}

static double none(int n, int d, int k)
{
    (void)n, (void)d, (void)k;
    return NAN;
}

static double zero(int n, int d, int k)
{
    (void)n, (void)d, (void)k;
    return 0;
}

const met_metric met_std = {
    .name = "collapse/std",
    .about = "spread of unit rows: sqrt(d) x mean column std",
    .reference = "uniform on the sphere",
    .value = std_value, .ideal = one,
};

const met_metric met_raw_std = {
    .name = "collapse/raw_std",
    .about = "spread of the embeddings as they are: mean column std",
    .reference = "none: it depends on the scale",
    .value = raw_std_value, .ideal = none,
};

const met_metric met_dead = {
    .name = "collapse/dead",
    .about = "share of columns that hardly move: std < 1e-6",
    .reference = "no dead column",
    .value = dead_value, .ideal = zero,
};
