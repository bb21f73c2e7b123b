/* INTL - "Modulate Your Spectrum in Self-Supervised Learning", Weng et al., 2024.
 *
 *   z = projector(h)     y = whiten(z)               no predictor, no stop-gradient
 *   L = [2 - 2 mean_i cos(y1_i, y2_i)] + beta (T(y1) + T(y2))
 *   T(Y) = sum_k (Var_k - 1)^2                       trace loss, over what was whitened
 *
 * whiten is a spectral transformation of the covariance of z: Newton's iteration, or, to
 * compare with, powers by eigenvalues (nn/ops/iternorm.c, spectral.c).  axis channel, the default of the authors' code,
 * whitens the N samples over their d channels; axis batch the d channels over the batch.
 * beta = 0.01 (log2(m) - 3), m = N or d, how many are whitened: 0.05 at N = 256; below
 * m = 8 the formula is negative, and 0 is taken.
 *
 * Collapse it prevents: the cosines are of whitened vectors, whose spectrum is nearly
 * flat however narrow that of z is, so that a z of low rank cannot agree by repeating one
 * direction.  The iteration leaves small eigenvalues below one, and the trace loss lifts
 * them.  A z without any variance is transformed to zero and stays there.
 *
 * With target: true (INTL_M) y2 comes from a slowly following copy of the network.  The
 * loss is then the mean over both directions, y1 against the target's y2 and y2 against
 * its y1, and the trace loss is of the trained network's side alone [averaging is ours].
 *
 * The formulas are those of the authors' code; the paper's tables we have not seen. */
#include "nn/elem.h"
#include "ssl/head.h"
#include "ssl/method.h"

enum { ITERNORM, ZCA, POWER, NONE };
enum { CHANNEL, BATCH };

typedef struct intl_config {
    int transform, iterations, axis;
    double power, beta;
    int trace;
    int proj_layers, proj_dim, proj_hidden;
    int target;
    double target_tau;
} intl_config;

static const nn_setting settings[] = {
    NN_SET_C(intl_config, transform, ITERNORM, "iternorm|zca|power|none",
             "how the spectrum of z is transformed; zca: made all one"),
    NN_SET_I(intl_config, iterations, 4, 1, 16, "iterations of iternorm"),
    NN_SET_F(intl_config, power, 0.5, 0.01, 1,
             "transform power: eigenvalues l become l^(1 - power)"),
    NN_SET_C(intl_config, axis, CHANNEL, "channel|batch",
             "whiten samples over their channels, or channels over the batch"),
    NN_SET_F(intl_config, beta, 0, 0, 1e6,
             "weight of the trace loss, 0 = 0.01 (log2(N or d) - 3)"),
    NN_SET_B(intl_config, trace, 1, "with the trace loss"),
    NN_SET_I(intl_config, proj_layers, 3, 1, SSL_HEAD_LAYERS,
             "linear layers of the projector"),
    NN_SET_I(intl_config, proj_dim, 2048, 2, 65536,
             "d, the width of z (authors: 2048 on CIFAR, 8192 on ImageNet)"),
    NN_SET_I(intl_config, proj_hidden, 0, 0, 65536,
             "width of the projector's hidden layers, 0 = proj_dim"),
    NN_SET_B(intl_config, target, 0, "compare with a momentum target (INTL_M)"),
    NN_SET_F(intl_config, target_tau, 0.996, 0, 1,
             "its momentum at the start, rising to 1 along a cosine"),
    NN_SET_END
};

static void *build(nn_store *s, const void *config, int r, int *d)
{
    const intl_config *c = config;

    return ssl_projector_new(s, &(ssl_head_plan){
        .layers = c->proj_layers, .in = r,
        .hidden = c->proj_hidden, .out = c->proj_dim,
        .norm = SSL_NORM_HIDDEN, .out_affine = NN_NO_AFFINE, .out_bias = NN_BIAS }, d);
}

static nn_axis axis_of(const intl_config *c)
{
    return c->axis == CHANNEL ? NN_OVER_CHANNELS : NN_OVER_BATCH;
}

static nn_node *whiten(nn_tape *t, const intl_config *c, nn_node *z)
{
    if (c->transform == NONE)
        return z;
    if (c->transform == ITERNORM)
        return nn_iternorm(t, z, c->iterations, axis_of(c));
    return nn_spectral(t, z, c->transform == ZCA ? 1 : (float)c->power, axis_of(c));
}

/* 2 - 2 mean cos */
static nn_node *distance(nn_tape *t, nn_node *a, nn_node *b)
{
    static const float two = 2;
    nn_node *cosine = nn_mean(t, nn_cosine(t, a, b, 1e-8f));
    return nn_axpy(t, -2, cosine, nn_input(t, nn_shape1(1), &two, 0));
}

static double trace_weight(const intl_config *c, const nn_node *y)
{
    double m = c->axis == CHANNEL ? nn_rows(y) : nn_cols(y);
    double beta = c->beta > 0 ? c->beta : 0.01 * (nn_log(m) / nn_log(2) - 3);
    return c->trace && beta > 0 ? beta : 0;
}

/* Where nobody gave a target (`fullrank loss`), z itself without gradient. */
static nn_node *target(nn_tape *t, const ssl_views *v, int k)
{
    return nn_stopgrad(t, v->tz[k] ? v->tz[k] : v->z[k]);
}

static nn_node *loss(nn_tape *t, const void *config, const ssl_views *v)
{
    const intl_config *c = config;
    nn_node *y1 = whiten(t, c, v->z[0]), *y2 = whiten(t, c, v->z[1]), *apart;
    double beta = trace_weight(c, y1);

    if (c->target) {
        nn_node *one = distance(t, y1, whiten(t, c, target(t, v, 1)));
        nn_node *two = distance(t, y2, whiten(t, c, target(t, v, 0)));
        apart = nn_scale(t, 0.5f, nn_add(t, one, two));
    } else {
        apart = distance(t, y1, y2);
    }
    ssl_term(v, "cosine", apart);
    if (beta == 0)
        return apart;
    nn_node *trace = nn_add(t, nn_unit_variance(t, y1, axis_of(c)),
                            nn_unit_variance(t, y2, axis_of(c)));
    return ssl_plus(t, apart, beta, ssl_term(v, "trace", trace));
}

static double momentum(const void *config, const ssl_clock *clock)
{
    const intl_config *c = config;
    return c->target ? ssl_cosine_tau(c->target_tau, clock) : -1;
}

const ssl_method ssl_intl = {
    .name = "intl",
    .paper = "Modulate Your Spectrum in Self-Supervised Learning (Weng et al., 2024)",
    .config_size = sizeof(intl_config), .settings = settings,
    .build = build, .embed = ssl_projector_embed, .loss = loss, .momentum = momentum,
    .least_d = 2,                       /* whitening over channels divides by d - 1 */
};
