#include "experiments/loss.h"

#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "experiments/config.h"
#include "experiments/config_read.h"
#include "experiments/npy.h"
#include "ssl/objective.h"

/* Well within what the operators take: uniformity counts up to 2^24 rows, NT-Xent stacks
 * the views; the width is that of the methods' proj_dim. */
enum { MOST_ROWS = 1 << 20, MOST_COLS = 65536 };

/* Epochs of a run whose warm-ups (start_epoch goes to 100000) are all long over. */
enum { LONG_AGO = 1000000 };

enum { MOST_FILES = 2 * SSL_MAX_VIEWS };

/* The clock; keys that no method may have. */
typedef struct clock_settings { int epoch, epochs; } clock_settings;

static const nn_setting clock_table[] = {
    NN_SET_I(clock_settings, epoch, LONG_AGO, 0, LONG_AGO, "finished epochs"),
    NN_SET_I(clock_settings, epochs, LONG_AGO, 1, LONG_AGO, "epochs of the run"),
    NN_SET_END
};

/* What is asked for: one of method and addon. */
typedef struct task {
    const ssl_method *method;
    const ssl_addon *addon;
    char name[64];                      /* "vicreg", or "add.vicreg" */
    const nn_setting *table;
    void *config;
    clock_settings clock;
    int views, files;
    const char *file[MOST_FILES];
    ex_npy x[MOST_FILES];               /* predictions of all views, if given, then z */
    const float *grad[MOST_FILES];      /* NULL: zeros */
    nn_arena own;                       /* settings and files */
    double loss;
    ssl_terms terms;
} task;

/* ---- what is asked for ------------------------------------------------------------ */

static nn_status find(task *t, const char *name, nn_err *err)
{
    static const nn_setting none[] = { NN_SET_END };
    const int methods = ssl_method_count(), addons = ssl_addon_count();
    const char **known = NN_NEW(&t->own, const char *, methods + 2 * addons + 1);
    char w[64], hint[96], added[64];
    int n = 0;

    if (strncmp(name, "add.", 4) != 0)
        t->method = ssl_method_find(name);
    if (!t->method)
        t->addon = ssl_addon_find(strncmp(name, "add.", 4) == 0 ? name + 4 : name);
    if (t->method || t->addon) {
        const nn_setting *table = t->method ? t->method->settings : t->addon->settings;
        t->table = table ? table : none;
        t->config = nn_arena_zero(&t->own, t->method ? t->method->config_size
                                                     : t->addon->config_size);
        nn_setting_defaults(t->table, t->config);
        nn_setting_defaults(clock_table, &t->clock);
        snprintf(t->name, sizeof t->name, "%s%s", t->method ? "" : "add.",
                 t->method ? t->method->name : t->addon->name);
        return NN_OK;
    }
    for (int i = 0; i < methods; i++)
        known[n++] = ssl_method_at(i)->name;
    for (int i = 0; i < addons; i++) {
        known[n++] = ssl_addon_at(i)->name;
        snprintf(added, sizeof added, "add.%s", ssl_addon_at(i)->name);
        known[n++] = nn_arena_copy(&t->own, added);
    }
    known[n] = NULL;
    const char *near = nn_nearest(name, known);
    return nn_fail(err, NN_ECONFIG, "command line: no method or regulariser '%s'%s",
                   ex_quoted(name, w, sizeof w), near ? ex_meant(near, hint, sizeof hint)
                   : "; 'fullrank list methods' and 'list addons' name them");
}

static int is_setting(const char *word)
{
    size_t n = strlen(word);
    return strchr(word, '=') && (n < 4 || strcmp(word + n - 4, ".npy") != 0);
}

static nn_status set(task *t, const char *pair, nn_err *err)
{
    enum { MOST = 64 };
    const char *known[MOST + 3], *equals = strchr(pair, '=');
    char w[64], hint[96];
    char *key = nn_arena_copy(&t->own, pair);
    int n = 0;

    key[equals - pair] = 0;
    int row = ex_find_row(t->table, key), time = ex_find_row(clock_table, key);
    if (row >= 0)
        return ex_set_value(&t->table[row], t->config, nn_arena_copy(&t->own, equals + 1),
                            "command line", key, err);
    if (time >= 0)
        return ex_set_value(&clock_table[time], &t->clock, equals + 1, "command line",
                            key, err);
    while (n < MOST && t->table[n].name) {
        known[n] = t->table[n].name;
        n++;
    }
    known[n++] = "epoch";
    known[n++] = "epochs";
    known[n] = NULL;
    return nn_fail(err, NN_ECONFIG, "command line: no setting '%s' in %s%s",
                   ex_quoted(key, w, sizeof w), t->name,
                   nn_nearest(key, known)
                       ? ex_meant(nn_nearest(key, known), hint, sizeof hint)
                       : "; 'fullrank help config' lists them");
}

/* As many files as there are views (z, which is its own prediction); twice as many where
 * predictions are given, too. */
