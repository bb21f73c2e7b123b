/* Reconstructions: MSE, PSNR, SSIM, image by image.
 *
 *   SSIM = (2 m_x m_y + C1)(2 s_xy + C2) / ((m_x^2 + m_y^2 + C1)(s_xx + s_yy + C2))
 *
 *   m_x = G x,  s_xx = G(x x) - m_x^2,  s_xy = G(x y) - m_x m_y,  G the Gaussian window
 *
 * The variances only meet in their sum, so four planes go through the window: x, y,
 * x x + y y, x y.  G is a product of a row and a column: first along, into a ring of the
 * last 11 rows, then down.  Channels lie side by side and are never told apart. */
#include "metrics/image.h"

#include <math.h>
#include <string.h>

#include "nn/base.h"
#include "nn/elem.h"
#include "nn/par.h"

enum { WINDOW = 11, PLANES = 4 };

static const double
    sigma = 1.5,
    c1 = 0.01 * 0.01, c2 = 0.03 * 0.03,
    least_mse = 1e-10,
    decibels = 4.342944819032518;       /* 10 / ln 10 */

double met_psnr(double mse)
{
    return -decibels * nn_log(mse < least_mse ? least_mse : mse);
}

static void window(double g[WINDOW])
{
    double sum = 0;

    for (int t = 0; t < WINDOW; t++) {
        double x = (t - WINDOW / 2) / sigma;
        g[t] = nn_exp(-x * x / 2);
        sum += g[t];
    }
    for (int t = 0; t < WINDOW; t++)
        g[t] /= sum;
}

typedef struct moments { double sum, square; } moments;

typedef struct batch {
    met_image_size s;
    const float *truth, *made;
    double g[WINDOW], first;
    met_image *out;
    moments *of_truth;                  /* NULL: not wanted */
    size_t room;                        /* doubles of a worker */
    double *work;
} batch;

/* out_i = sum_t g_t in[t][i], t in order. */
static void weigh(const double *g, const double *const *in, size_t n, double *restrict out)
{
    const double *a[WINDOW];

    memcpy(a, in, sizeof a);
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (int t = 0; t < WINDOW; t++)
            sum += g[t] * a[t][i];
        out[i] = sum;
    }
}

/* The planes of one row of n numbers, and their weighted sums along it: m numbers of each
 * plane.  `plane` holds PLANES * n. */
static void along(const batch *b, size_t n, size_t m, const float *x, const float *y,
                  double *plane, double *out)
{
    for (size_t i = 0; i < n; i++) {
        double p = x[i], q = y[i];
        plane[i] = p;
        plane[n + i] = q;
        plane[2 * n + i] = p * p + q * q;
        plane[3 * n + i] = p * q;
    }
    for (size_t p = 0; p < PLANES; p++) {
        const double *in[WINDOW];
        for (int t = 0; t < WINDOW; t++)
            in[t] = plane + p * n + (size_t)(t * b->s.c);
        weigh(b->g, in, m, out + p * m);
    }
}

/* The window over 11 such rows, the oldest at ring row `oldest`; n numbers a row. */
static void down(const double *g, size_t n, const double *ring, int oldest, double *out)
{
    const double *in[WINDOW];
    for (int t = 0; t < WINDOW; t++)
        in[t] = ring + (size_t)((oldest + t) % WINDOW) * n;
    weigh(g, in, n, out);
}

static double similarity(size_t m, const double *v)
{
    double sum = 0;

    for (size_t i = 0; i < m; i++) {
        double x = v[i], y = v[m + i], xy = x * y, xx_yy = x * x + y * y;
        double both = v[2 * m + i] - xx_yy, cross = v[3 * m + i] - xy;
        sum += (2 * xy + c1) * (2 * cross + c2) / ((xx_yy + c1) * (both + c2));
    }
    return sum;
}

static size_t room_of(met_image_size s)
{
    return (size_t)(s.w * s.c) * PLANES * (WINDOW + 2);
}

