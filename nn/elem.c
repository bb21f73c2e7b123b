#include "nn/elem.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Constants are cut into a head with few bits, so that head times an integer is exact,
 * and a tail that carries what is left. */
static const double
    ln2_head = 0x1.62e42fefa2000p-1, ln2_tail = 0x1.9ef35793c7673p-41,  /* 40 bits */
    per_ln2 = 0x1.71547652b82fep+0,
    half_pi_1 = 0x1.921fb54400000p+0,                           /* 33 bits each */
    half_pi_2 = 0x1.0b4611a600000p-34,
    half_pi_3 = 0x1.3198a2e000000p-69,
    half_pi_4 = 0x1.b839a252049c1p-104,
    per_half_pi = 0x1.45f306dc9c883p-1,
    to_integer = 0x1.8p52;      /* adding and subtracting it rounds to an integer */

static double power_of_two(int k)                               /* -1022 <= k <= 1023 */
{
    uint64_t bits = (uint64_t)(k + 1023) << 52;
    double x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/* (exp(r) - 1 - r) / r^2 = sum_n r^n / (n+2)!  for |r| <= ln(2)/2.  The first term left
 * out, r^14/14!, is 4e-18 at the edge.  Even and odd powers run side by side. */
static double exp_rest(double r)
{
    double s = r * r;
    double even = 1.0 / 2 + s * (1.0 / 24 + s * (1.0 / 720 + s * (1.0 / 40320
                + s * (1.0 / 3628800 + s * (1.0 / 479001600)))));
    double odd = 1.0 / 6 + s * (1.0 / 120 + s * (1.0 / 5040 + s * (1.0 / 362880
               + s * (1.0 / 39916800 + s * (1.0 / 6227020800.0)))));
    return even + r * odd;
}

/* exp(k ln2 + r) = 2^k exp(r) */
double nn_exp(double x)
{
    if (!(x < 709.79))                          /* ln of the largest double is 709.7827 */
        return x != x ? x : INFINITY;
    if (x < -745.2)                             /* half the smallest double: -745.13 */
        return 0;

    double k = (x * per_ln2 + to_integer) - to_integer;
    double r = (x - k * ln2_head) - k * ln2_tail;
    double y = 1 + (r + r * r * exp_rest(r));
    int n = (int)k;

    if (n > 1023)
        return y * power_of_two(n - 1) * 2;
    if (n < -1022)                              /* rounds once, on the last product */
        return y * power_of_two(n + 128) * 0x1p-128;
    return y * power_of_two(n);
}

/* x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), s = f / (2 + f):
 *   log(1 + f) = 2 atanh(s) = 2s + s R,   R = 2 (s^2/3 + s^4/5 + ...)
 *              = f - s (f - R)            since 2s = f - s f, and f is exact
 * |s| <= 0.1716: the first term left out is s^22/23 = 6e-19 of the result. */
double nn_log(double x)
{
    uint64_t bits;
    int k = 0;

    if (!(x > 0))
        return x == 0 ? -INFINITY : NAN;
    if (x == INFINITY)
        return x;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        k = -54;
    }
    memcpy(&bits, &x, sizeof bits);
    k += (int)(bits >> 52) - 1023;
    bits = (bits & 0x000fffffffffffffu) | 0x3ff0000000000000u;
    memcpy(&x, &bits, sizeof x);
    if (x >= 0x1.6a09e667f3bcdp+0) {            /* sqrt(2) */
        x *= 0.5;
        k++;
    }

    double f = x - 1, s = f / (2 + f), q = s * s, p = q * q;
    double odd = q * (2.0 / 3 + p * (2.0 / 7 + p * (2.0 / 11 + p * (2.0 / 15
               + p * (2.0 / 19)))));
    double even = p * (2.0 / 5 + p * (2.0 / 9 + p * (2.0 / 13 + p * (2.0 / 17
                + p * (2.0 / 21)))));
    return k * ln2_head + (f - (s * (f - (odd + even)) - k * ln2_tail));
}

