#include "tests/toy.h"

#include <check.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "metrics/met.h"
#include "nn/elem.h"
#include "nn/model.h"
#include "nn/rng.h"
#include "optim/opt.h"
#include "ssl/objective.h"
#include "tests/keys.h"

enum {
    LATENT = 8, CLASSES = 10, LAST = 10,
    CLEAN = 1 << 20             /* "epoch" of the samples that metrics are taken of */
};

typedef struct toy {
    const toy_plan *plan;
    float centre[CLASSES][LATENT], mix[LATENT][TOY_FEATURES];
    nn_arena forever, step, scratch;
    nn_store store;
    nn_tape tape;
    const nn_model *model;
    unsigned char model_config[256], method_config[256];
    void *backbone;
    ssl_objective objective;
    float *view[2];
    opt_settings optim;
    opt_state *state;
} toy;

/* ---- data -------------------------------------------------------------------------- */

/* Centres of spread 1.5 with classes of spread 0.5 around them; through columns of length
 * near 1 what goes into tanh is of size 1.6, where it bends. */
static void make_world(toy *w)
{
    nn_rng r = nn_rng_at(w->plan->seed, NN_RNG_TEST, CLEAN + 1, 0);

    for (int c = 0; c < CLASSES; c++)
        for (int l = 0; l < LATENT; l++)
            w->centre[c][l] = (float)(1.5 * nn_rng_normal(&r));
    for (int l = 0; l < LATENT; l++)
        for (int f = 0; f < TOY_FEATURES; f++)
            w->mix[l][f] = (float)(nn_rng_normal(&r) / sqrt(LATENT));
}

static void draw_sample(const toy *w, nn_rng *r, float *x)
{
    const float *centre = w->centre[nn_rng_below(r, CLASSES)];
    double sum[TOY_FEATURES] = {0};

    for (int l = 0; l < LATENT; l++) {
        const double at = (double)centre[l] + 0.5 * nn_rng_normal(r);
        for (int f = 0; f < TOY_FEATURES; f++)
            sum[f] += at * (double)w->mix[l][f];
    }
    for (int f = 0; f < TOY_FEATURES; f++)
        x[f] = (float)nn_tanh(sum[f]);
}

static void draw_view(const float *x, nn_rng *r, float *view)
{
    const double size = nn_exp(0.25 * nn_rng_normal(r));

    for (int f = 0; f < TOY_FEATURES; f++) {
        const int kept = nn_rng_float(r) >= 0.2f;
        view[f] = (float)(kept * size * (double)x[f] + 0.25 * nn_rng_normal(r));
    }
}

static void draw_batch(toy *w, int step)
{
    for (int i = 0; i < TOY_BATCH; i++) {
        nn_rng r = nn_rng_at(w->plan->seed, NN_RNG_TEST, (uint32_t)step, (uint64_t)i);
        float x[TOY_FEATURES];
        draw_sample(w, &r, x);
        for (int k = 0; k < 2; k++)
            draw_view(x, &r, w->view[k] + (size_t)i * TOY_FEATURES);
    }
}

/* ---- training ---------------------------------------------------------------------- */

static void toy_open(toy *w, const toy_plan *plan)
{
    int r;

    memset(w, 0, sizeof *w);
    omp_set_num_threads(1);         /* too little work for two, and the same bits */
    w->plan = plan;
    w->model = nn_model_find("mlp");
    const ssl_method *m = ssl_method_find(plan->method);
    ck_assert(w->model && m && m->config_size <= sizeof w->method_config);
    keys_set(w->model->settings, w->model_config, "hidden=128 out=64");
    keys_set(m->settings, w->method_config, plan->settings);
    make_world(w);
    w->store = (nn_store){ .arena = &w->forever, .seed = plan->seed };
    w->backbone = w->model->build(&w->store, w->model_config,
                                  (nn_image_shape){ 1, 1, TOY_FEATURES }, &r);
    ssl_objective_build(&w->objective, &w->store, m, w->method_config, r);
    ck_assert_int_eq(w->objective.d, TOY_D);
    nn_tape_start(&w->tape, &w->step, &w->scratch);
    for (int k = 0; k < 2; k++)
        w->view[k] = NN_NEW(&w->forever, float, TOY_BATCH * TOY_FEATURES);
    keys_set(opt_setting_table, &w->optim, "momentum=0.9 weight_decay=1e-4 per=step");
    w->optim.lr = plan->lr;
    w->optim.warmup_epochs = plan->warmup;          /* an epoch is one step here */
    w->state = opt_new(opt_method_find("sgd"), &w->optim, &w->store);
}

