#include "tests/net.h"

#include <check.h>
#include <string.h>

#include "nn/rng.h"

void net_start(net *n, const char *model, const char *method, nn_image_shape image,
               int batch)
{
    memset(n, 0, sizeof *n);
    n->model = nn_model_find(model);
    n->method = ssl_method_find(method);
    ck_assert_ptr_nonnull(n->model);
    ck_assert_ptr_nonnull(n->method);
    ck_assert(n->model->config_size <= sizeof n->model_config);
    ck_assert(n->method->config_size <= sizeof n->method_config);
    nn_setting_defaults(n->model->settings, n->model_config);
    nn_setting_defaults(n->method->settings, n->method_config);
    n->image = image;
    n->batch = batch;
}

static void set(const nn_setting *table, void *config, const char *name, double value)
{
    for (const nn_setting *s = table; s->name; s++)
        if (strcmp(s->name, name) == 0) {
            void *field = (char *)config + s->at;
            if (s->kind == NN_FLOAT)
                *(double *)field = value;
            else
                *(int *)field = (int)value;
            return;
        }
    ck_abort_msg("no setting '%s'", name);
}

void net_set_model(net *n, const char *setting, double value)
{
    set(n->model->settings, n->model_config, setting, value);
}

void net_set_method(net *n, const char *setting, double value)
{
    set(n->method->settings, n->method_config, setting, value);
}

int net_can(const char *model, const char *method)
{
    return !ssl_method_find(method)->decodes || nn_model_find(model)->decode != NULL;
}

/* Decoder and codebook, for methods that want them. */
static void give_decoder(net *n)
{
    const nn_quant *kind = nn_quant_at(0);

    if (!n->method->decodes)
        return;
    ck_assert_uint_le(kind->config_size, sizeof n->quant_config);
    n->model->build_decoder(&n->store, n->backbone);
    nn_setting_defaults(kind->settings, n->quant_config);
    set(kind->settings, n->quant_config, "codes", 32);
    n->objective = (ssl_objective){ .quantiser = { kind, n->quant_config },
                                    .model = n->model, .model_state = n->backbone };
}

void net_build(net *n, uint64_t seed)
{
    size_t pixels = (size_t)n->batch * (size_t)(n->image.h * n->image.w * n->image.c);

    n->store = (nn_store){ .arena = &n->forever, .seed = seed };
    n->backbone = n->model->build(&n->store, n->model_config, n->image, &n->r);
    give_decoder(n);
    ssl_objective_build(&n->objective, &n->store, n->method, n->method_config, n->r);
    n->d = n->objective.d;
    nn_tape_start(&n->tape, &n->step, &n->scratch);
    for (int v = 0; v < 2; v++) {
        nn_rng r = nn_rng_at(seed, NN_RNG_TEST, 0, (uint64_t)v);
        n->view[v] = NN_NEW(&n->forever, float, pixels);
        for (size_t i = 0; i < pixels; i++)
            n->view[v][i] = (float)nn_rng_normal(&r);
    }
}

void net_free(net *n)
{
    nn_tape_free(&n->tape);
    nn_arena_free(&n->forever);
    nn_arena_free(&n->step);
    nn_arena_free(&n->scratch);
}

nn_node *net_loss(net *n, ssl_views *v)
{
    nn_shape shape = nn_shape4(n->batch, n->image.h, n->image.w, n->image.c);

    nn_tape_reset(&n->tape);
    nn_store_zero_grad(&n->store);
    *v = (ssl_views){ .count = n->objective.views == 1 ? 1 : 2,
                      .clock = { .epochs = 1, .steps = 1 } };
    for (int k = 0; k < v->count; k++) {
        nn_node *x = nn_input(&n->tape, shape, n->view[k], 0);
        nn_node *h = n->method->decodes
            ? ssl_objective_encode(&n->tape, &n->objective, v, k, x)
            : n->model->forward(&n->tape, n->backbone, x);
        ssl_objective_view(&n->tape, &n->objective, v, k, h);
    }
    return ssl_objective_loss(&n->tape, &n->objective, v);
}

float net_train_step(net *n, float lr)
{
    ssl_views v;
    nn_node *loss = net_loss(n, &v);
    float value = nn_item(loss);

    nn_backward(loss);
    for (int i = 0; i < n->store.count; i++) {
        nn_param *p = n->store.list[i];
        for (size_t j = 0; p->grad && j < nn_shape_count(&p->shape); j++)
            p->val[j] -= lr * p->grad[j];
    }
    return value;
}
