#include "nn/tensor.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "nn/base.h"
#include "nn/par.h"
#include "nn/rng.h"

nn_shape nn_shape1(int a)
{
    return (nn_shape){ 1, { a } };
}

nn_shape nn_shape2(int a, int b)
{
    return (nn_shape){ 2, { a, b } };
}

nn_shape nn_shape4(int n, int h, int w, int c)
{
    return (nn_shape){ 4, { n, h, w, c } };
}

size_t nn_shape_count(const nn_shape *s)
{
    size_t count = 1;
    for (int i = 0; i < s->rank; i++)
        count *= (size_t)s->dim[i];
    return count;
}

int nn_shape_same(const nn_shape *a, const nn_shape *b)
{
    return a->rank == b->rank
           && memcmp(a->dim, b->dim, sizeof *a->dim * (size_t)a->rank) == 0;
}

const char *nn_shape_text(const nn_shape *s, char *out, size_t size)
{
    size_t at = 0;
    for (int i = 0; i < s->rank && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%d", i ? ", " : "(", s->dim[i]);
    if (at < size)
        snprintf(out + at, size - at, "%s", s->rank ? ")" : "()");
    return out;
}

nn_param *nn_store_find(const nn_store *s, const char *name)
{
    for (int i = 0; i < s->count; i++)
        if (strcmp(s->list[i]->name, name) == 0)
            return s->list[i];
    return NULL;
}

static const nn_param *followed(const nn_store *s, const char *name, const nn_shape *shape)
{
    const nn_param *p = nn_store_find(s, name);
    NN_NEED(p && p->role == NN_PARAMETER && nn_shape_same(&p->shape, shape),
            "store: no parameter '%s' that a target could follow", name);
    return p;
}

nn_param *nn_store_add(nn_store *s, const char *name, nn_role role, nn_shape shape)
{
    char full[256];
    const nn_param *follows = NULL;

    if (s->of_target) {
        int length = snprintf(full, sizeof full, "target.%s", name);
        NN_NEED(length < (int)sizeof full, "store: the name '%s' is too long", name);
        if (role == NN_PARAMETER) {
            follows = followed(s, name, &shape);
            role = NN_TARGET;
        }
        name = full;
    }
    NN_NEED(!nn_store_find(s, name), "store: a second tensor named '%s'", name);
    if (s->count == s->room) {
        int room = s->room ? 2 * s->room : 64;
        nn_param **list = NN_NEW(s->arena, nn_param *, room);
        if (s->count)
            memcpy(list, s->list, sizeof *list * (size_t)s->count);
        s->list = list;                 /* the old list stays in the arena: a few words */
        s->room = room;
    }
    size_t count = nn_shape_count(&shape);
    nn_param *p = NN_NEW0(s->arena, nn_param, 1);
    p->name = nn_arena_copy(s->arena, name);
    p->role = role;
    p->follows = follows;
    p->shape = shape;
    p->val = NN_NEW0(s->arena, float, count);
    if (role == NN_PARAMETER)
        p->grad = NN_NEW0(s->arena, float, count);
    s->list[s->count++] = p;
    return p;
}

nn_param *nn_store_add_in(nn_store *s, const char *prefix, const char *name, nn_role role,
                          nn_shape shape)
{
    char full[256];
    int length = snprintf(full, sizeof full, "%s.%s", prefix, name);
    NN_NEED(length < (int)sizeof full, "store: the name '%s.%s' is too long", prefix, name);
    return nn_store_add(s, full, role, shape);
}

size_t nn_store_count(const nn_store *s)
{
    size_t count = 0;
    for (int i = 0; i < s->count; i++)
        if (s->list[i]->role == NN_PARAMETER)
            count += nn_shape_count(&s->list[i]->shape);
    return count;
}

/* ---- targets ---------------------------------------------------------------------- */

typedef struct following { nn_param *p; float tau, rest; } following;

enum { STRETCH = 1 << 14 };             /* numbers of a job: some microseconds */

static void follow_job(void *ctx, size_t job, int worker)
{
    const following *f = ctx;
    const size_t from = job * STRETCH, n = nn_shape_count(&f->p->shape),
                 end = n - from < STRETCH ? n : from + STRETCH;
    const float *theta = f->p->follows->val;
    (void)worker;

    for (size_t i = from; i < end; i++)
        f->p->val[i] = f->tau * f->p->val[i] + f->rest * theta[i];
}

void nn_store_follow(nn_store *s, double tau)
{
    NN_NEED(tau >= 0 && tau <= 1, "store: a target that keeps %g of itself", tau);
    if (tau == 1)
        return;
    for (int i = 0; i < s->count; i++) {
        following f = { s->list[i], (float)tau, (float)(1 - tau) };
        if (f.p->role != NN_TARGET)
            continue;
        size_t n = nn_shape_count(&f.p->shape);
        if (tau == 0)
            memcpy(f.p->val, f.p->follows->val, n * sizeof *f.p->val);
        else
            nn_par_run((n + STRETCH - 1) / STRETCH, follow_job, &f);
    }
}

/* ---- numbers that are none ------------------------------------------------------- */

/* A float is finite when its exponent is not all ones.  With the sign masked off, adding
 * one to the exponent carries into the sign's place exactly then.  LANES tests side by
 * side are what compilers turn into vectors at any level; only integers are touched, so
 * their order does not matter. */
enum { LANES = 16 };
static const uint32_t magnitude = 0x7fffffff, one_up = 0x00800000, carried = 0x80000000;

static int all_finite(const float *x, size_t n)
{
    uint32_t seen[LANES] = {0}, any = 0;
    size_t i = 0;

    for (; i + LANES <= n; i += LANES) {
        uint32_t bits[LANES];
        memcpy(bits, x + i, sizeof bits);
        for (int k = 0; k < LANES; k++)
            seen[k] |= (bits[k] & magnitude) + one_up;
    }
    for (; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        any |= (bits & magnitude) + one_up;
    }
    for (int k = 0; k < LANES; k++)
        any |= seen[k];
    return !(any & carried);
}

nn_bad nn_bad_among(const float *x, size_t n)
{
    nn_bad bad = { 0, 0, n };

    if (all_finite(x, n))
        return bad;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits &= magnitude;
        if (!((bits + one_up) & carried))
            continue;
        if (bad.first == n)
            bad.first = i;
        if (bits == carried - one_up)
            bad.infs++;
        else
            bad.nans++;
    }
    return bad;
}

/* ---- passes over all gradients ------------------------------------------------------
 * Gradients are cut into pieces of 64 Ki numbers, about ten microseconds each: long
 * beside finding the piece, short beside a step. */
enum { PIECE = 1 << 16 };

typedef struct piece {
    int param;                          /* index in the store */
    float *grad;
    size_t n;
} piece;

static size_t pieces_of(const nn_param *p)
{
    return p->grad ? (nn_shape_count(&p->shape) + PIECE - 1) / PIECE : 0;
}

static size_t pieces(const nn_store *s)
{
    size_t sum = 0;
    for (int i = 0; i < s->count; i++)
        sum += pieces_of(s->list[i]);
    return sum;
}

static piece piece_at(const nn_store *s, size_t job)
{
    int i = 0;
    for (size_t here; job >= (here = pieces_of(s->list[i])); i++)
        job -= here;
    size_t left = nn_shape_count(&s->list[i]->shape) - job * PIECE;
    return (piece){ i, s->list[i]->grad + job * PIECE, left < PIECE ? left : PIECE };
}

static void zero_piece(void *ctx, size_t job, int worker)
{
    piece p = piece_at(ctx, job);
    (void)worker;
    memset(p.grad, 0, p.n * sizeof *p.grad);
}

void nn_store_zero_grad(nn_store *s)
{
    nn_par_run(pieces(s), zero_piece, s);
}

typedef struct search {
    const nn_store *s;
    atomic_int first;                   /* index of the first bad one known so far */
} search;

static void search_piece(void *ctx, size_t job, int worker)
{
    search *q = ctx;
    piece p = piece_at(q->s, job);
    (void)worker;

    if (p.param >= atomic_load_explicit(&q->first, memory_order_relaxed)
        || all_finite(p.grad, p.n))
        return;
    for (int known = atomic_load(&q->first); p.param < known;)
        if (atomic_compare_exchange_weak(&q->first, &known, p.param))
            return;
}

const nn_param *nn_store_bad_grad(const nn_store *s)
{
    search q = { .s = s };

    atomic_init(&q.first, s->count);
    nn_par_run(pieces(s), search_piece, &q);
    int first = atomic_load(&q.first);
    return first < s->count ? s->list[first] : NULL;
}

void nn_init_constant(nn_param *p, float value)
{
    size_t count = nn_shape_count(&p->shape);
    for (size_t i = 0; i < count; i++)
        p->val[i] = value;
}

/* Values come in jobs of CHUNK: every job begins at its own block of random words, so who
 * makes which cannot be seen. */
enum { CHUNK = 1 << 14 };

typedef struct filling {
    nn_rng start;                       /* of value 0 */
    float *val;
    size_t count;
    double bound, std;                  /* uniform in +-bound, or std times a normal */
} filling;

static void fill_job(void *ctx, size_t job, int worker)
{
    const filling *f = ctx;
    size_t from = job * CHUNK, end = from + CHUNK < f->count ? from + CHUNK : f->count;
    nn_rng r = f->start;
    (void)worker;

    if (f->std > 0) {                   /* one word a normal: a block gives four */
        nn_rng_skip(&r, (uint32_t)(from / 4));
        for (size_t i = from; i < end; i++)
            f->val[i] = (float)(f->std * nn_rng_normal(&r));
    } else {                            /* two words each */
        nn_rng_skip(&r, (uint32_t)(from / 2));
        for (size_t i = from; i < end; i++)
            f->val[i] = (float)nn_rng_range(&r, -f->bound, f->bound);
    }
}

static void fill(const nn_store *s, nn_param *p, double bound, double std)
{
    filling f = { .start = nn_rng_at(s->seed, NN_RNG_INIT, 0, nn_hash_name(p->name)),
                  .val = p->val, .count = nn_shape_count(&p->shape), .bound = bound,
                  .std = std };
    nn_par_run((f.count + CHUNK - 1) / CHUNK, fill_job, &f);
}

void nn_init_uniform(nn_store *s, nn_param *p, double bound)
{
    fill(s, p, bound, 0);
}

void nn_init_normal(nn_store *s, nn_param *p, double std)
{
    NN_NEED(std > 0, "init: %s wants a spread above 0, got %g", p->name, std);
    fill(s, p, 0, std);
}
