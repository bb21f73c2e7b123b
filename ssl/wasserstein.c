/* Wasserstein uniformity - "Rethinking the Uniformity Metric in Self-Supervised Learning",
 * 2024; formula and settings from the authors' code (spec 8).  A regulariser on top of
 * another method.
 *
 *   e = unit rows of [Z; Z'] (2N, m)     mu = mean, Sigma = covariance with denominator 2N
 *   W2 = sqrt( |mu|^2 + 1 + tr Sigma - (2 / sqrt m) tr Sigma^(1/2) )
 *   L = L_ssl + w W2,   w from weight to weight_end along a line over all steps
 *
 * the distance of N(mu, Sigma) from N(0, I/m), which rows spread evenly over the sphere
 * come to as m grows.  0 is best; a point has sqrt 2.
 *
 * Collapse it prevents: the dimensional kind.  Uniformity in pairs (ssl/align_uniform.c)
 * hardly notices when half of the dimensions go unused; this distance does.
 *
 * The authors' weights: Barlow Twins 30 to 0 (with its lambda at 0.08), BYOL 0.2 constant. */
#include "ssl/method.h"

typedef struct wasserstein_config {
    double weight, weight_end;
} wasserstein_config;

static const nn_setting settings[] = {
    NN_SET_F(wasserstein_config, weight, 0.2, 0, 1e6, "weight at the first step"),
    NN_SET_F(wasserstein_config, weight_end, -1, -1, 1e6,
             "weight at the last step, along a line; -1 = as at the first"),
    NN_SET_END
};

static nn_node *loss(nn_tape *t, const void *config, const ssl_views *v)
{
    const wasserstein_config *c = config;
    const double last = v->clock.steps > 1 ? (double)(v->clock.steps - 1) : 1;
    const double end = c->weight_end < 0 ? c->weight : c->weight_end;
    const double weight = c->weight + (end - c->weight) * (double)v->clock.step / last;

    if (weight == 0)
        return NULL;
    nn_node *rows = nn_unitrow(t, nn_concat(t, v->z, 2), 1e-12f);
    nn_node *w2 = ssl_term(v, "wasserstein", nn_wasserstein(t, rows));
    return nn_scale(t, (float)weight, w2);
}

const ssl_addon ssl_add_wasserstein = {
    .name = "wasserstein",
    .paper = "Rethinking the Uniformity Metric in Self-Supervised Learning (2024)",
    .config_size = sizeof(wasserstein_config), .settings = settings,
    .loss = loss, .sometimes = 1,
};
