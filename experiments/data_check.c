#include <ftw.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "data/files.h"
#include "data/image.h"
#include "data/places.h"
#include "experiments/data_measure.h"
#include "experiments/data_task.h"
#include "experiments/progress.h"
#include "experiments/survey.h"

/* `fullrank data check`: what a set holds, and what is odd about it. */
enum {
    CLASSES = 20,                       /* told in the table; --json has all */
    CELLS = 10,                         /* of a bar, as in the table of a run */
    NOTES = 32, MOST_FILES = 64,
    UNREADABLE = 100                    /* told by name; the rest is counted */
};

/* A mean or deviation further from the set's than a byte's step: the sets' are published
 * with four digits, and other figures than these shift every input of the network. */
static const double near_enough = 1.0 / 255;

typedef struct file_figures {
    const data_file *file;
    char path[DATA_PATH], md5[33];
    long long bytes;
    const char *verdict;                /* "as published" ... */
} file_figures;

typedef struct check {
    ex_data_task *t;
    char where[DATA_PATH];              /* "": built in, or nowhere */
    int here;
    file_figures *file; int files;
    char *bad[UNREADABLE]; int unreadable;
    ex_data_figures figures; int measured;
    uint64_t print[EX_PARTS];
    char *note[NOTES]; int notes;
} check;

static const char *const part_name[] = { "train", "test" };
static const char *const copies_name[] = { "train", "test", "across" };

static void __attribute__((format(printf, 2, 3)))
add_note(check *c, const char *format, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (c->notes < NOTES)
        c->note[c->notes++] = nn_arena_copy(&c->t->own, text);
}

/* ---- files ---- */

static void look_at(check *c, const data_file *f)
{
    file_figures *g = &c->file[c->files++];
    struct stat st;
    int plain;

    *g = (file_figures){ .file = f, .bytes = -1, .verdict = "missing" };
    if (!ex_data_file(c->where, f, g->path, &plain))
        return;
    g->bytes = stat(g->path, &st) == 0 ? (long long)st.st_size : -1;
    if (!ex_data_md5(g->path, g->md5))
        g->verdict = "cannot be read";
    else if (plain)
        g->verdict = "unpacked";
    else if (f->md5)
        g->verdict = strcmp(g->md5, f->md5) == 0 ? "as published" : "differs";
    else
        g->verdict = f->bytes && f->bytes != g->bytes ? "differs" : "no sum published";
}

static void look_at_files(check *c)
{
    int differ = 0, packed = 0, n = 0;

    for (const data_file *f = c->t->source->files; f && f->name; f++)
        n++;
    c->file = NN_NEW0(&c->t->own, file_figures, n + 1);
    for (const data_file *f = c->t->source->files; c->here && f && f->name; f++)
        look_at(c, f);
    for (int i = 0; i < c->files; i++)
        if (strcmp(c->file[i].verdict, "differs") == 0) {
            const char *name = c->file[i].file->name;
            differ++;
            packed += strlen(name) > 3 && strcmp(name + strlen(name) - 3, ".gz") == 0;
        }
    if (differ)
        add_note(c, "%d of %d files are not the published bytes%s", differ, c->files,
                 packed == differ ? "; the same contents packed anew (as Debian does) are"
                                    " other bytes, and in order" : "");
}

/* nftw hands nothing through. */
static check *walking;

/* Pictures are decoded one by one: a reader stops at the first that is broken, or skips
 * them without a name.  Names that begin with a dot are passed over and links are followed,
 * as it does (data/walk.h). */
static int try_picture(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    check *c = walking;
    data_picture p;
    nn_err why = {0};

    (void)at;
    if (kind == FTW_D || !data_picture_suffix(path) || strstr(path + strlen(c->where), "/.")
        || (kind == FTW_F && !S_ISREG(st->st_mode)))
        return 0;
    if (data_picture_read(path, 3, &p, &why) != NN_OK) {
        if (c->unreadable < UNREADABLE)
            c->bad[c->unreadable] = nn_arena_copy(&c->t->own, why.text);
        c->unreadable++;
        return 0;
    }
    data_picture_free(&p);
    return 0;
}

static void try_pictures(check *c)
{
    enum { OPEN = 16 };                 /* folders at once */
    struct stat st;

    if (c->t->source->files || !c->where[0] || stat(c->where, &st) != 0
        || !S_ISDIR(st.st_mode))
        return;
    walking = c;
    nftw(c->where, try_picture, OPEN, 0);
}

