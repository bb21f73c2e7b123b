#include "nn/arena.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "nn/base.h"

enum { ALIGN = 64 };                    /* a cache line, and the widest vector */

/* The range an arena reserves costs addresses, not memory: 256 GiB are more than a step
 * takes on any machine of today, and a thousandth of the addresses that a process has.
 * Where addresses are rationed (ulimit -v) an arena takes a quarter of what is left, so
 * that the next one, the threads' stacks and the libraries find room too. */
static const size_t most_reserved = (size_t)256 << 30;
static const size_t least_reserved = (size_t)16 << 20;

/* Memory is asked for in these pieces at least: a huge page on x86. */
static const size_t piece = (size_t)2 << 20;

/* From this size on an arena asks for huge pages: a step's buffers are walked end to end
 * and with long strides, and a page of 4 KiB is left again after a few lines.  Smaller
 * arenas, those of a program that only prints, stay with pages they fill. */
static const size_t worth_huge_pages = (size_t)8 << 20;

/* Mutable state of the whole process: what all arenas have handed out at their worst
 * moments, and the cap on it. */
static atomic_size_t held;
static struct {
    size_t bytes;                       /* 0: none */
    char name[160], remedy[320];
} cap;

static size_t round_up(size_t bytes, size_t to)
{
    return (bytes + to - 1) / to * to;
}