static nn_status count_files(task *t, nn_err *err)
{
    const int predicts = t->method && t->method->predict;

    t->views = t->method ? ssl_view_count(t->method, t->config)
                         : ssl_addon_views(t->addon, t->config);
    if (t->addon && t->files == 2)      /* one that reads the first alone */
        t->views = 2;
    if (t->files == t->views || (predicts && t->files == 2 * t->views))
        return NN_OK;
    if (predicts)
        return nn_fail(err, NN_ECONFIG, "command line: %s wants %d files (z of each view,"
                       " which is its own prediction) or %d (p of each view, then z), not"
                       " %d", t->name, t->views, 2 * t->views, t->files);
    return nn_fail(err, NN_ECONFIG, "command line: %s wants %d file%s (z of each view),"
                   " not %d", t->name, t->views, t->views == 1 ? "" : "s", t->files);
}

static nn_status understand(task *t, const ex_loss_options *o, nn_err *err)
{
    NN_TRY(find(t, o->word[0], err));
    if (t->method && t->method->decodes)
        return nn_fail(err, NN_ECONFIG, "command line: the loss of %s is one of images, which"
                       " embeddings do not tell; 'fullrank quantise' has the figures of"
                       " its codes", t->name);
    for (int i = 1; i < o->words; i++)
        if (is_setting(o->word[i]))
            NN_TRY(set(t, o->word[i], err));
        else if (t->files < MOST_FILES)
            t->file[t->files++] = o->word[i];
        else
            return nn_fail(err, NN_ECONFIG, "command line: more than %d files",
                           MOST_FILES);
    if (t->clock.epoch > t->clock.epochs && t->clock.epoch != LONG_AGO)
        return nn_fail(err, NN_ECONFIG, "command line: epoch = %d, but epochs = %d",
                       t->clock.epoch, t->clock.epochs);
    if (t->clock.epoch > t->clock.epochs)
        t->clock.epoch = t->clock.epochs;
    return count_files(t, err);
}

static nn_status read_files(task *t, nn_err *err)
{
    for (int i = 0; i < t->files; i++) {
        ex_npy *x = &t->x[i];
        NN_TRY(ex_npy_read(t->file[i], &t->own, x, err));
        if (x->rows < 2 || x->cols < 1 || x->rows > MOST_ROWS || x->cols > MOST_COLS)
            return nn_fail(err, NN_EDATA, "%s: %d rows of %d numbers; a batch has 2 to %d"
                           " rows of 1 to %d", t->file[i], x->rows, x->cols, MOST_ROWS,
                           MOST_COLS);
        if (t->method && x->cols < t->method->least_d)
            return nn_fail(err, NN_EDATA, "%s: rows of %d number%s, but %s wants at least"
                           " %d", t->file[i], x->cols, x->cols == 1 ? "" : "s", t->name,
                           t->method->least_d);
        if (x->rows != t->x[0].rows || x->cols != t->x[0].cols)
            return nn_fail(err, NN_EDATA, "%s: is of shape (%d, %d), but %s of (%d, %d)",
                           t->file[i], x->rows, x->cols, t->file[0], t->x[0].rows,
                           t->x[0].cols);
        const size_t n = (size_t)x->rows * (size_t)x->cols;
        const size_t bad = nn_bad_among(x->val, n).first;
        if (bad < n)
            return nn_fail(err, NN_EDATA, "%s: row %zu, column %zu (counted from 0) is %s"
                           " as float32; a loss wants finite numbers", t->file[i],
                           bad / (size_t)x->cols, bad % (size_t)x->cols,
                           isnan(x->val[bad]) ? "nan" : x->val[bad] > 0 ? "inf" : "-inf");
    }
    return NN_OK;
}

/* ---- loss and gradient ------------------------------------------------------------ */

/* Everything the loss may ask for, from the files: h and z are the same, and so are the
 * momentum target's, which have no gradient. */
static ssl_views views_of(task *t, nn_tape *tape, int wants, nn_node *in[])
{
    const nn_shape shape = nn_shape2(t->x[0].rows, t->x[0].cols);
    const int given = t->files == 2 * t->views, from = given ? t->views : 0;
    const int target = t->method && ssl_has_target(t->method, t->config);
    ssl_views v = { .count = t->views, .terms = &t->terms };

    v.clock = (ssl_clock){ t->clock.epoch, t->clock.epochs, t->clock.epoch,
                           t->clock.epochs };
    for (int i = 0; i < t->files; i++)
        in[i] = nn_input(tape, shape, t->x[i].val, wants);
    for (int k = 0; k < t->views; k++) {
        v.h[k] = v.z[k] = in[from + k];
        v.p[k] = in[k];
        if (target)
            v.th[k] = v.tz[k] = nn_input(tape, shape, t->x[from + k].val, 0);
    }
    return v;
}

static nn_status finite_gradient(const task *t, int i, nn_err *err)
{
    const size_t n = (size_t)t->x[i].rows * (size_t)t->x[i].cols;
    const size_t bad = t->grad[i] ? nn_bad_among(t->grad[i], n).first : n;

    if (bad == n)
        return NN_OK;
    return nn_fail(err, NN_EDIVERGED, "%s: the gradient is not finite in row %zu, column"
                   " %zu (counted from 0)", t->file[i], bad / (size_t)t->x[i].cols,
                   bad % (size_t)t->x[i].cols);
}

