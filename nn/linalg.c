#include "nn/linalg.h"

#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "nn/base.h"
#include "nn/kern/kern.h"
#include "nn/par.h"

/* Two doubles side by side: a register of every 64-bit CPU, so that the plain baseline
 * computes two at a time.  Loads and stores go through `at`, which asks for no more
 * alignment than a double has. */
typedef double pair __attribute__((vector_size(16)));
typedef double loose __attribute__((vector_size(16), aligned(8), may_alias));

static pair at(const double *p)
{
    return *(const loose *)p;
}

static void put(double *p, pair x)
{
    *(loose *)p = x;
}

typedef float two __attribute__((vector_size(8), aligned(4), may_alias));

static pair wide(const float *x)
{
    return __builtin_convertvector(*(const two *)x, pair);
}

enum {
    ROWS = 256,             /* rows of one chunk of column sums: part of the result */
    STRIPE = 8,             /* columns that take rotations together: one cache line */
    ALONE = 64,             /* smaller matrices are not worth waking the team */
    SWEEPS = 32,            /* QL sweeps collected before they are applied */
    PATIENCE = 30           /* sweeps per eigenvalue; two or three are usual */
};

/* Runs `run` over stripes of n rows or columns. */
static void share(int n, nn_job *run, void *ctx)
{
    size_t jobs = ((size_t)n + STRIPE - 1) / STRIPE;

    if (n >= ALONE)
        nn_par_run(jobs, run, ctx);
    else
        for (size_t j = 0; j < jobs; j++)
            run(ctx, j, 0);
}

/* ---- symmetric eigenvalues -------------------------------------------------------- */

/* sum x_i y_i over four lanes, part of the result: element i goes to lane i mod 4 */
static double dot(int n, const double *x, const double *y)
{
    pair even = {0, 0}, odd = {0, 0};
    int i = 0;

    for (; i + 4 <= n; i += 4) {
        even += at(x + i) * at(y + i);
        odd += at(x + i + 2) * at(y + i + 2);
    }
    double s = (even[0] + odd[0]) + (even[1] + odd[1]);
    for (; i < n; i++)
        s += x[i] * y[i];
    return s;
}

static void axpy(int n, double a, const double *x, double *y)
{
    int i = 0;

    for (; i + 2 <= n; i += 2)
        put(y + i, at(y + i) + a * at(x + i));
    for (; i < n; i++)
        y[i] += a * x[i];
}

/* Turns x (n) into u so that (I - u u'/h) x = (0, ..., 0, e); returns h, or 0 if x is
 * zero but for its last element, which then is e.  Squares near the smallest normal
 * number have lost digits: entries below 1e-146 of the largest count as zero here. */
static double reflector(int n, double *x, double *e)
{
    double rest = dot(n - 1, x, x), last = x[n - 1];

    if (rest <= DBL_MIN / DBL_EPSILON) {
        *e = last;
        return 0;
    }
    double length = sqrt(rest + last * last);

    *e = last > 0 ? -length : length;           /* opposite sign: no cancellation below */
    x[n - 1] = last - *e;
    return length * length - last * *e;
}

/* A = Q T Q' by reflectors u_i, i = n-1, n-2 ... 1.  Step i forms
 *   p = A u / h,  q = p - (u'p / 2h) u,  A -= u q' + q u'
 * and the update is carried out while the next step's A u reads the same rows.
 *
 * `a` is a copy with rows `gap` apart, a multiple of 8, of which the lower triangle and
 * the diagonal blocks of 8 x 8 are kept; u, q and v are zero from the active rows on.  A
 * step is cut into parts by the rows that are left, never by the team: each part adds
 * into a p of its own.  Below SOME rows a step is shorter than waking a second thread. */
enum { BLOCK = 8, PARTS = 4, SOME = 256, MANY = 1024 };

typedef struct shrink {
    int n, active, parts;               /* rows left; parts of this step */
    size_t gap;
    double *a, *u, *q, *v, *p;          /* p (PARTS, gap) */
    atomic_int taken[PARTS];
} shrink;

