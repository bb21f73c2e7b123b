#include "experiments/evaluate.h"

#include <math.h>
#include <string.h>

/* Running statistics move a tenth of the way per batch: after so many batches what is
 * left of the starting value is 0.9^64, about one part in a thousand. */
enum { CALIBRATION_BATCHES = 64 };

/* The raw-pixel bank is cut so that large images do not ask for more floats than this (1
 * GiB). */
static const size_t most_raw = (size_t)1 << 28;

int ex_metric_index(const char *name)
{
    for (int i = 0; i < met_metric_count(); i++)
        if (strcmp(met_metric_at(i)->name, name) == 0)
            return i;
    return -1;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

static int most(int a, int b)
{
    return a > b ? a : b;
}

met_linear_settings ex_linear_settings(const ex_config *c, int classes)
{
    met_linear_settings s = met_linear_default;

    s.protocol = (met_protocol)c->metrics.probe;
    s.classes = classes;
    s.epochs = c->metrics.probe_epochs;
    s.lr = c->metrics.probe_lr;
    return s;
}

int ex_probed(const ex_config *c, const data_images *train, const data_images *test)
{
    const int all = data_labelled(test) ? data_labelled(train) : 0;
    return c->metrics.linear_bank ? least(c->metrics.linear_bank, all) : all;
}

double ex_chance(const data_images *d)
{
    return data_labelled(d) ? 1.0 / d->classes : NAN;
}

ex_evaluator ex_evaluator_new(ex_run *run)
{
    const ex_config *c = run->config;
    nn_arena *a = &run->forever;
    ex_evaluator e = { .run = run };
    size_t pixels = (size_t)run->train.h * run->train.w * run->train.c;

    NN_NEED(met_metric_count() <= EX_MOST_METRICS, "%d metrics, room for %d",
            met_metric_count(), EX_MOST_METRICS);
    e.n = least(c->metrics.samples, run->test.n);
    e.bank = least(c->metrics.bank, data_labelled(&run->train));
    e.queries = least(e.n, data_labelled(&run->test));
    e.k = least(c->metrics.lid_k, e.n - 1);
    e.knn_k = least(c->metrics.knn_k, e.bank);
    if (c->metrics.linear != EX_LINEAR_OFF)
        e.linear_bank = ex_probed(c, &run->train, &run->test);
    e.looked = run->test.n;
    e.part = 2 * c->top.batch; /* the longest part that split() makes is shorter */
    e.image = NN_NEW(a, float, pixels * (size_t)e.part);
    e.h = NN_NEW(a, float, (size_t)e.n * run->r);
    e.z = NN_NEW(a, float, (size_t)e.n * run->d);
    int probed = e.linear_bank ? e.linear_bank + data_labelled(&run->test) : 0;
    e.feature = NN_NEW(a, float, (size_t)most(e.n + e.bank, probed) * run->r);
    for (int i = 0; i < met_metric_count(); i++) {
        const met_metric *m = met_metric_at(i);
        e.ideal_z[i] = m->ideal ? m->ideal(e.n, run->d, e.k) : NAN;
        e.ideal_h[i] = m->ideal ? m->ideal(e.n, run->r, e.k) : NAN;
    }
    return e;
}

/* Where part i of n images begins when they are cut into parts of about `size`: as many
 * as fit, all of the same length give or take one.  No image is dropped, and no batch is
 * so short that its statistics are worse than those of training. */
static int split(int n, int size, int i)
{
    int parts = n / size > 0 ? n / size : 1;
    return (int)((long long)n * (i < parts ? i : parts) / parts);
}

static int stopped(const ex_evaluator *e)
{
    return e->stop && *e->stop;
}

/* h (and z unless NULL) of the first n images, BatchNorm in the given mode. */
static void features(ex_evaluator *e, nn_mode mode, const data_images *d, int n,
                     float *h, float *z)
{
    ex_run *run = e->run;
    const ex_config *c = run->config;
    nn_tape *t = &run->tape;

    t->mode = mode;
    t->record = 0;
    for (int i = 0; split(n, c->top.batch, i) < n && !stopped(e); i++) {
        size_t from = (size_t)split(n, c->top.batch, i);
        int count = split(n, c->top.batch, i + 1) - (int)from;
        data_plain(d, NULL, (int)from, count, e->image);
        nn_node *x = nn_input(t, nn_shape4(count, d->h, d->w, d->c), e->image, 0);
        nn_node *rep = c->model->forward(t, run->model_state, x);
        if (h)
            memcpy(h + from * (size_t)run->r, rep->val,
                   sizeof(float) * (size_t)count * (size_t)run->r);
        if (z) {
            nn_node *emb = c->method->embed(t, run->objective.heads, rep);
            memcpy(z + from * (size_t)run->d, emb->val,
                   sizeof(float) * (size_t)count * (size_t)run->d);
        }
        nn_tape_reset(t);
    }
    t->mode = NN_TRAIN;
    t->record = 1;
}

void ex_evaluator_features(ex_evaluator *e, const data_images *d, int n, float *h)
{
    features(e, NN_EVAL, d, n, h, NULL);
}

static int all_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return 0;
    return 1;
}

