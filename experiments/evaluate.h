#ifndef EX_EVALUATE_H
#define EX_EVALUATE_H

#include <signal.h>
#include "experiments/run.h"
#include "metrics/met.h"

enum { EX_MOST_METRICS = 32, EX_MAP_POINTS = 1000 };

/* What one evaluation found.  Figures are in the order of met_metric_at. */
typedef struct ex_figures {
    int n, d, r, k, knn_k, bank;        /* as used, after clamping to the data */
    double z[EX_MOST_METRICS], h[EX_MOST_METRICS];      /* NaN: undefined */
    double knn, linear, online;         /* the last two NaN: not measured */
    int linear_bank;                    /* training images of the probe; 0: none */
    met_judged judged;
    double *spectrum_z, *spectrum_h;    /* (d), (r): eigenvalues of unit rows */
    double *map; int points;            /* (points, 2) */
    double share[2];
    ex_code_figures codes;              /* parts = 0: no codebook */
} ex_figures;

/* Buffers for evaluations, taken from the forever arena once. */
typedef struct ex_evaluator {
    ex_run *run;
    int n, bank, part;                  /* held-out images, bank, most images at a time */
    int queries;                        /* of the n: those with a label, which come first */
    int k, knn_k;
    int linear_bank;                    /* 0: no linear probe in this run */
    int looked;                         /* held-out images whose codes are looked at: all,
                                           or 0: those of none, and no figures of codes */
    float *image, *h, *z, *feature;
    const volatile sig_atomic_t *stop;  /* set: give up between parts; NULL: never */
    double untrained_erank;             /* 0 until the untrained network was measured */
    double ideal_z[EX_MOST_METRICS], ideal_h[EX_MOST_METRICS];
} ex_evaluator;

ex_evaluator ex_evaluator_new(ex_run *run);

/* Measures the network as it is.  Metrics of z and h: held-out images without
 * augmentation, BatchNorm with the statistics of batches of about the training batch, as
 * in training, and nothing updated.  kNN: h with running statistics, bank and queries
 * alike, of images with a label; NaN when one side has none.
 * figures keep their memory between calls (the forever arena).  0: e->stop was set, and
 * the figures mean nothing. */
int ex_evaluate(ex_evaluator *e, double loss, ex_figures *f);

/* The same for the network before its first step.  Its running statistics mean nothing
 * yet (0 and 1), so they are first measured on training images without augmentation, and
 * afterwards put back bit by bit: training starts from where it would have started.  When
 * e->stop was set, the figures mean nothing, and nor do those of the pixels below. */
void ex_evaluate_untrained(ex_evaluator *e, ex_figures *f);

/* h (n, r) of the first n images of `d`, with running statistics: what probes see. */
void ex_evaluator_features(ex_evaluator *e, const data_images *d, int n, float *h);

/* What a codebook finds in the images of `d`, batch by batch, without augmentation and
 * with running statistics: maps of h' x w' places, and pixels in 0 .. 1 with what the
 * decoder makes of them.  It lives as long as the call. */
typedef struct ex_coded {
    int from, images, rows, cols;       /* rows h', cols w' */
    const nn_quantised *found;
    const float *truth, *made;
} ex_coded;
typedef void ex_coded_act(void *ctx, const ex_coded *batch);

void ex_evaluator_codes(ex_evaluator *e, const data_images *d, ex_coded_act *see,
                        void *ctx);

/* kNN on the pixels themselves: what no representation may fall below unnoticed. */
double ex_raw_pixel_knn(ex_evaluator *e);

/* The linear probe of h with running statistics: it learns from the first linear_bank
 * training images without augmentation and is judged on all held-out ones with a label,
 * whatever metrics.samples is.  NaN without a probe, or when e->stop was set.  ex_evaluate leaves
 * it out (NaN), as not every evaluation has one; ex_evaluate_untrained has it. */
double ex_linear(ex_evaluator *e);

/* The same of the pixels themselves. */
double ex_raw_pixel_linear(ex_evaluator *e);

/* Shares of held-out images that are known without training anything: what the figures
 * of a run have to be held against.  NaN: not measured. */
typedef struct ex_baselines {
    double raw_pixel_knn, untrained_knn, raw_pixel_linear, untrained_linear;
} ex_baselines;

/* The protocol of the linear probe that a configuration asks for. */
met_linear_settings ex_linear_settings(const ex_config *c, int classes);

/* Training images that a linear probe learns from: with a label, and 0 when no held-out
 * image has one. */
int ex_probed(const ex_config *c, const data_images *train, const data_images *test);

/* The share that guessing gets right; NaN when there are no labels to guess. */
double ex_chance(const data_images *d);

/* The index of a metric in ex_figures; -1 when there is none of this name. */
int ex_metric_index(const char *name);

#endif
