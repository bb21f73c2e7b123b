#include "experiments/profile.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Layers shown to people; the file has them all. */
enum { LAYERS = 10 };

static const char *const way_word[] = { "forward", "backward", "" };

void ex_profile_start(ex_profile *p, int on)
{
    *p = (ex_profile){ .on = on };
    if (!on)
        return;
    p->begin = p->lap = nn_profile_now();
    p->step.most_events = p->run.most_events = EX_MOST_BOXES;
}

void ex_profile_free(ex_profile *p)
{
    nn_profile_free(&p->step);
    nn_profile_free(&p->run);
}

void ex_profile_lap(ex_profile *p, const char *part)
{
    if (!p->on)
        return;
    nn_profile_part(&p->run, part, p->lap);
    p->lap = nn_profile_now();
}

void ex_profile_step(ex_profile *p, nn_tape *t)
{
    if (p->on && p->steps++ >= EX_WARM)
        t->profile = &p->step;
}

void ex_profile_stepped(ex_profile *p, nn_tape *t, double from)
{
    if (t->profile) {
        p->seconds += nn_profile_now() - from;
        p->counted++;
    }
    t->profile = NULL;
    ex_profile_lap(p, "training steps");
    if (p->counted == EX_TRACED) {              /* the picture is complete */
        p->step.most_events = p->step.events;
        p->run.most_events = p->run.events;
    }
}

/* ---- rows, the longest first ------------------------------------------------------- */

static int by_time(const void *a, const void *b)
{
    const nn_cost *p = a, *q = b;
    return (p->seconds < q->seconds) - (p->seconds > q->seconds);
}

/* A copy of the costs, to be freed: operators without regard to layer and shape when
 * `merged`, and, unless it is negative, what is left of `whole` seconds as "all else". */
static nn_cost *rows_of(const nn_profile *p, int merged, double whole, int *rows)
{
    nn_cost *row = calloc((size_t)p->costs + 1, sizeof *row);
    int n = 0;

    NN_NEED(row, "out of memory for a profile of %d rows", p->costs);
    for (int i = 0; i < p->costs; i++) {
        const nn_cost *one = &p->cost[i];
        int at = merged ? 0 : n;
        while (at < n && (row[at].way != one->way || strcmp(row[at].name, one->name) != 0))
            at++;
        whole -= one->seconds;
        if (at == n) {
            row[n++] = *one;
            continue;
        }
        row[at].calls += one->calls;
        row[at].seconds += one->seconds;
        row[at].flops += one->flops;
        row[at].bytes += one->bytes;
    }
    if (whole >= 0)
        row[n++] = (nn_cost){ .name = "all else", .way = NN_BESIDE, .seconds = whole };
    qsort(row, (size_t)n, sizeof *row, by_time);
    *rows = n;
    return row;
}

/* "conv1" of "conv1.weight"; the copy is good until the next call's. */
static const char *layer_of(const nn_cost *c, char *out, size_t size)
{
    const char *dot = c->layer ? strrchr(c->layer, '.') : NULL;
    snprintf(out, size, "%.*s", dot ? (int)(dot - c->layer) : 0, c->layer ? c->layer : "");
    return out;
}

/* "(64, 32, 32, 64) -> (64, 16, 16, 128)" */
static const char *shapes_of(const nn_cost *c, char *out, size_t size)
{
    char in[64], result[64];
    snprintf(out, size, "%s -> %s", nn_shape_text(&c->in, in, sizeof in),
             nn_shape_text(&c->out, result, sizeof result));
    return out;
}

/* ---- for people -------------------------------------------------------------------- */

static void print_rate(FILE *out, double amount, double seconds)
{
    if (amount > 0 && seconds > 0)
        fprintf(out, " %9.1f", 1e-9 * amount / seconds);
    else
        fprintf(out, " %9s", "-");
}

