#include "experiments/paper.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "experiments/formula.h"

enum {
    LARGEST = 1 << 20,          /* bytes of a table; ours have a few thousand */
    MOST_COLUMNS = 8,
    MOST_PAIRS = 64,            /* settings of a run */
    MOST_PAPERS = 256,
    MOST_PATH = 4096
};

/* A line that counts, cut into its columns. */
typedef struct row {
    const char *column[MOST_COLUMNS];
    int columns, line;
} row;

/* ---- tables ------------------------------------------------------------------------ */

static const char *joined(nn_arena *a, const char *folder, const char *name)
{
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = NN_NEW(a, char, size);

    snprintf(path, size, "%s/%s", folder, name);
    return path;
}

static nn_status whole(const char *file, nn_arena *a, char **text, nn_err *err)
{
    struct stat st;
    errno = 0;
    FILE *f = stat(file, &st) == 0 && S_ISREG(st.st_mode) ? fopen(file, "rb") : NULL;

    if (!f)
        return nn_fail(err, NN_ECONFIG, "%s: %s", file,
                       errno ? strerror(errno) : "not a regular file");
    if (st.st_size > LARGEST) {
        fclose(f);
        return nn_fail(err, NN_ECONFIG, "%s: larger than %d bytes", file, LARGEST);
    }
    *text = NN_NEW(a, char, st.st_size + 1);
    size_t n = fread(*text, 1, (size_t)st.st_size, f);
    (*text)[n] = 0;
    fclose(f);
    if (strlen(*text) != n)
        return nn_fail(err, NN_ECONFIG, "%s: holds a zero byte", file);
    return NN_OK;
}

/* The one comment that matters. */
typedef struct quick { const char *text; int line; } quick;

/* Cuts the next line that counts off *text; 0 at the end. */
static int next_row(char **text, int *line, row *r, quick *q)
{
    static const char mark[] = "# quick:";

    while (**text) {
        char *start = *text, *end = start + strcspn(start, "\n");
        *text = *end ? end + 1 : end;
        *end = 0;
        if (end > start && end[-1] == '\r')
            end[-1] = 0;
        ++*line;
        if (q && strncmp(start, mark, strlen(mark)) == 0)
            *q = (quick){ start + strlen(mark), *line };
        if (!*start || *start == '#')
            continue;
        *r = (row){ .line = *line };
        for (char *c = start; c && r->columns < MOST_COLUMNS; r->columns++) {
            r->column[r->columns] = c;
            c = strchr(c, '\t');
            if (c && r->columns < MOST_COLUMNS - 1)
                *c++ = 0;
        }
        return 1;
    }
    return 0;
}

/* The line that names the columns. */
static nn_status header(const char *file, char **text, int *line,
                        const char *const *names, int count, quick *q, nn_err *err)
{
    row r;
    int same = next_row(text, line, &r, q);
    char wanted[128] = "";

    same = same && r.columns == count;
    for (int i = 0; i < count; i++) {
        same = same && strcmp(r.column[i], names[i]) == 0;
        size_t n = strlen(wanted);
        snprintf(wanted + n, sizeof wanted - n, "%s%s", i ? " " : "", names[i]);
    }
    if (!same)
        return nn_fail(err, NN_ECONFIG, "%s:%d: the first line names the columns, a tab"
                       " between two: %s", file, *line ? *line : 1, wanted);
    return NN_OK;
}

/* ---- runs.tsv ---------------------------------------------------------------------- */

/* Cuts "KEY=VALUE KEY=VALUE" at its spaces. */
static nn_status pairs_of(ex_paper *p, const char *words, int line, int *count,
                          const char *const **list, nn_err *err)
{
    char *text = nn_arena_copy(&p->text, words), *save = NULL;
    const char **pair = NN_NEW(&p->text, const char *, MOST_PAIRS);

    *count = 0;
    for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        const char *equals = strchr(w, '=');
        if (!equals || equals == w)
            return nn_fail(err, NN_ECONFIG, "%s:%d: wants KEY=VALUE, not '%.80s'",
                           p->runs_file, line, w);
        if (*count == MOST_PAIRS)
            return nn_fail(err, NN_ECONFIG, "%s:%d: more than %d settings", p->runs_file,
                           line, MOST_PAIRS);
        pair[(*count)++] = w;
    }
    *list = pair;
    return NN_OK;
}

