#include "experiments/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "experiments/progress.h"
#include "experiments/settings.h"
#include "experiments/version.h"

/* Writing takes at most half a percent of the time between two checkpoints (less than one
 * percent was asked for).  The faster of the last two counts, so that one stalled disk or
 * a stopped process is no reason to wait, and however slow it is there is one an hour. */
static const double least_share = 200, longest_pause = 3600;

/* The log inside a checkpoint. */
static const char metrics_name[] = "run.metrics.jsonl",
                  snapshots_name[] = "run.snapshots.jsonl";

/* ---- what is saved ----------------------------------------------------------------- */

ex_saver ex_saver_new(ex_run *run)
{
    nn_arena *a = &run->forever;
    int buffers = opt_buffer_count(run->opt);
    ex_saver s = { .list = NN_NEW0(a, ex_tensor, run->store.count + buffers + 2) };
    size_t most = 0;

    for (int i = 0; i < run->store.count; i++) {
        const nn_param *p = run->store.list[i];
        s.list[s.count++] = ex_tensor_of(p->name, &p->shape, p->val);
    }
    for (int i = 0; i < buffers; i++) {
        opt_buffer b = opt_buffer_at(run->opt, i);
        char *name = NN_NEW(a, char, strlen(b.name) + sizeof "optim.");
        sprintf(name, "optim.%s", b.name);
        s.list[s.count++] = ex_tensor_of(name, &b.param->shape, b.val);
    }
    for (int i = 0; i < s.count; i++)
        if (s.list[i].turned && s.list[i].bytes > most)
            most = s.list[i].bytes;
    s.room = nn_arena_alloc(a, most);
    return s;
}

static ex_tensor text_of(const char *name, const ex_text *t)
{
    return (ex_tensor){ .name = name, .dtype = EX_U8, .rank = 1, .dim = { t->bytes },
                        .bytes = t->bytes, .data = t->at };
}

/* ---- metadata: words and texts, as the layout wants it ----------------------------- */

