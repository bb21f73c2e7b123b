/* Alignment and uniformity - "Understanding Contrastive Representation Learning through
 * Alignment and Uniformity on the Hypersphere", Wang, Isola, 2020.  The paper was not read
 * for this project; the two terms are those of the metrics M11 and M12 of the specification.
 *
 *   z = projector(h)      e, e' = unit rows of Z, Z'
 *   align(E, E') = mean_i |e_i - e'_i|^alpha
 *   uniform(E)   = ln mean_{i<j} exp(-t |e_i - e_j|^2)
 *   L = align_weight align + uniform_weight (uniform(E) + uniform(E')) / 2
 *
 * Collapse it prevents: uniform is 0, its worst, for a point, and least for rows spread
 * evenly over the sphere.  It hardly sees dimensions that go unused (spec 8, proposition
 * W1): watch the effective rank. */
#include "ssl/head.h"
#include "ssl/method.h"

typedef struct uniform_config {
    double align_weight, uniform_weight, alpha, t;
    int proj_layers, proj_dim, proj_hidden;
} uniform_config;

static const nn_setting settings[] = {
    NN_SET_F(uniform_config, align_weight, 1, 0, 1e6, "weight of alignment"),
    NN_SET_F(uniform_config, uniform_weight, 1, 0, 1e6, "weight of uniformity"),
    NN_SET_F(uniform_config, alpha, 2, 0.1, 16, "power of the distance in alignment"),
    NN_SET_F(uniform_config, t, 2, 1e-3, 1e3, "sharpness of uniformity"),
    NN_SET_I(uniform_config, proj_layers, 2, 1, SSL_HEAD_LAYERS,
             "linear layers of the projector"),
    NN_SET_I(uniform_config, proj_dim, 128, 1, 65536, "d, the width of z"),
    NN_SET_I(uniform_config, proj_hidden, 0, 0, 65536,
             "width of the projector's hidden layers, 0 = proj_dim"),
    NN_SET_END
};

static void *build(nn_store *s, const void *config, int r, int *d)
{
    const uniform_config *c = config;

    return ssl_projector_new(s, &(ssl_head_plan){
        .layers = c->proj_layers, .in = r,
        .hidden = c->proj_hidden, .out = c->proj_dim,
        .norm = SSL_NORM_HIDDEN, .out_bias = NN_BIAS }, d);
}

static nn_node *loss(nn_tape *t, const void *config, const ssl_views *v)
{
    const uniform_config *c = config;
    nn_node *e[2], *sum = NULL;

    for (int k = 0; k < 2; k++)
        e[k] = nn_unitrow(t, v->z[k], 1e-12f);
    if (c->align_weight > 0) {
        nn_node *align = nn_alignment(t, e[0], e[1], (float)c->alpha);
        sum = ssl_plus(t, sum, c->align_weight, ssl_term(v, "alignment", align));
    }
    if (c->uniform_weight > 0) {
        nn_node *both = nn_add(t, nn_uniformity(t, e[0], (float)c->t),
                               nn_uniformity(t, e[1], (float)c->t));
        sum = ssl_plus(t, sum, c->uniform_weight,
                       ssl_term(v, "uniformity", nn_scale(t, 0.5f, both)));
    }
    return sum ? sum : ssl_nothing(t, v);
}

const ssl_method ssl_align_uniform = {
    .name = "align_uniform",
    .paper = "Understanding Contrastive Representation Learning through Alignment and"
             " Uniformity on the Hypersphere (Wang and Isola, 2020)",
    .config_size = sizeof(uniform_config), .settings = settings,
    .build = build, .embed = ssl_projector_embed, .loss = loss,
};
