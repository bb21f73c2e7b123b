#include "experiments/run.h"

#include <math.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/profile.h"

static float *buffer(nn_store *s, const char *name, nn_shape shape)
{
    return nn_store_add(s, name, NN_BUFFER, shape)->val;
}

static void add_probe(ex_run *run)
{
    nn_store *s = &run->store;
    int classes = run->train.classes, r = run->r;

    run->probe = (met_online){
        .d = r, .classes = classes,
        .weight = buffer(s, "probe.weight", nn_shape2(classes, r)),
        .bias = buffer(s, "probe.bias", nn_shape1(classes)),
        .weight_velocity = buffer(s, "probe.weight.velocity", nn_shape2(classes, r)),
        .bias_velocity = buffer(s, "probe.bias.velocity", nn_shape1(classes)),
        .mean = buffer(s, "probe.running_mean", nn_shape1(r)),
        .var = buffer(s, "probe.running_var", nn_shape1(r)),
    };
    met_online_start(&run->probe);
    run->probe.lr = (float)run->config->metrics.online_lr;
}

void ex_run_probe(ex_run *run, const nn_node *h, const data_batch *b, int n,
                  nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch);
    const uint32_t labelled = (uint32_t)data_labelled(&run->train);
    const size_t r = (size_t)run->r;
    uint16_t *label = NN_NEW(scratch, uint16_t, n);
    const float *from = h->val;
    float *to = run->train.unlabelled ? NN_NEW(scratch, float, r * (size_t)n) : NULL;
    int rows = 0;

    for (int i = 0; i < n; i++) {
        if (b->index[i] >= labelled)
            continue;
        if (to)
            memcpy(to + (size_t)rows * r, from + (size_t)i * r, sizeof *to * r);
        label[rows++] = run->train.label[b->index[i]];
    }
    met_online_step(&run->probe, to ? to : from, label, rows, scratch);
    nn_arena_rewind(scratch, mark);
}

/* What a model asks of the images, and a codebook of the map: known once there are some. */
static nn_status check_shapes(const ex_config *c, nn_image_shape in, nn_err *err)
{
    const char *why = c->model->fits ? c->model->fits(c->model_config, in) : NULL;
    char at[512];

    if (!why)
        return NN_OK;
    return nn_fail(err, NN_ECONFIG, "%s: %s %s, but those of %s are %d x %d; augment.size"
                   " makes them larger or smaller",
                   ex_config_where(c, EX_MODEL, "name", at, sizeof at), c->model->name, why,
                   c->source->name, in.h, in.w);
}

/* Local crops are smaller pictures, for a network that was built for the views. */
static nn_status check_locals(const ex_config *c, const data_images *d, nn_err *err)
{
    int side = data_local_side(&c->augment, d);
    const nn_image_shape in = { side, side, d->c };
    char at[512];

    if (!c->augment.local_crops)
        return NN_OK;
    ex_config_where(c, EX_AUGMENT, "local_crops", at, sizeof at);
    if (c->model->vectors && (side != d->h || side != d->w))
        return nn_fail(err, NN_ECONFIG, "%s: augment.local_crops: model %s takes images of "
                       "one size, %d x %d; choose another model, or augment.local_size: %d",
                       at, c->model->name, d->h, d->w, d->h);
    const char *why = c->model->fits ? c->model->fits(c->model_config, in) : NULL;
    if (why)
        return nn_fail(err, NN_ECONFIG, "%s: augment.local_crops: %s %s, and local crops "
                       "are %d x %d; set augment.local_size", at, c->model->name, why, side,
                       side);
    return NN_OK;
}

/* What to do when there are too few training images.  Sets that are made have a number of
 * images by default and no files. */
static const char *more_images(const ex_config *c, int n)
{
    const data_settings *d = &c->data;

    if (d->classes[0] || d->fraction > 0 || d->long_tail > 0)
        return "raise what data.classes, fraction and long_tail leave";
    if (d->limit == n)
        return "raise data.limit";
    return c->source->train && !c->source->files ? "raise data.size"
                                                 : "take a set with more images";
}

static const char *more_held_out(const ex_config *c, int n)
{
    if (c->data.test_limit == n)
        return "raise data.test_limit";
    return c->source->train ? "take a set with more of them"
                            : "take a set with more of them, or raise data.test_share";
}

/* Vectors have no neighbouring numbers: neither a convolution nor a crop means anything to
 * them, and what would be left out silently is refused. */
