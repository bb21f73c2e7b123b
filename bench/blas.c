/* BLAS libraries of the system, loaded at run time: OpenBLAS, BLIS, MKL, and oneDNN's
 * sgemm.  Each lives in a process of its own, with its own threads. */
#include <dlfcn.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"

/* CBLAS and oneDNN as their manuals declare them. */
typedef void cblas_gemm(int order, int ta, int tb, int m, int n, int k, float alpha,
                        const float *a, int lda, const float *b, int ldb, float beta,
                        float *c, int ldc);
typedef void cblas_syrk(int order, int uplo, int trans, int n, int k, float alpha,
                        const float *a, int lda, float beta, float *c, int ldc);
typedef int dnnl_gemm(char ta, char tb, long m, long n, long k, float alpha,
                      const float *a, long lda, const float *b, long ldb, float beta,
                      float *c, long ldc);
enum { ROW_MAJOR = 101, PLAIN = 111, TURNED = 112, UPPER = 121 };

static struct {
    cblas_gemm *gemm;
    cblas_syrk *syrk;
    dnnl_gemm *dnnl;
} blas;

typedef struct product {
    char ta, tb;
    int m, n, k;
    float *x, *y, *c;
} product;

static void *gemm_make(int words, char *const *word, char *why)
{
    product *p = calloc(1, sizeof *p);
    (void)why;
    if (!p || words != 5 || !bench_int(word[2], 1, 1 << 24, &p->m)
        || !bench_int(word[3], 1, 1 << 24, &p->n)
        || !bench_int(word[4], 1, 1 << 24, &p->k)) {
        free(p);
        return NULL;
    }
    p->ta = *word[0], p->tb = *word[1];
    p->x = bench_new((size_t)p->m * (size_t)p->k, 1);
    p->y = bench_new((size_t)p->k * (size_t)p->n, 2);
    p->c = bench_new((size_t)p->m * (size_t)p->n, 3);
    return p;
}

static void gemm_run(void *state)
{
    product *p = state;
    int lda = p->ta == 'N' ? p->k : p->m, ldb = p->tb == 'N' ? p->n : p->k;

    if (blas.dnnl)
        blas.dnnl(p->ta, p->tb, p->m, p->n, p->k, 1, p->x, lda, p->y, ldb, 0, p->c, p->n);
    else
        blas.gemm(ROW_MAJOR, p->ta == 'N' ? PLAIN : TURNED, p->tb == 'N' ? PLAIN : TURNED,
                  p->m, p->n, p->k, 1, p->x, lda, p->y, ldb, 0, p->c, p->n);
}

static double gemm_value(void *state)
{
    const product *p = state;
    size_t last = (size_t)p->m * (size_t)p->n - 1;
    return p->c[0] + p->c[last] + p->c[last / 3] + p->c[last / 7 * 5];
}

static void drop(void *state)
{
    product *p = state;
    free(p->x);
    free(p->y);
    free(p->c);
    free(p);
}

static void *syrk_make(int words, char *const *word, char *why)
{
    product *p = blas.syrk ? calloc(1, sizeof *p) : NULL;
    if (!p) {
        snprintf(why, BENCH_WHY, "has no ssyrk");
        return NULL;
    }
    if (words != 2 || !bench_int(word[0], 1, 1 << 16, &p->n)
        || !bench_int(word[1], 1, 1 << 24, &p->k)) {
        free(p);
        return NULL;
    }
    p->x = bench_new((size_t)p->n * (size_t)p->k, 1);
    p->c = bench_new((size_t)p->n * (size_t)p->n, 3);
    return p;
}

static void syrk_run(void *state)
{
    product *p = state;
    blas.syrk(ROW_MAJOR, UPPER, TURNED, p->n, p->k, 1, p->x, p->n, 0, p->c, p->n);
}

static double syrk_value(void *state)
{
    const product *p = state;
    size_t n = (size_t)p->n;
    return p->c[0] + p->c[n * n - 1] + p->c[n - 1] + p->c[n / 3 * n + n / 2];
}

static const bench_item gemm = { "gemm", gemm_make, gemm_run, gemm_value, drop };
static const bench_item syrk = { "syrk", syrk_make, syrk_run, syrk_value, drop };
static const bench_item *const items[] = { &gemm, &syrk, NULL };

static const struct source {
    const char *side, *file[3], *package;
} sources[] = {
    { "OpenBLAS", { "libopenblas.so.0", "libopenblas.so" }, "libopenblas0-openmp" },
    { "BLIS", { "libblis.so.4", "libblis.so" }, "libblis4-openmp" },
    { "oneDNN", { "libdnnl.so.2", "libdnnl.so.3", "libdnnl.so" }, "libdnnl2" },
    { "MKL", { "libmkl_rt.so.2", "libmkl_rt.so" }, "intel-mkl, non-free" },
};

