/* T-REGS - "T-REGS: Minimum Spanning Tree Regularization for Self-Supervised Learning",
 * 2025.  Objective as in the specification's section 5, which had a reading note and the
 * project page's opening, not the paper: weights, settings and results are unverified.
 *
 *   z = projector(h)                                   no predictor, no stop-gradient
 *   E(Z)      = length of the Euclidean minimum spanning tree of the rows of Z
 *   L_E(Z)    = -E(Z) / n
 *   L_S(Z)    = 1/n sum_i (|z_i| - radius)^2           soft constraint to the sphere
 *   T-REG(Z)  = gamma L_E(Z) + lambda L_S(Z)
 *   L = beta 1/n sum_i |z_i - z'_i|^2 + T-REG(Z) + T-REG(Z')
 *
 * The normalisation of the first term is our choice (the paper's is unverified).
 *
 * Collapse it prevents: every edge of the tree pushes its two ends apart with the same
 * force however short it is, so that neither a point nor a line nor a plane is a place to
 * rest: on the sphere the longest trees belong to points spread over as many dimensions as
 * there are.  L_S holds the radius, which L_E alone would let run away: at rest it is
 * 1 + gamma a / (2 lambda), a the length per point at radius 1.  beta much above gamma
 * collapses all the same (spec 5.5).
 *
 * normalise: hard (ours) puts the rows on the sphere before the tree and needs no L_S.
 *
 * Trap: with its usual start z is several radii long, and lambda = 10 without warm-up then
 * overshoots and kills every unit of the projector within five steps: the output is
 * constant for ever (spec 5.5).  So the projector's last layer starts scaled down by
 * `init_scale`, and the tree term rises over the first `warmup` of all steps. */
#include <math.h>

#include "nn/base.h"
#include "ssl/head.h"
#include "ssl/method.h"

enum { SOFT, HARD };
enum { BOTH, FIRST };

/* What the method and the regulariser share. */
typedef struct tree_config {
    double gamma, lambda, radius, warmup;
    int normalise, views;
} tree_config;

typedef struct tregs_config {
    double beta;
    tree_config tree;
    double init_scale;
    int proj_layers, proj_dim, proj_hidden;
} tregs_config;

/* Rows of a table over a struct whose tree_config begins at `at`. */
#define TREE_SETTINGS(at, g, l, w)                                                         \
    { "gamma", NN_FLOAT, at + offsetof(tree_config, gamma), g, 0, 1e6, NULL,               \
      "weight of the tree's length" },                                                     \
    { "lambda", NN_FLOAT, at + offsetof(tree_config, lambda), l, 0, 1e6, NULL,             \
      "weight of the soft constraint to the sphere" },                                     \
    { "radius", NN_FLOAT, at + offsetof(tree_config, radius), 1, 0, 1e6, NULL,             \
      "of that sphere; 0 = sqrt(d), for methods that want a spread of 1" },                \
    { "warmup", NN_FLOAT, at + offsetof(tree_config, warmup), w, 0, 1, NULL,               \
      "share of all steps in which gamma and lambda rise from 0" },                        \
    { "normalise", NN_CHOICE, at + offsetof(tree_config, normalise), SOFT, 0, 0,           \
      "soft|hard", "hard: unit rows before the tree, and no constraint" },                 \
    { "views", NN_CHOICE, at + offsetof(tree_config, views), BOTH, 0, 0, "both|first",     \
      "which views have a tree" }

static const nn_setting settings[] = {
    NN_SET_F(tregs_config, beta, 1, 0, 1e6, "weight of the squared distance of the views"),
    TREE_SETTINGS(offsetof(tregs_config, tree), 1, 1, 0.1),
    NN_SET_F(tregs_config, init_scale, 0.3, 1e-6, 1e6,
             "factor on the projector's last weights at the start (z of length near 1)"),
    NN_SET_I(tregs_config, proj_layers, 3, 1, SSL_HEAD_LAYERS,
             "linear layers of the projector"),
    NN_SET_I(tregs_config, proj_dim, 128, 1, 65536, "d, the width of z"),
    NN_SET_I(tregs_config, proj_hidden, 0, 0, 65536,
             "width of the projector's hidden layers, 0 = proj_dim"),
    NN_SET_END
};

