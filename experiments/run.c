#include "experiments/run.h"

#include <math.h>
#include <sha2.h>
#include <stdlib.h>
#include <string.h>

#include "nn/profile.h"

/* Generated sets are the same for every seed of a run: seeds compare training, not data.
 */
enum { DATA_SEED = 0 };

nn_status ex_run_build(ex_run *run, const ex_config *c, nn_err *err)
{
    char at[512];

    *run = (ex_run){ .config = c };
    NN_TRY(data_load(&c->data, DATA_SEED, &run->forever, &run->train, &run->test, err));
    if (c->top.batch > run->train.n)
        return nn_fail(err, NN_ECONFIG,
                       "%s: batch = %d, but %s has %d training images here;"
                       " lower batch or raise %s",
                       ex_config_where(c, EX_TOP, "batch", at, sizeof at), c->top.batch,
                       c->source->name, run->train.n,
                       c->source->package || c->data.limit ? "data.limit" : "data.size");
    if (run->test.n < 2)
        return nn_fail(err, NN_ECONFIG,
                       "%s: %d held-out images are too few to measure"
                       " anything; raise data.test_limit",
                       ex_config_where(c, EX_DATA, "test_limit", at, sizeof at),
                       run->test.n);

    const nn_image_shape shape = { run->train.h, run->train.w, run->train.c };
    run->store = (nn_store){ .arena = &run->forever, .seed = (uint64_t)c->top.seed };
    run->model_state = c->model->build(&run->store, c->model_config, shape, &run->r);
    run->backbone = run->store.count;
    run->method_state = c->method->build(&run->store, c->method_config, run->r, &run->d);
    run->opt = opt_new(c->optimiser, &c->optim, &run->store);
    run->loader = data_loader_new(&run->forever, &run->train, &c->augment,
                                  (uint64_t)c->top.seed, c->top.batch);
    run->steps = data_loader_steps(run->loader);
    run->train_print = data_fingerprint(&run->train);
    run->test_print = data_fingerprint(&run->test);
    nn_tape_start(&run->tape, &run->step, &run->scratch);
    return NN_OK;
}

void ex_run_free(ex_run *run)
{
    if (run->loader)
        data_loader_stop(run->loader);
    nn_tape_free(&run->tape);
    nn_arena_free(&run->step);
    nn_arena_free(&run->scratch);
    nn_arena_free(&run->forever);
}

ex_step ex_run_step(ex_run *run, const data_batch *b)
{
    const ex_config *c = run->config;
    const nn_shape shape = nn_shape4(b->n, run->train.h, run->train.w, run->train.c);
    const long step = (long)b->epoch * run->steps + b->step;
    nn_tape *t = &run->tape;
    ssl_views v = { .count = 2 };

    double from = nn_profile_from(t->profile);
    nn_store_zero_grad(&run->store);
    nn_profile_part(t->profile, "gradients to zero", from);
    for (int k = 0; k < v.count; k++) {
        nn_node *x = nn_input(t, shape, b->view[k], 0);
        v.h[k] = c->model->forward(t, run->model_state, x);
        v.z[k] = c->method->embed(t, run->method_state, v.h[k]);
    }
    nn_node *loss = c->method->loss(t, run->method_state, &v);
    ex_step done = { .loss = (double)nn_item(loss),
                     .lr = opt_lr(&c->optim, c->top.batch, step, run->steps,
                                  c->top.epochs) };

    if (isfinite(done.loss)) {
        nn_backward(loss);
        from = nn_profile_from(t->profile);
        done.bad = nn_store_bad_grad(&run->store);
        nn_profile_part(t->profile, "gradients finite?", from);
        from = nn_profile_from(t->profile);
        if (!done.bad)
            opt_step(run->opt, done.lr, opt_peak_lr(&c->optim, c->top.batch), step);
        nn_profile_part(t->profile, "optimiser", from);
    }
    nn_tape_reset(t);
    return done;
}

size_t ex_run_bytes(const ex_run *run)
{
    return run->forever.peak + run->step.peak + run->scratch.peak;
}

size_t ex_run_grown(const ex_run *run)
{
    return run->forever.grown + run->step.grown + run->scratch.grown;
}

/* ---- the weights as one number ----------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const nn_param *const *p = a, *const *q = b;
    return strcmp((*p)->name, (*q)->name);
}

static void add_word(SHA2_CTX *ctx, uint32_t word)
{
    const uint8_t bytes[4] = { (uint8_t)word, (uint8_t)(word >> 8), (uint8_t)(word >> 16),
                               (uint8_t)(word >> 24) };
    SHA256Update(ctx, bytes, sizeof bytes);
}

static void add_floats(SHA2_CTX *ctx, const float *x, size_t n)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    SHA256Update(ctx, (const uint8_t *)x, n * sizeof *x);
#else
    for (size_t i = 0; i < n; i++) {
        uint32_t word;
        memcpy(&word, x + i, sizeof word);
        add_word(ctx, word);
    }
#endif
}

void ex_weights_sha256(const nn_store *s, char out[65])
{
    SHA2_CTX ctx;
    nn_param **list = malloc(sizeof *list * (size_t)(s->count + 1));

    NN_NEED(list, "out of memory: %d names", s->count);
    memcpy(list, s->list, sizeof *list * (size_t)s->count);
    qsort(list, (size_t)s->count, sizeof *list, by_name);
    SHA256Init(&ctx);
    for (int i = 0; i < s->count; i++) {
        const nn_param *p = list[i];
        SHA256Update(&ctx, (const uint8_t *)p->name, strlen(p->name) + 1);
        add_word(&ctx, (uint32_t)p->shape.rank);
        for (int k = 0; k < p->shape.rank; k++)
            add_word(&ctx, (uint32_t)p->shape.dim[k]);
        add_floats(&ctx, p->val, nn_shape_count(&p->shape));
    }
    SHA256End(&ctx, out);
    free(list);
}
