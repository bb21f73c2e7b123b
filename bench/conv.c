/* Convolutions of the two networks that the design names: all layers of ResNet-18 on
 * 32 x 32 colour images, and of the small ResNet on 28 x 28 grey ones. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "nn/kern/conv.h"

enum { FORWARD, DGRAD, WGRAD, PASSES };
static const char *const pass_name[] = { "forward", "dgrad", "wgrad" };

typedef struct conv {
    nn_conv c;
    int pass;
    float *in, *second, *out; /* two that are read, the one written */
    size_t count;             /* of out */
    nn_arena scratch;
} conv;

static void drop(void *state)
{
    conv *p = state;
    free(p->in);
    free(p->second);
    free(p->out);
    nn_arena_free(&p->scratch);
    free(p);
}

/* PASS N H W CIN COUT KERNEL STRIDE PAD */
static void *make(int words, char *const *word, char *why)
{
    int v[8], pass = 0;
    (void)why;

    if (words != 9)
        return NULL;
    while (pass < PASSES && strcmp(word[0], pass_name[pass]) != 0)
        pass++;
    for (int i = 0; i < 8; i++)
        if (pass == PASSES || !bench_int(word[i + 1], i == 7 ? 0 : 1, 65536, &v[i]))
            return NULL;
    conv *p = calloc(1, sizeof *p);
    NN_NEED(p, "bench: out of memory");
    p->pass = pass;
    p->c = (nn_conv){ .n = v[0],
                      .h = v[1],
                      .w = v[2],
                      .cin = v[3],
                      .cout = v[4],
                      .kh = v[5],
                      .kw = v[5],
                      .stride = v[6],
                      .pad = v[7] };
    if (!nn_conv_plan(&p->c)) {
        free(p);
        return NULL;
    }
    size_t x = (size_t)v[0] * (size_t)v[1] * (size_t)v[2] * (size_t)v[3];
    size_t y = (size_t)v[0] * (size_t)p->c.oh * (size_t)p->c.ow * (size_t)v[4];
    size_t w = (size_t)v[5] * (size_t)v[5] * (size_t)v[3] * (size_t)v[4];
    const size_t size[PASSES][3] = { { x, w, y }, { y, w, x }, { x, y, w } };
    p->in = bench_new(size[pass][0], 1);
    p->second = bench_new(size[pass][1], 2);
    p->count = size[pass][2];
    p->out = bench_new(p->count, 3);
    return p;
}

static void run(void *state)
{
    conv *p = state;
    if (p->pass == FORWARD)
        nn_conv_forward(&p->c, p->in, p->second, NULL, p->out, &p->scratch);
    else if (p->pass == DGRAD)
        nn_conv_dgrad(&p->c, p->in, p->second, p->out, 0, &p->scratch);
    else
        nn_conv_wgrad(&p->c, p->in, p->second, p->out, &p->scratch);
}

static double value(void *state)
{
    conv *p = state;
    size_t last = p->count - 1;

    memset(p->out, 0, p->count * sizeof *p->out); /* wgrad adds */
    run(p);
    return p->out[0] + p->out[last] + p->out[last / 3] + p->out[last / 7 * 5];
}

const bench_item bench_item_conv = { "conv", make, run, value, drop };

/* ---- the layers -------------------------------------------------------------------- */

typedef struct layer {
    const char *set;
    int size, cin, cout, kernel, stride, batch;
} layer;

static const layer layers[] = {
    { "3x3", 32, 64, 64, 3, 1, 64 },     { "3x3", 16, 128, 128, 3, 1, 64 },
    { "3x3", 8, 256, 256, 3, 1, 64 },    { "3x3", 4, 512, 512, 3, 1, 64 },
    { "other", 32, 64, 128, 3, 2, 64 },  { "other", 16, 128, 256, 3, 2, 64 },
    { "other", 8, 256, 512, 3, 2, 64 },  { "other", 32, 64, 128, 1, 2, 64 },
    { "other", 16, 128, 256, 1, 2, 64 }, { "other", 8, 256, 512, 1, 2, 64 },
    { "first", 32, 3, 64, 3, 1, 64 },    { "3x3", 28, 16, 16, 3, 1, 256 },
    { "3x3", 14, 32, 32, 3, 1, 256 },    { "3x3", 7, 64, 64, 3, 1, 256 },
    { "other", 28, 16, 32, 3, 2, 256 },  { "other", 14, 32, 64, 3, 2, 256 },
    { "other", 28, 16, 32, 1, 2, 256 },  { "other", 14, 32, 64, 1, 2, 256 },
    { "first", 28, 1, 16, 3, 1, 256 },
};

