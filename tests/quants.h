#ifndef TESTS_QUANTS_H
#define TESTS_QUANTS_H

#include "nn/quant/quant.h"

/* One quantiser with its arenas, made of a line like "simvq codes=16 bias=0", under the
 * name "q". */
typedef struct quants {
    nn_arena forever, step, scratch;
    nn_store store;
    nn_tape tape;
    nn_quant_plan plan;
    unsigned char config[256];
    nn_quantiser *it;
    int d;
} quants;

void quants_new(quants *u, const char *text, int d);
void quants_seeded(quants *u, const char *text, int d, uint64_t seed);
void quants_free(quants *u);

/* n rows of d normal numbers that depend on `seed` alone; in `u`'s forever arena. */
float *quants_rows(quants *u, int n, int d, uint64_t seed);

/* z through the quantiser, on a fresh tape: what was found before is gone. */
nn_quantised quants_find(quants *u, const float *z, int n);
/* The same with a step of the clock (of 100) and with gradient at z. */
nn_quantised quants_find_at(quants *u, const float *z, int n, long step, nn_node **x);

/* decode of what was found, in the forever arena. */
float *quants_decoded(quants *u, const nn_quantised *found, int n);

/* "q.NAME" of the store. */
nn_param *quants_param(quants *u, const char *name);

/* The plan alone; the config lies in `config`. */
nn_quant_plan quants_plan(const char *text, unsigned char config[256]);

/* w . q + loss, so that w is the gradient at q; w NULL: the loss alone. */
nn_node *quants_loss(quants *u, nn_quantised *found, const float *w);

/* nn_quantiser_start with n rows, which also are a batch. */
void quants_start(quants *u, const float *z, int n);

/* A training step on the auxiliary loss: gradient, settle, p -= lr g.  Returns the codes
 * restarted. */
int quants_train(quants *u, const float *z, int n, nn_quant_clock clock, float lr);

#endif
