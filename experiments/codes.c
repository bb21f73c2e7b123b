#include "experiments/codes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nn/base.h"
#include "nn/quant/search.h"

/* ---- the watch ----------------------------------------------------------------------
 * */

static float *buffer(nn_store *s, int part, const char *what, size_t n)
{
    char name[64];
    snprintf(name, sizeof name, "codes.%d.%s", part, what);
    return nn_store_add(s, name, NN_BUFFER, nn_shape1((int)n))->val;
}

ex_codes ex_codes_of(nn_store *s, nn_quantiser *u)
{
    ex_codes c = { .quantiser = u, .parts = nn_quantiser_parts(u),
                   .k = (size_t)nn_quantiser_codes(u),
                   .d = (size_t)nn_quantiser_columns(u) };

    for (int i = 0; i < c.parts; i++) {
        ex_codes_part *p = &c.part[i];
        p->hits = buffer(s, i, "hits", c.k);
        p->life = (met_life){ c.k, buffer(s, i, "last_hit", c.k),
                              buffer(s, i, "born", c.k), buffer(s, i, "tally", 2) };
        if (nn_quantiser_has_book(u))
            p->before = buffer(s, i, "before", c.k * c.d);
        p->probe = buffer(s, i, "probe", EX_PROBED);
        for (int j = 0; j < EX_PROBED; j++)
            p->probe[j] = -1;
    }
    c.epoch = nn_store_add(s, "codes.epoch", NN_BUFFER, nn_shape1(EX_TOLD))->val;
    return c;
}

void ex_codes_step(ex_codes *c, const nn_quantised *found, long step, int restarts)
{
    const size_t n = (size_t)nn_rows(found->q);

    for (int i = 0; i < c->parts; i++) {
        ex_codes_part *p = &c->part[i];
        for (size_t j = 0; found->index[i] && j < n; j++)
            p->hits[found->index[i][j]]++;
        met_life_step(&p->life, found->index[i], found->index[i] ? n : 0,
                      (size_t)step + 1);
    }
    c->epoch[EX_RESTARTS] += (float)restarts;
    c->epoch[EX_STEPS]++;
    c->epoch[EX_STEP] = (float)(step + 1);
}

void ex_codes_turn(ex_codes *c, const ex_code_figures *f, nn_arena *scratch)
{
    const size_t mark = nn_arena_mark(scratch);

    for (int i = 0; i < c->parts; i++) {
        ex_codes_part *p = &c->part[i];
        memset(p->hits, 0, sizeof *p->hits * c->k);
        p->life.tally[0] = p->life.tally[1] = 0;
        if (p->before)
            memcpy(p->before, nn_quantiser_book(c->quantiser, i, scratch),
                   sizeof *p->before * c->k * c->d);
        for (int j = 0; f && j < f->probed; j++)
            p->probe[j] = (float)f->probe[i * EX_PROBED + j];
        nn_arena_rewind(scratch, mark);
    }
    c->epoch[EX_RESTARTS] = c->epoch[EX_STEPS] = 0;
}

/* ---- an evaluation ------------------------------------------------------------------
 * */

ex_codes_look ex_codes_open(ex_codes *c, ex_code_figures *f, met_image_size size,
                            nn_arena *a)
{
    ex_codes_look l = { .codes = c, .figures = f, .images = { .size = size } };

    f->parts = c->parts;
    f->shown = 0;
    for (int i = 0; i < c->parts; i++) {
        l.count[i] = NN_NEW0(a, float, c->k);
        l.sum[i] = met_code_sum_of((int)c->d, a);
    }
    return l;
}

static void show(ex_codes_look *l, size_t images, const float *truth, const float *made)
{
    const met_image_size s = l->images.size;
    const size_t pixels = (size_t)s.h * (size_t)s.w * (size_t)s.c;
    ex_code_figures *f = l->figures;

    for (size_t i = 0; i < images && f->shown < EX_SHOWN; i++, f->shown++) {
        const size_t at = (size_t)f->shown * pixels;
        memcpy(f->original + at, truth + i * pixels, sizeof *truth * pixels);
        memcpy(f->made + at, made + i * pixels, sizeof *made * pixels);
    }
}

void ex_codes_see(ex_codes_look *l, const nn_quantised *found, size_t images,
                  const float *truth, const float *made, nn_arena *scratch)
{
    const size_t n = (size_t)nn_rows(found->q);

    for (int i = 0; i < l->codes->parts; i++) {
        const int *index = found->index[i];
        for (size_t j = 0; j < n; j++)
            l->count[i][index[j]]++;
        for (size_t j = 0; j < n && l->seen + j < EX_PROBED; j++)
            l->figures->probe[(size_t)i * EX_PROBED + l->seen + j] = index[j];
        met_code_add(&l->sum[i], n, found->z[i]->val, found->code[i]->val, scratch);
    }
    l->seen += n;
    met_image_add(&l->images, images, truth, made, scratch);
    show(l, images, truth, made);
}

/* Of the first vectors of the test set, how many changed their code. */
static double churn_of(const ex_codes_part *w, const int *now, size_t n,
                       nn_arena *scratch)
{
    int *was = NN_NEW(scratch, int, n + 1);

    if (!n || w->probe[0] < 0)
        return NAN;
    for (size_t i = 0; i < n; i++)
        was[i] = (int)w->probe[i];
    return met_code_churn(n, was, now);
}

/* 1: some step lies between this evaluation and the one before.  What is measured over
 * steps is worked out without them, too, so that the first evaluation asks for all the
 * memory. */
