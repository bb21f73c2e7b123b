#ifndef MET_MET_H
#define MET_MET_H

#include <signal.h>
#include <stdint.h>
#include "nn/arena.h"

/* ImageNet has 1000; a score of each class stands on the stack of whoever judges. */
enum { MET_MOST_CLASSES = 1024 };

/* Collapse metrics: one file per family, one line in metrics.def.  docs/metrics.md tells
 * how to read each, what its reference value is, and what fools it.
 *
 * A view holds one set of embeddings and what several metrics share (unit rows, column
 * means, eigenvalues, neighbour distances), computed when first asked for.  When an entry
 * is not finite, or there are fewer than two rows, `usable` is 0, every metric is NaN and
 * nothing is computed. */
typedef struct met_view {
    const float *x; int n, d;           /* embeddings (n, d) */
    int k;                              /* neighbours for LID (clamped to 1 .. n - 1) */
    int usable;
    nn_arena *arena;                    /* holds what is below; the caller rewinds it */
    float *unit;                        /* rows of length one (eps 1e-12) */
    double *mean;                       /* column means (d), from the start */
    double *cov;                        /* covariance, where d <= n */
    double *lambda;                     /* eigenvalues of the centred covariance */
    double *sigma;                      /* singular values of the uncentred X */
    double *nearest;                    /* distances to the k nearest others */
} met_view;

met_view met_view_of(nn_arena *a, const float *x, int n, int d, int k);
const float  *met_unit(met_view *v);            /* (n, d) */
const double *met_cov(met_view *v);             /* (d, d), of /(n-1); d <= n only */
const double *met_lambda(met_view *v);          /* (d), of /(n-1), descending, >= 0 */
const double *met_sigma(met_view *v);           /* (min(n, d)), descending, >= 0 */
const double *met_nearest(met_view *v);         /* (n, k), ascending in each row; a row
                                                   is not its own neighbour, copies are */

/* Alignment (Wang and Isola, 2020; spec M11) of two views a, b (n, d) of the same n
 * images: mean_i |a_i / |a_i| - b_i / |b_i||^power.  With power 2: 0 when the two views
 * of every image agree, which a constant does, too (read it beside uniformity); 2 when
 * they know nothing of each other; at most 4.  A row shorter than 1e-12 counts as its
 * value / 1e-12.  NaN when n is 0 or an entry is not finite.  power > 0. */
double met_alignment(int n, int d, const float *a, const float *b, double power);

/* What the view is made with.  met_finite: 1 when no entry is NaN or infinite.
 * met_check_labels: stops the program unless every label is below `classes`.
 * met_unit_rows: x_i / max(|x_i|, 1e-12).  met_spectrum: the min(n, d) largest
 * eigenvalues of Y'Y / denominator, Y = X - mean (or X when mean is NULL), descending;
 * those below 1e-12 of the largest are rounding and come out as 0.  met_col_std:
 * population standard deviation of every column. */
int  met_finite(const float *x, size_t n);
void met_check_labels(const char *what, const uint16_t *label, int n, int classes);
void met_unit_rows(int n, int d, const float *x, float *unit);
void met_spectrum(int n, int d, const float *x, const double *mean, double denominator,
                  double *w, nn_arena *scratch);
void met_col_std(int n, int d, const float *x, const double *mean, double *std,
                 nn_arena *scratch);

/* Local intrinsic dimension of one point from the ascending distances r (k) to its
 * neighbours (spec 4.2, the logging form of LDReg's code); zeros are dropped; NaN when
 * fewer than two are left. */
double met_lid(const double *r, int k);

typedef struct met_metric {
    const char *name;                   /* "collapse/erank" */
    const char *about;                  /* one line for `fullrank list metrics` */
    const char *reference;              /* what the ideal is: "isotropic Gaussian" */
    double (*value)(met_view *v);       /* NaN when undefined */
    double (*ideal)(int n, int d, int k);       /* at this n, d, k; NaN if none */
} met_metric;

int               met_metric_count(void);
const met_metric *met_metric_at(int i);         /* NULL outside 0 .. count - 1 */
const met_metric *met_metric_find(const char *name);    /* NULL if there is none */

/* kNN (spec 11.1): bank (bank_n, d) and queries (query_n, d) are features.  The k nearest
 * bank rows of a query vote for their classes.
 *
 *   MET_COSINE       features of any scale: normalised here; s = cosine
 *   MET_EUCLIDEAN    features as they are; r = distance, measured by differences
 *
 *   MET_VOTE_EXP     weight exp(s / temperature), or exp(-r / temperature)
 *   MET_VOTE_INVERSE 1 / (r + 1e-5), or with r = sqrt(2 - 2 s), the distance of unit rows
 *   MET_VOTE_COUNT   1: the majority
 *
 * Of equally near bank rows the first counts as nearer; lowest class on equal scores.  k
 * is clamped to the bank.  Labels are below `classes`.  Returns the share of queries
 * whose class is right; NaN when bank or queries are empty or hold a number that is not
 * finite.  Memory: one tile of similarities, whatever the sizes. */
typedef enum met_distance { MET_COSINE, MET_EUCLIDEAN } met_distance;
typedef enum met_vote { MET_VOTE_EXP, MET_VOTE_INVERSE, MET_VOTE_COUNT } met_vote;

typedef struct met_knn_settings {
    int k;
    double temperature;                 /* of MET_VOTE_EXP */
    int classes;
    met_distance distance;
    met_vote vote;
} met_knn_settings;

double met_knn(const met_knn_settings *s, int d, const float *bank,
               const uint16_t *bank_label, int bank_n, const float *query,
               const uint16_t *query_label, int query_n, nn_arena *scratch);

