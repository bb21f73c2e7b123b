#include "optim/opt.h"

/* LARS - "Large Batch Training of Convolutional Networks", You, Gitman, Ginsburg, 2017:
 * every tensor takes a step in proportion to its own length.  Two forms are in use, and
 * they are not interchangeable.
 *
 *   g <- g + decay w                      unless excluded
 *   g <- trust g                          unless excluded
 *   v <- momentum v + g
 *   w <- w - lr v
 *
 *   lars        trust = eta |w| / |g + decay w|              VICReg, BYOL, Barlow Twins
 *   lars_clip   trust = eta |w| / (|g| + decay |w| + 1e-8)   solo-learn
 *               then min(trust / lr, 1) with clip_lr
 *
 * Excluded are tensors of rank 1, biases and normalisation: they have no scale of their
 * own to keep.  A norm of zero switches the ratio off: lars then takes trust = 1,
 * lars_clip leaves the decay out as well. */
static const double ROOM = 1e-8;        /* solo-learn's, keeps the quotient finite */

static void trust_official(const opt_settings *o, opt_rate *r, double w_norm,
                           double g_norm)
{
    r->trust = w_norm > 0 && g_norm > 0 ? o->eta * w_norm / g_norm : 1;
}

static void trust_clip(const opt_settings *o, opt_rate *r, double w_norm, double g_norm)
{
    if (!(w_norm > 0 && g_norm > 0)) {
        r->decay = 0;
        return;
    }
    r->trust = o->eta * w_norm / (g_norm + r->decay * w_norm + ROOM);
    if (o->clip_lr)
        r->trust = r->trust < r->lr ? r->trust / r->lr : 1;
}

static void update(const opt_settings *o, const opt_rate *r, const opt_piece *p)
{
    const float decay = (float)r->decay, trust = (float)r->trust;
    const float momentum = (float)o->momentum, lr = (float)r->lr;
    const float *restrict g = p->g;
    float *restrict w = p->w, *restrict v = p->slot[0];

#pragma omp simd
    for (size_t i = 0; i < p->n; i++) {
        v[i] = momentum * v[i] + trust * (g[i] + decay * w[i]);
        w[i] -= lr * v[i];
    }
}

const opt_method opt_lars = {
    .name = "lars", .about = "layer-wise adaptive rates, as VICReg and BYOL use them",
    .uses = " momentum weight_decay exclude eta ",
    .slots = 1, .slot_name = { "momentum" },
    .base_lr = 0.2, .eta = 0.001,               /* VICReg */
    .exclude = OPT_EXCLUDE_RANK1,
    .update = update, .trust = trust_official, .norm_decayed = 1,
};

const opt_method opt_lars_clip = {
    .name = "lars_clip", .about = "layer-wise adaptive rates in solo-learn's form",
    .uses = " momentum weight_decay exclude eta clip_lr ",
    .slots = 1, .slot_name = { "momentum" },
    .base_lr = 0.3, .eta = 0.02,                /* its CIFAR recipes */
    .exclude = OPT_EXCLUDE_RANK1,
    .update = update, .trust = trust_clip,
};
