#ifndef NN_LINALG_H
#define NN_LINALG_H

#include "nn/arena.h"

/* Double-precision linear algebra with the same bits everywhere; row-major, n x n packed
 * with row stride n.  LAPACK is the oracle in tests/test_linalg.c, never a dependency. */

/* Eigenvalues of a symmetric matrix, descending, into w (n); only the lower triangle is
 * read.  With vectors = NN_VECTORS, A is overwritten by the eigenvectors, row i belonging
 * to w[i], of length one; with NN_VALUES it stays as it is.  Householder
 * tridiagonalisation, then QL (on squares for the values).  Absolute error about n eps max|w|.  Returns 0,
 * or 1 with every w NaN when an entry is not finite or QL did not converge (30 sweeps
 * per eigenvalue; never seen for finite entries). */
enum { NN_VALUES = 0, NN_VECTORS = 1 };
int nn_eigen_sym(int n, double *a, double *w, int vectors, nn_arena *scratch);

/* The same values, and the eigenvectors of the `count` largest into the rows of v (count,
 * n), by inverse iteration: for a few vectors this costs no more than the values.  A stays
 * as it is.  For count eigenvalues of which some are equal the vectors are at right angles
 * all the same. */
int nn_eigen_top(int n, const double *a, double *w, int count, double *v,
                 nn_arena *scratch);

/* C = X'X / denominator (d x d, both triangles) of float rows X (n x d); mean_j (d) is
 * subtracted first unless mean is NULL.  One double accumulator per element, fused, rows
 * in order. */
void nn_gram(int n, int d, const float *x, const double *mean, double denominator,
             double *c, nn_arena *scratch);

/* L L' = A for a symmetric positive definite A, of which the lower triangle is read and
 * becomes L; what lies above it stays.  Returns 0, or 1 when a pivot is not above zero
 * (A is not positive definite, or not finite).  nn_cholesky_solve then turns B (n, cols)
 * into the solution of A X = B. */
int  nn_cholesky(int n, double *a);
void nn_cholesky_solve(int n, const double *l, int cols, double *b);

/* Column means (d) in double: sums of fixed chunks of rows, folded in a binary tree. */
void nn_col_mean(int n, int d, const float *x, double *mean, nn_arena *scratch);

#endif