double nn_pow(double x, double y)
{
    if (y == 0 || x == 1)
        return 1;
    return nn_exp(y * nn_log(x));
}

/* x = quarter pi/2 + (r + tail), |r| <= pi/4.  The products are exact because quarter has
 * at most 16 bits; what a subtraction rounds off is caught in `tail`, so that an x close
 * to a multiple of pi/2, where almost all of r cancels, keeps its digits. */
typedef struct reduced { double r, tail; int quarter; } reduced;

static reduced reduce(double x)
{
    double k = (x * per_half_pi + to_integer) - to_integer;
    double a = x - k * half_pi_1;                       /* exact */
    double p = k * half_pi_2, b = a - p, back = a - b;
    double lost = (a - (b + back)) - (p - back);
    double q = k * half_pi_3, c = b - q;

    back = b - c;
    lost += (b - (c + back)) - (q - back);
    lost -= k * half_pi_4;

    double r = c + lost;
    return (reduced){ r, (c - r) + lost, (int)((int64_t)k & 3) };
}

/* sin(r + t) = r - r^3/6 + ... + r^17/17! + t cos(r), with cos(r) = 1 - r^2/2 enough */
static double sine(double r, double t)
{
    double s = r * r, f = s * s;
    double a = -1.0 / 6 + f * (-1.0 / 5040 + f * (-1.0 / 39916800
             + f * (-1.0 / 1307674368000.0)));
    double b = 1.0 / 120 + f * (1.0 / 362880 + f * (1.0 / 6227020800.0
             + f * (1.0 / 355687428096000.0)));
    return r + (r * s * (a + s * b) + t * (1 - 0.5 * s));
}

/* cos(r + t) = 1 - r^2/2 + r^4/24 - ... + r^16/16! - t r;  u + ((1 - u) - h) gives back
 * what 1 - h rounded off */
static double cosine(double r, double t)
{
    double s = r * r, f = s * s, h = 0.5 * s, u = 1 - h;
    double a = 1.0 / 24 + f * (1.0 / 40320 + f * (1.0 / 479001600
             + f * (1.0 / 20922789888000.0)));
    double b = -1.0 / 720 + f * (-1.0 / 3628800 + f * (-1.0 / 87178291200.0));
    return u + (((1 - u) - h) + (f * (a + s * b) - t * r));
}

double nn_sin(double x)
{
    if (!(fabs(x) <= 1e5))
        return NAN;
    if (fabs(x) < 0x1p-27)                              /* x^3/6 is below half an ulp */
        return x;
    reduced y = reduce(x);
    double v = y.quarter & 1 ? cosine(y.r, y.tail) : sine(y.r, y.tail);
    return y.quarter & 2 ? -v : v;
}

double nn_cos(double x)
{
    if (!(fabs(x) <= 1e5))
        return NAN;
    reduced y = reduce(x);
    double v = y.quarter & 1 ? sine(y.r, y.tail) : cosine(y.r, y.tail);
    return (y.quarter + 1) & 2 ? -v : v;
}

/* Below 0.35, Lambert's continued fraction x/(1 + x^2/(3 + x^2/(5 + ...))) cut after 13
 * and written as x minus a correction; what is cut off is 0.2 ulp there.  Above,
 *   tanh(x) = m / (m + 2),   m = exp(2x) - 1 = 2^k (exp(r) - 1) + (2^k - 1),  k > 0 */
double nn_tanh(double x)
{
    double a = fabs(x), s = x * x;

    if (a < 0.35)
        return copysign(a - a * (s * (45045 + s * (2772 + s * 27))
                                 / (135135 + s * (62370 + s * (3150 + s * 28)))), x);
    if (!(a < 20))                              /* 1 - tanh(20) = 8e-18 rounds away */
        return x != x ? x : copysign(1, x);
    double k = (2 * a * per_ln2 + to_integer) - to_integer;
    double r = (2 * a - k * ln2_head) - k * ln2_tail;
    double scale = power_of_two((int)k);
    double m = scale * (r + r * r * exp_rest(r)) + (scale - 1);
    return copysign(m / (m + 2), x);
}
