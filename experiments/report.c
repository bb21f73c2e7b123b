/* The report: run folders in, one HTML page and one terminal table out. */

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "experiments/report.h"
#include "experiments/report_read.h"

/* The page's parts, put into the program by `ld -r -b binary` (see the Makefile). */
#define PART(name) \
    extern const char _binary_##name##_start[], _binary_##name##_end[]
PART(page_html);
PART(page_css);
PART(page_js);
PART(chart_min_js);

enum {
    SHOTS = 41,             /* epochs of maps a page carries per run: more is not seen, and
                               41 divides runs of 40, 80, 200, 400 epochs evenly */
    BARS = 256,             /* points of one spectrum: finer than its line on a screen */
    LABEL = 48,             /* longest name of a run, in characters */
    WIDE = 3                /* up to so many runs stand side by side in the table */
};

/* sqrt(d)*std under this is a complete collapse: the rule of metrics/verdict.c (S1). */
static const double COLLAPSE_STD = 0.35;

typedef struct report {
    int runs;
    ex_record *rec;         /* [runs] */
    char (*label)[4 * LABEL];
} report;

/* ---- what both outputs read ---------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

static double number_of(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static const json_t *last_row(const ex_record *r)
{
    size_t n = json_array_size(r->rows);
    return n ? json_array_get(r->rows, n - 1) : NULL;
}

/* Characters of UTF-8 text. */
static int width_of(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += (*text & 0xc0) != 0x80;
    return n;
}

/* Copies text for a terminal: control characters (which could drive it) become '?', and
 * what is longer than `most` characters ends in "..." there. */
static void plain(char *out, size_t size, const char *text, int most)
{
    int chars = 0, cut = width_of(text) > most;
    size_t n = 0;

    for (const unsigned char *p = (const unsigned char *)text; *p && n + 4 < size; p++) {
        int inside = (*p & 0xc0) == 0x80;           /* a later byte of a UTF-8 character */
        int control = *p < 32 || *p == 127 || (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0);
        if (!inside && chars++ == most - 3 * cut)
            break;
        if (control && *p == 0xc2)
            p++;
        out[n++] = control ? '?' : (char)*p;
    }
    strcpy(out + n, cut ? "..." : "");
}

static int label_taken(const report *p, int before, const char *label)
{
    for (int i = 0; i < before; i++)
        if (strcmp(p->label[i], label) == 0)
            return 1;
    return 0;
}

/* A short name for every run, no two alike: the run's own label, or its method; then with
 * the seed where several share it; then with a number. */
static void name_runs(report *p)
{
    for (int i = 0; i < p->runs; i++) {
        const json_t *s = p->rec[i].status;
        const char *own = text_of(s, "label");
        char first[4 * LABEL], seeded[4 * LABEL + 24];
        int shared = 0;

        own = *own ? own : text_of(s, "method");
        for (int j = 0; j < p->runs; j++) {
            const json_t *t = p->rec[j].status;
            const char *other = text_of(t, "label");
            shared |= j != i && strcmp(own, *other ? other : text_of(t, "method")) == 0;
        }
        plain(first, sizeof first, own, LABEL - 12);
        if (shared)
            snprintf(seeded, sizeof seeded, "%s, seed %.0f", first, number_of(s, "seed"));
        plain(p->label[i], sizeof p->label[i], shared ? seeded : first, LABEL);
        for (int k = 2; label_taken(p, i, p->label[i]); k++)
            snprintf(p->label[i], sizeof p->label[i], "%.120s (%d)",
                     shared ? seeded : first, k);
    }
}

/* What the numbers of a run say beside its verdict. */
static void add_notes(ex_record *r)
{
    const json_t *last = last_row(r);
    const char *state = text_of(r->status, "state"), *message = text_of(r->status, "message");
    double epoch = number_of(last, "epoch"), epochs = number_of(r->status, "epochs");
    double knn = number_of(last, "eval/knn");
    double untrained = number_of(json_object_get(r->status, "baseline"), "untrained_knn");

    if (strcmp(state, "finished") == 0 && epoch < epochs)
        ex_record_note(r, "the run says it has finished %.0f epochs, but its metrics end at "
                       "epoch %.0f", epochs, epoch);
    else if (strcmp(state, "running") == 0)
        ex_record_note(r, "not finished: still training, or killed without a chance to say so");
    else if (strcmp(state, "finished") != 0)
        ex_record_note(r, "%s%s%s", state, *message ? ": " : "", message);
    if (epoch > 0 && knn < untrained)
        ex_record_note(r, "kNN of h, %.1f %%, is below the %.1f %% of the untrained network: "
                       "training has not improved the features", 100 * knn, 100 * untrained);
}

