/* One training step of ours, timed on demand: the counterpart of torch_step.py.
 *
 *   step MODEL BATCH THREADS
 *
 * The work: two views through backbone and SimSiam heads in two passes, the symmetric
 * loss with stop-gradient, backward, SGD with momentum and weight decay.  Images are
 * random and made beforehand: 28x28 grey, or 32x32 colour for resnet18.
 *
 * After two steps that warm up, it prints "ready" and facts.  Then every line it reads is
 * a number of seconds: it takes steps for that long and answers with the median time of
 * one, in milliseconds.  bench/run.sh talks to both sides in turn, so that both meet the
 * same weather on a shared machine.  At the end of its input it prints memory figures. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "nn/base.h"
#include "nn/kern/kern.h"
#include "nn/model.h"
#include "nn/par.h"
#include "nn/rng.h"
#include "optim/opt.h"
#include "ssl/method.h"

enum { WARM_UP = 2, MAX_STEPS = 4096 };

typedef struct setup {
    const nn_model *model;
    void *backbone, *heads;
    const ssl_method *method;
    nn_store store;
    nn_tape tape;
    opt_settings optim;
    opt_state *optimiser;
    nn_image_shape image;
    int batch;
    float *view[2];
} setup;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A component's config: its defaults, with one integer setting replaced. */
static void *config_of(nn_arena *a, const nn_setting *table, size_t size)
{
    void *config = nn_arena_zero(a, size);
    nn_setting_defaults(table, config);
    return config;
}

static void set_int(const nn_setting *table, void *config, const char *name, int value)
{
    for (; table->name; table++)
        if (strcmp(table->name, name) == 0) {
            memcpy((char *)config + table->at, &value, sizeof value);
            return;
        }
    NN_NEED(0, "bench: no setting '%s'", name);
}

static void build(setup *s, nn_arena *forever)
{
    int large = strcmp(s->model->name, "resnet18") == 0;
    int width, d;

    s->image = large ? (nn_image_shape){ 32, 32, 3 } : (nn_image_shape){ 28, 28, 1 };
    s->store = (nn_store){ .arena = forever };
    s->backbone = s->model->build(&s->store,
        config_of(forever, s->model->settings, s->model->config_size), s->image, &width);

    s->method = ssl_method_find("simsiam");
    void *heads = config_of(forever, s->method->settings, s->method->config_size);
    set_int(s->method->settings, heads, "proj_dim", large ? 2048 : 256);
    s->heads = s->method->build(&s->store, heads, width, &d);

    nn_setting_defaults(opt_setting_table, &s->optim);
    s->optimiser = opt_new(opt_method_find("sgd"), &s->optim, &s->store);

    size_t n = (size_t)s->batch * (size_t)(s->image.h * s->image.w * s->image.c);
    for (int v = 0; v < 2; v++) {
        nn_rng r = nn_rng_at(0, NN_RNG_TEST, 0, (uint64_t)v);
        s->view[v] = NN_NEW(forever, float, n);
        for (size_t i = 0; i < n; i++)
            s->view[v][i] = (float)nn_rng_normal(&r);
    }
}

static float step(setup *s, long count)
{
    nn_tape *t = &s->tape;
    nn_shape shape = nn_shape4(s->batch, s->image.h, s->image.w, s->image.c);
    ssl_views views = { .count = 2 };

    nn_tape_reset(t);
    nn_store_zero_grad(&s->store);
    for (int v = 0; v < 2; v++) {
        views.h[v] = s->model->forward(t, s->backbone, nn_input(t, shape, s->view[v], 0));
        views.z[v] = s->method->embed(t, s->heads, views.h[v]);
    }
    nn_node *loss = s->method->loss(t, s->heads, &views);
    float value = nn_item(loss);
    nn_backward(loss);
    opt_step(s->optimiser, 0.03, 0.03, count);
    return value;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median time of a step in milliseconds, over steps taken for `seconds`. */
static double measure(setup *s, double seconds, long *count)
{
    double ms[MAX_STEPS], start = now(), last = start;
    int steps = 0;

    do {
        float loss = step(s, (*count)++);
        NN_NEED(isfinite(loss), "bench: the loss became %g", (double)loss);
        double t = now();
        ms[steps++] = 1e3 * (t - last);
        last = t;
    } while (last - start < seconds && steps < MAX_STEPS);
    qsort(ms, (size_t)steps, sizeof *ms, by_value);
    return ms[steps / 2];
}

static double resident_mib(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)use.ru_maxrss / 1024;
}

int main(int argc, char **argv)
{
    nn_arena forever = {0}, steps = {0}, scratch = {0};
    setup s = {0};
    long count = 0;
    double seconds;

    s.model = argc == 4 ? nn_model_find(argv[1]) : NULL;
    s.batch = argc == 4 ? atoi(argv[2]) : 0;
    int threads = argc == 4 ? atoi(argv[3]) : 0;
    if (!s.model || s.batch < 2 || threads < 1) {
        fputs("use: step MODEL BATCH THREADS (BATCH at least 2)\n", stderr);
        return 2;
    }
    nn_par_set_threads(threads);
    if (!nn_kern_choose(NULL)) {
        fputs("step: FULLRANK_KERN names no kernel table of this processor\n", stderr);
        return 2;
    }
    build(&s, &forever);
    nn_tape_start(&s.tape, &steps, &scratch);
    for (int i = 0; i < WARM_UP; i++)
        step(&s, count++);
    size_t grown = forever.grown + steps.grown + scratch.grown;

    printf("ready kernel=%s parameters=%zu\n", nn_kern_now->name,
           nn_store_count(&s.store));
    fflush(stdout);
    while (scanf("%lf", &seconds) == 1) {
        printf("%.3f\n", measure(&s, seconds, &count));
        fflush(stdout);
    }
    printf("rss_MiB=%.0f step_MiB=%.1f grown_after_warm_up=%zu\n", resident_mib(),
           (double)steps.peak / (1 << 20),
           forever.grown + steps.grown + scratch.grown - grown);
    nn_tape_free(&s.tape);
    nn_arena_free(&scratch);
    nn_arena_free(&steps);
    nn_arena_free(&forever);
    return 0;
}
