/* The first two principal components of unit rows, for a map of the embeddings.
 *
 *   Y = U - mean,  Y'Y v = lambda v,  xy = Y (v_1 v_2)
 *
 * With fewer rows than columns the smaller YY' is taken: its eigenvectors a give
 * v = Y'a / |Y'a|. */
#include <math.h>
#include <string.h>

#include "metrics/met.h"
#include "nn/linalg.h"

static float *centred(met_view *v, float *turned)
{
    const float *u = met_unit(v);
    float *y = NN_NEW(v->arena, float, (size_t)v->n * v->d);
    double *mean = NN_NEW(v->arena, double, v->d);

    nn_col_mean(v->n, v->d, u, mean, v->arena);
    for (int i = 0; i < v->n; i++)
        for (int j = 0; j < v->d; j++) {
            size_t at = (size_t)i * v->d + j;
            y[at] = (float)(u[at] - mean[j]);
            if (turned)
                turned[(size_t)j * v->n + i] = y[at];
        }
    return y;
}

/* Loadings (d): length one, the largest positive, the first of equals deciding. */
static void settle(int d, double *load)
{
    double q = 0;
    int most = 0;

    for (int j = 0; j < d; j++) {
        q += load[j] * load[j];
        if (fabs(load[j]) > fabs(load[most]))
            most = j;
    }
    double by = q > 0 ? copysign(1 / sqrt(q), load[most]) : 0;
    for (int j = 0; j < d; j++)
        load[j] *= by;
}

void met_pca2(met_view *v, double *xy, double share[2])
{
    int n = v->n, d = v->d, m = n < d ? n : d, found = m < 2 ? m : 2;

    share[0] = share[1] = v->usable ? 0 : NAN;
    for (int i = 0; i < 2 * n; i++)
        xy[i] = v->usable ? 0 : NAN;
    if (!v->usable)
        return;

    met_unit(v);                                        /* stays when the rest goes */
    size_t mark = nn_arena_mark(v->arena);
    float *turned = d > n ? NN_NEW(v->arena, float, (size_t)n * d) : NULL;
    float *y = centred(v, turned);
    double *c = NN_NEW(v->arena, double, (size_t)m * m), *w = NN_NEW(v->arena, double, m);
    double *load = NN_NEW(v->arena, double, d), sum = 0;
    double *vector = NN_NEW(v->arena, double, 2 * (size_t)m);

    nn_gram(turned ? d : n, m, turned ? turned : y, NULL, 1, c, v->arena);
    nn_eigen_top(m, c, w, found, vector, v->arena);
    for (int i = 0; i < m; i++)
        sum += w[i] > 0 ? w[i] : 0;
    for (int p = 0; p < found && w[p] > 1e-12 * w[0]; p++) {        /* none if all is 0 */
        const double *a = vector + (size_t)p * m;
        if (turned) {
            memset(load, 0, sizeof *load * (size_t)d);
            for (int i = 0; i < n; i++)
                for (int j = 0; j < d; j++)
                    load[j] += a[i] * y[(size_t)i * d + j];
        } else {
            memcpy(load, a, sizeof *load * (size_t)d);
        }
        settle(d, load);
        for (int i = 0; i < n; i++)
            for (int j = 0; j < d; j++)
                xy[2 * i + p] += load[j] * y[(size_t)i * d + j];
        share[p] = w[p] / sum;
    }
    nn_arena_rewind(v->arena, mark);
}