static int is_name(const char *word)
{
    return *word && strlen(word) < 64
           && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
              == strlen(word);
}

static int lines_of(const char *text)
{
    int n = 1;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static nn_status read_runs(ex_paper *p, nn_err *err)
{
    static const char *const names[] = { "run", "config", "overrides" };
    quick q = { "", 0 };
    char *text;
    int line = 0;
    row r;

    NN_TRY(whole(p->runs_file, &p->text, &text, err));
    p->run = NN_NEW0(&p->text, ex_paper_run, lines_of(text));
    NN_TRY(header(p->runs_file, &text, &line, names, NN_COUNT(names), &q, err));
    while (next_row(&text, &line, &r, &q)) {
        ex_paper_run *run = &p->run[p->runs];
        if (r.columns != 2 && r.columns != 3)
            return nn_fail(err, NN_ECONFIG, "%s:%d: wants 3 columns (run, config,"
                           " overrides), not %d", p->runs_file, r.line, r.columns);
        if (!is_name(r.column[0]))
            return nn_fail(err, NN_ECONFIG, "%s:%d: a run is named with letters, digits and"
                           " '_', not '%.80s'", p->runs_file, r.line, r.column[0]);
        if (ex_paper_run_of(p, r.column[0]))
            return nn_fail(err, NN_ECONFIG, "%s:%d: there is a run '%s' already",
                           p->runs_file, r.line, r.column[0]);
        run->name = r.column[0];
        run->config = joined(&p->text, p->folder, r.column[1]);
        run->line = r.line;
        if (access(run->config, R_OK) != 0)
            return nn_fail(err, NN_ECONFIG, "%s:%d: %s: %s", p->runs_file, r.line,
                           run->config, strerror(errno));
        NN_TRY(pairs_of(p, r.columns == 3 ? r.column[2] : "", r.line, &run->pairs,
                        &run->pair, err));
        p->runs++;
    }
    return pairs_of(p, q.text, q.line, &p->quick_pairs, &p->quick, err);
}

const ex_paper_run *ex_paper_run_of(const ex_paper *p, const char *name)
{
    for (int i = 0; i < p->runs; i++)
        if (strcmp(p->run[i].name, name) == 0)
            return &p->run[i];
    return NULL;
}

const char *ex_paper_near_run(const ex_paper *p, const char *name)
{
    const char **known = calloc((size_t)p->runs + 1, sizeof *known), *near = NULL;

    if (known) {
        for (int i = 0; i < p->runs; i++)
            known[i] = p->run[i].name;
        near = nn_nearest(name, known);
    }
    free(known);
    return near;
}

/* ---- expected.tsv ------------------------------------------------------------------ */

/* A number at *text, followed by a space or the end. */
static int take_number(const char **text, double *x)
{
    char *end;

    *x = strtod(*text, &end);
    if (end == *text || (*end && *end != ' ') || !isfinite(*x))
        return 0;
    *text = end + strspn(end, " ");
    return 1;
}

static int read_band(const char *text, ex_band *b)
{
    size_t n = strcspn(text, " ");
    const char *at = text + n + strspn(text + n, " ");

    if (n < 1 || n > 2)
        return 0;
    snprintf(b->op, sizeof b->op, "%.*s", (int)n, text);
    if (strcmp(b->op, "in") == 0)
        return take_number(&at, &b->lo) && take_number(&at, &b->hi) && !*at
               && b->lo <= b->hi;
    int below = strcmp(b->op, "<") == 0 || strcmp(b->op, "<=") == 0;
    int above = strcmp(b->op, ">") == 0 || strcmp(b->op, ">=") == 0;
    return (below || above) && take_number(&at, below ? &b->hi : &b->lo) && !*at;
}

int ex_band_holds(const ex_band *b, double x)
{
    if (strcmp(b->op, "<") == 0)
        return x < b->hi;
    if (strcmp(b->op, "<=") == 0)
        return x <= b->hi;
    if (strcmp(b->op, ">") == 0)
        return x > b->lo;
    if (strcmp(b->op, ">=") == 0)
        return x >= b->lo;
    return x >= b->lo && x <= b->hi;
}

/* ex_formula's getter while only the grammar and the runs' names are looked at. */
typedef struct known_runs { const ex_paper *paper; const char *where; } known_runs;

static nn_status check_figure(void *from, const ex_figure *f, double *value, nn_err *err)
{
    const known_runs *k = from;

    *value = 1;
    if (ex_paper_run_of(k->paper, f->run))
        return NN_OK;
    const char *near = ex_paper_near_run(k->paper, f->run);
    return nn_fail(err, NN_ECONFIG, "%s: no run '%s' in %s%s%s%s", k->where, f->run,
                   k->paper->runs_file, near ? "; did you mean '" : "", near ? near : "",
                   near ? "'?" : "");
}

static nn_status read_row(ex_paper *p, const row *r, nn_err *err)
{
    ex_row *x = &p->row[p->rows];
    char where[MOST_PATH];
    double value;

    snprintf(where, sizeof where, "%s:%d", p->rows_file, r->line);
    if (r->columns != 8 || strchr(r->column[7], '\t'))
        return nn_fail(err, NN_ECONFIG, "%s: wants 8 columns (claim, what, quantity, band,"
                       " published, setting, ours, kind), not %d%s", where, r->columns,
                       r->columns == 8 ? " and more" : "");
    *x = (ex_row){ r->column[0], r->column[1], r->column[2], r->column[3], r->column[4],
                   r->column[5], r->column[6], .line = r->line };
    for (int i = 0; i < 7; i++)
        if (!*r->column[i])
            return nn_fail(err, NN_ECONFIG, "%s: column %d is empty; write '-'", where,
                           i + 1);
    if (strpbrk(x->claim, " ,"))
        return nn_fail(err, NN_ECONFIG, "%s: a claim's id has no spaces and commas: '%s'",
                       where, x->claim);
    if (!read_band(x->band_text, &x->band))
        return nn_fail(err, NN_ECONFIG, "%s: a band is '< X', '<= X', '> X', '>= X' or"
                       " 'in X Y', not '%.80s'", where, x->band_text);
    if (strcmp(r->column[7], "mechanism") != 0 && strcmp(r->column[7], "result") != 0)
        return nn_fail(err, NN_ECONFIG, "%s: a claim's kind is mechanism or result, not"
                       " '%.80s'", where, r->column[7]);
    x->kind = r->column[7][0] == 'r' ? EX_RESULT : EX_MECHANISM;
    for (int i = 0; i < p->rows; i++)
        if (strcmp(p->row[i].claim, x->claim) == 0 && p->row[i].kind != x->kind)
            return nn_fail(err, NN_ECONFIG, "%s: claim %s is of the other kind in line %d",
                           where, x->claim, p->row[i].line);
    p->rows++;
    return ex_formula(x->quantity, where, check_figure, &(known_runs){ p, where }, &value,
                      err);
}

static nn_status read_rows(ex_paper *p, nn_err *err)
{
    static const char *const names[] = { "claim", "what", "quantity", "band", "published",
                                         "setting", "ours", "kind" };
    char *text;
    int line = 0;
    row r;

    NN_TRY(whole(p->rows_file, &p->text, &text, err));
    p->row = NN_NEW0(&p->text, ex_row, lines_of(text));
    NN_TRY(header(p->rows_file, &text, &line, names, NN_COUNT(names), NULL, err));
    while (next_row(&text, &line, &r, NULL))
        NN_TRY(read_row(p, &r, err));
    return p->rows ? NN_OK : nn_fail(err, NN_ECONFIG, "%s: no claims in it", p->rows_file);
}

/* ---- folders ----------------------------------------------------------------------- */

/* Where papers lie, nearest first. */
static int places(nn_arena *a, const char *place[3])
{
    char exe[MOST_PATH];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);

    place[0] = "experiments";
    if (n <= 0)
        return 1;
    exe[n] = 0;
    *strrchr(exe, '/') = 0;
    place[1] = joined(a, exe, "experiments");
    place[2] = joined(a, exe, "../share/fullrank/experiments");
    return 3;
}

