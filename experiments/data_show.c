#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/image.h"
#include "experiments/config_read.h"
#include "experiments/data_measure.h"
#include "experiments/data_task.h"

/* `fullrank data show`: a sheet of pictures.  A row is an image as it is, a gap, and its
 * views as a run makes them, then its local crops, or what single operations make of it.
 *
 *   +---------------------------+
 *   | image   view view view .. |     every picture enlarged by the same whole factor
 *   | image   view view view .. |
 *   +---------------------------+ */
enum {
    ROWS = 10, VIEWS = 8,               /* unless told */
    MOST_ROWS = 1000, MOST_VIEWS = 64,
    SEEN = 96,                          /* pixels that a small picture is enlarged to */
    LINE = 2, GAP = 10, MARGIN = 12,    /* pixels between pictures, before the views and
                                           around all */
    PAPER = 245,                        /* their grey */
    MOST_COLUMNS = MOST_VIEWS + DATA_MOST_LOCAL
};

/* An operation alone: always done, as strong as in the run, or as usual where the run
 * does not have it. */
typedef struct operation {
    const char *name;
    void (*set)(data_augment *a, const data_augment *run);
} operation;

typedef struct sheet {
    ex_data_task *t;
    int rows, columns;                  /* without the image itself */
    int locals;                         /* the last so many columns are local crops */
    int small;                          /* side of a local crop; 0: none */
    int factor, h, w, c;                /* of a picture, enlarged */
    data_augment made[MOST_COLUMNS];
    uint32_t epoch[MOST_COLUMNS];
    int view[MOST_COLUMNS];
    uint32_t *image;                    /* (rows) */
    data_picture all;
} sheet;

/* ---- operations alone ---- */

static void crop(data_augment *a, const data_augment *run)
{
    a->crop = 1;
    if (run->crop) {
        a->scale_min = run->scale_min;
        a->scale_max = run->scale_max;
        a->ratio_min = run->ratio_min;
        a->ratio_max = run->ratio_max;
        a->interpolation = run->interpolation;
    }
}

static void flip(data_augment *a, const data_augment *run)
{
    (void)run;
    a->flip = 1;
}

/* The strengths of most papers where the run has none: SimSiam's. */
static void jitter(data_augment *a, const data_augment *run)
{
    const int own = run->jitter > 0;
    a->jitter = 1;
    a->brightness = own ? run->brightness : 0.4;
    a->contrast = own ? run->contrast : 0.4;
    a->saturation = own ? run->saturation : 0.4;
    a->hue = own ? run->hue : 0.1;
}

static void grey(data_augment *a, const data_augment *run)
{
    (void)run;
    a->grey = 1;
}

static void blur(data_augment *a, const data_augment *run)
{
    a->blur = a->blur2 = 1;
    if (run->blur > 0 || run->blur2 > 0) {
        a->sigma_min = run->sigma_min;
        a->sigma_max = run->sigma_max;
    }
}

static void solarize(data_augment *a, const data_augment *run)
{
    (void)run;
    a->solarize = a->solarize2 = 1;
}

static const operation operations[] = {
    { "crop", crop }, { "flip", flip }, { "jitter", jitter }, { "grey", grey },
    { "blur", blur }, { "solarize", solarize }
};

static data_augment alone(const operation *o, const data_augment *run)
{
    data_augment a;

    nn_setting_defaults(data_augment_table, &a);        /* nothing is done */
    o->set(&a, run);
    return a;
}

/* ---- the command line ---- */

static nn_status number_of(const char *option, const char *text, int most, int *out,
                           nn_err *err)
{
    const nn_setting s = { option, NN_INT, 0, 0, 1, most, NULL, NULL };
    char full[32];

    if (!text)
        return NN_OK;
    snprintf(full, sizeof full, "--%s", option);
    return ex_set_value(&s, out, text, "command line", full, err);
}

static nn_status no_operation(const char *name, nn_err *err)
{
    const char *known[NN_COUNT(operations) + 2] = { "all" };
    char w[64], hint[96];

    for (size_t i = 0; i < NN_COUNT(operations); i++)
        known[i + 1] = operations[i].name;
    ex_meant(nn_nearest(name, known), hint, sizeof hint);
    return nn_fail(err, NN_ECONFIG, "command line: no operation '%s'%s",
                   ex_quoted(name, w, sizeof w), hint[0] ? hint :
                   "; there are crop, flip, jitter, grey, blur, solarize and all");
}

