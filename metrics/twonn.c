/* Intrinsic dimension from two neighbours: TwoNN, "Estimating the intrinsic dimension of
 * datasets by a minimal neighborhood information", Facco et al., 2017.
 *
 *   m_i = r_i2 / r_i1, in ascending order      -ln(1 - i/n) = dim ln m_i
 *
 *   twonn   slope of that line through the origin over the lowest nine tenths    (M10)
 *
 * r_i1 <= r_i2: distances to the two nearest others, zeros (copies) dropped.  The first
 * neighbours see the finest scale there is: noise and near copies, such as augmented
 * images, raise or lower it first.  High dimensions read too low, as with the LID: 32 as
 * about 24, 128 as about 60. */
#include <math.h>

#include "metrics/met.h"
#include "metrics/order.h"
#include "metrics/sphere.h"
#include "nn/elem.h"

static const double part = 0.9;         /* the rest are outliers: the authors' advice */

static double value(met_view *v)
{
    if (!v->usable || v->k < 2)
        return NAN;
    const double *r = met_nearest(v);
    size_t mark = nn_arena_mark(v->arena);
    double *m = NN_NEW(v->arena, double, v->n), xx = 0, xy = 0;
    int points = 0;

    for (int i = 0; i < v->n; i++) {
        const double *ri = r + (size_t)i * v->k;
        int j = 0;
        while (j < v->k && ri[j] == 0)
            j++;
        if (j + 1 < v->k)
            m[points++] = nn_log(ri[j + 1] / ri[j]);
    }
    met_ascend(m, points);
    for (int i = 1; i <= (int)(part * points); i++) {
        xx += m[i - 1] * m[i - 1];
        xy -= m[i - 1] * nn_log(1 - (double)i / points);
    }
    nn_arena_rewind(v->arena, mark);
    return xx > 0 ? xy / xx : NAN;
}

/* Uniform points on the sphere.  With the second neighbour at angle w, the first lies
 * within t with probability F(t)/F(w), which is 1 minus the distribution of
 * m = r(w)/r(t): the same line through these, cell by cell.  w is where the median second
 * neighbour lies, 1.678 points away (x with (1 + x) exp(-x) = 1/2). */
enum { CELLS = 256 };

static double ideal(int n, int d, int k)
{
    if (d < 2 || k < 2 || n < 4)
        return NAN;
    double w = met_sphere_angle(d, 1.678, n), h = w / CELLS, f = 0, all = 0;
    double xx = 0, xy = 0;

    for (int i = 0; i < CELLS; i++)             /* midpoints, as in lid.c */
        all += met_sphere_density(d, (i + 0.5) * h);
    for (int i = 0; i < CELLS; i++) {
        double t = (i + 0.5) * h, p = met_sphere_density(d, t) / all, s = f + p / 2;
        double x = nn_log(nn_sin(w / 2) / nn_sin(t / 2));
        if (s > 1 - part) {
            xx += p * x * x;
            xy -= p * x * nn_log(s);
        }
        f += p;
    }
    return xy / xx;
}

const met_metric met_twonn = {
    .name = "collapse/twonn",
    .about = "intrinsic dimension from the two nearest neighbours",
    .reference = "uniform on the sphere",
    .value = value, .ideal = ideal,
};
