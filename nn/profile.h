#ifndef NN_PROFILE_H
#define NN_PROFILE_H

#include "nn/tape.h"

/* Where does the time of a step go?  A profile hung on a tape (t->profile = &p) reads the
 * clock before and after every operator, forward and backward.  A profiled step computes
 * the same bits; unprofiled, an operator costs one test of a pointer.
 *
 * Costs are summed by operator, way, layer and shapes; the two views of a batch go to one
 * sum.  The first so many calls are kept one by one as well, for a picture of the step.
 *
 * What is counted beside the time, both from shapes alone:
 *   flops   of products and convolutions (nn_node_flops), as the definition has them: an
 *           algorithm that needs fewer multiplications (Winograd) shows a higher rate
 *   bytes   every tensor once.  Forward: inputs, result and what is kept.  Backward: the
 *           result's gradient, inputs, what was kept, and a gradient for each input that
 *           wants one.  A view moves nothing forward and no inputs backward.  What stays
 *           in a cache, is read twice or is not looked at after all does not show */
typedef enum nn_way { NN_FORWARD, NN_BACKWARD, NN_BESIDE } nn_way;

typedef struct nn_cost {
    const char *name;                   /* operator, or part of a step beside the tape */
    nn_way way;
    const char *layer;                  /* its first parameter's name, or NULL */
    nn_shape in, out;                   /* of the first input and of the result */
    long calls;
    double seconds;                     /* of all calls */
    double flops, bytes;                /* of all calls */
} nn_cost;

typedef struct nn_event {
    int cost;                           /* which of the costs it belongs to */
    double from, seconds;               /* on the clock of nn_profile_now */
} nn_event;

/* Zero bytes are a profile that keeps no events; `most_events` may be set before use.
 * It keeps pointers to the names of operators and parameters and must not outlive them. */
typedef struct nn_profile {
    nn_arena arena;
    nn_cost *cost; int costs, room;
    nn_event *event; int events, most_events;
    int last;                           /* the cost that was noted last */
} nn_profile;

void   nn_profile_free(nn_profile *p);

/* Seconds from an arbitrary start, never going back. */
double nn_profile_now(void);
/* The same; 0, without a look at the clock, when p is NULL. */
double nn_profile_from(const nn_profile *p);

/* Notes what took from `from` until now: work beside the tape, or, for the tape, an
 * operator.  p NULL: nothing. */
void   nn_profile_part(nn_profile *p, const char *name, double from);
void   nn_profile_op(nn_profile *p, const nn_node *y, nn_way way, double from);

#endif
