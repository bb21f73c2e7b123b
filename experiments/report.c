/* The report: run folders in, one HTML page and one terminal table out. */

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "experiments/report.h"
#include "experiments/report_codes.h"
#include "experiments/report_read.h"
#include "experiments/report_table.h"
#include "metrics/met.h"

/* The page's parts, put into the program by `ld -r -b binary` (see the Makefile). */
#define PART(symbol) \
    extern const char _binary_##symbol##_start[], _binary_##symbol##_end[]
PART(page_html);
PART(page_css);
PART(page_words_js);
PART(page_base_js);
PART(page_maps_js);
PART(page_charts_js);
PART(page_js);
PART(page_codes_html);
PART(page_codes_css);
PART(page_codes_js);
PART(chart_min_js);

/* codes: 1 for what stands only in the page of a run with a codebook. */
static const struct part { const char *slot, *text, *end; int codes; } parts[] = {
#define SPAN(symbol) _binary_##symbol##_start, _binary_##symbol##_end
#define FILL(slot, symbol) { slot, SPAN(symbol), 0 }
#define FILL_CODES(slot, symbol) { slot, SPAN(symbol), 1 }
    FILL("style", page_css),
    FILL("chart", chart_min_js),
    FILL("words", page_words_js),
    FILL("base", page_base_js),
    FILL("maps", page_maps_js),
    FILL("charts", page_charts_js),
    FILL("page", page_js),
    FILL_CODES("codes html", page_codes_html),
    FILL_CODES("codes css", page_codes_css),
    FILL_CODES("codes js", page_codes_js),
};

enum {
    SHOTS = 41,             /* epochs of maps a page carries per run: more is not seen,
                               and 40 gaps divide runs of 40, 80, 200, 400 epochs */
    BARS = 256,             /* points of one spectrum: finer than its line on a screen */
    TITLED = 3              /* runs named in the title of the page */
};

/* What the numbers of a run say beside its verdict. */
static void add_notes(ex_record *r)
{
    const json_t *last = ex_record_last(r);
    const json_t *base = json_object_get(r->status, "baseline");
    const char *state = ex_text_of(r->status, "state");
    const char *message = ex_text_of(r->status, "message");
    double epoch = ex_number_of(last, "epoch"), knn = ex_number_of(last, "eval/knn");
    double epochs = ex_number_of(r->status, "epochs");
    double untrained = ex_number_of(base, "untrained_knn");
    double linear = ex_number_of(last, "eval/linear");
    double linear_untrained = ex_number_of(base, "untrained_linear");

    if (strcmp(state, "finished") == 0 && *message)     /* by alarm.action=stop */
        ex_record_note(r, "%s", message);
    else if (strcmp(state, "finished") == 0 && epoch < epochs)
        ex_record_note(r, "the run says it has finished %.0f epochs, but its metrics end "
                       "at epoch %.0f", epochs, epoch);
    else if (strcmp(state, "running") == 0)
        ex_record_note(r, "not finished: still training, or killed without a chance to "
                       "say so");
    else if (strcmp(state, "finished") != 0)
        ex_record_note(r, "%s%s%s", state, *message ? ": " : "", message);
    if (epoch > 0 && knn < untrained)
        ex_record_note(r, "kNN of h, %.1f %%, is below the %.1f %% of the untrained "
                       "network: training has not improved the features", 100 * knn,
                       100 * untrained);
    if (epoch > 0 && linear < linear_untrained)
        ex_record_note(r, "the linear probe of h, %.1f %%, is below the %.1f %% of the "
                       "untrained network", 100 * linear, 100 * linear_untrained);
}

/* ---- the data of the page --------------------------------------------------------- */

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

/* The rows turned into columns: {"epoch": [0, 1, ...], "loss": [null, -0.6, ...]}. */
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
        const json_t *v = json_array_get(all, spread(i, keep, n));
        char text[32];
        snprintf(text, sizeof text, "%.4g", json_number_value(v));
        json_array_append_new(out, json_is_number(v) ? json_real(strtod(text, NULL))
                                                     : json_null());
    }
    return out;
}

/* Map points in ten-thousandths, as integers: fewer bytes, and finer than a pixel. */
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

/* Epoch, share, spectra ("zn": how many values z has before thinning), map, and of a
 * codebook how popular its codes are. */