static nn_status write_gradients(const task *t, const char *prefix, nn_err *err)
{
    const size_t n = (size_t)t->x[0].rows * (size_t)t->x[0].cols;
    nn_arena own = {0};
    float *zero = NN_NEW0(&own, float, n);
    char *file = NN_NEW(&own, char, strlen(prefix) + 16);
    nn_status status = NN_OK;

    for (int i = 0; i < t->files && status == NN_OK; i++) {
        ex_npy g = { t->x[i].rows, t->x[i].cols, zero };
        if (t->grad[i])
            memcpy(g.val, t->grad[i], n * sizeof *g.val);
        else
            memset(g.val, 0, n * sizeof *g.val);
        sprintf(file, "%s_%d.npy", prefix, i);
        status = ex_npy_write(file, &g, err);
    }
    nn_arena_free(&own);
    return status;
}

static nn_status compute(task *t, const char *grad, nn_tape *tape, nn_err *err)
{
    nn_node *in[MOST_FILES];
    const ssl_views v = views_of(t, tape, grad != NULL, in);
    nn_node *loss = t->method ? t->method->loss(tape, t->config, &v)
                              : t->addon->loss(tape, t->config, &v);

    t->loss = loss ? (double)nn_item(loss) : 0;
    if (!isfinite(t->loss))
        return nn_fail(err, NN_EDIVERGED, "the loss of %s is %s", t->name,
                       isnan(t->loss) ? "nan" : t->loss > 0 ? "inf" : "-inf");
    if (!grad)
        return NN_OK;
    if (loss)
        nn_backward(loss);
    for (int i = 0; i < t->files; i++)
        t->grad[i] = in[i]->grad;
    for (int i = 0; i < t->files; i++)
        NN_TRY(finite_gradient(t, i, err));
    return write_gradients(t, grad, err);
}

/* ---- telling ---------------------------------------------------------------------- */

static json_t *settings(const task *t)
{
    json_t *o = json_object();
    for (const nn_setting *s = t->table; s->name; s++) {
        const char *field = (const char *)t->config + s->at;
        char text[4096];
        ex_value_text(s, t->config, text, sizeof text);
        json_object_set_new(o, s->name,
            s->kind == NN_BOOL ? json_boolean(*(const int *)(const void *)field)
            : s->kind == NN_INT ? json_integer(*(const int *)(const void *)field)
            : s->kind == NN_FLOAT ? json_real(*(const double *)(const void *)field)
            : json_string(text));
    }
    return o;
}

static void tell_json(const task *t, FILE *out)
{
    json_t *terms = json_object();

    for (int i = 0; i < t->terms.count; i++)
        json_object_set_new(terms, t->terms.list[i].name,
                            json_real(t->terms.list[i].value));
    json_t *o = json_pack("{s:s, s:f, s:o, s:i, s:i, s:i, s:i, s:i, s:o}", "method",
                          t->name, "loss", t->loss, "terms", terms, "n", t->x[0].rows, "d",
                          t->x[0].cols, "views", t->views, "epoch", t->clock.epoch,
                          "epochs", t->clock.epochs, "settings", settings(t));
    NN_NEED(o, "loss: out of memory, or a setting that is not UTF-8");
    json_dumpf(o, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(o);
}

/* Nine digits tell every float32 from its neighbours. */
static void tell(const task *t, const char *grad, FILE *out)
{
    fprintf(out, "%s of %d view%s, N = %d, d = %d\n", t->name, t->views,
            t->views == 1 ? "" : "s", t->x[0].rows, t->x[0].cols);
    fprintf(out, "loss               %.9g\n", t->loss);
    for (int i = 0; i < t->terms.count; i++)
        fprintf(out, "  %-16s %.9g\n", t->terms.list[i].name, t->terms.list[i].value);
    for (int i = 0; grad && i < t->files; i++)
        fprintf(out, "gradient           %s_%d.npy of %s\n", grad, i, t->file[i]);
}

nn_status ex_loss(const ex_loss_options *o, FILE *out, nn_err *err)
{
    nn_arena step = {0}, scratch = {0};
    nn_tape tape;
    task t = { .views = 0 };

    signal(SIGXFSZ, SIG_IGN);           /* a limit on file sizes is an error of writing */
    nn_tape_start(&tape, &step, &scratch);
    nn_status status = understand(&t, o, err);
    if (status == NN_OK)
        status = read_files(&t, err);
    if (status == NN_OK)
        status = compute(&t, o->grad, &tape, err);
    if (status == NN_OK && o->json)
        tell_json(&t, out);
    else if (status == NN_OK)
        tell(&t, o->grad, out);
    nn_tape_free(&tape);
    nn_arena_free(&step);
    nn_arena_free(&scratch);
    nn_arena_free(&t.own);
    return status;
}
