#include "data/augment.h"

#include <math.h>
#include <string.h>

#include "nn/elem.h"
#include "nn/par.h"

/* The operations on pixels.  A loop marked `omp simd` writes each element once: how many
 * are done at a time cannot be seen in the result. */

enum {
    TAPS = 4,                                   /* bicubic; bilinear has two */
    MOST_RADIUS = 3 * DATA_MOST_SIGMA,
    LANES = 8,                                  /* partial sums: part of the format */
    SPACING = 64                                /* bytes: spaces of threads, as arenas */
};

/* The weights of one output coordinate over `count` input coordinates from `first` on. */
typedef struct taps { int first, count; float weight[TAPS]; } taps;

/* The same where the picture becomes smaller, with weights elsewhere. */
typedef struct wide_taps { int first, count; const float *weight; } wide_taps;

static int larger(int a, int b)
{
    return a > b ? a : b;
}

/* work = a table of taps, then floats: one image, then one row with its borders */
static taps *taps_of(void *work)
{
    return work;
}

static float *floats_of(void *work, int w)
{
    return (float *)(void *)(taps_of(work) + w);
}

/* work = a table of wide taps, their weights and those of one row, one row of the box that
 * columns were summed to, then the box as floats.  Three channels take PLACES. */
enum { PLACES = 4 };

static int places(int c)
{
    return c == 3 ? PLACES : c;
}

static size_t wide_space(int h, int w, int c, int oh, int ow)
{
    size_t across = (size_t)data_kernel_taps(DATA_BICUBIC, w, ow) * (size_t)ow;
    size_t down = (size_t)data_kernel_taps(DATA_BICUBIC, h, oh);
    size_t row = (size_t)w * (size_t)places(c);
    return sizeof(wide_taps) * (size_t)ow
           + sizeof(float) * (across + down + row * (size_t)h + row);
}

size_t data_pixel_space(int h, int w, int c, int oh, int ow)
{
    size_t image = (size_t)larger(h, oh) * (size_t)ow * (size_t)c;
    size_t floats = image + (size_t)(ow + 2 * MOST_RADIUS) * (size_t)c;
    size_t plain = sizeof(taps) * (size_t)ow + sizeof(float) * floats;
    size_t wide = h > oh || w > ow ? wide_space(h, w, c, oh, ow) : 0;
    return plain > wide ? plain : wide;
}

/* ---- crop and resize ---- */

/* What resize.h says about kernels and borders holds here, too.  This is what Pillow does
 * (so the published recipes, which resize with it, are met), and PyTorch with
 * antialias=True; PyTorch's default bicubic has a = -3/4 and repeats border pixels.
 *
 * Two ways, one result up to rounding.  A box that is enlarged has at most TAPS inputs an
 * output and takes rows first; a box that becomes smaller in any direction has a kernel as
 * wide as needed and takes columns first, whose inner loops are longer. */
static taps taps_at(int how, int j, int in, int out)
{
    int reach = how == DATA_BILINEAR ? 1 : 2;
    double centre = (j + 0.5) * in / out - 0.5;
    int from = (int)floor(centre) - reach + 1, to = from + 2 * reach;
    double weight[TAPS], sum = 0;
    taps t;

    from = from > 0 ? from : 0;
    to = to < in ? to : in;
    t.first = from;
    t.count = to - from;
    for (int k = 0; k < t.count; k++)
        sum += weight[k] = data_kernel(how, from + k - centre);
    for (int k = 0; k < t.count; k++)
        t.weight[k] = (float)(weight[k] / sum);
    return t;
}

/* One row of the crop, w pixels wide afterwards.  Values stay on the byte scale. */
static void resize_row_linear(const uint8_t *in, const taps *t, int w, int c, float *out)
{
    for (int x = 0; x < w; x++, t++) {
        int two = t->count > 1;                 /* at the border there may be only one */
        const uint8_t *p = in + (size_t)t->first * c, *q = two ? p + c : p;
        float a = t->weight[0], b = two ? t->weight[1] : 0;
        for (int j = 0; j < c; j++)
            *out++ = a * (float)p[j] + b * (float)q[j];
    }
}

