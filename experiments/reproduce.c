#include "experiments/reproduce.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "experiments/folder.h"
#include "experiments/machine.h"
#include "experiments/paper.h"
#include "experiments/progress.h"
#include "experiments/trials.h"
#include "experiments/version.h"
#include "nn/kern/kern.h"
#include "nn/par.h"

enum { MOST_SEEDS = 1000 };

static const char says_nothing[] = "quick: says nothing about the claims";

/* A row of expected.tsv and what came of it. */
typedef struct judged {
    const ex_row *row;
    double *measured;                   /* one value a seed */
    double mean, least, most;
    int held;                           /* seeds whose value lies in the band */
    int holds, claim_holds;             /* this row; every row of its claim */
    double seconds;                     /* of the runs it is made of, all seeds */
} judged;

typedef struct work {
    const ex_reproduce_options *options;
    ex_paper paper;
    int *seed, seeds;
    judged *list; int rows;             /* the rows that were asked for */
    ex_trials trials;
    int *trial;                         /* [run * seeds + seed]: its trial, or -1 */
    const judged **counted;             /* the newest row whose seconds have each trial */
    double start;
    nn_arena arena;
    FILE *out;
} work;

/* ---- what is asked for ------------------------------------------------------------- */

static nn_status read_seeds(work *w, nn_err *err)
{
    const char *text = w->options->seeds ? w->options->seeds : "0-2", *at = text;
    char *end;

    w->seed = NN_NEW(&w->arena, int, MOST_SEEDS);
    for (;;) {
        long long from = strtoll(at, &end, 10), to = from;
        int good = end > at && *at >= '0' && *at <= '9';
        if (good && *end == '-') {
            at = end + 1;
            to = strtoll(at, &end, 10);
            good = end > at && *at >= '0' && *at <= '9';
        }
        good = good && from <= to && to <= INT_MAX && to - from < MOST_SEEDS - w->seeds
               && (*end == ',' || !*end);
        if (!good)
            return nn_fail(err, NN_ECONFIG, "command line: --seeds wants numbers and ranges"
                           " like 0-2 or 0,3,7 (at most %d), not '%.80s'", MOST_SEEDS, text);
        for (; from <= to; from++) {
            int known = 0;
            for (int i = 0; i < w->seeds; i++)
                known |= w->seed[i] == from;
            if (!known)
                w->seed[w->seeds++] = (int)from;
        }
        if (!*end)
            return NN_OK;
        at = end + 1;
    }
}

static int among(const char *list, const char *claim)
{
    size_t n = strlen(claim);

    for (const char *at = list; ; at++) {
        size_t length = strcspn(at, ",");
        if (length == n && strncmp(at, claim, n) == 0)
            return 1;
        at += length;
        if (!*at)
            return 0;
    }
}

static nn_status choose_rows(work *w, nn_err *err)
{
    const char *only = w->options->only;
    ex_paper *p = &w->paper;
    const char **known = NN_NEW0(&w->arena, const char *, p->rows + 1);

    w->list = NN_NEW0(&w->arena, judged, p->rows);
    for (int i = 0; i < p->rows; i++) {
        known[i] = p->row[i].claim;
        if (!only || among(only, p->row[i].claim))
            w->list[w->rows++].row = &p->row[i];
    }
    char *words = nn_arena_copy(&w->arena, only ? only : ""), *save = NULL;
    for (char *c = strtok_r(words, ",", &save); c; c = strtok_r(NULL, ",", &save)) {
        int found = 0;
        for (int i = 0; i < p->rows; i++)
            found |= strcmp(known[i], c) == 0;
        const char *near = nn_nearest(c, known);
        if (!found)
            return nn_fail(err, NN_ECONFIG, "command line: no claim '%.40s' in %s%s%s%s", c,
                           p->rows_file, near ? "; did you mean '" : "", near ? near : "",
                           near ? "'?" : "");
    }
    return w->rows ? NN_OK : nn_fail(err, NN_ECONFIG, "command line: --only names no claim");
}

/* ---- the trials -------------------------------------------------------------------- */

