/* What was measured, as a table for people and as an object for programs. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "bench/bench.h"
#include "nn/par.h"

static void processor(char *out, size_t size)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");

    snprintf(out, size, "unknown");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':')) {
            snprintf(out, size, "%s", strchr(line, ':') + 2);
            out[strcspn(out, "\n")] = 0;
            break;
        }
    if (f)
        fclose(f);
}

static void today(char *out, size_t size)
{
    time_t now = time(NULL);
    strftime(out, size, "%Y-%m-%d", localtime(&now));
}

/* What a row shows of a side: GFLOP/s where the work is known, else milliseconds. */
static double figure(const bench_row *row, double ms)
{
    return ms <= 0 ? 0 : row->flops > 0 ? 1e-6 * row->flops / ms : ms;
}

static void say_version(const char *name, const bench_partner *p)
{
    printf("  %-18s %s%s\n", name, p->pid ? "" : "- ", p->version);
}

void bench_show_head(const bench_kind *k, const bench_options *o, const bench_partner *p,
                     int partners)
{
    char cpu[256], date[16];

    processor(cpu, sizeof cpu);
    today(date, sizeof date);
    printf("%s: %s\n%s, %s, %d threads, %d rounds of %g s a side\n", k->name, k->about,
           date, cpu, o->threads, o->rounds ? o->rounds : k->rounds, k->seconds);
    for (int i = 0; i < partners; i++)
        say_version(p[i].name, &p[i]);
    printf("\n%-22s %-44s %9s %5s", "set", "shape", "ours", "peak");
    for (int i = 1; i < partners; i++)
        printf(" %9.18s", p[i].name);
    printf("  ratio (least to most)\n");
    fflush(stdout);
}

void bench_show_start(const bench_partner *p, int partners)
{
    printf("%-67s %9.4g    ms", "start of the process to first step begun (no data)",
           p[0].started);
    for (int i = 1; i < partners; i++) {
        int wide = (int)strlen(p[i].name);
        printf(" %*.4g", wide > 9 ? wide : 9, p[i].started);
    }
    putchar('\n');
    fflush(stdout);
}

void bench_show_row(const bench_kind *k, const bench_result *r, const bench_partner *p,
                    int partners)
{
    (void)k;
    printf("%-22s %-44s %9.4g ", r->row->set, r->row->shape, figure(r->row, r->ms[0]));
    if (r->peak > 0)
        printf("%3.0f %%", 100 * r->of_peak);
    else
        printf("%5s", r->row->flops > 0 ? "" : "ms");
    for (int i = 1; i < partners; i++) {
        int wide = (int)strlen(p[i].name);
        if (r->ms[i] > 0)
            printf(" %*.4g", wide > 9 ? wide : 9, figure(r->row, r->ms[i]));
        else
            printf(" %*s", wide > 9 ? wide : 9, "-");
    }
    if (r->best)
        printf("  %5.2f (%.2f to %.2f) %s", r->ratio[r->best], r->low[r->best],
               r->high[r->best], p[r->best].name);
    if (r->disturbed)
        printf("  disturbed: the host took %.0f %%", 100 * r->stolen);
    else if (r->dropped)
        printf("  %d of %d rounds dropped", r->dropped, r->dropped + r->rounds);
    putchar('\n');
    if (r->memory[0] > 0) {
        printf("%-22s %-44s %9.4g  MiB ", "", "  resident at most", r->memory[0]);
        for (int i = 1; i < partners; i++) {
            int wide = (int)strlen(p[i].name);
            printf(" %*.4g", wide > 9 ? wide : 9, r->memory[i]);
        }
        if (r->best)
            printf("  %5.2f", r->memory[r->best] / r->memory[0]);
        putchar('\n');
    }
    fflush(stdout);
}

/* Geometric mean of the ratios of a goal's rows; how many there were. */
static int mean_ratio(const bench_goal *g, const bench_result *r, int rows,
                      const bench_partner *p, int partners, double *mean)
{
    double sum = 0;
    int n = 0;

    for (int i = 0; i < rows; i++) {
        int with = g->against ? 0 : r[i].best;
        if (strcmp(r[i].row->set, g->set) != 0)
            continue;
        for (int q = 1; g->against && q < partners; q++)
            if (strcmp(p[q].name, g->against) == 0)
                with = q;
        double ratio = g->memory ? r[i].memory[with] / r[i].memory[0] : r[i].ratio[with];
        if (with > 0 && ratio > 0) {
            sum += log(ratio);
            n++;
        }
    }
    *mean = n ? exp(sum / n) : 0;
    return n;
}