static void resize_row_cubic(const uint8_t *in, const taps *t, int w, int c, float *out)
{
    for (int x = 0; x < w; x++, t++)
        for (int j = 0; j < c; j++) {
            const uint8_t *p = in + (size_t)t->first * c + j;
            float s = 0;
            for (int k = 0; k < t->count; k++)
                s += t->weight[k] * (float)p[k * c];
            *out++ = s;
        }
}

/* out = sum_k weight[k] p_k over `count` rows. */
static void sum_rows(const float *p, const float *weight, int count, int row, float *out)
{
    memset(out, 0, sizeof *out * (size_t)row);
    for (int k = 0; k < count; k++, p += row) {
        float w = weight[k];
#pragma omp simd
        for (int i = 0; i < row; i++)
            out[i] += w * p[i];
    }
}

/* Sums rows, weighted, and goes to the scale 0..1; bicubic overshoots and is clipped. */
static void resize_column(const float *rows, const taps *t, int row, float *out)
{
    sum_rows(rows + (size_t)t->first * (size_t)row, t->weight, t->count, row, out);
#pragma omp simd
    for (int i = 0; i < row; i++) {
        float v = out[i] / 255.0f;
        v = v > 0 ? v : 0;
        out[i] = v < 1 ? v : 1;
    }
}

static void whole_image(const uint8_t *pixel, size_t count, float *out)
{
#pragma omp simd
    for (size_t i = 0; i < count; i++)
        out[i] = (float)pixel[i] / 255.0f;
}

/* A box of an image: its rows lie `stride` bytes apart. */
typedef struct source { const uint8_t *pixel; size_t stride; int h, w, c; } source;

static void enlarge(const source *s, int how, int oh, int ow, float *out, void *work)
{
    taps *across = taps_of(work);
    float *rows = floats_of(work, ow);
    size_t row = (size_t)ow * (size_t)s->c;

    for (int x = 0; x < ow; x++)
        across[x] = taps_at(how, x, s->w, ow);
    for (int y = 0; y < s->h; y++)
        (how == DATA_BILINEAR ? resize_row_linear : resize_row_cubic)
            (s->pixel + (size_t)y * s->stride, across, ow, s->c, rows + (size_t)y * row);
    for (int y = 0; y < oh; y++) {
        taps down = taps_at(how, y, s->h, oh);
        resize_column(rows, &down, (int)row, out + (size_t)y * row);
    }
}

/* ---- crop and make smaller ---- */

/* Weights of output j, written to `weight`. */
static wide_taps wide_taps_at(int how, int j, int in, int out, float *weight)
{
    double wide = in > out ? (double)in / out : 1, reach = data_kernel_reach(how) * wide;
    double centre = (j + 0.5) * in / out - 0.5, sum = 0;
    int from = (int)floor(centre - reach) + 1, to = (int)ceil(centre + reach);

    from = from > 0 ? from : 0;
    to = to < in ? to : in;
    for (int k = from; k < to; k++)
        sum += data_kernel(how, (k - centre) / wide);
    for (int k = from; k < to; k++)
        weight[k - from] = (float)(data_kernel(how, (k - centre) / wide) / sum);
    return (wide_taps){ from, to - from, weight };
}

/* A row of bytes as floats, three channels in four places. */
static void spread_row(const uint8_t *in, int w, int c, float *out)
{
    if (c != 3) {
#pragma omp simd
        for (int i = 0; i < w * c; i++)
            out[i] = (float)in[i];
        return;
    }
    for (int x = 0; x < w; x++, in += 3, out += PLACES) {
        out[0] = (float)in[0];
        out[1] = (float)in[1];
        out[2] = (float)in[2];
        out[3] = 0;
    }
}

