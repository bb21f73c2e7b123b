#include <stdatomic.h>
#include <time.h>

#include "data/data.h"
#include "data/map.h"
#include "nn/par.h"

/* Two slots: one holds the batch that was handed out, the other the next one, which is
 * made in small jobs while the trainer's threads would wait for each other.  A job writes
 * the views of JOB samples, and each of them is a function of (seed, epoch, image, view):
 * nothing in a batch tells who made it, or in which order batches were asked for. */
enum { JOB = 2 };

typedef struct slot {
    int epoch, step;                    /* epoch -1: nothing in it */
    uint32_t *index;                    /* (batch) */
    float *view[DATA_MOST_VIEWS];       /* (batch, h, w, c) */
    float *local[DATA_MOST_LOCAL];      /* (batch, side, side, c) */
} slot;

/* What a worker has spent; a cache line each, so that nobody waits for a neighbour's. */
typedef struct spent { _Alignas(64) double seconds; long images; } spent;

/* Images by class, for epochs in which every class comes equally often. */
typedef struct classes {
    int count;                          /* classes that have an image */
    uint32_t *end;                      /* of each of them among the members */
    uint32_t *member;                   /* (n) images, class by class */
    uint32_t *drawn, *turn;             /* (n) what an epoch shows; order to show it in */
} classes;

struct data_loader {
    const data_images *d;
    data_augment augment;
    uint64_t seed;
    int batch, views, steps, locals, side;
    int order_epoch;                    /* whose order this is, -1: none */
    uint32_t *order;                    /* (n) */
    classes by_class;                   /* of a balanced set */
    slot slot[2];
    slot *making;                       /* posted with nn_par_ahead, or NULL */
    slot *filling;                      /* what the jobs write */
    atomic_int drop;                    /* 1: jobs return at once */
    int workers;
    char **work;                        /* one space per worker */
    spent *spent;                       /* (workers) */
};

/* Processor time of the calling thread: what others take from it does not count. */
static double thread_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

nn_status data_loader_check(const data_images *d, int batch, nn_err *err)
{
    if (batch >= 1 && batch <= d->n)
        return NN_OK;
    return nn_fail(err, NN_ECONFIG,
                   "batch: %d does not fit the data set of %d images; choose "
                   "1 to %d, or raise data.limit",
                   batch, d->n, d->n);
}

static float *views_new(nn_arena *a, int batch, int h, int w, int c)
{
    return NN_NEW(a, float, (size_t)batch * h * w * c);
}

static size_t space_of(const data_loader *l)
{
    size_t view = data_augment_space(l->d);
    size_t local = l->locals ? data_local_space(&l->augment, l->d) : 0;
    return view > local ? view : local;
}

static classes classes_new(nn_arena *a, const data_images *d)
{
    classes k = { .end = NN_NEW0(a, uint32_t, d->classes + 1),
                  .member = NN_NEW(a, uint32_t, d->n),
                  .drawn = NN_NEW(a, uint32_t, d->n), .turn = NN_NEW(a, uint32_t, d->n) };

    for (int i = 0; i < d->n; i++)
        k.end[d->label[i] + 1]++;
    for (int c = 0; c < d->classes; c++)
        k.end[c + 1] += k.end[c];
    for (int i = 0; i < d->n; i++)              /* moves each start on to the end */
        k.member[k.end[d->label[i]]++] = (uint32_t)i;
    for (int c = 0; c < d->classes; c++)
        if (k.end[c] > (k.count ? k.end[k.count - 1] : 0))
            k.end[k.count++] = k.end[c];
    return k;
}

data_loader *data_loader_new(nn_arena *a, const data_images *d, const data_augment *g,
                             uint64_t seed, int batch, int views)
{
    data_loader *l = NN_NEW0(a, data_loader, 1);

    NN_NEED(batch >= 1 && batch <= d->n, "loader: a batch of %d from %d images", batch,
            d->n);
    NN_NEED(!g->local_crops || d->pixel, "loader: local crops of numbers");
    NN_NEED(!d->balanced || !d->unlabelled, "loader: classes of images without a label");
    NN_NEED(views >= 1 && views <= DATA_MOST_VIEWS, "loader: %d views", views);
    l->d = d;
    l->augment = *g;
    l->seed = seed;
    l->batch = batch;
    l->views = views;
    l->locals = g->local_crops;
    l->side = data_local_side(g, d);
    l->steps = d->n / batch;
    l->order_epoch = -1;
    l->order = NN_NEW(a, uint32_t, d->n);
    if (d->balanced)
        l->by_class = classes_new(a, d);
    for (int k = 0; k < 2; k++) {
        slot *s = &l->slot[k];
        s->epoch = -1;
        s->index = NN_NEW(a, uint32_t, batch);
        for (int v = 0; v < views; v++)
            s->view[v] = views_new(a, batch, d->h, d->w, d->c);
        for (int v = 0; v < l->locals; v++)
            s->local[v] = views_new(a, batch, l->side, l->side, d->c);
    }
    atomic_init(&l->drop, 0);
    l->workers = nn_par_threads();
    l->work = NN_NEW(a, char *, l->workers);
    for (int k = 0; k < l->workers; k++)
        l->work[k] = NN_NEW(a, char, space_of(l));
    l->spent = NN_NEW0(a, spent, l->workers);
    return l;
}

int data_loader_steps(const data_loader *l)
{
    return l->steps;
}

data_cost data_loader_cost(const data_loader *l)
{
    data_cost sum = { 0, 0 };
    for (int k = 0; k < l->workers; k++) {
        sum.seconds += l->spent[k].seconds;
        sum.images += l->spent[k].images;
    }
    return sum;
}