static int has_claims(nn_arena *a, const char *folder)
{
    return access(joined(a, folder, "expected.tsv"), F_OK) == 0;
}

static int by_name(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* The names of all papers, sorted, without repetition; ends with NULL. */
static int papers(nn_arena *a, const char **name)
{
    const char *place[3];
    int count = 0, n = places(a, place);

    for (int i = 0; i < n; i++) {
        DIR *d = opendir(place[i]);
        for (struct dirent *e; d && (e = readdir(d)) && count < MOST_PAPERS;) {
            int known = e->d_name[0] == '.';
            for (int k = 0; k < count && !known; k++)
                known = strcmp(name[k], e->d_name) == 0;
            if (!known && has_claims(a, joined(a, place[i], e->d_name)))
                name[count++] = nn_arena_copy(a, e->d_name);
        }
        if (d)
            closedir(d);
    }
    qsort(name, (size_t)count, sizeof *name, by_name);
    name[count] = NULL;
    return count;
}

static nn_status find(ex_paper *p, const char *name, nn_err *err)
{
    const char *known[MOST_PAPERS + 1], *place[3];
    int n = places(&p->text, place);

    if (strchr(name, '/')) {
        char *own = nn_arena_copy(&p->text, name);
        for (size_t k = strlen(own); k > 1 && own[k - 1] == '/'; k--)
            own[k - 1] = 0;
        p->folder = own;
        p->name = strrchr(own, '/') ? strrchr(own, '/') + 1 : own;
        if (has_claims(&p->text, own))
            return NN_OK;
        return nn_fail(err, NN_ECONFIG, "command line: %s: no expected.tsv in this folder",
                       own);
    }
    for (int i = 0; i < n; i++) {
        p->folder = joined(&p->text, place[i], name);
        if (*name && has_claims(&p->text, p->folder)) {
            p->name = nn_arena_copy(&p->text, name);
            return NN_OK;
        }
    }
    papers(&p->text, known);
    const char *near = nn_nearest(name, known);
    return nn_fail(err, NN_ECONFIG, "command line: no paper '%.80s'%s%s%s", name,
                   near ? "; did you mean '" : "; 'fullrank list papers' shows them",
                   near ? near : "", near ? "'?" : "");
}

nn_status ex_paper_read(ex_paper *p, const char *name, nn_err *err)
{
    *p = (ex_paper){0};
    NN_TRY(find(p, name, err));
    p->runs_file = joined(&p->text, p->folder, "runs.tsv");
    p->rows_file = joined(&p->text, p->folder, "expected.tsv");
    NN_TRY(read_runs(p, err));
    return read_rows(p, err);
}

void ex_paper_free(ex_paper *p)
{
    nn_arena_free(&p->text);
    *p = (ex_paper){0};
}

static int claims_of(const ex_paper *p)
{
    int count = 0;

    for (int i = 0; i < p->rows; i++) {
        int seen = 0;
        for (int k = 0; k < i; k++)
            seen |= strcmp(p->row[k].claim, p->row[i].claim) == 0;
        count += !seen;
    }
    return count;
}

void ex_paper_list(FILE *out)
{
    const char *name[MOST_PAPERS + 1];
    nn_arena own = {0};
    int count = papers(&own, name);

    for (int i = 0; i < count; i++) {
        ex_paper p;
        nn_err err = {0};
        if (ex_paper_read(&p, name[i], &err) == NN_OK)
            fprintf(out, "%-14s %d claims, %d runs; %s\n", name[i], claims_of(&p), p.runs,
                    p.folder);
        else
            fprintf(out, "%-14s %s\n", name[i], err.text);
        ex_paper_free(&p);
    }
    nn_arena_free(&own);
}
