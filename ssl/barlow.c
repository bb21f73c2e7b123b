/* Barlow Twins - "Barlow Twins: Self-Supervised Learning via Redundancy Reduction",
 * Zbontar, Jing, Misra, LeCun, Deny, 2021.  The paper was not read for this project; the
 * formula is that of the codes in circulation (spec 6.3).
 *
 *   z = projector(h)                       no predictor, no stop-gradient
 *   A, B = Z, Z' with every column standardised over the batch (biased variance, 1e-5)
 *   C = A' B / N
 *   L = scale ( sum_j (1 - C_jj)^2 + lambda sum_{j != k} C_jk^2 )
 *
 * Collapse it prevents: a constant column cannot be standardised to correlate with itself,
 * so the diagonal keeps every dimension alive and equal in both views; the off-diagonal
 * keeps them from repeating each other.  It does not see the scale of z at all.
 *
 * scale: 1 in lightly and the original, 0.1 in solo-learn's CIFAR recipe. */
#include "ssl/head.h"
#include "ssl/method.h"

typedef struct barlow_config {
    double lambda, scale;
    int proj_layers, proj_dim, proj_hidden;
} barlow_config;

static const nn_setting settings[] = {
    NN_SET_F(barlow_config, lambda, 0.005, 0, 1e6, "weight of the off-diagonal terms"),
    NN_SET_F(barlow_config, scale, 1, 0, 1e6,
             "factor of the whole loss (solo-learn: 0.1 on CIFAR)"),
    NN_SET_I(barlow_config, proj_layers, 3, 1, SSL_HEAD_LAYERS,
             "linear layers of the projector"),
    NN_SET_I(barlow_config, proj_dim, 8192, 1, 65536,
             "d, the width of z (8192 on ImageNet; 2048 on CIFAR)"),
    NN_SET_I(barlow_config, proj_hidden, 0, 0, 65536,
             "width of the projector's hidden layers, 0 = proj_dim"),
    NN_SET_END
};

static void *build(nn_store *s, const void *config, int r, int *d)
{
    const barlow_config *c = config;

    return ssl_projector_new(s, &(ssl_head_plan){
        .layers = c->proj_layers, .in = r,
        .hidden = c->proj_hidden, .out = c->proj_dim,
        .norm = SSL_NORM_HIDDEN, .out_bias = NN_NO_BIAS }, d);
}

/* Columns of mean 0 and variance 1; a constant column becomes zeros. */
static nn_node *standardise(nn_tape *t, nn_node *z)
{
    const nn_running none = { .eps = 1e-5f };
    return nn_batchnorm(t, z, NULL, NULL, NULL, NN_LINEAR, none);
}

static nn_node *loss(nn_tape *t, const void *config, const ssl_views *v)
{
    const barlow_config *c = config;
    nn_node *a = standardise(t, v->z[0]), *b = standardise(t, v->z[1]);
    nn_node *sum = nn_crosscorr(t, a, b, (float)c->lambda);

    return nn_scale(t, (float)c->scale, ssl_term(v, "crosscorrelation", sum));
}

const ssl_method ssl_barlow = {
    .name = "barlow",
    .paper = "Barlow Twins: Self-Supervised Learning via Redundancy Reduction"
             " (Zbontar et al., 2021)",
    .config_size = sizeof(barlow_config), .settings = settings,
    .build = build, .embed = ssl_projector_embed, .loss = loss,
};
