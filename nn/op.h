#ifndef NN_OP_H
#define NN_OP_H

#include "nn/tape.h"

/* An operator: one file per family in nn/ops, forward and backward on one screen, one
 * line in ops.def.  The gradient test walks that list.
 *
 * shape     checks the inputs (a misfit is a bug of the caller: NN_NEED), sets y->shape
 *           and y->kept; y->shared = 1 if forward sets y->val to an input's memory
 * forward   fills y->val and y->keep
 * backward  adds to the inputs' gradients (nn_grad_into), returns early when nobody asks
 * example   how to build it on small inputs, for the gradient test
 * flops     of a product y = a * b of inputs 0 and 1: two for each multiply-add of
 *           forward.  Backward takes as many again for each of the two that wants a
 *           gradient.  NULL for all others, whose work is moving memory */
typedef struct nn_example {
    int ins;
    nn_shape in[NN_MAX_IN];
    nn_node *(*build)(nn_tape *t, nn_node *const *in);
} nn_example;

struct nn_op {
    const char *name;
    void (*shape)(nn_node *y);
    void (*forward)(nn_node *y, nn_arena *scratch);
    void (*backward)(nn_node *y, nn_arena *scratch);
    nn_example example;
    int flags;
    double (*flops)(const nn_node *y);
};

/* NN_NO_GRADIENT   lets no gradient through: stop-gradient
 * NN_SURROGATE     the gradient is an estimator, on purpose not that of the value, which
 *                  may have none: rounding, the choice of a code */
enum { NN_NO_GRADIENT = 1, NN_SURROGATE = 2 };

/* Runs an operator and records it. */
nn_node *nn_record(nn_tape *t, const nn_op *op, nn_node *const *in, int ins,
                   const void *attr, size_t attr_bytes);

/* Floating point operations of the products of one node, or of all nodes on a tape. */
typedef struct nn_flops { double forward, backward; } nn_flops;
nn_flops nn_node_flops(const nn_node *y);
nn_flops nn_tape_flops(const nn_tape *t);

#define X(name) extern const nn_op nn_op_##name;
#include "nn/ops.def"
#undef X

int          nn_op_count(void);
const nn_op *nn_op_at(int i);

#endif