static const char *setting(work *w, const char *key, const char *value)
{
    size_t size = strlen(key) + strlen(value) + 2;
    char *text = NN_NEW(&w->arena, char, size);

    snprintf(text, size, "%s=%s", key, value);
    return text;
}

/* The trial of a run with a seed: one of the list if its settings are the same. */
static nn_status add_trial(work *w, const ex_paper_run *run, int s, nn_err *err)
{
    const ex_paper *p = &w->paper;
    const char *out = w->options->out ? w->options->out : "runs";
    int quick = w->options->quick ? p->quick_pairs : 0;
    ex_trial *t = &w->trials.list[w->trials.count];
    int *at = &w->trial[(run - p->run) * w->seeds + s];
    char number[16];

    if (*at >= 0)
        return NN_OK;
    *t = (ex_trial){ .run = run, .seed = w->seed[s] };
    t->pair = NN_NEW(&w->arena, const char *, run->pairs + quick + 3);
    for (int i = 0; i < run->pairs; i++)
        t->pair[t->pairs++] = run->pair[i];
    for (int i = 0; i < quick; i++)
        t->pair[t->pairs++] = p->quick[i];
    snprintf(number, sizeof number, "%d", w->seed[s]);
    t->pair[t->pairs++] = "name=reproduce";     /* one for all: papers share equal runs */
    t->pair[t->pairs++] = setting(w, "out", out);
    t->pair[t->pairs++] = setting(w, "seed", number);
    NN_TRY(ex_trial_prepare(t, p, &w->arena, err));
    for (*at = 0; *at < w->trials.count; ++*at)
        if (strcmp(w->trials.list[*at].folder, t->folder) == 0)
            return NN_OK;
    w->trials.count++;
    return NN_OK;
}

/* ex_formula's getters get this. */
typedef struct asking {
    work *w;
    const char *where;
    int seed;                           /* index of the seed */
    const ex_trial *only;               /* look at this trial's figures alone */
    judged *row;
} asking;

static const ex_trial *trial_of(const asking *a, const ex_figure *f)
{
    const ex_paper *p = &a->w->paper;
    int at = a->w->trial[(ex_paper_run_of(p, f->run) - p->run) * a->w->seeds + a->seed];
    return &a->w->trials.list[at];
}

static nn_status want(void *from, const ex_figure *f, double *value, nn_err *err)
{
    asking *a = from;

    *value = 1;
    return add_trial(a->w, ex_paper_run_of(&a->w->paper, f->run), a->seed, err);
}

static nn_status look(void *from, const ex_figure *f, double *value, nn_err *err)
{
    asking *a = from;
    const ex_trial *t = trial_of(a, f);
    const judged **counted = &a->w->counted[t - a->w->trials.list];

    *value = 1;
    if (a->only && a->only != t)
        return NN_OK;
    if (a->row && *counted != a->row) {
        *counted = a->row;
        a->row->seconds += t->seconds;
    }
    return ex_trial_figure(t, f, a->where, value, err);
}

static nn_status evaluate(work *w, const ex_row *row, asking *a, ex_figure_get *get,
                          double *value, nn_err *err)
{
    char where[4200];

    snprintf(where, sizeof where, "%s:%d", w->paper.rows_file, row->line);
    a->w = w;
    a->where = where;
    return ex_formula(row->quantity, where, get, a, value, err);
}

static nn_status plan(work *w, nn_err *err)
{
    int most = w->paper.runs * w->seeds;
    double unused;

    w->trials.list = NN_NEW0(&w->arena, ex_trial, most + 1);
    w->trial = NN_NEW(&w->arena, int, most);
    w->counted = NN_NEW0(&w->arena, const judged *, most + 1);
    for (int i = 0; i < most; i++)
        w->trial[i] = -1;
    for (int s = 0; s < w->seeds; s++)          /* a whole seed first: claims for one */
        for (int i = 0; i < w->rows; i++)
            NN_TRY(evaluate(w, w->list[i].row, &(asking){ .seed = s }, want, &unused, err));
    return NN_OK;
}

