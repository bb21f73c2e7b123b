/* LDReg - "LDReg: Local Dimensionality Regularized Self-Supervised Learning", Huang,
 * Campello, Erfani, Ma, Houle, Bailey, 2024.  A regulariser on top of another method.
 *
 *   LID_i = local intrinsic dimension of row i, from the distances r_1 <= ... <= r_k to its
 *           k nearest others (nn/ops/lid.c has the estimators)
 *   l1     L = L_ssl - beta 1/M sum_i ln LID_i
 *   l2     L = L_ssl - beta sqrt(1/M sum_i (ln LID_i)^2)                    (the paper's)
 *   min    L = L_ssl + beta 1/M sum_i ln LID_i          provokes a local collapse
 *
 * Why the logarithm: |ln (LID_1 / LID_2)| is the Fisher-Rao distance of two local distance
 * distributions, and ln LID that to dimension one; so LIDs are averaged geometrically.
 *
 * Which rows: on `h`, the encoder's output, and not z.  Without a momentum target query and
 * reference are the 2N rows [h1; h2] (the paper's form for SimCLR).  With one, each view's
 * rows ask in turn and the reference is [h1; h2; th1; th2] (its form for BYOL).  The
 * reference never moves; a row is left out of its own neighbours by index; its positive
 * view is not.  `momentum_rows: false` takes the first form with a target, too.
 *
 * Collapse it prevents: the local kind, in which every neighbourhood is a thin sheet while
 * the rank of the whole looks healthy.  A larger beta lowers the global rank.  ln LID does
 * not change with scale, so a shrinking norm goes unseen.
 *
 * Where the authors' code differs: its l1 takes -|ln LID|, which pushes points of LID < 1
 * down (`abs_code: true` does so), and its l2 takes the root row by row, which makes it l1.
 * For BYOL it adds up the two views' means: beta there is 2 beta here.  On SimSiam the
 * paper has nothing; that is our extension. */
#include "nn/base.h"
#include "ssl/method.h"

enum { L1, L2, MIN };
enum { LOG, PLAIN };
enum { ON_H, ON_Z };

typedef struct ldreg_config {
    double beta;
    int k, estimator, form, scale, abs_code, start_epoch, layer, momentum_rows;
} ldreg_config;

static const nn_setting settings[] = {
    NN_SET_F(ldreg_config, beta, 0.01, 0, 1e6,
             "weight (paper: SimCLR 0.01, BYOL 0.005, VICReg 0.025, Barlow Twins 1)"),
    NN_SET_I(ldreg_config, k, 64, 2, 100000,
             "neighbours (64 at a batch of 2048; fewer in proportion)"),
    NN_SET_C(ldreg_config, estimator, NN_LID_MOM, "mom|mom_paper|mle|hill|unbiased",
             "of the local intrinsic dimension (nn/ops/lid.c)"),
    NN_SET_C(ldreg_config, form, L1, "l1|l2|min",
             "mean; root of the mean square; or the mean with its sign turned"),
    NN_SET_C(ldreg_config, scale, LOG, "log|plain",
             "ln LID; or LID itself, an ablation"),
    NN_SET_B(ldreg_config, abs_code, 0, "|ln LID|, as the authors' code has it"),
    NN_SET_I(ldreg_config, start_epoch, 10, 0, 100000,
             "epochs without it at the start (the authors: their warm-up, 10)"),
    NN_SET_C(ldreg_config, layer, ON_H, "h|z", "the rows it acts on"),
    NN_SET_B(ldreg_config, momentum_rows, 1,
             "with a momentum target: its rows are neighbours too"),
    NN_SET_END
};

/* ln LID of the rows that ask: (2N). */
static nn_node *log_lid(nn_tape *t, const ldreg_config *c, const ssl_views *v)
{
    const nn_lid_settings s = { c->k, (nn_lid_estimator)c->estimator, NN_LID_DETACHED };
    nn_node *const *x = c->layer == ON_H ? v->h : v->z;
    nn_node *const *target = c->layer == ON_H ? v->th : v->tz;
    nn_node *one[2];

    if (!target[0] || !c->momentum_rows)
        return nn_lid(t, nn_concat(t, x, 2), NULL, s);
    for (int k = 0; k < 2; k++) {
        nn_node *rest[] = { x[!k], target[0], target[1] };
        one[k] = nn_lid(t, x[k], nn_concat(t, rest, 3), s);
    }
    nn_node *both[] = { nn_reshape(t, one[0], nn_shape2(nn_rows(x[0]), 1)),
                        nn_reshape(t, one[1], nn_shape2(nn_rows(x[0]), 1)) };
    return nn_concat(t, both, 2);
}

static nn_node *loss(nn_tape *t, const void *config, const ssl_views *v)
{
    const ldreg_config *c = config;

    if (c->beta == 0 || v->clock.epoch < c->start_epoch)
        return NULL;
    nn_node *lid = log_lid(t, c, v);
    if (c->scale == PLAIN)
        lid = nn_exponential(t, lid);
    if (c->abs_code)
        lid = nn_abs(t, lid);
    nn_node *size = c->form == L2 ? nn_rms(t, lid) : nn_mean(t, lid);
    return nn_scale(t, (float)(c->form == MIN ? c->beta : -c->beta),
                    ssl_term(v, "lid", size));
}

const ssl_addon ssl_add_ldreg = {
    .name = "ldreg",
    .paper = "LDReg: Local Dimensionality Regularized Self-Supervised Learning"
             " (Huang et al., 2024)",
    .config_size = sizeof(ldreg_config), .settings = settings,
    .loss = loss, .sometimes = 1,
};
