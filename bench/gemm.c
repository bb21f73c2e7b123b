/* Products of matrices: squares, the shapes of convolutions, heads, Gram matrices,
 * nearest codes, and small ones. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "nn/kern/gemm.h"
#include "nn/kern/kern.h"
#include "nn/par.h"

/* ---- the ceiling ------------------------------------------------------------------- */

enum { BURN = 1 << 18 }; /* about half a millisecond a thread */

typedef struct burn {
    float start[16], sink[64];
} burn;

static void *peak_make(int words, char *const *word, char *why)
{
    burn *b = calloc(1, sizeof *b);
    (void)words, (void)word, (void)why;
    NN_NEED(b, "bench: out of memory");
    bench_fill(b->start, 16, 1);
    return b;
}

static void burn_job(void *ctx, size_t job, int worker)
{
    burn *b = ctx;
    (void)worker;
    b->sink[job % 64] = nn_kern_now->burn(BURN, b->start);
}

static void peak_run(void *state)
{
    nn_par_run((size_t)nn_par_threads(), burn_job, state);
}

/* what one run comes to, so that the conductor need not know the table */
static double peak_value(void *state)
{
    (void)state;
    return 2.0 * BURN * 16 * nn_kern_now->mr * (nn_kern_now->nr / 16) * nn_par_threads();
}

const bench_item bench_item_peak = { "peak", peak_make, peak_run, peak_value, free };

/* ---- one product ------------------------------------------------------------------- */

typedef struct product {
    size_t m, n, k;
    nn_mat a, b;
    float *x, *y, *c;
    nn_arena scratch;
} product;

static double probe(const product *p)
{
    size_t last = p->m * p->n - 1;
    return p->c[0] + p->c[last] + p->c[last / 3] + p->c[last / 7 * 5];
}

static void drop(void *state)
{
    product *p = state;
    free(p->x);
    free(p->y);
    free(p->c);
    nn_arena_free(&p->scratch);
    free(p);
}

static nn_mat matrix(const float *x, size_t rows, size_t cols, int turned)
{
    return turned ? (nn_mat){ x, 1, rows } : (nn_mat){ x, cols, 1 };
}

/* TA TB M N K, as `gemm T N 512 512 256` */
static void *gemm_make(int words, char *const *word, char *why)
{
    int m, n, k;
    (void)why;
    if (words != 5 || !bench_int(word[2], 1, 1 << 24, &m)
        || !bench_int(word[3], 1, 1 << 24, &n) || !bench_int(word[4], 1, 1 << 24, &k))
        return NULL;
    product *p = calloc(1, sizeof *p);
    NN_NEED(p, "bench: out of memory");
    p->m = (size_t)m, p->n = (size_t)n, p->k = (size_t)k;
    p->x = bench_new(p->m * p->k, 1);
    p->y = bench_new(p->k * p->n, 2);
    p->c = bench_new(p->m * p->n, 3);
    p->a = matrix(p->x, p->m, p->k, *word[0] == 'T');
    p->b = matrix(p->y, p->k, p->n, *word[1] == 'T');
    return p;
}

static void gemm_run(void *state)
{
    product *p = state;
    nn_gemm(p->m, p->n, p->k, p->a, p->b, p->c, p->n, NULL, &p->scratch);
}

static double value(void *state)
{
    return probe(state);
}

const bench_item bench_item_gemm = { "gemm", gemm_make, gemm_run, value, drop };

/* N K: C (N x N) = X'X with X (K x N); only the upper triangle is compared, as a
 * library's ssyrk writes no more */
static void *syrk_make(int words, char *const *word, char *why)
{
    int n, k;
    (void)why;
    if (words != 2 || !bench_int(word[0], 1, 1 << 16, &n)
        || !bench_int(word[1], 1, 1 << 24, &k))
        return NULL;
    product *p = calloc(1, sizeof *p);
    NN_NEED(p, "bench: out of memory");
    p->m = p->n = (size_t)n, p->k = (size_t)k;
    p->x = bench_new(p->n * p->k, 1);
    p->c = bench_new(p->n * p->n, 3);
    return p;
}

static void syrk_run(void *state)
{
    product *p = state;
    nn_syrk(p->n, p->k, matrix(p->x, p->n, p->k, 1), p->c, p->n, 0, &p->scratch);
}

static double syrk_value(void *state)
{
    const product *p = state;
    size_t n = p->n;
    return p->c[0] + p->c[n * n - 1] + p->c[n - 1] + p->c[n / 3 * n + n / 2];
}

const bench_item bench_item_syrk = { "syrk", syrk_make, syrk_run, syrk_value, drop };

/* ---- the shapes -------------------------------------------------------------------- */

typedef struct shape {
    const char *set;
    const char *form;
    int m, n, k;
    const char *note;
} shape;

