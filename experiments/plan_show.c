#include "experiments/plan.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "nn/kern/kern.h"

/* ---- for people ------------------------------------------------------------------- */

static const char *count_text(double n, char *out, size_t size)
{
    if (n < 1e4)
        snprintf(out, size, "%.0f", n);
    else if (n < 1e6)
        snprintf(out, size, "%.1f k", n / 1e3);
    else
        snprintf(out, size, "%.2f M", n / 1e6);
    return out;
}

static const char *time_text(double s, char *out, size_t size)
{
    if (s < 1)
        snprintf(out, size, "%.0f ms", 1e3 * s);
    else if (s < 120)
        snprintf(out, size, "%.1f s", s);
    else if (s < 7200)
        snprintf(out, size, "%.1f minutes", s / 60);
    else if (s < 172800)
        snprintf(out, size, "%.1f hours", s / 3600);
    else
        snprintf(out, size, "%.1f days", s / 86400);
    return out;
}

static const char *plural(int n)
{
    return n == 1 ? "" : "s";
}

static void size_line(FILE *out, const char *what, double bytes, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void size_line(FILE *out, const char *what, double bytes, const char *format, ...)
{
    char text[32];
    va_list ap;

    fprintf(out, "  %-13s %11s", what, ex_memory_text(bytes, text, sizeof text));
    va_start(ap, format);
    vfprintf(out, format, ap);
    va_end(ap);
    fputc('\n', out);
}

static void print_memory(const ex_plan *p, FILE *out)
{
    const ex_peaks *m = p->steps_timed ? &p->measured : &p->estimate;
    static const char *const views[] = { "", "one view", "two views", "three views",
                                         "four views" };
    const ex_config *c = p->config;
    char a[32], b[32], guess[64] = "";

    if (p->steps_timed)
        snprintf(guess, sizeof guess, ", estimated %s",
                 ex_memory_text(ex_peaks_sum(&p->estimate), a, sizeof a));
    fprintf(out, "memory        %s %s%s\n", ex_memory_text(ex_peaks_sum(m), a, sizeof a),
            p->steps_timed ? "measured" : "estimated", guess);
    size_line(out, "forever", m->forever, "  kept for the whole run:");
    size_line(out, "  data set", p->data, "  %d training, %d held-out images", p->train,
              p->test);
    size_line(out, "  network", p->weights, "  weights, gradients, running statistics");
    size_line(out, "  optimiser", p->optimiser, "%s", "");
    size_line(out, "  batches", p->batches, "  two, of %s each",
              views[ssl_view_count(c->method, c->method_config)]);
    size_line(out, "  evaluation", p->buffers, "%s", "");
    size_line(out, "  checkpoint", p->saving, "%s", "");
    size_line(out, "step", m->step, "  values and gradients: training %s, evaluation %s",
              ex_memory_text(m->training, a, sizeof a),
              ex_memory_text(m->evaluation, b, sizeof b));
    size_line(out, "scratch", m->scratch,
              "  inside an operator: training %s, evaluation %s",
              ex_memory_text(m->training_scratch, a, sizeof a),
              ex_memory_text(m->evaluation_scratch, b, sizeof b));
    if (p->room.bytes == SIZE_MAX)
        fprintf(out, "limit         none is known here\n");
    else
        fprintf(out, "limit         %s: %s; it %s\n",
                ex_memory_text((double)p->room.bytes, a, sizeof a), p->room.name,
                p->fits ? "fits" : "does not fit");
    fprintf(out, "checkpoint    %s on disk, and the log\n",
            ex_memory_text(p->file, a, sizeof a));
}

static void print_time(const ex_plan *p, FILE *out)
{
    char a[32], b[32], c[32];

    if (!p->steps_timed) {
        fprintf(out, "time          not measured\n");
        return;
    }
    double work = p->forward + p->backward + p->search;
    fprintf(out, "time          %s in all: start %s, then %d x %d steps and %d"
            " evaluation%s\n", time_text(p->seconds, a, sizeof a),
            time_text(p->start_seconds, b, sizeof b), p->config->top.epochs, p->steps,
            p->evaluations, plural(p->evaluations));
    fprintf(out, "  a step      %s, %.0f images/s, %.1f GFLOP/s (mean of %d with %d"
            " threads)\n", time_text(p->step_seconds, a, sizeof a),
            p->config->top.batch / p->step_seconds, 1e-9 * work / p->step_seconds,
            p->steps_timed, p->threads);
    fprintf(out, "  evaluation  %s (1 measured)\n",
            time_text(p->evaluation_seconds, c, sizeof c));
    if (p->probes)
        fprintf(out, "  probe       %s (1 measured), %d time%s\n",
                time_text(p->linear_seconds, c, sizeof c), p->probes, plural(p->probes));
}

/* The codebook and its settings, all of them, in lines of readable length. */
static void print_codes(const ex_plan *p, FILE *out)
{
    enum { MOST = 90, INDENT = 14 };
    const ex_section *s = &p->config->section[EX_QUANTISER];
    int at = MOST;
    char value[512];

    if (!p->parts)
        return;
    fprintf(out, "quantiser     %s: %d codebook%s of %d codes, %d number%s each;"
            " %d vector%s an image", s->chosen, p->parts, plural(p->parts), p->codes, p->columns,
            plural(p->columns), p->places, plural(p->places));
    for (int i = 0; i < s->rows; i++) {
        if (!ex_row_counts(p->config, EX_QUANTISER, i))
            continue;
        ex_value_text(&s->table[i], s->at, value, sizeof value);
        int width = (int)(strlen(s->table[i].name) + strlen("  =") + strlen(value));
        if (at + width > MOST) {
            fprintf(out, "\n%*s", INDENT - 2, "");
            at = INDENT - 2;
        }
        fprintf(out, "  %s=%s", s->table[i].name, value);
        at += width;
    }
    fputc('\n', out);
}

void ex_plan_words(const ex_plan *p, FILE *out)
{
    const ex_config *c = p->config;
    char a[32], b[32], d[32], e[32];

    fprintf(out, "run           %s", c->method->name);
    for (int i = 0; i < c->extras; i++)
        fprintf(out, " + %s", c->extra[i].addon->name);
    fprintf(out, " with %s on %s, batch %d\n", c->model->name, c->source->name,
            c->top.batch);
    print_codes(p, out);
    fprintf(out, "parameters    %s: backbone %s, heads %s%s%s\n",
            count_text(p->parameters, a, sizeof a),
            count_text(p->backbone, b, sizeof b),
            count_text(p->parameters - p->backbone, d, sizeof d),
            p->frozen > 0 ? "; frozen " : "",
            p->frozen > 0 ? count_text(p->frozen, e, sizeof e) : "");
    fprintf(out, "steps         %d an epoch, %.0f in %d epoch%s; %d evaluation%s\n",
            p->steps, (double)p->steps * c->top.epochs, c->top.epochs,
            plural(c->top.epochs), p->evaluations, plural(p->evaluations));
    fprintf(out, "work          %.3g GFLOP a step: forward %.3g, backward %.3g",
            1e-9 * (p->forward + p->backward + p->search), 1e-9 * p->forward,
            1e-9 * p->backward);
    if (p->search > 0)
        fprintf(out, ", search of codes %.3g", 1e-9 * p->search);
    fprintf(out, " (products and convolutions)\n");
    print_memory(p, out);
    print_time(p, out);
}

/* ---- for programs ------------------------------------------------------------------ */

static json_t *whole(double x)
{
    return json_integer((json_int_t)x);
}

static json_t *peaks_json(const ex_peaks *p)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "bytes",
                     whole(ex_peaks_sum(p)), "forever", whole(p->forever), "step",
                     whole(p->step), "scratch", whole(p->scratch), "step_training",
                     whole(p->training), "step_evaluation", whole(p->evaluation),
                     "scratch_training", whole(p->training_scratch), "scratch_evaluation",
                     whole(p->evaluation_scratch));
}