/* ---- the data of the page ------------------------------------------------------------ */

static json_t *safe_text(const char *text)
{
    json_t *v = json_string(text);
    if (v)
        return v;
    char copy[1024];                                /* a path need not be UTF-8 */
    snprintf(copy, sizeof copy, "%s", text);
    for (char *c = copy; *c; c++)
        if (*c & 0x80)
            *c = '?';
    return json_string(copy);
}

/* The rows turned into columns: {"epoch": [0, 1, ...], "loss": [null, -0.6, ...], ...}. */
static json_t *columns_of(const json_t *rows)
{
    json_t *columns = json_object(), *row, *x;
    const char *key;
    size_t i, j;

    json_array_foreach(rows, i, row)
        json_object_foreach(row, key, x)
            if (!json_object_get(columns, key))
                json_object_set_new(columns, key, json_array());
    json_object_foreach(columns, key, x)
        json_array_foreach(rows, j, row) {
            json_t *v = json_object_get(row, key);
            json_array_append(x, v ? v : json_null());
        }
    return columns;
}

/* Element `i` of `count` spread evenly over `all`, both ends included. */
static size_t spread(size_t i, size_t count, size_t all)
{
    return count < 2 ? 0 : (i * (all - 1) + (count - 1) / 2) / (count - 1);
}

/* Four digits are more than a line on a screen shows. */
static json_t *spectrum_of(const json_t *all)
{
    size_t n = json_array_size(all), keep = n < BARS ? n : BARS;
    json_t *out = json_array();

    for (size_t i = 0; i < keep; i++) {
        const json_t *v = json_array_get(all, keep < n ? spread(i, keep, n) : i);
        char text[32];
        snprintf(text, sizeof text, "%.4g", json_number_value(v));
        json_array_append_new(out, json_is_number(v) ? json_real(strtod(text, NULL))
                                                     : json_null());
    }
    return out;
}

/* Map points in ten-thousandths, as integers: a third of the bytes, finer than a pixel. */
static json_t *map_of(const json_t *map)
{
    json_t *out = json_array(), *v;
    size_t i;

    json_array_foreach(map, i, v) {
        double x = 1e4 * json_number_value(v);
        json_array_append_new(out, json_is_number(v) && fabs(x) < 1e9
                                   ? json_integer((json_int_t)lrint(x)) : json_null());
    }
    return out;
}

static json_t *shots_of(const json_t *shots)
{
    size_t n = json_array_size(shots), keep = n < SHOTS ? n : SHOTS;
    json_t *out = json_array();

    for (size_t i = 0; i < keep; i++) {
        json_t *s = json_array_get(shots, keep < n ? spread(i, keep, n) : i);
        json_t *share = json_object_get(s, "share"), *epoch = json_object_get(s, "epoch");
        const json_t *z = json_object_get(s, "spectrum_z");
        const json_t *h = json_object_get(s, "spectrum_h");
        json_array_append_new(out, json_pack("{sO sO? so so so sI sI}",
            "epoch", epoch, "share", share,
            "z", spectrum_of(z), "h", spectrum_of(h), "map", map_of(json_object_get(s, "map")),
            "zn", (json_int_t)json_array_size(z), "hn", (json_int_t)json_array_size(h)));
    }
    return out;
}

/* Runs on the same data share classes, labels and pairs: each set is stored once. */
static json_int_t set_index(json_t *sets, json_t *set)
{
    size_t i;
    json_t *have;

    if (!set)
        return -1;
    json_array_foreach(sets, i, have)
        if (json_equal(have, set))
            return (json_int_t)i;
    json_array_append(sets, set);
    return (json_int_t)json_array_size(sets) - 1;
}

static json_t *page_data(const report *p)
{
    json_t *runs = json_array(), *sets = json_array();

    for (int i = 0; i < p->runs; i++) {
        const ex_record *r = &p->rec[i];
        json_array_append_new(runs, json_pack("{so so sO sO so so sI sO sI}",
            "path", safe_text(r->path), "label", safe_text(p->label[i]),
            "status", r->status, "config", r->config, "curve", columns_of(r->rows),
            "shots", shots_of(r->shots),
            "evaluated", (json_int_t)json_array_size(r->shots), "notes", r->notes,
            "set", set_index(sets, r->set)));
    }
    return json_pack("{so so s{sf}}", "runs", runs, "sets", sets,
                     "limits", "collapse_std", COLLAPSE_STD);
}

