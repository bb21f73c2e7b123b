#ifndef NN_RNG_H
#define NN_RNG_H

#include <stdint.h>

/* Random numbers that are a function of their address, not of a history:
 * Philox 4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as
 * 1, 2, 3", 2011).  The key is the seed of the run, the counter names the draw:
 *
 *   counter = (draw / 4, sample low, sample high, purpose and epoch)
 *
 * so any thread, rank or resumed run gets the same numbers for the same sample.  One
 * address gives 2^34 words.  How many words each function below takes is part of the
 * format: changing it changes every run. */
typedef enum nn_purpose {               /* numbers are part of the format */
    NN_RNG_INIT = 1,                    /* sample = hash of the parameter's name */
    NN_RNG_SHUFFLE = 2,
    NN_RNG_AUGMENT = 3,                 /* sample = index * views + view */
    NN_RNG_GENERATE = 4,                /* generated data sets */
    NN_RNG_METRIC = 5,
    NN_RNG_TEST = 6,
    NN_RNG_QUANT = 7,                   /* epoch, sample = step, hash of a name */
    NN_RNG_SUBSET = 8                   /* data/subset.h */
} nn_purpose;

typedef struct nn_rng {
    uint32_t key[2], counter[4], out[4];
    int left;                           /* words of `out` not yet handed out */
    int spared;                         /* 1: `spare` is the normal to hand out next */
    double spare;
} nn_rng;

/* epoch < 2^24, purpose < 2^8 */
nn_rng   nn_rng_at(uint64_t seed, nn_purpose purpose, uint32_t epoch, uint64_t sample);
void     nn_rng_skip(nn_rng *r, uint32_t blocks);        /* right after nn_rng_at: leaves out
                                                    so many blocks of four words */
uint32_t nn_rng_u32(nn_rng *r);                  /* 1 word */
float    nn_rng_float(nn_rng *r);                /* [0, 1), multiples of 2^-24; 1 word */
double   nn_rng_double(nn_rng *r);               /* [0, 1), multiples of 2^-53; 2 words */
double   nn_rng_range(nn_rng *r, double lo, double hi); /* lo + (hi - lo) u; 2 words */
uint32_t nn_rng_below(nn_rng *r, uint32_t n);           /* unbiased, n > 0; 1 or more */

/* Mean 0, variance 1 (Box-Muller): two words give two normals, so every other call takes
 * none.  The largest possible value is sqrt(66 ln 2) = 6.76. */
double   nn_rng_normal(nn_rng *r);
void     nn_rng_permute(nn_rng *r, uint32_t *order, uint32_t n);    /* 0..n-1, shuffled */

/* The raw block function, for tests against the published vectors. */
void     nn_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* 64-bit FNV-1a: names as samples. */
uint64_t nn_hash_name(const char *name);

#endif