/* First row of part k: parts of about the same area. */
static int part_row(const shrink *s, int k)
{
    double blocks = (s->active + BLOCK - 1) / BLOCK;
    return BLOCK * (int)(blocks * sqrt((double)k / s->parts));
}

/* A job is a part that nobody has taken yet; a thread looks first for the one that it had
 * in the step before, whose rows are in its cache.  Who does which cannot be seen. */
static void reflect_part(void *ctx, size_t job, int worker)
{
    shrink *s = ctx;
    int part = worker * s->parts / nn_par_threads();
    (void)job;

    while (atomic_exchange(&s->taken[part], 1))
        part = (part + 1) % s->parts;
    int end = part_row(s, part + 1);
    double *p = s->p + (size_t)part * s->gap;

    memset(p, 0, sizeof *p * s->gap);
    for (int j = part_row(s, part); j < end; j += BLOCK)
        nn_kern_now->reflect((size_t)j, s->a + (size_t)j * s->gap, s->gap, s->u, s->q,
                             s->v, p);
}

/* A copy of the lower triangle of a, times 2^up. */
static double *copy_lower(int n, const double *a, int up, size_t gap, nn_arena *scratch)
{
    double *b = NN_NEW0(scratch, double, gap * gap);
    double half = ldexp(1, up / 2), rest = ldexp(1, up - up / 2);

    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) {
            double v = a[(size_t)i * n + j] * half * rest;
            b[(size_t)i * gap + j] = v;
            if (j / BLOCK == i / BLOCK)
                b[(size_t)j * gap + i] = v;
        }
    return b;
}

/* Diagonal of T into w, e[i] = T(i, i-1).  Row i of a keeps u_i (elements 0..i-1) and
 * h[i] its scale, from which Q is put together later. */
static void tridiagonal(int n, double *a, size_t gap, double *w, double *e, double *h,
                        nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch);
    shrink s = { .n = n, .gap = gap, .a = a,
                 .u = NN_NEW0(scratch, double, gap), .q = NN_NEW0(scratch, double, gap),
                 .v = NN_NEW0(scratch, double, gap),
                 .p = NN_NEW(scratch, double, PARTS * gap) };

    for (int i = n - 1; i >= 1; i--) {
        double *row = a + (size_t)i * gap;

        axpy(i + 1, -s.u[i], s.q, row);         /* row i catches up */
        axpy(i + 1, -s.q[i], s.u, row);
        w[i] = row[i];
        h[i] = reflector(i, row, &e[i]);
        s.u[i] = s.q[i] = s.v[i] = 0;
        memcpy(s.v, row, sizeof *row * (size_t)i);

        s.active = i;
        s.parts = i < SOME ? 1 : i < MANY ? 2 : PARTS;
        for (int k = 0; k < PARTS; k++)
            atomic_store(&s.taken[k], 0);
        nn_par_run((size_t)s.parts, reflect_part, &s);
        nn_fold_double(s.p, (size_t)s.parts, gap);
        memcpy(s.u, s.v, sizeof *s.u * (size_t)i);
        for (int j = 0; j < i; j++)
            s.q[j] = h[i] > 0 ? s.p[j] / h[i] : 0;
        if (h[i] > 0)
            axpy(i, -dot(i, s.v, s.q) / (2 * h[i]), s.v, s.q);
        else
            memset(s.u, 0, sizeof *s.u * (size_t)i);
    }
    w[0] = a[0];
    e[0] = h[0] = 0;
    nn_arena_rewind(scratch, mark);
}

typedef struct build { double *a; const double *u, *h; int n; size_t gap; } build;

/* Row r of Q' starts as a row of the identity and takes every later reflector in turn:
 * row <- row H_i, i = r+1 ... n-1.  Rows do not depend on each other. */