/* ---- what is odd ---- */

static void note_classes(check *c, int k)
{
    const data_images *d = &c->t->part[k];
    const ex_part_figures *f = &c->figures.part[k];
    char name[64];

    for (int i = 0, told = 0; i < d->classes && d->n > d->unlabelled; i++)
        if (!f->count[i] && told++ < EX_NAMED)
            add_note(c, "%s: no image of class %s", part_name[k],
                     ex_data_class(d, i, name, sizeof name));
    if (f->constant)
        add_note(c, "%s: %d images of one colour, the first is %d", part_name[k],
                 f->constant, f->constant_at[0]);
}

static void note_mean(check *c)
{
    const data_images *d = &c->t->part[EX_TRAIN];
    const ex_part_figures *f = &c->figures.part[EX_TRAIN];
    const data_settings *s = &c->t->data;
    const double scale = d->value ? f->std[0] : 1;
    int far = 0;

    for (int j = 0; j < ex_data_channels(d); j++)
        far |= !(fabs(f->mean[j] - (double)data_mean_of(d, j)) <= near_enough * scale
                 && fabs(f->std[j] - (double)data_std_of(d, j)) <= near_enough * scale);
    if (far && s->normalise && !s->symmetric)
        add_note(c, "mean or deviation of the training images is not what the set is"
                 " normalised with%s", s->limit ? "; data.limit may be why" : "");
}

static void note_copies(check *c)
{
    static const char *const what[] = {
        "training images are copies of earlier ones",
        "test images are copies of earlier ones",
        "test images are training images"
    };
    for (int k = 0; k < EX_COPIES; k++) {
        const ex_copies *s = &c->figures.copies[k];
        if (s->count)
            add_note(c, "%d %s%s", s->count, what[k],
                     k == EX_ACROSS ? ": what is measured on them is not held out" : "");
        if (s->other_label)
            add_note(c, "%d of these %d have another label", s->other_label, s->count);
    }
}

static nn_status wrong_numbers(const check *c, nn_err *err)
{
    for (int k = 0; k < EX_PARTS; k++) {
        const ex_part_figures *f = &c->figures.part[k];
        if (f->broken)
            return nn_fail(err, NN_EDATA, "data set %s: %d %s rows hold a number that is"
                           " not finite, the first is %d; replace the file",
                           c->t->source->name, f->broken, part_name[k], f->broken_at[0]);
    }
    return NN_OK;
}

static nn_status unreadable(const check *c, nn_err *err)
{
    return nn_fail(err, NN_EDATA, "%.300s: %d pictures cannot be read; replace or remove"
                   " them", c->where, c->unreadable);
}

static nn_status measure(check *c, nn_err *err)
{
    ex_data_task *t = c->t;

    c->here = ex_data_here(t->source, &t->data, c->where, sizeof c->where);
    look_at_files(c);
    nn_status status = ex_data_read(t, err);
    if (status == NN_OK || status == NN_EDATA)
        try_pictures(c);
    NN_TRY(status);
    ex_data_measure(&t->part[EX_TRAIN], &t->part[EX_TEST], &t->own, &c->figures);
    for (int k = 0; k < EX_PARTS; k++)
        c->print[k] = data_fingerprint(&t->part[k]);
    c->measured = 1;
    note_mean(c);
    note_copies(c);
    for (int k = 0; k < EX_PARTS; k++)
        note_classes(c, k);
    NN_TRY(wrong_numbers(c, err));
    return c->unreadable ? unreadable(c, err) : NN_OK;
}

/* ---- telling: text ---- */

static void tell_part(const check *c, int k, FILE *out)
{
    const data_images *d = &c->t->part[k];
    char unlabelled[64] = "", factors[64] = "";

    if (d->unlabelled)
        snprintf(unlabelled, sizeof unlabelled, ", %d without a label", d->unlabelled);
    if (d->factors)
        snprintf(factors, sizeof factors, ", %d factors", d->factors);
    fprintf(out, "%-12s  %d x %d x %d x %d%s%s, fingerprint %016" PRIx64 "\n",
            part_name[k], d->n, d->h, d->w, d->c, unlabelled, factors, c->print[k]);
}

static double share(int count, int all)
{
    return all ? 100.0 * count / all : 0;
}

