#ifndef OPT_OPT_H
#define OPT_OPT_H

#include "nn/base.h"
#include "nn/setting.h"
#include "nn/tensor.h"

/* Optimisers and learning-rate schedules (spec 1.3 and 1.4): one file per optimiser, one
 * line in optim.def.
 *
 * An optimiser sees one piece of one tensor at a time and treats every element alike, so
 * pieces can go to any thread in any order.  What a whole tensor decides (LARS scales it
 * by the ratio of two norms) is worked out first, in chunks of fixed size, and handed to
 * the pieces as a number.  The weights are the same bits at any number of threads.
 *
 * The state is a set of named float buffers beside the parameters, so that a checkpoint
 * can hold it. */
enum {
    OPT_MAX_SLOTS = 2,
    OPT_PIECE = 16384           /* elements of one job; also the chunk of LARS's norms,
                                   and there it is part of the result's format */
};

typedef enum opt_schedule { OPT_COSINE, OPT_CONSTANT } opt_schedule;
typedef enum opt_per { OPT_PER_STEP, OPT_PER_EPOCH } opt_per;
typedef enum opt_exclude {
    OPT_EXCLUDE_AUTO, OPT_EXCLUDE_NONE, OPT_EXCLUDE_RANK1
} opt_exclude;

/* Section `optim` of the config.  0 in lr, base_lr, eta and `auto` in exclude mean "not
 * given"; opt_settle replaces them by the optimiser's own values. */
typedef struct opt_settings {
    double lr, base_lr;                 /* as used; per 256 images; one of them */
    double momentum, weight_decay;
    int schedule;                       /* opt_schedule */
    int per;                            /* opt_per: when the cosine moves on */
    double warmup_epochs;
    double warmup_start, final_lr;      /* as fractions of the peak */
    double eta;                         /* lars: trust coefficient */
    int clip_lr;                        /* lars_clip */
    int exclude;                        /* opt_exclude: tensors without weight decay */
    double beta1, beta2, eps;           /* adamw */
} opt_settings;

extern const nn_setting opt_setting_table[];

/* Numbers that hold for a whole tensor during one step. */
typedef struct opt_rate {
    double lr, decay;                   /* decay: weight_decay, or 0 if excluded */
    double trust;                       /* factor on the gradient; 1 except in LARS */
    long step;                          /* from 0 */
} opt_rate;

/* Elements [0, n) of one piece. */
typedef struct opt_piece {
    size_t n;
    float *w, *slot[OPT_MAX_SLOTS];
    const float *g;
} opt_piece;

typedef struct opt_method {
    const char *name, *about;
    const char *uses;                   /* keys beside the common ones: " a b c " */
    int slots;                          /* buffers per parameter */
    const char *slot_name[OPT_MAX_SLOTS];
    double base_lr, eta;                /* in place of values not given */
    int exclude;
    void (*update)(const opt_settings *o, const opt_rate *r, const opt_piece *p);
    /* NULL: no norms are taken.  Else sets r->trust (and r->decay, if need be) from |w|
     * and |g|, the latter of the gradient with decay added when norm_decayed is 1.  Not
     * asked for excluded tensors. */
    void (*trust)(const opt_settings *o, opt_rate *r, double w_norm, double g_norm);
    int norm_decayed;
} opt_method;

int               opt_method_count(void);
const opt_method *opt_method_at(int i);
const opt_method *opt_method_find(const char *name);    /* NULL if there is none */

/* Whether the optimiser reads this key of the table (1), or the key would have no effect
 * (0) and naming it in a config is a mistake. */
int               opt_method_uses(const opt_method *m, const char *key);

/* Checks what ranges cannot and fills in what was not given.  NN_ECONFIG: both lr and
 * base_lr given.  Calling it twice changes nothing. */
nn_status opt_settle(const opt_method *m, opt_settings *o, nn_err *err);

/* lr, or base_lr * batch / 256.  One of them must be set (opt_settle sees to it). */
double opt_peak_lr(const opt_settings *o, int batch);

/* Learning rate at a step (from 0) of a run of `epochs` epochs of `steps` steps each. */
double opt_lr(const opt_settings *o, int batch, long step, long steps, int epochs);

/* State for every tensor of the store that has a gradient; all memory is taken now, from
 * the store's arena.  The settings are copied. */
typedef struct opt_state opt_state;
opt_state *opt_new(const opt_method *m, const opt_settings *o, nn_store *s);

/* w <- w - ... for all of them.  lr for most, first_lr for those with constant_lr.  step
 * counts from 0.  Gradients are left as they are. */
void opt_step(opt_state *st, double lr, double first_lr, long step);

/* Zeros in the state of some rows of a tensor: what it holds was learnt by numbers that
 * somebody else has overwritten.  A tensor without state is left alone. */
void opt_forget(opt_state *st, const nn_param *p, const int *row, int rows);

/* The buffers, for a checkpoint: "conv1.weight.momentum", of the parameter's shape. */
typedef struct opt_buffer {
    const char *name;
    const nn_param *param;
    float *val;
} opt_buffer;
int        opt_buffer_count(const opt_state *st);
opt_buffer opt_buffer_at(const opt_state *st, int i);

#endif