static void build_rows(void *ctx, size_t job, int worker)
{
    const build *b = ctx;
    int n = b->n, first = (int)job * STRIPE;
    int end = first + STRIPE < n ? first + STRIPE : n;
    (void)worker;

    for (int r = first; r < end; r++) {
        memset(b->a + (size_t)r * n, 0, sizeof *b->a * (size_t)n);
        b->a[(size_t)r * n + r] = 1;
    }
    for (int i = first + 1; i < n; i++) {
        const double *u = b->u + (size_t)i * b->gap;
        if (b->h[i] == 0)
            continue;
        for (int r = first; r < end && r < i; r++) {
            double *row = b->a + (size_t)r * n;
            axpy(i, -dot(i, row, u) / b->h[i], u, row);
        }
    }
}

/* Q' = H_1 H_2 ... H_{n-1}, H_i = I - u_i u_i'/h_i */
static void put_together(int n, double *a, const double *u, size_t gap, const double *h)
{
    build b = { a, u, h, n, gap };
    share(n, build_rows, &b);
}

/* A sweep of QL is a chain of plane rotations of rows (i, i+1), i = top-1, top-2, ...
 * Sweeps are collected, then applied stripe by stripe: within a stripe the chain passes
 * from row to row in registers. */
typedef struct turn { double c, s; } turn;
typedef struct sweep { int top, count; } sweep;

typedef struct rotations {
    int n, sweeps;
    size_t turns;
    double *a;
    turn *turn;                     /* SWEEPS * n */
    sweep *sweep;                   /* SWEEPS */
} rotations;

static void turn_stripe(void *ctx, size_t job, int worker)
{
    const rotations *r = ctx;
    const turn *t = r->turn;
    double *a = r->a + job * STRIPE;
    size_t n = (size_t)r->n;
    int wide = (int)(n - job * STRIPE);
    (void)worker;

    for (int k = 0; k < r->sweeps; k++) {
        double *row = a + (size_t)r->sweep[k].top * n;
        const turn *end = t + r->sweep[k].count;

        if (wide >= STRIPE) {
            pair g0 = at(row), g1 = at(row + 2), g2 = at(row + 4), g3 = at(row + 6);
            for (; t < end; t++, row -= n) {
                const double *up = row - n;
                pair c = { t->c, t->c }, s = { t->s, t->s };
                pair f0 = at(up), f1 = at(up + 2), f2 = at(up + 4), f3 = at(up + 6);
                put(row, s * f0 + c * g0);
                put(row + 2, s * f1 + c * g1);
                put(row + 4, s * f2 + c * g2);
                put(row + 6, s * f3 + c * g3);
                g0 = c * f0 - s * g0;
                g1 = c * f1 - s * g1;
                g2 = c * f2 - s * g2;
                g3 = c * f3 - s * g3;
            }
            put(row, g0);
            put(row + 2, g1);
            put(row + 4, g2);
            put(row + 6, g3);
        } else {
            for (; t < end; t++, row -= n)
                for (int j = 0; j < wide; j++) {
                    double f = row[j - (ptrdiff_t)n], g = row[j];
                    row[j] = t->s * f + t->c * g;
                    row[j - (ptrdiff_t)n] = t->c * f - t->s * g;
                }
        }
    }
}

static void rotate(rotations *r)
{
    share(r->n, turn_stripe, r);
    r->sweeps = 0;
    r->turns = 0;
}

/* sqrt(x^2 + y^2).  Entries are at most about n, so nothing overflows; below 1e-140 the
 * squares would underflow, so small pairs are scaled by an exact power of two. */
static double length2(double x, double y)
{
    double q = x * x + y * y;

    if (q > 1e-280)
        return sqrt(q);
    x *= 0x1p500;
    y *= 0x1p500;
    return sqrt(x * x + y * y) * 0x1p-500;
}

/* One implicit QL sweep on the block l..m of T (diagonal d, e[i] = T(i+1, i)), with the
 * shift that Wilkinson gave: the eigenvalue of its first 2 x 2 block nearer to d[l].
 * Chases the bulge from m up to l. */