static json_t *shot_of(const json_t *s)
{
    const json_t *z = json_object_get(s, "spectrum_z");
    const json_t *h = json_object_get(s, "spectrum_h");
    return json_pack("{sO sO? so so so sI sI so*}",
                     "epoch", json_object_get(s, "epoch"),
                     "share", json_object_get(s, "share"),
                     "z", spectrum_of(z), "h", spectrum_of(h),
                     "map", map_of(json_object_get(s, "map")),
                     "zn", (json_int_t)json_array_size(z),
                     "hn", (json_int_t)json_array_size(h),
                     "bins", ex_code_bins(s));
}

static json_t *shots_of(const json_t *shots)
{
    size_t n = json_array_size(shots), keep = n < SHOTS ? n : SHOTS;
    json_t *out = json_array();

    for (size_t i = 0; i < keep; i++)
        json_array_append_new(out, shot_of(json_array_get(shots, spread(i, keep, n))));
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

static int any_codes(const ex_record *rec, int runs)
{
    for (int i = 0; i < runs; i++)
        if (ex_has_codes(&rec[i]))
            return 1;
    return 0;
}

static json_t *page_data(const ex_record *rec, int runs)
{
    json_t *list = json_array(), *sets = json_array();

    for (int i = 0; i < runs; i++) {
        const ex_record *r = &rec[i];
        json_array_append_new(list, json_pack("{so so sO sO so so sI sO sI so*}",
            "path", safe_text(r->path), "label", safe_text(r->label),
            "status", r->status, "config", r->config, "curve", columns_of(r->rows),
            "shots", shots_of(r->shots),
            "evaluated", (json_int_t)json_array_size(r->shots), "notes", r->notes,
            "set", set_index(sets, r->set), "pictures", ex_code_pictures(r)));
    }
    return json_pack("{so so s{sf} so*}", "runs", list, "sets", sets,
                     "limits", "collapse_std", met_least_std,
                     "toy", any_codes(rec, runs) ? ex_code_toy() : NULL);
}

/* JSON for a <script> element: '<', '>' and '&' only ever stand inside strings, and
 * written as escapes there they cannot end the element or open a comment. */
static void put_json(FILE *f, const json_t *data)
{
    char *text = json_dumps(data, JSON_COMPACT | JSON_ENSURE_ASCII |
                            JSON_REAL_PRECISION(6));

    NN_NEED(text, "the data of the report cannot be written as JSON");
    for (const char *c = text; *c; c++)
        if (*c == '<' || *c == '>' || *c == '&')
            fprintf(f, "\\u%04x", (unsigned)*c);
        else
            putc(*c, f);
    free(text);
}

/* ---- the page --------------------------------------------------------------------- */

/* What fills the slots of page.html. */
typedef struct fill {
    const ex_record *rec;
    int runs;
    const json_t *data;
} fill;

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

static void put_title(FILE *f, const fill *p)
{
    for (int i = 0; i < p->runs && i < TITLED; i++) {
        fputs(i ? ", " : "", f);
        put_escaped(f, p->rec[i].label);
    }
    if (p->runs > TITLED)
        fprintf(f, " and %d more", p->runs - TITLED);
    fputs(" - fullrank report", f);
}

/* The table again, for a reader without JavaScript. */
static void put_table(FILE *f, const fill *p)
{
    char *text = NULL;
    size_t size = 0;
    FILE *m = open_memstream(&text, &size);

    NN_NEED(m, "out of memory for the table of the page");
    ex_report_table(m, p->rec, p->runs, 0);
    fclose(m);
    put_escaped(f, text);
    free(text);
}

static void put_slot(FILE *f, const char *slot, const fill *p)
{
    for (size_t i = 0; i < NN_COUNT(parts); i++)
        if (strcmp(slot, parts[i].slot) == 0) {
            if (parts[i].codes && !any_codes(p->rec, p->runs))
                return;
            fwrite(parts[i].text, 1, (size_t)(parts[i].end - parts[i].text), f);
            return;
        }
    if (strcmp(slot, "title") == 0)
        put_title(f, p);
    else if (strcmp(slot, "table") == 0)
        put_table(f, p);
    else if (strcmp(slot, "data") == 0)
        put_json(f, p->data);
    else
        NN_NEED(0, "experiments/report/page.html: no part fills {{%s}}", slot);
}

/* page.html with every {{slot}} filled. */
static void put_page(FILE *f, const fill *p)
{
    const char *at = _binary_page_html_start, *end = _binary_page_html_end;

    for (const char *open; (open = memmem(at, (size_t)(end - at), "{{", 2));) {
        const char *shut = memmem(open, (size_t)(end - open), "}}", 2);
        char slot[16];
        NN_NEED(shut && shut - open < (int)sizeof slot,
                "experiments/report/page.html: a {{ without its }}");
        snprintf(slot, sizeof slot, "%.*s", (int)(shut - open - 2), open + 2);
        fwrite(at, 1, (size_t)(open - at), f);
        put_slot(f, slot, p);
        at = shut + 2;
    }
    fwrite(at, 1, (size_t)(end - at), f);
}

/* A rename is only safe once its folder is on disk, too. */
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
static int finish_page(int fd, const fill *p)
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
    put_page(f, p);
    if (ferror(f) || fflush(f) != 0 || fsync(fd) != 0)
        wrong = errno ? errno : EIO;
    if (fclose(f) != 0 && !wrong)
        wrong = errno;
    return wrong;
}

