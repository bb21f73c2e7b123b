/* oneDNN's convolutions, direct and Winograd, in the layouts it likes best: what it takes
 * to bring images and weights into them is not timed.
 *
 * Its C interface (version 2) is spoken without its headers, so that nothing needs to be
 * installed to build this: descriptors are filled by the library itself and are opaque
 * here; constants are those of its manual. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"

enum { F32 = 3, ANY = 1, NHWC = 20, CPU = 1, IN_ORDER = 1 }; /* types, layouts */
enum { FORWARD = 64, DIRECT = 1, WINOGRAD = 2 };
enum {
    ASK_SRC = 129,
    ASK_DIFF_SRC,
    ASK_WEIGHTS,
    ASK_DIFF_WEIGHTS,
    ASK_DST,
    ASK_DIFF_DST
};
enum {
    SRC = 1,
    DST = 17,
    WEIGHTS = 33,
    DIFF_SRC = 129,
    DIFF_DST = 145,
    DIFF_WEIGHTS = 161
};

typedef struct blob {
    _Alignas(16) unsigned char room[8192];
} blob; /* theirs: 5976 */
typedef struct argument {
    int role;
    void *memory;
} argument;

/* The functions used, by their names without "dnnl_". */
#define FUNCTIONS(F)                                                                     \
    F(engine_create, (void **engine, int kind, size_t index))                            \
    F(stream_create, (void **stream, void *engine, unsigned flags))                      \
    F(stream_wait, (void *stream))                                                       \
    F(memory_desc_init_by_tag,                                                           \
      (blob * desc, int dims, const int64_t *size, int type, int tag))                   \
    F(convolution_forward_desc_init,                                                     \
      (blob * desc, int kind, int algorithm, const blob *src, const blob *weights,       \
       const blob *bias, const blob *dst, const int64_t *strides, const int64_t *left,   \
       const int64_t *right))                                                            \
    F(convolution_backward_data_desc_init,                                               \
      (blob * desc, int algorithm, const blob *diff_src, const blob *weights,            \
       const blob *diff_dst, const int64_t *strides, const int64_t *left,                \
       const int64_t *right))                                                            \
    F(convolution_backward_weights_desc_init,                                            \
      (blob * desc, int algorithm, const blob *src, const blob *diff_weights,            \
       const blob *diff_bias, const blob *diff_dst, const int64_t *strides,              \
       const int64_t *left, const int64_t *right))                                       \
    F(primitive_desc_create,                                                             \
      (void **pd, const blob *desc, void *attr, void *engine, void *hint))               \
    F(primitive_desc_destroy, (void *pd))                                                \
    F(primitive_create, (void **primitive, void *pd))                                    \
    F(primitive_destroy, (void *primitive))                                              \
    F(primitive_execute,                                                                 \
      (void *primitive, void *stream, int count, const argument *list))                  \
    F(memory_create, (void **memory, const void *desc, void *engine, void *handle))      \
    F(memory_destroy, (void *memory))                                                    \
    F(reorder_primitive_desc_create, (void **pd, const void *src, void *src_engine,      \
                                      const void *dst, void *dst_engine, void *attr))

#define DECLARE(name, arguments) int(*name) arguments;
static struct {
    FUNCTIONS(DECLARE)
    const void *(*primitive_desc_query_md)(void *pd, int what, int index);
} lib;

static void *engine, *stream;
static int algorithm;

enum { FWD, DGRAD, WGRAD };

typedef struct conv {
    void *pd, *primitive;
    void *memory[3]; /* two that are read, then the one written */
    argument list[3];
    blob plain; /* the result's layout as we have it */
    size_t count;
    float *out;
} conv;