static void tell_classes(const check *c, FILE *out)
{
    const data_images *d = c->t->part;
    const ex_part_figures *f = c->figures.part;
    const int blocks = ex_has_blocks(out);
    const int told = d->classes > CLASSES ? CLASSES : d->classes;
    char name[64], bar[3 * CELLS + 1];

    if (d[EX_TRAIN].n == d[EX_TRAIN].unlabelled && d[EX_TEST].n == d[EX_TEST].unlabelled)
        return;
    fprintf(out, "\n%-18s %27s %28s\n", "class", "train", "test");
    for (int i = 0; i < told; i++) {
        fprintf(out, "%-18.18s", ex_data_class(d, i, name, sizeof name));
        for (int k = 0; k < EX_PARTS; k++) {
            const int n = f[k].count[i], all = d[k].n - d[k].unlabelled;
            fprintf(out, " %8d %5.1f %% %s%s", n, share(n, all),
                    ex_gauge(blocks, f[k].most ? (double)n / f[k].most : 0, CELLS, bar),
                    k == EX_TRAIN ? " " : "");
        }
        fputc('\n', out);
    }
    if (told < d->classes)
        fprintf(out, "and %d more; all classes have %d to %d training and %d to %d test"
                " images (--json lists them)\n", d->classes - told, f[EX_TRAIN].least,
                f[EX_TRAIN].most, f[EX_TEST].least, f[EX_TEST].most);
}

static void tell_channels(const check *c, FILE *out)
{
    const data_images *d = &c->t->part[EX_TRAIN];
    const ex_part_figures *f = &c->figures.part[EX_TRAIN];

    fprintf(out, "\n%-12s %9s %9s   %s\n", "channel", "mean", "std", "normalised with");
    for (int j = 0; j < ex_data_channels(d); j++)
        fprintf(out, "%-12s %9.4f %9.4f %9.4f %9.4f\n", ex_data_channel(d, j), f->mean[j],
                f->std[j], (double)data_mean_of(d, j), (double)data_std_of(d, j));
}

static void tell_copies(const check *c, FILE *out)
{
    static const char *const what[] = { "in train", "in test", "train = test" };

    fprintf(out, "\n%-12s %9s   first pairs\n", "copies", "images");
    for (int k = 0; k < EX_COPIES; k++) {
        const ex_copies *s = &c->figures.copies[k];
        fprintf(out, "%-12s %9d  ", what[k], s->count);
        for (int i = 0; i < s->count && i < EX_NAMED; i++)
            fprintf(out, "%s %d = %d", i ? "," : "", s->at[i][0], s->at[i][1]);
        fprintf(out, "%s\n", s->count > EX_NAMED ? ", ..." : s->count ? "" : " -");
    }
}

static void tell_files(const check *c, FILE *out)
{
    if (c->files)
        fprintf(out, "\n%-30s %12s  %-32s  %s\n", "file", "bytes", "md5", "published");
    for (int i = 0; i < c->files; i++) {
        const file_figures *g = &c->file[i];
        fprintf(out, "%-30s ", g->file->name);
        if (g->bytes >= 0)
            fprintf(out, "%12lld", g->bytes);
        else
            fprintf(out, "%12s", "-");
        fprintf(out, "  %-32s  %s\n", g->md5[0] ? g->md5 : "-", g->verdict);
    }
    if (c->unreadable)
        fprintf(out, "\ncannot be read: %d pictures\n", c->unreadable);
    for (int i = 0; i < c->unreadable && i < UNREADABLE; i++)
        fprintf(out, "  %s\n", c->bad[i]);
    if (c->unreadable > UNREADABLE)
        fprintf(out, "  and %d more\n", c->unreadable - UNREADABLE);
}

static void tell(const check *c, FILE *out)
{
    const data_source *d = c->t->source;

    fprintf(out, "%-12s  %s\n", d->name, d->about);
    fprintf(out, "%-12s  %s\n", "where", !c->here ? "not here" : c->where[0] ? c->where
                                                                         : "built in");
    if (c->measured) {
        for (int k = 0; k < EX_PARTS; k++)
            tell_part(c, k, out);
        tell_classes(c, out);
        tell_channels(c, out);
        tell_copies(c, out);
    }
    tell_files(c, out);
    for (int i = 0; i < c->notes; i++)
        fprintf(out, "%snote: %s\n", i ? "" : "\n", c->note[i]);
}

