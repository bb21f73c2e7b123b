/* Lets the sides take turns and makes medians of what they answer. */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/bench.h"

enum { ROWS = 128 };

/* A round in which the host took more than this share of the processor is dropped; so
 * says the specification of the measurements.  After so many rounds as wanted again,
 * what was kept has to do. */
static const double most_stolen = 0.05;
static const double peak_seconds = 0.008; /* some bursts of half a millisecond */

/* Waiting threads of the side that has just answered go on spinning: libgomp's for up to
 * 300,000 turns, which was 6 ms here.  The next one is not asked before. */
static const struct timespec quiet = { 0, 12000000 };

typedef struct ticks {
    double stolen, all;
} ticks;

static ticks read_ticks(void)
{
    ticks t = { 0 };
    FILE *f = fopen("/proc/stat", "r");
    double v[8] = { 0 };

    if (f
        && fscanf(f, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", v, v + 1, v + 2, v + 3, v + 4,
                  v + 5, v + 6, v + 7)
               == 8)
        for (int i = 0; i < 8; i++)
            t.all += v[i];
    t.stolen = v[7];
    if (f)
        fclose(f);
    return t;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : 0.5 * (v[n / 2 - 1] + v[n / 2]);
}

/* The rounds of one row: ms[partner][round], 0 where a side does not take part. */
typedef struct rounds {
    double ms[BENCH_PARTNERS][BENCH_ROUNDS], peak[BENCH_ROUNDS];
    int kept;
} rounds;

static void evaluate(const bench_kind *k, const rounds *all, const bench_partner *name,
                     int partners, const int *takes_part, bench_result *r)
{
    double v[BENCH_ROUNDS];

    r->rounds = all->kept;
    if (!all->kept)
        return;
    for (int p = 0; p < partners; p++) {
        if (!takes_part[p])
            continue;
        memcpy(v, all->ms[p], sizeof v);
        r->ms[p] = median(v, all->kept);
        for (int i = 0; i < all->kept; i++)
            v[i] = all->ms[p][i] / all->ms[0][i];
        r->ratio[p] = median(v, all->kept); /* sorts */
        r->low[p] = v[0];
        r->high[p] = v[all->kept - 1];
        int rival = p && !(k->baseline && strcmp(k->baseline, name[p].name) == 0);
        if (rival && (!r->best || r->ms[p] < r->ms[r->best]))
            r->best = p;
    }
    if (all->peak[0] > 0) {
        memcpy(v, all->peak, sizeof v);
        r->peak = median(v, all->kept);
        for (int i = 0; i < all->kept; i++)
            v[i] = 1e-6 * r->row->flops / all->ms[0][i] / all->peak[i];
        r->of_peak = median(v, all->kept);
    }
}

/* Asks one side; a side that fails in the middle of a row is out of it. */
static double turn(const bench_kind *k, const bench_row *row, bench_partner *p,
                   int *takes_part)
{
    bench_reply reply;

    nanosleep(&quiet, NULL);
    if (!*takes_part)
        return 0;
    *takes_part = bench_partner_ask(p, k->seconds, row->request, &reply);
    if (!*takes_part)
        fprintf(stderr, "bench: %s, %s: %s: %s\n", row->set, row->shape, p->name,
                reply.why);
    return reply.ms;
}

/* One turn of everybody; 0 when the host disturbed it. */
static int one_round(const bench_kind *k, const bench_row *row, bench_partner *p,
                     int partners, int *takes_part, int round, rounds *all,
                     bench_result *r)
{
    ticks before = read_ticks();
    int at = all->kept;
    bench_reply reply;

    for (int i = 0; i < partners; i++) {
        int who = (round + i) % partners;
        all->ms[who][at] = turn(k, row, &p[who], &takes_part[who]);
    }
    all->peak[at] = 0;
    nanosleep(&quiet, NULL);
    if (row->flops > 0 && takes_part[0]
        && bench_partner_ask(&p[0], peak_seconds, "peak", &reply))
        all->peak[at] = 1e-6 * reply.value / reply.ms;
    ticks after = read_ticks();
    double share = after.all > before.all
                       ? (after.stolen - before.stolen) / (after.all - before.all)
                       : 0;
    if (share > most_stolen && !at)
        r->stolen = share;
    if (share > most_stolen)
        return 0;
    r->stolen = at && r->stolen > share ? r->stolen : share;
    return 1;
}

/* Prepares the row everywhere; 0 when our own side cannot, or when sides disagree. */
static int prepare(const bench_row *row, bench_partner *p, int partners, int *takes_part)
{
    bench_reply reply;
    double ours = 0;
    int agree = 1;

    for (int i = 0; i < partners; i++) {
        takes_part[i] = bench_partner_ask(&p[i], 0, row->request, &reply);
        if (i == 0)
            ours = reply.value;
        if (i == 0 && !takes_part[0])
            fprintf(stderr, "bench: %s, %s: our side: %s\n", row->set, row->shape,
                    reply.why);
        if (!takes_part[i] || isnan(reply.value) || row->agree <= 0)
            continue;
        if (!(fabs(reply.value - ours) <= row->agree * (1 + fabs(ours)))) {
            fprintf(stderr, "bench: %s, %s: %s has %.7g, we have %.7g\n", row->set,
                    row->shape, p[i].name, reply.value, ours);
            agree = 0;
        }
    }
    return takes_part[0] && agree;
}

