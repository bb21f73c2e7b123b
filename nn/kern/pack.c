#include "nn/kern/pack.h"

#include <stdint.h>
#include <string.h>

/* Four floats, in whatever register the machine has for them. */
typedef float four __attribute__((vector_size(16)));

static four load4(const float *p)
{
    four v;
    memcpy(&v, p, sizeof v);
    return v;
}

static void store4(float *p, four v)
{
    memcpy(p, &v, sizeof v);
}

/* `width` floats; the widths that tables have become a few moves each */
static inline void copy(size_t width, const float *p, float *out)
{
    switch (width) {
    case 6: memcpy(out, p, 6 * sizeof *p); break;
    case 14: memcpy(out, p, 14 * sizeof *p); break;
    case 16: memcpy(out, p, 16 * sizeof *p); break;
    case 32: memcpy(out, p, 32 * sizeof *p); break;
    default: memcpy(out, p, width * sizeof *p);
    }
}

/* rows lie side by side: a(0,k), a(1,k) .. are neighbours; as many panels as are full.
 * AHEAD: how many terms before its turn a line is called for; memory takes that long. */
enum { AHEAD = 8 };

static void copy_panels(size_t panels, size_t width, size_t k, const float *p,
                        size_t step, float *out)
{
    for (size_t q = 0; q < k; q++, p += step, out += width) {
        for (size_t at = 0; q + AHEAD < k && at < panels * width; at += 16)
            __builtin_prefetch(p + AHEAD * step + at);
        for (size_t i = 0; i < panels; i++)
            copy(width, p + i * width, out + i * width * k);
    }
}

void nn_pack_pixels(size_t rows, size_t width, size_t k, const float *const *pix,
                    size_t at, float *out)
{
    for (size_t q = 0; q < k; q++, out += width) {
        const float *p = pix[q] + at;
        size_t i = 0;
        for (; i + 4 <= rows; i += 4)
            store4(out + i, load4(p + i));
        for (; i < rows; i++)
            out[i] = p[i];
    }
}

/* four rows, each contiguous in k: turned four by four.  The four after them are called
 * for on the way, a line at a time, since a row is too short for the machine to guess. */
static void turn4(size_t width, size_t k, const float *p, size_t step, float *out)
{
    size_t q = 0;
    for (; q + 4 <= k; q += 4, p += 4, out += 4 * width) {
        if (q % 16 == 0)
            for (size_t i = 4; i < 8; i++)
                __builtin_prefetch((const void *)((uintptr_t)p + i * step * sizeof *p));
        four a = load4(p), b = load4(p + step);
        four c = load4(p + 2 * step), d = load4(p + 3 * step);
        four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5);
        four cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
        four ef = __builtin_shufflevector(a, b, 2, 6, 3, 7);
        four gh = __builtin_shufflevector(c, d, 2, 6, 3, 7);
        store4(out, __builtin_shufflevector(ab, cd, 0, 1, 4, 5));
        store4(out + width, __builtin_shufflevector(ab, cd, 2, 3, 6, 7));
        store4(out + 2 * width, __builtin_shufflevector(ef, gh, 0, 1, 4, 5));
        store4(out + 3 * width, __builtin_shufflevector(ef, gh, 2, 3, 6, 7));
    }
    for (; q < k; q++, p++, out += width)
        for (size_t i = 0; i < 4; i++)
            out[i] = p[i * step];
}

static void turn2(size_t width, size_t k, const float *p, size_t step, float *out)
{
    size_t q = 0;
    for (; q + 4 <= k; q += 4, p += 4, out += 4 * width) {
        four a = load4(p), b = load4(p + step);
        four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5);
        four ef = __builtin_shufflevector(a, b, 2, 6, 3, 7);
        memcpy(out, &ab, 8);
        memcpy(out + width, (float *)&ab + 2, 8);
        memcpy(out + 2 * width, &ef, 8);
        memcpy(out + 3 * width, (float *)&ef + 2, 8);
    }
    for (; q < k; q++, p++, out += width) {
        out[0] = p[0];
        out[1] = p[step];
    }
}

void nn_pack(size_t rows, size_t width, size_t k, nn_mat a, float *out)
{
    if (a.rs == 1 && rows == width) {
        copy_panels(1, width, k, a.p, a.cs, out);
        return;
    }
    size_t i = 0;
    if (a.cs == 1) {
        for (; i + 4 <= rows; i += 4)
            turn4(width, k, a.p + i * a.rs, a.rs, out + i);
        if (i + 2 <= rows) {
            turn2(width, k, a.p + i * a.rs, a.rs, out + i);
            i += 2;
        }
    }
    for (size_t q = 0; q < k; q++) {
        const float *p = a.p + q * a.cs;
        for (size_t r = i; r < width; r++)
            out[q * width + r] = r < rows ? p[r * a.rs] : 0;
    }
}

void nn_pack_panels(size_t rows, size_t width, size_t k, nn_mat a, float *out)
{
    size_t i = 0;
    if (a.rs == 1) {
        copy_panels(rows / width, width, k, a.p, a.cs, out);
        i = rows / width * width;
    }
    for (; i < rows; i += width) {
        const size_t left = rows - i < width ? rows - i : width;
        nn_pack(left, width, k, (nn_mat){ a.p + i * a.rs, a.rs, a.cs }, out + i * k);
    }
}

void nn_turn(size_t rows, size_t cols, const float *x, size_t ldx, float *y, size_t ldy)
{
    enum { LINE = 16, FEW = 8 };    /* whole lines of y, and no more than L1 has ways */
    for (size_t i = 0; i < rows; i += LINE)
        for (size_t j = 0; j < cols; j += FEW) {
            const size_t m = rows - i < LINE ? rows - i : LINE;
            const size_t n = cols - j < FEW ? cols - j : FEW;
            const float *from = x + i * ldx + j;
            float *to = y + j * ldy + i;
            size_t r = 0;
            for (; r + 4 <= m; r += 4)
                turn4(ldy, n, from + r * ldx, ldx, to + r);
            if (r + 2 <= m) {
                turn2(ldy, n, from + r * ldx, ldx, to + r);
                r += 2;
            }
            for (; r < m; r++)
                for (size_t q = 0; q < n; q++)
                    to[q * ldy + r] = from[r * ldx + q];
        }
}
