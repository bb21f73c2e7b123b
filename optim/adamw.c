#include <math.h>
#include "nn/elem.h"
#include "optim/opt.h"

/* AdamW - "Decoupled Weight Decay Regularization", Loshchilov and Hutter, 2019, in the
 * form that PyTorch gave it, where the decay is multiplied by the learning rate.
 *
 *   w <- w - lr decay w
 *   m <- beta1 m + (1 - beta1) g          v <- beta2 v + (1 - beta2) g^2
 *   w <- w - lr m' / (sqrt(v') + eps)     m' = m / (1 - beta1^t)   v' = v / (1 - beta2^t)
 *
 * t counts from 1; the primes undo the pull of the zeros that m and v start from. */
static void update(const opt_settings *o, const opt_rate *r, const opt_piece *p)
{
    const double t = (double)r->step + 1;
    const float keep = (float)(1 - r->lr * r->decay), eps = (float)o->eps;
    const float b1 = (float)o->beta1, c1 = (float)(1 - o->beta1);
    const float b2 = (float)o->beta2, c2 = (float)(1 - o->beta2);
    const float stride = (float)(r->lr / (1 - nn_pow(o->beta1, t)));
    const float root = (float)sqrt(1 - nn_pow(o->beta2, t));
    const float *restrict g = p->g;
    float *restrict w = p->w, *restrict m = p->slot[0], *restrict v = p->slot[1];

    for (size_t i = 0; i < p->n; i++) {
        m[i] = b1 * m[i] + c1 * g[i];
        v[i] = b2 * v[i] + c2 * (g[i] * g[i]);
        w[i] = keep * w[i] - stride * (m[i] / (sqrtf(v[i]) / root + eps));
    }
}

const opt_method opt_adamw = {
    .name = "adamw", .about = "Adam with weight decay apart from the gradient",
    .uses = " weight_decay exclude beta1 beta2 eps ",
    .slots = 2, .slot_name = { "mean", "square" },
    .base_lr = 0.001,                           /* the paper's, at any batch near 256 */
    .exclude = OPT_EXCLUDE_NONE,
    .update = update,
};
