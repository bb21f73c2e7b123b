#ifndef MET_SPHERE_H
#define MET_SPHERE_H

/* Uniform points on the sphere in d >= 2 dimensions: the angle t between two of them has
 * the density sin(t)^(d-2), their distance is 2 sin(t/2). */

/* The angle within which lie k of n such points, 0 < k < n. */
double met_sphere_angle(int d, double k, double n);

/* sin(t)^(d-2), not normalised */
double met_sphere_density(int d, double t);

#endif