static float to_one(float v)
{
    v /= 255.0f;
    v = v > 0 ? v : 0;
    return v < 1 ? v : 1;
}

/* Four places at a time: one vector, whatever the number of taps. */
static void wide_row_colour(const float *in, const wide_taps *t, int ow, float *out)
{
    for (int x = 0; x < ow; x++, t++, out += 3) {
        const float *p = in + (size_t)t->first * PLACES;
        float sum[PLACES] = { 0 };
        for (int k = 0; k < t->count; k++, p += PLACES) {
            float weight = t->weight[k];
#pragma omp simd
            for (int j = 0; j < PLACES; j++)
                sum[j] += weight * p[j];
        }
        for (int j = 0; j < 3; j++)
            out[j] = to_one(sum[j]);
    }
}

static void wide_row_grey(const float *in, const wide_taps *t, int ow, float *out)
{
    for (int x = 0; x < ow; x++, t++) {
        const float *p = in + t->first;
        float sum = 0;
        for (int k = 0; k < t->count; k++)
            sum += t->weight[k] * p[k];
        out[x] = to_one(sum);
    }
}

static void make_smaller(const source *s, int how, int oh, int ow, float *out, void *work)
{
    int most = data_kernel_taps(how, s->w, ow), row = s->w * places(s->c);
    wide_taps *across = work;
    float *weight = (float *)(void *)(across + ow);
    float *down = weight + (size_t)most * (size_t)ow;
    float *line = down + data_kernel_taps(how, s->h, oh), *box = line + row;

    for (int x = 0; x < ow; x++)
        across[x] = wide_taps_at(how, x, s->w, ow, weight + (size_t)x * (size_t)most);
    for (int y = 0; y < s->h; y++)
        spread_row(s->pixel + (size_t)y * s->stride, s->w, s->c,
                   box + (size_t)y * (size_t)row);
    for (int y = 0; y < oh; y++, out += (size_t)ow * (size_t)s->c) {
        wide_taps t = wide_taps_at(how, y, s->h, oh, down);
        sum_rows(box + (size_t)t.first * (size_t)row, t.weight, t.count, row, line);
        (s->c == 3 ? wide_row_colour : wide_row_grey)(line, across, ow, out);
    }
}

void data_resize(const data_images *d, const uint8_t *pixel, data_box b, int how, int oh,
                 int ow, float *out, void *work)
{
    int h = data_stored_h(d), w = data_stored_w(d), c = d->c;

    NN_NEED(b.h > 0 && b.w > 0 && b.top >= 0 && b.left >= 0 && b.top + b.h <= h &&
                b.left + b.w <= w,
            "crop %d x %d at (%d, %d) leaves the %d x %d image", b.h, b.w, b.top, b.left,
            h, w);
    source s = { .pixel = pixel + ((size_t)b.top * (size_t)w + (size_t)b.left) * (size_t)c,
                 .stride = (size_t)w * (size_t)c, .h = b.h, .w = b.w, .c = c };
    size_t row = (size_t)ow * (size_t)c;
    if (b.h == oh && b.w == ow)
        for (int y = 0; y < oh; y++)
            whole_image(s.pixel + (size_t)y * s.stride, row, out + (size_t)y * row);
    else
        (b.h > oh || b.w > ow ? make_smaller : enlarge)(&s, how, oh, ow, out, work);
}

void data_flip(float *x, int h, int w, int c)
{
    for (int y = 0; y < h; y++, x += (size_t)w * c)
        for (int left = 0, right = w - 1; left < right; left++, right--)
            for (int j = 0; j < c; j++) {
                float keep = x[left * c + j];
                x[left * c + j] = x[right * c + j];
                x[right * c + j] = keep;
            }
}

/* ---- colour ---- */

/* x = f x + (1 - f) g, clipped to 0..1; f > 1 moves away from g. */
static float blend(float x, float f, float g)
{
    float v = f * x + (1 - f) * g;
    v = v > 0 ? v : 0;
    return v < 1 ? v : 1;
}

