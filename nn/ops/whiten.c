#include "nn/ops/whiten.h"

#include <math.h>
#include <string.h>

#include "nn/base.h"
#include "nn/kern/gemm.h"
#include "nn/linalg.h"

size_t nn_whiten_freedom(const nn_node *x, nn_axis axis)
{
    NN_NEED(x->shape.rank == 2, "whitening: wanted rows of embeddings");
    const int count = axis == NN_OVER_CHANNELS ? nn_cols(x) : nn_rows(x);
    NN_NEED(count > 1, "whitening: wanted more than one %s",
            axis == NN_OVER_CHANNELS ? "channel" : "row");
    return (size_t)count - 1;
}

/* The mean that element (i, j) loses: mean[i] or mean[j]. */
static double *means_of(size_t n, size_t d, nn_axis axis, const float *x,
                        nn_arena *scratch)
{
    if (axis == NN_OVER_BATCH) {
        double *mean = NN_NEW(scratch, double, d);
        nn_col_mean((int)n, (int)d, x, mean, scratch);
        return mean;
    }
    double *mean = NN_NEW(scratch, double, n);
#pragma omp parallel for schedule(static) if (n * d > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t j = 0; j < d; j++)
            sum += (double)x[i * d + j];
        mean[i] = sum / (double)d;
    }
    return mean;
}

double nn_unit_centred(size_t n, size_t d, nn_axis axis, const float *x, float *a,
                       nn_arena *scratch)
{
    const size_t mark = nn_arena_mark(scratch);
    const double *mean = means_of(n, d, axis, x, scratch);
    double *square = NN_NEW(scratch, double, n);

#pragma omp parallel for schedule(static) if (n * d > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t j = 0; j < d; j++) {
            double off = (double)x[i * d + j] - mean[axis == NN_OVER_BATCH ? j : i];
            sum += off * off;
        }
        square[i] = sum;
    }
    const double size = sqrt(nn_tree_sum(square, n)), scale = size == 0 ? 0 : 1 / size;
#pragma omp parallel for schedule(static) if (n * d > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            a[i * d + j] = (float)(((double)x[i * d + j]
                                    - mean[axis == NN_OVER_BATCH ? j : i]) * scale);
    nn_arena_rewind(scratch, mark);
    return size;
}

void nn_unit_centred_back(size_t n, size_t d, nn_axis axis, const float *a, double size,
                          double f, double along, const float *da, int add, float *dx,
                          nn_arena *scratch)
{
    if (f == 0) {
        if (!add)
            memset(dx, 0, sizeof *dx * n * d);
        return;
    }
    const size_t mark = nn_arena_mark(scratch);
    const double *mean = means_of(n, d, axis, da, scratch), scale = f / size;
#pragma omp parallel for schedule(static) if (n * d > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++) {
            const size_t at = i * d + j;
            const double lost = mean[axis == NN_OVER_BATCH ? j : i] + along * (double)a[at];
            const float g = (float)(scale * ((double)da[at] - lost));
            dx[at] = add ? dx[at] + g : g;
        }
    nn_arena_rewind(scratch, mark);
}

size_t nn_short_side(size_t n, size_t d)
{
    return n < d ? n : d;
}

void nn_short_pair(size_t n, size_t d, const float *x, const float *y, float *p,
                   nn_arena *scratch)
{
    if (n < d && x == y)
        nn_syrk(n, d, (nn_mat){ x, d, 1 }, p, n, 0, scratch);
    else if (n < d)
        nn_gemm(n, n, d, (nn_mat){ x, d, 1 }, (nn_mat){ y, 1, d }, p, n, NULL, scratch);
    else if (x == y)
        nn_syrk(d, n, (nn_mat){ x, 1, d }, p, d, 0, scratch);
    else
        nn_gemm(d, d, n, (nn_mat){ x, 1, d }, (nn_mat){ y, d, 1 }, p, d, NULL, scratch);
}

void nn_short_turn(size_t n, size_t d, const float *p, const float *x, int add, float *y,
                   nn_arena *scratch)
{
    const nn_epilogue e = { .add = add };
    if (n < d)
        nn_gemm(n, d, n, (nn_mat){ p, n, 1 }, (nn_mat){ x, d, 1 }, y, d, &e, scratch);
    else
        nn_gemm(n, d, d, (nn_mat){ x, d, 1 }, (nn_mat){ p, d, 1 }, y, d, &e, scratch);
}

void nn_symmetric_part(size_t m, float f, float *x)
{
#pragma omp parallel for schedule(static) if (m * m > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j <= i; j++) {
            float both = f * 0.5f * (x[i * m + j] + x[j * m + i]);
            x[i * m + j] = x[j * m + i] = both;
        }
}
