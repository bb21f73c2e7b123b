#include "metrics/sphere.h"

#include "nn/elem.h"

enum { CELLS = 256 };

double met_sphere_density(int d, double t)
{
    return nn_pow(nn_sin(t), d - 2);
}

/* Simpson's rule for the integral of the density over [0, t] */
static double cap(double t, int d)
{
    double h = t / (2 * CELLS), sum = 0;

    for (int i = 0; i <= 2 * CELLS; i++) {
        double f = met_sphere_density(d, i * h);
        sum += i == 0 || i == 2 * CELLS ? f : i % 2 ? 4 * f : 2 * f;
    }
    return sum * h / 3;
}

double met_sphere_angle(int d, double k, double n)
{
    const double pi = 0x1.921fb54442d18p+1;
    double half = cap(pi / 2, d), wanted = 2 * half * k / n, lo = 0, hi = pi;

    for (int i = 0; i < 50; i++) {              /* the interval ends at 1e-15 */
        double t = (lo + hi) / 2;
        double f = t < pi / 2 ? cap(t, d) : 2 * half - cap(pi - t, d);
        if (f < wanted)
            lo = t;
        else
            hi = t;
    }
    return lo;
}
