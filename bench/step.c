/* One training step of ours; its counterpart in PyTorch is peers/torch_peer.py.
 *
 * The work: two views through backbone and SimSiam heads in two passes, the symmetric
 * loss with stop-gradient, backward, SGD with momentum and weight decay.  Images are
 * random and made beforehand: 28x28 grey, or 32x32 colour for resnet18. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "nn/model.h"
#include "nn/rng.h"
#include "optim/opt.h"
#include "ssl/objective.h"

typedef struct setup {
    const nn_model *model;
    void *backbone;
    ssl_objective objective;
    nn_store store;
    nn_tape tape;
    opt_settings optim;
    opt_state *optimiser;
    nn_image_shape image;
    int batch;
    float *view[2];
    long count; /* steps taken */
    nn_arena forever, steps, scratch;
} setup;

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
    int width;

    s->image = large ? (nn_image_shape){ 32, 32, 3 } : (nn_image_shape){ 28, 28, 1 };
    s->store = (nn_store){ .arena = forever };
    s->backbone = s->model->build(
        &s->store, config_of(forever, s->model->settings, s->model->config_size),
        s->image, &width);

    const ssl_method *method = ssl_method_find("simsiam");
    void *heads = config_of(forever, method->settings, method->config_size);
    set_int(method->settings, heads, "proj_dim", large ? 2048 : 256);
    ssl_objective_build(&s->objective, &s->store, method, heads, width);

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
        nn_node *x = nn_input(t, shape, s->view[v], 0);
        ssl_objective_view(t, &s->objective, &views, v,
                           s->model->forward(t, s->backbone, x));
    }
    nn_node *loss = ssl_objective_loss(t, &s->objective, &views);
    float value = nn_item(loss);
    nn_backward(loss);
    opt_step(s->optimiser, 0.03, 0.03, count);
    return value;
}

/* MODEL BATCH: all that comes before the first step */
static void *build_make(int words, char *const *word, char *why)
{
    int batch;

    if (words != 2 || !nn_model_find(word[0]) || !bench_int(word[1], 2, 65536, &batch)) {
        snprintf(why, BENCH_WHY, "no such model or batch");
        return NULL;
    }
    setup *s = calloc(1, sizeof *s);
    NN_NEED(s, "bench: out of memory");
    s->model = nn_model_find(word[0]);
    s->batch = batch;
    build(s, &s->forever);
    nn_tape_start(&s->tape, &s->steps, &s->scratch);
    return s;
}

static void build_run(void *state)
{
    (void)state;
}

static void *make(int words, char *const *word, char *why)
{
    setup *s = build_make(words, word, why);
    if (s)
        step(s, s->count++); /* the second step repeats the first one's memory */
    return s;
}

static void run(void *state)
{
    setup *s = state;
    float loss = step(s, s->count++);
    NN_NEED(isfinite(loss), "bench: the loss became %g", (double)loss);
}

static void drop(void *state)
{
    setup *s = state;
    nn_tape_free(&s->tape);
    nn_arena_free(&s->scratch);
    nn_arena_free(&s->steps);
    nn_arena_free(&s->forever);
    free(s);
}

const bench_item bench_item_step = { "step", make, run, NULL, drop };
const bench_item bench_item_build = { "build", build_make, build_run, NULL, drop };

static int rows(int quick, bench_row *row, int most)
{
    static const struct {
        const char *set, *shape, *request;
        int quick;
    } list[] = {
        { "resnet8", "resnet8, 28x28x1, batch 256", "step resnet8 256", 1 },
        { "resnet18", "resnet18, 32x32x3, batch 64", "step resnet18 64", 0 },
        { "resnet18", "resnet18, 32x32x3, batch 128", "step resnet18 128", 0 },
        { "others", "conv3, 28x28x1, batch 256", "step conv3 256", 1 },
    };
    int n = 0;

    for (size_t i = 0; i < NN_COUNT(list) && n < most; i++)
        if (!quick || list[i].quick)
            row[n++] = (bench_row){ list[i].set, list[i].shape, list[i].request, 0, 0 };
    return n;
}

static const bench_goal goals[] = {
    { "resnet18", "SimSiam step, ResNet-18 on 32x32", NULL, 1.8, 2.4, 0 },
    { "resnet8", "SimSiam step, small ResNet on 28x28", NULL, 2, 4, 0 },
    { "resnet18", "peak memory of the ResNet-18 step", NULL, 1.5, 2.2, 1 },
    { "resnet18", "2 threads against 1, ResNet-18 step", "ours, 1 thread", 1.75, 1.9, 0 },
    { "others", "SimSiam step, conv3", NULL, 0, 0, 0 },
    { NULL, NULL, NULL, 0, 0, 0 }
};

const bench_kind bench_kind_step = {
    .name = "step",
    .about = "one SimSiam training step beside PyTorch's, in both layouts",
    .partner = { "ours", "torch contiguous", "torch channels_last", "ours, 1 thread" },
    .baseline = "ours, 1 thread",
    .rows = rows,
    .goals = goals,
    .seconds = 1,
    .rounds = 9,
    .fresh = 1,
    .first = "build resnet18 64",
};