/* Column by column: with what settings, of which epoch, which view. */
static nn_status plan(sheet *s, nn_err *err)
{
    ex_data_task *t = s->t;
    const char *name = t->o->operation;
    const operation *one = NULL;
    const int all = name && strcmp(name, "all") == 0;

    for (size_t i = 0; name && i < NN_COUNT(operations); i++)
        if (strcmp(operations[i].name, name) == 0)
            one = &operations[i];
    if (name && !one && !all)
        return no_operation(name, err);
    if (all && t->o->views)
        return nn_fail(err, NN_ECONFIG, "command line: --operation all has one column for"
                       " each; leave --views out");
    s->rows = ROWS;
    s->columns = VIEWS;
    NN_TRY(number_of("images", t->o->images, MOST_ROWS, &s->rows, err));
    NN_TRY(number_of("views", t->o->views, MOST_VIEWS, &s->columns, err));
    if (all)
        s->columns = (int)NN_COUNT(operations);
    s->locals = name ? 0 : t->augment.local_crops;
    for (int j = 0; j < s->columns; j++) {
        s->made[j] = all ? alone(&operations[j], &t->augment)
                         : one ? alone(one, &t->augment) : t->augment;
        s->epoch[j] = all ? 0 : (uint32_t)(j / t->views);
        s->view[j] = all ? 0 : j % t->views;
    }
    return NN_OK;
}

/* ---- which images ---- */

/* Classes in turns, each from its first image on; a class that has no more is passed
 * over, and images without a label come in as they lie. */
static void choose(sheet *s)
{
    const data_images *d = &s->t->part[EX_TRAIN];
    const int labelled = d->n - d->unlabelled, classes = labelled ? d->classes : 1;

    if (s->rows > (labelled ? labelled : d->n))
        s->rows = labelled ? labelled : d->n;
    s->image = NN_NEW(&s->t->own, uint32_t, s->rows + 1);
    int *next = NN_NEW0(&s->t->own, int, classes);
    for (int n = 0, k = 0; n < s->rows; k = (k + 1) % classes) {
        int i = next[k];
        while (labelled && i < labelled && d->label[i] != k)
            i++;
        if (labelled && i == labelled) {
            next[k] = i;
            continue;
        }
        s->image[n++] = (uint32_t)i;
        next[k] = i + 1;
    }
}

/* ---- drawing ---- */

static uint8_t byte_of(double x)
{
    return x <= 0 ? 0 : x >= 1 ? 255 : (uint8_t)(x * 255 + 0.5);
}

/* h x w pixels, enlarged.  What is handed out is normalised; a picture is not. */
static void put(sheet *s, const float *x, int h, int w, int top, int left)
{
    const data_images *d = &s->t->part[EX_TRAIN];

    for (int y = 0; y < h * s->factor; y++)
        for (int z = 0; z < w * s->factor; z++) {
            const size_t from = ((size_t)(y / s->factor) * (size_t)w
                                 + (size_t)(z / s->factor)) * (size_t)d->c;
            const size_t to = ((size_t)(top + y) * (size_t)s->all.w + (size_t)(left + z))
                              * (size_t)d->c;
            for (int j = 0; j < d->c; j++)
                s->all.pixel[to + (size_t)j] =
                    byte_of((double)x[from + (size_t)j] * (double)data_std_of(d, j)
                            + (double)data_mean_of(d, j));
        }
}

/* Where column j begins; local crops have a gap before them, too. */
static int left_of(const sheet *s, int j)
{
    const int views = s->columns - s->locals, left = MARGIN + s->w + GAP;

    if (!s->locals || j < views)
        return left + j * (s->w + LINE);
    return left + views * (s->w + LINE) + GAP
           + (j - views) * (s->small * s->factor + LINE);
}

static void measure_sheet(sheet *s)
{
    const data_images *d = &s->t->part[EX_TRAIN];
    const int side = d->h > d->w ? d->h : d->w;

    s->small = s->locals ? data_local_side(&s->t->augment, d) : 0;
    s->columns += s->locals;
    s->factor = side < SEEN ? (SEEN + side - 1) / side : 1;
    s->h = (d->h > s->small ? d->h : s->small) * s->factor;
    s->w = d->w * s->factor;
    s->all.c = d->c;
    s->all.h = 2 * MARGIN + s->rows * (s->h + LINE) - LINE;
    s->all.w = left_of(s, s->columns) - LINE + MARGIN;
}