/* Where Debian keeps the variants of a library.  Those for OpenMP first: they share our
 * pool of threads. */
static const char *const folders[] = {
    "/usr/lib/x86_64-linux-gnu/openblas-openmp/",
    "/usr/lib/x86_64-linux-gnu/blis-openmp/",
    "",
    "/usr/lib/x86_64-linux-gnu/openblas-pthread/",
    "/usr/lib/x86_64-linux-gnu/blis-pthread/",
};

void *bench_load(const char *file)
{
    char path[256];

    for (size_t d = 0; d < NN_COUNT(folders); d++) {
        snprintf(path, sizeof path, "%s%s", folders[d], file);
        void *h = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (h)
            return h;
    }
    return NULL;
}

/* The language knows no way from an object's address to a function's; POSIX does. */
void bench_symbol(void *library, const char *name, void *function)
{
    void *found = dlsym(library, name);
    memcpy(function, &found, sizeof found);
}

static void describe(void *h, const char *path, char *version)
{
    const char *(*openblas)(void), *(*blis)(void);
    const int *(*dnnl)(void);
    void (*mkl)(char *, int);

    bench_symbol(h, "openblas_get_config", &openblas);
    bench_symbol(h, "bli_info_get_version_str", &blis);
    bench_symbol(h, "dnnl_version", &dnnl);
    bench_symbol(h, "MKL_Get_Version_String", &mkl);
    if (openblas)
        snprintf(version, 256, "%s", openblas());
    else if (blis)
        snprintf(version, 256, "BLIS %s", blis());
    else if (dnnl)
        snprintf(version, 256, "oneDNN %d.%d.%d", dnnl()[0], dnnl()[1], dnnl()[2]);
    else if (mkl)
        mkl(version, 200);
    else
        snprintf(version, 256, "%s", path);
}

const bench_item *const *bench_blas_open(const char *side, int threads, char *version,
                                         char *why)
{
    const struct source *s = sources, *end = sources + NN_COUNT(sources);
    char count[16];

    while (s < end && strcmp(s->side, side) != 0)
        s++;
    if (s == end) {
        snprintf(why, BENCH_WHY, "no side '%.40s'", side);
        return NULL;
    }
    snprintf(count, sizeof count, "%d", threads);
    setenv("OMP_NUM_THREADS", count, 1);
    setenv("OPENBLAS_NUM_THREADS", count, 1);
    setenv("BLIS_NUM_THREADS", count, 1);
    setenv("MKL_NUM_THREADS", count, 1);
    setenv("MKL_THREADING_LAYER", "GNU", 0);
#if defined(__x86_64__)
    /* BLIS 0.9 takes an Intel server whose model name is hidden for a Haswell; 0 names
     * its AVX-512 kernels */
    if (__builtin_cpu_is("intel") && __builtin_cpu_supports("avx512f"))
        setenv("BLIS_ARCH_TYPE", "0", 0);
#endif
    /* threads that a library makes inherit what this one may use: let that be all */
    cpu_set_t mine, all;
    int bound = sched_getaffinity(0, sizeof mine, &mine) == 0;
    memset(&all, -1, sizeof all);
    sched_setaffinity(0, sizeof all, &all);
    void *h = NULL;
    const char *file = NULL;
    for (size_t i = 0; !h && i < NN_COUNT(s->file) && s->file[i]; i++)
        h = bench_load(file = s->file[i]);
    if (!h) {
        snprintf(why, BENCH_WHY, "not here (package %s)", s->package);
        return NULL;
    }
    bench_symbol(h, "cblas_sgemm", &blas.gemm);
    bench_symbol(h, "cblas_ssyrk", &blas.syrk);
    if (!blas.gemm)
        bench_symbol(h, "dnnl_sgemm", &blas.dnnl);
    if (!blas.gemm && !blas.dnnl) {
        snprintf(why, BENCH_WHY, "%s has no sgemm", file);
        return NULL;
    }
    /* OpenBLAS counts the cores that it may use when it is loaded, and a bound thread may
     * use one: it has to be told */
    void (*set)(int) = NULL;
    bench_symbol(h, "openblas_set_num_threads", &set);
    if (set)
        set(threads);
    if (bound)
        sched_setaffinity(0, sizeof mine, &mine);
    describe(h, file, version);
    return items;
}
