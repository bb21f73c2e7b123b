/* The table of runs for terminals, logs and pages without JavaScript. */

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "experiments/report_codes.h"
#include "experiments/report_table.h"
#include "metrics/met.h"

/* Up to so many runs stand side by side: with their references they fill 100 columns. */
enum { WIDE = 3 };

enum { F_VERDICT, F_STATE, F_STD, F_ERANK, F_KNN, F_UNTRAINED, F_PIXELS, F_CHANCE,
       F_LINEAR, F_LINEAR_UNTRAINED, F_LINEAR_PIXELS, F_CODES, F_PERPLEXITY, F_PSNR,
       F_LOSS, F_EPOCH, F_NDK, F_BANK, F_WAIT, FIELDS };

static const char *const field_name[FIELDS] = {
    "verdict", "state", "sqrt(d)*std of z", "effective rank of z", "kNN of h",
    "  untrained network", "  raw pixels", "  chance", "linear probe of h",
    "  untrained network", "  raw pixels (linear)", "codes in use", "code perplexity",
    "reconstruction PSNR", "loss", "epoch", "n / d / k", "kNN k / bank",
    "waiting for data",
};
static const char *const field_short[FIELDS] = {
    "verdict", "state", "std", "erank", "kNN", "untrained", "pixels", "chance",
    "linear", "linear untrained", "linear pixels", "codes", "perplexity", "PSNR", "loss",
    "epoch", "n/d/k", "kNN k/bank", "waiting",
};

typedef struct cell { char text[4 * EX_LABEL]; } cell;

/* ---- what stands in it ------------------------------------------------------------ */

static void put_number(cell *c, const char *format, double v)
{
    if (isnan(v))
        snprintf(c->text, sizeof c->text, "-");
    else
        snprintf(c->text, sizeof c->text, format, v);
}

static void put_share(cell *c, double v)
{
    put_number(c, "%.1f %%", 100 * v);
}

/* "have of all", or what there is of it. */
static void put_of(cell *c, const char *format, double have, double all)
{
    put_number(c, format, have);
    size_t n = strlen(c->text);
    if (!isnan(all))
        snprintf(c->text + n, sizeof c->text - n, " of %.0f", all);
}

static void put_counts(cell *c, const json_t *row, const char *const *key, int keys)
{
    c->text[0] = 0;
    for (int i = 0; i < keys; i++) {
        double v = ex_number_of(row, key[i]);
        size_t n = strlen(c->text);
        if (isnan(v))
            snprintf(c->text + n, sizeof c->text - n, "%s-", i ? "/" : "");
        else
            snprintf(c->text + n, sizeof c->text - n, "%s%.0f", i ? "/" : "", v);
    }
}

static void fill_cells(const ex_record *r, cell *c)
{
    static const char *const ndk[] = { "n", "d", "k" };
    static const char *const bank[] = { "knn_k", "bank" };
    const json_t *row = ex_record_last(r), *base = json_object_get(r->status, "baseline");
    const char *verdict = ex_text_of(row, "verdict");
    double erank = ex_number_of(row, "collapse/erank");

    ex_plain(c[F_VERDICT].text, sizeof c->text, *verdict ? verdict : "-", EX_LABEL);
    ex_plain(c[F_STATE].text, sizeof c->text, ex_text_of(r->status, "state"), EX_LABEL);
    put_number(&c[F_STD], "%.2f", ex_number_of(row, "collapse/std"));
    put_of(&c[F_ERANK], "%.1f", erank, isnan(erank) ? NAN : ex_number_of(row, "d"));
    put_share(&c[F_KNN], ex_number_of(row, "eval/knn"));
    put_share(&c[F_UNTRAINED], ex_number_of(base, "untrained_knn"));
    put_share(&c[F_PIXELS], ex_number_of(base, "raw_pixel_knn"));
    put_share(&c[F_CHANCE], ex_number_of(base, "chance"));
    put_share(&c[F_LINEAR], ex_number_of(row, "eval/linear"));
    put_share(&c[F_LINEAR_UNTRAINED], ex_number_of(base, "untrained_linear"));
    put_share(&c[F_LINEAR_PIXELS], ex_number_of(base, "raw_pixel_linear"));
    put_share(&c[F_CODES], ex_number_of(row, "code/usage"));
    put_of(&c[F_PERPLEXITY], "%.1f", ex_number_of(row, "code/perplexity"),
           ex_number_of(row, "code/K"));
    put_number(&c[F_PSNR], "%.2f dB", ex_number_of(row, "recon/psnr"));
    put_number(&c[F_LOSS], "%.4g", ex_number_of(row, "loss"));
    put_of(&c[F_EPOCH], "%.0f", ex_number_of(row, "epoch"),
           ex_number_of(r->status, "epochs"));
    put_counts(&c[F_NDK], row, ndk, NN_COUNT(ndk));
    put_counts(&c[F_BANK], row, bank, NN_COUNT(bank));
    put_share(&c[F_WAIT], ex_number_of(row, "data_wait"));
}

