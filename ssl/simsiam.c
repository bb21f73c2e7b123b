/* SimSiam - "Exploring Simple Siamese Representation Learning", Chen, He, 2021.
 *
 *   z = projector(h)     p = predictor(z)
 *   L = 1/2 D(p1, sg(z2)) + 1/2 D(p2, sg(z1))
 *   D(p, z) = -mean_i cos(p_i, z_i)            or, as an ablation,
 *             -mean_i sum_k softmax(z_i)_k log softmax(p_i)_k
 *   symmetric: false  L = D(p1, sg(z2))
 *   pairs: 2          the mean over two pairs of views, (1, 2) and (3, 4)
 *   local crops k     mean of L and of 1/2 D(pk, sg(z1)) + 1/2 D(pk, sg(z2)), each k
 *
 * Collapse it prevents: nothing in L asks the outputs to differ; a constant z is a
 * perfect minimum.  Stop-gradient sg and the predictor together keep the trainer from finding it.
 * With stop_gradient: false the loss runs to -1: that is the lesson, try it.
 *
 * What the output's BatchNorm decides is how the collapse looks (spec 2.5): with hidden
 * BatchNorm only, z shrinks to a point and sqrt(d) * std falls to 0; with an output
 * BatchNorm z keeps its spread and loses its dimensions instead, so watch the rank.
 *
 * Facts worth a test: with the symmetric cosine loss and no predictor, the gradient with
 * stop-gradient is half the gradient without it - so "no predictor" must collapse too.
 *
 * Differs from the released code: the projector's last linear layer has no bias where a
 * BatchNorm follows (theirs is frozen at a random value, which the norm removes). */
#include "ssl/head.h"
#include "ssl/method.h"

enum { PREDICTOR_MLP, PREDICTOR_NONE, PREDICTOR_FIXED };
enum { LR_CONSTANT, LR_DECAY };
enum { COSINE, CROSS_ENTROPY };

typedef struct simsiam_config {
    int stop_gradient, predictor, pred_lr;
    int proj_layers, proj_dim, proj_hidden, proj_bn, proj_affine;
    int pred_hidden, pred_bn;
    int symmetric, pairs, similarity;
} simsiam_config;

static const nn_setting settings[] = {
    NN_SET_B(simsiam_config, stop_gradient, 1, "no gradient into the targets z"),
    NN_SET_C(simsiam_config, predictor, PREDICTOR_MLP, "mlp|none|fixed",
             "learned, absent, or kept at its random start"),
    NN_SET_C(simsiam_config, pred_lr, LR_CONSTANT, "constant|decay",
             "learning rate of the predictor: kept at its peak, or scheduled"),
    NN_SET_I(simsiam_config, proj_layers, 2, 1, SSL_HEAD_LAYERS,
             "linear layers of the projector (paper: 3 on ImageNet, 2 on CIFAR-10)"),
    NN_SET_I(simsiam_config, proj_dim, 2048, 1, 65536, "d, the width of z and p"),
    NN_SET_I(simsiam_config, proj_hidden, 0, 0, 65536,
             "width of the projector's hidden layers, 0 = proj_dim"),
    NN_SET_C(simsiam_config, proj_bn, SSL_NORM_OUTPUT, "none|hidden|output",
             "BatchNorm in the projector; output means hidden and output"),
    NN_SET_B(simsiam_config, proj_affine, 0, "scale and shift in the output BatchNorm"),
    NN_SET_I(simsiam_config, pred_hidden, 0, 0, 65536,
             "width of the predictor's hidden layer, 0 = proj_dim / 4"),
    NN_SET_C(simsiam_config, pred_bn, SSL_NORM_HIDDEN, "none|hidden|output",
             "BatchNorm in the predictor (output is unstable, says the paper)"),
    NN_SET_B(simsiam_config, symmetric, 1, "both directions; off: p1 against z2 alone"),
    NN_SET_I(simsiam_config, pairs, 1, 1, 2,
             "pairs of views of an image; asym. 2x is symmetric: false, pairs: 2"),
    NN_SET_C(simsiam_config, similarity, COSINE, "cosine|cross_entropy",
             "how p is compared with z"),
    NN_SET_END
};

typedef struct simsiam {
    const simsiam_config *config;
    ssl_head projector, predictor;
} simsiam;

