#ifndef DATA_MADE_H
#define DATA_MADE_H

#include "data/data.h"

/* What sets that are made rather than read have in common.  Sample i is a function of
 * (seed, i) and of the settings; training samples count from 0, test samples from
 * DATA_FIRST_TEST on, so that no sample is in both parts. */
#define DATA_FIRST_TEST (UINT64_C(1) << 40)

/* Rows of numbers.  `row` fills one; its random numbers come from r, which belongs to
 * the row `number`. */
typedef struct data_made {
    int columns, classes, factors;
    double std;                         /* of all numbers, whose mean is 0 */
    const char *const *names;           /* of the classes; NULL: the source has them */
    const char *const *factor_names;    /* (factors) */
    const void *ctx;
    void (*row)(const void *ctx, uint64_t number, nn_rng *r, float *value,
                uint16_t *label, float *factor);
} data_made;

/* s->size rows to train on and a fifth as many to test, cut by the limits. */
void data_make(const data_made *m, const data_settings *s, uint64_t seed, nn_arena *a,
               data_images *train, data_images *test);

/* Samples of each part that s asks for; at least `least` in the test, before limits. */
int data_made_train(const data_settings *s);
int data_made_test(const data_settings *s, int least);

/* Random numbers of what all rows share: centres, matrices. */
nn_rng data_made_shared(uint64_t seed);

/* q (rows, cols), cols <= rows: columns of unit length at right angles, as a rotation
 * drawn uniformly has them: normal columns, each freed of the ones before it, twice
 * (Gram-Schmidt; once would leave the rounding errors of nearly parallel ones). */
void data_made_frame(nn_rng *r, int rows, int cols, double *q);

/* "word1", "word2", ..., NULL-terminated. */
const char *const *data_made_names(nn_arena *a, const char *word, int n);

/* `present` of a set without files. */
int data_made_present(const data_settings *s, char *where, size_t size);

#endif