static nn_status check_vectors(const ex_config *c, const data_images *d, nn_err *err)
{
    const ex_section *s = &c->section[EX_AUGMENT];
    char at[512], all[200] = "";
    size_t used = 0;

    if (!d->value)
        return NN_OK;
    const int row = data_augment_of_pictures(&c->augment);
    if (row >= 0)
        return nn_fail(err, NN_ECONFIG, "%s: augment.%s means nothing to %s, which holds "
                       "vectors of %d numbers; only augment.noise changes them "
                       "(augment.recipe=noise)",
                       ex_config_where(c, EX_AUGMENT, s->mark[row].from >= EX_FILE
                                       ? s->table[row].name : "recipe", at, sizeof at),
                       s->table[row].name, c->source->name, d->h * d->w * d->c);
    if (c->model->vectors)
        return NN_OK;
    for (int i = 0; i < nn_model_count() && used < sizeof all; i++)
        if (nn_model_at(i)->vectors)
            used += (size_t)snprintf(all + used, sizeof all - used, "%s%s",
                                     used ? ", " : "", nn_model_at(i)->name);
    return nn_fail(err, NN_ECONFIG, "%s: %s works on pictures, but %s holds vectors of %d "
                   "numbers; model.name is one of %s",
                   ex_config_where(c, EX_MODEL, "name", at, sizeof at), c->model->name,
                   c->source->name, d->h * d->w * d->c, all);
}

static nn_status load(ex_run *run, const ex_config *c, nn_err *err)
{
    NN_TRY(data_load(&c->data, EX_DATA_SEED, &run->forever, &run->train, &run->test, err));
    NN_TRY(check_vectors(c, &run->train, err));
    NN_TRY(data_view_size(&run->train, c->augment.size, &run->forever, err));
    NN_TRY(data_view_size(&run->test, c->augment.size, &run->forever, err));
    return check_locals(c, &run->train, err);
}

/* The setting of the codebook that a reason names, or else its name. */
static const char *guilty(const ex_config *c, const char *why)
{
    const ex_section *s = &c->section[EX_QUANTISER];

    for (int i = 0; i < s->rows; i++)
        if (s->mark[i].from >= EX_FILE && strstr(why, s->table[i].name))
            return s->table[i].name;
    return "name";
}

static nn_status check_codes(const ex_config *c, int r, nn_err *err)
{
    char at[512], why[256];

    if (!nn_quant_refuses(&c->quantiser, r, why, sizeof why))
        return NN_OK;
    return nn_fail(err, NN_ECONFIG, "%s: quantiser %s on %d columns (model %s): %s",
                   ex_config_where(c, EX_QUANTISER, guilty(c, why), at, sizeof at),
                   c->quantiser.kind->name, r, c->model->name, why);
}

nn_status ex_run_build(ex_run *run, const ex_config *c, nn_err *err)
{
    char at[512];

    *run = (ex_run){ .config = c };
    NN_TRY(load(run, c, err));
    if (c->top.batch > run->train.n)
        return nn_fail(err, NN_ECONFIG,
                       "%s: batch = %d, but %s has %d training images here;"
                       " lower batch or %s",
                       ex_config_where(c, EX_TOP, "batch", at, sizeof at), c->top.batch,
                       c->source->name, run->train.n, more_images(c, run->train.n));
    if (run->test.n < 2)
        return nn_fail(err, NN_ECONFIG,
                       "%s: %d held-out images are too few to measure"
                       " anything; %s",
                       ex_config_where(c, EX_DATA, "test_limit", at, sizeof at),
                       run->test.n, more_held_out(c, run->test.n));

    const nn_image_shape shape = { run->train.h, run->train.w, run->train.c };
    run->store = (nn_store){ .arena = &run->forever, .seed = (uint64_t)c->top.seed };
    NN_TRY(check_shapes(c, shape, err));
    run->model_state = c->model->build(&run->store, c->model_config, shape, &run->r);
    run->backbone = run->store.count;
    if (c->method->decodes)
        c->model->build_decoder(&run->store, run->model_state);
    if (c->quantiser.kind)
        NN_TRY(check_codes(c, run->r, err));
    run->objective.quantiser = c->quantiser;
    run->objective.model = c->model;
    run->objective.model_state = run->model_state;
    for (run->objective.extras = 0; run->objective.extras < c->extras;
         run->objective.extras++)
        run->objective.extra[run->objective.extras] = c->extra[run->objective.extras];
    ssl_objective_build(&run->objective, &run->store, c->method, c->method_config, run->r);
    run->d = run->objective.d;
    if (ssl_has_target(c->method, c->method_config)) {
        int r;
        run->store.of_target = 1;
        run->target_state = c->model->build(&run->store, c->model_config, shape, &r);
        ssl_objective_target(&run->objective, &run->store, run->r);
        run->store.of_target = 0;
        nn_store_follow(&run->store, 0);
    }
    run->network = run->store.count;
    if (c->metrics.online && data_labelled(&run->train) && data_labelled(&run->test))
        add_probe(run);
    if (c->quantiser.kind)
        run->codes = ex_codes_of(&run->store, ssl_objective_quantiser(&run->objective));
    run->opt = opt_new(c->optimiser, &c->optim, &run->store);
    run->loader = data_loader_new(&run->forever, &run->train, &c->augment,
                                  (uint64_t)c->top.seed, c->top.batch,
                                  run->objective.views);
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
    data_release(&run->train);
    data_release(&run->test);
}

