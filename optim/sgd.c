#include "optim/opt.h"

/* Stochastic gradient descent with momentum, as SimSiam trains (2021).
 *
 *   g <- g + decay w
 *   v <- momentum v + g             v = 0 before the first step
 *   w <- w - lr v
 *
 * The learning rate multiplies the buffer when it is used, not when it is filled: a
 * change of schedule acts at once on the gradients already collected.  No dampening, no
 * Nesterov.  Decay goes to every tensor, normalisation and biases included, unless
 * `exclude` says otherwise. */
static void update(const opt_settings *o, const opt_rate *r, const opt_piece *p)
{
    const float decay = (float)r->decay, momentum = (float)o->momentum, lr = (float)r->lr;
    const float *restrict g = p->g;
    float *restrict w = p->w, *restrict v = p->slot[0];

#pragma omp simd
    for (size_t i = 0; i < p->n; i++) {
        v[i] = momentum * v[i] + (g[i] + decay * w[i]);
        w[i] -= lr * v[i];
    }
}

const opt_method opt_sgd = {
    .name = "sgd", .about = "gradient descent with momentum and weight decay",
    .uses = " momentum weight_decay exclude ",
    .slots = 1, .slot_name = { "momentum" },
    .base_lr = 0.05,                            /* SimSiam on ImageNet */
    .exclude = OPT_EXCLUDE_NONE,
    .update = update,
};
