/* Loss and gradient of every method and regulariser, for given views, against numbers
 * worked out by PyTorch in float64 (tests/golden/make_methods.py).  A new method is a
 * formula there and a line of `lines` here. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ssl/method.h"
#include "tests/golden.h"
#include "tests/keys.h"
#include "tests/suites.h"

/* The largest difference of a loss, of its size or of 1, whichever is more: losses are
 * sums of terms of about that size, each rounded to 6e-8 of itself.  Of a gradient: of
 * the largest element; eigenvalues and whitened columns lose most, about 1e-5. */
static const double LOSS_TOLERANCE = 1e-5, GRADIENT_TOLERANCE = 1e-4;

static const char *const batches[] = { "8x5", "12x33", "6x40", "16x16", "twice", "zero" };

enum { METHOD = 1, ADDON = 2, TARGET = 4 };     /* with a momentum target's views */

typedef struct line {
    const char *golden;                 /* name in methods.gold */
    int kind;                           /* METHOD or ADDON, and TARGET */
    const char *name, *settings;        /* "key=value key=value"; words as words */
} line;

static const line lines[] = {
    { "simsiam", METHOD, "simsiam", "" },
    { "simsiam/asym", METHOD, "simsiam", "symmetric=0" },
    { "simsiam/no_stop", METHOD, "simsiam", "stop_gradient=0" },
    { "simsiam/xent", METHOD, "simsiam", "similarity=cross_entropy" },
    { "simsiam/xent_no_stop", METHOD, "simsiam",
      "similarity=cross_entropy stop_gradient=0" },

    { "vicreg", METHOD, "vicreg", "" },
    { "vicreg/solo", METHOD, "vicreg", "convention=solo" },
    { "vicreg/paper", METHOD, "vicreg", "convention=paper" },
    { "vicreg/inv", METHOD, "vicreg", "lambda=3 mu=0 nu=0" },
    { "vicreg/var", METHOD, "vicreg", "lambda=0 mu=3 nu=0" },
    { "vicreg/cov", METHOD, "vicreg", "lambda=0 mu=0 nu=3" },
    { "vicreg/inv_var", METHOD, "vicreg", "lambda=2 mu=3 nu=0" },
    { "vicreg/inv_cov", METHOD, "vicreg", "lambda=2 mu=0 nu=3" },
    { "vicreg/var_cov", METHOD, "vicreg", "lambda=0 mu=2 nu=3" },
    { "add_vicreg", ADDON, "vicreg", "" },
    { "add_vicreg/solo", ADDON, "vicreg", "mu=2 nu=0.5 convention=solo" },
    { "add_vicreg/var", ADDON, "vicreg", "mu=2 nu=0" },
    { "add_vicreg/cov", ADDON, "vicreg", "mu=0 nu=2" },

    { "barlow", METHOD, "barlow", "" },
    { "barlow/solo", METHOD, "barlow", "lambda=0.02 scale=0.1" },
    { "simclr/0.1", METHOD, "simclr", "tau=0.1" },
    { "simclr/0.5", METHOD, "simclr", "tau=0.5" },
    { "byol", METHOD | TARGET, "byol", "" },
    { "byol/asym", METHOD | TARGET, "byol", "symmetric=0" },
    { "byol/online", METHOD, "byol", "target=online" },
    { "align_uniform", METHOD, "align_uniform", "" },
    { "align_uniform/weights", METHOD, "align_uniform",
      "alpha=4 t=3 align_weight=0.5 uniform_weight=2" },

    { "tregs", METHOD, "tregs", "" },
    { "tregs/hard", METHOD, "tregs", "normalise=hard" },
    { "tregs/weights", METHOD, "tregs", "beta=0.5 gamma=2 lambda=3 radius=2" },
    { "tregs/one_view", METHOD, "tregs", "views=first" },
    { "add_tregs", ADDON, "tregs", "" },
    { "add_tregs/hard", ADDON, "tregs", "normalise=hard" },
    { "add_tregs/one_view", ADDON, "tregs", "gamma=1 lambda=1 views=first" },

    { "wasserstein", ADDON, "wasserstein", "weight=1" },
    { "wasserstein/weight", ADDON, "wasserstein", "" },

    { "ldreg", ADDON, "ldreg", "beta=1 k=4" },
    { "ldreg/paper", ADDON, "ldreg", "beta=1 k=4 estimator=mom_paper" },
    { "ldreg/mle", ADDON, "ldreg", "beta=1 k=4 estimator=mle" },
    { "ldreg/l2", ADDON, "ldreg", "beta=1 k=4 form=l2" },
    { "ldreg/min", ADDON, "ldreg", "beta=0.1 k=4 form=min" },
    { "ldreg/abs", ADDON, "ldreg", "beta=1 k=4 abs_code=1" },
    { "ldreg/clamped", ADDON, "ldreg", "beta=1" },
    { "ldreg/plain", ADDON, "ldreg", "beta=1 k=4 scale=plain" },
    { "ldreg/z", ADDON, "ldreg", "beta=1 k=4 layer=z" },
    { "ldreg/target", ADDON | TARGET, "ldreg", "beta=1 k=4" },
    { "ldreg/target_mle", ADDON | TARGET, "ldreg", "beta=1 k=6 estimator=mle" },
    { "ldreg", ADDON | TARGET, "ldreg", "beta=1 k=4 momentum_rows=0" },
};

