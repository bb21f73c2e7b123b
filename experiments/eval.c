#include "experiments/eval.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "experiments/evaluate.h"
#include "experiments/machine.h"
#include "experiments/reopen.h"
#include "nn/jacobian.h"

/* A second look at a run, with nothing of the run loop:
 *
 *   config.yaml -> data and network -> weights of a checkpoint -> figures -> table
 *
 * The figures are those of experiments/evaluate.c, so that they are the ones of
 * metrics.jsonl to the last digit; what is new here is more of them. */

enum { USUAL_IMAGES = 16 };     /* of the JEPA-SCORE: seconds for small networks */

typedef struct jepa {
    int images, of_z, width, lowest, highest;
    double mean, floored, *score;
} jepa;

typedef struct looking {
    const ex_eval_options *o;
    int knn[EX_MOST_KNN], knns;
    double share[EX_MOST_KNN], temperature, linear;
    int metrics, plain_knn, train_split;
    int probe, other_probe;             /* -1: the run's; 1: not as in the run */
    ex_reopened in;
    ex_evaluator evaluator;
    ex_figures figures;
    jepa jepa;
} looking;

static void say(const looking *l, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void say(const looking *l, const char *format, ...)
{
    va_list ap;

    if (l->o->quiet)
        return;
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
}

/* ---- the command line -------------------------------------------------------------- */

static nn_status whole(const char *option, const char *text, int least, int most, int *to,
                       nn_err *err)
{
    char *end;
    long x = strtol(text, &end, 10);

    if (end == text || *end || x < least || x > most)
        return nn_fail(err, NN_ECONFIG, "command line: --%s wants a whole number from %d"
                       " to %d, not '%.40s'", option, least, most, text);
    *to = (int)x;
    return NN_OK;
}

/* "1,20,200" */
static nn_status read_ks(looking *l, const char *list, nn_err *err)
{
    char one[16];

    for (const char *p = list; ; p++) {
        size_t n = strcspn(p, ",");
        snprintf(one, sizeof one, "%.*s", n < sizeof one ? (int)n : 15, p);
        if (l->knns == EX_MOST_KNN)
            return nn_fail(err, NN_ECONFIG, "command line: --knn takes at most %d values",
                           EX_MOST_KNN);
        NN_TRY(whole("knn", one, 1, 1 << 20, &l->knn[l->knns++], err));
        p += n;
        if (!*p)
            return NN_OK;
    }
}

/* One of two words; 0 or 1 to *to. */
static nn_status either(const char *option, const char *text, const char *zero,
                        const char *one, int *to, nn_err *err)
{
    if (!text)
        return NN_OK;
    *to = strcmp(text, one) == 0;
    if (!*to && strcmp(text, zero) != 0)
        return nn_fail(err, NN_ECONFIG, "command line: --%s is %s or %s, not '%.40s'",
                       option, zero, one, text);
    return NN_OK;
}

static nn_status read_options(looking *l, nn_err *err)
{
    const ex_eval_options *o = l->o;
    char *end = NULL;

    l->plain_knn = l->metrics = !o->knn && !o->linear && !o->jepa && !o->metrics;
    l->metrics |= o->metrics;
    l->jepa.images = USUAL_IMAGES;
    if (o->knn)
        NN_TRY(read_ks(l, o->knn, err));
    l->probe = -1;
    NN_TRY(either("probe", o->probe, "ridge", "sgd", &l->probe, err));
    NN_TRY(either("split", o->split, "test", "train", &l->train_split, err));
    NN_TRY(either("of", o->of, "h", "z", &l->jepa.of_z, err));
    if (o->images)
        NN_TRY(whole("images", o->images, 1, 1 << 24, &l->jepa.images, err));
    if (o->knn_t) {
        l->temperature = strtod(o->knn_t, &end);
        if (end == o->knn_t || *end || !(l->temperature > 0 && l->temperature < 1e6))
            return nn_fail(err, NN_ECONFIG, "command line: --knn-t wants a number above"
                           " 0, not '%.40s'", o->knn_t);
    }
    if (l->train_split && (o->knn || o->linear))
        return nn_fail(err, NN_ECONFIG, "command line: --split train goes with --metrics"
                       " and --jepa-score: probes learn from training images and are"
                       " judged on others");
    l->plain_knn &= !l->train_split;
    return NN_OK;
}

/* ---- figures ----------------------------------------------------------------------- */

static void probe_knn(looking *l)
{
    ex_evaluator *e = &l->evaluator;
    ex_run *run = &l->in.run;
    nn_arena *a = &run->scratch;
    size_t mark = nn_arena_mark(a), r = (size_t)run->r;
    float *bank = NN_NEW(a, float, r * (size_t)e->bank);
    float *query = NN_NEW(a, float, r * (size_t)e->queries);

    for (int i = 0; i < l->knns; i++)
        l->share[i] = NAN;
    say(l, "kNN: %d training and %d held-out images%s", e->bank, e->queries,
        e->bank && e->queries ? "" : ": without labels there is none");
    if (!e->bank || !e->queries)
        return;
    ex_evaluator_features(e, &run->train, e->bank, bank);
    ex_evaluator_features(e, &run->test, e->queries, query);
    for (int i = 0; i < l->knns; i++) {
        met_knn_settings s = { .k = l->knn[i], .temperature = l->temperature,
                               .classes = run->train.classes };
        s.k = s.k < e->bank ? s.k : e->bank;
        l->share[i] = met_knn(&s, run->r, bank, run->train.label, e->bank, query,
                              run->test.label, e->queries, a);
    }
    nn_arena_rewind(a, mark);
}

static nn_node *encode(nn_tape *t, const void *ctx, nn_node *x)
{
    const looking *l = ctx;
    const ex_run *run = &l->in.run;
    nn_node *h = l->in.config.model->forward(t, run->model_state, x);
    return l->jepa.of_z ? l->in.config.method->embed(t, run->objective.heads, h) : h;
}

static void score_images(looking *l)
{
    ex_run *run = &l->in.run;
    jepa *j = &l->jepa;
    const data_images *d = &run->test;
    size_t pixels = (size_t)d->h * d->w * d->c;
    double sum = 0;
    long floored = 0;

    j->width = j->of_z ? run->d : run->r;
    j->images = j->images < d->n ? j->images : d->n;
    j->score = NN_NEW(&run->forever, double, j->images);
    float *x = NN_NEW(&run->forever, float, pixels);
    float *jacobian = NN_NEW(&run->forever, float, pixels * (size_t)j->width);
    for (int i = 0; i < run->store.count; i++)
        run->store.list[i]->grad = NULL;        /* nobody trains: half of the work */
    say(l, "JEPA-SCORE: %d images, a Jacobian of %d x %zu for each", j->images, j->width,
        pixels);
    for (int i = 0; i < j->images; i++) {
        int low;
        data_plain(d, NULL, i, 1, x);
        nn_jacobian(&run->tape, encode, l, nn_shape4(1, d->h, d->w, d->c), x, j->width,
                    jacobian);
        j->score[i] = nn_log_volume(j->width, (int)pixels, jacobian, &low, &run->scratch);
        floored += low;
        sum += j->score[i];
        if (!(j->score[i] >= j->score[j->lowest]))
            j->lowest = i;
        if (!(j->score[i] <= j->score[j->highest]))
            j->highest = i;
        if (!l->o->quiet && isatty(STDERR_FILENO))
            fprintf(stderr, "\r%d of %d%s", i + 1, j->images,
                    i + 1 < j->images ? "" : "\n");
    }
    j->mean = sum / j->images;
    j->floored = (double)floored / j->images;
}

/* The run's own linear probe (ex_linear), whether the run asked for it or not. */
static void ask_for_linear(looking *l)
{
    ex_metrics *m = &l->in.config.metrics;
    int protocol = l->probe < 0 ? m->probe : l->probe ? MET_SGD : MET_RIDGE;

    l->other_probe = protocol != m->probe;
    m->linear = EX_LINEAR_LAST;
    m->probe = protocol;
}

static nn_status look(looking *l, nn_err *err)
{
    NN_TRY(ex_machine_choose(l->o->threads, err));
    NN_TRY(read_options(l, err));
    NN_TRY(ex_reopen(&l->in, &(ex_reopen_options){ l->o->run, l->o->pairs, l->o->pair,
                                                   l->o->checkpoint }, err));
    if (l->train_split)
        l->in.run.test = l->in.run.train;
    if (!l->o->knn_t)
        l->temperature = l->in.config.metrics.knn_t;
    if (l->o->linear)
        ask_for_linear(l);
    l->evaluator = ex_evaluator_new(&l->in.run);
    l->evaluator.untrained_erank = l->in.seen.at.untrained_erank;
    if (l->metrics) {
        say(l, "collapse metrics: %d images", l->evaluator.n);
        ex_evaluate(&l->evaluator, l->in.seen.loss, &l->figures);
    }
    if (l->knns)
        probe_knn(l);
    if (l->o->linear) {
        say(l, "linear probe: %d training and %d held-out images%s",
            l->evaluator.linear_bank, data_labelled(&l->in.run.test),
            l->evaluator.linear_bank ? "" : ": without labels there is none");
        l->linear = ex_linear(&l->evaluator);
    }
    if (l->o->jepa)
        score_images(l);
    return NN_OK;
}

/* ---- output ------------------------------------------------------------------------ */

/* Of status.json's baselines, and of the untrained network's line; NaN: unknown. */
static double baseline(const looking *l, const char *key)
{
    return ex_number_of(json_object_get(l->in.record.status, "baseline"), key);
}

static double untrained(const looking *l, const char *key)
{
    const json_t *line = json_array_get(l->in.record.rows, 0);
    return ex_number_of(line, "epoch") == 0 ? ex_number_of(line, key) : NAN;
}

/* Baselines were measured with the settings of the run. */
static int as_in_the_run(const looking *l)
{
    return !l->in.seen.other_data && !l->in.seen.differs[0];
}

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static void put(json_t *o, const char *key, double x)
{
    json_object_set_new(o, key, number(x));
}

static json_t *image_json(const looking *l, int i)
{
    const data_images *d = &l->in.run.test;

    return json_pack("{s:i, s:o, s:o}", "image", i, "label",
                     i < data_labelled(d) ? json_integer(d->label[i]) : json_null(),
                     "score", number(l->jepa.score[i]));
}

static json_t *jepa_json(const looking *l)
{
    const jepa *j = &l->jepa;
    json_t *all = json_array(), *o = json_object();

    for (int i = 0; i < j->images; i++)
        json_array_append_new(all, number(j->score[i]));
    json_object_set_new(o, "of", json_string(j->of_z ? "z" : "h"));
    json_object_set_new(o, "images", json_integer(j->images));
    json_object_set_new(o, "outputs", json_integer(j->width));
    put(o, "mean", j->mean);
    put(o, "min", j->score[j->lowest]);
    put(o, "max", j->score[j->highest]);
    put(o, "floored", j->floored);
    json_object_set_new(o, "lowest", image_json(l, j->lowest));
    json_object_set_new(o, "highest", image_json(l, j->highest));
    json_object_set_new(o, "scores", all);
    return o;
}

static void add_metrics(json_t *o, const ex_figures *f, int knn)
{
    char name[64];

    for (int i = 0; i < met_metric_count(); i++)
        put(o, met_metric_at(i)->name, f->z[i]);
    for (int i = 0; i < met_metric_count(); i++) {
        snprintf(name, sizeof name, "h/%s", met_metric_at(i)->name);
        put(o, name, f->h[i]);
    }
    if (knn)
        put(o, "eval/knn", f->knn);
    json_object_set_new(o, "verdict", json_string(met_verdict_word(f->judged.verdict)));
    json_object_set_new(o, "why", json_string(f->judged.why));
}

static const char *probe_word(const looking *l)
{
    return l->in.config.metrics.probe == MET_SGD ? "sgd" : "ridge";
}

static void print_json(const looking *l)
{
    const ex_evaluator *e = &l->evaluator;
    char name[64], sha[65];
    json_t *o = json_pack(
        "{s:i, s:i, s:i, s:s, s:i, s:i, s:i, s:i, s:i, s:i}", "exit", 0, "epoch",
        l->in.seen.at.epoch, "step", l->in.seen.at.step, "split",
        l->train_split ? "train" : "test", "n", e->n, "d", l->in.run.d, "r", l->in.run.r, "k",
        e->k, "knn_k", e->knn_k, "bank", e->bank);
    json_t *base = json_object();

    NN_NEED(o && base, "out of memory");
    ex_weights_sha256(&l->in.run.store, sha);
    json_object_set_new(o, "weights_sha256", json_string(sha));
    if (l->metrics)
        add_metrics(o, &l->figures, l->plain_knn);
    for (int i = 0; i < l->knns; i++) {
        snprintf(name, sizeof name, "eval/knn@%d", l->knn[i]);
        put(o, name, l->share[i]);
    }
    if (l->o->linear) {
        put(o, "eval/linear", l->linear);
        json_object_set_new(o, "probe",
                            json_string(probe_word(l)));
        json_object_set_new(o, "linear_bank", json_integer(e->linear_bank));
    }
    if (l->o->jepa)
        json_object_set_new(o, "jepa_score", jepa_json(l));
    put(base, "chance", ex_chance(&l->in.run.train));
    put(base, "raw_pixel_knn", baseline(l, "raw_pixel_knn"));
    put(base, "untrained_knn", baseline(l, "untrained_knn"));
    put(base, "raw_pixel_linear", baseline(l, "raw_pixel_linear"));
    put(base, "untrained_linear", untrained(l, "eval/linear"));
    json_object_set_new(o, "baseline", base);
    json_dumpf(o, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(10));
    putchar('\n');
    json_decref(o);
}

static void print_share(const char *what, double share)
{
    if (isnan(share))
        printf("%s -", what);
    else
        printf("%s %.1f %%", what, 100 * share);
}

static void print_probe(const looking *l, const char *name, double share,
                        double from_untrained, double from_pixels)
{
    printf("%-22s", name);
    print_share("", share);
    if (!isnan(from_untrained))
        print_share("   untrained network", from_untrained);
    if (!isnan(from_pixels))
        print_share("   raw pixels", from_pixels);
    print_share("   chance", ex_chance(&l->in.run.train));
    putchar('\n');
}

static void print_knn(const looking *l, int k, double share)
{
    int same = as_in_the_run(l) && !l->o->knn_t && k == l->in.config.metrics.knn_k;
    int bank = l->evaluator.bank;       /* more neighbours there are not */
    char name[48];

    if (k > bank && bank)
        snprintf(name, sizeof name, "kNN of h, k = %d, not %d", bank, k);
    else
        snprintf(name, sizeof name, "kNN of h, k = %d", k);
    print_probe(l, name, share, same ? baseline(l, "untrained_knn") : NAN,
                same ? baseline(l, "raw_pixel_knn") : NAN);
}

static void print_linear(const looking *l)
{
    int same = as_in_the_run(l) && !l->other_probe;
    char name[32];

    snprintf(name, sizeof name, "linear probe, %s", probe_word(l));
    print_probe(l, name, l->linear, same ? untrained(l, "eval/linear") : NAN,
                same ? baseline(l, "raw_pixel_linear") : NAN);
}

static void print_metrics(const looking *l)
{
    const ex_evaluator *e = &l->evaluator;
    const ex_figures *f = &l->figures;

    printf("%-28s %12s %12s %12s\n", "metric", "of z", "of h", "ideal of z");
    for (int i = 0; i < met_metric_count(); i++) {
        const double value[] = { f->z[i], f->h[i], e->ideal_z[i] };
        printf("%-28s", met_metric_at(i)->name);
        for (size_t k = 0; k < NN_COUNT(value); k++)
            if (isnan(value[k]))
                printf(" %12s", "-");
            else
                printf(" %12.5g", value[k]);
        putchar('\n');
    }
    printf("%-22s %s%s%s%s\n", "verdict", met_verdict_word(f->judged.verdict),
           f->judged.why[0] ? " (" : "", f->judged.why, f->judged.why[0] ? ")" : "");
}

static void print_scored(const looking *l, const char *word, int i)
{
    const char *const *label = l->in.run.test.names;
    int known = label != NULL, class = l->in.run.test.label[i];

    if (i >= data_labelled(&l->in.run.test)) {
        printf("  %-8s %10.4g   image %d, no label\n", word, l->jepa.score[i], i);
        return;
    }
    for (int k = 0; known && k <= class; k++)
        known = label[k] != NULL;
    printf("  %-8s %10.4g   image %d, label %d%s%s%s\n", word, l->jepa.score[i], i, class,
           known ? " (" : "", known ? label[class] : "", known ? ")" : "");
}

static void print_jepa(const looking *l)
{
    const jepa *j = &l->jepa;

    printf("JEPA-SCORE of %c over %d images\n  %-8s %10.4g   %.1f of %d directions below"
           " %g\n", j->of_z ? 'z' : 'h', j->images, "mean", j->mean, j->floored,
           j->width < l->in.run.test.h * l->in.run.test.w * l->in.run.test.c
               ? j->width : l->in.run.test.h * l->in.run.test.w * l->in.run.test.c,
           NN_LEAST_STRETCH);
    print_scored(l, "lowest", j->lowest);
    print_scored(l, "highest", j->highest);
}

static void print_table(const looking *l)
{
    const ex_evaluator *e = &l->evaluator;

    printf("%s\n%s with %s on %s, %s, after %d of %d epochs", l->in.record.path,
           l->in.config.method->name, l->in.config.model->name, l->in.config.source->name,
           l->in.checkpoint, l->in.seen.at.epoch, l->in.config.top.epochs);
    if (l->in.seen.at.step)
        printf(" and %d steps", l->in.seen.at.step);
    printf("\nn = %d %s images, d = %d, r = %d, k = %d, bank = %d\n\n", e->n,
           l->train_split ? "training" : "held-out", l->in.run.d, l->in.run.r, e->k, e->bank);
    if (l->metrics)
        print_metrics(l);
    if (l->plain_knn)
        print_knn(l, e->knn_k, l->figures.knn);
    for (int i = 0; i < l->knns; i++)
        print_knn(l, l->knn[i], l->share[i]);
    if (l->o->linear)
        print_linear(l);
    if (l->o->jepa)
        print_jepa(l);
}

static void print_failure(nn_status status, const nn_err *err)
{
    json_t *message = json_string(err->text);
    json_t *o = json_pack("{s:i, s:o}", "exit", (int)status, "message",
                          message ? message : json_string("(not UTF-8)"));
    json_dumpf(o, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(o);
}

nn_status ex_eval(const ex_eval_options *o, nn_err *err)
{
    looking *l = calloc(1, sizeof *l);

    NN_NEED(l, "out of memory");
    l->o = o;
    nn_status status = look(l, err);
    if (status == NN_OK && o->json)
        print_json(l);
    else if (status == NN_OK)
        print_table(l);
    else if (o->json)
        print_failure(status, err);
    ex_reopened_free(&l->in);
    free(l);
    return status;
}