/* JSON for a <script> element: '<', '>' and '&' only ever stand inside strings, and written
 * as escapes there they cannot end the element or open a comment. */
static void put_json(FILE *f, const json_t *data)
{
    char *text = json_dumps(data, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(6));
    NN_NEED(text, "the data of the report cannot be written as JSON");
    for (const char *c = text; *c; c++)
        if (*c == '<' || *c == '>' || *c == '&')
            fprintf(f, "\\u%04x", (unsigned)*c);
        else
            putc(*c, f);
    free(text);
}

/* ---- the terminal table -------------------------------------------------------------- */

enum { F_VERDICT, F_STATE, F_STD, F_ERANK, F_KNN, F_UNTRAINED, F_PIXELS, F_CHANCE, F_LOSS,
       F_EPOCH, F_NDK, F_BANK, FIELDS };

static const char *const field_name[FIELDS] = {
    "verdict", "state", "sqrt(d)*std of z", "effective rank of z", "kNN of h",
    "  untrained network", "  raw pixels", "  chance", "loss", "epoch", "n / d / k",
    "kNN k / bank",
};
static const char *const field_short[FIELDS] = {
    "verdict", "state", "std", "erank", "kNN", "untrained", "pixels", "chance", "loss",
    "epoch", "n/d/k", "kNN k/bank",
};

typedef struct cell { char text[4 * LABEL]; } cell;

static void put_number(cell *c, const char *format, double v)
{
    if (isnan(v))
        snprintf(c->text, sizeof c->text, "-");
    else
        snprintf(c->text, sizeof c->text, format, v);
}

static void put_counts(cell *c, const json_t *row, const char *const *key, int keys)
{
    char *at = c->text, *end = at + sizeof c->text;
    for (int i = 0; i < keys; i++) {
        double v = number_of(row, key[i]);
        at += isnan(v) ? snprintf(at, (size_t)(end - at), "%s-", i ? "/" : "")
                       : snprintf(at, (size_t)(end - at), "%s%.0f", i ? "/" : "", v);
    }
}

static void fill_cells(const ex_record *r, cell *c)
{
    static const char *const ndk[] = { "n", "d", "k" }, *const bank[] = { "knn_k", "bank" };
    const json_t *row = last_row(r), *base = json_object_get(r->status, "baseline");
    double erank = number_of(row, "collapse/erank"), d = number_of(row, "d");
    const char *verdict = text_of(row, "verdict");

    plain(c[F_VERDICT].text, sizeof c->text, *verdict ? verdict : "-", LABEL);
    plain(c[F_STATE].text, sizeof c->text, text_of(r->status, "state"), LABEL);
    put_number(&c[F_STD], "%.2f", number_of(row, "collapse/std"));
    if (isnan(erank) || isnan(d))
        put_number(&c[F_ERANK], "%.1f", erank);
    else
        snprintf(c[F_ERANK].text, sizeof c->text, "%.1f of %.0f", erank, d);
    put_number(&c[F_KNN], "%.1f %%", 100 * number_of(row, "eval/knn"));
    put_number(&c[F_UNTRAINED], "%.1f %%", 100 * number_of(base, "untrained_knn"));
    put_number(&c[F_PIXELS], "%.1f %%", 100 * number_of(base, "raw_pixel_knn"));
    put_number(&c[F_CHANCE], "%.1f %%", 100 * number_of(base, "chance"));
    put_number(&c[F_LOSS], "%.4g", number_of(row, "loss"));
    put_number(&c[F_EPOCH], "%.0f", number_of(row, "epoch"));
    double epochs = number_of(r->status, "epochs");
    if (!isnan(epochs)) {
        size_t n = strlen(c[F_EPOCH].text);
        snprintf(c[F_EPOCH].text + n, sizeof c->text - n, " of %.0f", epochs);
    }
    put_counts(&c[F_NDK], row, ndk, NN_COUNT(ndk));
    put_counts(&c[F_BANK], row, bank, NN_COUNT(bank));
}