static void put(json_t *o, const char *word, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void put(json_t *o, const char *word, const char *format, ...)
{
    char text[96];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    json_object_set_new(o, word, json_string(text));
}

static const struct number {
    const char *word;
    size_t at;
    int whole;
} numbers[] = {
    { "epoch", offsetof(ex_place, epoch), 1 },
    { "step", offsetof(ex_place, step), 1 },
    { "loss_sum", offsetof(ex_place, loss_sum), 0 },
    { "lr", offsetof(ex_place, lr), 0 },
    { "alignment", offsetof(ex_place, alignment), 0 },
    { "epoch_seconds", offsetof(ex_place, epoch_seconds), 0 },
    { "seconds", offsetof(ex_place, seconds), 0 },
    { "collapsed", offsetof(ex_place, collapsed), 1 },
    { "resumed", offsetof(ex_place, resumed), 1 },
    { "raw_pixel_knn", offsetof(ex_place, base.raw_pixel_knn), 0 },
    { "untrained_knn", offsetof(ex_place, base.untrained_knn), 0 },
    { "raw_pixel_linear", offsetof(ex_place, base.raw_pixel_linear), 0 },
    { "untrained_linear", offsetof(ex_place, base.untrained_linear), 0 },
    { "untrained_erank", offsetof(ex_place, untrained_erank), 0 },
};

static json_t *metadata_of(const ex_run *run, const ex_log *log, const ex_place *place)
{
    nn_arena own = {0};
    json_t *o = json_object();

    put(o, "format", "pt");                     /* what loaders of other frameworks ask */
    put(o, "fullrank", "%s", EX_VERSION);
    put(o, "bits", "%d", NN_BITS);
    put(o, "seed", "%d", run->config->top.seed);
    put(o, "steps", "%d", run->steps);
    put(o, "epochs", "%d", run->config->top.epochs);
    put(o, "data.train", "%016" PRIx64, run->train_print);
    put(o, "data.test", "%016" PRIx64, run->test_print);
    for (size_t i = 0; i < NN_COUNT(numbers); i++) {
        const char *field = (const char *)place + numbers[i].at;
        if (numbers[i].whole)
            put(o, numbers[i].word, "%d", *(const int *)(const void *)field);
        else                                    /* 17 digits give a double back exactly */
            put(o, numbers[i].word, "%.17g", *(const double *)(const void *)field);
    }
    for (int i = 0; i < place->term_sums.count; i++) {      /* "term0": "12.5 variance" */
        char word[16];
        snprintf(word, sizeof word, "term%d", i);
        put(o, word, "%.17g %s", place->term_sums.list[i].value,
            place->term_sums.list[i].name);
    }
    json_object_set(o, "started", json_object_get(log->status, "started"));
    json_object_set_new(o, "settings", json_string(ex_config_lines(run->config, &own)));
    nn_arena_free(&own);
    return o;
}

/* 1: the terms' sums, as many as there are; 0: one is not a number and a name. */
static int terms_from(const ex_tensors *f, ex_terms *sums)
{
    for (int i = 0; i < SSL_MAX_TERMS; i++) {
        char word[16], *end;
        snprintf(word, sizeof word, "term%d", i);
        const char *text = ex_tensors_word(f, word);
        if (!text)
            break;
        sums->list[i].value = strtod(text, &end);
        if (end == text || *end != ' ' || !end[1] || strlen(end + 1) >= EX_TERM_NAME)
            return 0;
        strcpy(sums->list[i].name, end + 1);
        sums->count = i + 1;
    }
    return 1;
}

/* NULL, or the word that is missing or no number. */
static const char *place_from(const ex_tensors *f, ex_place *place)
{
    if (!terms_from(f, &place->term_sums))
        return "term";
    for (size_t i = 0; i < NN_COUNT(numbers); i++) {
        const char *text = ex_tensors_word(f, numbers[i].word);
        char *end = NULL, *field = (char *)place + numbers[i].at;
        double x = text ? strtod(text, &end) : 0;
        if (!text || end == text || *end
            || (numbers[i].whole && !(x >= 0 && x <= INT_MAX)))
            return numbers[i].word;
        if (numbers[i].whole)
            *(int *)(void *)field = (int)x;
        else
            *(double *)(void *)field = x;
    }
    return NULL;
}

/* ---- saving ------------------------------------------------------------------------ */

int ex_saver_due(const ex_saver *s, double within)
{
    return ex_seconds() + within >= s->due;
}

/* Sets when the next one is due. */
static void wait(ex_saver *s, const ex_run *run)
{
    double pause = run->config->checkpoint.seconds;
    double rest = least_share * (s->took[0] < s->took[1] ? s->took[0] : s->took[1]);

    if (rest > longest_pause)
        rest = longest_pause;
    s->due = pause > 0 ? ex_seconds() + (pause > rest ? pause : rest) : 0;
}

nn_status ex_saver_save(ex_saver *s, const ex_run *run, const ex_folder *folder,
                        const ex_log *log, const ex_place *place, nn_err *err)
{
    double from = ex_seconds();
    char at[128] = "";
    nn_err why = {0};

    s->list[s->count] = text_of(metrics_name, &log->metrics);
    s->list[s->count + 1] = text_of(snapshots_name, &log->snapshots);
    json_t *metadata = metadata_of(run, log, place);
    nn_status status = ex_safetensors_write(folder->checkpoints, EX_LAST,
                                            s->whole ? EX_PREV : NULL, s->list,
                                            s->count + 2, metadata, s->room, &why);
    json_decref(metadata);
    if (status != NN_OK) {
        if (s->any)
            snprintf(at, sizeof at, "; the checkpoint before it stands: epoch %d, step %d"
                     " (--resume goes on there)", s->saved.epoch + 1, s->saved.step);
        return nn_fail(err, status, "%s%s", why.text, at);
    }
    s->whole = s->any = 1;
    s->saved = *place;
    double took = ex_seconds() - from;
    s->times++;
    s->spent += took;
    s->took[1] = s->took[0];
    s->took[0] = took;
    wait(s, run);
    return NN_OK;
}

/* ---- whose it is ------------------------------------------------------------------- */

/* Is this the checkpoint of this very run? */
static nn_status belongs(const ex_run *run, const ex_tensors *f, const char *path,
                         nn_err *err)
{
    const ex_config *c = run->config;
    const char *bits = ex_tensors_word(f, "bits"), *seed = ex_tensors_word(f, "seed"),
               *train = ex_tensors_word(f, "data.train"),
               *test = ex_tensors_word(f, "data.test");
    char list[3000] = "", fingerprint[2][20];
    ex_words w = { .at = list, .size = sizeof list };

    if (!bits || atoi(bits) != NN_BITS)
        return nn_fail(err, NN_ECHECKPOINT, "%s: was written by fullrank %s, whose results"
                       " have other bits (format %s; here it is %d): go on with that"
                       " version, or run without --resume to start over", path,
                       ex_tensors_word(f, "fullrank") ? ex_tensors_word(f, "fullrank")
                                                      : "?",
                       bits ? bits : "?", NN_BITS);
    if (!seed || atoi(seed) != c->top.seed)
        ex_say(&w, "seed = %s there, %d here", seed ? seed : "none", c->top.seed);
    if (!ex_settings_same(c, ex_tensors_word(f, "settings"), &w))
        return nn_fail(err, NN_ECONFIG, "%s: was written with other settings: %s; make them"
                       " equal, or run without --resume to start over", path, list);
    snprintf(fingerprint[0], sizeof *fingerprint, "%016" PRIx64, run->train_print);
    snprintf(fingerprint[1], sizeof *fingerprint, "%016" PRIx64, run->test_print);
    if (!train || !test || strcmp(train, fingerprint[0]) != 0
        || strcmp(test, fingerprint[1]) != 0)
        return nn_fail(err, NN_EDATA, "%s: was written with other data: fingerprints of"
                       " training and held-out images %s and %s there, %s and %s here;"
                       " bring the old %s back, or run without --resume to start over",
                       path, train ? train : "none", test ? test : "none",
                       fingerprint[0], fingerprint[1], c->source->name);
    return NN_OK;
}

/* ---- loading ----------------------------------------------------------------------- */

/* Names in the file, strictly: the saver's tensors and the two logs, all of them, no
 * other, of the same shapes. */
static nn_status fits(const ex_saver *s, const ex_tensors *f, const char *path, nn_err *err)
{
    char list[3000] = "", a[128], b[128];
    ex_words w = { .at = list, .size = sizeof list };

    for (int i = 0; i < s->count; i++) {
        const ex_tensor *t = ex_tensors_find(f, s->list[i].name);
        const char *comma = w.count ? ", " : "";
        if (!t)
            ex_say(&w, "%s%s is missing", comma, s->list[i].name);
        else if (!ex_tensor_same(t, &s->list[i]))
            ex_say(&w, "%s%s is %s and should be %s", comma, t->name,
                ex_tensor_text(t, a, sizeof a), ex_tensor_text(&s->list[i], b, sizeof b));
    }
    for (int i = 0; i < f->count; i++) {
        int known = strcmp(f->list[i].name, metrics_name) == 0
            || strcmp(f->list[i].name, snapshots_name) == 0;
        for (int k = 0; k < s->count && !known; k++)
            known = strcmp(f->list[i].name, s->list[k].name) == 0;
        if (!known)
            ex_say(&w, "%s%s is not known", w.count ? ", " : "", f->list[i].name);
    }
    if (!ex_tensors_find(f, metrics_name) || !ex_tensors_find(f, snapshots_name))
        ex_say(&w, "%sthe log is missing", w.count ? ", " : "");
    ex_say_rest(&w);
    if (w.count)
        return nn_fail(err, NN_ECHECKPOINT, "%s: does not fit the network: %s", path, list);
    return NN_OK;
}

static nn_status take_all(ex_saver *s, const ex_tensors *f, const char *path, ex_log *log,
                          ex_place *place, nn_err *err)
{
    int epochs = log->run->config->top.epochs, steps = log->run->steps;
    const ex_tensor *metrics = ex_tensors_find(f, metrics_name),
                    *snapshots = ex_tensors_find(f, snapshots_name);
    ex_place found = {0};
    const char *wrong = place_from(f, &found);

    if (wrong)
        return nn_fail(err, NN_ECHECKPOINT, "%s: does not tell its '%s'", path, wrong);
    if (found.epoch > epochs || found.step > steps
        || (found.epoch == epochs && found.step > 0))
        return nn_fail(err, NN_ECHECKPOINT, "%s: stands in epoch %d, step %d, of %d epochs"
                       " of %d steps", path, found.epoch + 1, found.step, epochs, steps);
    NN_TRY(fits(s, f, path, err));
    if (!ex_log_restore(log, metrics->data, metrics->bytes, snapshots->data,
                        snapshots->bytes, ex_tensors_word(f, "started")))
        return nn_fail(err, NN_ECHECKPOINT, "%s: its log is not one JSON object a line",
                       path);
    for (int i = 0; i < s->count; i++)
        ex_tensor_take(ex_tensors_find(f, s->list[i].name), &s->list[i], s->room);
    *place = found;
    return NN_OK;
}

/* Reads one of the two.  NN_ECHECKPOINT: damaged, so that the other may serve; *there = 0:
 * it does not exist. */
static nn_status read_one(const ex_folder *folder, const char *name, ex_tensors *f,
                          char *path, size_t size, int *there, nn_err *err)
{
    snprintf(path, size, "%s/%s", folder->checkpoints, name);
    *there = faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
    if (!*there)
        return NN_OK;
    NN_TRY(ex_tensors_read(f, path, err));
    if (!f->checked)
        return nn_fail(err, NN_ECHECKPOINT, "%s: carries no SHA-256 of its own, so it is"
                       " damaged or of another program", path);
    return NN_OK;
}

nn_status ex_saver_load(ex_saver *s, ex_run *run, const ex_folder *folder, ex_log *log,
                        ex_place *place, nn_err *note, nn_err *err)
{
    static const char *const name[] = { EX_LAST, EX_PREV };
    char path[1200];
    nn_err why[2] = {0};
    int there[2], from = -1;
    ex_tensors f = {0};
    nn_status status = NN_OK;

    place->epoch = -1;
    for (int i = 0; i < 2 && from < 0; i++) {
        status = read_one(folder, name[i], &f, path, sizeof path, &there[i], &why[i]);
        if (status == NN_OK && there[i])
            from = i;
        else
            ex_tensors_free(&f);
        if (status != NN_OK && status != NN_ECHECKPOINT) {
            *err = why[i];
            return status;
        }
    }
    if (from < 0 && !there[0] && !there[1])
        return NN_OK;
    if (from < 0)
        return nn_fail(err, NN_ECHECKPOINT, "%s%s%s: no checkpoint to go on from; run"
                       " without --resume to start over", why[0].text,
                       why[0].text[0] && why[1].text[0] ? "; " : "", why[1].text);
    if (from == 1 && there[0])
        nn_fail(note, NN_OK, "%s; going on from %s, the one before it", why[0].text,
                EX_PREV);
    status = belongs(run, &f, path, err);
    if (status == NN_OK)
        status = take_all(s, &f, path, log, place, err);
    ex_tensors_free(&f);
    if (status != NN_OK)
        return status;
    s->whole = from == 0;
    s->any = 1;
    s->saved = *place;
    wait(s, run);
    place->resumed++;
    return NN_OK;
}

/* ---- looking ----------------------------------------------------------------------- */

/* The mean loss that the newest line of the log tells; 0 for the untrained network. */
static double logged_loss(const ex_tensors *f, const char *name)
{
    const ex_tensor *log = ex_tensors_find(f, name);
    const char *text = log ? log->data : NULL, *end = text + (log ? log->bytes : 0),
               *from = end;

    if (!text || end == text)
        return 0;
    for (from = end - 1; from > text && from[-1] != '\n'; from--)
        ;
    json_t *line = json_loadb(from, (size_t)(end - from), 0, NULL);
    const json_t *loss = json_object_get(line, "loss");
    double x = json_is_number(loss) ? json_number_value(loss) : 0;
    json_decref(line);
    return x;
}

/* Settings of the checkpoint without section `init`, which only says where weights began,
 * and whose file need not be there any more. */
static void compare_settings(const ex_run *run, const char *there, char *out, size_t size)
{
    ex_words w = { .at = out, .size = size };
    char *text = calloc(strlen(there) + 1, 1), *to = text;

    NN_NEED(text, "out of memory: settings of a checkpoint");
    for (const char *l = there, *next; *l; l = next) {
        size_t line = strcspn(l, "\n");
        line += l[line] == '\n';
        next = l + line;
        if (strncmp(l, "init.", 5) != 0)
            to = mempcpy(to, l, line);
    }
    ex_settings_same(run->config, text, &w);
    free(text);
}

static int is_fingerprint(const ex_tensors *f, const char *word, uint64_t print)
{
    const char *text = ex_tensors_word(f, word);
    char want[20];
    snprintf(want, sizeof want, "%016" PRIx64, print);
    return text && strcmp(text, want) == 0;
}

/* Every tensor of the network, and none that is neither its nor a run's own. */
static nn_status take_network(ex_run *run, const ex_tensors *f, const char *path,
                              nn_err *err)
{
    const nn_store *store = &run->store;
    char list[3000] = "", a[128], b[128];
    ex_words w = { .at = list, .size = sizeof list };
    size_t most = 0;

    for (int i = 0; i < store->count; i++) {
        const nn_param *p = store->list[i];
        ex_tensor want = ex_tensor_of(p->name, &p->shape, p->val);
        const ex_tensor *t = ex_tensors_find(f, p->name);
        const char *comma = w.count ? ", " : "";
        most = want.bytes > most ? want.bytes : most;
        if (!t)
            ex_say(&w, "%s%s is missing", comma, p->name);
        else if (!ex_tensor_same(t, &want))
            ex_say(&w, "%s%s is %s and should be %s", comma, p->name,
                   ex_tensor_text(t, a, sizeof a), ex_tensor_text(&want, b, sizeof b));
    }
    for (int i = 0; i < f->count; i++) {
        const char *name = f->list[i].name;
        if (strncmp(name, "optim.", 6) != 0 && strncmp(name, "run.", 4) != 0
            && !nn_store_find(store, name))
            ex_say(&w, "%s%s is not known", w.count ? ", " : "", name);
    }
    ex_say_rest(&w);
    if (w.count)
        return nn_fail(err, NN_ECHECKPOINT, "%s: does not fit the network of the run's"
                       " config.yaml: %s", path, list);
    size_t mark = nn_arena_mark(&run->scratch);
    float *room = nn_arena_alloc(&run->scratch, most);
    for (int i = 0; i < store->count; i++) {
        const nn_param *p = store->list[i];
        ex_tensor to = ex_tensor_of(p->name, &p->shape, p->val);
        ex_tensor_take(ex_tensors_find(f, p->name), &to, room);
    }
    nn_arena_rewind(&run->scratch, mark);
    return NN_OK;
}

nn_status ex_checkpoint_look(ex_run *run, const char *path, ex_seen *seen, nn_err *err)
{
    ex_tensors f;

    *seen = (ex_seen){0};
    nn_status status = ex_tensors_read(&f, path, err);
    const char *wrong = status == NN_OK ? place_from(&f, &seen->at) : NULL,
               *settings = ex_tensors_word(&f, "settings"),
               *bits = ex_tensors_word(&f, "bits");
    if (status == NN_OK && !f.checked)
        status = nn_fail(err, NN_ECHECKPOINT, "%s: carries no SHA-256 of its own, so it"
                         " is damaged or of another program", path);
    else if (wrong)
        status = nn_fail(err, NN_ECHECKPOINT, "%s: does not tell its '%s'", path, wrong);
    if (status == NN_OK)
        status = take_network(run, &f, path, err);
    if (status == NN_OK) {
        seen->loss = seen->at.step ? seen->at.loss_sum / seen->at.step
                                   : logged_loss(&f, metrics_name);
        seen->bits = bits ? atoi(bits) : 0;
        seen->other_data = !is_fingerprint(&f, "data.train", run->train_print)
                           || !is_fingerprint(&f, "data.test", run->test_print);
        compare_settings(run, settings ? settings : "", seen->differs,
                         sizeof seen->differs);
    }
    ex_tensors_free(&f);
    return status;
}
