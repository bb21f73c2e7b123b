#ifndef EX_RUN_H
#define EX_RUN_H

#include "experiments/codes.h"
#include "experiments/config.h"
#include "metrics/met.h"
#include "nn/tape.h"
#include "ssl/objective.h"

/* Generated sets are the same for every seed of a run: seeds compare training, not data. */
enum { EX_DATA_SEED = 0 };

/* What a run is made of: data, network, heads, optimiser, and the three arenas that hold
 * everything.  Built once from a configuration, freed as a whole. */
typedef struct ex_run {
    const ex_config *config;
    nn_arena forever, step, scratch;
    nn_store store;
    int backbone;                       /* so many tensors of it are the model's, and ... */
    int network;                        /* ... so many the network's; then the probe's */
    nn_tape tape;
    void *model_state, *target_state;   /* the target's model, NULL without a target */
    ssl_objective objective;
    int r, d;                           /* widths of representation and embedding */
    data_images train, test;
    data_loader *loader;
    opt_state *opt;
    met_online probe;                   /* beside the method; d = 0: none */
    ex_codes codes;                     /* of its codebook; parts = 0: none */
    int steps;                          /* per epoch */
    uint64_t train_print, test_print;   /* fingerprints of the data */
} ex_run;

/* Loads the data and creates the parameters.  NN_EDATA when the data set is not to be
 * had, NN_ECONFIG when batch and data do not fit together. */
nn_status ex_run_build(ex_run *run, const ex_config *c, nn_err *err);
void      ex_run_free(ex_run *run);

/* Before the first step of a new run: a codebook that starts from data gets the vectors of
 * the first batches, unless init.from brought the codes; the watch over them begins. */
void      ex_run_start(ex_run *run);

/* The forward passes of every view and the loss, recorded on a tape.  n images of each
 * view.  Fills *v but for v->terms and v->found, which are the caller's (NULL: not wanted),
 * and v->clock where the caller pretends another one (steps > 0). */
nn_node *ex_run_loss(const ex_run *run, nn_tape *t, const data_batch *b, int n,
                     ssl_views *v);

/* The clock of a step counted from the start of the run. */
ssl_clock ex_run_clock(const ex_run *run, long step);

/* Terms of the loss under names of their own: sums over steps, which outlive a process
 * in its checkpoint, and means over an epoch.  ssl_terms points to names in the code. */
enum { EX_TERM_NAME = 48 };

typedef struct ex_terms {
    int count;
    struct { char name[EX_TERM_NAME]; double value; } list[SSL_MAX_TERMS];
} ex_terms;

/* sums += terms, by name; a name that is new is added at the end. */
void ex_terms_add(ex_terms *sums, const ssl_terms *terms);

/* One step of the online probe (spec 11.3) on h of view 1 of the first n images of a
 * batch, of those that have a label.  Its state lies in buffers probe.* of the store, so
 * checkpoints and weights_sha256 have it.  A set without labels has no probe. */
void ex_run_probe(ex_run *run, const nn_node *h, const data_batch *b, int n,
                  nn_arena *scratch);

/* One step on a batch: forward, backward, update. */
typedef struct ex_step {
    double loss, lr;                    /* lr: the learning rate used */
    const nn_param *bad;                /* whose gradient is not finite; NULL: all are */
    ssl_terms terms;                    /* the loss in parts */
    double alignment;                   /* of z, power 2; NaN but at an epoch's end */
} ex_step;

/* tau of the momentum target after a step counted from the start of the run; NaN: there
 * is no target. */
double ex_run_tau(const ex_run *run, long step);

/* Regularisers, or stages of a codebook, that are there sometimes: clocks to pretend, in
 * one of which every term of the loss is there.  A start counts epochs, so it is the last; a
 * line of weights may be at 0 where it begins or where it ends, so the step is the first
 * and the last; stages are dropped in training alone.  Returns how many there are: 0 when
 * every step is like the first. */
enum { EX_FULL_CLOCKS = 2 };
int  ex_run_full_clocks(const ex_run *run, ssl_clock clock[EX_FULL_CLOCKS]);

/* Before the first step: takes the memory of a step at these clocks, so that a term which
 * comes later asks for none.  It does such steps without updating anything; gradients
 * are left for the first step to clear. */
void ex_run_reserve(ex_run *run, const data_batch *b);

/* When the loss or a gradient is not finite nothing has been updated (but for running
 * statistics and the online probe), so the same step can be watched (nn/watch.h). */
ex_step ex_run_step(ex_run *run, const data_batch *b);

/* Bytes in the arenas at their worst moment, and how often the system was asked for
 * more. */
size_t ex_run_bytes(const ex_run *run);
size_t ex_run_grown(const ex_run *run);

/* SHA-256 over every parameter and buffer in order of their names: the name and a zero
 * byte, the rank and each dimension as 32-bit numbers, the values as 32-bit floats; all
 * numbers little-endian.  64 hex digits. */
void ex_weights_sha256(const nn_store *s, char out[65]);

#endif