/* Carries numbers between our layout and the library's. */
static int carry(const void *from_desc, void *from, const void *to_desc, void *to)
{
    void *pd = NULL, *p = NULL;
    argument list[2] = { { SRC, from }, { DST, to } };
    int bad =
        lib.reorder_primitive_desc_create(&pd, from_desc, engine, to_desc, engine, NULL)
        || lib.primitive_create(&p, pd) || lib.primitive_execute(p, stream, 2, list)
        || lib.stream_wait(stream);
    if (p)
        lib.primitive_destroy(p);
    if (pd)
        lib.primitive_desc_destroy(pd);
    return !bad;
}

/* An operand in the library's layout, filled with our numbers. */
static void *operand(const void *desc, const blob *plain, size_t count,
                     unsigned stream_of)
{
    void *mine = NULL, *theirs = NULL;
    float *x = bench_new(count, stream_of);
    int bad = lib.memory_create(&theirs, desc, engine, (void *)(uintptr_t)-1)
              || lib.memory_create(&mine, plain, engine, x)
              || !carry(plain, mine, desc, theirs);
    if (mine)
        lib.memory_destroy(mine);
    free(x);
    if (bad && theirs)
        lib.memory_destroy(theirs);
    return bad ? NULL : theirs;
}

static void drop(void *state)
{
    conv *c = state;
    for (int i = 0; i < 3; i++)
        if (c->memory[i])
            lib.memory_destroy(c->memory[i]);
    if (c->primitive)
        lib.primitive_destroy(c->primitive);
    if (c->pd)
        lib.primitive_desc_destroy(c->pd);
    free(c->out);
    free(c);
}

static int describe(void **pd, int pass, const blob *x, const blob *w, const blob *y,
                    int stride, int pad)
{
    const int64_t strides[2] = { stride, stride }, pads[2] = { pad, pad };
    blob d, f;
    void *hint = NULL;

    if (lib.convolution_forward_desc_init(&f, FORWARD, pass == FWD ? algorithm : DIRECT,
                                          x, w, NULL, y, strides, pads, pads))
        return 0;
    if (pass == FWD)
        return lib.primitive_desc_create(pd, &f, NULL, engine, NULL) == 0;
    if (lib.primitive_desc_create(&hint, &f, NULL, engine, NULL))
        return 0;
    int bad = pass == DGRAD
                  ? lib.convolution_backward_data_desc_init(&d, algorithm, x, w, y,
                                                            strides, pads, pads)
                  : lib.convolution_backward_weights_desc_init(&d, algorithm, x, w, NULL,
                                                               y, strides, pads, pads);
    bad = bad || lib.primitive_desc_create(pd, &d, NULL, engine, hint);
    lib.primitive_desc_destroy(hint);
    return !bad;
}

/* the three tensors of a pass: what is asked of the library, and its part */
static const struct role {
    int ask, role;
} roles[3][3] = {
    [FWD] = { { ASK_SRC, SRC }, { ASK_WEIGHTS, WEIGHTS }, { ASK_DST, DST } },
    [DGRAD] = { { ASK_DIFF_DST, DIFF_DST },
                { ASK_WEIGHTS, WEIGHTS },
                { ASK_DIFF_SRC, DIFF_SRC } },
    [WGRAD] = { { ASK_SRC, SRC },
                { ASK_DIFF_DST, DIFF_DST },
                { ASK_DIFF_WEIGHTS, DIFF_WEIGHTS } },
};

