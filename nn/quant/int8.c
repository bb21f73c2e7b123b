#include <math.h>

#include "nn/elem.h"
#include "nn/quant/book.h"
#include "nn/quant/compress.h"

enum { MOST = 127 };

static const double range = 4096;       /* top / low at most, in the logarithm */

static double largest(const float *x, size_t n)
{
    double top = 0;
    for (size_t i = 0; i < n; i++) {
        const double a = fabs((double)x[i]);
        if (!isfinite(x[i]))
            return NAN;
        top = a > top ? a : top;
    }
    return top;
}

nn_int8 nn_int8_linear(const float *x, size_t n)
{
    const double top = largest(x, n);
    return (nn_int8){ .step = (float)(top / MOST), .top = (float)top };
}

nn_int8 nn_int8_log(const float *x, size_t n)
{
    const double top = largest(x, n);
    double low = top;

    for (size_t i = 0; i < n; i++) {
        const double a = fabs((double)x[i]);
        low = a >= top / range && a < low ? a : low;
    }
    return (nn_int8){ .log = 1, .top = (float)top,
                      .step = low > 0 ? (float)(nn_log(top / low) / (MOST - 1))
                                      : (float)top };
}

static int clamp(double q, int lo)
{
    return q > MOST ? MOST : q < lo ? lo : (int)q;
}

/* |q| of a number a = |x| */
static int steps_of(const nn_int8 *s, double a)
{
    const double step = (double)s->step, top = (double)s->top;

    if (!(top > 0) || a == 0)           /* NaN, too */
        return 0;
    if (!s->log)
        return step > 0 ? clamp(floor(a / step + 0.5), 0) : 0;
    if (a < top * nn_exp(-step * (MOST - 1)) / 2)
        return 0;
    return step > 0 ? clamp(floor(MOST - nn_log(top / a) / step + 0.5), 1) : MOST;
}

void nn_int8_encode(const nn_int8 *s, const float *x, size_t n, int8_t *q)
{
#pragma omp parallel for schedule(static) if (n > NN_BOOK_TEAM)
    for (size_t i = 0; i < n; i++) {
        const int steps = steps_of(s, fabs((double)x[i]));
        q[i] = (int8_t)(x[i] < 0 ? -steps : steps);
    }
}

void nn_int8_decode(const nn_int8 *s, const int8_t *q, size_t n, float *x)
{
    const double step = (double)s->step, top = (double)s->top;
#pragma omp parallel for schedule(static) if (n > NN_BOOK_TEAM)
    for (size_t i = 0; i < n; i++) {
        const int steps = q[i] < 0 ? -q[i] : q[i];
        const double a = !s->log ? steps * step
            : steps ? top * nn_exp(-step * (MOST - steps)) : 0 * top;
        x[i] = (float)(q[i] < 0 ? -a : a);
    }
}