/* ---- telling: JSON ---- */

static json_t *numbers(const double *x, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(list, ex_json_number(x[i]));
    return list;
}

static json_t *indices(const int *at, int count)
{
    json_t *list = json_array();
    for (int i = 0; i < count && i < EX_NAMED; i++)
        json_array_append_new(list, json_integer(at[i]));
    return list;
}

static json_t *part_object(const check *c, int k)
{
    const data_images *d = &c->t->part[k];
    const ex_part_figures *f = &c->figures.part[k];
    json_t *classes = json_array();
    double used[2][3];
    char text[64];

    for (int i = 0; i < d->classes; i++)
        json_array_append_new(classes, json_pack("{s:s, s:i}", "name",
            ex_data_class(d, i, text, sizeof text), "images", f->count[i]));
    for (int j = 0; j < ex_data_channels(d); j++) {
        used[0][j] = (double)data_mean_of(d, j);
        used[1][j] = (double)data_std_of(d, j);
    }
    const int channels = ex_data_channels(d);
    snprintf(text, sizeof text, "%016" PRIx64, c->print[k]);
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:o, s:o, s:o, s:o, s:o, s:i,"
                     " s:o, s:i, s:o}", "images", d->n, "h", d->h, "w", d->w, "c", d->c,
                     "unlabelled", d->unlabelled, "factors", d->factors, "fingerprint",
                     text, "classes", classes, "mean", numbers(f->mean, channels), "std",
                     numbers(f->std, channels), "normalised_mean",
                     numbers(used[0], channels), "normalised_std",
                     numbers(used[1], channels), "constant", f->constant,
                     "constant_first", indices(f->constant_at, f->constant),
                     "not_finite", f->broken, "not_finite_first",
                     indices(f->broken_at, f->broken));
}

static json_t *copies_object(const check *c)
{
    json_t *o = json_object();
    for (int k = 0; k < EX_COPIES; k++) {
        const ex_copies *s = &c->figures.copies[k];
        json_t *pairs = json_array();
        for (int i = 0; i < s->count && i < EX_NAMED; i++)
            json_array_append_new(pairs, json_pack("[i, i]", s->at[i][0], s->at[i][1]));
        json_object_set_new(o, copies_name[k], json_pack("{s:i, s:i, s:o}", "images",
            s->count, "other_label", s->other_label, "pairs", pairs));
    }
    return o;
}

static json_t *texts(check *c, char *const *text, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(list,
                              json_string(data_readable(text[i], &c->t->own)));
    return list;
}

static void tell_json(check *c, nn_status status, const char *message, FILE *out)
{
    json_t *files = json_array();

    for (int i = 0; i < c->files; i++) {
        const file_figures *g = &c->file[i];
        json_array_append_new(files, json_pack("{s:s, s:o, s:o, s:s}", "name",
            g->file->name, "bytes", g->bytes < 0 ? json_null() : json_integer(g->bytes),
            "md5", g->md5[0] ? json_string(g->md5) : json_null(), "verdict", g->verdict));
    }
    json_t *o = json_pack("{s:i, s:s, s:s, s:b, s:s, s:o, s:i, s:o, s:o}", "exit",
        (int)status, "message", data_readable(message, &c->t->own), "set",
        c->t->source->name, "here", c->here, "where",
        data_readable(c->where, &c->t->own), "files", files, "unreadable", c->unreadable,
        "unreadable_files", texts(c, c->bad, c->unreadable < UNREADABLE ? c->unreadable
                                                                        : UNREADABLE),
        "notes", texts(c, c->note, c->notes));
    NN_NEED(o, "data check: out of memory");
    if (c->measured) {
        for (int k = 0; k < EX_PARTS; k++)
            json_object_set_new(o, part_name[k], part_object(c, k));
        json_object_set_new(o, "copies", copies_object(c));
    }
    json_dumpf(o, out, JSON_INDENT(2) | JSON_REAL_PRECISION(10));
    fputc('\n', out);
    json_decref(o);
}

nn_status ex_data_check(ex_data_task *t, FILE *out, nn_err *err)
{
    check *c = NN_NEW0(&t->own, check, 1);

    c->t = t;
    nn_status status = measure(c, err);
    if (t->o->json)
        tell_json(c, status, err->text, out);
    else if (status == NN_OK || status == NN_EDATA)
        tell(c, out);
    return status;
}