/* A misspelt key is told after the first run that should have it, not after the last. */
static nn_status check_keys(void *arg, const ex_trial *t, nn_err *err)
{
    work *w = arg;
    double unused;

    for (int s = 0; s < w->seeds; s++)
        for (int i = 0; i < w->rows && w->seed[s] == t->seed; i++)
            NN_TRY(evaluate(w, w->list[i].row, &(asking){ .seed = s, .only = t }, look,
                            &unused, err));
    return NN_OK;
}

/* ---- judging ----------------------------------------------------------------------- */

static nn_status judge(work *w, nn_err *err)
{
    for (int i = 0; i < w->rows; i++) {
        judged *j = &w->list[i];
        j->measured = NN_NEW(&w->arena, double, w->seeds);
        for (int s = 0; s < w->seeds; s++) {
            double *x = &j->measured[s];
            NN_TRY(evaluate(w, j->row, &(asking){ .seed = s, .row = j }, look, x, err));
            j->held += ex_band_holds(&j->row->band, *x);
            j->least = s == 0 || *x < j->least || isnan(*x) ? *x : j->least;
            j->most = s == 0 || *x > j->most || isnan(*x) ? *x : j->most;
            j->mean += *x / w->seeds;
        }
        j->holds = j->held == w->seeds;
    }
    for (int i = 0; i < w->rows; i++) {
        w->list[i].claim_holds = 1;
        for (int k = 0; k < w->rows; k++)
            if (strcmp(w->list[k].row->claim, w->list[i].row->claim) == 0)
                w->list[i].claim_holds &= w->list[k].holds;
    }
    return NN_OK;
}

static const char *verdict(const work *w, const judged *j)
{
    if (w->options->quick)
        return says_nothing;
    if (!j->claim_holds)
        return "not reproduced";
    return j->row->kind == EX_RESULT ? "result reproduced" : "mechanism reproduced";
}

static int is_first(const work *w, int i)
{
    for (int k = 0; k < i; k++)
        if (strcmp(w->list[k].row->claim, w->list[i].row->claim) == 0)
            return 0;
    return 1;
}

static void count(const work *w, int *claims, int *held)
{
    *claims = *held = 0;
    for (int i = 0; i < w->rows; i++)
        if (is_first(w, i)) {
            ++*claims;
            *held += w->list[i].claim_holds;
        }
}

/* ---- texts ------------------------------------------------------------------------- */

static const char *number(double x, char *out, size_t size)
{
    snprintf(out, size, isnan(x) ? "-" : "%.4g", x);
    return out;
}

/* "0.0113 [0.0100, 0.0130]" */
static const char *measured(const judged *j, int seeds, char *out, size_t size)
{
    char mean[32], least[32], most[32];

    number(j->mean, mean, sizeof mean);
    if (seeds == 1)
        snprintf(out, size, "%s", mean);
    else
        snprintf(out, size, "%s [%s, %s]", mean, number(j->least, least, sizeof least),
                 number(j->most, most, sizeof most));
    return out;
}

static void machine_line(const work *w, char *out, size_t size)
{
    char cpu[256];

    ex_machine_cpu(cpu, sizeof cpu);
    snprintf(out, size, "%s, runs at once: %d, threads of each: %d, kernel table %s,"
             " fullrank %s, %s", cpu, w->trials.jobs, w->trials.threads, nn_kern_now->name,
             EX_VERSION, EX_COMPILER);
}

static double trained_seconds(const work *w)
{
    double sum = 0;
    for (int i = 0; i < w->trials.count; i++)
        sum += w->trials.list[i].seconds;
    return sum;
}

