#include "experiments/runlog.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "experiments/version.h"
#include "nn/kern/kern.h"

/* Pairs shown in the report: enough to judge the augmentation, small as text. */
enum { PAIRS = 8 };

/* Digits of numbers: figures are compared, spectra and maps are drawn. */
enum { FIGURE_DIGITS = 10, DRAWING_DIGITS = 5 };

/* ---- small helpers ----------------------------------------------------------------- */

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

/* Words of the user may not be UTF-8, which JSON must be. */
static json_t *words(const char *text, const char *otherwise)
{
    json_t *s = json_string(text);
    return s ? s : json_string(otherwise);
}

static json_t *numbers(const double *x, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(list, number(x[i]));
    return list;
}

static void append(ex_text *t, const char *text)
{
    size_t n = strlen(text);
    if (t->bytes + n + 1 > t->room) {
        t->room = 2 * (t->bytes + n + 1);
        t->at = realloc(t->at, t->room);
        NN_NEED(t->at, "out of memory: %zu bytes of log", t->room);
    }
    memcpy(t->at + t->bytes, text, n + 1);
    t->bytes += n;
}

static void append_line(ex_text *t, json_t *object, int digits)
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(digits));
    NN_NEED(text, "a line of the log cannot be written as JSON");
    append(t, text);
    append(t, "\n");
    free(text);
}