static void *build(nn_store *s, const void *config, int r, int *d)
{
    const tregs_config *c = config;
    const int last = c->proj_layers - 1;

    ssl_head *m = ssl_projector_new(s, &(ssl_head_plan){
        .layers = c->proj_layers, .in = r,
        .hidden = c->proj_hidden, .out = c->proj_dim,
        .norm = SSL_NORM_HIDDEN, .out_bias = NN_NO_BIAS }, d);
    nn_param *w = m->linear[last].weight;
    for (size_t i = 0; i < nn_shape_count(&w->shape); i++)
        w->val[i] *= (float)c->init_scale;
    return m;
}

/* T-REG of the views that have a tree; NULL where both weights are 0. */
static nn_node *tree(nn_tape *t, const tree_config *c, const ssl_views *v)
{
    const double far = c->warmup * (double)v->clock.steps;
    const double rise = far > 0 && (double)v->clock.step < far
                            ? (double)(v->clock.step + 1) / (far + 1) : 1;
    nn_node *sum = NULL;

    for (int k = 0; k < (c->views == FIRST ? 1 : 2); k++) {
        nn_node *z = v->z[k];
        const float n = (float)nn_rows(z);
        const double radius = c->radius > 0 ? c->radius : sqrt(nn_cols(z));
        if (c->gamma > 0) {
            nn_node *on = c->normalise == HARD ? nn_unitrow(t, z, 1e-12f) : z;
            nn_node *length = nn_scale(t, -1 / n, nn_tree(t, on));
            sum = ssl_plus(t, sum, rise * c->gamma, ssl_term(v, "tree", length));
        }
        if (c->lambda > 0 && c->normalise == SOFT)
            sum = ssl_plus(t, sum, rise * c->lambda,
                           ssl_term(v, "sphere", nn_sphere(t, z, (float)radius)));
    }
    return sum;
}

static nn_node *loss(nn_tape *t, const void *config, const ssl_views *v)
{
    const tregs_config *c = config;
    nn_node *sum = tree(t, &c->tree, v);

    if (c->beta > 0) {
        nn_node *apart = nn_scale(t, (float)nn_cols(v->z[0]),
                                  nn_mse(t, v->z[0], v->z[1]));
        sum = ssl_plus(t, sum, c->beta, ssl_term(v, "invariance", apart));
    }
    return sum ? sum : ssl_nothing(t, v);
}

const ssl_method ssl_tregs = {
    .name = "tregs",
    .paper = "T-REGS: Minimum Spanning Tree Regularization for Self-Supervised Learning"
             " (2025; from second-hand notes)",
    .config_size = sizeof(tregs_config), .settings = settings,
    .build = build, .embed = ssl_projector_embed, .loss = loss,
};

/* ---- as a regulariser: L_base + T-REG(Z) + T-REG(Z') --------------------------------
 *
 * VICReg asks for a spread of 1 in every dimension, that is for rows of length sqrt(d):
 * take radius 0 there, or the hard mode. */
static const nn_setting added_settings[] = {
    TREE_SETTINGS(0, 0.1, 0.1, 0),
    NN_SET_END
};

static nn_node *added_loss(nn_tape *t, const void *config, const ssl_views *v)
{
    return tree(t, config, v);
}

static int added_views(const void *config)
{
    const tree_config *c = config;
    return c->views == FIRST ? 1 : 2;
}

const ssl_addon ssl_add_tregs = {
    .name = "tregs",
    .paper = "T-REGS: Minimum Spanning Tree Regularization (2025; from second-hand notes)",
    .config_size = sizeof(tree_config), .settings = added_settings,
    .loss = added_loss, .views = added_views,
};
