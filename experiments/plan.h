#ifndef EX_PLAN_H
#define EX_PLAN_H

#include <stdio.h>
#include "experiments/memory.h"
#include "experiments/run.h"

/* `fullrank plan`: what a run will take, before it is started.
 *
 * The figures come from the run itself.  A small part of a batch goes through the real
 * tape three times, each twice as large as the one before; a parabola through the peaks
 * gives the peak of the whole batch (activations grow with the images N, losses over
 * pairs with N x N).  What is handed out but not touched (batches, buffers) is asked for
 * at full size, which costs addresses, not memory.  Where that fits, a few real steps and
 * one real evaluation are run and the figures are measured; where it does not, nothing of
 * that size is ever touched. */
typedef struct ex_plan_options {
    const char *file;                   /* the configuration */
    int pairs; const char *const *pair; /* KEY=VALUE, later ones win */
    int threads;                        /* 0: OMP_NUM_THREADS or all cores */
    int json;
} ex_plan_options;

/* Peaks in bytes.  The three arenas together are the memory of a run. */
typedef struct ex_peaks {
    double forever, step, scratch;
    double training, training_scratch;  /* step arena and scratch in a step, and ... */
    double evaluation, evaluation_scratch;              /* ... in an evaluation */
} ex_peaks;

typedef struct ex_plan {
    const ex_config *config;
    nn_room room;
    double aside;                       /* bytes in arenas beside the run's three */
    int threads, train, test, steps, evaluations;
    double parameters, backbone, frozen;        /* numbers; heads are the rest */
    double data, weights, optimiser, batches, buffers, saving;  /* parts of forever */
    ex_peaks estimate, measured;
    int rehearsed, fits;                /* estimate is there; whether it fits */
    int largest;                        /* batch that fits; 0: none, -1: not looked for */
    int parts, codes, columns, places;  /* of a codebook: of each part, and the vectors of
                                           an image; parts = 0: none */
    double forward, backward;           /* operations of products in one step */
    double search;                      /* those of codes, which come on top */
    double file;                        /* bytes of a checkpoint, without its log */
    int steps_timed;                    /* 0: nothing was measured */
    int probes;                         /* linear probes after training has begun */
    double step_seconds, start_seconds, evaluation_seconds, linear_seconds, seconds;
} ex_plan;

double ex_peaks_sum(const ex_peaks *p);

/* Prints the plan.  NN_OK; NN_ERUN when the run does not fit into its memory, with the
 * figures all the same; otherwise what keeps the run from starting. */
nn_status ex_plan_print(const ex_plan_options *o, FILE *out, nn_err *err);

/* Memory ran out in the rehearsal: with --json, the object says so.  Called by the
 * program before it ends. */
void ex_plan_no_memory(const char *text);

/* plan_show.c: words for people, or one JSON object; p = NULL: there are no figures. */
void ex_plan_words(const ex_plan *p, FILE *out);
void ex_plan_json(const ex_plan *p, nn_status status, const char *message, FILE *out);

#endif