static void now(char *out, size_t size)
{
    time_t t = time(NULL);
    struct tm utc;
    gmtime_r(&t, &utc);
    strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

/* Base64 of RFC 4648, with padding. */
static json_t *base64(const uint8_t *bytes, size_t n)
{
    static const char letter[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = malloc(4 * ((n + 2) / 3) + 1), *p = text;

    NN_NEED(text, "out of memory: %zu bytes of pictures", n);
    for (size_t i = 0; i < n; i += 3) {
        uint32_t three = (uint32_t)bytes[i] << 16;
        if (i + 1 < n)
            three |= (uint32_t)bytes[i + 1] << 8;
        if (i + 2 < n)
            three |= bytes[i + 2];
        *p++ = letter[three >> 18];
        *p++ = letter[three >> 12 & 63];
        *p++ = i + 1 < n ? letter[three >> 6 & 63] : '=';
        *p++ = i + 2 < n ? letter[three & 63] : '=';
    }
    *p = 0;
    json_t *s = json_string(text);
    free(text);
    return s;
}

/* ---- snapshots ----------------------------------------------------------------------
 */

/* A normalised view as bytes again, for people's eyes. */
static void to_bytes(const ex_run *run, const float *view, uint8_t *out)
{
    const data_images *d = &run->train;
    int pixels = d->h * d->w;
    for (int i = 0; i < pixels; i++)
        for (int k = 0; k < d->c; k++) {
            float v = view[i * d->c + k] * data_std_of(d, k) + data_mean_of(d, k);
            v = floorf(v * 255 + 0.5f);
            out[i * d->c + k] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
}

static json_t *pairs(const ex_run *run)
{
    const data_images *d = &run->train;
    const ex_config *c = run->config;
    int count = d->n < PAIRS ? d->n : PAIRS;
    size_t bytes = (size_t)d->h * d->w * d->c;
    uint8_t *shown = malloc(bytes * (size_t)count);
    float *view = malloc(sizeof(float) * bytes);
    float *work = malloc(sizeof(float) * (data_augment_space(d) + 1));

    NN_NEED(shown && view && work, "out of memory: pictures of %zu bytes", bytes);
    for (int i = 0; i < count; i++) {
        data_plain(d, NULL, i, 1, view);
        to_bytes(run, view, shown + bytes * (size_t)i);
    }
    json_t *p =
        json_pack("{s:i, s:i, s:i, s:i, s:o}", "h", d->h, "w", d->w, "c", d->c, "count",
                  count, "original", base64(shown, bytes * (size_t)count));
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < count; i++) {
            data_augment_view(&c->augment, d, i, k, (uint64_t)c->top.seed, 0, view, work);
            to_bytes(run, view, shown + bytes * (size_t)i);
        }
        json_object_set_new(p, k ? "view2" : "view1",
                            base64(shown, bytes * (size_t)count));
    }
    free(shown);
    free(view);
    free(work);
    return p;
}

static json_t *snapshot_head(const ex_run *run, int points)
{
    json_t *classes = json_array(), *label = json_array();
    for (int i = 0; i < run->train.classes; i++) {
        const char *const *names = run->train.names;
        char plain[16];
        snprintf(plain, sizeof plain, "%d", i);
        json_array_append_new(classes, json_string(names && names[i] ? names[i] : plain));
        if (names && !names[i])
            break;
    }
    const int labelled = data_labelled(&run->test);
    const int none = (int)json_array_size(classes);     /* the class of those without */
    if (labelled < points)
        json_array_append_new(classes, json_string("(no label)"));
    for (int i = 0; i < points; i++)
        json_array_append_new(label,
                              json_integer(i < labelled ? run->test.label[i] : none));
    return json_pack("{s:o, s:o, s:o}", "classes", classes, "label", label, "pairs",
                     run->train.pixel ? pairs(run) : json_null());
}

/* Images in 0 .. 1 as bytes. */
static json_t *pictures(const float *x, size_t n)
{
    uint8_t *bytes = malloc(n + 1);

    NN_NEED(bytes, "out of memory: %zu bytes of pictures", n);
    for (size_t i = 0; i < n; i++) {
        const float v = floorf(x[i] * 255 + 0.5f);
        bytes[i] = (uint8_t)(v > 0 ? v < 255 ? v : 255 : 0);
    }
    json_t *s = base64(bytes, n);
    free(bytes);
    return s;
}

/* How the codes are used, part by part, and what the decoder makes of images. */
static void add_codes_shot(json_t *shot, const ex_run *run, const ex_code_figures *f)
{
    const size_t pixels = (size_t)run->test.h * (size_t)run->test.w * (size_t)run->test.c;
    json_t *bins = json_array();

    for (int k = 0; k < f->parts; k++)
        json_array_append_new(bins, numbers(f->part[k].bins, MET_CODE_BINS));
    json_object_set_new(shot, "code_bins", bins);
    if (run->test.value)
        return;
    json_object_set_new(shot, "original", pictures(f->original, pixels * (size_t)f->shown));
    json_object_set_new(shot, "made", pictures(f->made, pixels * (size_t)f->shown));
    json_object_set_new(shot, "shown", json_integer(f->shown));
}

static json_t *snapshot(const ex_run *run, const ex_epoch *e, const ex_figures *f)
{
    json_t *shot = json_pack("{s:i, s:o, s:o, s:o, s:o}", "epoch", e->epoch, "spectrum_z",
                     numbers(f->spectrum_z, f->d), "spectrum_h",
                     numbers(f->spectrum_h, f->r), "map", numbers(f->map, 2 * f->points),
                     "share", numbers(f->share, 2));
    if (shot && run->codes.parts)
        add_codes_shot(shot, run, &f->codes);
    return shot;
}

/* ---- status -------------------------------------------------------------------------
 */

void ex_log_start(ex_log *l, const ex_run *run, const ex_folder *folder, int threads)
{
    const ex_config *c = run->config;
    char host[256] = "", started[32], fingerprint[34], dir[4096];

    *l = (ex_log){ .run = run, .folder = folder };
    gethostname(host, sizeof host - 1);
    now(started, sizeof started);
    snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64 "%016" PRIx64,
             run->train_print, run->test_print);
    l->status = json_pack(
        "{s:s, s:i, s:i, s:i, s:s, s:s, s:o, s:s, s:i, s:o, s:s, s:s, s:s, s:i, s:s, "
        "s:n, s:f,"
        " s:n}",
        "state", "running", "epoch", 0, "epochs", c->top.epochs, "exit", 0, "message", "",
        "name", c->top.name, "label", words(c->label, c->method->name), "method",
        c->method->name, "seed", c->top.seed, "host", words(host, "?"), "version",
        EX_VERSION, "compiler", EX_COMPILER, "kernel", nn_kern_now->name, "threads",
        threads, "started", started, "ended", "seconds", 0.0, "weights_sha256");
    NN_NEED(l->status, "status.json cannot be made");
    json_object_set_new(l->status, "data", json_pack(
        "{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:s}", "name", c->source->name, "train",
        run->train.n, "test", run->test.n, "h", run->train.h, "w", run->train.w, "c",
        run->train.c, "classes", run->train.classes, "fingerprint", fingerprint));
    if (run->train.skipped || run->test.skipped)
        json_object_set_new(json_object_get(l->status, "data"), "skipped",
                            json_integer(run->train.skipped + run->test.skipped));
    if (c->source->present(&c->data, dir, sizeof dir))
        json_object_set_new(json_object_get(l->status, "data"), "dir",
                            words(dir, "(not UTF-8)"));
    json_object_set_new(l->status, "model", json_pack(
        "{s:s, s:I}", "name", c->model->name, "parameters",
        (json_int_t)nn_store_count(&run->store)));
}

