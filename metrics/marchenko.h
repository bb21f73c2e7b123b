#ifndef MET_MARCHENKO_H
#define MET_MARCHENKO_H

/* Spectra of isotropic Gaussian samples (Marchenko and Pastur, 1967): what the metrics of
 * a spectrum read when there is no collapse at all.
 *
 * The m = min(n, d) positive eigenvalues of Y'Y, divided by max(n, d), follow the density
 *   f(x) = sqrt((b - x)(x - a)) / (2 pi c x),  a, b = (1 -+ sqrt c)^2,  c = m / max(n, d)
 * and x = 1 + c - 2 sqrt(c) cos t turns f(x) dx into (2/pi) sin(t)^2 / x dt, smooth on
 * [0, pi]: the midpoint rule does the rest.  Limits for large n and d; at d = 64 they
 * hold to 2 %. */

/* E sqrt(x), E sqrt(x) ln sqrt(x) */
typedef struct met_mp { double root, root_log_root; } met_mp;
met_mp met_mp_of(int n, int d);

/* The values that cut the distribution at (i + 1/2)/m, i = 0 ... m-1, one after the other
 * in descending order. */
typedef struct met_mp_walk { double c, below; int m, i, step; } met_mp_walk;
met_mp_walk met_mp_start(int n, int d);
double      met_mp_next(met_mp_walk *w);

#endif
