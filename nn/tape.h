#ifndef NN_TAPE_H
#define NN_TAPE_H

#include "nn/tensor.h"

/* The tape records operators as they run; walking it backwards is the chain rule.
 *
 * A node is one application of an operator: its inputs, its value, its gradient and what
 * it saved for the way back.  The order of recording is a topological order.  Backward
 * releases a node's value, saved space and gradient as soon as it has passed it. */
typedef struct nn_op nn_op;
typedef struct nn_tape nn_tape;
typedef struct nn_node nn_node;
typedef struct nn_watch nn_watch;
typedef struct nn_profile nn_profile;

enum { NN_MAX_IN = 8, NN_MAX_ATTR = 96 };

struct nn_node {
    const nn_op *op;                /* NULL for a leaf */
    nn_tape *tape;
    nn_node *in[NN_MAX_IN];
    int ins;
    int wants;                      /* 1: a gradient is asked for, here or further up */
    int pinned;                     /* 1: backward leaves value and gradient in place */
    int shared;                     /* 1: value belongs to somebody else (leaf, view) */
    nn_shape shape;
    float *val, *grad;
    float *keep; size_t kept;       /* saved by forward for backward: kept floats */
    _Alignas(16) unsigned char attr[NN_MAX_ATTR];   /* the operator's settings */
    nn_param *param;                /* leaf of a parameter: its gradient is param->grad */
};

typedef enum nn_mode {
    NN_TRAIN,       /* batch statistics, running statistics are updated */
    NN_BATCH,       /* batch statistics, nothing is updated */
    NN_EVAL         /* running statistics */
} nn_mode;

struct nn_tape {
    nn_arena *step, *scratch;
    nn_pool pool;                   /* values, gradients and saved space of this step */
    nn_node **list;                 /* nodes in order of recording */
    int count, room;
    nn_mode mode;
    int record;                     /* 0: no gradients wanted at all (evaluation) */
    nn_watch *watch;                /* looks at every number (nn/watch.h); usually NULL */
    nn_profile *profile;            /* times every operator (nn/profile.h); usually NULL */
};

void     nn_tape_start(nn_tape *t, nn_arena *step, nn_arena *scratch);
void     nn_tape_reset(nn_tape *t);             /* forgets every node, keeps memory */
void     nn_tape_free(nn_tape *t);

/* Leaves.  nn_input reads the caller's memory, which must outlive the step; wants = 1
 * asks for its gradient.  nn_leaf gives the node of a parameter, one per step. */
nn_node *nn_input(nn_tape *t, nn_shape shape, const float *val, int wants);
nn_node *nn_leaf(nn_tape *t, nn_param *p);

/* d loss / d everything.  loss has one element.  Gradients of parameters are added to
 * param->grad; gradients of inputs and pinned nodes are left in node->grad. */
void     nn_backward(nn_node *loss);

nn_node *nn_pin(nn_node *x);                            /* returns x */
int      nn_rows(const nn_node *x);
int      nn_cols(const nn_node *x);
size_t   nn_count(const nn_node *x);
float    nn_item(const nn_node *x);                     /* value of a one-element node */

/* For operators: where to put dx.  *add tells whether the memory already holds a part of
 * the gradient (1: add to it) or is fresh (0: overwrite all of it).  NULL: none asked. */
float   *nn_grad_into(nn_node *x, int *add);
float   *nn_grad_zeroed(nn_node *x);                    /* always ready to be added to */

/* The same for a gradient of y's size that is worked out element by element: y's memory
 * becomes x's where nobody else needs it, so that dx is written over the dy it is made
 * from.  Read y->grad before the call, and let it be the last use of y's gradient. */
float   *nn_grad_over(nn_node *x, nn_node *y, int *add);

#endif