/* null without a codebook. */
static json_t *quantiser_json(const ex_plan *p)
{
    const ex_section *s = &p->config->section[EX_QUANTISER];
    json_t *settings = json_object();
    char value[512];

    if (!p->parts) {
        json_decref(settings);
        return json_null();
    }
    for (int i = 0; i < s->rows; i++)
        if (ex_row_counts(p->config, EX_QUANTISER, i))
            json_object_set_new(settings, s->table[i].name, json_string(
                ex_value_text(&s->table[i], s->at, value, sizeof value)));
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:o}", "name", s->chosen, "codebooks",
                     p->parts, "codes", p->codes, "columns", p->columns,
                     "vectors_per_image", p->places, "settings", settings);
}

static void add_figures(json_t *o, const ex_plan *p)
{
    const ex_config *c = p->config;
    int timed = p->steps_timed;

    json_object_update_new(o, json_pack(
        "{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "method",
        c->method->name, "model", c->model->name, "data", c->source->name, "kernel",
        nn_kern_now->name, "threads", p->threads, "batch", c->top.batch, "epochs",
        c->top.epochs, "steps_per_epoch", p->steps, "evaluations", p->evaluations,
        "train", p->train, "test", p->test));
    json_object_set_new(o, "parameters", json_pack(
        "{s:o, s:o, s:o, s:o}", "all", whole(p->parameters), "backbone",
        whole(p->backbone), "heads", whole(p->parameters - p->backbone), "frozen",
        whole(p->frozen)));
    json_object_set_new(o, "flops", json_pack("{s:f, s:f, s:f}", "forward", p->forward,
                                              "backward", p->backward, "search",
                                              p->search));
    json_object_set_new(o, "quantiser", quantiser_json(p));
    json_t *limit = p->room.bytes == SIZE_MAX
                    ? json_null() : whole((double)p->room.bytes);
    json_object_set_new(o, "memory", json_pack(
        "{s:o, s:o, s:o, s:o, s:s, s:b, s:o}", "estimated", peaks_json(&p->estimate),
        "measured", timed ? peaks_json(&p->measured) : json_null(), "aside",
        whole(p->aside), "limit", limit,
        "limit_name", p->room.name, "fits", p->fits, "largest_batch",
        p->largest < 0 ? json_null() : json_integer(p->largest)));
    json_object_set_new(o, "forever", json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o}", "data", whole(p->data), "network",
        whole(p->weights), "optimiser", whole(p->optimiser), "batches", whole(p->batches),
        "evaluation", whole(p->buffers), "checkpoint", whole(p->saving)));
    json_object_set_new(o, "checkpoint_bytes", whole(p->file));
    json_object_set_new(o, "time", !timed ? json_null() : json_pack(
        "{s:f, s:i, s:f, s:i, s:f, s:i, s:f, s:f}", "step_seconds", p->step_seconds,
        "steps_measured", timed, "evaluation_seconds", p->evaluation_seconds,
        "evaluations_measured", 1, "linear_seconds", p->linear_seconds, "linear_probes",
        p->probes, "start_seconds", p->start_seconds, "seconds",
        p->seconds));
}

void ex_plan_json(const ex_plan *p, nn_status status, const char *message, FILE *out)
{
    json_t *o = json_object(), *words = json_string(message);

    json_object_set_new(o, "exit", json_integer(status));
    json_object_set_new(o, "message", words ? words : json_string("(not UTF-8)"));
    if (p)
        add_figures(o, p);
    json_dumpf(o, out, JSON_INDENT(2) | JSON_REAL_PRECISION(10));
    fputc('\n', out);
    json_decref(o);
}
