#ifndef NN_MEMBERS_H
#define NN_MEMBERS_H

#include "nn/arena.h"

/* The vectors of each code: those of code j are row[first[j]] .. row[first[j + 1] - 1],
 * ascending.  first[j + 1] - first[j] is the number of hits.  From the arena `a`. */
typedef struct nn_members { size_t k, *first; int *row; } nn_members;

nn_members nn_code_members(size_t n, size_t k, const int *index, nn_arena *a);

/* sum_j (+)= the sum of x_i over the vectors i of code j, x (n, d), sum (k, d): the way
 * back of looking codes up, and the sums of a moving average.  Summed in double in order
 * of i and rounded once; add = 0 overwrites (a code without vectors gets zeros), 1 adds
 * (such a code is left alone). */
void nn_code_sums(const nn_members *m, size_t d, const float *x, int add, float *sum,
                  nn_arena *scratch);

#endif