ssl_clock ex_run_clock(const ex_run *run, long step)
{
    const int epochs = run->config->top.epochs;
    return (ssl_clock){ .epoch = (int)(step / run->steps), .epochs = epochs, .step = step,
                        .steps = (long)epochs * run->steps };
}

nn_node *ex_run_loss(const ex_run *run, nn_tape *t, const data_batch *b, int n,
                     ssl_views *v)
{
    const ex_config *c = run->config;
    const ssl_objective *o = &run->objective;
    const nn_shape shape = nn_shape4(n, run->train.h, run->train.w, run->train.c);

    *v = (ssl_views){ .count = o->views, .terms = v->terms, .found = v->found,
                      .clock = v->clock };
    if (v->clock.steps == 0)
        v->clock = ex_run_clock(run, (long)b->epoch * run->steps + b->step);
    for (int k = 0; k < v->count; k++) {
        nn_node *x = nn_input(t, shape, b->view[k], 0);
        nn_node *h = c->method->decodes ? ssl_objective_encode(t, o, v, k, x)
                                        : c->model->forward(t, run->model_state, x);
        ssl_objective_view(t, o, v, k, h);
    }
    for (int k = 0; run->target_state && k < v->count; k++) {
        nn_node *x = nn_input(t, shape, b->view[k], 0);
        ssl_objective_target_view(t, o, v, k,
                                  c->model->forward(t, run->target_state, x));
    }
    const int side = data_local_side(&c->augment, &run->train);
    for (int k = 0; k < c->augment.local_crops; k++) {
        nn_node *x = nn_input(t, nn_shape4(n, side, side, run->train.c), b->local[k], 0);
        ssl_objective_local(t, o, v, c->model->forward(t, run->model_state, x));
    }
    return ssl_objective_loss(t, o, v);
}

/* The target's average for the next step: before the first one it is a copy already. */
double ex_run_tau(const ex_run *run, long step)
{
    const ex_config *c = run->config;
    const ssl_clock next = ex_run_clock(run, step + 1);

    return run->target_state ? c->method->momentum(c->method_config, &next) : NAN;
}

int ex_run_full_clocks(const ex_run *run, ssl_clock clock[EX_FULL_CLOCKS])
{
    int sometimes = 0;

    for (int i = 0; i < run->objective.extras; i++)
        sometimes |= run->objective.extra[i].addon->sometimes;
    if (run->codes.parts)
        sometimes |= nn_quantiser_drops(run->codes.quantiser);
    clock[1] = ex_run_clock(run, (long)run->config->top.epochs * run->steps - 1);
    clock[0] = clock[1];
    clock[0].step = 0;
    return sometimes ? EX_FULL_CLOCKS : 0;
}

/* Settles codes that are thrown away, so that those of the run stay as they are. */
static void settle_others(const ex_run *run, const nn_quantised *found, ssl_clock at,
                          nn_arena *scratch)
{
    const nn_quant_clock clock = { .step = 0, .steps = at.steps };
    nn_arena own = {0};
    nn_store store = { .arena = &own };
    nn_quantiser *u =
        nn_quantiser_new(&store, "quantiser", &run->config->quantiser, run->r);

    nn_quantiser_settle(u, found, &clock, NULL, NULL, scratch);
    nn_arena_free(&own);
}

void ex_run_reserve(ex_run *run, const data_batch *b)
{
    nn_tape *t = &run->tape, before = *t;
    ssl_clock clock[EX_FULL_CLOCKS];
    const int clocks = ex_run_full_clocks(run, clock);

    t->mode = NN_BATCH;
    t->profile = NULL;
    for (int i = 0; i < clocks; i++) {
        nn_quantised found;
        ssl_views v = { .clock = clock[i], .found = &found };
        nn_backward(ex_run_loss(run, t, b, b->n, &v));
        if (run->codes.parts)
            settle_others(run, &found, clock[i], &run->scratch);
        nn_tape_reset(t);
    }
    t->mode = before.mode;
    t->profile = before.profile;
}

/* Neither momentum nor this step's gradient, which was taken where the row was before. */
static void forget(void *ctx, const nn_quant_moved *m)
{
    const size_t cols = nn_shape_count(&m->param->shape) / (size_t)m->param->shape.dim[0];

    opt_forget(ctx, m->param, m->row, m->rows);
    for (int i = 0; i < m->rows; i++)
        memset(m->param->grad + (size_t)m->row[i] * cols, 0, sizeof(float) * cols);
}

