#include "data/resize.h"

#include <math.h>
#include <string.h>

#include "nn/base.h"

enum { BITS = 22 };             /* behind the point of a weight: 8 bits of pixel, 2 spare */

double data_kernel(int how, double x)
{
    if (how == DATA_AREA)
        return x > -0.5 && x <= 0.5;
    x = fabs(x);
    if (how == DATA_BILINEAR)
        return x < 1 ? 1 - x : 0;
    if (x < 1)
        return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

double data_kernel_reach(int how)
{
    return how == DATA_AREA ? 0.5 : how == DATA_BILINEAR ? 1 : 2;
}

static double widened(int in, int out)
{
    return in > out ? (double)in / out : 1;
}

int data_kernel_taps(int how, int in, int out)
{
    return 2 * (int)ceil(data_kernel_reach(how) * widened(in, out)) + 1;
}

/* ---- weights ---- */

/* The inputs of one output coordinate: `count` from `first` on. */
typedef struct span { int first, count; } span;

/* Output j of `out`, which are made of the inputs from..from+in of `all`.  The sums are
 * Pillow's, term by term: another order would round otherwise now and then. */
static span span_at(int how, int j, int from, int in, int all, int out, double *exact,
                    int32_t *weight)
{
    double scale = (double)in / out, wide = widened(in, out), narrow = 1 / wide;
    double reach = data_kernel_reach(how) * wide, centre = from + (j + 0.5) * scale;
    double sum = 0;
    int first = (int)(centre - reach + 0.5), end = (int)(centre + reach + 0.5);

    first = first > 0 ? first : 0;
    end = end < all ? end : all;
    for (int k = 0; k < end - first; k++)
        sum += exact[k] = data_kernel(how, (k + first - centre + 0.5) * narrow);
    for (int k = 0; k < end - first; k++) {
        double w = (sum != 0 ? exact[k] / sum : exact[k]) * (1 << BITS);
        weight[k] = (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
    }
    return (span){ first, end - first };
}

/* work = doubles, spans, the weights of all columns and of one row, a row of sums, then
 * bytes: the rows that are needed, as wide as the output. */
typedef struct space {
    double *exact;
    span *across;
    int32_t *weight, *down, *sum;
    uint8_t *rows;
    size_t taps;                        /* weights of a column */
} space;

typedef struct counts { size_t across, down, most, row; } counts;

static counts counts_of(const data_scaling *s)
{
    size_t across = (size_t)data_kernel_taps(s->how, s->box.w, s->ow);
    size_t down = (size_t)data_kernel_taps(s->how, s->box.h, s->oh);
    return (counts){ across, down, across > down ? across : down,
                     (size_t)s->ow * (size_t)s->c };
}

size_t data_scale_space(const data_scaling *s)
{
    counts n = counts_of(s);
    size_t ow = (size_t)s->ow;
    return sizeof(double) * n.most + sizeof(span) * ow
           + sizeof(int32_t) * (n.across * ow + n.down + n.row) + n.row * (size_t)s->h;
}

static space lay_out(const data_scaling *s, void *work)
{
    counts n = counts_of(s);
    space p = { .exact = work, .taps = n.across };

    p.across = (span *)(void *)(p.exact + n.most);
    p.weight = (int32_t *)(void *)(p.across + s->ow);
    p.down = p.weight + n.across * (size_t)s->ow;
    p.sum = p.down + n.down;
    p.rows = (uint8_t *)(p.sum + n.row);
    return p;
}

/* ---- the passes ---- */

static uint8_t rounded(int32_t sum)
{
    int32_t v = sum >> BITS;
    v = v > 0 ? v : 0;
    return (uint8_t)(v < 255 ? v : 255);
}

static void row_of(const uint8_t *in, const space *p, int ow, int c, uint8_t *out)
{
    for (int x = 0; x < ow; x++) {
        const int32_t *weight = p->weight + (size_t)x * p->taps;
        for (int j = 0; j < c; j++) {
            const uint8_t *from = in + (size_t)p->across[x].first * (size_t)c + j;
            int32_t sum = 1 << (BITS - 1);
            for (int k = 0; k < p->across[x].count; k++)
                sum += weight[k] * from[(size_t)k * (size_t)c];
            *out++ = rounded(sum);
        }
    }
}

static void column_of(const uint8_t *rows, const space *p, int count, size_t row,
                      uint8_t *out)
{
#pragma omp simd
    for (size_t i = 0; i < row; i++)
        p->sum[i] = 1 << (BITS - 1);
    for (int k = 0; k < count; k++, rows += row) {
        int32_t weight = p->down[k];
#pragma omp simd
        for (size_t i = 0; i < row; i++)
            p->sum[i] += weight * rows[i];
    }
#pragma omp simd
    for (size_t i = 0; i < row; i++)
        out[i] = rounded(p->sum[i]);
}

static span span_down(const data_scaling *s, int y, const space *p)
{
    return span_at(s->how, y, s->box.top, s->box.h, s->h, s->oh, p->exact, p->down);
}

/* Rows first..end of the picture, made as wide as the output.  Pillow leaves out a pass
 * that changes nothing; these kernels are 1 at 0 and 0 at whole distances: they copy. */
static void all_rows(const data_scaling *s, const uint8_t *in, const space *p, int first,
                     int end)
{
    size_t row = (size_t)s->ow * (size_t)s->c, from = (size_t)s->w * (size_t)s->c;

    for (int x = 0; x < s->ow; x++)
        p->across[x] = span_at(s->how, x, s->box.left, s->box.w, s->w, s->ow, p->exact,
                               p->weight + (size_t)x * p->taps);
    for (int y = first; y < end; y++)
        row_of(in + (size_t)y * from, p, s->ow, s->c, p->rows + (size_t)(y - first) * row);
}

void data_scale(const data_scaling *s, const uint8_t *in, uint8_t *out, void *work)
{
    const data_box *b = &s->box;
    size_t row = (size_t)s->ow * (size_t)s->c;

    NN_NEED(b->h > 0 && b->w > 0 && b->top >= 0 && b->left >= 0 && b->top <= s->h - b->h
                && b->left <= s->w - b->w && s->oh > 0 && s->ow > 0,
            "%d x %d at (%d, %d) of a %d x %d picture to %d x %d", b->h, b->w, b->top,
            b->left, s->h, s->w, s->oh, s->ow);
    space p = lay_out(s, work);
    int first = span_down(s, 0, &p).first;
    span last = span_down(s, s->oh - 1, &p);

    all_rows(s, in, &p, first, last.first + last.count);
    for (int y = 0; y < s->oh; y++) {
        span down = span_down(s, y, &p);
        column_of(p.rows + (size_t)(down.first - first) * row, &p, down.count, row,
                  out + (size_t)y * row);
    }
}