/* Puts the page in the place of `out`; 0 or the errno of what went wrong. */
static int replace_page(const char *out, const ex_record *rec, int runs)
{
    size_t size = strlen(out) + sizeof ".XXXXXX";
    char *part = malloc(size);

    NN_NEED(part, "out of memory for a file name of %zu bytes", size);
    snprintf(part, size, "%s.XXXXXX", out);
    int fd = mkostemp(part, O_CLOEXEC), wrong = fd < 0 ? errno : 0;
    if (!wrong) {
        json_t *data = page_data(rec, runs);
        NN_NEED(data, "out of memory for the data of the report");
        wrong = finish_page(fd, &(fill){ rec, runs, data });
        json_decref(data);
        if (!wrong && rename(part, out) != 0)
            wrong = errno;
        if (wrong)
            unlink(part);
        else
            sync_folder(out);
    }
    free(part);
    return wrong;
}

static const char *remedy_of(int wrong)
{
    switch (wrong) {
    case ENOENT:
        return "make the folder first, or give another: -o report.html";
    case ENOSPC: case EDQUOT: case EFBIG:
        return "make room and run again (what was there before is untouched)";
    default:
        return "give a file in a folder you may write to: -o report.html";
    }
}

static nn_status write_page(const char *out, const ex_record *rec, int runs, nn_err *err)
{
    struct stat s;

    if (!*out)
        return nn_fail(err, NN_ECONFIG, "the report needs a file name: -o report.html");
    if (stat(out, &s) == 0 && !S_ISREG(s.st_mode))
        return nn_fail(err, NN_ECONFIG, "%s: %s, so the report cannot be written there; "
                       "give a file name: -o report.html", out,
                       S_ISDIR(s.st_mode) ? "is a folder" : "is not a regular file");
    int wrong = replace_page(out, rec, runs);
    if (wrong)
        return nn_fail(err, NN_ERUN, "%s: %s; %s", out, strerror(wrong),
                       remedy_of(wrong));
    return NN_OK;
}

/* A message may quote a damaged file: it stays one line that drives no terminal. */
static void keep_plain(nn_err *err)
{
    char text[sizeof err->text];
    ex_plain(text, sizeof text, err->text, sizeof text - 4);
    memcpy(err->text, text, sizeof text);
}

nn_status ex_report(int runs, const char *const *run, const char *out, FILE *table,
                    nn_err *err)
{
    nn_status code = NN_OK;

    if (runs < 1)
        return nn_fail(err, NN_ECONFIG, "no run folder given; name at least one, such as "
                       "runs/demo/simsiam-fashion-mnist-1a2b3c4d/s0");
    ex_record *rec = calloc((size_t)runs, sizeof *rec);
    NN_NEED(rec, "out of memory for %d runs", runs);

    for (int i = 0; i < runs && code == NN_OK; i++)
        code = ex_record_read(run[i], &rec[i], err);
    if (code == NN_OK) {
        ex_record_name(rec, runs);
        for (int i = 0; i < runs; i++)
            add_notes(&rec[i]);
        if (out)
            code = write_page(out, rec, runs, err);
    }
    if (code == NN_OK && table) {
        ex_report_table(table, rec, runs, ex_wants_colour(table));
        if (fflush(table) != 0)
            code = nn_fail(err, NN_ERUN, "the table cannot be printed: %s",
                           strerror(errno));
    }
    if (code != NN_OK && err)
        keep_plain(err);
    for (int i = 0; i < runs; i++)
        ex_record_free(&rec[i]);
    free(rec);
    return code;
}