static void toy_close(toy *w)
{
    nn_tape_free(&w->tape);
    nn_arena_free(&w->forever);
    nn_arena_free(&w->step);
    nn_arena_free(&w->scratch);
}

static nn_node *represent(toy *w, int n, const float *x)
{
    nn_node *in = nn_input(&w->tape, nn_shape4(n, 1, 1, TOY_FEATURES), x, 0);
    return w->model->forward(&w->tape, w->backbone, in);
}

static nn_node *loss_at(toy *w, int step)
{
    ssl_views v = { .count = 2, .clock = { .epochs = 1, .step = step,
                                           .steps = w->plan->steps } };

    draw_batch(w, step);
    nn_tape_reset(&w->tape);
    nn_store_zero_grad(&w->store);
    for (int k = 0; k < 2; k++)
        ssl_objective_view(&w->tape, &w->objective, &v, k,
                           represent(w, TOY_BATCH, w->view[k]));
    return ssl_objective_loss(&w->tape, &w->objective, &v);
}

static double train(toy *w)
{
    const int steps = w->plan->steps;
    double sum = 0;

    for (int s = 0; s < steps; s++) {
        nn_node *loss = loss_at(w, s);
        if (s >= steps - LAST)
            sum += (double)nn_item(loss);
        nn_backward(loss);
        opt_step(w->state, opt_lr(&w->optim, TOY_BATCH, s, 1, steps),
                 opt_peak_lr(&w->optim, TOY_BATCH), s);
    }
    return steps >= LAST ? sum / LAST : NAN;
}

/* ---- metrics ----------------------------------------------------------------------- */

static double metric(met_view *v, const char *name)
{
    const met_metric *m = met_metric_find(name);
    ck_assert_msg(m != NULL, "no metric '%s'", name);
    return m->value(v);
}

static void measure(toy *w, toy_end *e)
{
    float *x = NN_NEW(&w->forever, float, TOY_SAMPLES * TOY_FEATURES);

    for (int i = 0; i < TOY_SAMPLES; i++) {
        nn_rng r = nn_rng_at(w->plan->seed, NN_RNG_TEST, CLEAN, (uint64_t)i);
        draw_sample(w, &r, x + (size_t)i * TOY_FEATURES);
    }
    nn_tape_reset(&w->tape);
    w->tape.mode = NN_BATCH;
    w->tape.record = 0;
    nn_node *z = w->objective.method->embed(&w->tape, w->objective.heads,
                                            represent(w, TOY_SAMPLES, x));
    met_view v = met_view_of(&w->forever, z->val, TOY_SAMPLES, TOY_D, 32);
    e->std = metric(&v, "collapse/std");
    e->cos = metric(&v, "collapse/mean_cos");
    e->erank = metric(&v, "collapse/erank");
    e->raw_std = metric(&v, "collapse/raw_std");
}

toy_end toy_run(const toy_plan *plan)
{
    toy_end e;
    toy w;

    toy_open(&w, plan);
    e.loss = train(&w);
    measure(&w, &e);
    toy_close(&w);
    return e;
}

void toy_compare(const toy_plan *a, const toy_plan *b, double *cosine, double *ratio)
{
    const toy_plan *plan[] = { a, b };
    double dot = 0, size[2] = {0};
    toy w[2];

    for (int k = 0; k < 2; k++) {
        toy_open(&w[k], plan[k]);
        nn_backward(loss_at(&w[k], 0));
    }
    for (int i = 0; i < w[0].store.count; i++) {
        const nn_param *p = w[0].store.list[i];
        const nn_param *q = nn_store_find(&w[1].store, p->name);
        for (size_t j = 0; p->grad && j < nn_shape_count(&p->shape); j++) {
            dot += (double)p->grad[j] * (double)q->grad[j];
            size[0] += (double)p->grad[j] * (double)p->grad[j];
            size[1] += (double)q->grad[j] * (double)q->grad[j];
        }
    }
    *cosine = dot / sqrt(size[0] * size[1]);
    *ratio = sqrt(size[0] / size[1]);
    for (int k = 0; k < 2; k++)
        toy_close(&w[k]);
}
