/* BYOL - "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning", Grill et
 * al., 2020.  The paper was not read for this project; formula and settings are those of the
 * codes that spec 6.2 names.
 *
 *   online   z = projector(h)     p = predictor(z)
 *   target   t = projector'(f'(x)), a slowly following copy without predictor:
 *            xi <- tau xi + (1 - tau) theta before each step,
 *            tau_k = 1 - (1 - tau0) (1 + cos(pi k / K)) / 2
 *   L = mean_i (2 - 2 cos(p1_i, sg(t2_i))) + (2 - 2 cos(p2_i, sg(t1_i)))         0 .. 8
 *
 *   local crops k: mean of L and of the same sum with pk for both p, each k; the target
 *   sees the two views alone
 *
 * Collapse it prevents: like SimSiam's, this loss is 0 for a constant; the target that lags
 * behind, stop-gradient and the predictor together keep the trainer from finding it.
 * target: online takes the copy away (tau = 0 in effect): what is left is SimSiam
 * with other heads.
 *
 * Only parameters are averaged.  The target's BatchNorm works in training mode on its own
 * batches and keeps its own running statistics. */
#include "ssl/head.h"
#include "ssl/method.h"

enum { MOMENTUM, ONLINE };
enum { COSINE, CONSTANT };

typedef struct byol_config {
    int target, tau_schedule;
    double tau;
    int proj_dim, proj_hidden, pred_hidden;
    int symmetric;
} byol_config;

static const nn_setting settings[] = {
    NN_SET_C(byol_config, target, MOMENTUM, "momentum|online",
             "where targets come from: a following copy, or the online network itself"),
    NN_SET_F(byol_config, tau, 0.996, 0, 1,
             "what the target keeps of itself at the start (0.99 for 100 to 300 epochs)"),
    NN_SET_C(byol_config, tau_schedule, COSINE, "cosine|constant",
             "tau rises to 1 along a cosine, or stays"),
    NN_SET_I(byol_config, proj_dim, 256, 1, 65536, "d, the width of z and p"),
    NN_SET_I(byol_config, proj_hidden, 4096, 1, 65536, "width of the projector's hidden layer"),
    NN_SET_I(byol_config, pred_hidden, 4096, 1, 65536, "width of the predictor's hidden layer"),
    NN_SET_B(byol_config, symmetric, 1, "both directions; off: p1 against t2 alone"),
    NN_SET_END
};

typedef struct byol {
    const byol_config *config;
    ssl_head projector, predictor;
} byol;

static ssl_head head(nn_store *s, const char *name, int in, int hidden, int out)
{
    return ssl_head_new(s, name, &(ssl_head_plan){
        .layers = 2, .in = in, .hidden = hidden, .out = out, .norm = SSL_NORM_HIDDEN,
        .out_bias = NN_BIAS });
}

static void *build(nn_store *s, const void *config, int r, int *d)
{
    const byol_config *c = config;
    byol *m = NN_NEW0(s->arena, byol, 1);

    m->config = c;
    m->projector = head(s, "projector", r, c->proj_hidden, c->proj_dim);
    *d = c->proj_dim;
    return m;
}

static nn_node *embed(nn_tape *t, const void *heads, nn_node *h)
{
    const byol *m = heads;
    return ssl_head_apply(t, &m->projector, h);
}

static void build_predictor(nn_store *s, void *heads)
{
    byol *m = heads;
    m->predictor = head(s, "predictor", m->config->proj_dim, m->config->pred_hidden,
                        m->config->proj_dim);
}

static nn_node *predict(nn_tape *t, const void *heads, nn_node *z)
{
    const byol *m = heads;
    return ssl_head_apply(t, &m->predictor, z);
}

static double momentum(const void *config, const ssl_clock *clock)
{
    const byol_config *c = config;

    if (c->target == ONLINE)
        return -1;
    return c->tau_schedule == COSINE ? ssl_cosine_tau(c->tau, clock) : c->tau;
}

/* mean_i cos(p_i, sg(t_i)) */
static nn_node *similarity(nn_tape *t, const ssl_views *v, nn_node *p, int target)
{
    nn_node *to = v->tz[target] ? v->tz[target] : v->z[target];
    return nn_mean(t, nn_cosine(t, p, nn_stopgrad(t, to), 1e-8f));
}

/* The sum over directions of 2 - 2 cos, of the sum of the cosines. */
static nn_node *distance(nn_tape *t, const byol_config *c, nn_node *cosines)
{
    static const float two = 2, four = 4;
    nn_node *most = nn_input(t, nn_shape1(1), c->symmetric ? &four : &two, 0);
    return nn_axpy(t, -2, cosines, most);
}

static nn_node *loss(nn_tape *t, const void *config, const ssl_views *v)
{
    const byol_config *c = config;
    nn_node *sum = similarity(t, v, ssl_predict(t, v, 0), 1);

    if (c->symmetric)
        sum = nn_add(t, sum, similarity(t, v, ssl_predict(t, v, 1), 0));
    return distance(t, c, sum);
}

static nn_node *local(nn_tape *t, const void *config, const ssl_views *v, nn_node *p)
{
    const byol_config *c = config;
    nn_node *sum = similarity(t, v, p, 1);

    if (c->symmetric)
        sum = nn_add(t, sum, similarity(t, v, p, 0));
    return distance(t, c, sum);
}

const ssl_method ssl_byol = {
    .name = "byol",
    .paper = "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning"
             " (Grill et al., 2020)",
    .config_size = sizeof(byol_config), .settings = settings,
    .build = build, .embed = embed, .build_predictor = build_predictor,
    .predict = predict, .loss = loss, .local = local, .momentum = momentum,
};
