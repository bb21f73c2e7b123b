#ifndef TESTS_TOY_H
#define TESTS_TOY_H

#include <stdint.h>

/* Setting B of the specification (13.1): a world small enough that a whole training run
 * takes about a second, in which every collapse of the papers can be seen.
 *
 *   data       10 Gaussian classes in 8 latent dimensions, tanh of a random matrix: 32
 *              features, drawn afresh for every batch of 256
 *   views      times exp(0.25 n), 20 % of the features dropped, plus 0.25 n
 *   network    mlp 32-128-64 with BatchNorm and ReLU; heads of two linear layers of width
 *              64 (three for T-REGS); SimSiam's predictor 64-16-64
 *   training   SGD, momentum 0.9, weight decay 1e-4, cosine per step; the predictor keeps
 *              its rate where the method says so
 *   metrics    of z of 3000 clean samples, BatchNorm with their own statistics
 *
 * All of it is a function of the plan: same plan, same bits. */
enum { TOY_BATCH = 256, TOY_FEATURES = 32, TOY_D = 64, TOY_SAMPLES = 3000 };

typedef struct toy_plan {
    const char *method;
    const char *settings;           /* "key=value key=value" (tests/keys.h) */
    double lr;
    int steps, warmup;              /* warmup: steps in which lr rises from 0 */
    uint64_t seed;
} toy_plan;

typedef struct toy_end {
    double loss;                    /* mean of the last 10 steps, NaN without steps */
    double std, cos, erank;         /* sqrt(d)*std, mean cosine, effective rank */
    double raw_std;                 /* mean over columns of std, of z as it is */
} toy_end;

toy_end toy_run(const toy_plan *plan);

/* S3: both plans take one batch of the same network; *cosine and *ratio (first over
 * second) compare the gradients of all parameters they share. */
void toy_compare(const toy_plan *a, const toy_plan *b, double *cosine, double *ratio);

#endif
