#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "nn/kern/kern.h"

/* What no table can make good: arithmetic that is not float and double rounded once.  The
 * Makefile refuses the flags by name; this stops builds that do not come from it. */
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "results depend on exact arithmetic: build without -Ofast and -ffast-math"
#endif
_Static_assert(FLT_EVAL_METHOD == 0, "float must be rounded to float after every step");
_Static_assert(FLT_RADIX == 2 && FLT_MANT_DIG == 24 && DBL_MANT_DIG == 53,
               "float and double are those of IEEE 754");

/* This file is compiled for the plain baseline: it must run on every CPU. */
extern const nn_kern nn_kern_ref;
#if defined(__x86_64__)
extern const nn_kern nn_kern_avx2, nn_kern_avx512;
#elif defined(__aarch64__)
extern const nn_kern nn_kern_neon;
#endif

enum { TABLES = 4 };

const nn_kern *nn_kern_now = &nn_kern_ref;

/* Fills `table` with the tables that this CPU (and its system) can run, slowest first. */
static int usable(const nn_kern *table[TABLES])
{
    int n = 0;
    table[n++] = &nn_kern_ref;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        table[n++] = &nn_kern_avx2;
    if (__builtin_cpu_supports("avx512f"))
        table[n++] = &nn_kern_avx512;
#elif defined(__aarch64__)
    table[n++] = &nn_kern_neon;         /* part of the architecture */
#endif
    return n;
}

int nn_kern_count(void)
{
    const nn_kern *table[TABLES];
    return usable(table);
}

const nn_kern *nn_kern_at(int i)
{
    const nn_kern *table[TABLES];
    return i >= 0 && i < usable(table) ? table[i] : NULL;
}

const char *const *nn_kern_names(void)
{
    static const char *const names[] = {
        "ref",
#if defined(__x86_64__)
        "avx2", "avx512",
#elif defined(__aarch64__)
        "neon",
#endif
        NULL
    };
    return names;
}

int nn_kern_choose(const char *name)
{
    const nn_kern *table[TABLES];
    int n = usable(table);

    if (!name)
        name = getenv("FULLRANK_KERN");
    if (!name || !*name) {
        nn_kern_now = table[n - 1];
        return 1;
    }
    for (int i = 0; i < n; i++)
        if (strcmp(table[i]->name, name) == 0) {
            nn_kern_now = table[i];
            return 1;
        }
    return 0;
}

/* Runs before main, so that a caller who forgets to choose is not left with `ref`. */
__attribute__((constructor)) static void choose_at_start(void)
{
    if (!nn_kern_choose(NULL)) {
        const nn_kern *table[TABLES];
        nn_kern_now = table[usable(table) - 1];
    }
}