static void ql_sweep(int l, int m, double *d, double *e, rotations *keep)
{
    double half = (d[l + 1] - d[l]) / (2 * e[l]);
    double g = d[m] - d[l] + e[l] / (half + copysign(length2(half, 1), half));
    double s = 1, c = 1, less = 0;
    int i = m - 1;

    for (; i >= l; i--) {
        double f = s * e[i], b = c * e[i], r = length2(f, g);

        e[i + 1] = r;
        if (r == 0) {                           /* the block fell apart at i + 1 */
            d[i + 1] -= less;
            e[m] = 0;
            break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - less;
        r = (d[i] - g) * s + 2 * c * b;
        less = s * r;
        d[i + 1] = g + less;
        g = c * r - b;
        keep->turn[keep->turns++] = (turn){ c, s };
    }
    keep->sweep[keep->sweeps++] = (sweep){ m, m - 1 - i };
    if (i < l) {
        d[l] -= less;
        e[l] = g;
        e[m] = 0;
    }
}

/* e[i] = 0 cuts T in two: it is below rounding beside its neighbours. */
static int cut(const double *d, const double *e, int i)
{
    return !(fabs(e[i]) > DBL_EPSILON * (fabs(d[i]) + fabs(d[i + 1])) + DBL_MIN);
}

static int ql(int n, double *d, double *e, rotations *keep)
{
    for (int l = 0; l < n; l++)
        for (int tries = 0;; tries++) {
            int m = l;
            while (m < n - 1 && !cut(d, e, m))
                m++;
            if (m == l)
                break;
            if (tries == PATIENCE)
                return 1;
            if (m < n - 1)
                e[m] = 0;
            ql_sweep(l, m, d, e, keep);
            if (keep->sweeps == SWEEPS)
                rotate(keep);
        }
    rotate(keep);
    return 0;
}

/* ---- the eigenvalues alone: QL on squares ------------------------------------------- *
 * The rotations of a QL sweep enter the eigenvalues as c^2 and s^2 only, so a sweep needs
 * neither roots nor signs ("The symmetric eigenvalue problem", Parlett, 1980, after Pal,
 * Walker and Kahan).  With f[i] = e[i]^2 and p = g^2 / c, one turn is
 *   r = p + f_i,  c' = p / r,  s' = f_i / r,  g' = c' (d_i - shift) - s' g
 * and p' = g'^2 / c' = g'^2 r / p: so its two divisions do not wait for each other. */
static void ql_squares(int l, int m, double *d, double *f)
{
    double root = sqrt(f[l]), half = (d[l + 1] - d[l]) / (2 * root);
    double shift = d[l] - root / (half + copysign(length2(half, 1), half));
    double c = 1, s = 0, g = d[m] - shift, p = g * g;

    for (int i = m - 1; i >= l; i--) {
        double b = f[i], r = p + b, before = c, old = g, a = d[i];

        if (i < m - 1)
            f[i + 1] = s * r;
        c = p / r;
        s = b / r;
        g = c * (a - shift) - s * old;
        d[i + 1] = old + (a - g);
        if (c > 1e-100)                         /* r / p is far from the range's end */
            p = g * g * (r / p);
        else
            p = c > 0 ? g * g / c : before * b;
    }
    f[l] = s * p;
    d[l] = shift + g;
}

/* Eigenvalues of rows first .. last of T into d; e is used up.  The block is scaled to a
 * norm of about one, so that what matters keeps its digits when squared; an e below
 * 2^-60 then moves the values by a hundredth of their rounding. */
static int values_of_block(int first, int last, double *d, double *e)
{
    double most = 0;
    int up = 0;

    for (int i = first; i <= last; i++) {
        most = fmax(most, fabs(d[i]));
        if (i < last)
            most = fmax(most, fabs(e[i]));
    }
    (void)frexp(most, &up);
    for (int i = first; i <= last; i++) {
        d[i] = ldexp(d[i], -up);
        e[i] = i < last ? ldexp(e[i], -up) : 0;
        e[i] *= e[i];
    }
    for (int l = first; l <= last; l++)
        for (int tries = 0;; tries++) {
            int m = l;
            for (; m < last; m++) {
                double near = DBL_EPSILON * (fabs(d[m]) + fabs(d[m + 1]));
                if (!(e[m] > near * near + 0x1p-120))
                    break;
            }
            if (m == l)
                break;
            if (tries == PATIENCE)
                return 1;
            ql_squares(l, m, d, e);
        }
    for (int i = first; i <= last; i++)
        d[i] = ldexp(d[i], up);
    return 0;
}

static int values_of(int n, double *d, double *e)
{
    for (int first = 0, last; first < n; first = last + 1) {
        for (last = first; last < n - 1 && !cut(d, e, last);)
            last++;
        if (values_of_block(first, last, d, e))
            return 1;
    }
    return 0;
}

/* Selection sort: at most n swaps of rows, if there are any. */
static void sort_descending(int n, double *w, double *a)
{
    for (int i = 0; i < n; i++) {
        int best = i;
        for (int j = i + 1; j < n; j++)
            if (w[j] > w[best])
                best = j;
        if (best == i)
            continue;
        double keep = w[i];
        w[i] = w[best];
        w[best] = keep;
        for (int j = 0; a && j < n; j++) {
            keep = a[(size_t)i * n + j];
            a[(size_t)i * n + j] = a[(size_t)best * n + j];
            a[(size_t)best * n + j] = keep;
        }
    }
}

/* The power of two that brings the largest entry of the lower triangle into [1/2, 1), as
 * an exponent, so that no square overflows; 1 in *bad when an entry is not finite. */
static int exponent(int n, const double *a, int *bad)
{
    double most = 0;
    int up = 0;

    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) {
            double v = fabs(a[(size_t)i * n + j]);
            if (!(v <= DBL_MAX))
                *bad = 1;
            if (v > most)
                most = v;
        }
    (void)frexp(most, &up);
    return -up;
}