static int steps_since(const ex_codes *c)
{
    return c->epoch[EX_STEPS] > 0;
}

/* Read only: the tally goes back to 0 when the epoch turns. */
static met_lives lives_of(const ex_codes *c, const ex_codes_part *w, nn_arena *scratch)
{
    const met_lives none = { NAN, NAN, NAN, NAN, NAN, NAN };
    float tally[2] = { w->life.tally[0], w->life.tally[1] };
    met_life life = w->life;

    life.tally = tally;
    const met_lives lives = met_life_epoch(&life, (size_t)c->epoch[EX_STEPS],
                                           (size_t)c->epoch[EX_STEP], scratch);
    return steps_since(c) ? lives : none;
}

/* What needs the book as a table. */
static void measure_book(const ex_codes *c, int part, const float *count, ex_code_part *p,
                         nn_arena *scratch)
{
    const float *book = nn_quantiser_book(c->quantiser, part, scratch);
    float *dist = NN_NEW(scratch, float, c->k);

    p->all = met_code_rank(c->k, c->d, book, NULL, scratch);
    p->used = met_code_rank(c->k, c->d, book, count, scratch);
    const double moved = met_code_moved(c->k, c->d, c->part[part].before, book, scratch);
    p->moved = steps_since(c) ? moved : (double)NAN;
    nn_search_neighbours(c->k, c->d, book, dist, scratch);
    for (size_t j = 0; j < c->k; j++)
        dist[j] = sqrtf(dist[j]);
    p->near = met_code_near(c->k, dist, scratch);
}

void ex_codes_close(ex_codes_look *l, nn_arena *scratch)
{
    ex_codes *c = l->codes;
    ex_code_figures *f = l->figures;
    const size_t probed = l->seen < EX_PROBED ? l->seen : EX_PROBED;
    const size_t mark = nn_arena_mark(scratch);
    const double none = NAN;

    for (int i = 0; i < c->parts; i++) {
        ex_codes_part *w = &c->part[i];
        ex_code_part *p = &f->part[i];
        *p = (ex_code_part){
            .test = met_code_usage(c->k, l->count[i]),
            .train = met_code_usage(c->k, w->hits),
            .loss = met_code_loss_of(&l->sum[i]),
            .all = { none, none }, .used = { none, none }, .near = { none, none, none },
            .lives = lives_of(c, w, scratch), .moved = none,
            .churn = churn_of(w, f->probe + i * EX_PROBED, probed, scratch)
        };
        met_code_histogram(c->k, l->count[i], p->bins);
        if (w->before)
            measure_book(c, i, l->count[i], p, scratch);
        nn_arena_rewind(scratch, mark);
    }
    f->probed = (int)probed;
    f->images = met_image_of(&l->images);
    f->restarts = steps_since(c) ? (double)c->epoch[EX_RESTARTS] : none;
}

met_judged ex_codes_judge(const ex_code_figures *f)
{
    met_judged worst = { .verdict = MET_HEALTHY };

    for (int i = 0; i < f->parts && worst.verdict == MET_HEALTHY; i++)
        worst = met_judge_codes(&f->part[i].test);
    return worst;
}

/* ---- by name ------------------------------------------------------------------------
 * */

typedef struct figure { const char *name; size_t at; } figure;

#define OF(name, field) { name, offsetof(ex_code_part, field) }
static const figure figures[] = {
    OF("code/usage", test.usage), OF("code/usage_max", test.usage_max),
    OF("code/usage_eps", test.usage_eps), OF("code/used", test.used),
    OF("code/n", test.n), OF("code/perplexity", test.perplexity),
    OF("code/perplexity_corrected", test.perplexity_corrected),
    OF("code/error", loss.error), OF("code/error_relative", loss.relative),
    OF("code/z_rms", loss.z_rms), OF("code/erank", all.erank),
    OF("code/erank_used", used.erank), OF("code/participation", all.participation),
    OF("code/nearest_min", near.min), OF("code/nearest_median", near.median),
    OF("code/twins", near.twins), OF("code/dead", lives.dead),
    OF("code/dead_epoch", lives.dead_epoch), OF("code/births", lives.births),
    OF("code/deaths", lives.deaths), OF("code/life_p50", lives.p50),
    OF("code/life_p90", lives.p90), OF("code/moved", moved), OF("code/churn", churn),
    OF("train/code/usage", train.usage), OF("train/code/usage_max", train.usage_max),
    OF("train/code/perplexity", train.perplexity), OF("train/code/n", train.n),
};

int ex_code_figure_count(void)
{
    return (int)NN_COUNT(figures);
}

const char *ex_code_figure_name(int i)
{
    return figures[i].name;
}

double *ex_code_figure_at(ex_code_figures *f, int part, int i)
{
    return (double *)(void *)((char *)&f->part[part] + figures[i].at);
}

double ex_code_figure(const ex_code_figures *f, int part, int i)
{
    double sum = 0;

    for (int k = part < 0 ? 0 : part; k < (part < 0 ? f->parts : part + 1); k++) {
        const char *p = (const char *)&f->part[k] + figures[i].at;
        sum += *(const double *)(const void *)p;
    }
    return part < 0 ? sum / f->parts : sum;
}

void ex_codes_none(ex_code_figures *f)
{
    for (int k = 0; k < f->parts; k++)
        for (int i = 0; i < ex_code_figure_count(); i++)
            *ex_code_figure_at(f, k, i) = NAN;
    f->images = (met_images){ NAN, NAN, NAN, NAN, NAN };
    f->restarts = NAN;
}