/* Column j of image i. */
static void draw_column(sheet *s, int i, int j, float *x, void *work, int top)
{
    const ex_data_task *t = s->t;
    const data_images *d = &t->part[EX_TRAIN];
    const int left = left_of(s, j), local = j - (s->columns - s->locals);

    if (local >= 0) {
        data_augment_local(&t->augment, d, i, local, t->seed, 0, x, work);
        put(s, x, s->small, s->small, top, left);
    } else {
        data_augment_view(&s->made[j], d, i, s->view[j], t->seed, s->epoch[j], x, work);
        put(s, x, d->h, d->w, top, left);
    }
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void draw(sheet *s)
{
    ex_data_task *t = s->t;
    const data_images *d = &t->part[EX_TRAIN];
    const size_t side = (size_t)s->small;
    float *x = NN_NEW(&t->own, float,
                      larger((size_t)d->h * (size_t)d->w, side * side) * (size_t)d->c);
    void *work = nn_arena_alloc(&t->own, larger(data_augment_space(d),
                                                data_local_space(&t->augment, d)));

    memset(s->all.pixel, PAPER, (size_t)s->all.h * (size_t)s->all.w * (size_t)s->all.c);
    for (int i = 0; i < s->rows; i++) {
        const int top = MARGIN + i * (s->h + LINE), at = (int)s->image[i];
        data_plain(d, NULL, at, 1, x);
        put(s, x, d->h, d->w, top, MARGIN);
        for (int j = 0; j < s->columns; j++)
            draw_column(s, at, j, x, work, top);
    }
}

/* ---- what is what ---- */

/* "crop=true, scale_min=0.2, ...": rows whose value is not that of doing nothing. */
static void tell_settings(const data_augment *a, FILE *out)
{
    data_augment none;
    char here[64], there[64];
    int told = 0;

    nn_setting_defaults(data_augment_table, &none);
    for (const nn_setting *r = data_augment_table + 1; r->name; r++) {
        ex_value_text(r, a, here, sizeof here);
        ex_value_text(r, &none, there, sizeof there);
        if (strcmp(here, there) != 0)
            fprintf(out, "%s%s=%s", told++ ? " " : "", r->name, here);
    }
    fprintf(out, "%s\n", told ? "" : "nothing is changed");
}

static void tell(const sheet *s, FILE *out)
{
    const ex_data_task *t = s->t;
    const char *name = t->o->operation;
    char recipe[64], label[64];

    fprintf(out, "%s: %d x %d pixels\n", t->o->output, s->all.w, s->all.h);
    fprintf(out, "rows     %d training images of %s, enlarged %d times:", s->rows,
            t->source->name, s->factor);
    for (int i = 0; i < s->rows; i++) {
        const data_images *d = &t->part[EX_TRAIN];
        const int at = (int)s->image[i];
        fprintf(out, "%s %d %s", i ? "," : "", at, ex_data_labelled(d, at)
                ? ex_data_class(d, d->label[at], label, sizeof label) : "(no label)");
    }
    fputc('\n', out);
    if (name && strcmp(name, "all") == 0) {
        fputs("columns  the image;", out);
        for (int j = 0; j < s->columns; j++)
            fprintf(out, "%s %s", j ? "," : "", operations[j].name);
        fputs(" alone\n", out);
        for (int j = 0; j < s->columns; j++) {
            fprintf(out, "%-8s ", operations[j].name);
            tell_settings(&s->made[j], out);
        }
        return;
    }
    const int views = s->columns - s->locals;
    fprintf(out, "columns  the image; %s%sviews 1 to %d of epoch%s 0",
            name ? name : "", name ? " alone in " : "",
            views < t->views ? views : t->views, views > t->views ? "s" : "");
    if (views > t->views)
        fprintf(out, " to %u", s->epoch[views - 1]);
    if (s->locals)
        fprintf(out, "; local crops 1 to %d of epoch 0", s->locals);
    fprintf(out, ", seed %llu\n", (unsigned long long)t->seed);
    nn_setting_word(data_augment_table[0].words, t->augment.recipe, recipe,
                    sizeof recipe);
    fprintf(out, "%-8s ", name ? name : recipe);
    tell_settings(&s->made[0], out);
}

/* A file is named at once, not after a minute of reading. */
static nn_status check_name(const char *file, nn_err *err)
{
    const size_t n = strlen(file);

    if (n > 4 && strcmp(file + n - 4, ".png") == 0)
        return NN_OK;
    return nn_fail(err, NN_ECONFIG, "command line: -o %.300s: a sheet is a PNG; give it a"
                   " name that ends in .png", file);
}

nn_status ex_data_show(ex_data_task *t, FILE *out, nn_err *err)
{
    sheet *s = NN_NEW0(&t->own, sheet, 1);

    s->t = t;
    NN_TRY(check_name(t->o->output, err));
    NN_TRY(plan(s, err));
    NN_TRY(ex_data_read(t, err));
    if (t->part[EX_TRAIN].value)
        return nn_fail(err, NN_ECONFIG, "data set %s: its images are %d numbers each, not"
                       " pictures; there is nothing to show", t->source->name,
                       (int)data_raw_count(&t->part[EX_TRAIN]));
    NN_TRY(data_view_size(&t->part[EX_TRAIN], t->augment.size, &t->own, err));
    choose(s);
    measure_sheet(s);
    if ((long long)s->all.h * s->all.w > DATA_PICTURE_PIXELS)
        return nn_fail(err, NN_ECONFIG, "command line: a sheet of %d x %d pixels is too"
                       " large; lower --images or --views", s->all.w, s->all.h);
    s->all.pixel = NN_NEW(&t->own, uint8_t, (size_t)s->all.h * (size_t)s->all.w
                          * (size_t)s->all.c);
    draw(s);
    ex_data_hold();
    nn_status status = data_picture_write(t->o->output, &s->all, err);
    ex_data_let_go();
    if (status == NN_OK)
        tell(s, out);
    return status;
}