static void ask_memory(bench_partner *p, int partners, bench_result *r)
{
    bench_reply reply;
    for (int i = 0; i < partners; i++)
        if (bench_partner_ask(&p[i], 0, "memory", &reply))
            r->memory[i] = reply.ms;
}

static int start_all(const bench_kind *k, const bench_options *o, bench_partner *p)
{
    static const char *const with_peer[BENCH_PARTNERS] = { "ours", "peer" };
    const char *const *name = o->peer ? with_peer : k->partner;
    int n = 0;

    for (; n < BENCH_PARTNERS && name[n]; n++)
        bench_partner_start(&p[n], name[n], o->peer, o->threads, k->bind);
    return n;
}

static void stop_all(bench_partner *p, int partners)
{
    for (int i = 0; i < partners; i++)
        bench_partner_stop(&p[i]);
}

/* Fills r.  1: all went well, -1: a side was lost on the way, 0: no figures. */
static int measure(const bench_kind *k, const bench_options *o, bench_partner *p,
                   int partners, const bench_row *row, bench_result *r)
{
    static rounds all;
    int want = o->rounds ? o->rounds : k->rounds, takes_part[BENCH_PARTNERS];
    int began[BENCH_PARTNERS], whole = 1;

    *r = (bench_result){ .row = row };
    if (!prepare(row, p, partners, takes_part))
        return 0;
    memcpy(began, takes_part, sizeof began);
    all.kept = 0;
    for (int i = 0; i < 2 * want && all.kept < want && takes_part[0]; i++) {
        if (one_round(k, row, p, partners, takes_part, i, &all, r))
            all.kept++;
        else
            r->dropped++;
    }
    if (!all.kept) /* a figure with a warning is more than none */
        all.kept = r->disturbed = 1;
    if (!takes_part[0])
        return 0;
    evaluate(k, &all, p, partners, takes_part, r);
    for (int i = 0; i < partners; i++)
        whole &= takes_part[i] == began[i];
    if (k->fresh)
        ask_memory(p, partners, r);
    return whole ? 1 : -1;
}

/* The processes have just said their first word; what else comes before a step? */
static void time_first(const bench_kind *k, bench_partner *p, int partners)
{
    bench_reply reply;

    for (int i = 0; i < partners; i++) {
        double from = bench_now();
        if (bench_partner_ask(&p[i], 0, k->first, &reply))
            p[i].started += 1e3 * (bench_now() - from);
        else
            p[i].started = 0;
    }
}

static int any(const bench_row *row, int rows, const char *text)
{
    for (int i = 0; i < rows; i++)
        if (strstr(row[i].set, text) || strstr(row[i].shape, text))
            return 1;
    return 0;
}

int bench_conduct(const bench_kind *k, const bench_options *o)
{
    static bench_row list[ROWS];
    static bench_result result[ROWS];
    bench_partner p[BENCH_PARTNERS] = { 0 };
    int rows = k->rows(o->quick, list, ROWS), done = 0, bad = 0;

    if (o->only && !any(list, rows, o->only)) {
        fprintf(stderr, "bench: %s has no row with '%.80s' in its set or shape%s\n",
                k->name, o->only, o->quick ? " (--quick leaves some out)" : "");
        return NN_ECONFIG;
    }
    signal(SIGPIPE, SIG_IGN); /* a partner that died is an answer, too */
    int partners = start_all(k, o, p);
    if (!p[0].pid) {
        fprintf(stderr, "bench: our own side did not start: %s\n", p[0].version);
        return NN_ERUN;
    }
    if (k->first)
        time_first(k, p, partners);
    if (!o->json)
        bench_show_head(k, o, p, partners);
    if (!o->json && k->first)
        bench_show_start(p, partners);
    for (int i = 0; i < rows; i++) {
        if (o->only && !any(&list[i], 1, o->only))
            continue;
        if (k->fresh && done) {
            stop_all(p, partners);
            start_all(k, o, p);
        }
        int got = measure(k, o, p, partners, &list[i], &result[done]);
        bad |= got != 1;
        if (!got)
            continue;
        if (!o->json)
            bench_show_row(k, &result[done], p, partners);
        done++;
    }
    if (o->json) {
        json_t *j = bench_json(k, o, result, done, p, partners);
        json_dumpf(j, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        putchar('\n');
        json_decref(j);
    } else if (!o->peer) {              /* the goals are about others than a peer */
        bench_show_goals(k, result, done, p, partners);
    }
    stop_all(p, partners);
    return bad ? NN_ERUN : NN_OK;
}
