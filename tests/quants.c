#include "tests/quants.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "nn/base.h"
#include "nn/rng.h"
#include "tests/keys.h"

nn_quant_plan quants_plan(const char *text, unsigned char config[256])
{
    char name[32];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text, " "), text);
    const nn_quant *kind = nn_quant_find(name);
    ck_assert_msg(kind != NULL && kind->config_size <= 256, "no quantiser '%s'", name);
    keys_set(kind->settings, config, text + strcspn(text, " "));
    return (nn_quant_plan){ kind, config };
}

void quants_new(quants *u, const char *text, int d)
{
    quants_seeded(u, text, d, 7);
}

void quants_seeded(quants *u, const char *text, int d, uint64_t seed)
{
    memset(u, 0, sizeof *u);
    u->store = (nn_store){ .arena = &u->forever, .seed = seed };
    nn_tape_start(&u->tape, &u->step, &u->scratch);
    u->d = d;
    u->plan = quants_plan(text, u->config);
    u->it = nn_quantiser_new(&u->store, "q", &u->plan, d);
}

void quants_free(quants *u)
{
    nn_tape_free(&u->tape);
    nn_arena_free(&u->forever);
    nn_arena_free(&u->step);
    nn_arena_free(&u->scratch);
}

float *quants_rows(quants *u, int n, int d, uint64_t seed)
{
    nn_rng r = nn_rng_at(61, NN_RNG_TEST, 0, seed);
    float *x = NN_NEW(&u->forever, float, n * d);
    for (int i = 0; i < n * d; i++)
        x[i] = (float)nn_rng_normal(&r);
    return x;
}

nn_quantised quants_find_at(quants *u, const float *z, int n, long step, nn_node **x)
{
    nn_tape_reset(&u->tape);
    nn_store_zero_grad(&u->store);
    *x = nn_input(&u->tape, nn_shape2(n, u->d), z, 1);
    return nn_quantise(&u->tape, u->it, *x, &(nn_quant_clock){ 0, step, 100 });
}

nn_quantised quants_find(quants *u, const float *z, int n)
{
    nn_node *x;
    return quants_find_at(u, z, n, 0, &x);
}

float *quants_decoded(quants *u, const nn_quantised *found, int n)
{
    int *index = NN_NEW(&u->forever, int, n * found->parts);
    float *q = NN_NEW(&u->forever, float, n * u->d);

    for (int part = 0; part < found->parts; part++)
        for (int i = 0; i < n; i++)
            index[part * n + i] = found->index[part] ? found->index[part][i] : -1;
    nn_quantiser_decode(u->it, index, (size_t)n, q, &u->scratch);
    return q;
}

nn_param *quants_param(quants *u, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "q.%s", name);
    nn_param *p = nn_store_find(&u->store, path);
    ck_assert_msg(p != NULL, "no tensor '%s'", path);
    return p;
}

nn_node *quants_loss(quants *u, nn_quantised *found, const float *w)
{
    if (!w)
        return found->loss;
    const nn_shape row = nn_shape2(1, (int)nn_count(found->q));
    nn_node *y = nn_linear(&u->tape, nn_reshape(&u->tape, nn_pin(found->q), row),
                           nn_input(&u->tape, row, w, 0), NULL);
    y = nn_reshape(&u->tape, y, nn_shape1(1));
    if (found->loss)
        y = nn_add(&u->tape, y, nn_pin(found->loss));
    return y;
}

void quants_start(quants *u, const float *z, int n)
{
    if (nn_quantiser_rows(u->it, (size_t)n))
        nn_quantiser_start(u->it, z, (size_t)n, (size_t)n, &(nn_quant_clock){ 0, 0, 100 },
                           &u->scratch);
}

int quants_train(quants *u, const float *z, int n, nn_quant_clock clock, float lr)
{
    nn_node *x = nn_input(&u->tape, nn_shape2(n, u->d), z, 1);
    nn_quantised found = nn_quantise(&u->tape, u->it, x, &clock);

    nn_store_zero_grad(&u->store);
    if (found.loss && found.loss->wants)
        nn_backward(found.loss);
    const int restarts = nn_quantiser_settle(u->it, &found, &clock, NULL, NULL,
                                             &u->scratch);
    for (int j = 0; j < u->store.count; j++) {
        const nn_param *p = u->store.list[j];
        for (size_t i = 0; p->grad && i < nn_shape_count(&p->shape); i++)
            p->val[i] -= lr * p->grad[i];
    }
    nn_tape_reset(&u->tape);
    return restarts;
}
