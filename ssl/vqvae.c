/* VQ-VAE - "Neural Discrete Representation Learning", van den Oord, Vinyals, Kavukcuoglu,
 * 2017.  The paper was not read for this project: spec 2.
 *
 *   map = encoder(x)      one vector z_i for each place of a map of h' x w' places
 *   q_i = the nearest code of z_i                               (nn/quant, any quantiser)
 *   x^  = decoder(q)      its gradient passes to z as if q were z
 *   L   = reconstruction(x, x^) + the quantiser's loss
 *
 *   mse       mean (x - x^)^2 over pixels as they are given: of normalised images, the
 *             error in units of the variance of the set's pixels
 *   l1        mean |x - x^|
 *   gaussian  mean of (log v + (x - x^)^2 / v + log 2 pi) / 2, v learned, one for all pixels
 *
 * Collapse it can die of: most codes are never used, and the decoder sees a few pictures
 * for all images.  It is told by the use of the codes and not by the loss: watch
 * code/usage beside code/usage_max, and code/error in units of the variance of z.
 *
 * h, of which the collapse metrics and probes are taken, is the mean of the map over its
 * places, before quantisation; z is h. */
#include "nn/base.h"
#include "ssl/method.h"

enum { MSE, L1, GAUSSIAN };

typedef struct vqvae_config { int reconstruction; } vqvae_config;

static const nn_setting settings[] = {
    NN_SET_C(vqvae_config, reconstruction, MSE, "mse|l1|gaussian",
             "how images are compared; gaussian: likelihood with a learned variance"),
    NN_SET_END
};

typedef struct vqvae {
    nn_quantiser *quantiser;
    nn_param *log_var;                  /* NULL but for gaussian */
} vqvae;

static void *build(nn_store *s, const void *config, int r, int *d)
{
    const vqvae_config *c = config;
    vqvae *m = NN_NEW0(s->arena, vqvae, 1);

    if (c->reconstruction == GAUSSIAN)          /* from 0: variance 1 */
        m->log_var = nn_store_add(s, "log_var", NN_PARAMETER, nn_shape1(1));
    *d = r;
    return m;
}

static void build_quantiser(nn_store *s, void *heads, const nn_quant_plan *plan, int r)
{
    vqvae *m = heads;
    m->quantiser = nn_quantiser_new(s, "quantiser", plan, r);
}

static nn_quantiser *quantiser(const void *heads)
{
    const vqvae *m = heads;
    return m->quantiser;
}

static nn_node *embed(nn_tape *t, const void *heads, nn_node *h)
{
    (void)t;
    (void)heads;
    return h;
}

static nn_node *reconstruct(nn_tape *t, const void *heads, const ssl_views *v, int k,
                            nn_quantised *found)
{
    const vqvae *m = heads;
    const nn_quant_clock clock = { .step = v->clock.step, .steps = v->clock.steps };
    const nn_shape map = v->map[k]->shape;
    nn_node *z = nn_reshape(t, v->map[k], nn_shape2(nn_rows(v->map[k]),
                                                    nn_cols(v->map[k])));

    *found = nn_quantise(t, m->quantiser, z, &clock);
    return v->model->decode(t, v->model_state, nn_reshape(t, found->q, map));
}

static nn_node *compare(nn_tape *t, const vqvae_config *c, const vqvae *m, nn_node *x,
                        nn_node *again)
{
    switch (c->reconstruction) {
    case L1:       return nn_l1(t, again, x);
    case GAUSSIAN: return nn_gaussian_nll(t, x, again, nn_leaf(t, m->log_var));
    default:       return nn_mse(t, again, x);
    }
}

static nn_node *loss(nn_tape *t, const void *config, const ssl_views *v)
{
    const vqvae *m = v->heads;
    nn_quantised found;
    nn_node *again = reconstruct(t, m, v, 0, &found);
    nn_node *sum = ssl_term(v, "reconstruction", compare(t, config, m, v->x[0], again));

    if (found.loss)
        sum = nn_add(t, sum, ssl_term(v, "quantiser", found.loss));
    if (v->found)
        *v->found = found;
    return sum;
}

static int views(const void *config)
{
    (void)config;
    return 1;
}

const ssl_method ssl_vqvae = {
    .name = "vqvae",
    .paper = "Neural Discrete Representation Learning (van den Oord et al., 2017)",
    .config_size = sizeof(vqvae_config), .settings = settings,
    .build = build, .embed = embed, .loss = loss, .views = views,
    .decodes = 1, .quantises = 1, .build_quantiser = build_quantiser,
    .quantiser = quantiser, .reconstruct = reconstruct,
};