static double reference_erank(const ex_record *r)
{
    return ex_number_of(json_object_get(r->status, "reference"), "collapse/erank");
}

/* The reference of the effective rank that all runs share, or NaN. */
static double common_erank(const ex_record *rec, int runs)
{
    double all = reference_erank(&rec[0]);
    for (int i = 1; i < runs; i++)
        if (!(fabs(reference_erank(&rec[i]) - all) < 0.05))     /* as one decimal shows */
            return NAN;
    return all;
}

static void fill_references(const ex_record *rec, int runs, cell *c)
{
    double erank = common_erank(rec, runs);
    for (int f = 0; f < FIELDS; f++)
        c[f].text[0] = 0;
    put_number(&c[F_STD], "1 isotropic, under %.2f collapsed", met_least_std);
    if (!isnan(erank))
        put_number(&c[F_ERANK], "%.1f isotropic", erank);
}

/* ---- how it is printed ------------------------------------------------------------ */

int ex_wants_colour(FILE *f)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    int fd = fileno(f);
    return fd >= 0 && isatty(fd) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

/* A verdict's colour; the word itself says the same. */
static const char *colour_of(const char *verdict)
{
    if (strcmp(verdict, "-") == 0)
        return "";
    return strcmp(verdict, "healthy") == 0 ? "\033[1;32m" :
           strncmp(verdict, "dimensional", 11) == 0 ||
           strncmp(verdict, "codebook", 8) == 0 ? "\033[1;33m" : "\033[1;31m";
}

static void put_cell(FILE *f, const char *text, int width, int coloured)
{
    const char *on = coloured ? colour_of(text) : "";
    fprintf(f, "%s%s%s", on, text, *on ? "\033[0m" : "");
    for (int n = ex_width(text); n < width; n++)
        putc(' ', f);
}

/* The largest width of `count` cells, each `step` after the other, and of `least`. */
static int widest(const cell *c, int count, int step, int least)
{
    for (int i = 0; i < count; i++) {
        int w = ex_width(c[(size_t)i * (size_t)step].text);
        least = w > least ? w : least;
    }
    return least;
}

/* Few runs: a column for each, so that values and references read across. */
static void across(FILE *f, const ex_record *rec, int runs, const cell *c, int colour)
{
    cell ref[FIELDS];
    int width[WIDE];

    fill_references(rec, runs, ref);
    fprintf(f, "%-21s", "");
    for (int i = 0; i < runs; i++) {
        width[i] = widest(c + i * FIELDS, FIELDS, 1, ex_width(rec[i].label));
        fputs("  ", f);
        put_cell(f, rec[i].label, width[i], 0);
    }
    fputs("  reference\n", f);
    for (int k = 0; k < FIELDS; k++) {
        if (!c[k].text[0])
            continue;
        fprintf(f, "%-21s", field_name[k]);
        for (int i = 0; i < runs; i++) {
            int last = i + 1 == runs && !ref[k].text[0];
            fputs("  ", f);
            put_cell(f, c[i * FIELDS + k].text, last ? 0 : width[i],
                     colour && k == F_VERDICT);
        }
        fprintf(f, "%s%s\n", ref[k].text[0] ? "  " : "", ref[k].text);
    }
}