nn_status ex_log_same_set(const ex_log *l, nn_err *err)
{
    static const char *const key[] = { "fingerprint", "dir" };
    char file[1500];
    int differ = 0;

    snprintf(file, sizeof file, "%s/status.json", l->folder->path);
    json_t *before = json_load_file(file, 0, NULL), *there = json_object_get(before, "data");
    for (size_t i = 0; i < NN_COUNT(key); i++) {
        json_t *was = json_object_get(there, key[i]);
        differ += was && !json_equal(was, json_object_get(
                             json_object_get(l->status, "data"), key[i]));
    }
    if (l->run->config->source->own && differ == NN_COUNT(key))
        nn_fail(err, NN_EDATA, "%s: holds a run on other data, those in %.300s; choose "
                "another --out or name=, or remove it", l->folder->path,
                json_string_value(json_object_get(there, "dir")));
    json_decref(before);
    return differ == NN_COUNT(key) && l->run->config->source->own ? NN_EDATA : NN_OK;
}

void ex_log_free(ex_log *l)
{
    free(l->metrics.at);
    free(l->snapshots.at);
    json_decref(l->status);
    json_decref(l->last);
    *l = (ex_log){0};
}

void ex_log_baseline(ex_log *l, const ex_baselines *b, const ex_evaluator *e)
{
    json_t *ideal = json_object();
    char name[64];

    for (int i = 0; i < met_metric_count(); i++) {
        json_object_set_new(ideal, met_metric_at(i)->name, number(e->ideal_z[i]));
        snprintf(name, sizeof name, "h/%s", met_metric_at(i)->name);
        json_object_set_new(ideal, name, number(e->ideal_h[i]));
    }
    json_object_set_new(l->status, "reference", ideal);
    json_object_set_new(l->status, "baseline", json_pack(
        "{s:o, s:o, s:o, s:o, s:o}", "chance", number(ex_chance(&l->run->train)),
        "raw_pixel_knn", number(b->raw_pixel_knn), "untrained_knn",
        number(b->untrained_knn), "raw_pixel_linear", number(b->raw_pixel_linear),
        "untrained_linear", number(b->untrained_linear)));
}

void ex_log_state(ex_log *l, const char *state, int epoch, int exit_code,
                  const char *message, double seconds, const char *sha256)
{
    char ended[32];
    json_t *s = l->status;

    json_object_set_new(s, "state", json_string(state));
    json_object_set_new(s, "epoch", json_integer(epoch));
    json_object_set_new(s, "exit", json_integer(exit_code));
    json_object_set_new(s, "message", words(message, "(not UTF-8)"));
    json_object_set_new(s, "seconds", json_real(seconds));
    if (strcmp(state, "running") != 0) {
        now(ended, sizeof ended);
        json_object_set_new(s, "ended", json_string(ended));
    }
    if (sha256)
        json_object_set_new(s, "weights_sha256", json_string(sha256));
    json_object_set_new(s, "memory", json_pack(
        "{s:I, s:I}", "bytes", (json_int_t)ex_run_bytes(l->run), "late_requests",
        (json_int_t)(l->grown ? ex_run_grown(l->run) - l->grown : 0)));
}

void ex_log_saved(ex_log *l, int epoch, int step, int times, double seconds)
{
    json_object_set_new(l->status, "saved", json_pack(
        "{s:i, s:i, s:i, s:f}", "epoch", epoch, "step", step, "times", times, "seconds",
        seconds));
}

void ex_log_resumed(ex_log *l, int times)
{
    json_object_set_new(l->status, "resumed", json_integer(times));
}

void ex_log_pipeline(ex_log *l, const ex_pipeline *p)
{
    json_object_set_new(l->status, "pipeline", json_pack(
        "{s:o, s:o, s:o}", "data_wait", number(p->wait), "augment_us",
        number(p->per_image), "augment_share", number(p->share)));
}

void ex_log_memory(ex_log *l)
{
    l->grown = ex_run_grown(l->run);
}

/* ---- lines --------------------------------------------------------------------------
 */

