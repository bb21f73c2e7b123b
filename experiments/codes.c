#include "experiments/codes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nn/base.h"
#include "nn/quant/search.h"

/* Distances between codes take K^2 d operations, a second at this K and 32 columns; in
 * larger books they are not known. */
enum { MOST_NEAR = 1 << 15 };

/* ---- the watch --------------------------------------------------------------------- */

static float *buffer(nn_store *s, int part, const char *what, nn_shape shape)
{
    char name[64];
    snprintf(name, sizeof name, "codes.%d.%s", part, what);
    return nn_store_add(s, name, NN_BUFFER, shape)->val;
}

ex_codes ex_codes_of(nn_store *s, nn_quantiser *u)
{
    ex_codes c = { .quantiser = u, .parts = nn_quantiser_parts(u),
                   .k = (size_t)nn_quantiser_codes(u),
                   .d = (size_t)nn_quantiser_columns(u) };
    const nn_shape codes = nn_shape1((int)c.k), book = nn_shape2((int)c.k, (int)c.d);

    for (int i = 0; i < c.parts; i++) {
        ex_codes_part *p = &c.part[i];
        p->hits = buffer(s, i, "hits", codes);
        p->life = (met_life){ c.k, buffer(s, i, "last_hit", codes),
                              buffer(s, i, "born", codes),
                              buffer(s, i, "tally", nn_shape1(2)) };
        if (nn_quantiser_has_book(u))
            p->before = buffer(s, i, "before", book);
        p->probe = buffer(s, i, "probe", nn_shape1(EX_PROBED));
        for (int j = 0; j < EX_PROBED; j++)
            p->probe[j] = -1;
    }
    c.count = NN_NEW(s->arena, uint32_t, c.k);
    c.epoch = nn_store_add(s, "codes.epoch", NN_BUFFER, nn_shape1(EX_TOLD))->val;
    return c;
}

/* Whole numbers first: a float that counts by ones stands still at 2^24. */
static void add_hits(const ex_codes *c, const int *index, size_t n, float *hits)
{
    memset(c->count, 0, sizeof *c->count * c->k);
    for (size_t i = 0; i < n; i++)
        c->count[index[i]]++;
    for (size_t j = 0; j < c->k; j++)
        hits[j] += (float)c->count[j];
}

void ex_codes_step(ex_codes *c, const nn_quantised *found, long step, int restarts)
{
    const size_t n = (size_t)nn_rows(found->q);

    for (int i = 0; i < c->parts; i++) {
        ex_codes_part *p = &c->part[i];
        if (found->index[i])
            add_hits(c, found->index[i], n, p->hits);
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

/* ---- an evaluation ----------------------------------------------------------------- */

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
        add_hits(l->codes, index, n, l->count[i]);
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
    const int near = c->k <= MOST_NEAR;
    float *dist = NN_NEW(scratch, float, near ? c->k : 0);

    p->all = met_code_rank(c->k, c->d, book, NULL, scratch);
    p->used = met_code_rank(c->k, c->d, book, count, scratch);
    const double moved = met_code_moved(c->k, c->d, c->part[part].before, book, scratch);
    p->moved = steps_since(c) ? moved : (double)NAN;
    if (!near)
        return;
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

void ex_codes_of_vectors(ex_code_figures *f)
{
    f->shown = 0;
    f->images.psnr = NAN;
}

met_judged ex_codes_judge(const ex_code_figures *f)
{
    int worst = 0;

    for (int i = 1; i < f->parts; i++)          /* all of one size and as many vectors */
        if (f->part[i].test.used < f->part[worst].test.used)
            worst = i;
    met_judged j = met_judge_codes(&f->part[worst].test);
    const size_t said = strlen(j.why);
    if (f->parts > 1)
        snprintf(j.why + said, sizeof j.why - said, " (the least of %d parts)", f->parts);
    return j;
}

/* ---- by name ----------------------------------------------------------------------- */

typedef struct figure { const char *name, *about; size_t at; } figure;

#define OF(field) offsetof(ex_code_part, field)
static const figure figures[] = {
    { "code/usage", "share of codes that the test set hits", OF(test.usage) },
    { "code/usage_max",
      "what uniform chance would hit with as many vectors", OF(test.usage_max) },
    { "code/usage_eps",
      "share of codes with a tenth of a fair share or more", OF(test.usage_eps) },
    { "code/used", "codes that the test set hits", OF(test.used) },
    { "code/n", "vectors of the test set", OF(test.n) },
    { "code/perplexity",
      "exp of the entropy of their codes, 1 to K", OF(test.perplexity) },
    { "code/perplexity_corrected",
      "the same, with what a finite number of vectors hides", OF(test.perplexity_corrected) },
    { "code/error", "mean squared distance of vectors and codes", OF(loss.error) },
    { "code/error_relative",
      "the same over the variance of the vectors", OF(loss.relative) },
    { "code/z_rms", "root mean square length of the vectors", OF(loss.z_rms) },
    { "code/erank", "effective rank of the codebook, centred", OF(all.erank) },
    { "code/erank_used", "the same of codes that were hit", OF(used.erank) },
    { "code/participation",
      "participation ratio of the codebook, centred", OF(all.participation) },
    { "code/nearest_min", "least distance of a code to another", OF(near.min) },
    { "code/nearest_median",
      "median distance of a code to the nearest other", OF(near.median) },
    { "code/twins", "codes closer than 1e-6 to another", OF(near.twins) },
    { "code/dead", "codes without a hit in 100 training steps", OF(lives.dead) },
    { "code/dead_epoch",
      "codes without a hit since the last evaluation", OF(lives.dead_epoch) },
    { "code/births",
      "codes hit for the first time, or after 100 steps", OF(lives.births) },
    { "code/deaths", "codes that had 100 steps without a hit", OF(lives.deaths) },
    { "code/life_p50", "median life of a code, steps", OF(lives.p50) },
    { "code/life_p90", "its 90th percentile", OF(lives.p90) },
    { "code/moved", "share of codes that moved since the last evaluation", OF(moved) },
    { "code/churn", "share of 4096 test vectors with another code than then", OF(churn) },
    { "train/code/usage",
      "share of codes that training hit since the last evaluation", OF(train.usage) },
    { "train/code/usage_max", "what uniform chance would have hit", OF(train.usage_max) },
    { "train/code/perplexity", "perplexity of these hits", OF(train.perplexity) },
    { "train/code/n", "vectors of these steps", OF(train.n) },
};

static const figure images[] = {
    { "recon/mse", "mean squared error of test images, pixels 0 to 1, or of vectors",
      offsetof(met_images, mse) },
    { "recon/nmse", "the same over the variance of their numbers", offsetof(met_images, nmse) },
    { "recon/psnr", "peak signal to noise, dB, mean over images", offsetof(met_images, psnr) },
    { "recon/ssim", "structural similarity, 11 x 11 Gaussian window",
      offsetof(met_images, ssim) },
};

int ex_code_figure_count(void)
{
    return (int)NN_COUNT(figures);
}

const char *ex_code_figure_name(int i)
{
    return figures[i].name;
}

const char *ex_code_figure_about(int i)
{
    return figures[i].about;
}

int ex_image_figure_count(void)
{
    return (int)NN_COUNT(images);
}

const char *ex_image_figure_name(int i)
{
    return images[i].name;
}

const char *ex_image_figure_about(int i)
{
    return images[i].about;
}

double *ex_image_figure_at(met_images *m, int i)
{
    return (double *)(void *)((char *)m + images[i].at);
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
