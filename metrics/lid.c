/* Local intrinsic dimension: how many directions there are around a point.
 *
 *   LID_i = -k / sum_{j < k} ln(r_j / r_k + 1e-4)        r_1 <= ... <= r_k nearest others
 *
 *   lid_gmean   geometric mean over i        lid_mean   arithmetic mean             (M9)
 *
 * The maximum-likelihood estimate as "LDReg: Local Dimensionality Regularized
 * Self-Supervised Learning" (Huang et al., 2024) logs it; that paper argues for the
 * geometric mean.  Its expectation is k/(k-2) times the dimension.  A true dimension of
 * 32 reads as about 20, of 128 as about 49: compare at equal n and k only.
 *
 * Distances of zero (duplicates, dead units) carry no direction and are dropped.  Points
 * with fewer than two distances left are left out; NaN when none remains. */
#include <math.h>

#include "metrics/met.h"
#include "metrics/sphere.h"
#include "nn/elem.h"

double met_lid(const double *r, int k)
{
    while (k > 0 && r[0] == 0)
        r++, k--;
    if (k < 2)
        return NAN;

    double sum = 0, most = -1e-4 * (k - 1);
    for (int j = 0; j < k - 1; j++)
        sum += nn_log(r[j] / r[k - 1] + 1e-4);
    /* Neighbours all as far as the last have no finite dimension: read as 1e4. */
    return -k / (sum < most ? sum : most);
}

static double average(met_view *v, int geometric)
{
    if (!v->usable)
        return NAN;
    const double *r = met_nearest(v);
    double sum = 0;
    int points = 0;

    for (int i = 0; i < v->n; i++) {
        const double *ri = r + (size_t)i * v->k;
        if (v->k < 2 || ri[v->k - 2] == 0)
            continue;
        double lid = met_lid(ri, v->k);
        sum += geometric ? nn_log(lid) : lid;
        points++;
    }
    if (points == 0)
        return NAN;
    return geometric ? nn_exp(sum / points) : sum / points;
}

static double lid_gmean_value(met_view *v)
{
    return average(v, 1);
}

static double lid_mean_value(met_view *v)
{
    return average(v, 0);
}

enum { CELLS = 256 };

/* Mean of -ln(r_j / r_k + 1e-4) when r_k lies where the distribution F of the angle
 * reaches k/n.  By parts: integral of F(t)/F(w) (dr/dt) / (r + 1e-4 r_k) over [0, w]. */
static double mean_log(int n, int d, int k)
{
    double w = met_sphere_angle(d, k, n), far = 2 * nn_sin(w / 2), h = w / CELLS;
    double f = 0, sum = 0;

    for (int i = 0; i < CELLS; i++) {           /* midpoints; F by the same rule */
        double t = (i + 0.5) * h, p = met_sphere_density(d, t) * h;
        sum += h * (f + p / 2) * nn_cos(t / 2) / (2 * nn_sin(t / 2) + 1e-4 * far);
        f += p;
    }
    return sum / f - 1e-4;                      /* ln(1 + 1e-4) at the last neighbour */
}

/* The sum of k - 1 logarithms is close to a Gamma variable S of that shape:
 * E 1/S = 1/(k-2) and E ln S = digamma(k-1), in units of the mean. */
static double lid_mean_ideal(int n, int d, int k)
{
    if (k > n - 1)
        k = n - 1;
    return d < 2 || k < 3 ? NAN : k / ((k - 2) * mean_log(n, d, k));
}

static double lid_gmean_ideal(int n, int d, int k)
{
    if (k > n - 1)
        k = n - 1;
    if (d < 2 || k < 3)
        return NAN;
    double s = k - 1, digamma = nn_log(s) - 1 / (2 * s) - 1 / (12 * s * s);
    return k / (nn_exp(digamma) * mean_log(n, d, k));
}

const met_metric met_lid_gmean = {
    .name = "collapse/lid_gmean",
    .about = "local dimension around each point, geometric mean",
    .reference = "uniform on the sphere",
    .value = lid_gmean_value, .ideal = lid_gmean_ideal,
};

const met_metric met_lid_mean = {
    .name = "collapse/lid_mean",
    .about = "local dimension around each point, arithmetic mean",
    .reference = "uniform on the sphere",
    .value = lid_mean_value, .ideal = lid_mean_ideal,
};