static double ssim(const batch *b, const float *x, const float *y, double *work)
{
    met_image_size s = b->s;
    if (s.h < WINDOW || s.w < WINDOW)
        return NAN;
    size_t n = (size_t)(s.w * s.c), m = (size_t)((s.w - WINDOW + 1) * s.c);
    double *plane = work, *down_to = plane + PLANES * n, *ring = down_to + PLANES * m;
    double sum = 0;

    for (int i = 0; i < s.h; i++) {
        along(b, n, m, x + (size_t)i * n, y + (size_t)i * n, plane,
              ring + (size_t)(i % WINDOW) * PLANES * m);
        if (i >= WINDOW - 1) {
            down(b->g, PLANES * m, ring, (i + 1) % WINDOW, down_to);
            sum += similarity(m, down_to);
        }
    }
    return sum / ((double)m * (s.h - WINDOW + 1));
}

static size_t numbers(met_image_size s)
{
    return (size_t)s.h * (size_t)s.w * (size_t)s.c;
}

static void one(void *ctx, size_t job, int worker)
{
    const batch *b = ctx;
    size_t n = numbers(b->s);
    const float *x = b->truth + job * n, *y = b->made + job * n;
    double error = 0;
    moments m = {0};

    for (size_t i = 0; i < n; i++) {
        double e = (double)x[i] - y[i], v = x[i] - b->first;
        error += e * e;
        m.sum += v;
        m.square += v * v;
    }
    double mse = error / (double)n;
    b->out[job] = (met_image){
        mse, met_psnr(mse), ssim(b, x, y, b->work + (size_t)worker * b->room)
    };
    if (b->of_truth)
        b->of_truth[job] = m;
}

static void each(met_image_size s, size_t n, const float *truth, const float *made,
                 double first, met_image *out, moments *m, nn_arena *scratch)
{
    NN_NEED(s.h > 0 && s.w > 0 && s.c > 0, "images of %d x %d x %d", s.h, s.w, s.c);
    size_t mark = nn_arena_mark(scratch), room = room_of(s);
    batch b = { .s = s, .truth = truth, .made = made, .first = first, .out = out,
                .of_truth = m, .room = room };

    b.work = NN_NEW(scratch, double, room * (size_t)nn_par_threads());
    window(b.g);
    nn_par_run(n, one, &b);
    nn_arena_rewind(scratch, mark);
}

void met_image_each(met_image_size s, size_t n, const float *truth, const float *made,
                    met_image *out, nn_arena *scratch)
{
    each(s, n, truth, made, 0, out, NULL, scratch);
}

void met_image_add(met_image_sum *s, size_t n, const float *truth, const float *made,
                   nn_arena *scratch)
{
    if (n == 0)
        return;
    size_t mark = nn_arena_mark(scratch);
    met_image *e = NN_NEW(scratch, met_image, n);
    moments *m = NN_NEW(scratch, moments, n);

    if (s->n == 0)
        s->first = truth[0];
    each(s->size, n, truth, made, s->first, e, m, scratch);
    for (size_t i = 0; i < n; i++) {
        s->mse += e[i].mse;
        s->psnr += e[i].psnr;
        s->ssim += e[i].ssim;
        s->sum += m[i].sum;
        s->square += m[i].square;
    }
    s->n += (double)n;
    nn_arena_rewind(scratch, mark);
}

met_images met_image_of(const met_image_sum *s)
{
    double all = s->n * (double)numbers(s->size);

    if (s->n == 0)
        return (met_images){ 0, NAN, NAN, NAN, NAN };
    double variance = (s->square - s->sum * s->sum / all) / all, mse = s->mse / s->n;
    return (met_images){
        .n = s->n, .mse = mse, .nmse = variance > 0 ? mse / variance : NAN,
        .psnr = s->psnr / s->n, .ssim = s->ssim / s->n,
    };
}