static float grey_of(const float *rgb)
{
    return 0.299f * rgb[0] + 0.587f * rgb[1] + 0.114f * rgb[2];
}

void data_brightness(float *x, size_t pixels, int c, float factor)
{
#pragma omp simd
    for (size_t i = 0; i < pixels * c; i++)
        x[i] = blend(x[i], factor, 0);
}

static float mean_grey(const float *x, size_t pixels, int c)
{
    float sum[LANES] = { 0 };
    size_t whole = pixels - pixels % LANES;

    for (size_t i = 0; i < whole; i += LANES)
        for (int k = 0; k < LANES; k++)
            sum[k] += c == 3 ? grey_of(x + 3 * (i + k)) : x[i + k];
    for (size_t i = whole; i < pixels; i++)
        sum[i - whole] += c == 3 ? grey_of(x + 3 * i) : x[i];
    for (int gap = LANES / 2; gap; gap /= 2)
        for (int k = 0; k < gap; k++)
            sum[k] += sum[k + gap];
    return sum[0] / (float)pixels;
}

void data_contrast(float *x, size_t pixels, int c, float factor)
{
    float mean = mean_grey(x, pixels, c);

#pragma omp simd
    for (size_t i = 0; i < pixels * c; i++)
        x[i] = blend(x[i], factor, mean);
}

/* Pixels with their channels apart, so that a loop does several at a time. */
enum { TOGETHER = 64 };
typedef struct colours { float r[TOGETHER], g[TOGETHER], b[TOGETHER]; } colours;

static void take_apart(const float *x, int n, colours *p)
{
    for (int i = 0; i < n; i++) {
        p->r[i] = x[3 * i];
        p->g[i] = x[3 * i + 1];
        p->b[i] = x[3 * i + 2];
    }
}

static void put_together(const colours *p, int n, float *x)
{
    for (int i = 0; i < n; i++) {
        x[3 * i] = p->r[i];
        x[3 * i + 1] = p->g[i];
        x[3 * i + 2] = p->b[i];
    }
}

/* Runs `change` over all pixels; those beyond the end are made and not used. */
static void in_colours(float *x, size_t pixels, float by,
                       void (*change)(colours *p, float by))
{
    colours p = { { 0 }, { 0 }, { 0 } };

    for (size_t i = 0; i < pixels; i += TOGETHER, x += 3 * TOGETHER) {
        int n = pixels - i < TOGETHER ? (int)(pixels - i) : TOGETHER;
        take_apart(x, n, &p);
        change(&p, by);
        put_together(&p, n, x);
    }
}

static void saturate(colours *p, float factor)
{
#pragma omp simd
    for (int i = 0; i < TOGETHER; i++) {
        float grey = 0.299f * p->r[i] + 0.587f * p->g[i] + 0.114f * p->b[i];
        p->r[i] = blend(p->r[i], factor, grey);
        p->g[i] = blend(p->g[i], factor, grey);
        p->b[i] = blend(p->b[i], factor, grey);
    }
}

void data_saturation(float *x, size_t pixels, int c, float factor)
{
    if (c == 3)
        in_colours(x, pixels, factor, saturate);
}

/* A channel of the colour with largest channel v, spread s = v - smallest channel and hue
 * `sixths` (0..6, red at 0): walking round the circle a channel is full for two sixths,
 * falls over one, is empty for two, rises over one.  `turn` puts the channel's own fall
 * in place: 5 for red, 3 for green, 1 for blue. */
static float channel(float sixths, float turn, float v, float s)
{
    float k = sixths + turn;
    k -= k < 6 ? 0.0f : 6.0f;
    float fall = 4 - k, down = k < fall ? k : fall;
    down = down < 1 ? down : 1;
    down = down > 0 ? down : 0;
    return v - s * down;
}

