#ifndef NN_QUANT_SEARCH_H
#define NN_QUANT_SEARCH_H

#include "nn/arena.h"

/* The nearest of k codes for each of n vectors; nn/kern/members.h has the way back.
 *
 *   index_i = argmin_j |z_i - c_j|^2 = argmax_j z_i . c_j - h_j,    h_j = |c_j|^2 / 2
 *   dist_i  = |z_i - c_index_i|^2
 *
 * Of equal scores the lowest index wins.  h is summed in double and rounded once; a score
 * is one float32 sum from -h, d in order, so it depends on nothing but its vector and its
 * code: not on tiles, kernel table or team.  dist is summed anew from differences (the
 * score is a difference of large numbers and would give a wrong loss, even below zero).
 *
 * A common offset of all codes that is large against their spread would eat the digits of
 * the scores.  Where |mean of the codes| > 3 times their root mean square distance from
 * it, the mean is taken off codes and vectors before scoring; distances do not change.
 *
 * A vector has no nearest code if it is not finite, if its scores overflow, or if any
 * code is not finite or longer than float32 can square.  It then gets index 0 and a
 * distance of NaN.
 *
 * The n x k scores are never stored: scratch takes 8 bytes per vector, 1 MiB (more if one
 * panel of codes is more) for packed codes and 128 KiB a thread for packed vectors. */
typedef struct nn_search {
    size_t n, k, d;                 /* k > 0, d > 0;  k <= 2^24 */
    const float *z;                 /* (n, d) */
    const float *code;              /* (k, d) */
    int *index;                     /* n; written */
    float *dist;                    /* n; written; NULL: not wanted */
} nn_search;

/* Returns the number of vectors without a nearest code: 0 if all is well. */
size_t nn_search_nearest(const nn_search *s, nn_arena *scratch);

#endif
