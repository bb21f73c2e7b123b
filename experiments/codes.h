#ifndef EX_CODES_H
#define EX_CODES_H

#include "metrics/code.h"
#include "metrics/image.h"
#include "nn/quant/quant.h"

/* What a run knows of its codebook: a watch over every part (stage or group) while it
 * trains, and what an evaluation finds.
 *
 * The watch lies in buffers codes.* of the store, so that checkpoints and weights_sha256
 * have it: hits of the epoch under way, when each code was hit last and since when it
 * lives, the book of the evaluation before, and the codes that the first vectors of the
 * test set had then. */
enum { EX_PROBED = 4096 };              /* vectors whose codes are compared */

typedef struct ex_codes_part {
    float *hits;                        /* (K) */
    met_life life;
    float *before;                      /* (K, d); NULL: codes are no table */
    float *probe;                       /* (EX_PROBED), -1: none yet */
} ex_codes_part;

typedef struct ex_codes {
    nn_quantiser *quantiser;
    int parts;
    size_t k, d;                        /* of each part */
    ex_codes_part part[NN_QUANT_PARTS];
    uint32_t *count;                    /* (K): hits of a batch, while they are counted */
    float *epoch;                       /* (EX_TOLD) */
} ex_codes;

/* Restarts and steps since the last turn, and the step where the run stands. */
enum { EX_RESTARTS, EX_STEPS, EX_STEP, EX_TOLD };

ex_codes ex_codes_of(nn_store *s, nn_quantiser *u);

/* After a training step, counted from the start of the run. */
void ex_codes_step(ex_codes *c, const nn_quantised *found, long step, int restarts);

/* One part; NaN: not known. */
typedef struct ex_code_part {
    met_usage test, train;              /* of the test set; of the epoch */
    met_code_loss loss;
    met_rank all, used;
    met_near near;
    met_lives lives;
    double moved, churn;
    double bins[MET_CODE_BINS];
} ex_code_part;

enum { EX_SHOWN = 8 };                  /* test images beside what is made of them */

typedef struct ex_code_figures {
    int parts;                          /* 0: there is no codebook */
    ex_code_part part[NN_QUANT_PARTS];
    met_images images;
    double restarts;                    /* of all parts, since the last evaluation */
    int shown;
    float *original, *made;             /* (shown, h, w, c), in 0 .. 1 */
    int probed;
    int *probe;                         /* (parts, EX_PROBED): of the first vectors */
} ex_code_figures;

/* An evaluation under way: the whole test set passes in batches. */
typedef struct ex_codes_look {
    ex_codes *codes;
    ex_code_figures *figures;
    float *count[NN_QUANT_PARTS];       /* (K) */
    size_t seen;                        /* vectors so far */
    met_code_sum sum[NN_QUANT_PARTS];
    met_image_sum images;
} ex_codes_look;

/* Everything lies in `a` until the caller rewinds it; the figures' own arrays, of the
 * sizes beside them, are the caller's.  Nothing of the watch changes: an evaluation that
 * a signal ends is done again. */
ex_codes_look ex_codes_open(ex_codes *c, ex_code_figures *f, met_image_size size,
                            nn_arena *a);
void ex_codes_see(ex_codes_look *l, const nn_quantised *found, size_t images,
                  const float *truth, const float *made, nn_arena *scratch);
/* Fills the figures. */
void ex_codes_close(ex_codes_look *l, nn_arena *scratch);

/* After an evaluation, and before the first step without one (f NULL): from here on the
 * next epoch counts. */
void ex_codes_turn(ex_codes *c, const ex_code_figures *f, nn_arena *scratch);

/* Vectors cannot be looked at and have no peak: no pictures and no PSNR of them.  (SSIM
 * wants 11 x 11 pixels as it is.) */
void ex_codes_of_vectors(ex_code_figures *f);

/* The worst of the parts. */
met_judged ex_codes_judge(const ex_code_figures *f);

/* Figures by name, for the log and for tables: "code/usage" ... of one part, or, part <
 * 0, the mean over all. */
int         ex_code_figure_count(void);
const char *ex_code_figure_name(int i);
const char *ex_code_figure_about(int i);
double      ex_code_figure(const ex_code_figures *f, int part, int i);
double     *ex_code_figure_at(ex_code_figures *f, int part, int i);
int         ex_image_figure_count(void);                /* "recon/mse" ... */
const char *ex_image_figure_name(int i);
const char *ex_image_figure_about(int i);
double     *ex_image_figure_at(met_images *m, int i);
void        ex_codes_none(ex_code_figures *f);          /* all NaN */

#endif