/* The hue is found from the largest channel: 0 sixths at red, 2 at green, 4 at blue, and
 * from there towards the larger of the two others.  A grey pixel has none, and with a
 * spread of 0 it stays as it is whatever is taken for one.
 * Every choice is between numbers that are there already: compilers do several pixels at
 * a time only then. */
static void turn_hue(colours *p, float turn)
{
#pragma omp simd
    for (int i = 0; i < TOGETHER; i++) {
        float r = p->r[i], g = p->g[i], b = p->b[i];
        float v = r > g ? r : g, low = r < g ? r : g;
        v = v > b ? v : b;
        low = low < b ? low : b;
        float s = v - low, some = s > 0 ? s : 1;
        float from_r = g - b, from_g = b - r, from_b = r - g;
        float gap = v == g ? from_g : from_b, start = v == g ? 2.0f : 4.0f;
        gap = v == r ? from_r : gap;
        start = v == r ? 0.0f : start;

        float turns = (start + gap / some) / 6 + turn;
        float whole = (float)(int)turns;        /* towards zero, so one down if negative */
        whole -= whole > turns ? 1.0f : 0.0f;
        float sixths = (turns - whole) * 6;
        p->r[i] = channel(sixths, 5, v, s);
        p->g[i] = channel(sixths, 3, v, s);
        p->b[i] = channel(sixths, 1, v, s);
    }
}

void data_hue(float *x, size_t pixels, int c, float turn)
{
    if (c == 3)
        in_colours(x, pixels, turn, turn_hue);
}

void data_grey(float *x, size_t pixels, int c)
{
    if (c == 1)
        return;
    for (size_t i = 0; i < pixels; i++, x += 3)
        x[0] = x[1] = x[2] = grey_of(x);
}

void data_solarize(float *x, size_t count)
{
#pragma omp simd
    for (size_t i = 0; i < count; i++)
        x[i] = x[i] < 0.5f ? x[i] : 1 - x[i];
}

void data_normalise(const data_images *d, float *x, size_t pixels)
{
    if (d->value)
        pixels *= (size_t)d->c;
    if (d->c == 1 || d->value) {
        float mean = d->mean[0], scale = 1 / d->std[0];
#pragma omp simd
        for (size_t i = 0; i < pixels; i++)
            x[i] = (x[i] - mean) * scale;
        return;
    }
    enum { STRIDE = 12 };                       /* whole pixels and whole vectors */
    float mean[STRIDE], scale[STRIDE];
    size_t count = 3 * pixels, at = 0;
    for (int k = 0; k < STRIDE; k++) {
        mean[k] = d->mean[k % 3];
        scale[k] = 1 / d->std[k % 3];
    }
    for (; at + STRIDE <= count; at += STRIDE)
#pragma omp simd
        for (int k = 0; k < STRIDE; k++)
            x[at + k] = (x[at + k] - mean[k]) * scale[k];
    for (int k = 0; at < count; k++, at++)
        x[at] = (x[at] - mean[k]) * scale[k];
}

/* ---- without augmentation ---- */

nn_status data_view_size(data_images *d, int side, nn_arena *a, nn_err *err)
{
    if (side == 0)
        return NN_OK;
    if (d->value)
        return nn_fail(err, NN_ECONFIG, "augment.size: %d is a size of pictures, and this "
                       "set is of numbers; set augment.size: 0", side);
    int h = data_stored_h(d), w = data_stored_w(d), threads = nn_par_threads();
    d->stored_h = h;
    d->stored_w = w;
    d->h = d->w = side;
    d->space_each = (data_augment_space(d) + SPACING - 1) / SPACING * SPACING;
    d->space = NN_NEW(a, char, d->space_each * (size_t)threads);
    return NN_OK;
}

typedef struct plain {
    const data_images *d;
    const uint32_t *index;
    int first;
    float *out;
} plain;