static const shape shapes[] = {
    { "middle", "NN", 64, 64, 64, "" },
    { "middle", "NN", 128, 128, 128, "" },
    { "middle", "NN", 192, 192, 192, "" },
    { "middle", "NN", 256, 256, 256, "" },
    { "middle", "NN", 384, 384, 384, "" },
    { "large", "NN", 512, 512, 512, "" },
    { "large", "TN", 512, 512, 512, "" },
    { "large", "NT", 512, 512, 512, "" },
    { "large", "TT", 512, 512, 512, "" },
    { "large", "NN", 1000, 1000, 1000, "" },
    { "large", "NN", 1024, 1024, 1024, "" },
    { "large", "NN", 2048, 2048, 2048, "" },
    { "large", "NT", 256, 256, 512, "Gram" },
    { "large", "NT", 1024, 1024, 2048, "Gram" },
    { "large", "NT", 4096, 4096, 512, "Gram" },
    { "large", "NT", 256, 256, 8192, "Gram" },
    { "large", "TN", 512, 512, 256, "covariance" },
    { "large", "TN", 512, 512, 4096, "covariance" },
    { "large", "TN", 2048, 2048, 256, "covariance" },
    { "large", "TN", 2048, 2048, 2048, "covariance" },
    { "large", "TN", 8192, 8192, 256, "covariance" },
    { "layer", "NT", 131072, 64, 576, "layer1 forward, 128 images" },
    { "layer", "NT", 32768, 128, 1152, "layer2 forward" },
    { "layer", "NT", 8192, 256, 2304, "layer3 forward" },
    { "layer", "NT", 2048, 512, 4608, "layer4 forward" },
    { "layer", "NN", 32768, 576, 64, "layer1 data gradient, 32 images" },
    { "layer", "NN", 32768, 1152, 128, "layer2 data gradient" },
    { "layer", "NN", 8192, 2304, 256, "layer3 data gradient" },
    { "layer", "NN", 2048, 4608, 512, "layer4 data gradient" },
    { "layer", "TN", 64, 576, 131072, "layer1 weight gradient" },
    { "layer", "TN", 128, 1152, 32768, "layer2 weight gradient" },
    { "layer", "TN", 256, 2304, 8192, "layer3 weight gradient" },
    { "layer", "TN", 512, 4608, 2048, "layer4 weight gradient" },
    { "layer", "NT", 256, 2048, 512, "head forward" },
    { "layer", "NT", 256, 2048, 2048, "head forward" },
    { "layer", "NT", 256, 8192, 2048, "head forward" },
    { "layer", "NN", 256, 512, 2048, "head data gradient" },
    { "layer", "NN", 256, 2048, 8192, "head data gradient" },
    { "layer", "TN", 2048, 512, 256, "head weight gradient" },
    { "layer", "TN", 2048, 2048, 256, "head weight gradient" },
    { "layer", "TN", 8192, 2048, 256, "head weight gradient" },
    { "codes", "NT", 16384, 1024, 64, "" },
    { "codes", "NT", 16384, 8192, 64, "" },
    { "codes", "NT", 2048, 65536, 64, "" },
    { "codes", "NT", 4096, 8192, 256, "" },
    { "small", "NT", 16, 512, 512, "" },
    { "small", "NT", 32, 512, 512, "" },
    { "small", "NT", 64, 512, 512, "" },
    { "small", "NT", 16, 2048, 2048, "" },
    { "small", "NT", 64, 2048, 2048, "" },
    { "small", "NT", 64, 10, 512, "linear probe" },
    { "small", "NT", 256, 10, 512, "linear probe" },
    { "small", "TN", 10, 512, 64, "its weight gradient" },
    { "small", "NN", 16, 1024, 144, "convolution of 16 channels" },
    { "small", "NN", 32, 784, 144, "convolution of 32 channels" },
    { "X'X", NULL, 512, 512, 4096, "" },
    { "X'X", NULL, 2048, 2048, 256, "" },
    { "X'X", NULL, 2048, 2048, 2048, "" },
    { "X'X", NULL, 8192, 8192, 256, "" },
};

enum { QUICK = 1 << 27 }; /* m n k above which --quick leaves a shape out */

static int rows(int quick, bench_row *row, int most)
{
    static char text[NN_COUNT(shapes)][2][64];
    int n = 0;

    for (size_t i = 0; i < NN_COUNT(shapes) && n < most; i++) {
        const shape *s = &shapes[i];
        if (quick && (double)s->m * s->n * s->k > QUICK)
            continue;
        double flops = 2.0 * s->m * s->n * s->k;
        if (s->form) {
            snprintf(text[i][0], 64, "%s %d x %d x %d%s%s", s->form, s->m, s->n, s->k,
                     *s->note ? ", " : "", s->note);
            snprintf(text[i][1], 64, "gemm %c %c %d %d %d", s->form[0], s->form[1], s->m,
                     s->n, s->k);
        } else {
            snprintf(text[i][0], 64, "X %d x %d", s->k, s->n);
            snprintf(text[i][1], 64, "syrk %d %d", s->n, s->k);
        }
        /* Sums of k terms of size 1 in float32 are off by some sqrt(k) 2^-24 of their
         * size sqrt(k), at k = 131,072 by 2e-5; four of them are added, which may cancel,
         * hence some room. */
        row[n++] = (bench_row){ s->set, text[i][0], text[i][1], flops, 1e-3 };
    }
    return n;
}

static const bench_goal goals[] = {
    { "large", "GEMM, size >= 512 and Gram", NULL, 0.95, 1.05, 0 },
    { "layer", "GEMM, convolution, weight-gradient and head shapes", NULL, 1.05, 1.25,
      0 },
    { "small", "GEMM, small (M <= 64 or N = 10)", NULL, 1.3, 2, 0 },
    { "X'X", "symmetric X'X", "OpenBLAS", 1.0, 1.2, 0 },
    { "middle", "GEMM, squares 64 to 384", NULL, 0, 0, 0 },
    { "codes", "GEMM, nearest-code shapes", NULL, 0, 0, 0 },
    { NULL, NULL, NULL, 0, 0, 0 }
};

const bench_kind bench_kind_gemm = {
    .name = "gemm",
    .about = "products of matrices beside OpenBLAS, BLIS, oneDNN, MKL",
    .partner = { "ours", "OpenBLAS", "BLIS", "oneDNN", "MKL" },
    .rows = rows,
    .goals = goals,
    .seconds = 0.02,
    .rounds = 9,
    .bind = 1,
};