/* Means over the parts, and where there are several, each part's: code/s1/usage. */
static void add_codes(json_t *line, const ex_run *run, const ex_code_figures *f)
{
    met_images images = f->images;
    char name[96], part[16];

    if (!run->codes.parts)
        return;
    json_object_set_new(line, "code/K", json_integer((json_int_t)run->codes.k));
    json_object_set_new(line, "code/D", json_integer((json_int_t)run->codes.d));
    json_object_set_new(line, "code/parts", json_integer(run->codes.parts));
    json_object_set_new(line, "code/restarts", number(f->restarts));
    for (int i = 0; i < ex_code_figure_count(); i++)
        json_object_set_new(line, ex_code_figure_name(i), number(ex_code_figure(f, -1, i)));
    for (int k = 0; run->codes.parts > 1 && k < run->codes.parts; k++)
        for (int i = 0; i < ex_code_figure_count(); i++) {
            const char *full = ex_code_figure_name(i), *leaf = strrchr(full, '/') + 1;
            nn_quantiser_part_name(run->codes.quantiser, k, part, sizeof part);
            snprintf(name, sizeof name, "%.*s%s/%s", (int)(leaf - full), full, part, leaf);
            json_object_set_new(line, name, number(ex_code_figure(f, k, i)));
        }
    for (int i = 0; i < ex_image_figure_count(); i++)
        json_object_set_new(line, ex_image_figure_name(i),
                            number(*ex_image_figure_at(&images, i)));
}

static json_t *metrics_line(const ex_run *run, const ex_epoch *e, const ex_figures *f)
{
    char name[64];
    json_t *line =
        json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:i, s:i, s:i, s:i, s:i,"
                  " s:i}", "epoch", e->epoch, "loss", number(e->loss), "lr", number(e->lr),
                  "images_per_s", number(e->images_per_s), "data_wait",
                  number(e->data_wait), "seconds", number(e->seconds), "eval_seconds",
                  number(e->eval_seconds), "n", f->n, "d", f->d, "r", f->r, "k", f->k,
                  "knn_k", f->knn_k, "bank", f->bank, "linear_bank", f->linear_bank);

    NN_NEED(line, "a line of metrics.jsonl cannot be made");
    if (run->target_state)
        json_object_set_new(line, "tau", number(e->tau));
    json_object_set_new(line, "train/alignment", number(e->alignment));
    for (int i = 0; i < e->terms.count; i++) {
        snprintf(name, sizeof name, "term/%s", e->terms.list[i].name);
        json_object_set_new(line, name, number(e->terms.list[i].value));
    }
    for (int i = 0; i < met_metric_count(); i++)
        json_object_set_new(line, met_metric_at(i)->name, number(f->z[i]));
    for (int i = 0; i < met_metric_count(); i++) {
        snprintf(name, sizeof name, "h/%s", met_metric_at(i)->name);
        json_object_set_new(line, name, number(f->h[i]));
    }
    add_codes(line, run, &f->codes);
    json_object_set_new(line, "eval/knn", number(f->knn));
    json_object_set_new(line, "eval/linear", number(f->linear));
    if (run->probe.d)
        json_object_set_new(line, "eval/online", number(f->online));
    json_object_set_new(line, "verdict",
                        json_string(met_verdict_word(f->judged.verdict)));
    json_object_set_new(line, "why", json_string(f->judged.why));
    return line;
}

static void add_line(ex_log *l, json_t *line)
{
    append_line(&l->metrics, line, FIGURE_DIGITS);
    json_decref(l->last);
    l->last = line;
}

void ex_log_epoch(ex_log *l, const ex_epoch *e, const ex_figures *f, const char *sha256)
{
    json_t *line = metrics_line(l->run, e, f), *shot = snapshot(l->run, e, f);
    if (sha256)
        json_object_set_new(line, "weights_sha256", json_string(sha256));
    add_line(l, line);
    if (!l->snapshots.bytes) {
        json_t *head = snapshot_head(l->run, f->points);
        append_line(&l->snapshots, head, DRAWING_DIGITS);
        json_decref(head);
    }
    append_line(&l->snapshots, shot, DRAWING_DIGITS);
    json_decref(shot);
}

void ex_log_diverged(ex_log *l, const ex_epoch *e, const ex_figures *f, const char *why)
{
    ex_figures none = *f;

    for (int i = 0; i < EX_MOST_METRICS; i++)
        none.z[i] = none.h[i] = NAN;
    none.knn = none.linear = none.online = NAN;
    none.linear_bank = 0;
    ex_codes_none(&none.codes);
    none.judged.verdict = MET_DIVERGED;
    snprintf(none.judged.why, sizeof none.judged.why, "%s", why);
    add_line(l, metrics_line(l->run, e, &none));
}

/* ---- going on with an earlier run --------------------------------------------------
 */

static void keep_text(ex_text *t, const char *bytes, size_t n)
{
    char *text = malloc(n + 1);
    NN_NEED(text, "out of memory: %zu bytes of log", n);
    memcpy(text, bytes, n);
    text[n] = 0;
    free(t->at);
    *t = (ex_text){ text, n, n + 1 };
}