/* A line: calls and milliseconds of one step. */
static void print_cost(const ex_profile *p, const nn_cost *c, const char *what, FILE *out)
{
    double n = p->counted;
    char calls[32] = "";

    if (c->calls)
        snprintf(calls, sizeof calls, "%.4g", (double)c->calls / n);
    fprintf(out, "%-20s %-8s %6s %10.3f %6.1f %%", what, way_word[c->way], calls,
            1e3 * c->seconds / n, 100 * c->seconds / p->seconds);
    print_rate(out, c->flops, c->seconds);
    print_rate(out, c->bytes, c->seconds);
}

static void print_head(FILE *out, const char *what)
{
    fprintf(out, "%-20s %-8s %6s %10s %8s %9s %9s\n", what, "way", "calls", "ms", "share",
            "GFLOP/s", "GB/s");
}

static void print_layers(const ex_profile *p, FILE *out)
{
    char layer[128], shapes[160];
    int rows;
    nn_cost *row = rows_of(&p->step, 0, -1, &rows);

    print_head(out, "costliest layers");
    for (int i = 0, shown = 0; i < rows && shown < LAYERS; i++) {
        if (row[i].way == NN_BESIDE)
            continue;
        print_cost(p, &row[i], row[i].name, out);
        fprintf(out, "  %s %s\n", layer_of(&row[i], layer, sizeof layer),
                shapes_of(&row[i], shapes, sizeof shapes));
        shown++;
    }
    free(row);
}

static void print_run(const ex_profile *p, FILE *out)
{
    double whole = p->lap - p->begin;
    int rows;
    nn_cost *row = rows_of(&p->run, 1, -1, &rows);

    fprintf(out, "%-40s %6s %10s %8s\n", "the run", "times", "s", "share");
    for (int i = 0; i < rows; i++)
        fprintf(out, "%-40s %6ld %10.3f %6.1f %%\n", row[i].name, row[i].calls,
                row[i].seconds, 100 * row[i].seconds / whole);
    fprintf(out, "%-40s %6s %10.3f %6.1f %%\n", "in all", "", whole, 100.0);
    free(row);
}

void ex_profile_print(const ex_profile *p, int threads, FILE *out)
{
    int rows;

    if (!p->counted) {
        fprintf(out, "\nno profile of a step: %d were done, and the first %d are not"
                " counted\n\n", p->steps, EX_WARM);
        print_run(p, out);
        return;
    }
    fprintf(out, "\nprofile of %d steps of %.3f ms on %d thread%s; the %d before them are"
            " not counted\n\n", p->counted, 1e3 * p->seconds / p->counted, threads,
            threads == 1 ? "" : "s", EX_WARM);
    nn_cost *row = rows_of(&p->step, 1, p->seconds, &rows);
    print_head(out, "operator");
    for (int i = 0; i < rows; i++) {
        print_cost(p, &row[i], row[i].name, out);
        putc('\n', out);
    }
    free(row);
    fprintf(out, "%-20s %-8s %6s %10.3f %6.1f %%\n\n", "a step", "", "",
            1e3 * p->seconds / p->counted, 100.0);
    print_layers(p, out);
    putc('\n', out);
    print_run(p, out);
}

/* ---- for programs ------------------------------------------------------------------ */

/* One process; a track for the run and one for each way. */
enum { PROCESS = 1, TRACK_RUN, TRACK_FIRST };

static json_t *named(const char *kind, int track, const char *name)
{
    return json_pack("{s:s, s:s, s:i, s:i, s:{s:s}}", "ph", "M", "name", kind, "pid",
                     PROCESS, "tid", track, "args", "name", name);
}

static json_t *shape_json(const nn_shape *s)
{
    json_t *list = json_array();
    for (int i = 0; i < s->rank; i++)
        json_array_append_new(list, json_integer(s->dim[i]));
    return list;
}

