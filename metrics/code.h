#ifndef MET_CODE_H
#define MET_CODE_H

#include "metrics/met.h"
#include "nn/arena.h"

/* Is the codebook in use, and what does it cost?  Numbers for k codes of d dimensions, by
 * section 14 of the specification of vector quantisers (the item in brackets).
 * docs/metrics.md tells how to read each and what fools it.  Undefined is NaN.
 *
 * Usage [1 - 3] from count[k], how often each code was assigned in a window of n vectors:
 * whole numbers, not a moving average (which never reaches 0).  As floats they are exact
 * to 2^24 each.  With p_k = count_k / n: */
typedef struct met_usage {
    double k, n;
    double used;                        /* codes that were hit */
    double usage;                       /* used / k */
    double usage_max;                   /* what uniform chance reaches in n draws:
                                           1 - (1 - 1/k)^n */
    double usage_eps;                   /* share of codes with p_k > 0.1 / k */
    double perplexity;                  /* exp(H), H = -sum p ln p; 1 .. min(k, n) */
    double perplexity_corrected;        /* exp(H + (used - 1) / (2 n)): may pass k */
} met_usage;

met_usage  met_code_usage(size_t k, const float *count);    /* n = 0: shares are NaN */
met_judged met_judge_codes(const met_usage *u);     /* healthy, or codebook dying */

/* Shares of codes by how their p_k compares with a fair share: bin 0 holds codes that
 * were never hit, bin b those with 2^(b - 12.5) <= p_k k < 2^(b - 11.5), bins 1 and 23
 * also what lies beyond.  MET_CODE_FAIR is 1 within a factor of sqrt 2. */
enum { MET_CODE_BINS = 24, MET_CODE_FAIR = 12 };
void met_code_histogram(size_t k, const float *count, double bins[MET_CODE_BINS]);

/* Directions of the centred codebook [7], s_j its singular values, pi_j = s_j / sum s:
 * erank exp(-sum pi ln pi), participation (sum s^2)^2 / sum s^4.  With `count` only of
 * codes that were hit.  (collapse/erank takes squares: it is smaller.)  1 for codes that
 * are all equal or only one; NaN for none or when one is not finite. */
typedef struct met_rank { double erank, participation; } met_rank;
met_rank met_code_rank(size_t k, size_t d, const float *code, const float *count,
                       nn_arena *scratch);

/* Share of codes that moved [6]: |now_k - before_k| > .01 median_j |before_j|.  After a
 * median of 0, of those that moved at all. */
double met_code_moved(size_t k, size_t d, const float *before, const float *now,
                      nn_arena *scratch);

/* Share of n vectors whose code changed [12]; NaN when n is 0. */
double met_code_churn(size_t n, const int *before, const int *now);

/* Codes beside codes [11], from dist[k], the distance (not squared) of each to the
 * nearest other.  twins counts codes, not pairs, with another closer than 1e-6: two equal
 * codes are 2, three are 3.  NaN when k is 1 or a distance is NaN. */
typedef struct met_near { double min, median, twins; } met_near;
met_near met_code_near(size_t k, const float *dist, nn_arena *scratch);

/* Lives of codes [4, 5].  The arrays are the caller's to allocate and to save: they are
 * all the state there is; zeros are a book that was never used.  Steps are counted from 1
 * and told one after the other; floats hold them exactly to 2^24.
 *
 * A code is dead after `idle` steps without a hit.  It is born by a hit that finds it
 * dead or never hit before. */
enum { MET_LIFE_IDLE = 100 };

typedef struct met_life {
    size_t k;
    float *last_hit, *born;             /* (k): steps; 0: never */
    float *tally;                       /* (2): births, deaths since the last epoch */
} met_life;

void met_life_step(met_life *l, const int *index, size_t n, size_t step);

/* dead, dead_epoch: codes without a hit in the last MET_LIFE_IDLE or `epoch` steps up to
 * `step` (0 before there were as many).  p50, p90: of the steps from first to last hit,
 * both counted, of the present or last life of every code ever hit; a life that goes on
 * counts as long as it is so far.  Sets the tally back to 0. */
typedef struct met_lives {
    double dead, dead_epoch, births, deaths, p50, p90;
} met_lives;
met_lives met_life_epoch(met_life *l, size_t epoch, size_t step, nn_arena *scratch);

/* What is lost between z and q (n, d), the codes of its rows [8], over any number of
 * batches.  The same batches in the same order give the same bits. */
typedef struct met_code_sum {
    int d;
    double n, error, length, spread;    /* sums of |z - q|^2, |z|^2, |z - first|^2 */
    float *first;                       /* (d): the first z */
    double *sum;                        /* (d): of z - first */
} met_code_sum;

typedef struct met_code_loss {
    double error;                       /* code/error: mean |z - q|^2 */
    double per_element;                 /* error / d */
    double relative;                    /* error / mean |z - mean z|^2; NaN of equal z */
    double z_rms;                       /* sqrt(mean |z|^2) */
} met_code_loss;

met_code_sum  met_code_sum_of(int d, nn_arena *a);
void          met_code_add(met_code_sum *s, size_t n, const float *z, const float *q,
                           nn_arena *scratch);
met_code_loss met_code_loss_of(const met_code_sum *s);      /* NaN without a vector */

#endif