static const struct {
    const char *kind, *set[PASSES];
} sets[] = {
    { "3x3", { "3x3 forward", "3x3 data gradient", "3x3 weight gradient" } },
    { "other", { "strided and 1x1", "strided and 1x1", "strided and 1x1" } },
    { "first", { "first layers", NULL, "first layers" } }, /* images want none */
};

static const char *set_of(const layer *l, int pass)
{
    for (size_t i = 0; i < NN_COUNT(sets); i++)
        if (strcmp(sets[i].kind, l->set) == 0)
            return sets[i].set[pass];
    return NULL;
}

static int rows(int quick, bench_row *row, int most)
{
    static char text[NN_COUNT(layers) * PASSES][2][64];
    static const char *const title[] = { "forward", "data gradient", "weight gradient" };
    int n = 0;

    for (int pass = 0; pass < PASSES; pass++)
        for (size_t i = 0; i < NN_COUNT(layers) && n < most; i++) {
            const layer *l = &layers[i];
            const char *set = set_of(l, pass);
            int batch = quick ? l->batch / 4 : l->batch, pad = l->kernel / 2;
            int out = (l->size + 2 * pad - l->kernel) / l->stride + 1;
            if (!set)
                continue;
            snprintf(text[n][0], 64, "%s %d>%d, %dx%d, %dx%d/%d, %d images", title[pass],
                     l->cin, l->cout, l->size, l->size, l->kernel, l->kernel, l->stride,
                     batch);
            snprintf(text[n][1], 64, "conv %s %d %d %d %d %d %d %d %d", pass_name[pass],
                     batch, l->size, l->size, l->cin, l->cout, l->kernel, l->stride, pad);
            /* Winograd's sums differ from direct ones by 2e-6 of a typical element, which
             * grows with the root of the number of terms: up to 65,536 in a weight
             * gradient; four elements are compared */
            row[n] = (bench_row){ set, text[n][0], text[n][1],
                                  2.0 * batch * out * out * l->cout * l->cin * l->kernel
                                      * l->kernel,
                                  1e-3 };
            n++;
        }
    return n;
}

static const bench_goal goals[] = {
    { "3x3 forward", "3x3, stride 1, forward", "oneDNN direct", 1.6, 2.2, 0 },
    { "3x3 forward", "3x3, stride 1, forward", "oneDNN Winograd", 0.9, 1.2, 0 },
    { "3x3 data gradient", "3x3, stride 1, data gradient", "oneDNN direct", 1.6, 2.2, 0 },
    { "3x3 data gradient", "3x3, stride 1, data gradient", "oneDNN Winograd", 0.9, 1.2,
      0 },
    { "3x3 weight gradient", "3x3, stride 1, weight gradient", "oneDNN direct", 1.6, 2.2,
      0 },
    { "3x3 weight gradient", "3x3, stride 1, weight gradient", "oneDNN Winograd", 0.9,
      1.2, 0 },
    { "strided and 1x1", "strided 3x3 and 1x1 convolution", "oneDNN direct", 1.0, 1.3,
      0 },
    { "first layers", "first layers, 1 or 3 channels", "oneDNN direct", 0, 0, 0 },
    { NULL, NULL, NULL, 0, 0, 0 }
};

const bench_kind bench_kind_conv = {
    .name = "conv",
    .about = "convolutions beside oneDNN (its own layouts, no reordering)",
    .partner = { "ours", "oneDNN direct", "oneDNN Winograd" },
    .rows = rows,
    .goals = goals,
    .seconds = 0.04,
    .rounds = 9,
    .bind = 1,
};