/* Eigenvectors into the rows of a, the largest eigenvalue's first; d and e of T stay. */
static int vectors_of(int n, double *a, const double *u, size_t gap, const double *d,
                      const double *e, const double *h, nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch);
    double *w = NN_NEW(scratch, double, n), *f = NN_NEW(scratch, double, n);
    rotations r = { .n = n, .a = a, .turn = NN_NEW(scratch, turn, (size_t)SWEEPS * n),
                    .sweep = NN_NEW(scratch, sweep, SWEEPS) };

    memcpy(w, d, sizeof *w * (size_t)n);
    memcpy(f, e, sizeof *f * (size_t)n);
    put_together(n, a, u, gap, h);
    int bad = ql(n, w, f, &r);
    if (!bad)
        sort_descending(n, w, a);
    nn_arena_rewind(scratch, mark);
    return bad;
}

/* ---- a few eigenvectors: inverse iteration ---------------------------------------- */

enum { SOLVES = 4 };            /* each but the first gains 10 digits or more */

/* x becomes the solution of (T - w) x = x: elimination with row exchanges, so that a
 * second diagonal (far) arises above the first (near).  A pivot of nothing becomes one of
 * rounding; T has a norm of about one. */
static void solve(int n, const double *d, const double *e, double w, double *x,
                  double *work)
{
    double *pivot = work, *near = work + n, *far = work + 2 * n;

    for (int i = 0; i < n; i++) {
        pivot[i] = d[i] - w;
        near[i] = i < n - 1 ? e[i] : 0;
        far[i] = 0;
    }
    for (int i = 0; i < n - 1; i++) {
        double below = e[i], next = x[i];
        if (fabs(pivot[i]) < fabs(below)) {     /* rows i and i + 1 change places */
            double p = pivot[i], q = near[i];
            pivot[i] = below;
            near[i] = pivot[i + 1];
            far[i] = near[i + 1];
            pivot[i + 1] = q;
            near[i + 1] = 0;
            x[i] = x[i + 1];
            x[i + 1] = next;
            below = p;
        }
        if (below != 0) {
            double by = below / pivot[i];
            pivot[i + 1] -= by * near[i];
            near[i + 1] -= by * far[i];
            x[i + 1] -= by * x[i];
        }
    }
    for (int i = n - 1; i >= 0; i--) {
        if (i + 1 < n)
            x[i] -= near[i] * x[i + 1];
        if (i + 2 < n)
            x[i] -= far[i] * x[i + 2];
        x[i] /= fabs(pivot[i]) > DBL_EPSILON ? pivot[i] : DBL_EPSILON;
    }
}

