#include "experiments/toy_codes.h"

#include <math.h>
#include <string.h>

#include "nn/ops.h"
#include "nn/par.h"
#include "nn/quant/search.h"
#include "nn/rng.h"
#include "optim/opt.h"

static const double radius = 3, noise = 0.05, rate = 0.05, far = 0.05;
static const double turn = 0.15;        /* of the first target, in parts of their gap */
static const uint64_t seed = 7;

typedef struct toy {
    nn_arena forever, step, scratch;
    nn_store store;
    nn_tape tape;
    nn_param *basis, *layer;            /* B (K, d); W transposed, as layers have it */
    opt_state *opt;
} toy;

static nn_param *tensor(toy *w, const char *name, int trained, int rows)
{
    return nn_store_add(&w->store, name, trained ? NN_PARAMETER : NN_BUFFER,
                        nn_shape2(rows, EX_TOY_D));
}

static void start(toy *w, ex_toy_mode mode)
{
    opt_settings o;

    *w = (toy){0};
    w->store = (nn_store){ .arena = &w->forever, .seed = seed };
    w->basis = tensor(w, "basis", mode != EX_TOY_LAYER, EX_TOY_K);
    w->layer = tensor(w, "layer", mode != EX_TOY_CODES, EX_TOY_D);
    nn_init_normal(&w->store, w->basis, 1);
    nn_init_constant(w->layer, 0);
    for (int i = 0; i < EX_TOY_D; i++)
        w->layer->val[i * EX_TOY_D + i] = 1;
    nn_setting_defaults(opt_setting_table, &o);
    o.lr = rate;
    o.momentum = o.weight_decay = 0;
    w->opt = opt_new(opt_method_find("sgd"), &o, &w->store);
    nn_tape_start(&w->tape, &w->step, &w->scratch);
}

static void place_targets(float *target)
{
    /* angles 2 pi (a + turn) / T; the plane is drawn, so libm's last bit does not show */
    for (int a = 0; a < EX_TOY_TARGETS; a++) {
        double angle = 2 * acos(-1) * (a + turn) / EX_TOY_TARGETS;
        target[a * EX_TOY_D] = (float)(radius * cos(angle));
        target[a * EX_TOY_D + 1] = (float)(radius * sin(angle));
    }
}

static nn_node *codes(toy *w)
{
    return nn_linear(&w->tape, nn_stopgrad(&w->tape, nn_leaf(&w->tape, w->basis)),
                     nn_stopgrad(&w->tape, nn_leaf(&w->tape, w->layer)), NULL);
}

static void keep(toy *w, float *out)
{
    nn_tape_reset(&w->tape);
    memcpy(out, codes(w)->val, sizeof *out * EX_TOY_K * EX_TOY_D);
}

/* One step of training; the loss before it. */
static double learn(toy *w, const float *target, long step)
{
    enum { N = EX_TOY_TARGETS, D = EX_TOY_D };
    nn_rng r = nn_rng_at(seed, NN_RNG_GENERATE, 0, (uint64_t)step);
    nn_tape *t = &w->tape;
    float z[N * D];
    int index[N];

    for (int i = 0; i < N * D; i++)
        z[i] = target[i] + (float)(noise * nn_rng_normal(&r));
    nn_tape_reset(t);
    nn_store_zero_grad(&w->store);
    nn_search_nearest(&(nn_search){ .n = N, .k = EX_TOY_K, .d = D, .z = z,
                                    .code = codes(w)->val, .index = index },
                      &w->scratch);
    nn_node *near = nn_gather(t, nn_leaf(t, w->basis), index, N);
    nn_node *q = nn_linear(t, near, nn_leaf(t, w->layer), NULL);
    /* D times the mean over elements is the mean over targets of |z - q|^2 */
    nn_node *loss = nn_commit(t, nn_input(t, nn_shape2(N, D), z, 0), q, 0, D);
    double value = nn_item(loss);
    nn_backward(loss);
    opt_step(w->opt, rate, rate, step);
    return value;
}

static void measure(const toy *w, ex_toy *out)
{
    const float *was = out->code[0], *now = out->code[EX_TOY_FRAMES - 1];
    double turned = 0;

    for (int k = 0; k < EX_TOY_K; k++) {
        double x = (double)now[k * EX_TOY_D] - (double)was[k * EX_TOY_D];
        double y = (double)now[k * EX_TOY_D + 1] - (double)was[k * EX_TOY_D + 1];
        out->moved += (sqrt(x * x + y * y) > far) / (double)EX_TOY_K;
    }
    for (int i = 0; i < EX_TOY_D * EX_TOY_D; i++) {
        double off = (double)w->layer->val[i] - (i % (EX_TOY_D + 1) == 0);
        turned += off * off;
    }
    out->turned = sqrt(turned);
}

/* Frame f shows step f + (steps - last) (f / last)^2: the codes run at first. */
static int step_of(int frame)
{
    const int last = EX_TOY_FRAMES - 1;
    return frame + (EX_TOY_STEPS - last) * frame * frame / (last * last);
}

void ex_toy_run(ex_toy_mode mode, ex_toy *out)
{
    const int team = nn_par_threads();
    toy w;
    long step = 0;

    nn_par_set_threads(1);              /* a team takes longer to wake than to search */
    *out = (ex_toy){0};
    start(&w, mode);
    place_targets(out->target);
    for (int f = 0; f < EX_TOY_FRAMES; f++) {
        for (out->step[f] = step_of(f); step < out->step[f]; step++) {
            double loss = learn(&w, out->target, step);
            if (step >= EX_TOY_STEPS - EX_TOY_TAIL)
                out->loss += loss / EX_TOY_TAIL;
        }
        keep(&w, out->code[f]);
    }
    measure(&w, out);
    nn_par_set_threads(team);
    nn_tape_free(&w.tape);
    nn_arena_free(&w.step);
    nn_arena_free(&w.scratch);
    nn_arena_free(&w.forever);
}