/* Every metric of one set of embeddings, and the spectrum of its unit rows. */
static void measure(ex_evaluator *e, const float *x, int d, double *value,
                    double *spectrum, ex_figures *map)
{
    nn_arena *scratch = &e->run->scratch;
    size_t mark = nn_arena_mark(scratch);
    met_view v = met_view_of(scratch, x, e->n, d, e->k);

    for (int i = 0; i < met_metric_count(); i++)
        value[i] = met_metric_at(i)->value(&v);
    met_view unit = met_view_of(scratch, met_unit(&v), e->n, d, e->k);
    memcpy(spectrum, met_lambda(&unit), sizeof *spectrum * (size_t)d);
    if (map) {
        double *xy = NN_NEW(scratch, double, 2 * (size_t)e->n);
        met_pca2(&v, xy, map->share);
        memcpy(map->map, xy, sizeof *xy * 2 * (size_t)map->points);
    }
    nn_arena_rewind(scratch, mark);
}

/* Also what the online probe, if there is one, makes of the same held-out images. */
static double knn_of(ex_evaluator *e, double *online)
{
    ex_run *run = e->run;
    const met_knn_settings s = { .k = e->knn_k,
                                 .temperature = run->config->metrics.knn_t,
                                 .classes = run->train.classes };
    float *query = e->feature + (size_t)e->bank * run->r;
    size_t mark = nn_arena_mark(&run->scratch);

    if (!e->bank || !e->queries)
        return NAN;
    features(e, NN_EVAL, &run->train, e->bank, e->feature, NULL);
    features(e, NN_EVAL, &run->test, e->queries, query, NULL);
    double share = NAN;
    if (!stopped(e)
        && all_finite(e->feature, (size_t)(e->bank + e->queries) * (size_t)run->r))
        share = met_knn(&s, run->r, e->feature, run->train.label, e->bank, query,
                        run->test.label, e->queries, &run->scratch);
    if (run->probe.d && !stopped(e))
        *online = met_online_test(&run->probe, query, run->test.label, e->queries,
                                  &run->scratch);
    nn_arena_rewind(&run->scratch, mark);
    return share;
}

double ex_linear(ex_evaluator *e)
{
    ex_run *run = e->run;
    const data_images *train = &run->train, *test = &run->test;
    const int judged = data_labelled(test);
    met_linear_settings s = ex_linear_settings(run->config, train->classes);
    float *of_test = e->feature + (size_t)e->linear_bank * run->r;

    if (!e->linear_bank)
        return NAN;
    s.stop = e->stop;
    features(e, NN_EVAL, train, e->linear_bank, e->feature, NULL);
    features(e, NN_EVAL, test, judged, of_test, NULL);
    return stopped(e) ? NAN
        : met_linear(&s, run->r, e->feature, train->label, e->linear_bank, of_test,
                     test->label, judged, &run->scratch);
}

/* Pixels in 0 .. 1 again. */
static void to_pixels(const data_images *d, size_t count, const float *x, float *out)
{
    const size_t c = (size_t)d->c;

    for (size_t i = 0; i < count; i += c)
        for (size_t j = 0; j < c; j++)
            out[i + j] = x[i + j] * data_std_of(d, (int)j) + data_mean_of(d, (int)j);
}