/* Takes the part along each of `count` unit rows of v away from x, and makes it one. */
static void straighten(int n, int count, const double *v, double *x)
{
    for (int twice = 0; twice < 2; twice++) {   /* the second time takes rounding away */
        for (int c = 0; c < count; c++)
            axpy(n, -dot(n, v + (size_t)c * n, x), v + (size_t)c * n, x);
        double by = 1 / sqrt(dot(n, x, x));
        for (int i = 0; i < n; i++)
            x[i] *= by;
    }
}

/* Eigenvectors x of T for its `count` largest eigenvalues w, then H_{n-1} ... H_1 x. */
static void top_vectors(int n, int count, const double *d, const double *e,
                        const double *w, const double *u, size_t gap, const double *h,
                        double *v, double *work)
{
    for (int c = 0; c < count; c++) {
        double *x = v + (size_t)c * n, place = 0.37 * c;
        for (int i = 0; i < n; i++) {           /* spread over (-1, 1), no two alike */
            place += 0.6180339887498949;
            place -= floor(place);
            x[i] = 2 * place - 1;
        }
        for (int k = 0; k < SOLVES; k++) {
            solve(n, d, e, w[c], x, work);
            straighten(n, c, v, x);
        }
    }
    for (int c = 0; c < count; c++) {
        double *x = v + (size_t)c * n;
        for (int i = 1; i < n; i++)
            if (h[i] != 0)
                axpy(i, -dot(i, x, u + (size_t)i * gap) / h[i], u + (size_t)i * gap, x);
    }
}

/* ---- the two doors ---------------------------------------------------------------- */

/* Values into w, all vectors into `all` unless it is NULL, the first `count` into v. */
static int eigen(int n, const double *a, double *w, double *all, int count, double *v,
                 nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch), gap = ((size_t)n + BLOCK - 1) / BLOCK * BLOCK;
    int bad = 0, up = exponent(n, a, &bad);

    if (!bad) {
        double *d = NN_NEW(scratch, double, n), *e = NN_NEW(scratch, double, n + 1);
        double *h = NN_NEW(scratch, double, n), *f = NN_NEW(scratch, double, n);
        double *copy = copy_lower(n, a, up, gap, scratch);

        tridiagonal(n, copy, gap, d, e, h, scratch);
        e[n] = 0;
        e++;                                    /* from here on e[i] = T(i+1, i) */
        if (all)
            bad = vectors_of(n, all, copy, gap, d, e, h, scratch);
        memcpy(w, d, sizeof *w * (size_t)n);
        memcpy(f, e, sizeof *f * (size_t)n);
        bad |= values_of(n, w, f);
        if (!bad) {
            sort_descending(n, w, NULL);
            top_vectors(n, count, d, e, w, copy, gap, h, v,
                        NN_NEW(scratch, double, 3 * (size_t)n));
        }
    }
    for (int i = 0; i < n; i++)
        w[i] = bad ? NAN : ldexp(w[i], -up);
    nn_arena_rewind(scratch, mark);
    return bad;
}

int nn_eigen_sym(int n, double *a, double *w, int vectors, nn_arena *scratch)
{
    NN_NEED(n > 0, "eigenvalues of a %d x %d matrix", n, n);
    return eigen(n, a, w, vectors ? a : NULL, 0, NULL, scratch);
}

int nn_eigen_top(int n, const double *a, double *w, int count, double *v,
                 nn_arena *scratch)
{
    NN_NEED(n > 0 && count >= 0 && count <= n, "%d eigenvectors of a %d x %d matrix",
            count, n, n);
    return eigen(n, a, w, NULL, count, v, scratch);
}

/* ---- Gram matrix and column means ------------------------------------------------- */

/* Rows go chunk by chunk: centred, turned into doubles and packed into panels of NN_PANEL
 * columns, which stay in the last-level cache.  A job is a group of panels against itself
 * and all before it; it goes through the chunk in slices, so that its own slices stay in
 * the second-level cache and one of another panel, used by the whole group, in the first.
 * Every element is one sum over all rows in order: no size here can be seen in the
 * result. */
