#ifndef MET_ORDER_H
#define MET_ORDER_H

/* Sorting, and what it is for.  No NaN. */
void met_ascend(double *x, int n);

/* The value below which lies the share q of x (n, ascending), 0 <= q <= 1: linear between
 * neighbours, as NumPy's percentile.  NaN when n is 0.  The median is that of q = .5. */
double met_quantile(const double *x, int n, double q);

#endif