static void *conv_make(int words, char *const *word, char *why)
{
    static const char *const pass_name[] = { "forward", "dgrad", "wgrad" };
    int v[8], pass = 0; /* n h w cin cout kernel stride pad */

    if (words != 9)
        return NULL;
    while (pass < 3 && strcmp(word[0], pass_name[pass]) != 0)
        pass++;
    for (int i = 0; i < 8; i++)
        if (pass == 3 || !bench_int(word[i + 1], i == 7 ? 0 : 1, 65536, &v[i]))
            return NULL;
    int oh = (v[1] + 2 * v[7] - v[5]) / v[6] + 1,
        ow = (v[2] + 2 * v[7] - v[5]) / v[6] + 1;
    /* dimensions in their order: images n c h w, weights cout cin kh kw */
    const int64_t x[] = { v[0], v[3], v[1], v[2] }, y[] = { v[0], v[4], oh, ow };
    const int64_t w[] = { v[4], v[3], v[5], v[5] };
    const int64_t *size[3][3] = { { x, w, y }, { y, w, x }, { x, y, w } };
    blob any[3], plain[3];
    conv *c = calloc(1, sizeof *c);

    NN_NEED(c, "bench: out of memory");
    snprintf(why, BENCH_WHY, "not for this shape on this processor");
    const int64_t *xwy[] = { x, w, y };
    for (int i = 0; i < 3; i++)
        lib.memory_desc_init_by_tag(&any[i], 4, xwy[i], F32, ANY);
    if (!describe(&c->pd, pass, &any[0], &any[1], &any[2], v[6], v[7])
        || lib.primitive_create(&c->primitive, c->pd)) {
        drop(c);
        return NULL;
    }
    for (int i = 0; i < 3; i++) {
        const int64_t *s = size[pass][i];
        size_t count = (size_t)(s[0] * s[1] * s[2] * s[3]);
        lib.memory_desc_init_by_tag(&plain[i], 4, s, F32, NHWC);
        c->memory[i] = operand(lib.primitive_desc_query_md(c->pd, roles[pass][i].ask, 0),
                               &plain[i], count, (unsigned)i + 1);
        if (!c->memory[i]) {
            drop(c);
            return NULL;
        }
        c->list[i] = (argument){ roles[pass][i].role, c->memory[i] };
        c->count = count;
    }
    c->plain = plain[2];
    c->out = bench_new(c->count, 0);
    return c;
}

static void conv_run(void *state)
{
    conv *c = state;
    lib.primitive_execute(c->primitive, stream, 3, c->list);
    lib.stream_wait(stream);
}

static double conv_value(void *state)
{
    conv *c = state;
    void *mine = NULL;
    const argument *result = &c->list[2];
    int ask = result->role == DST        ? ASK_DST
              : result->role == DIFF_SRC ? ASK_DIFF_SRC
                                         : ASK_DIFF_WEIGHTS;

    if (lib.memory_create(&mine, &c->plain, engine, c->out))
        return 0;
    carry(lib.primitive_desc_query_md(c->pd, ask, 0), c->memory[2], &c->plain, mine);
    lib.memory_destroy(mine);
    size_t last = c->count - 1;
    return c->out[0] + c->out[last] + c->out[last / 3] + c->out[last / 7 * 5];
}

static const bench_item convolution = { "conv", conv_make, conv_run, conv_value, drop };
static const bench_item *const items[] = { &convolution, NULL };

const bench_item *const *bench_onednn_open(const char *side, int threads, char *version,
                                           char *why)
{
    void *h;
    const struct {
        int major, minor, patch;
    } * v;

    if (strcmp(side, "oneDNN") == 0)
        return bench_blas_open(side, threads, version, why);
    algorithm = strstr(side, "Winograd") ? WINOGRAD : DIRECT;
    h = bench_load("libdnnl.so.2");
    if (!h) {
        snprintf(why, BENCH_WHY, "not here (package libdnnl2)");
        return NULL;
    }
#define FIND(name, arguments) bench_symbol(h, "dnnl_" #name, &lib.name);
    FUNCTIONS(FIND)
    bench_symbol(h, "dnnl_primitive_desc_query_md", &lib.primitive_desc_query_md);
    const void *(*ask)(void) = NULL;
    bench_symbol(h, "dnnl_version", &ask);
    v = ask ? ask() : NULL;
    if (!v || v->major != 2 || lib.engine_create(&engine, CPU, 0)
        || lib.stream_create(&stream, engine, IN_ORDER)) {
        snprintf(why, BENCH_WHY, "its version 2 is needed");
        return NULL;
    }
    snprintf(version, 256, "oneDNN %d.%d.%d, its own layouts", v->major, v->minor,
             v->patch);
    return items;
}
