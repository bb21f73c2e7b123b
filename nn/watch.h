#ifndef NN_WATCH_H
#define NN_WATCH_H

#include <stdio.h>
#include "nn/tape.h"

/* Where did the first NaN come from?  A watch hung on a tape (t->watch = &w) looks at
 * every number of a step as it is made: at the values of leaves when they join the tape,
 * at an operator's values after its forward, at gradients it wrote after its backward.
 * The first result that is not finite is remembered, with everything needed to name it;
 * with `rows` each result gets a row of a table.  A watched step computes the same bits in
 * one and a half times the time; unwatched, an operator costs one test of a pointer.
 *
 *     nn_watch w = { .arena = &own, .rows = 1 };
 *     tape.watch = &w;    ... one step ...    tape.watch = NULL;
 *
 * What it notes outlives the tape's reset, but not the store, whose names it keeps. */
typedef enum nn_seen_as { NN_SEEN_LEAF, NN_SEEN_FORWARD, NN_SEEN_BACKWARD } nn_seen_as;

/* A node, as far as words go: "linear (256, 128)", "parameter 'conv1.weight' (8, 9)". */
typedef struct nn_seen_node {
    const char *op;                     /* NULL for a leaf */
    const char *param;                  /* name of a parameter's leaf, or NULL */
    int at;                             /* position on the tape, from 0, with leaves */
    nn_shape shape;
} nn_seen_node;

typedef struct nn_seen {
    nn_seen_as as;
    nn_seen_node node;                  /* whose values, or which operator was running */
    nn_seen_node of;                    /* backward: the input whose gradient it wrote */
    nn_seen_node in[NN_MAX_IN]; int ins;
    size_t count, nans, infs;           /* numbers, and how many of them are none */
    size_t first; float first_value;    /* place and value of the first that is none */
    float lo, hi; double mean_abs;      /* of the finite ones; 0 when there are none */
    int produced;                       /* 1: all that the operator read was finite */
} nn_seen;

typedef struct nn_watch {
    nn_arena *arena;                    /* where the rows go; may be NULL without rows */
    int rows;                           /* 1: keep a row of every result */
    int found;                          /* 1: `first` holds the first result not finite */
    nn_seen first;
    nn_seen **list; int count, room;
    int fine;                           /* 1: the gradient that was read is finite */
} nn_watch;

/* One line about the first result that is not finite, or that there was none:
 *   operator 23, batchnorm (256, 128), forward, from linear (256, 128): 12 of 32768
 *   values not finite (first: NaN at 5)
 * Returns out. */
const char *nn_watch_text(const nn_watch *w, char *out, size_t size);

/* The table, one line a result in the order of the step, after a head that names the
 * columns; results that are not finite are marked with '!'. */
void nn_watch_table(const nn_watch *w, FILE *out);

/* Called by the tape; _before and _backward on either side of y's backward, which may
 * write over y's gradient. */
void nn_watch_leaf(nn_watch *w, const nn_node *x);
void nn_watch_forward(nn_watch *w, const nn_node *y);
void nn_watch_before(nn_watch *w, const nn_node *y);
void nn_watch_backward(nn_watch *w, const nn_node *y);

#endif