enum { CHUNK = 1024, SLICE = 96, GROUP = 2, PACK = 32 };

typedef struct gram {
    int d, panels, first, rows;     /* this chunk: `rows` rows from `first` */
    const float *x;
    const double *mean;
    double denominator;
    double *packed;                 /* (panels, CHUNK, NN_PANEL) */
    double *sum;                    /* (panels * NN_PANEL)^2, lower triangle of panels */
    double *c;                      /* (d, d) */
} gram;

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* to = x - mean in doubles; NN_PANEL of them, zeros behind the first n */
static void centre(int n, const float *x, const double *mean, double *to)
{
    int j = 0;

    for (; j + 2 <= n; j += 2) {
        pair v = wide(x + j);
        put(to + j, mean ? v - at(mean + j) : v);
    }
    for (; j < n; j++)
        to[j] = mean ? x[j] - mean[j] : x[j];
    for (; j < NN_PANEL; j++)
        to[j] = 0;
}

static void pack(void *ctx, size_t job, int worker)
{
    const gram *g = ctx;
    int first = (int)job * PACK, end = least(first + PACK, g->rows);
    (void)worker;

    for (int p = 0; p < g->panels; p++) {
        int j = p * NN_PANEL, n = least(NN_PANEL, g->d - j);
        double *to = g->packed + (size_t)p * CHUNK * NN_PANEL;
        for (int r = first; r < end; r++)
            centre(n, g->x + (size_t)(g->first + r) * g->d + j,
                   g->mean ? g->mean + j : NULL, to + (size_t)r * NN_PANEL);
    }
}

static const double *slice(const gram *g, int panel, int row)
{
    return g->packed + ((size_t)panel * CHUNK + (size_t)row) * NN_PANEL;
}

static void panel_rows(void *ctx, size_t job, int worker)
{
    const gram *g = ctx;
    int first = (g->panels - 1) / GROUP * GROUP - (int)job * GROUP;   /* longest first */
    int end = least(first + GROUP, g->panels);
    size_t ldc = (size_t)g->panels * NN_PANEL;
    (void)worker;

    for (int r = 0; r < g->rows; r += SLICE)
        for (int j = 0; j < end; j++)
            for (int i = first > j ? first : j; i < end; i++) {
                size_t left = (size_t)(g->d - i * NN_PANEL);
                nn_kern_now->gram((size_t)least(SLICE, g->rows - r), slice(g, i, r),
                                  slice(g, j, r), left < NN_PANEL ? left : NN_PANEL,
                                  NN_PANEL,
                                  g->sum + ((size_t)i * ldc + (size_t)j) * NN_PANEL, ldc);
            }
}

/* Divides a row of panels and stores it, and its mirror image. */
static void spread(void *ctx, size_t job, int worker)
{
    const gram *g = ctx;
    int first = (int)job * NN_PANEL, end = least(first + NN_PANEL, g->d), d = g->d;
    size_t ldc = (size_t)g->panels * NN_PANEL;
    (void)worker;

    for (int j0 = 0; j0 <= first; j0 += NN_PANEL)
        for (int i = first; i < end; i++)
            for (int j = j0; j < least(j0 + NN_PANEL, i + 1); j++)
                g->c[(size_t)i * d + j] = g->c[(size_t)j * d + i] =
                    g->sum[(size_t)i * ldc + j] / g->denominator;
}

void nn_gram(int n, int d, const float *x, const double *mean, double denominator,
             double *c, nn_arena *scratch)
{
    NN_NEED(n >= 0 && d > 0, "gram: a %d x %d matrix", n, d);
    size_t mark = nn_arena_mark(scratch), panels = ((size_t)d + NN_PANEL - 1) / NN_PANEL;
    size_t ldc = panels * NN_PANEL;
    gram g = {
        .d = d, .panels = (int)panels, .x = x, .mean = mean, .denominator = denominator,
        .packed = NN_NEW(scratch, double, panels * CHUNK * NN_PANEL),
        .sum = NN_NEW0(scratch, double, ldc * ldc), .c = c,
    };

    for (; g.first < n; g.first += CHUNK) {
        g.rows = least(CHUNK, n - g.first);
        nn_par_run(((size_t)g.rows + PACK - 1) / PACK, pack, &g);
        nn_par_run((panels + GROUP - 1) / GROUP, panel_rows, &g);
    }
    nn_par_run(panels, spread, &g);
    nn_arena_rewind(scratch, mark);
}