/* ---- a component with settings by name --------------------------------------------- */

typedef struct component {
    const ssl_method *method;           /* one of the two */
    const ssl_addon *addon;
    _Alignas(16) unsigned char config[1024];
} component;

static component component_of(const line *l)
{
    component c = {0};

    if (l->kind & METHOD)
        c.method = ssl_method_find(l->name);
    else
        c.addon = ssl_addon_find(l->name);
    ck_assert_msg(c.method || c.addon, "nobody is called '%s'", l->name);
    ck_assert((c.method ? c.method->config_size : c.addon->config_size)
              <= sizeof c.config);
    keys_set(c.method ? c.method->settings : c.addon->settings, c.config, l->settings);
    return c;
}

/* ---- views ------------------------------------------------------------------------- */

/* Letters of the golden file: representations, embeddings, predictions, and of the
 * momentum target representations and embeddings. */
static const char letters[] = "hzpgt";

typedef struct bench {
    nn_arena step, scratch;
    nn_tape tape;
    ssl_views v;
    nn_node *in[5][2];
} bench;

static void bench_open(bench *b)
{
    memset(b, 0, sizeof *b);
    nn_tape_start(&b->tape, &b->step, &b->scratch);
}

static void bench_close(bench *b)
{
    nn_tape_free(&b->tape);
    nn_arena_free(&b->step);
    nn_arena_free(&b->scratch);
}

/* All five letters of a batch; those of the target only where they are asked for. */
static void views_of(bench *b, const golden *g, const char *batch, int target)
{
    b->v = (ssl_views){ .count = 2, .clock = { .epoch = 50, .epochs = 100,
                                               .step = 500, .steps = 1000 } };
    nn_tape_reset(&b->tape);
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < 2; k++) {
            const golden_record *x = golden_at(g, "%s/%c%d", batch, letters[i], k);
            b->in[i][k] = nn_input(&b->tape, x->shape, x->val, 1);
        }
    for (int k = 0; k < 2; k++) {
        b->v.h[k] = b->in[0][k];
        b->v.z[k] = b->in[1][k];
        b->v.p[k] = b->in[2][k];
        b->v.th[k] = target ? b->in[3][k] : NULL;
        b->v.tz[k] = target ? b->in[4][k] : NULL;
    }
}

static nn_node *loss_of(bench *b, const component *c)
{
    return c->method ? c->method->loss(&b->tape, c->config, &b->v)
                     : c->addon->loss(&b->tape, c->config, &b->v);
}

static void check_loss(const line *l, const char *batch, double want, double got)
{
    double gap = fabs(got - want) / fmax(1, fabs(want));
    ck_assert_msg(gap <= LOSS_TOLERANCE, "%s of %s: loss %.8g, PyTorch has %.8g",
                  l->golden, batch, got, want);
}

