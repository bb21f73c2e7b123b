/* SimCLR - "A Simple Framework for Contrastive Learning of Visual Representations", Chen,
 * Kornblith, Norouzi, Hinton, 2020.  The paper was not read for this project; formula and
 * heads are those of the codes that spec 6.1 and 4.6 name.
 *
 *   z = projector(h)                       no predictor, no stop-gradient
 *   e = the 2N rows of [Z; Z'], each of length 1         s_im = e_i . e_m
 *   l_i = -s_i,pos(i) / tau + ln sum_{m != i} exp(s_im / tau)
 *   L = 1/(2N) sum_i l_i                                  (NT-Xent)
 *
 * The sum holds the positive and leaves out i itself alone.
 *
 * Collapse it prevents: with all rows equal the loss is ln(2N - 1), its worst: everything
 * that is not the positive is pushed away.  Dimensions may still go unused, which watch the
 * effective rank for. */
#include "ssl/head.h"
#include "ssl/method.h"

typedef struct simclr_config {
    double tau;
    int proj_layers, proj_dim, proj_hidden, proj_bn;
} simclr_config;

static const nn_setting settings[] = {
    NN_SET_F(simclr_config, tau, 0.2, 1e-3, 1e3,
             "temperature (solo-learn on CIFAR: 0.2; ImageNet: 0.1)"),
    NN_SET_I(simclr_config, proj_layers, 2, 1, SSL_HEAD_LAYERS,
             "linear layers of the projector"),
    NN_SET_I(simclr_config, proj_dim, 256, 1, 65536, "d, the width of z"),
    NN_SET_I(simclr_config, proj_hidden, 2048, 1, 65536,
             "width of the projector's hidden layers"),
    NN_SET_C(simclr_config, proj_bn, SSL_NORM_NONE, "none|hidden|output",
             "BatchNorm in the projector; output means hidden and output"),
    NN_SET_END
};

static void *build(nn_store *s, const void *config, int r, int *d)
{
    const simclr_config *c = config;

    return ssl_projector_new(s, &(ssl_head_plan){
        .layers = c->proj_layers, .in = r, .hidden = c->proj_hidden, .out = c->proj_dim,
        .norm = (ssl_norm)c->proj_bn, .out_affine = NN_AFFINE, .out_bias = NN_BIAS }, d);
}

static nn_node *loss(nn_tape *t, const void *config, const ssl_views *v)
{
    const simclr_config *c = config;
    nn_node *rows = nn_concat(t, v->z, 2);

    return nn_ntxent(t, nn_unitrow(t, rows, 1e-12f), (float)c->tau);
}

const ssl_method ssl_simclr = {
    .name = "simclr",
    .paper = "A Simple Framework for Contrastive Learning of Visual Representations"
             " (Chen et al., 2020)",
    .config_size = sizeof(simclr_config), .settings = settings,
    .build = build, .embed = ssl_projector_embed, .loss = loss,
};
