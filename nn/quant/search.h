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
 * By cosine, the score is z_i . c_j / |c_j|, c_j scaled to length 1 in double and then
 * rounded: |z| plays no part, nothing is taken off, and a code of length 0 loses to all
 * others.  dist is what it was, of z and c as they are given.
 *
 * The n x k scores are never stored: scratch takes 8 bytes per vector, 1 MiB (more if one
 * panel of codes is more) for packed codes, 128 KiB a thread for packed vectors, and
 * d + 2 doubles per 256 codes. */
typedef struct nn_search {
    size_t n, k, d;                 /* k > 0, d > 0;  k <= 2^24 */
    const float *z;                 /* (n, d) */
    const float *code;              /* (k, d) */
    int *index;                     /* n; written */
    float *dist;                    /* n; written; NULL: not wanted */
    int cosine;                     /* 0: by distance; 1: by cosine */
} nn_search;

/* Returns the number of vectors without a nearest code: 0 if all is well. */
size_t nn_search_nearest(const nn_search *s, nn_arena *scratch);

/* The other way round, the nearest vector of each code: the same search with the sides
 * exchanged (by cosine, vectors are scaled), so index and dist have k elements, n > 0 is
 * at most 2^24, and scratch is that for k vectors and n codes.  One thing differs: a
 * vector that is not finite is nobody's nearest and harms no other.  Returns the number
 * of codes without a nearest vector, because they are not finite or no vector is: index 0
 * and a distance of NaN. */
size_t nn_search_nearest_vectors(const nn_search *s, nn_arena *scratch);

/* dist_j = the least |c_j - c_i|^2 over all other codes i: 0 if c_j has a copy, infinity
 * if it is alone or not finite.  The sums are those of nn/kern/pairs.h.  Scratch: 128 KiB
 * a thread (more if one panel of codes is more), a panel of others and a tile. */
void nn_search_neighbours(size_t k, size_t d, const float *code, float *dist,
                          nn_arena *scratch);

#endif