/* What the golden file knows no gradient of must have none, or zeros. */
static void check_gradient(const golden *g, const line *l, const char *batch, char letter,
                           int k, const nn_node *x)
{
    char name[128];

    snprintf(name, sizeof name, "%s:%s/d%c%d", l->golden, batch, letter, k);
    const golden_record *want = golden_find(g, name);
    if (want) {
        ck_assert_msg(x->grad != NULL, "%s: no gradient", name);
        golden_check(want, x->grad, GRADIENT_TOLERANCE);
        return;
    }
    for (size_t i = 0; x->grad && i < nn_count(x); i++)
        ck_assert_msg(x->grad[i] == 0, "%s: a gradient of %g where there is none", name,
                      (double)x->grad[i]);
}

START_TEST(loss_and_gradient_match_pytorch)
{
    const line *l = &lines[_i];
    const component c = component_of(l);
    golden g = golden_open("methods.gold");
    int seen = 0;
    bench b;
    bench_open(&b);
    for (size_t i = 0; i < NN_COUNT(batches); i++) {
        char name[128];
        snprintf(name, sizeof name, "%s:%s/loss", l->golden, batches[i]);
        const golden_record *want = golden_find(&g, name);
        if (!want)
            continue;
        seen++;
        views_of(&b, &g, batches[i], l->kind & TARGET);
        nn_node *loss = nn_pin(loss_of(&b, &c));
        check_loss(l, batches[i], (double)want->val[0], (double)nn_item(loss));
        nn_backward(loss);
        for (int j = 0; j < 5; j++)
            for (int k = 0; k < 2; k++)
                check_gradient(&g, l, batches[i], letters[j], k, b.in[j][k]);
    }
    ck_assert_msg(seen >= 3, "%s: %d batches in methods.gold", l->golden, seen);
    bench_close(&b);
    golden_free(&g);
}
END_TEST

/* ... or somebody added one and forgot to ask anybody else about it.  INTL is asked about
 * in test_intl.c, and methods that decode, whose loss is of images, in test_vqvae.c. */
START_TEST(every_method_and_regulariser_has_a_line)
{
    for (int i = 0; i < ssl_method_count() + ssl_addon_count(); i++) {
        const int kind = i < ssl_method_count() ? METHOD : ADDON;
        const char *name = kind == METHOD ? ssl_method_at(i)->name
                                          : ssl_addon_at(i - ssl_method_count())->name;
        size_t j = 0;
        if (kind == METHOD && ssl_method_at(i)->decodes)
            continue;
        while (j < NN_COUNT(lines) && strcmp(name, "intl") != 0
               && (!(lines[j].kind & kind) || strcmp(lines[j].name, name) != 0))
            j++;
        ck_assert_msg(j < NN_COUNT(lines), "%s has no golden values", name);
    }
}
END_TEST

/* With every weight zero there is a loss of zero, and a gradient to go with it. */
START_TEST(no_terms_are_a_loss_of_zero)
{
    static const line none = { "vicreg/none", METHOD, "vicreg", "lambda=0 mu=0 nu=0" };
    const component c = component_of(&none);
    golden g = golden_open("methods.gold");
    bench b;
    bench_open(&b);
    views_of(&b, &g, "8x5", 0);
    nn_node *loss = nn_pin(loss_of(&b, &c));
    nn_backward(loss);
    ck_assert_float_eq(nn_item(loss), 0);
    for (size_t i = 0; i < nn_count(b.v.z[0]); i++)
        ck_assert_float_eq(b.v.z[0]->grad[i], 0);
    bench_close(&b);
    golden_free(&g);
}
END_TEST

Suite *suite_methods(void)
{
    Suite *s = suite_create("methods");
    TCase *tc = tcase_create("methods");
    tcase_add_loop_test(tc, loss_and_gradient_match_pytorch, 0, (int)NN_COUNT(lines));
    tcase_add_test(tc, every_method_and_regulariser_has_a_line);
    tcase_add_test(tc, no_terms_are_a_loss_of_zero);
    suite_add_tcase(s, tc);
    return s;
}