/* Boxes of one profile; times in microseconds since the start of the process. */
static void add_boxes(json_t *list, const ex_profile *p, const nn_profile *from)
{
    char name[256], shapes[160];

    for (int i = 0; i < from->events; i++) {
        const nn_event *e = &from->event[i];
        const nn_cost *c = &from->cost[e->cost];
        int track = from == &p->run ? TRACK_RUN : TRACK_FIRST + (int)c->way;
        snprintf(name, sizeof name, "%s", c->name);
        if (c->way != NN_BESIDE)
            snprintf(name, sizeof name, "%s %s %s", c->name, way_word[c->way],
                     shapes_of(c, shapes, sizeof shapes));
        json_t *args = json_object();
        if (c->layer)
            json_object_set_new(args, "layer", json_string(c->layer));
        if (c->way != NN_BESIDE) {              /* calls of one cost are all alike */
            json_object_set_new(args, "flops",
                                json_real(c->flops / (double)c->calls));
            json_object_set_new(args, "bytes",
                                json_real(c->bytes / (double)c->calls));
        }
        json_array_append_new(list, json_pack(
            "{s:s, s:s, s:s, s:i, s:i, s:f, s:f, s:o}", "ph", "X", "name", name, "cat",
            c->way == NN_BESIDE ? "part" : way_word[c->way], "pid", PROCESS, "tid", track,
            "ts", 1e6 * (e->from - p->begin), "dur", 1e6 * e->seconds, "args", args));
    }
}

static json_t *boxes(const ex_profile *p)
{
    json_t *list = json_array();

    json_array_append_new(list, named("process_name", TRACK_RUN, "fullrank train"));
    json_array_append_new(list, named("thread_name", TRACK_RUN, "run"));
    json_array_append_new(list, named("thread_name", TRACK_FIRST + NN_FORWARD, "forward"));
    json_array_append_new(list, named("thread_name", TRACK_FIRST + NN_BACKWARD,
                                      "backward"));
    json_array_append_new(list, named("thread_name", TRACK_FIRST + NN_BESIDE,
                                      "beside the tape"));
    add_boxes(list, p, &p->run);
    add_boxes(list, p, &p->step);
    return list;
}

/* Sums over all counted steps, or over the run. */
static json_t *sums(const nn_profile *from, double whole)
{
    json_t *list = json_array();
    int rows;
    nn_cost *row = rows_of(from, 0, whole, &rows);

    for (int i = 0; i < rows; i++) {
        const nn_cost *c = &row[i];
        json_t *o = json_pack("{s:s, s:I, s:f}", "name", c->name, "calls",
                              (json_int_t)c->calls, "seconds", c->seconds);
        if (c->way != NN_BESIDE) {
            json_object_set_new(o, "way", json_string(way_word[c->way]));
            json_object_set_new(o, "layer", c->layer ? json_string(c->layer)
                                                     : json_null());
            json_object_set_new(o, "in", shape_json(&c->in));
            json_object_set_new(o, "out", shape_json(&c->out));
            json_object_set_new(o, "flops", json_real(c->flops));
            json_object_set_new(o, "bytes", json_real(c->bytes));
        }
        json_array_append_new(list, o);
    }
    free(row);
    return list;
}

nn_status ex_profile_write(const ex_profile *p, const ex_folder *f, int threads,
                           nn_err *err)
{
    json_t *o = json_pack("{s:o, s:s, s:i, s:i, s:f, s:o, s:o}", "traceEvents", boxes(p),
                          "displayTimeUnit", "ms", "threads", threads, "steps", p->counted,
                          "seconds", p->seconds, "operators",
                          sums(&p->step, p->seconds), "run", sums(&p->run, -1));
    NN_NEED(o, EX_PROFILE " cannot be made");
    /* twelve digits of microseconds: a nanosecond up to a quarter of an hour */
    char *text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(12));
    NN_NEED(text, "out of memory for " EX_PROFILE);
    nn_status status = ex_file_put(f->path, EX_PROFILE, text, strlen(text), err);
    free(text);
    json_decref(o);
    return status;
}