/* The value all runs share as reference of the effective rank, or NaN. */
static double common_erank(const report *p)
{
    double all = number_of(json_object_get(p->rec[0].status, "reference"), "collapse/erank");
    for (int i = 1; i < p->runs; i++) {
        double v = number_of(json_object_get(p->rec[i].status, "reference"), "collapse/erank");
        if (!(fabs(v - all) < 0.05))                /* what one decimal place shows */
            return NAN;
    }
    return all;
}

static void fill_references(const report *p, cell *c)
{
    double erank = common_erank(p);
    for (int f = 0; f < FIELDS; f++)
        c[f].text[0] = 0;
    snprintf(c[F_STD].text, sizeof c->text, "1 isotropic, under %.2f collapsed", COLLAPSE_STD);
    if (!isnan(erank))
        snprintf(c[F_ERANK].text, sizeof c->text, "%.1f isotropic", erank);
}

/* A word's colour; its text says the same. */
static const char *colour_of(const char *verdict)
{
    return strcmp(verdict, "healthy") == 0 ? "\033[1;32m" :
           strncmp(verdict, "dimensional", 11) == 0 ? "\033[1;33m" :
           strcmp(verdict, "-") == 0 || strcmp(verdict, "untrained") == 0 ? "" : "\033[1;31m";
}

static void put_cell(FILE *f, const char *text, int width, int coloured)
{
    const char *on = coloured ? colour_of(text) : "";
    fprintf(f, "%s%s%s", on, text, *on ? "\033[0m" : "");
    for (int n = width_of(text); n < width; n++)
        putc(' ', f);
}

static int widest(const cell *c, int count, int step, int least)
{
    for (int i = 0; i < count; i++) {
        int w = width_of(c[(size_t)i * (size_t)step].text);
        least = w > least ? w : least;
    }
    return least;
}

/* Few runs: a column for each, so that values and references read across. */
static void table_across(FILE *f, const report *p, const cell *c, int shown, int colour)
{
    cell ref[FIELDS];
    int width[WIDE];

    fill_references(p, ref);
    for (int i = 0; i < p->runs; i++)
        width[i] = widest(c + i * FIELDS, FIELDS, 1, width_of(p->label[i]));

    fprintf(f, "%-21s", "");
    for (int i = 0; i < p->runs; i++) {
        fputs("  ", f);
        put_cell(f, p->label[i], width[i], 0);
    }
    fputs("  reference\n", f);
    for (int k = 0; k < FIELDS; k++) {
        if (!(shown >> k & 1))
            continue;
        fprintf(f, "%-21s", field_name[k]);
        for (int i = 0; i < p->runs; i++) {
            int last = i + 1 == p->runs && !*ref[k].text;
            fputs("  ", f);
            put_cell(f, c[i * FIELDS + k].text, last ? 0 : width[i], colour && k == F_VERDICT);
        }
        fprintf(f, "%s%s\n", *ref[k].text ? "  " : "", ref[k].text);
    }
}

/* Facts about data and measurement, which the runs of one experiment usually share. */
static int may_be_shared(int field)
{
    return field == F_PIXELS || field == F_CHANCE || field == F_NDK || field == F_BANK;
}

static int all_equal(const report *p, const cell *c)
{
    for (int i = 1; i < p->runs; i++)
        if (strcmp(c[0].text, c[i * FIELDS].text) != 0)
            return 0;
    return 1;
}

/* Many runs: a line for each, and what they share below. */
static void table_down(FILE *f, const report *p, const cell *c, int shown, int colour)
{
    int first = 3, last = 0;

    for (int i = 0; i < p->runs; i++)
        first = width_of(p->label[i]) > first ? width_of(p->label[i]) : first;
    for (int k = 0; k < FIELDS; k++) {
        if (shown >> k & 1 && may_be_shared(k) && all_equal(p, c + k))
            shown &= ~(1 << k);
        last = shown >> k & 1 ? k : last;
    }
    for (int i = -1; i < p->runs; i++) {
        put_cell(f, i < 0 ? "run" : p->label[i], first, 0);
        for (int k = 0; k < FIELDS; k++) {
            if (!(shown >> k & 1))
                continue;
            int w = widest(c + k, p->runs, FIELDS, width_of(field_short[k]));
            fputs("  ", f);
            put_cell(f, i < 0 ? field_short[k] : c[i * FIELDS + k].text, k == last ? 0 : w,
                     i >= 0 && colour && k == F_VERDICT);
        }
        putc('\n', f);
    }
    fprintf(f, "\nstd: sqrt(d)*std of z, 1 isotropic, under %.2f collapsed; erank: effective "
            "rank of z", COLLAPSE_STD);
    if (!isnan(common_erank(p)))
        fprintf(f, ", %.1f isotropic", common_erank(p));
    fputs("; kNN reads h.\n", f);
    for (int k = 0, any = 0; k < FIELDS; k++)
        if (may_be_shared(k) && all_equal(p, c + k)) {
            const char *name = field_name[k] + strspn(field_name[k], " ");
            fprintf(f, "%s%s %s", any++ ? ", " : "All runs: ", name, c[k].text);
            if (k == F_BANK)
                putc('\n', f);
        } else if (k == F_BANK && any) {
            putc('\n', f);
        }
}