/* Codes that no gradient moves, and what the step tells of all of them. */
static void settle_codes(ex_run *run, const nn_quantised *found, long step)
{
    const nn_quant_clock clock = { .step = step,
                                   .steps = (long)run->config->top.epochs * run->steps };
    const int restarts =
        nn_quantiser_settle(ssl_objective_quantiser(&run->objective), found, &clock, forget,
                            run->opt, &run->scratch);
    ex_codes_step(&run->codes, found, step, restarts);
}

void ex_run_start(ex_run *run)
{
    const ex_config *c = run->config;
    nn_quantiser *u = ssl_objective_quantiser(&run->objective);
    const nn_quant_clock clock = { .steps = (long)c->top.epochs * run->steps };
    const size_t mark = nn_arena_mark(&run->scratch);
    nn_tape *t = &run->tape;
    size_t n = 0, each = 0, wanted = 1;
    float *z = NULL;

    if (!u)
        return;
    if (c->init.from[0] && c->init.part == EX_INIT_ALL) {       /* the codes were read */
        ex_codes_turn(&run->codes, NULL, &run->scratch);
        return;
    }
    t->mode = NN_BATCH;
    t->record = 0;
    for (int i = 0; i < run->steps && n < wanted; i++) {
        data_batch b = data_loader_get(run->loader, 0, i);
        nn_node *x = nn_input(t, nn_shape4(b.n, run->train.h, run->train.w, run->train.c),
                              b.view[0], 0);
        nn_node *map = c->model->encode(t, run->model_state, x);
        if (!z) {
            each = (size_t)nn_rows(map);
            wanted = nn_quantiser_rows(u, each);
            z = NN_NEW(&run->scratch, float, (wanted + each) * (size_t)run->r);
        }
        memcpy(z + n * (size_t)run->r, map->val, sizeof *z * nn_count(map));
        n += each;
        nn_tape_reset(t);
    }
    t->mode = NN_TRAIN;
    t->record = 1;
    if (wanted)
        nn_quantiser_start(u, z, n, each, &clock, &run->scratch);
    nn_arena_rewind(&run->scratch, mark);
    ex_codes_turn(&run->codes, NULL, &run->scratch);
}

ex_step ex_run_step(ex_run *run, const data_batch *b)
{
    const ex_config *c = run->config;
    const long step = (long)b->epoch * run->steps + b->step;
    nn_tape *t = &run->tape;
    ex_step done = { .lr = opt_lr(&c->optim, c->top.batch, step, run->steps,
                                  c->top.epochs), .alignment = NAN };
    nn_quantised found;
    ssl_views v = { .terms = &done.terms, .found = &found };

    double from = nn_profile_from(t->profile);
    nn_store_zero_grad(&run->store);
    nn_profile_part(t->profile, "gradients to zero", from);
    nn_node *loss = ex_run_loss(run, t, b, b->n, &v);
    done.loss = (double)nn_item(loss);

    if (b->step + 1 == run->steps && v.count > 1)       /* before backward gives z away */
        done.alignment = met_alignment(nn_rows(v.z[0]), nn_cols(v.z[0]), v.z[0]->val,
                                       v.z[1]->val, 2);
    if (run->probe.d && isfinite(done.loss)) {          /* the same for h */
        from = nn_profile_from(t->profile);
        ex_run_probe(run, v.h[0], b, b->n, &run->scratch);
        nn_profile_part(t->profile, "online probe", from);
    }
    if (isfinite(done.loss)) {
        nn_backward(loss);
        from = nn_profile_from(t->profile);
        done.bad = nn_store_bad_grad(&run->store);
        nn_profile_part(t->profile, "gradients finite?", from);
        if (!done.bad && run->codes.parts) {
            from = nn_profile_from(t->profile);
            settle_codes(run, &found, step);
            nn_profile_part(t->profile, "codebook", from);
        }
        from = nn_profile_from(t->profile);
        if (!done.bad) {
            opt_step(run->opt, done.lr, opt_peak_lr(&c->optim, c->top.batch), step);
            if (run->target_state)
                nn_store_follow(&run->store, ex_run_tau(run, step));
        }
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

/* ---- terms ------------------------------------------------------------------------- */

void ex_terms_add(ex_terms *sums, const ssl_terms *terms)
{
    for (int i = 0; i < terms->count; i++) {
        const char *name = terms->list[i].name;
        int k = 0;

        NN_NEED(strlen(name) < EX_TERM_NAME, "'%s' is too long for a term's name", name);
        while (k < sums->count && strcmp(sums->list[k].name, name) != 0)
            k++;
        NN_NEED(k < SSL_MAX_TERMS, "an epoch of more than %d terms", SSL_MAX_TERMS);
        if (k == sums->count) {
            sums->count++;
            strcpy(sums->list[k].name, name);
            sums->list[k].value = 0;
        }
        sums->list[k].value += terms->list[i].value;
    }
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
