#ifndef NN_OPS_COLUMNS_H
#define NN_OPS_COLUMNS_H

#include "nn/ops/inner.h"

/* Sums over the columns of a batch (rows, cols), for losses.  Rows are cut into stripes
 * of NN_STRIPE, summed in float within a stripe and folded in double as a tree: stripes
 * are small because the batches of these losses are short and wide; a stripe is a job. */
enum { NN_STRIPE = 32 };                /* part of the result's format */

/* mean_j, and square_j = sum_i (x_ij - mean_j)^2 unless `square` is NULL. */
void nn_column_moments(size_t rows, size_t cols, const float *x, float *mean,
                       double *square, nn_arena *scratch);

/* s_j = sum_i a_ij b_ij */
void nn_column_dots(size_t rows, size_t cols, const float *a, const float *b, double *s,
                    nn_arena *scratch);

/* y_ij (+)= w_j (x_ij - m_j).  w NULL: ones, m NULL: zeros. */
void nn_column_lean(size_t rows, size_t cols, const float *x, const float *m,
                    const float *w, int add, float *y, nn_arena *scratch);

/* sum_ij a_ij b_ij: rows in 16 lanes, the rest in double as a tree. */
double nn_matrix_dot(size_t rows, size_t cols, const float *a, const float *b,
                     nn_arena *scratch);

/* x *= f on n numbers */
void nn_matrix_scale(size_t n, float f, float *x);

#endif