/* Linear probe (spec 11.2): how well a linear classifier on frozen features does.  It
 * learns from `train` (n, d) with its labels and is judged on `test` (m, d).  Features
 * are standardised by the mean and the population standard deviation of the training
 * rows; columns that are constant there are left out.  Two protocols:
 *
 *   MET_RIDGE   least squares in closed form, in double: (R + lambda I) W = X'Y / n,
 *               R the correlations of the features, Y one-hot less its mean
 *   MET_SGD     multinomial logistic regression from W = 0 by SGD: every epoch in a new
 *               order, a function of (seed, epoch); the last batch may be smaller; cosine
 *               to 0 over all steps
 *
 * lambda = 0 or lr = 0: that of the best share on a tenth of the training rows (drawn by
 * the seed), learnt on the others, is used for all rows: of .0001, .001, .01, .1, and of
 * .1, .01, 1; of equals the first, also when there are fewer than ten rows.
 * The lowest class on equal scores.  Labels are below `classes` (at most MET_MOST_CLASSES).  Returns
 * the share of test rows whose class is right; NaN when train or test is empty or holds a
 * number that is not finite, or when learning diverged.
 *
 * *stop, which a signal may set at any time, is looked at before every product over all
 * rows (ridge) and every few batches (SGD): then the share is NaN, too. */
typedef enum met_protocol { MET_RIDGE, MET_SGD } met_protocol;

typedef struct met_linear_settings {
    met_protocol protocol;
    int classes;
    uint64_t seed;
    double lambda;                      /* ridge; 0: choose */
    double lr, momentum;                /* SGD, the rest too; lr 0: choose */
    int epochs, batch;
    const volatile sig_atomic_t *stop;  /* set: give up soon; NULL: never */
} met_linear_settings;

/* lambda chosen; lr .1, momentum .9, 50 epochs, batch 256, seed 0; `protocol` and
 * `classes` are the caller's */
extern const met_linear_settings met_linear_default;

double met_linear(const met_linear_settings *s, int d, const float *train,
                  const uint16_t *train_label, int n, const float *test,
                  const uint16_t *test_label, int m, nn_arena *scratch);

/* The same in two steps.  score_c = sum_j (x_j - mean_j) by_j w_jc + bias_c.
 * met_linear_fit returns 1, or 0 when there is nothing to learn from, learning diverged
 * or was stopped; what it leaves in `f` lies in `arena`.  met_linear_share is NaN when x is
 * empty or not finite. */
typedef struct met_linear_map {
    int d, classes;
    double strength;                    /* the lambda or the lr that was used */
    double *mean, *by;                  /* (d); by = 1 / std, 0 for a constant column */
    double *w, *bias;                   /* (d, classes), (classes) */
} met_linear_map;

int    met_linear_fit(const met_linear_settings *s, int d, const float *x,
                      const uint16_t *label, int n, met_linear_map *f, nn_arena *arena);
double met_linear_share(const met_linear_map *f, const float *x, const uint16_t *label,
                        int n, nn_arena *scratch);

/* Online probe (spec 11.3): batch normalisation without scale and shift, then a linear
 * classifier, learning from the features of every training step beside the method, which
 * never feels it.  The arrays are the caller's to allocate and to save: they are all the
 * state there is.  met_online_start: weights and velocities zero, variances one.
 * met_online_of takes the arrays from an arena and starts.
 *
 * met_online_step: one update of SGD by the mean cross-entropy of h (n, d); returns it,
 * or NaN, and changes nothing, when n is 0 or h is not finite.  met_online_test: share of
 * rows whose class is right, with the running statistics; NaN as above.  Labels are below
 * `classes`, at most MET_MOST_CLASSES. */
typedef struct met_online {
    int d, classes;
    float lr, momentum;                 /* from the start .1 and .9; yours to schedule */
    float *weight, *bias;               /* (classes, d), (classes) */
    float *weight_velocity, *bias_velocity;
    float *mean, *var;                  /* (d), running, as in PyTorch: momentum .1 */
} met_online;

met_online met_online_of(int d, int classes, nn_arena *a);
void       met_online_start(met_online *o);
double     met_online_step(met_online *o, const float *h, const uint16_t *label, int n,
                           nn_arena *scratch);
double     met_online_test(const met_online *o, const float *h, const uint16_t *label,
                           int n, nn_arena *scratch);

/* The first two principal components of unit rows: xy (n, 2); sign fixed so that the
 * largest loading is positive. share[2]: part of the variance each explains.  All zero
 * for constant rows, all NaN for an unusable view. */
void met_pca2(met_view *v, double *xy, double share[2]);

/* The verdict: one word with its rule (docs/metrics.md). */
extern const double met_least_std;      /* sqrt(d)*std below it is a complete collapse */

typedef enum met_verdict {
    MET_HEALTHY, MET_DIMENSIONAL, MET_COMPLETE,
    MET_CODEBOOK,                       /* of met_judge_codes, metrics/code.h */
    MET_DIVERGED
} met_verdict;

typedef struct met_judged {
    met_verdict verdict;
    char why[160];                      /* "sqrt(d)*std = 0.13 < 0.35" */
} met_judged;

/* loss, and the metrics of z the rule reads (collapse/std, collapse/erank);
 * untrained_erank <= 0 or NaN when not known.  n and d are those of z. */
met_judged  met_judge(double loss, double std, double erank, double untrained_erank,
                      int n, int d);
const char *met_verdict_word(met_verdict v);    /* "healthy", "diverged" ... */

#endif