static void put_table(FILE *f, const report *p, int colour)
{
    cell *c = calloc((size_t)p->runs * FIELDS, sizeof *c);
    int shown = (1 << FIELDS) - 1, all_finished = 1;

    NN_NEED(c, "out of memory for a table of %d runs", p->runs);
    for (int i = 0; i < p->runs; i++) {
        fill_cells(&p->rec[i], c + i * FIELDS);
        all_finished &= strcmp(text_of(p->rec[i].status, "state"), "finished") == 0;
    }
    if (all_finished)
        shown &= ~(1 << F_STATE);
    if (p->runs <= WIDE)
        table_across(f, p, c, shown, colour);
    else
        table_down(f, p, c, shown, colour);
    free(c);

    int any = 0;
    for (int i = 0; i < p->runs; i++) {
        const json_t *v;
        size_t k;
        json_array_foreach(p->rec[i].notes, k, v) {
            char text[512];
            plain(text, sizeof text, json_string_value(v), sizeof text - 1);
            fprintf(f, "%s%s: %s\n", any++ ? "" : "\n", p->label[i], text);
        }
    }
}

static int wants_colour(FILE *f)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    int fd = fileno(f);
    return fd >= 0 && isatty(fd) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

/* ---- the page ------------------------------------------------------------------------ */

static void put_escaped(FILE *f, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '<': fputs("&lt;", f); break;
        case '>': fputs("&gt;", f); break;
        case '&': fputs("&amp;", f); break;
        case '"': fputs("&quot;", f); break;
        default:  putc(*text, f);
        }
}

static void put_title(FILE *f, const report *p)
{
    for (int i = 0; i < p->runs && i < WIDE; i++) {
        fputs(i ? ", " : "", f);
        put_escaped(f, p->label[i]);
    }
    if (p->runs > WIDE)
        fprintf(f, " and %d more", p->runs - WIDE);
    fputs(" - fullrank report", f);
}

/* The table again, for a reader without JavaScript. */
static void put_table_escaped(FILE *f, const report *p)
{
    char *text = NULL;
    size_t size = 0;
    FILE *m = open_memstream(&text, &size);

    NN_NEED(m, "out of memory for the table of the page");
    put_table(m, p, 0);
    fclose(m);
    put_escaped(f, text);
    free(text);
}