/* Does field `k`, a fact about data or measurement, stand once for all runs? */
static int is_shared(const cell *c, int runs, int k)
{
    if (!c[k].text[0])
        return 0;
    if (k != F_PIXELS && k != F_CHANCE && k != F_LINEAR_PIXELS && k != F_NDK
        && k != F_BANK)
        return 0;
    for (int i = 1; i < runs; i++)
        if (strcmp(c[k].text, c[i * FIELDS + k].text) != 0)
            return 0;
    return 1;
}

static void shared_below(FILE *f, const ex_record *rec, int runs, const cell *c)
{
    double erank = common_erank(rec, runs);
    int any = 0;

    fprintf(f, "\nstd: sqrt(d)*std of z, 1 isotropic, under %.2f collapsed; erank: "
            "effective rank of z", met_least_std);
    if (!isnan(erank))
        fprintf(f, ", %.1f isotropic", erank);
    fputs("; kNN reads h.\n", f);
    for (int k = 0; k < FIELDS; k++)
        if (is_shared(c, runs, k))
            fprintf(f, "%s%s %s", any++ ? ", " : "All runs: ",
                    field_name[k] + strspn(field_name[k], " "), c[k].text);
    if (any)
        putc('\n', f);
}

/* Many runs: a line for each, and what they share below. */
static void down(FILE *f, const ex_record *rec, int runs, const cell *c, int colour)
{
    int first = 3, last = 0;

    for (int i = 0; i < runs; i++)
        first = ex_width(rec[i].label) > first ? ex_width(rec[i].label) : first;
    for (int k = 0; k < FIELDS; k++)
        last = c[k].text[0] && !is_shared(c, runs, k) ? k : last;
    for (int i = -1; i < runs; i++) {
        put_cell(f, i < 0 ? "run" : rec[i].label, first, 0);
        for (int k = 0; k < FIELDS; k++) {
            if (!c[k].text[0] || is_shared(c, runs, k))
                continue;
            int w = widest(c + k, runs, FIELDS, ex_width(field_short[k]));
            fputs("  ", f);
            put_cell(f, i < 0 ? field_short[k] : c[i * FIELDS + k].text,
                     k == last ? 0 : w, i >= 0 && colour && k == F_VERDICT);
        }
        putc('\n', f);
    }
    shared_below(f, rec, runs, c);
}

static void put_notes(FILE *f, const ex_record *rec, int runs)
{
    const json_t *v;
    size_t k;
    int any = 0;

    for (int i = 0; i < runs; i++)
        json_array_foreach(rec[i].notes, k, v) {
            char text[512];
            ex_plain(text, sizeof text, json_string_value(v), sizeof text - 4);
            fprintf(f, "%s%s: %s\n", any++ ? "" : "\n", rec[i].label, text);
        }
}

void ex_report_table(FILE *f, const ex_record *rec, int runs, int colour)
{
    cell *c = calloc((size_t)runs * FIELDS, sizeof *c);
    int finished = 1, waits = 0, probed = 0, coded = 0;

    NN_NEED(c, "out of memory for a table of %d runs", runs);
    for (int i = 0; i < runs; i++) {
        fill_cells(&rec[i], c + i * FIELDS);
        finished &= strcmp(c[i * FIELDS + F_STATE].text, "finished") == 0;
        probed |= strcmp(c[i * FIELDS + F_LINEAR_UNTRAINED].text, "-") != 0;
        coded |= ex_has_codes(&rec[i]);
        waits |= strcmp(c[i * FIELDS + F_WAIT].text, "-") != 0;
    }
    for (int i = 0; i < runs && finished; i++)      /* goes without saying */
        c[i * FIELDS + F_STATE].text[0] = 0;
    for (int i = 0; i < runs && !waits; i++)        /* nobody measured it */
        c[i * FIELDS + F_WAIT].text[0] = 0;
    for (int i = 0; i < runs && !probed; i++)
        for (int k = F_LINEAR; k <= F_LINEAR_PIXELS; k++)
            c[i * FIELDS + k].text[0] = 0;
    for (int i = 0; i < runs && !coded; i++)
        for (int k = F_CODES; k <= F_PSNR; k++)
            c[i * FIELDS + k].text[0] = 0;
    if (runs <= WIDE)
        across(f, rec, runs, c, colour);
    else
        down(f, rec, runs, c, colour);
    free(c);
    put_notes(f, rec, runs);
}
