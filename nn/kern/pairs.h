#ifndef NN_PAIRS_H
#define NN_PAIRS_H

#include "nn/arena.h"

/* Squared Euclidean distances between the rows of X (n x d), and nearest neighbours.
 *
 * A distance is a sum of squared differences in float, k in order, in blocks of NN_KC
 * terms: it stays good to about 1e-6 of itself however near two rows are.  Each pair is
 * worked out once, in tiles.  Same bits for every kernel table and team; NaN and infinity
 * pass through. */

/* All of them: c[i * stride + j], both triangles, stride = nn_dist2_stride(n). */
size_t nn_dist2_stride(size_t n);
void   nn_dist2(size_t n, size_t d, const float *x, float *c, nn_arena *scratch);

/* The k nearest other rows of each of the first `queries` rows, queries <= n, 0 < k < n:
 * from[i * k + m] is the m-th, at a squared distance of dist2[i * k + m], nearest first,
 * the lower index first among equals.  A row is not its own neighbour; copies of it are.
 * Rows at a distance that is NaN come last.  Memory: queries x n floats, rounded up to 96
 * queries, up to n = 4096; 96 x n beyond. */
void   nn_neighbours(size_t n, size_t d, const float *x, size_t queries, size_t k,
                     int *from, float *dist2, nn_arena *scratch);

#endif
