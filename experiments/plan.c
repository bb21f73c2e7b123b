#include "experiments/plan.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "experiments/checkpoint.h"
#include "experiments/evaluate.h"
#include "experiments/machine.h"
#include "experiments/progress.h"
#include "nn/kern/kern.h"
#include "nn/op.h"
#include "nn/par.h"

/* A rehearsal has three rungs, the last half of the batch but at most 64 images:
 * enough for chunks and tiles to be full, little enough to fit almost anywhere.  A batch
 * below 8 has no smaller parts worth the name; it is its own and only rung. */
enum { RUNGS = 3, MOST_FIRST = 16, LEAST_BATCH = 8 };

/* Steps that are timed, after one that is not (it asks the system for memory). */
enum { TIMED = 3 };

/* Arenas beside the three of a run: the configuration's, measured, and what writing the
 * log and a checkpoint's settings takes for a moment (40 KB seen; it grows with the
 * number of settings, not with the run). */
enum { ASIDE = 128 << 10 };

/* Tiles of nearest-neighbour searches hold so many queries and rows of the bank
 * (metrics/knn.c): from there on their memory grows no more. */
enum { QUERIES = 2048, ROWS = 1024 };

/* The rungs of an evaluation are the first of so many equal steps up to the whole.  A step
 * is a multiple of BLOCK images: distances are worked out in blocks of so many rows
 * (nn/kern/pairs.c), which tiles of any kernel table fit but for a few rows.  A block that
 * is full at one rung and begun at the next would be taken for a slope, and the whole is
 * many steps further up. */
enum { EVEN_STEPS = 6, BLOCK = 96 };

/* From so many rows on a linear probe's buffers are full (metrics/linear.c): its batches
 * and the blocks of rows of its sums. */
enum { FULL = 1024 };

/* Operations of searches for which a codebook's start is rehearsed; k-means makes ten of
 * each. */
static const double start_work = 5e9;

static int least(int a, int b)
{
    return a < b ? a : b;
}

