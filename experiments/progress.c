#include "experiments/progress.h"

#include <langinfo.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The bar is redrawn at most so often; more is not seen and costs time. */
static const double redraw_seconds = 0.1;

enum { BAR = 20, GAUGE = 10 };

double ex_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int smart_terminal(FILE *f)
{
    const char *term = getenv("TERM");
    return isatty(fileno(f)) && term && *term && strcmp(term, "dumb") != 0;
}

static const char *paint(const ex_progress *p, const char *code)
{
    return p->colour ? code : "";
}

#define BOLD(p)  paint((p), "\033[1m")
#define DIM(p)   paint((p), "\033[2m")
#define PLAIN(p) paint((p), "\033[0m")

static const char *verdict_colour(const ex_progress *p, met_verdict v)
{
    static const char *const code[] = {
        [MET_HEALTHY] = "\033[32m", [MET_DIMENSIONAL] = "\033[33m",
        [MET_COMPLETE] = "\033[31m", [MET_CODEBOOK] = "\033[33m",
        [MET_DIVERGED] = "\033[35m"
    };
    return paint(p, code[v]);
}

int ex_has_blocks(FILE *f)
{
    return smart_terminal(f) && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

const char *ex_gauge(int blocks, double x, int cells, char *out)
{
    int full = isfinite(x) ? (int)(x * cells + 0.5) : 0;

    full = full < 0 ? 0 : full > cells ? cells : full;
    out[0] = 0;
    for (int i = 0; i < cells; i++)
        strcat(out, i < full ? (blocks ? "█" : "#") : (blocks ? "░" : "."));
    return out;
}

static const char *gauge(const ex_progress *p, double x, int cells, char *out)
{
    return ex_gauge(p->blocks, x, cells, out);
}

static void clear_bar(ex_progress *p)
{
    if (p->shown)
        fputs("\r\033[K", stderr);
    p->shown = 0;
}

static void duration(double seconds, char *out, size_t size)
{
    long s = (long)(seconds + 0.5);
    if (s >= 3600)
        snprintf(out, size, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, size, "%ld:%02ld", s / 60, s % 60);
}

void ex_progress_start(ex_progress *p, const ex_run *run, const ex_folder *f, FILE *out,
                       int quiet)
{
    const ex_config *c = run->config;
    const char *no_colour = getenv("NO_COLOR");
    char dir[4096];

    *p = (ex_progress){ .out = quiet ? NULL : out, .start = ex_seconds() };
    if (quiet)
        return;
    p->bar = smart_terminal(stderr);
    p->blocks = ex_has_blocks(out);
    p->colour = smart_terminal(out) && !(no_colour && *no_colour);
    if (!c->source->present(&c->data, dir, sizeof dir))
        dir[0] = 0;
    p->vectors = run->train.value != NULL;
    fprintf(out, "%s%s%s on %s (%s): %d %s to train on, %d held out, ", BOLD(p),
            c->method->name, PLAIN(p), c->source->name, dir, run->train.n,
            p->vectors ? "vectors" : "images", run->test.n);
    if (p->vectors)
        fprintf(out, "of %d numbers\n", run->train.h * run->train.w * run->train.c);
    else
        fprintf(out, "%d x %d x %d\n", run->train.h, run->train.w, run->train.c);
    fprintf(out, "%s with %zu parameters, %s, %d epochs of %d steps, batch %d, seed %d\n",
            c->model->name, nn_store_count(&run->store), c->optimiser->name,
            c->top.epochs, run->steps, c->top.batch, c->top.seed);
    if (strcmp(c->label, c->method->name) != 0)
        fprintf(out, "this run: %s%s%s\n", BOLD(p), c->label, PLAIN(p));
    fprintf(out, "%s%s%s\n", DIM(p), f->path, PLAIN(p));
    fflush(out);
}

/* Codes that uniform chance hits in n draws: K (1 - (1 - 1/K)^n). */
static double chance_hits(double k, double n)
{
    return -k * expm1(n * log1p(-1 / k));
}

/* What the codebook has to be held against; a step sees fewer vectors than a test. */
static void print_book(const ex_progress *p, const ex_run *run, const ex_code_figures *f)
{
    const double k = (double)run->codes.k, all = f->part[0].test.n;
    const double step = all / run->test.n * run->config->top.batch;

    fprintf(p->out, "codebook %s: ", run->config->quantiser.kind->name);
    if (run->codes.parts > 1)
        fprintf(p->out, "%d parts of ", run->codes.parts);
    fprintf(p->out, "K = %zu, d = %zu, %.0f vectors a step\n", run->codes.k, run->codes.d,
            step);
    fprintf(p->out, "chance would use %.0f codes a step, and %.0f with the %.0f vectors"
            " of the test set\n\n", chance_hits(k, step), chance_hits(k, all), all);
    fprintf(p->out, "%sepoch     loss        codes in use  perplexity  rel. error"
            "     %s     kNN%s  images/s  verdict%s\n", BOLD(p),
            p->vectors ? "NMSE" : "PSNR",
            p->linear ? "   linear" : "", PLAIN(p));
}

static void print_spread(const ex_progress *p, const ex_run *run, const ex_evaluator *e)
{
    int erank = ex_metric_index("collapse/erank");

    fprintf(
        p->out,
        "perfect spread of z (d = %d, n = %d): sqrt(d)*std 1.00, effective rank %.1f\n\n",
        run->d, e->n, erank >= 0 ? e->ideal_z[erank] : NAN);
    fprintf(p->out,
            "%sepoch     loss  sqrt(d)*std       erank     kNN  vs untrained%s  images/s"
            "  verdict%s\n",
            BOLD(p), p->linear ? "   linear" : "", PLAIN(p));
}

static void print_knn(const ex_progress *p, const ex_run *run, const ex_baselines *b,
                      const char *raw)
{
    const int labelled = data_labelled(&run->train);

    if (labelled < run->train.n)
        fprintf(p->out, "kNN and probes learn from the %d training images with a label\n",
                labelled);
    fprintf(p->out,
            "kNN without training: chance %.1f %%, raw %s %.1f %%, untrained network"
            " %.1f %%\n",
            100.0 / run->train.classes, raw, 100 * b->raw_pixel_knn,
            100 * b->untrained_knn);
}

void ex_progress_baselines(ex_progress *p, const ex_run *run, const ex_evaluator *e,
                           const ex_baselines *b, const ex_figures *f)
{
    const char *raw = p->vectors ? "numbers" : "pixels";

    p->untrained_knn = b->untrained_knn;
    p->linear = e->linear_bank > 0;
    p->codes = run->codes.parts > 0;
    p->start = ex_seconds();
    if (!p->out)
        return;
    fputc('\n', p->out);
    if (!e->bank || !e->queries)
        fprintf(p->out, "no kNN and no probes: of %d training and %d held-out images %d and"
                " %d have a label\n", run->train.n, run->test.n,
                data_labelled(&run->train), data_labelled(&run->test));
    else
        print_knn(p, run, b, raw);
    if (p->linear)
        fprintf(p->out, "linear probe without training: raw %s %.1f %%, untrained"
                " network %.1f %%\n", raw, 100 * b->raw_pixel_linear,
                100 * b->untrained_linear);
    if (p->codes)
        print_book(p, run, &f->codes);
    else
        print_spread(p, run, e);
    fflush(p->out);
}

void ex_progress_step(ex_progress *p, const ex_run *run, const data_batch *b, double loss,
                      double images_per_s)
{
    const ex_config *c = run->config;
    char cells[4 * BAR + 1], left[32];
    double t = ex_seconds();

    if (!p->out || !p->bar || (p->shown && t - p->drawn < redraw_seconds))
        return;
    long done = (long)b->epoch * run->steps + b->step + 1;
    long all = (long)c->top.epochs * run->steps;
    duration((t - p->start) / (double)(done - p->before) * (double)(all - done), left,
             sizeof left);
    fprintf(stderr, "\repoch %d/%d %s %d/%d  %.0f images/s  loss %.3f  ETA %s\033[K",
            b->epoch + 1, c->top.epochs,
            gauge(p, (double)(b->step + 1) / run->steps, BAR, cells), b->step + 1,
            run->steps, images_per_s, loss, left);
    fflush(stderr);
    p->shown = 1;
    p->drawn = t;
}

/* Widths between loss and images/s, without and with a codebook, and of the probe. */
enum { SPREAD = 51, CODES = 59, LINEAR = 9 };

/* "41.2 %", or "-" where no image has a label. */
static const char *share_text(double share, char *out, size_t size)
{
    snprintf(out, size, isnan(share) ? "-" : "%.1f %%", 100 * share);
    return out;
}

static void spread_columns(const ex_progress *p, const ex_epoch *e, const ex_figures *f,
                           const char *colour)
{
    char std[16] = "", rank[16] = "", knn[16], gain[16] = "", cells[4 * GAUGE + 1];
    int at_std = ex_metric_index("collapse/std"),
        at_rank = ex_metric_index("collapse/erank");

    if (at_std >= 0)
        snprintf(std, sizeof std, "%.2f", f->z[at_std]);
    if (at_rank >= 0)
        snprintf(rank, sizeof rank, "%.2f", f->z[at_rank]);
    share_text(f->knn, knn, sizeof knn);
    if (e->epoch > 0 && !isnan(f->knn))
        snprintf(gain, sizeof gain, "%+.1f", 100 * (f->knn - p->untrained_knn));
    fprintf(p->out, "%4s %s%s%s  %6s  %6s  %12s", std, colour,
            gauge(p, at_std >= 0 ? f->z[at_std] : 0, GAUGE, cells), PLAIN(p), rank, knn,
            gain);
}

/* Means over the parts, as in the log. */
static double of_codes(const ex_code_figures *f, const char *name)
{
    for (int i = 0; i < ex_code_figure_count(); i++)
        if (strcmp(ex_code_figure_name(i), name) == 0)
            return ex_code_figure(f, -1, i);
    NN_NEED(0, "no figure of codes is called %s", name);
    return NAN;
}

static void code_columns(const ex_progress *p, const ex_figures *f, const char *colour)
{
    const double usage = of_codes(&f->codes, "code/usage");
    char used[16], knn[16], cells[4 * GAUGE + 1];

    snprintf(used, sizeof used, "%.1f %%", 100 * usage);
    share_text(f->knn, knn, sizeof knn);
    fprintf(p->out, "%7s %s%s%s  %10.1f  %10.3f  %7.*f  %6s", used, colour,
            gauge(p, usage, GAUGE, cells), PLAIN(p),
            of_codes(&f->codes, "code/perplexity"),
            of_codes(&f->codes, "code/error_relative"), p->vectors ? 3 : 2,
            p->vectors ? f->codes.images.nmse : f->codes.images.psnr, knn);
}

void ex_progress_epoch(ex_progress *p, const ex_epoch *e, const ex_figures *f, int judged)
{
    char loss[32] = "-", speed[32] = "-", linear[24] = "";

    if (!p->out)
        return;
    clear_bar(p);
    if (isfinite(e->loss))
        snprintf(loss, sizeof loss, "%.4f", e->loss);
    if (e->epoch > 0)
        snprintf(speed, sizeof speed, "%.0f", e->images_per_s);
    if (!judged) {
        fprintf(p->out, "%5d  %7s  %*s  %8s\n", e->epoch, loss,
                (p->codes ? CODES : SPREAD) + (p->linear ? LINEAR : 0), "", speed);
        fflush(p->out);
        return;
    }
    if (p->linear && isfinite(f->linear))
        snprintf(linear, sizeof linear, "  %5.1f %%", 100 * f->linear);
    else if (p->linear)
        snprintf(linear, sizeof linear, "%*s", LINEAR, "");
    const char *word = e->epoch > 0 ? met_verdict_word(f->judged.verdict) : "untrained";
    const char *colour = e->epoch > 0 ? verdict_colour(p, f->judged.verdict) : DIM(p);
    fprintf(p->out, "%5d  %7s  ", e->epoch, loss);
    if (p->codes)
        code_columns(p, f, colour);
    else
        spread_columns(p, e, f, colour);
    fprintf(p->out, "%s  %8s  %s%s%s\n", linear, speed, colour, word, PLAIN(p));
    fflush(p->out);
}

void ex_progress_note(ex_progress *p, const char *format, ...)
{
    va_list ap;
    if (!p->out)
        return;
    clear_bar(p);
    va_start(ap, format);
    vfprintf(p->out, format, ap);
    va_end(ap);
    fputc('\n', p->out);
    fflush(p->out);
}

/* The switches of a section that are not at their default. */
static int print_switches(ex_progress *p, const ex_section *s, size_t config_size,
                          int found)
{
    void *plain = calloc(1, config_size + 1);
    char value[64], usually[64];

    if (!plain)
        return found;
    nn_setting_defaults(s->table, plain);
    for (int i = 0; i < s->rows; i++) {
        ex_value_text(&s->table[i], s->at, value, sizeof value);
        ex_value_text(&s->table[i], plain, usually, sizeof usually);
        int is_switch = s->table[i].kind == NN_BOOL || s->table[i].kind == NN_CHOICE;
        if (is_switch && strcmp(value, usually) != 0)
            fprintf(p->out, "%s %s.%s=%s (default %s)", found++ ? "," : "look first at:",
                    s->name, s->table[i].name, value, usually);
    }
    free(plain);
    return found;
}

/* Where to look first when a run has collapsed: what keeps codes alive, or the switches
 * of the method. */
static void print_suspects(ex_progress *p, const ex_config *c)
{
    if (c->quantiser.kind) {
        fprintf(p->out, "look first at: quantiser.name=%s",
                c->section[EX_QUANTISER].chosen);
        print_switches(p, &c->section[EX_QUANTISER], c->quantiser.kind->config_size, 1);
        fputs("; the report says what to try\n", p->out);
    } else if (print_switches(p, &c->section[EX_METHOD], c->method->config_size, 0)) {
        fputc('\n', p->out);
    }
}

/* Waiting could be training; making views is worth knowing even where it is hidden. */
static void print_pipeline(ex_progress *p, const json_t *o)
{
    if (o)
        fprintf(p->out, "waiting for data %.1f %% of the training time; views %.0f us of"
                " processor time an image, %.1f %% of the threads' time\n",
                100 * json_number_value(json_object_get(o, "data_wait")),
                json_number_value(json_object_get(o, "augment_us")),
                100 * json_number_value(json_object_get(o, "augment_share")));
}

void ex_progress_end(ex_progress *p, const ex_log *l, const ex_evaluator *e,
                     const ex_figures *f, int judged)
{
    const json_t *s = l->status;
    const char *sha = json_string_value(json_object_get(s, "weights_sha256"));
    char took[32];

    if (!p->out)
        return;
    clear_bar(p);
    duration(json_number_value(json_object_get(s, "seconds")), took, sizeof took);
    fprintf(p->out, "\n%s after %s\n", json_string_value(json_object_get(s, "state")),
            took);
    if (judged) {
        fprintf(p->out, "%s%s%s: %s  (d = %d, n = %d)\n",
                verdict_colour(p, f->judged.verdict), met_verdict_word(f->judged.verdict),
                PLAIN(p), f->judged.why, f->d, e->n);
        if (f->judged.verdict != MET_HEALTHY)
            print_suspects(p, l->run->config);
    }
    print_pipeline(p, json_object_get(s, "pipeline"));
    if (sha)
        fprintf(p->out, "weights_sha256 %s\n", sha);
    fprintf(p->out, "run folder     %s\n", l->folder->path);
    fflush(p->out);
}

/* ---- loading --------------------------------------------------------------------- */

/* On a terminal one line that counts; elsewhere a line every half minute, so that a log
 * shows that something happens. */
static const double terminal_gap = 0.2, log_gap = 30;

void ex_progress_news(const char *text, long done, long of)
{
    static double start, told;          /* loading is one thread's */
    int terminal = isatty(STDERR_FILENO);
    double now = ex_seconds();

    if (of == 0) {
        ex_progress_remarks(text, done, of);
        return;
    }
    if (done == 0)
        start = told = now;
    if (done < of && now - told < (terminal ? terminal_gap : log_gap))
        return;
    int shown = told > start;
    told = now;
    if (done == of && terminal && shown)
        fputs("\r\033[K", stderr);
    else if (done < of)
        fprintf(stderr, "%s%s: %ld of %ld%s", terminal ? "\r\033[K" : "", text, done, of,
                terminal ? "" : "\n");
    fflush(stderr);
}

void ex_progress_remarks(const char *text, long done, long of)
{
    (void)done;
    if (of == 0)
        fprintf(stderr, "%s\n", text);
}