void ex_evaluator_codes(ex_evaluator *e, const data_images *d, ex_coded_act *see,
                        void *ctx)
{
    ex_run *run = e->run;
    const ex_config *c = run->config;
    const size_t pixels = (size_t)d->h * (size_t)d->w * (size_t)d->c;
    nn_arena *a = &run->scratch;
    const size_t mark = nn_arena_mark(a);
    float *truth = NN_NEW(a, float, pixels * (size_t)e->part),
          *made = NN_NEW(a, float, pixels * (size_t)e->part);
    nn_tape *t = &run->tape;

    t->mode = NN_EVAL;
    t->record = 0;
    for (int i = 0; split(e->looked, c->top.batch, i) < e->looked && !stopped(e); i++) {
        const int from = split(e->looked, c->top.batch, i);
        const int n = split(e->looked, c->top.batch, i + 1) - from;
        ssl_views v = { .count = 1 };
        nn_quantised found;
        data_plain(d, NULL, from, n, e->image);
        nn_node *x = nn_input(t, nn_shape4(n, d->h, d->w, d->c), e->image, 0);
        ssl_objective_encode(t, &run->objective, &v, 0, x);
        const nn_shape map = v.map[0]->shape;
        nn_node *again = c->method->reconstruct(t, run->objective.heads, &v, 0, &found);
        to_pixels(d, pixels * (size_t)n, e->image, truth);
        to_pixels(d, pixels * (size_t)n, again->val, made);
        see(ctx, &(ex_coded){ from, n, map.dim[1], map.dim[2], &found, truth, made });
        nn_tape_reset(t);
    }
    t->mode = NN_TRAIN;
    t->record = 1;
    nn_arena_rewind(a, mark);
}

typedef struct look { ex_codes_look codes; nn_arena *scratch; } look;

static void see_codes(void *ctx, const ex_coded *b)
{
    look *l = ctx;
    ex_codes_see(&l->codes, b->found, (size_t)b->images, b->truth, b->made, l->scratch);
}

/* Codes and reconstructions of all held-out images, whatever metrics.samples is: how much
 * of a codebook is used is a matter of how long one looks. */
static void look_at_codes(ex_evaluator *e, ex_code_figures *f)
{
    ex_run *run = e->run;
    const data_images *d = &run->test;
    nn_arena *a = &run->scratch;
    const size_t mark = nn_arena_mark(a);
    const met_image_size size = { d->h, d->w, d->c };
    look l = { ex_codes_open(&run->codes, f, size, a), a };

    ex_evaluator_codes(e, d, see_codes, &l);
    if (!stopped(e))
        ex_codes_close(&l.codes, a);
    if (d->value)
        ex_codes_of_vectors(f);
    nn_arena_rewind(a, mark);
}

/* What the figures keep between evaluations. */
static void reserve_figures(const ex_evaluator *e, ex_figures *f)
{
    ex_run *run = e->run;
    nn_arena *a = &run->forever;
    const size_t pixels = (size_t)run->test.h * (size_t)run->test.w * (size_t)run->test.c;

    if (f->map)
        return;
    f->points = least(e->n, EX_MAP_POINTS);
    f->map = NN_NEW0(a, double, 2 * f->points);
    f->spectrum_z = NN_NEW0(a, double, run->d);
    f->spectrum_h = NN_NEW0(a, double, run->r);
    if (run->codes.parts) {
        f->codes.original = NN_NEW(a, float, EX_SHOWN * pixels);
        f->codes.made = NN_NEW(a, float, EX_SHOWN * pixels);
        f->codes.probe = NN_NEW(a, int, run->codes.parts * EX_PROBED);
    }
}

int ex_evaluate(ex_evaluator *e, double loss, ex_figures *f)
{
    ex_run *run = e->run;
    int std = ex_metric_index("collapse/std"), erank = ex_metric_index("collapse/erank");

    reserve_figures(e, f);
    f->n = e->n;
    f->d = run->d;
    f->r = run->r;
    f->k = e->k;
    f->knn_k = e->knn_k;
    f->bank = e->bank;
    f->knn = f->linear = f->online = NAN;
    f->linear_bank = 0;
    for (int i = 0; i < EX_MOST_METRICS; i++)
        f->z[i] = f->h[i] = NAN;
    features(e, NN_BATCH, &run->test, e->n, e->h, e->z);
    if (stopped(e))
        return 0;
    if (!all_finite(e->z, (size_t)e->n * (size_t)run->d)
        || !all_finite(e->h, (size_t)e->n * (size_t)run->r)) {
        f->judged = (met_judged){ MET_DIVERGED, "an embedding is not finite" };
        return 1;
    }
    measure(e, e->z, run->d, f->z, f->spectrum_z, f);
    if (!stopped(e))
        measure(e, e->h, run->r, f->h, f->spectrum_h, NULL);
    if (!stopped(e))
        f->knn = knn_of(e, &f->online);
    if (run->codes.parts && e->looked && !stopped(e))
        look_at_codes(e, &f->codes);
    if (stopped(e))
        return 0;
    f->judged =
        met_judge(loss, std >= 0 ? f->z[std] : NAN, erank >= 0 ? f->z[erank] : NAN,
                  e->untrained_erank, e->n, run->d);
    if (run->codes.parts && e->looked && f->judged.verdict != MET_DIVERGED)
        f->judged = ex_codes_judge(&f->codes);  /* z, a mean of maps, has any offset */
    return 1;
}