static void put_slot(FILE *f, const char *slot, size_t n, const report *p, const json_t *data)
{
#define SLOT(word) (n == sizeof word - 1 && memcmp(slot, word, n) == 0)
#define PUT(name) fwrite(_binary_##name##_start, 1, \
                         (size_t)(_binary_##name##_end - _binary_##name##_start), f)
    if (SLOT("title"))
        put_title(f, p);
    else if (SLOT("style"))
        PUT(page_css);
    else if (SLOT("table"))
        put_table_escaped(f, p);
    else if (SLOT("data"))
        put_json(f, data);
    else if (SLOT("chart"))
        PUT(chart_min_js);
    else if (SLOT("script"))
        PUT(page_js);
    else
        NN_NEED(0, "experiments/report/page.html: unknown slot {{%.*s}}", (int)n, slot);
#undef SLOT
#undef PUT
}

/* page.html with every {{slot}} filled. */
static void put_page(FILE *f, const report *p, const json_t *data)
{
    const char *at = _binary_page_html_start, *end = _binary_page_html_end;

    while (at < end) {
        const char *open = memmem(at, (size_t)(end - at), "{{", 2);
        const char *shut = open ? memmem(open, (size_t)(end - open), "}}", 2) : NULL;
        fwrite(at, 1, (size_t)((shut ? open : end) - at), f);
        if (!shut)
            break;
        put_slot(f, open + 2, (size_t)(shut - open - 2), p, data);
        at = shut + 2;
    }
}

/* The folder of `out`, for its fsync: a rename is only safe once its folder is on disk. */
static void sync_folder(const char *out)
{
    const char *slash = strrchr(out, '/');
    char *folder = slash ? strndup(out, (size_t)(slash - out) + 1) : strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
}

/* Writes, fsyncs and closes; 0 or the errno of the first step that failed. */
static int finish_page(int fd, const report *p, const json_t *data)
{
    mode_t mask = umask(0);
    FILE *f;
    int wrong = 0;

    umask(mask);
    if (fchmod(fd, 0666 & ~mask) != 0 || !(f = fdopen(fd, "w"))) {
        wrong = errno;
        close(fd);
        return wrong;
    }
    errno = 0;
    put_page(f, p, data);
    if (ferror(f) || fflush(f) != 0 || fsync(fd) != 0)
        wrong = errno ? errno : EIO;
    if (fclose(f) != 0 && !wrong)
        wrong = errno;
    return wrong;
}

static nn_status write_page(const char *out, const report *p, nn_err *err)
{
    struct stat s;
    size_t size = strlen(out) + sizeof ".XXXXXX";

    if (!*out)
        return nn_fail(err, NN_ECONFIG, "the report needs a file name: -o report.html");
    if (stat(out, &s) == 0 && !S_ISREG(s.st_mode))
        return nn_fail(err, NN_ECONFIG, "%s: %s, so the report cannot be written there; give a "
                       "file name: -o report.html", out,
                       S_ISDIR(s.st_mode) ? "is a folder" : "is not a regular file");
    char *part = malloc(size);
    NN_NEED(part, "out of memory for a file name of %zu bytes", size);
    snprintf(part, size, "%s.XXXXXX", out);

    int fd = mkostemp(part, O_CLOEXEC), wrong = fd < 0 ? errno : 0;
    if (!wrong) {
        json_t *data = page_data(p);
        NN_NEED(data, "out of memory for the data of the report");
        wrong = finish_page(fd, p, data);
        json_decref(data);
        if (!wrong && rename(part, out) != 0)
            wrong = errno;
        if (wrong)
            unlink(part);
        else
            sync_folder(out);
    }
    free(part);
    if (!wrong)
        return NN_OK;
    return nn_fail(err, NN_ERUN, "%s: %s; %s", out, strerror(wrong),
                   wrong == ENOENT ? "make the folder first, or give another: -o report.html" :
                   wrong == ENOSPC || wrong == EDQUOT || wrong == EFBIG
                       ? "make room and run again (what was there before is untouched)"
                       : "give a file in a folder you may write to: -o report.html");
}

nn_status ex_report(int runs, const char *const *run, const char *out, FILE *table,
                    nn_err *err)
{
    report p = { .runs = runs };
    nn_status code = NN_OK;

    if (runs < 1)
        return nn_fail(err, NN_ECONFIG, "no run folder given; name at least one, such as "
                       "runs/demo/simsiam-fashion-mnist-1a2b3c4d/s0");
    p.rec = calloc((size_t)runs, sizeof *p.rec);
    p.label = calloc((size_t)runs, sizeof *p.label);
    NN_NEED(p.rec && p.label, "out of memory for %d runs", runs);

    for (int i = 0; i < runs && code == NN_OK; i++)
        code = ex_record_read(run[i], &p.rec[i], err);
    if (code == NN_OK) {
        name_runs(&p);
        for (int i = 0; i < runs; i++)
            add_notes(&p.rec[i]);
        if (out)
            code = write_page(out, &p, err);
    }
    if (code == NN_OK && table) {
        put_table(table, &p, wants_colour(table));
        if (fflush(table) != 0)
            code = nn_fail(err, NN_ERUN, "the table cannot be printed: %s", strerror(errno));
    }
    if (code != NN_OK && err) {         /* a message may quote a damaged file: keep one line */
        char text[sizeof err->text];
        plain(text, sizeof text, err->text, (int)sizeof text);
        memcpy(err->text, text, sizeof text);
    }
    for (int i = 0; i < runs; i++)
        ex_record_free(&p.rec[i]);
    free(p.rec);
    free(p.label);
    return code;
}