static void plain_one(void *ctx, size_t job, int worker)
{
    const plain *p = ctx;
    const data_images *d = p->d;
    size_t pixels = (size_t)d->h * d->w, count = pixels * d->c;
    int i = p->first + (int)job;
    float *out = p->out + job * count;
    data_box whole = { 0, 0, data_stored_h(d), data_stored_w(d) };

    if (p->index)
        i = (int)p->index[i];
    if (d->value)
        memcpy(out, data_value_at(d, i), sizeof *out * count);
    else if (d->space)
        data_resize(d, data_pixel_at(d, i), whole, DATA_BILINEAR, d->h, d->w, out,
                    d->space + (size_t)worker * d->space_each);
    else
        whole_image(data_pixel_at(d, i), count, out);
    data_normalise(d, out, pixels);
}

void data_plain(const data_images *d, const uint32_t *index, int first, int n, float *out)
{
    plain p = { d, index, first, out };

    if (d->space)
        nn_par_run((size_t)n, plain_one, &p);
    else
        for (int i = 0; i < n; i++)
            plain_one(&p, (size_t)i, 0);
}

/* ---- blur ---- */

/* The true Gaussian, cut at 3 sigma and scaled to the sum 1: its middle and one side. */
static int gaussian(double sigma, float *weight)
{
    int radius = (int)ceil(3 * sigma);
    double exact[MOST_RADIUS + 1], sum = 1;

    NN_NEED(sigma > 0 && sigma <= DATA_MOST_SIGMA, "blur: sigma %g is outside 0..%d",
            sigma, DATA_MOST_SIGMA);
    exact[0] = 1;
    for (int k = 1; k <= radius; k++) {
        exact[k] = nn_exp(-0.5 * k * k / (sigma * sigma));
        sum += 2 * exact[k];
    }
    for (int k = 0; k <= radius; k++)
        weight[k] = (float)(exact[k] / sum);
    return radius;
}

/* out = weight[0] mid + sum_k weight[k] (before_k + after_k).  Both neighbours enter as
 * one sum, so that blur and flip commute to the last bit. */
static void blur_start(const float *mid, float weight, int n, float *out)
{
#pragma omp simd
    for (int i = 0; i < n; i++)
        out[i] = weight * mid[i];
}

static void blur_pair(const float *before, const float *after, float weight, int n,
                      float *out)
{
#pragma omp simd
    for (int i = 0; i < n; i++)
        out[i] += weight * (before[i] + after[i]);
}

/* The row with its end pixels repeated `radius` times. */
static void pad_row(const float *in, int w, int c, int radius, float *out)
{
    for (int k = 0; k < radius; k++)
        memcpy(out + (size_t)k * c, in, sizeof *in * (size_t)c);
    memcpy(out + (size_t)radius * c, in, sizeof *in * (size_t)w * c);
    for (int k = 0; k < radius; k++)
        memcpy(out + (size_t)(radius + w + k) * c, in + (size_t)(w - 1) * c,
               sizeof *in * (size_t)c);
}

/* Beyond the border the border pixel goes on, as in Pillow. */
void data_blur(float *x, int h, int w, int c, double sigma, void *work)
{
    float weight[MOST_RADIUS + 1];
    int radius = gaussian(sigma, weight), row = w * c;
    float *half = floats_of(work, w), *padded = half + (size_t)h * row;

    for (int y = 0; y < h; y++) {
        const float *mid = padded + (size_t)radius * c;
        float *out = half + (size_t)y * row;
        pad_row(x + (size_t)y * row, w, c, radius, padded);
        blur_start(mid, weight[0], row, out);
        for (int k = 1; k <= radius; k++)
            blur_pair(mid - k * c, mid + k * c, weight[k], row, out);
    }
    for (int y = 0; y < h; y++) {
        float *out = x + (size_t)y * row;
        blur_start(half + (size_t)y * row, weight[0], row, out);
        for (int k = 1; k <= radius; k++) {
            int above = y > k ? y - k : 0, below = y + k < h ? y + k : h - 1;
            blur_pair(half + (size_t)above * row, half + (size_t)below * row, weight[k],
                      row, out);
        }
    }
}
