#include "metrics/marchenko.h"

#include <math.h>
#include "nn/elem.h"

enum { STEPS = 4096 };          /* quantiles of d = 2048 then have two steps each */

static const double pi = 0x1.921fb54442d18p+1;

static double aspect(int n, int d)
{
    return n < d ? (double)n / d : (double)d / n;
}

static double angle(int i)
{
    return (i + 0.5) * pi / STEPS;
}

static double value(double c, double t)
{
    return 1 + c - 2 * sqrt(c) * nn_cos(t);
}

static double mass(double c, double t)
{
    double s = nn_sin(t);
    return 2 * s * s / value(c, t) / STEPS;
}

met_mp met_mp_of(int n, int d)
{
    double c = aspect(n, d);
    met_mp e = {0};

    for (int i = 0; i < STEPS; i++) {
        double t = angle(i), root = sqrt(value(c, t)), f = mass(c, t);
        e.root += f * root;
        e.root_log_root += f * root * nn_log(root);
    }
    return e;
}

met_mp_walk met_mp_start(int n, int d)
{
    return (met_mp_walk){ aspect(n, d), 1, n < d ? n : d, 0, STEPS };
}

double met_mp_next(met_mp_walk *w)
{
    double wanted = 1 - (w->i++ + 0.5) / w->m;

    while (w->step > 0 && w->below > wanted)
        w->below -= mass(w->c, angle(--w->step));
    double within = (wanted - w->below) / mass(w->c, angle(w->step));
    return value(w->c, angle(w->step) + (within - 0.5) * pi / STEPS);
}