static size_t addresses_in_use(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (f) {
        if (fscanf(f, "%lu", &pages) != 1)
            pages = 0;
        fclose(f);
    }
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static size_t wish(void)
{
    struct rlimit limit;
    size_t used;

    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return most_reserved;
    used = addresses_in_use();
    size_t left = limit.rlim_cur > used ? (size_t)limit.rlim_cur - used : 0;
    return left / 4 < most_reserved ? left / 4 / piece * piece : most_reserved;
}

static void reserve(nn_arena *a)
{
    for (size_t want = wish(); want >= least_reserved; want = want / 2 / piece * piece) {
        char *p = mmap(NULL, want, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                       -1, 0);
        if (p != MAP_FAILED) {
            size_t skip = round_up((size_t)p, piece) - (size_t)p;   /* huge pages' grid */
            if (skip)
                munmap(p, skip);
            a->base = p + skip;
            a->reserved = want - skip;
            return;
        }
    }
    nn_no_memory(
        "out of memory: no room for an arena of %zu MiB of addresses; the limit of"
        " this process on them (ulimit -v) is too low",
        least_reserved >> 20);
}

/* Growing by a quarter keeps the number of requests logarithmic. */
static void grow(nn_arena *a, size_t need)
{
    size_t ahead = a->backed + a->backed / 4;
    size_t want = round_up(need > ahead ? need : ahead, piece);

    if (want > a->reserved)
        want = a->reserved;
    if (need > want)
        nn_no_memory("out of memory: one arena needs %zu MiB and has %zu MiB of addresses"
                     " (ulimit -v?); a smaller batch or model needs less", need >> 20,
                     a->reserved >> 20);
    if (mprotect(a->base + a->backed, want - a->backed, PROT_READ | PROT_WRITE) != 0)
        nn_no_memory(
            "out of memory: one arena needs %zu MiB, holds %zu MiB, and the system"
            " gives no more; a smaller batch or model needs less",
            need >> 20, a->backed >> 20);
    if (want >= worth_huge_pages)       /* a wish: without them all goes on as before */
        madvise(a->base + a->backed, want - a->backed, MADV_HUGEPAGE);
    a->backed = want;
    a->grown++;
}

void nn_memory_limit(size_t bytes, const char *name, const char *remedy)
{
    cap.bytes = bytes;
    snprintf(cap.name, sizeof cap.name, "%s", name ? name : "");
    snprintf(cap.remedy, sizeof cap.remedy, "%s", remedy ? remedy : "");
}

size_t nn_memory_used(void)
{
    return atomic_load(&held);
}

size_t nn_memory_left(void)
{
    size_t used = nn_memory_used();
    return !cap.bytes ? SIZE_MAX : cap.bytes > used ? cap.bytes - used : 0;
}

static double mib(size_t bytes)
{
    return (double)bytes / (1 << 20);
}

/* A new worst moment, which is rare: in a repeated step it is over after the first. */
static void rise(nn_arena *a, size_t to)
{
    size_t more = to - a->peak, before = atomic_fetch_add(&held, more);

    if (cap.bytes && before + more > cap.bytes)
        nn_no_memory("out of memory: %.1f MiB are held and %.1f MiB more are wanted, but"
                     " %s allows %.1f MiB; %s", mib(before), mib(more), cap.name,
                     mib(cap.bytes), cap.remedy);
    a->peak = to;
}

void *nn_arena_alloc(nn_arena *a, size_t bytes)
{
    size_t from = a->at, to = from + round_up(bytes ? bytes : 1, ALIGN);

    NN_NEED(to > from, "arena: %zu bytes wanted", bytes);
    if (!a->base)
        reserve(a);
    if (to > a->peak)
        rise(a, to);
    if (to > a->backed)
        grow(a, to);
    a->at = to;
    return a->base + from;
}

void *nn_arena_zero(nn_arena *a, size_t bytes)
{
    return memset(nn_arena_alloc(a, bytes), 0, bytes);
}

char *nn_arena_copy(nn_arena *a, const char *text)
{
    size_t bytes = strlen(text) + 1;
    return memcpy(nn_arena_alloc(a, bytes), text, bytes);
}

size_t nn_arena_mark(const nn_arena *a)
{
    return a->at;
}

void nn_arena_rewind(nn_arena *a, size_t mark)
{
    NN_NEED(mark <= a->at, "arena: rewind to %zu, but only %zu bytes are in use", mark,
            a->at);
    a->at = mark;
}

void nn_arena_reset(nn_arena *a)
{
    a->at = 0;
}

void nn_arena_free(nn_arena *a)
{
    if (a->base)
        munmap(a->base, a->reserved);
    atomic_fetch_sub(&held, a->peak);
    *a = (nn_arena){0};
}

/* Best fit: the smallest hole that is large enough, the lowest of equals. */
static int best_hole(const nn_pool *p, size_t bytes)
{
    int best = -1;
    for (int i = 0; i < p->holes; i++)
        if (p->hole[i].bytes >= bytes
            && (best < 0 || p->hole[i].bytes < p->hole[best].bytes))
            best = i;
    return best;
}

static void remove_hole(nn_pool *p, int i)
{
    memmove(p->hole + i, p->hole + i + 1, sizeof *p->hole * (size_t)(p->holes - i - 1));
    p->holes--;
}

void *nn_pool_take(nn_pool *p, size_t bytes)
{
    size_t need = round_up(bytes ? bytes : 1, ALIGN), at;
    int i = best_hole(p, need);

    p->lent += need;
    if (p->lent > p->peak)
        p->peak = p->lent;
    if (i < 0)
        return nn_arena_alloc(p->arena, need);
    at = p->hole[i].at;
    p->hole[i].at += need;
    p->hole[i].bytes -= need;
    if (p->hole[i].bytes == 0)
        remove_hole(p, i);
    return p->arena->base + at;
}

void nn_pool_give(nn_pool *p, void *memory, size_t bytes)
{
    size_t size = round_up(bytes ? bytes : 1, ALIGN);
    size_t at = (size_t)((char *)memory - p->arena->base);
    int i = 0;

    NN_NEED(at + size <= p->arena->at, "pool: %zu bytes at %zu were not lent", size, at);
    p->lent -= size;
    while (i < p->holes && p->hole[i].at < at)
        i++;
    int joins_below = i > 0 && p->hole[i - 1].at + p->hole[i - 1].bytes == at;
    int joins_above = i < p->holes && at + size == p->hole[i].at;
    if (joins_below) {
        p->hole[i - 1].bytes += size;
        if (joins_above) {
            p->hole[i - 1].bytes += p->hole[i].bytes;
            remove_hole(p, i);
        }
    } else if (joins_above) {
        p->hole[i].at = at;
        p->hole[i].bytes += size;
    } else {
        if (p->holes == p->room) {
            int room = p->room ? 2 * p->room : 256;
            nn_hole *more = realloc(p->hole, sizeof *more * (size_t)room);
            if (!more)
                nn_no_memory("out of memory: no room to note %d free buffers", room);
            p->hole = more;
            p->room = room;
        }
        memmove(p->hole + i + 1, p->hole + i, sizeof *p->hole * (size_t)(p->holes - i));
        p->hole[i] = (nn_hole){ at, size };
        p->holes++;
    }
    /* the topmost hole goes back to the arena, so that it can serve a larger request */
    if (p->holes
        && p->hole[p->holes - 1].at + p->hole[p->holes - 1].bytes == p->arena->at)
        nn_arena_rewind(p->arena, p->hole[--p->holes].at);
}

void nn_pool_reset(nn_pool *p)
{
    p->holes = 0;
    p->lent = 0;
}

void nn_pool_free(nn_pool *p)
{
    free(p->hole);
    *p = (nn_pool){0};
}
