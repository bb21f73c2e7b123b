/* The objective of VQ-VAE, network and all, against PyTorch, and what it asks of a run. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "nn/par.h"
#include "ssl/objective.h"
#include "tests/golden.h"
#include "tests/keys.h"
#include "tests/suites.h"

static nn_arena memory, step, scratch;

typedef struct whole {
    const nn_model *model;
    const ssl_method *method;
    _Alignas(16) unsigned char model_config[128], method_config[64], quant_config[256];
    nn_store store;
    nn_tape tape;
    ssl_objective objective;
} whole;

static void build(whole *w, const char *reconstruction, nn_image_shape image)
{
    char pair[64];
    int r;

    memset(w, 0, sizeof *w);
    w->model = nn_model_find("autoencoder");
    w->method = ssl_method_find("vqvae");
    const nn_quant *kind = nn_quant_find("vq");
    ck_assert(w->model && w->method && kind);
    ck_assert_uint_le(kind->config_size, sizeof w->quant_config);
    keys_set(w->model->settings, w->model_config, "hidden=8 residual=4 layers=1 dim=5");
    snprintf(pair, sizeof pair, "reconstruction=%s", reconstruction);
    keys_set(w->method->settings, w->method_config, pair);
    keys_set(kind->settings, w->quant_config, "codes=7 weight=3 beta=0.25");
    w->store = (nn_store){ .arena = &memory, .seed = 1 };
    void *state = w->model->build(&w->store, w->model_config, image, &r);
    w->model->build_decoder(&w->store, state);
    w->objective = (ssl_objective){ .quantiser = { kind, w->quant_config },
                                    .model = w->model, .model_state = state };
    ssl_objective_build(&w->objective, &w->store, w->method, w->method_config, r);
    nn_tape_start(&w->tape, &step, &scratch);
}

static const char *golden_name(const char *name)
{
    return strcmp(name, "quantiser.embedding.weight") == 0 ? "code" : name;
}

static void load(whole *w, const golden *g)
{
    for (int i = 0; i < w->store.count; i++) {
        nn_param *p = w->store.list[i];
        const char *name = golden_name(p->name);
        const golden_record *r = golden_find(g, name);
        if (!r)
            r = golden_at(g, "weight/%s", name);
        ck_assert_msg(nn_shape_same(&r->shape, &p->shape), "%s", p->name);
        memcpy(p->val, r->val, sizeof(float) * r->n);
    }
}

/* As for the networks alone (test_autoencoder.c): 1e-5 of a tensor's largest value. */
static const double NET = 1e-5;

START_TEST(loss_terms_and_every_gradient_match_pytorch)
{
    static const char *const how[] = { "mse", "l1", "gaussian" };
    golden g = golden_open("vqvae.gold");
    const golden_record *x = golden_at(&g, "x"), *index = golden_at(&g, "index");
    const int *d = x->shape.dim;
    ssl_terms terms = {0};
    nn_quantised found;
    whole w;

    build(&w, how[_i], (nn_image_shape){ d[1], d[2], d[3] });
    load(&w, &g);
    ssl_views v = { .count = 1, .terms = &terms, .found = &found, .clock = { .steps = 10 } };
    nn_node *h = ssl_objective_encode(&w.tape, &w.objective, &v, 0,
                                      nn_input(&w.tape, x->shape, x->val, 0));
    ssl_objective_view(&w.tape, &w.objective, &v, 0, h);
    nn_node *loss = ssl_objective_loss(&w.tape, &w.objective, &v);

    for (size_t i = 0; i < index->n; i++)
        ck_assert_int_eq(found.index[0][i], (int)index->val[i]);
    golden_check(golden_at(&g, "%s/loss", how[_i]), loss->val, NET);
    ck_assert_int_eq(terms.count, 2);
    for (int i = 0; i < terms.count; i++) {
        const float value = (float)terms.list[i].value;
        golden_check(golden_at(&g, "%s/%s", how[_i], terms.list[i].name), &value, NET);
    }
    nn_store_zero_grad(&w.store);
    nn_backward(loss);
    for (int i = 0; i < w.store.count; i++) {
        const nn_param *p = w.store.list[i];
        golden_check(golden_at(&g, "%s/grad/%s", how[_i], golden_name(p->name)), p->grad,
                     NET);
    }
    nn_tape_free(&w.tape);
    golden_free(&g);
}
END_TEST

START_TEST(images_come_back_as_the_decoder_makes_them)
{
    golden g = golden_open("vqvae.gold");
    const golden_record *x = golden_at(&g, "x");
    const int *d = x->shape.dim;
    nn_quantised found;
    whole w;

    build(&w, "mse", (nn_image_shape){ d[1], d[2], d[3] });
    load(&w, &g);
    ssl_views v = { .count = 1 };
    ssl_objective_encode(&w.tape, &w.objective, &v, 0,
                         nn_input(&w.tape, x->shape, x->val, 0));
    nn_node *made = w.method->reconstruct(&w.tape, w.objective.heads, &v, 0, &found);
    ck_assert(nn_shape_same(&made->shape, &x->shape));
    golden_check(golden_at(&g, "made"), made->val, NET);
    nn_tape_free(&w.tape);
    golden_free(&g);
}
END_TEST

Suite *suite_vqvae(void)
{
    Suite *s = suite_create("vqvae");
    TCase *tc = tcase_create("vqvae");
    tcase_add_loop_test(tc, loss_terms_and_every_gradient_match_pytorch, 0, 3);
    tcase_add_test(tc, images_come_back_as_the_decoder_makes_them);
    suite_add_tcase(s, tc);
    return s;
}