/* ---- Cholesky ---------------------------------------------------------------------- */

/* One column of L: l_ij = (a_ij - sum_{k < j} l_ik l_jk) / l_jj for the rows below j. */
typedef struct cholesky { int n, j; double *a; } cholesky;

static void column_part(void *ctx, size_t job, int worker)
{
    const cholesky *c = ctx;
    int first = c->j + 1 + (int)job * ROWS, end = least(first + ROWS, c->n);
    const double *lj = c->a + (size_t)c->j * c->n;
    (void)worker;

    for (int i = first; i < end; i++) {
        double *li = c->a + (size_t)i * c->n;
        li[c->j] = (li[c->j] - dot(c->j, li, lj)) / lj[c->j];
    }
}

int nn_cholesky(int n, double *a)
{
    NN_NEED(n > 0, "Cholesky of a %d x %d matrix", n, n);
    cholesky c = { .n = n, .a = a };

    for (; c.j < n; c.j++) {
        double *lj = a + (size_t)c.j * n, pivot = lj[c.j] - dot(c.j, lj, lj);
        if (!(pivot > 0 && isfinite(pivot)))
            return 1;
        lj[c.j] = sqrt(pivot);
        nn_par_run(((size_t)(n - c.j - 1) + ROWS - 1) / ROWS, column_part, &c);
    }
    return 0;
}

/* L Y = B from the first row on, then L' X = Y from the last. */
void nn_cholesky_solve(int n, const double *l, int cols, double *b)
{
    for (int i = 0; i < n; i++) {
        double *bi = b + (size_t)i * cols;
        for (int k = 0; k < i; k++)
            axpy(cols, -l[(size_t)i * n + k], b + (size_t)k * cols, bi);
        for (int c = 0; c < cols; c++)
            bi[c] /= l[(size_t)i * n + i];
    }
    for (int i = n - 1; i >= 0; i--) {
        double *bi = b + (size_t)i * cols;
        for (int c = 0; c < cols; c++)
            bi[c] /= l[(size_t)i * n + i];
        for (int k = 0; k < i; k++)
            axpy(cols, -l[(size_t)i * n + k], bi, b + (size_t)k * cols);
    }
}

/* ---- column means ------------------------------------------------------------------ */

typedef struct means { int n, d; const float *x; double *part; } means;

static void sum_chunk(void *ctx, size_t job, int worker)
{
    const means *m = ctx;
    double *s = m->part + job * (size_t)m->d;
    int first = (int)job * ROWS, end = first + ROWS < m->n ? first + ROWS : m->n;
    (void)worker;

    memset(s, 0, sizeof *s * (size_t)m->d);
    for (int i = first; i < end; i++) {
        const float *x = m->x + (size_t)i * m->d;
        int j = 0;
        for (; j + 2 <= m->d; j += 2)
            put(s + j, at(s + j) + wide(x + j));
        for (; j < m->d; j++)
            s[j] += x[j];
    }
}

void nn_col_mean(int n, int d, const float *x, double *mean, nn_arena *scratch)
{
    NN_NEED(n > 0 && d > 0, "column means of a %d x %d matrix", n, d);
    size_t mark = nn_arena_mark(scratch), chunks = ((size_t)n + ROWS - 1) / ROWS;
    means m = { n, d, x, NN_NEW(scratch, double, chunks * (size_t)d) };

    nn_par_run(chunks, sum_chunk, &m);
    nn_fold_double(m.part, chunks, (size_t)d);
    for (int j = 0; j < d; j++)
        mean[j] = m.part[j] / n;
    nn_arena_rewind(scratch, mark);
}