static int most(int a, int b)
{
    return a > b ? a : b;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

double ex_peaks_sum(const ex_peaks *p)
{
    return p->forever + p->step + p->scratch;
}

/* ---- extrapolation ----------------------------------------------------------------- */

/* A quantity at up to RUNGS sizes. */
typedef struct curve { int n; double at[RUNGS], y[RUNGS]; } curve;

static void add_point(curve *c, double at, double y)
{
    c->at[c->n] = at;
    c->y[c->n++] = y;
}

/* The parabola through the points (Newton's form).  A bend downwards is not the quantity
 * growing slower for ever but a buffer that was still filling up: then the straight line
 * through the last two, which errs to the safe side. */
static double value_at(const curve *c, double x)
{
    double slope = 0, bend = 0;
    int last = c->n - 1;

    if (c->n == 1)
        return c->y[0] * x / c->at[0];
    slope = (c->y[last] - c->y[last - 1]) / (c->at[last] - c->at[last - 1]);
    if (c->n == 3) {
        double before = (c->y[1] - c->y[0]) / (c->at[1] - c->at[0]);
        bend = (slope - before) / (c->at[2] - c->at[0]);
    }
    if (slope < 0)
        slope = 0;
    if (bend < 0)
        bend = 0;
    x -= c->at[last];
    return c->y[last] + slope * x + bend * x * (x + c->at[last] - c->at[last - 1]);
}

/* ---- the rehearsal ----------------------------------------------------------------- */

typedef struct rehearsal {
    ex_plan *plan;
    ex_config small;                    /* the configuration with a small batch */
    ex_run run;
    double fixed;                       /* forever arena without what grows with batch */
    curve step, step_scratch, forward, backward;        /* of training, over images */
    curve look, look_scratch;           /* of one view, nothing recorded */
    double metrics_scratch;
    int places;                         /* of an image's map, of a run with a codebook */
    curve settle;                       /* scratch of codes that no gradient moves, over
                                           images */
    curve decode, decode_scratch;       /* of images, codes and what is made of them */
    double close_scratch, turn_scratch; /* of the figures of these codes, and of what the
                                           watch keeps of them */
    curve start;                        /* scratch of the codebook's start, over rows */
} rehearsal;

/* A step on a tape, in which every term of the loss that the clock tells is there.  Codes
 * are settled as in training: nobody will see these. */
static void rehearse_loss(rehearsal *r, nn_tape *t, const data_batch *b, int n,
                          ssl_clock clock, nn_flops *most, nn_arena *settling)
{
    ex_run *run = &r->run;
    const nn_quant_clock start = { .steps = ex_run_clock(run, 0).steps };
    nn_quantised found;
    ssl_views views = { .clock = clock, .found = &found };
    nn_node *loss = ex_run_loss(run, t, b, n, &views);
    nn_flops f = nn_tape_flops(t);

    most->forward = larger(most->forward, f.forward);
    most->backward = larger(most->backward, f.backward);
    if (run->probe.d)
        ex_run_probe(run, views.h[0], b, n, t->scratch);
    nn_backward(loss);
    if (run->codes.parts)
        nn_quantiser_settle(run->codes.quantiser, &found, &start, NULL, NULL, settling);
    nn_tape_reset(t);
}

/* One step on the first n images of a batch; record = 0: one view, as an evaluation sees
 * it.  Batch statistics, but nothing is updated.  Where regularisers come and go it is
 * the largest step that counts, for memory and for work. */
static void rehearse_step(rehearsal *r, const data_batch *b, int n, int record)
{
    ex_run *run = &r->run;
    const ex_config *c = run->config;
    nn_arena step = {0}, scratch = {0}, settling = {0};
    nn_tape t;

    nn_tape_start(&t, &step, &scratch);
    t.mode = NN_BATCH;
    t.record = record;
    if (record) {
        ssl_clock clock[EX_FULL_CLOCKS];
        int clocks = ex_run_full_clocks(run, clock);
        nn_flops f = {0};
        rehearse_loss(r, &t, b, n, (ssl_clock){0}, &f, &settling);
        for (int i = 0; i < clocks; i++)
            rehearse_loss(r, &t, b, n, clock[i], &f, &settling);
        add_point(&r->forward, n, f.forward);
        add_point(&r->backward, n, f.backward);
        add_point(&r->settle, n, (double)settling.peak);
    } else {
        nn_node *x = nn_input(
            &t, nn_shape4(n, run->train.h, run->train.w, run->train.c), b->view[0], 0);
        nn_node *h = c->model->forward(&t, run->model_state, x);
        c->method->embed(&t, run->objective.heads, h);
    }
    add_point(record ? &r->step : &r->look, n, (double)step.peak);
    add_point(record ? &r->step_scratch : &r->look_scratch, n, (double)scratch.peak);
    nn_tape_free(&t);
    nn_arena_free(&step);
    nn_arena_free(&scratch);
    nn_arena_free(&settling);
}

/* Codes and reconstructions of the first n images of a batch, as an evaluation has them
 * after training, and the figures of the codes as if all held-out images had passed. */
static void rehearse_codes(rehearsal *r, const data_batch *b, int n)
{
    ex_run *run = &r->run;
    const met_image_size size = { run->train.h, run->train.w, run->train.c };
    nn_arena step = {0}, scratch = {0}, closing = {0}, figures = {0};
    ex_code_figures f = {
        .original = NN_NEW(&figures, float, EX_SHOWN * size.h * size.w * size.c),
        .made = NN_NEW(&figures, float, EX_SHOWN * size.h * size.w * size.c),
        .probe = NN_NEW0(&figures, int, run->codes.parts * EX_PROBED)
    };
    ssl_views views = { .count = 1 };
    nn_quantised found;
    nn_tape t;

    nn_tape_start(&t, &step, &scratch);
    t.mode = NN_EVAL;
    t.record = 0;
    ex_codes_look look = ex_codes_open(&run->codes, &f, size, &scratch);
    const double opened = (double)scratch.peak;
    nn_node *x = nn_input(&t, nn_shape4(n, size.h, size.w, size.c), b->view[0], 0);
    ssl_objective_encode(&t, &run->objective, &views, 0, x);
    nn_node *made = run->config->method->reconstruct(&t, run->objective.heads, &views, 0,
                                                     &found);
    ex_codes_see(&look, &found, (size_t)n, b->view[0], made->val, &scratch);
    add_point(&r->decode, n, (double)step.peak);
    add_point(&r->decode_scratch, n, (double)scratch.peak);
    if (!r->places) {                           /* once: K x K distances take their time */
        r->places = nn_rows(found.q) / n;
        look.seen = (size_t)run->test.n * (size_t)r->places;
        ex_codes_turn(&run->codes, NULL, &closing);
        r->turn_scratch = (double)closing.peak;
        ex_codes_close(&look, &closing);
        r->close_scratch = opened + (double)closing.peak;
    }
    nn_tape_free(&t);
    nn_arena_free(&step);
    nn_arena_free(&scratch);
    nn_arena_free(&closing);
    nn_arena_free(&figures);
}

/* The scratch that the codebook's start on n vectors takes, all of them 0: memory does not
 * depend on values. */
static double rehearse_start(const rehearsal *r, int n, int batch)
{
    const nn_quant_clock clock = { .steps = ex_run_clock(&r->run, 0).steps };
    nn_arena rows = {0}, scratch = {0};

    nn_quantiser_start(r->run.codes.quantiser,
                       NN_NEW0(&rows, float, (size_t)n * r->run.r), (size_t)n,
                       (size_t)batch, &clock, &scratch);
    double peak = (double)scratch.peak;
    nn_arena_free(&rows);
    nn_arena_free(&scratch);
    return peak;
}

/* The scratch that an evaluation of n held-out images against a bank takes; raw: that of
 * nearest neighbours of pixels alone. */
static double rehearse_metrics(const rehearsal *r, int n, int bank, int raw)
{
    ex_config c = r->small;
    ex_run copy = r->run;
    ex_figures figures = {0};

    c.top.batch = (int)r->step.at[0];           /* the network is not what is measured */
    c.metrics.samples = n;
    c.metrics.bank = bank;
    copy.config = &c;
    copy.forever = copy.step = copy.scratch = (nn_arena){0};
    nn_tape_start(&copy.tape, &copy.step, &copy.scratch);
    ex_evaluator e = ex_evaluator_new(&copy);
    e.looked = 0;                               /* nor are the codes */
    if (raw)
        ex_raw_pixel_knn(&e);
    else
        ex_evaluate(&e, 0, &figures);
    double peak = (double)copy.scratch.peak;
    nn_tape_free(&copy.tape);
    nn_arena_free(&copy.forever);
    nn_arena_free(&copy.step);
    nn_arena_free(&copy.scratch);
    return peak;
}

/* Matrices of the metrics change shape where the images outnumber the columns; beyond
 * that their memory grows evenly, so the rungs begin there, and two will do when that is
 * far up.  Where there is no room for rungs the evaluation is rehearsed as a whole: so few
 * images take a fraction of a second, and small products go other ways than those of
 * their parts. */
static void rehearse_evaluation(rehearsal *r)
{
    const ex_metrics *m = &r->plan->config->metrics;
    const ex_run *run = &r->run;
    int n = least(m->samples, run->test.n);
    int bank = least(m->bank, data_labelled(&run->train));
    int bends[] = { run->d, run->r, QUERIES }, low = most(n / 4, 2);
    int voters = least(bank, m->knn_k), first = least(bank, most(m->knn_k, ROWS));
    curve metrics = {0}, raw = {0};

    for (size_t i = 0; i < NN_COUNT(bends); i++)
        if (bends[i] > low && bends[i] < n)
            low = bends[i];
    low = (low + BLOCK - 1) / BLOCK * BLOCK;
    int up = (n - low) / EVEN_STEPS / BLOCK * BLOCK;
    if (up <= 0) {
        r->metrics_scratch = larger(rehearse_metrics(r, n, voters, 0),
                                    rehearse_metrics(r, n, bank, 1));
        return;
    }
    for (int i = 0, images = low; i < RUNGS; i++, images += up) {
        int rows = first + (int)((long)(bank - first) * (images - low) / (n - low));
        if (i < 2 || low <= n / 2)
            add_point(&metrics, images, rehearse_metrics(r, images, voters, 0));
        add_point(&raw, images, rehearse_metrics(r, images, rows, 1));
    }
    r->metrics_scratch = larger(value_at(&metrics, n), value_at(&raw, n));
}

/* Training images of the linear probe; 0: the run has none. */
static int probed(const rehearsal *r)
{
    const ex_config *c = r->plan->config;

    return c->metrics.linear == EX_LINEAR_OFF
        ? 0 : ex_probed(c, &r->run.train, &r->run.test);
}

/* The scratch of a linear probe on n rows of d features, all of them 0: memory does not
 * depend on values, nor on how often the rows are gone through. */
static double rehearse_probe(const rehearsal *r, int d, int n)
{
    const data_images *train = &r->run.train;
    met_linear_settings s = ex_linear_settings(r->plan->config, train->classes);
    nn_arena rows = {0}, scratch = {0};
    const float *x = NN_NEW0(&rows, float, (size_t)n * d);

    s.epochs = 1;
    s.lambda = s.lr = 0.1;                      /* no search for a better one: time */
    met_linear(&s, d, x, train->label, n, x, train->label, n, &scratch);
    double peak = (double)scratch.peak;
    nn_arena_free(&scratch);
    nn_arena_free(&rows);
    return peak;
}

/* It grows evenly with the rows once a probe's tiles and batches are full. */
static double probe_scratch(const rehearsal *r, int d)
{
    int n = probed(r), first = most(n / 8, FULL);
    curve c = {0};

    if (2 * first >= n)
        return rehearse_probe(r, d, n);
    add_point(&c, first, rehearse_probe(r, d, first));
    add_point(&c, 2 * first, rehearse_probe(r, d, 2 * first));
    return value_at(&c, n);
}

static double lines(double bytes)               /* an arena hands out whole lines */
{
    return ceil(bytes / 64) * 64;
}

static double image_bytes(const ex_run *run, double n)          /* as floats */
{
    return lines(4.0 * n * run->test.h * run->test.w * run->test.c);
}

/* What ex_evaluate takes from the forever arena when it first runs: map and spectra, and
 * of a codebook images, what is made of them, and the codes of the first vectors. */
static double figure_bytes(const ex_run *run, int n)
{
    const double codes = 2 * image_bytes(run, EX_SHOWN)
                         + lines(4.0 * run->codes.parts * EX_PROBED);

    return lines(16.0 * least(n, EX_MAP_POINTS)) + lines(8.0 * run->d)
           + lines(8.0 * run->r) + (run->codes.parts ? codes : 0);
}

/* The larger of the probe of h, whose features lie among the buffers, and of pixels. */
static void rehearse_linear(rehearsal *r)
{
    const data_images *train = &r->run.train, *test = &r->run.test;
    int d = (int)data_raw_count(train), n = probed(r);

    if (!n)
        return;
    double pixels = lines(4.0 * n * d) + lines(4.0 * data_labelled(test) * d)
                    + probe_scratch(r, d);
    r->metrics_scratch = larger(r->metrics_scratch, pixels);
    r->metrics_scratch = larger(r->metrics_scratch, probe_scratch(r, r->run.r));
}

/* Bytes that the loader, the evaluator and the checkpoints will ask for at this batch.
 * They are asked for in an arena of their own and not touched, so no cap applies. */
static void size_buffers(const rehearsal *r, int batch, double *batches, double *buffers,
                         double *saving)
{
    ex_config c = *r->plan->config;
    ex_run copy = r->run;

    c.top.batch = batch;
    copy.config = &c;
    copy.forever = (nn_arena){0};
    nn_memory_limit(0, NULL, NULL);
    data_loader_new(&copy.forever, &copy.train, &c.augment, 0, batch,
                    copy.objective.views);
    *batches = (double)copy.forever.peak;
    ex_evaluator e = ex_evaluator_new(&copy);
    *buffers = (double)copy.forever.peak - *batches;
    ex_saver_new(&copy);
    *saving = (double)copy.forever.peak - *batches - *buffers;
    nn_arena_free(&copy.forever);
    ex_memory_cap(&r->plan->room, NULL);

    double saved = 0;                           /* statistics of the untrained network */
    for (int i = 0; i < copy.store.count; i++)
        if (copy.store.list[i]->role == NN_BUFFER)
            saved += (double)nn_shape_count(&copy.store.list[i]->shape);
    *buffers += figure_bytes(&copy, e.n) + lines(4.0 * saved);
}

/* The longest part into which n images are cut for the network (evaluate.c): as many
 * parts of at least `batch` images as there are, of the same length give or take one. */
static int longest_part(int n, int batch)
{
    int parts = n / batch > 0 ? n / batch : 1;
    return (n + parts - 1) / parts;
}

/* Vectors that the codebook starts from at some batch: those of whole batches, until there
 * are as many as it wants (ex_run_start).  Also how many that is, 0: it wants none. */
static double start_rows(const rehearsal *r, int batch, double *wanted)
{
    const double each = (double)r->places * batch;
    const int steps = r->run.train.n / batch;

    *wanted = (double)nn_quantiser_rows(r->run.codes.quantiser, (size_t)each);
    return each * fmin(ceil(*wanted / each), steps);
}

/* Two rungs, all vectors and half of them, as far as searches of so much work allow: each
 * of the two may take a second. */
static void rehearse_starts(rehearsal *r)
{
    const int batch = r->plan->config->top.batch;
    double wanted, rows;

    if (!r->run.codes.parts)
        return;
    rows = start_rows(r, batch, &wanted);
    if (wanted <= 0)
        return;
    rows = fmin(rows, start_work / nn_quantiser_flops(r->run.codes.quantiser, 1));
    const int all = most((int)rows, 2), half = all / 2;
    add_point(&r->start, half, rehearse_start(r, half, half));
    add_point(&r->start, all, rehearse_start(r, all, all));
}

/* What a codebook adds at some batch: to the scratch of training by its start and its
 * settling, and to evaluations, which look at the codes of all held-out images. */
static void add_codes(const rehearsal *r, int batch, ex_peaks *p)
{
    const ex_run *run = &r->run;
    const int part = longest_part(run->test.n, batch);
    const double each = (double)r->places * batch;
    double wanted, rows = start_rows(r, batch, &wanted);
    double kept = lines(4.0 * (wanted + each) * run->r), beside = 0;

    if (wanted > 0)
        beside = value_at(&r->start, rows);
    if (rows > each)                            /* encoders after the first */
        beside = larger(beside, value_at(&r->look_scratch, batch));
    p->training_scratch = larger(p->training_scratch, kept + beside);
    p->training_scratch = larger(p->training_scratch, r->turn_scratch);
    p->training_scratch = larger(p->training_scratch, value_at(&r->settle, batch));
    p->evaluation = larger(p->evaluation, value_at(&r->decode, part));
    p->evaluation_scratch = larger(p->evaluation_scratch,
                                   2 * image_bytes(run, 2 * batch)
                                   + larger(value_at(&r->decode_scratch, part),
                                            r->close_scratch));
}

/* What the whole run takes at some batch. */
static ex_peaks peaks_at(const rehearsal *r, int batch)
{
    const ex_metrics *m = &r->plan->config->metrics;
    int n = least(m->samples, r->run.test.n);
    int bank = least(m->bank, data_labelled(&r->run.train));
    int part = most(batch, most(longest_part(n, batch), longest_part(bank, batch)));
    if (probed(r))
        part = most(part, most(longest_part(probed(r), batch),
                               longest_part(data_labelled(&r->run.test), batch)));
    double batches, buffers, saving;
    ex_peaks p;

    size_buffers(r, batch, &batches, &buffers, &saving);
    p.forever = r->fixed + batches + buffers + saving;
    p.training = value_at(&r->step, batch);
    p.training_scratch = value_at(&r->step_scratch, batch);
    p.evaluation = value_at(&r->look, part);
    p.evaluation_scratch = larger(value_at(&r->look_scratch, part), r->metrics_scratch);
    if (r->run.codes.parts)
        add_codes(r, batch, &p);
    p.step = larger(p.training, p.evaluation);
    p.scratch = larger(p.training_scratch, p.evaluation_scratch);
    return p;
}

static int fits(const ex_plan *p, const ex_peaks *peaks)
{
    return p->room.bytes == SIZE_MAX
           || ex_peaks_sum(peaks) + p->aside <= (double)p->room.bytes;
}

/* By halving: memory grows with the batch. */
static int largest_batch(const rehearsal *r)
{
    int good = 0, bad = r->plan->config->top.batch;

    while (bad - good > 1) {
        int middle = good + (bad - good) / 2;
        ex_peaks p = peaks_at(r, middle);
        if (fits(r->plan, &p))
            good = middle;
        else
            bad = middle;
    }
    return good >= 2 ? good : 0;
}

/* Everything that does not depend on the batch. */
static void count_parts(rehearsal *r)
{
    ex_plan *p = r->plan;
    const ex_run *run = &r->run;
    double batches, buffers, saving;

    for (int i = 0; i < run->store.count; i++) {
        const nn_param *q = run->store.list[i];
        double count = (double)nn_shape_count(&q->shape);
        p->weights += lines(4 * count) * (q->role == NN_PARAMETER ? 2 : 1);
        p->file += 4 * count;
        if (q->role != NN_PARAMETER)
            continue;
        p->parameters += count;
        p->backbone += i < run->backbone ? count : 0;
        p->frozen += q->grad ? 0 : count;
    }
    for (int i = 0; i < opt_buffer_count(run->opt); i++) {
        double count = (double)nn_shape_count(&opt_buffer_at(run->opt, i).param->shape);
        p->optimiser += lines(4 * count);
        p->file += 4 * count;
    }
    size_buffers(r, r->small.top.batch, &batches, &buffers, &saving);
    r->fixed = (double)run->forever.peak - batches;
    p->data = r->fixed - p->weights - p->optimiser;
    p->train = run->train.n;
    p->test = run->test.n;
    size_buffers(r, p->config->top.batch, &p->batches, &p->buffers, &p->saving);
}

/* The first rung for a batch, and the images of the last. */
static int first_rung(int batch)
{
    return batch < LEAST_BATCH ? batch : most(least(MOST_FIRST, batch / 8), 2);
}

static int last_rung(int batch)
{
    return batch < LEAST_BATCH ? batch : first_rung(batch) << (RUNGS - 1);
}

/* The rungs, as far as they fit themselves. */
static void climb(rehearsal *r)
{
    int batch = r->plan->config->top.batch, end = last_rung(batch);
    data_batch b = data_loader_get(r->run.loader, 0, 0);

    nn_store_zero_grad(&r->run.store);
    for (int i = 0, n = first_rung(batch); n <= end; i++, n *= 2) {
        double next = i ? value_at(&r->step, n) + value_at(&r->step_scratch, n) : 0;
        if ((double)nn_memory_used() + next > (double)r->plan->room.bytes)
            break;
        rehearse_step(r, &b, n, 1);
        rehearse_step(r, &b, n, 0);
        if (r->run.codes.parts)
            rehearse_codes(r, &b, n);
    }
}

/* The codebook, and the work that is on no tape. */
static void count_codes(const rehearsal *r)
{
    const nn_quantiser *u = r->run.codes.quantiser;
    ex_plan *p = r->plan;

    p->codes = nn_quantiser_codes(u);
    p->columns = nn_quantiser_columns(u);
    p->parts = nn_quantiser_parts(u);
    p->places = r->places;
    p->search = nn_quantiser_flops(u, (double)r->places * p->config->top.batch);
}

static nn_status rehearse(ex_plan *p, nn_err *err)
{
    const ex_config *c = p->config;
    rehearsal r = { .plan = p, .small = *c };

    r.small.top.batch = last_rung(c->top.batch);
    nn_status status = ex_run_build(&r.run, &r.small, err);
    if (status == NN_ECONFIG || (status == NN_OK && c->top.batch > r.run.train.n)) {
        ex_run_free(&r.run);
        status = ex_run_build(&r.run, c, err);  /* the mistake in the user's words */
    }
    if (status == NN_OK) {
        count_parts(&r);
        climb(&r);
        rehearse_evaluation(&r);
        rehearse_linear(&r);
        rehearse_starts(&r);
        if (r.run.codes.parts)
            count_codes(&r);
        p->forward = value_at(&r.forward, c->top.batch);
        p->backward = value_at(&r.backward, c->top.batch);
        p->estimate = peaks_at(&r, c->top.batch);
        p->rehearsed = 1;
        p->fits = fits(p, &p->estimate);
        p->largest = p->fits ? -1 : largest_batch(&r);
        p->steps = r.run.train.n / c->top.batch;
    }
    ex_run_free(&r.run);
    return status;
}

/* ---- the real thing ---------------------------------------------------------------- */

/* Seconds since *from, which becomes now. */
static double lap(double *from)
{
    double now = ex_seconds(), took = now - *from;
    *from = now;
    return took;
}

/* A few steps and an evaluation of the run as it will be.  What comes before the first
 * step, beside an evaluation, is timed with an evaluation too short to count. */
static nn_status measure(ex_plan *p, nn_err *err)
{
    ex_run run;
    double from = ex_seconds();
    nn_status status = ex_run_build(&run, p->config, err);

    if (status != NN_OK) {
        ex_run_free(&run);
        return status;
    }
    ex_run_start(&run);
    p->start_seconds = lap(&from);
    for (int i = 0; i < 1 + TIMED; i++) {
        data_batch b = data_loader_get(run.loader, i / run.steps, i % run.steps);
        if (!i)
            ex_run_reserve(&run, &b);
        ex_run_step(&run, &b);
        double took = lap(&from);
        p->step_seconds += i ? took / TIMED : 0;
    }
    p->steps_timed = TIMED;
    p->measured = p->estimate;
    p->measured.training = (double)run.step.peak;
    p->measured.training_scratch = (double)run.scratch.peak;

    ex_figures first = {0}, figures = {0};
    ex_evaluator e = ex_evaluator_new(&run), brief = e;
    ex_saver_new(&run);
    brief.n = least(e.n, p->config->top.batch);
    brief.bank = least(e.bank, p->config->top.batch);
    brief.queries = least(e.queries, brief.n);
    brief.k = least(e.k, brief.n - 1);
    brief.knn_k = least(e.knn_k, brief.bank);
    brief.linear_bank = 0;
    brief.looked = 0;
    lap(&from);
    ex_evaluate_untrained(&brief, &first);
    ex_raw_pixel_knn(&e);
    ex_raw_pixel_linear(&e);
    p->start_seconds += lap(&from);
    ex_evaluate(&e, 0, &figures);
    p->evaluation_seconds = lap(&from);
    ex_linear(&e);
    p->linear_seconds = e.linear_bank ? lap(&from) : 0;
    p->start_seconds += p->evaluation_seconds + p->linear_seconds;

    p->measured.forever = (double)run.forever.peak - figure_bytes(&run, brief.n);
    p->measured.step = (double)run.step.peak;
    p->measured.scratch = (double)run.scratch.peak;
    if (p->measured.step > p->measured.training)
        p->measured.evaluation = p->measured.step;
    if (p->measured.scratch > p->measured.training_scratch)
        p->measured.evaluation_scratch = p->measured.scratch;
    ex_run_free(&run);
    return NN_OK;
}

static void add_up(ex_plan *p)
{
    const ex_config *c = p->config;
    int every = c->metrics.every, epochs = c->top.epochs;

    p->evaluations = epochs / every + (epochs % every != 0);
    p->probes = c->metrics.linear == EX_LINEAR_OFF ? 0
                : c->metrics.linear == EX_LINEAR_LAST ? 1 : p->evaluations;
    p->seconds = p->start_seconds + (double)epochs * p->steps * p->step_seconds
                 + p->evaluations * p->evaluation_seconds
                 + p->probes * p->linear_seconds;
}

/* ---- the command ------------------------------------------------------------------- */

static nn_status make_plan(ex_plan *p, nn_err *err)
{
    char need[32], room[32];

    p->room = ex_memory_room(p->config);
    p->threads = nn_par_threads();
    p->aside = (double)nn_memory_used() + ASIDE;
    NN_TRY(ex_memory_cap(&p->room, err));
    NN_TRY(rehearse(p, err));
    add_up(p);
    if (p->fits) {
        NN_TRY(measure(p, err));
        add_up(p);
        return NN_OK;
    }
    ex_memory_text(ex_peaks_sum(&p->estimate) + p->aside, need, sizeof need);
    ex_memory_text((double)p->room.bytes, room, sizeof room);
    if (p->largest)
        return nn_fail(err, NN_ERUN,
                       "this run needs about %s, but %s allows %s; batch = %d would fit",
                       need, p->room.name, room, p->largest);
    return nn_fail(err, NN_ERUN, "this run needs about %s, but %s allows %s; no batch"
                   " would fit: lower data.limit, metrics.bank or metrics.samples, or"
                   " take a narrower model", need, p->room.name, room);
}

/* Where --json prints its object when memory runs out in the rehearsal. */
static FILE *json_to;

void ex_plan_no_memory(const char *text)
{
    if (!json_to)
        return;
    ex_plan_json(NULL, NN_ERUN, text, json_to);
    fflush(json_to);
}

nn_status ex_plan_print(const ex_plan_options *o, FILE *out, nn_err *err)
{
    nn_arena text = {0};
    ex_config c;
    ex_plan plan = { .config = &c, .largest = -1 };

    json_to = o->json ? out : NULL;
    nn_status status = ex_machine_choose(o->threads, err);
    if (status == NN_OK)
        status = ex_config_load(&c, o->file, o->pairs, o->pair, &text, err);
    if (status == NN_OK)
        status = make_plan(&plan, err);
    const ex_plan *shown = plan.rehearsed || plan.steps_timed ? &plan : NULL;
    if (o->json)
        ex_plan_json(shown, status, err->text, out);
    else if (shown)
        ex_plan_words(shown, out);
    json_to = NULL;
    nn_arena_free(&text);
    return status;
}