/* Copies every buffer of the store to `saved` or back; returns the number of floats. */
enum { SAVE, RESTORE, COUNT };
static size_t buffers(const nn_store *s, float *saved, int what)
{
    size_t at = 0;
    for (int i = 0; i < s->count; i++) {
        const nn_param *p = s->list[i];
        if (p->role != NN_BUFFER)
            continue;
        size_t n = nn_shape_count(&p->shape);
        if (what == SAVE)
            memcpy(saved + at, p->val, sizeof(float) * n);
        if (what == RESTORE)
            memcpy(p->val, saved + at, sizeof(float) * n);
        at += n;
    }
    return at;
}

static void calibrate(ex_evaluator *e)
{
    ex_run *run = e->run;
    const ex_config *c = run->config;
    int batch = c->top.batch, starts = run->train.n / batch;
    nn_tape *t = &run->tape;

    t->mode = NN_TRAIN;
    t->record = 0;
    for (int i = 0; i < CALIBRATION_BATCHES && !stopped(e); i++) {
        data_plain(&run->train, NULL, i % starts * batch, batch, e->image);
        nn_node *x = nn_input(
            t, nn_shape4(batch, run->train.h, run->train.w, run->train.c), e->image, 0);
        c->method->embed(t, run->objective.heads,
                         c->model->forward(t, run->model_state, x));
        nn_tape_reset(t);
    }
    t->record = 1;
}

void ex_evaluate_untrained(ex_evaluator *e, ex_figures *f)
{
    nn_store *s = &e->run->store;
    int erank = ex_metric_index("collapse/erank");
    float *saved = NN_NEW(&e->run->forever, float, buffers(s, NULL, COUNT));

    buffers(s, saved, SAVE);
    calibrate(e);
    ex_evaluate(e, 0, f);
    f->online = NAN;                            /* it has learnt nothing yet */
    f->linear = ex_linear(e);
    f->linear_bank = e->linear_bank;
    buffers(s, saved, RESTORE);
    if (f->judged.verdict != MET_DIVERGED && erank >= 0 && isfinite(f->z[erank]))
        e->untrained_erank = f->z[erank];
}

/* So many training images of pixels, beside `others`, stay within most_raw. */
static int raw_bank(const data_images *d, int bank, int others)
{
    size_t most_images = most_raw / data_raw_count(d);

    if (most_images <= (size_t)others)
        return 1;
    most_images -= (size_t)others;
    return (size_t)bank < most_images ? bank : (int)most_images;
}

/* Pixels of the first n images as floats, 0 to 255, or their numbers, in the arena. */
static float *raw_pixels(const data_images *d, int n, nn_arena *a)
{
    size_t count = data_raw_count(d);
    float *x = NN_NEW(a, float, (size_t)n * count);

    for (int i = 0; i < n; i++)
        data_raw(d, i, x + (size_t)i * count);
    return x;
}

double ex_raw_pixel_knn(ex_evaluator *e)
{
    ex_run *run = e->run;
    nn_arena *a = &run->scratch;
    const data_images *train = &run->train, *test = &run->test;
    size_t mark = nn_arena_mark(a);
    int pixels = (int)data_raw_count(train), bank = raw_bank(train, e->bank, e->queries);
    const met_knn_settings s = { .k = least(e->knn_k, bank),
                                 .temperature = run->config->metrics.knn_t,
                                 .classes = train->classes };

    if (stopped(e) || !e->bank || !e->queries)
        return NAN;
    const float *x = raw_pixels(train, bank, a), *q = raw_pixels(test, e->queries, a);
    double share = met_knn(&s, pixels, x, train->label, bank, q, test->label, e->queries,
                           a);
    nn_arena_rewind(a, mark);
    return share;
}

double ex_raw_pixel_linear(ex_evaluator *e)
{
    ex_run *run = e->run;
    nn_arena *a = &run->scratch;
    const data_images *train = &run->train, *test = &run->test;
    met_linear_settings s = ex_linear_settings(run->config, train->classes);
    size_t mark = nn_arena_mark(a);
    const int judged = data_labelled(test);
    int pixels = (int)data_raw_count(train),
        bank = raw_bank(train, e->linear_bank, judged);

    if (!e->linear_bank || stopped(e))
        return NAN;
    s.stop = e->stop;
    const float *x = raw_pixels(train, bank, a), *q = raw_pixels(test, judged, a);
    double share = met_linear(&s, pixels, x, train->label, bank, q, test->label, judged,
                              a);
    nn_arena_rewind(a, mark);
    return share;
}