static void make_views(void *ctx, size_t job, int worker)
{
    data_loader *l = ctx;
    const slot *s = l->filling;
    size_t count = (size_t)l->d->h * l->d->w * l->d->c;
    size_t small = (size_t)l->side * l->side * l->d->c;
    int first = (int)job * JOB, end = first + JOB < l->batch ? first + JOB : l->batch;

    if (atomic_load_explicit(&l->drop, memory_order_relaxed))
        return;
    NN_NEED(worker < l->workers, "loader: worker %d, but made for %d", worker,
            l->workers);
    double from = thread_seconds();
    for (int i = first; i < end; i++) {
        for (int v = 0; v < l->views; v++)
            data_augment_view(&l->augment, l->d, (int)s->index[i], v, l->seed,
                              (uint32_t)s->epoch, s->view[v] + (size_t)i * count,
                              l->work[worker]);
        for (int v = 0; v < l->locals; v++)
            data_augment_local(&l->augment, l->d, (int)s->index[i], v, l->seed,
                               (uint32_t)s->epoch, s->local[v] + (size_t)i * small,
                               l->work[worker]);
    }
    l->spent[worker].seconds += thread_seconds() - from;
    l->spent[worker].images += end - first;
}

static size_t jobs_of(const data_loader *l)
{
    return ((size_t)l->batch + JOB - 1) / JOB;
}

/* Every image once, in random order. */
static void shuffle(data_loader *l, int epoch)
{
    nn_rng r = nn_rng_at(l->seed, NN_RNG_SHUFFLE, (uint32_t)epoch, 0);
    nn_rng_permute(&r, l->order, (uint32_t)l->d->n);
}

/* `count` images of class c, all of them before any comes again. */
static void draw_class(const classes *k, int c, uint32_t count, uint32_t *drawn,
                       uint32_t *turn, nn_rng *r)
{
    uint32_t start = c ? k->end[c - 1] : 0, has = k->end[c] - start;
    const uint32_t *member = k->member + start;

    for (uint32_t at = 0; at < count; at += has) {
        uint32_t some = count - at < has ? count - at : has;
        nn_rng_permute(r, turn, has);
        for (uint32_t i = 0; i < some; i++)
            drawn[at + i] = member[turn[i]];
    }
}

/* As many places as the epoch has steps for; every class gets the same number of them,
 * and those that are left over go to different classes. */
static void balance(data_loader *l, int epoch)
{
    const classes *k = &l->by_class;
    uint32_t places = (uint32_t)l->steps * (uint32_t)l->batch, count = (uint32_t)k->count;
    uint32_t more = places % count, at = 0;
    nn_rng r = nn_rng_at(l->seed, NN_RNG_SHUFFLE, (uint32_t)epoch, 1);

    uint32_t first = nn_rng_below(&r, count);           /* of those that get one more */
    for (uint32_t c = 0; c < count; c++) {
        uint32_t some = places / count + ((c + count - first) % count < more);
        draw_class(k, (int)c, some, k->drawn + at, k->turn, &r);
        at += some;
    }
    nn_rng_permute(&r, k->turn, places);
    for (uint32_t i = 0; i < places; i++)
        l->order[i] = k->drawn[k->turn[i]];
}

/* Decides what batch `step` of `epoch` holds; its views are made afterwards.  Rows that
 * lie on a disk are asked for all at once: one after the other would wait for each. */
static void prepare(data_loader *l, slot *s, int epoch, int step)
{
    if (l->order_epoch != epoch) {
        (l->d->balanced ? balance : shuffle)(l, epoch);
        l->order_epoch = epoch;
    }
    s->epoch = epoch;
    s->step = step;
    for (int i = 0; i < l->batch; i++)
        s->index[i] = l->order[(size_t)step * l->batch + i];
    for (int i = 0; i < l->batch && l->d->map; i++)
        data_map_want(data_pixel_at(l->d, (int)s->index[i]), data_raw_count(l->d));
    l->filling = s;
}

static int holds(const slot *s, int epoch, int step)
{
    return s->epoch == epoch && s->step == step;
}

/* The wanted batch is completed with the whole team, any other is dropped. */
static void settle(data_loader *l, int epoch, int step)
{
    if (!l->making)
        return;
    int wanted = holds(l->making, epoch, step);
    atomic_store(&l->drop, !wanted);
    nn_par_finish();
    atomic_store(&l->drop, 0);
    if (!wanted)
        l->making->epoch = -1;
    l->making = NULL;
}

data_batch data_loader_get(data_loader *l, int epoch, int step)
{
    NN_NEED(epoch >= 0 && step >= 0 && step < l->steps,
            "loader: step %d of epoch %d, which has %d", step, epoch, l->steps);
    settle(l, epoch, step);

    slot *now = holds(&l->slot[1], epoch, step) ? &l->slot[1] : &l->slot[0];
    if (!holds(now, epoch, step)) {
        prepare(l, now, epoch, step);
        nn_par_run(jobs_of(l), make_views, l);
    }

    slot *next = now == l->slot ? &l->slot[1] : l->slot;
    int last = step + 1 == l->steps;
    prepare(l, next, epoch + last, last ? 0 : step + 1);
    l->making = next;
    nn_par_ahead(jobs_of(l), make_views, l);

    data_batch b = { .n = l->batch, .epoch = epoch, .step = step, .index = now->index };
    for (int v = 0; v < l->views; v++)
        b.view[v] = now->view[v];
    for (int v = 0; v < l->locals; v++)
        b.local[v] = now->local[v];
    return b;
}

void data_loader_stop(data_loader *l)
{
    settle(l, -1, -1);
}