/* how a goal stands, as a word and a distance */
static void say_goal(const char *what, double goal, double got)
{
    if (goal <= 0)
        return;
    if (got >= goal)
        printf("  %s %.2f: met", what, goal);
    else
        printf("  %s %.2f: missed by %.0f %%", what, goal, 100 * (1 - got / goal));
}

void bench_show_goals(const bench_kind *k, const bench_result *r, int rows,
                      const bench_partner *p, int partners)
{
    putchar('\n');
    for (const bench_goal *g = k->goals; g->set; g++) {
        double mean;
        int n = mean_ratio(g, r, rows, p, partners, &mean);
        if (!n)
            continue;
        printf("%-52s against %-22s %.2f (%d shape%s)", g->what,
               g->against ? g->against : "the fastest", mean, n, n > 1 ? "s" : "");
        say_goal("must", g->must, mean);
        say_goal("aim", g->aim, mean);
        putchar('\n');
    }
}

static json_t *row_json(const bench_result *r, const bench_partner *p, int partners)
{
    json_t *o =
        json_pack("{ss ss ss si si sf}", "set", r->row->set, "shape", r->row->shape,
                  "unit", r->row->flops > 0 ? "GFLOP/s" : "ms", "rounds", r->rounds,
                  "dropped", r->dropped, "stolen", r->stolen);

    if (r->disturbed)
        json_object_set_new(o, "disturbed", json_true());
    for (int i = 0; i < partners; i++)
        if (r->ms[i] > 0) {
            json_object_set_new(o, p[i].name, json_real(figure(r->row, r->ms[i])));
            if (r->memory[i] > 0) {
                char key[64];
                snprintf(key, sizeof key, "%s MiB", p[i].name);
                json_object_set_new(o, key, json_real(r->memory[i]));
            }
        }
    if (r->peak > 0) {
        json_object_set_new(o, "peak", json_real(r->peak));
        json_object_set_new(o, "of_peak", json_real(r->of_peak));
    }
    json_object_set_new(o, "ratio", r->best ? json_real(r->ratio[r->best]) : json_null());
    if (r->best) {
        json_object_set_new(o, "ratio_least", json_real(r->low[r->best]));
        json_object_set_new(o, "ratio_most", json_real(r->high[r->best]));
        json_object_set_new(o, "against", json_string(p[r->best].name));
    }
    return o;
}

json_t *bench_json(const bench_kind *k, const bench_options *o, const bench_result *r,
                   int rows, const bench_partner *p, int partners)
{
    char cpu[256], date[16];
    json_t *list = json_array(), *goals = json_array(), *sides = json_object(),
           *starts = json_object();

    processor(cpu, sizeof cpu);
    today(date, sizeof date);
    for (int i = 0; i < partners; i++)
        json_object_set_new(sides, p[i].name, json_string(p[i].version));
    for (int i = 0; k->first && i < partners; i++)
        json_object_set_new(starts, p[i].name, json_real(p[i].started));
    for (int i = 0; i < rows; i++)
        json_array_append_new(list, row_json(&r[i], p, partners));
    for (const bench_goal *g = k->goals; g->set && !o->peer; g++) {
        double mean;
        int n = mean_ratio(g, r, rows, p, partners, &mean);
        if (n)
            json_array_append_new(goals,
                                  json_pack("{ss ss ss sf si sf sf so}", "goal", g->what,
                                            "set", g->set, "against",
                                            g->against ? g->against : "the fastest",
                                            "ratio", mean, "shapes", n, "must", g->must,
                                            "aim", g->aim, "met",
                                            g->must > 0 ? json_boolean(mean >= g->must)
                                                        : json_null()));
    }
    return json_pack("{ss ss ss si sf so so so so}", "bench", k->name, "date", date,
                     "processor", cpu, "threads", o->threads, "seconds", k->seconds,
                     "sides", sides, "start_ms", starts, "rows", list, "goals", goals);
}