static void print_table(const work *w)
{
    char text[128], held[32], machine[700];
    int claims, good;

    fprintf(w->out, "\n%-6s %-28s %-16s %-6s %-14s %s\n", "claim", "measured [min, max]",
            "band", "seeds", "published", "verdict");
    for (int i = 0; i < w->rows; i++) {
        const judged *j = &w->list[i];
        int first = is_first(w, i);
        snprintf(held, sizeof held, "%d/%d", j->held, w->seeds);
        fprintf(w->out, "%-6s %-28s %-16s %-6s %-14s %s\n", first ? j->row->claim : "",
                measured(j, w->seeds, text, sizeof text), j->row->band_text, held,
                j->row->published, first ? verdict(w, j) : "");
        fprintf(w->out, "       %s\n", j->row->what);
    }
    count(w, &claims, &good);
    machine_line(w, machine, sizeof machine);
    if (w->options->quick)
        fprintf(w->out, "\n%s\n", says_nothing);
    else
        fprintf(w->out, "\n%d of %d claims reproduced, %d not\n", good, claims,
                claims - good);
    fprintf(w->out, "%.1f s; the %d runs took %.1f s of training in all\n%s\n",
            ex_seconds() - w->start, w->trials.count, trained_seconds(w), machine);
}

/* A cell of a Markdown table. */
static void cell(FILE *f, const char *text)
{
    fputs("| ", f);
    for (; *text; text++)
        fprintf(f, *text == '|' ? "\\%c" : "%c", *text);
    fputc(' ', f);
}

static void write_markdown(const work *w, FILE *f)
{
    char text[128], date[32], machine[700];
    time_t now = time(NULL);
    struct tm utc;
    int claims, good;

    gmtime_r(&now, &utc);
    strftime(date, sizeof date, "%Y-%m-%d", &utc);
    count(w, &claims, &good);
    machine_line(w, machine, sizeof machine);
    fprintf(f, "# %s: claims and what was measured\n\n", w->paper.name);
    fprintf(f, "Made by `fullrank reproduce %s%s%s%s%s%s` on %s.\n", w->paper.name,
            w->options->seeds ? " --seeds " : "",
            w->options->seeds ? w->options->seeds : "",
            w->options->only ? " --only " : "", w->options->only ? w->options->only : "",
            w->options->quick ? " --quick" : "", date);
    if (w->options->quick)
        fprintf(f, "**%s**.\n", says_nothing);
    else
        fprintf(f, "%d of %d claims reproduced, %d not.\n", good, claims, claims - good);
    fprintf(f, "The %d runs took %.0f s of training in all; %s.\n\n", w->trials.count,
            trained_seconds(w), machine);
    fputs("Measured is the mean over seeds, with the least and the greatest. A band has to"
          " hold for every\nseed; a claim holds when all of its rows do.\n\nSeeds:", f);
    for (int s = 0; s < w->seeds; s++)
        fprintf(f, "%s %d", s ? "," : "", w->seed[s]);
    fputs("\n\n| claim | what | published | measured | band | seeds | verdict |\n"
          "|---|---|---|---|---|---|---|\n", f);
    for (int i = 0; i < w->rows; i++) {
        const judged *j = &w->list[i];
        cell(f, j->row->claim);
        cell(f, j->row->what);
        cell(f, j->row->published);
        cell(f, measured(j, w->seeds, text, sizeof text));
        cell(f, j->row->band_text);
        fprintf(f, "| %d/%d ", j->held, w->seeds);
        cell(f, verdict(w, j));
        fputs("|\n", f);
    }
    fputs("\n| claim | quantity | published on | here |\n|---|---|---|---|\n", f);
    for (int i = 0; i < w->rows; i++) {
        const ex_row *r = w->list[i].row;
        char quantity[1024];            /* what a learner's table holds, and more */
        snprintf(quantity, sizeof quantity, "`%.1000s`", r->quantity);
        cell(f, r->claim);
        cell(f, quantity);
        cell(f, r->setting);
        cell(f, r->ours);
        fputs("|\n", f);
    }
}

