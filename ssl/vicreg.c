/* VICReg - "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised
 * Learning", Bardes, Ponce, LeCun, 2022.
 *
 *   z = expander(h)                                  no predictor, no stop-gradient
 *   s(Z, Z') = 1/(n d) sum_ij (z_ij - z'_ij)^2                   invariance
 *   v(Z)     = 1/d sum_j max(0, 1 - sqrt(Var_j + 1e-4))          variance
 *   c(Z)     = 1/d sum_{j != k} C_jk^2                           covariance
 *   L = lambda s + mu (v(Z) + v(Z'))/2 + nu (c(Z) + c(Z'))
 *
 * with Var_j and C over the batch, denominator n - 1.
 *
 * Collapse it prevents: v holds every dimension's spread at 1, so that nothing shrinks to
 * a point; c takes the correlations away, so that no dimension repeats another.  Take v
 * away and everything shrinks (watch the raw std: the unit rows may look healthy); take
 * c away and the rank falls to a few directions (spec 13.1).
 *
 * The hinge is on the standard deviation, because the gradient of the variance vanishes
 * as a column shrinks.  With 1e-4 under the root it fades below a spread of 0.01 all the
 * same, and a column that is exactly constant stays so.
 *
 * Conventions in circulation (spec 3.2), by the setting of that name:
 *   official   as above, the authors' code; lightly's too
 *   solo       v(Z) + v(Z') instead of its half (solo-learn)
 *   paper      the same, and s is a mean over rows of the squared distance: d times larger.
 *              Unverified: the paper's equations were not readable for us. */
#include "ssl/head.h"
#include "ssl/method.h"

enum { OFFICIAL, SOLO, PAPER };

/* Under the root of the hinge, and the spread that is asked for [the authors' code]. */
static const float EPS = 1e-4f, TARGET = 1;

typedef struct vicreg_config {
    double lambda, mu, nu;
    int convention;
    int proj_layers, proj_dim, proj_hidden, proj_bn;
} vicreg_config;

static const nn_setting settings[] = {
    NN_SET_F(vicreg_config, lambda, 25, 0, 1e6, "weight of the invariance term"),
    NN_SET_F(vicreg_config, mu, 25, 0, 1e6, "weight of the variance term"),
    NN_SET_F(vicreg_config, nu, 1, 0, 1e6, "weight of the covariance term"),
    NN_SET_C(vicreg_config, convention, OFFICIAL, "official|solo|paper",
             "which of the loss's conventions in circulation (ssl/vicreg.c)"),
    NN_SET_I(vicreg_config, proj_layers, 3, 1, SSL_HEAD_LAYERS,
             "linear layers of the expander"),
    NN_SET_I(vicreg_config, proj_dim, 8192, 1, 65536,
             "d, the width of z (paper: 8192 on ImageNet; 2048 on CIFAR)"),
    NN_SET_I(vicreg_config, proj_hidden, 0, 0, 65536,
             "width of the expander's hidden layers, 0 = proj_dim"),
    NN_SET_C(vicreg_config, proj_bn, SSL_NORM_HIDDEN, "none|hidden|output",
             "BatchNorm in the expander; output means hidden and output"),
    NN_SET_END
};

static void *build(nn_store *s, const void *config, int r, int *d)
{
    const vicreg_config *c = config;

    return ssl_projector_new(s, &(ssl_head_plan){
        .layers = c->proj_layers, .in = r,
        .hidden = c->proj_hidden, .out = c->proj_dim,
        .norm = (ssl_norm)c->proj_bn, .out_affine = NN_NO_AFFINE,
        .out_bias = NN_NO_BIAS }, d);
}

/* The two terms that need no second view: half the sum over views, or the sum. */
static nn_node *variance(nn_tape *t, const ssl_views *v, int convention)
{
    nn_node *sum = nn_add(t, nn_variance(t, v->z[0], TARGET, EPS, 1),
                          nn_variance(t, v->z[1], TARGET, EPS, 1));
    return ssl_term(v, "variance",
                    convention == OFFICIAL ? nn_scale(t, 0.5f, sum) : sum);
}

static nn_node *covariance(nn_tape *t, const ssl_views *v)
{
    return ssl_term(v, "covariance", nn_add(t, nn_covariance(t, v->z[0], 1),
                                            nn_covariance(t, v->z[1], 1)));
}

/* sum + mu v + nu c; sum may be NULL, and so is the result where nothing is added to it */
static nn_node *spread(nn_tape *t, const ssl_views *v, nn_node *sum, double mu, double nu,
                       int convention)
{
    if (mu > 0)
        sum = ssl_plus(t, sum, mu, variance(t, v, convention));
    if (nu > 0)
        sum = ssl_plus(t, sum, nu, covariance(t, v));
    return sum;
}

static nn_node *invariance(nn_tape *t, const ssl_views *v, int convention)
{
    nn_node *s = nn_mse(t, v->z[0], v->z[1]);

    if (convention == PAPER)
        s = nn_scale(t, (float)nn_cols(v->z[0]), s);
    return ssl_term(v, "invariance", s);
}

static nn_node *loss(nn_tape *t, const void *config, const ssl_views *v)
{
    const vicreg_config *c = config;
    nn_node *sum = NULL;

    if (c->lambda > 0)
        sum = ssl_plus(t, sum, c->lambda, invariance(t, v, c->convention));
    sum = spread(t, v, sum, c->mu, c->nu, c->convention);
    return sum ? sum : ssl_nothing(t, v);
}

const ssl_method ssl_vicreg = {
    .name = "vicreg",
    .paper = "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised"
             " Learning (Bardes, Ponce and LeCun, 2022)",
    .config_size = sizeof(vicreg_config), .settings = settings,
    .build = build, .embed = ssl_projector_embed, .loss = loss,
};

/* ---- the same terms on another method's z ------------------------------------------
 *
 * The paper adds them to BYOL and SimSiam with mu = 1, nu = 0.01, on the projector's
 * output and not the predictor's (spec 3.5).  nu alone: covariance regularisation. */
typedef struct added_config {
    double mu, nu;
    int convention;
} added_config;

static const nn_setting added_settings[] = {
    NN_SET_F(added_config, mu, 1, 0, 1e6, "weight of the variance term"),
    NN_SET_F(added_config, nu, 0.01, 0, 1e6, "weight of the covariance term"),
    NN_SET_C(added_config, convention, OFFICIAL, "official|solo|paper",
             "official halves the sum of the two views' variance terms"),
    NN_SET_END
};

static nn_node *added_loss(nn_tape *t, const void *config, const ssl_views *v)
{
    const added_config *c = config;

    return spread(t, v, NULL, c->mu, c->nu, c->convention);
}

const ssl_addon ssl_add_vicreg = {
    .name = "vicreg",
    .paper = "VICReg's variance and covariance terms (Bardes, Ponce and LeCun, 2022)",
    .config_size = sizeof(added_config), .settings = added_settings,
    .loss = added_loss,
};