/* The predictor's parameters: frozen, or exempt from the schedule (fix_pred_lr). */
static void set_predictor_rule(nn_store *s, int first, const simsiam_config *c)
{
    for (int i = first; i < s->count; i++) {
        s->list[i]->constant_lr = c->pred_lr == LR_CONSTANT;
        if (c->predictor == PREDICTOR_FIXED)
            s->list[i]->grad = NULL;
    }
}

static void *build(nn_store *s, const void *config, int r, int *d)
{
    const simsiam_config *c = config;
    simsiam *m = NN_NEW0(s->arena, simsiam, 1);

    m->config = c;
    m->projector = ssl_head_new(s, "projector", &(ssl_head_plan){
        .layers = c->proj_layers, .in = r, .hidden = c->proj_hidden, .out = c->proj_dim,
        .norm = (ssl_norm)c->proj_bn, .out_bias = NN_BIAS,
        .out_affine = c->proj_affine ? NN_AFFINE : NN_NO_AFFINE });
    *d = c->proj_dim;
    return m;
}

static void build_predictor(nn_store *s, void *heads)
{
    simsiam *m = heads;
    const simsiam_config *c = m->config;
    int first = s->count, narrow = c->pred_hidden ? c->pred_hidden : (c->proj_dim + 3) / 4;

    if (c->predictor == PREDICTOR_NONE)
        return;
    m->predictor = ssl_head_new(s, "predictor", &(ssl_head_plan){
        .layers = 2, .in = c->proj_dim, .hidden = narrow, .out = c->proj_dim,
        .norm = (ssl_norm)c->pred_bn, .out_affine = NN_AFFINE, .out_bias = NN_BIAS });
    set_predictor_rule(s, first, c);
}

static nn_node *embed(nn_tape *t, const void *heads, nn_node *h)
{
    const simsiam *m = heads;
    return ssl_head_apply(t, &m->projector, h);
}

static nn_node *predict(nn_tape *t, const void *heads, nn_node *z)
{
    const simsiam *m = heads;
    if (m->config->predictor == PREDICTOR_NONE)
        return z;
    return ssl_head_apply(t, &m->predictor, z);
}

static nn_node *distance(nn_tape *t, const simsiam_config *c, nn_node *p, nn_node *z)
{
    nn_node *target = c->stop_gradient ? nn_stopgrad(t, z) : z;

    if (c->similarity == CROSS_ENTROPY)
        return nn_soft_xent(t, p, target);
    return nn_scale(t, -1, nn_mean(t, nn_cosine(t, p, target, 1e-8f)));
}

/* Of views k and k + 1. */
static nn_node *pair(nn_tape *t, const simsiam_config *c, const ssl_views *v, int k)
{
    nn_node *one = distance(t, c, ssl_predict(t, v, k), v->z[k + 1]);

    if (!c->symmetric)
        return one;
    nn_node *two = distance(t, c, ssl_predict(t, v, k + 1), v->z[k]);
    return nn_scale(t, 0.5f, nn_add(t, one, two));
}

static nn_node *loss(nn_tape *t, const void *config, const ssl_views *v)
{
    const simsiam_config *c = config;
    nn_node *one = pair(t, c, v, 0);

    if (c->pairs == 1)
        return one;
    return nn_scale(t, 0.5f, nn_add(t, one, pair(t, c, v, 2)));
}

/* Mean over the views that are targets: all, or the second of each pair. */
static nn_node *local(nn_tape *t, const void *config, const ssl_views *v, nn_node *p)
{
    const simsiam_config *c = config;
    nn_node *sum = NULL;

    for (int k = c->symmetric ? 0 : 1; k < v->count; k += c->symmetric ? 1 : 2)
        sum = ssl_plus(t, sum, 1, distance(t, c, p, v->z[k]));
    return nn_scale(t, 1 / (float)(c->symmetric ? v->count : v->count / 2), sum);
}

static int views(const void *config)
{
    const simsiam_config *c = config;
    return 2 * c->pairs;
}

const ssl_method ssl_simsiam = {
    .name = "simsiam",
    .paper = "Exploring Simple Siamese Representation Learning (Chen and He, 2021)",
    .config_size = sizeof(simsiam_config), .settings = settings,
    .build = build, .embed = embed, .build_predictor = build_predictor,
    .predict = predict, .loss = loss, .local = local, .views = views,
};