static nn_status put_markdown(const work *w, nn_err *err)
{
    const char *file = w->options->markdown, *slash = strrchr(file, '/');
    char folder[1024];
    char *text = NULL;
    size_t bytes = 0;
    struct stat st;

    if (stat(file, &st) == 0 && !S_ISREG(st.st_mode))   /* a device would be replaced */
        return nn_fail(err, NN_ECONFIG, "command line: --markdown: %s is not a regular file",
                       file);
    if (strlen(file) >= sizeof folder)
        return nn_fail(err, NN_ECONFIG, "command line: --markdown: the path is too long");
    FILE *f = open_memstream(&text, &bytes);
    NN_NEED(f, "out of memory for a table");
    write_markdown(w, f);
    fclose(f);
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - file) : 1,
             slash ? file : ".");
    nn_status status = ex_file_put(folder[0] ? folder : "/", slash ? slash + 1 : file, text,
                                   bytes, err);
    free(text);
    return status;
}

/* ---- JSON -------------------------------------------------------------------------- */

static json_t *real(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

/* The tables may hold bytes that are not UTF-8, which JSON must be. */
static json_t *words(const char *text)
{
    json_t *s = json_string(text);
    return s ? s : json_string("(not UTF-8)");
}

/* A number where it is one, null for "-". */
static json_t *published(const char *text)
{
    char *end;
    double x = strtod(text, &end);

    if (strcmp(text, "-") == 0)
        return json_null();
    return *text && !*end && isfinite(x) ? json_real(x) : words(text);
}

static json_t *json_row(const ex_row *r)
{
    json_t *o = json_object();

    json_object_set_new(o, "claim", words(r->claim));
    json_object_set_new(o, "what", words(r->what));
    json_object_set_new(o, "quantity", words(r->quantity));
    json_object_set_new(o, "band", words(r->band_text));
    json_object_set_new(o, "published", published(r->published));
    json_object_set_new(o, "setting", words(r->setting));
    json_object_set_new(o, "ours", words(r->ours));
    json_object_set_new(o, "kind", json_string(r->kind == EX_RESULT ? "result"
                                                                    : "mechanism"));
    return o;
}

static void print_object(json_t *o)
{
    json_dumpf(o, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(10));
    putchar('\n');
    json_decref(o);
}

static json_t *json_rows(const work *w)
{
    json_t *rows = json_array();

    for (int i = 0; i < w->rows; i++) {
        const judged *j = &w->list[i];
        json_t *o = json_row(j->row), *each = json_array();
        for (int s = 0; s < w->seeds; s++)
            json_array_append_new(each, real(j->measured[s]));
        json_object_set_new(o, "measured", each);
        json_object_set_new(o, "mean", real(j->mean));
        json_object_set_new(o, "min", real(j->least));
        json_object_set_new(o, "max", real(j->most));
        json_object_set_new(o, "seeds_held", json_integer(j->held));
        json_object_set_new(o, "holds", json_boolean(j->holds));
        json_object_set_new(o, "claim_holds", json_boolean(j->claim_holds));
        json_object_set_new(o, "verdict", json_string(verdict(w, j)));
        json_object_set_new(o, "seconds", real(j->seconds));
        json_array_append_new(rows, o);
    }
    return rows;
}

static void print_json(const work *w, int code)
{
    json_t *o = json_object(), *seeds = json_array();
    char machine[700];
    int claims, good;

    count(w, &claims, &good);
    machine_line(w, machine, sizeof machine);
    for (int s = 0; s < w->seeds; s++)
        json_array_append_new(seeds, json_integer(w->seed[s]));
    json_object_set_new(o, "paper", words(w->paper.name));
    json_object_set_new(o, "quick", json_boolean(w->options->quick));
    json_object_set_new(o, "seeds", seeds);
    json_object_set_new(o, "rows", json_rows(w));
    json_object_set_new(o, "claims", json_integer(claims));
    json_object_set_new(o, "reproduced", json_integer(good));
    json_object_set_new(o, "runs", json_integer(w->trials.count));
    json_object_set_new(o, "seconds", json_real(ex_seconds() - w->start));
    json_object_set_new(o, "trained_seconds", json_real(trained_seconds(w)));
    json_object_set_new(o, "machine", words(machine));
    json_object_set_new(o, "exit", json_integer(code));
    print_object(o);
}

/* ---- --list ------------------------------------------------------------------------ */

static void list_json(const work *w)
{
    json_t *rows = json_array(), *runs = json_array();

    for (int i = 0; i < w->rows; i++)
        json_array_append_new(rows, json_row(w->list[i].row));
    for (int i = 0; i < w->paper.runs; i++) {
        const ex_paper_run *r = &w->paper.run[i];
        json_t *pairs = json_array();
        for (int k = 0; k < r->pairs; k++)
            json_array_append_new(pairs, words(r->pair[k]));
        json_array_append_new(runs, json_pack("{s:o, s:o, s:o}", "run", words(r->name),
                                              "config", words(r->config), "overrides",
                                              pairs));
    }
    print_object(json_pack("{s:o, s:o, s:o}", "paper", words(w->paper.name), "rows", rows,
                           "runs", runs));
}

static void list(const work *w)
{
    for (int i = 0; i < w->rows; i++) {
        const ex_row *r = w->list[i].row;
        fprintf(w->out, "%-6s %s\n       %s %s  (%s)\n       published: %s, %s\n"
                "       here: %s\n", r->claim, r->what, r->quantity, r->band_text,
                r->kind == EX_RESULT ? "result" : "mechanism", r->published, r->setting,
                r->ours);
    }
    fprintf(w->out, "\n");
    for (int i = 0; i < w->paper.runs; i++) {
        const ex_paper_run *r = &w->paper.run[i];
        fprintf(w->out, "%-16s %s", r->name, r->config);
        for (int k = 0; k < r->pairs; k++)
            fprintf(w->out, " %s", r->pair[k]);
        fprintf(w->out, "\n");
    }
}

/* ---- the command ------------------------------------------------------------------- */

static void say_plan(const work *w)
{
    fprintf(w->out, "%s: rows of claims: %d, seeds", w->paper.name, w->rows);
    for (int s = 0; s < w->seeds; s++)
        fprintf(w->out, "%s %d", s ? "," : "", w->seed[s]);
    fprintf(w->out, "; runs: %d, at once: %d, threads of each: %d%s%s\n", w->trials.count,
            w->trials.jobs, w->trials.threads, w->options->quick ? "; " : "",
            w->options->quick ? says_nothing : "");
    fflush(w->out);
}

static int reproduce(work *w, nn_err *err)
{
    const ex_reproduce_options *o = w->options;
    int all, claims, good;

    NN_TRY(ex_paper_read(&w->paper, o->paper, err));
    NN_TRY(choose_rows(w, err));
    NN_TRY(read_seeds(w, err));
    if (o->list) {
        if (o->json)
            list_json(w);
        else
            list(w);
        return NN_OK;
    }
    NN_TRY(ex_machine_choose(o->threads, err));
    NN_TRY(plan(w, err));
    all = nn_par_threads();
    w->trials.jobs = o->jobs ? o->jobs : 1;
    w->trials.threads = all / w->trials.jobs ? all / w->trials.jobs : 1;
    w->trials.out = w->out;
    w->trials.over = check_keys;
    w->trials.arg = w;
    say_plan(w);
    NN_TRY(ex_trials_run(&w->trials, err));
    NN_TRY(judge(w, err));
    if (!o->json)
        print_table(w);
    if (o->markdown)
        NN_TRY(put_markdown(w, err));
    count(w, &claims, &good);
    int code = o->quick || good == claims ? NN_OK : NN_ECLAIM;
    if (o->json)
        print_json(w, code);
    return code;
}

int ex_reproduce(const ex_reproduce_options *o, nn_err *err)
{
    work w = { .options = o, .start = ex_seconds(), .out = o->json ? stderr : stdout };

    if (!o->paper && o->list) {
        ex_paper_list(stdout);
        return NN_OK;
    }
    if (!o->paper)
        return nn_fail(err, NN_ECONFIG,
                       "command line: name a paper; 'fullrank list papers' shows them");
    int code = reproduce(&w, err);
    if (o->json && err->text[0])
        print_object(json_pack("{s:i, s:o}", "exit", code, "message", words(err->text)));
    ex_trials_free(&w.trials);
    ex_paper_free(&w.paper);
    nn_arena_free(&w.arena);
    return code;
}