int ex_log_restore(ex_log *l, const char *metrics, size_t metrics_bytes,
                   const char *snapshots, size_t snapshots_bytes, const char *started)
{
    const char *line = metrics, *end = metrics + metrics_bytes, *last = NULL;

    for (const char *next; line < end && (next = memchr(line, '\n', (size_t)(end - line)));
         line = next + 1)
        last = line;
    json_t *o = last && line == end
        ? json_loadb(last, (size_t)(end - last), 0, NULL) : NULL;
    if (!json_is_object(o)) {
        json_decref(o);
        return 0;
    }
    json_decref(l->last);
    l->last = o;
    keep_text(&l->metrics, metrics, metrics_bytes);
    keep_text(&l->snapshots, snapshots, snapshots_bytes);
    if (started)
        json_object_set_new(l->status, "started", words(started, "?"));
    return 1;
}

static double figure(const json_t *line, const char *key)
{
    const json_t *x = json_object_get(line, key);
    return json_is_number(x) ? json_number_value(x) : NAN;
}

/* The means over the parts, as the parts' own. */
static void recall_codes(const json_t *line, const ex_run *run, ex_code_figures *f)
{
    f->parts = run->codes.parts;
    for (int k = 0; k < f->parts; k++)
        for (int i = 0; i < ex_code_figure_count(); i++)
            *ex_code_figure_at(f, k, i) = figure(line, ex_code_figure_name(i));
    for (int i = 0; i < ex_image_figure_count(); i++)
        *ex_image_figure_at(&f->images, i) = figure(line, ex_image_figure_name(i));
    f->restarts = figure(line, "code/restarts");
}

void ex_log_recall(const ex_log *l, ex_figures *f)
{
    const json_t *line = l->last;
    const char *word = json_string_value(json_object_get(line, "verdict")),
               *why = json_string_value(json_object_get(line, "why"));
    struct { const char *key; int *at; } whole[] = {
        { "n", &f->n }, { "d", &f->d }, { "r", &f->r }, { "k", &f->k },
        { "knn_k", &f->knn_k }, { "bank", &f->bank },
        { "linear_bank", &f->linear_bank }
    };
    char name[64];

    for (size_t i = 0; i < NN_COUNT(whole); i++)
        *whole[i].at = (int)json_integer_value(json_object_get(line, whole[i].key));
    for (int i = 0; i < met_metric_count(); i++) {
        f->z[i] = figure(line, met_metric_at(i)->name);
        snprintf(name, sizeof name, "h/%s", met_metric_at(i)->name);
        f->h[i] = figure(line, name);
    }
    if (l->run->codes.parts)
        recall_codes(line, l->run, &f->codes);
    f->knn = figure(line, "eval/knn");
    f->linear = figure(line, "eval/linear");
    f->online = figure(line, "eval/online");
    for (met_verdict v = MET_HEALTHY; v <= MET_DIVERGED; v++)
        if (word && strcmp(word, met_verdict_word(v)) == 0)
            f->judged.verdict = v;
    snprintf(f->judged.why, sizeof f->judged.why, "%s", why ? why : "");
}

/* ---- files --------------------------------------------------------------------------
 */

nn_status ex_log_write_status(const ex_log *l, nn_err *err)
{
    char *text =
        json_dumps(l->status, JSON_INDENT(2) | JSON_REAL_PRECISION(FIGURE_DIGITS));
    NN_NEED(text, "status.json cannot be written as JSON");
    size_t bytes = strlen(text);
    text[bytes] = '\n';                         /* in place of the final zero */
    nn_status status = ex_file_put(l->folder->path, "status.json", text, bytes + 1, err);
    free(text);
    return status;
}

nn_status ex_log_write(const ex_log *l, nn_err *err)
{
    const char *path = l->folder->path;
    nn_arena own = {0};
    const char *yaml = ex_config_yaml(l->run->config, &own);

    nn_status status = ex_file_put(path, "config.yaml", yaml, strlen(yaml), err);
    if (status == NN_OK)
        status = ex_file_put(path, "metrics.jsonl", l->metrics.at, l->metrics.bytes, err);
    if (status == NN_OK)
        status = ex_file_put(path, "snapshots.jsonl", l->snapshots.at, l->snapshots.bytes,
                             err);
    if (status == NN_OK)
        status = ex_log_write_status(l, err);
    nn_arena_free(&own);
    return status;
}
