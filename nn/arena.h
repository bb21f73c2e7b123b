#ifndef NN_ARENA_H
#define NN_ARENA_H

#include <stddef.h>

/* An arena hands out memory that is freed all at once, never piece by piece.
 *
 * The framework keeps three of them:
 *   forever   parameters, optimiser state, running statistics
 *   step      tape nodes, activations, gradients; reset after every step
 *   scratch   space inside one operator; rewound when the operator returns
 *
 * An arena reserves one range of addresses and asks the system to back more of it with
 * memory only when it grows past its old peak.  Nothing ever moves, a rewind is an
 * assignment, and from the second step on nn_arena_alloc is an addition and a
 * comparison: `grown` stops rising.  tests/test_arena.c holds it to that.
 *
 * Zero bytes are a valid empty arena (nn_arena a = {0};).  Running out of memory goes
 * to nn_no_memory with the number of bytes wanted and held.  An arena belongs to one
 * thread at a time. */
typedef struct nn_arena {
    char *base;
    size_t at, peak;                /* bytes in use now, and at the worst moment */
    size_t backed, reserved;        /* bytes of memory behind the range, and its length */
    size_t grown;                   /* times the system was asked for memory */
} nn_arena;

void  *nn_arena_alloc(nn_arena *a, size_t bytes);      /* 64-byte aligned, not cleared */
void  *nn_arena_zero(nn_arena *a, size_t bytes);       /* the same, cleared */
char  *nn_arena_copy(nn_arena *a, const char *text);   /* a string of one's own */
size_t nn_arena_mark(const nn_arena *a);
void   nn_arena_rewind(nn_arena *a, size_t mark);
void   nn_arena_reset(nn_arena *a);
void   nn_arena_free(nn_arena *a);

#define NN_NEW(arena, type, count) \
    ((type *)nn_arena_alloc((arena), sizeof(type) * (size_t)(count)))
#define NN_NEW0(arena, type, count) \
    ((type *)nn_arena_zero((arena), sizeof(type) * (size_t)(count)))

/* One cap for all arenas of the process together, so that a run ends with a sentence and
 * not by the hand of the system.  What counts is what was handed out at the worst moment
 * of each arena, the sum of `peak`: memory that is ready behind it was never touched.
 * An arena that is freed counts no longer.  Going past the cap is running out of memory;
 * the text then says `name` (where the cap comes from: "memory.limit = 2 GiB (a.yaml:3)")
 * and `remedy` (what the user can do).  Both are copied.  0 bytes: no cap.  Arenas of
 * several threads may grow at the same time; the cap is set while none does. */
void   nn_memory_limit(size_t bytes, const char *name, const char *remedy);
size_t nn_memory_used(void);
size_t nn_memory_left(void);            /* SIZE_MAX without a limit */

/* A pool lends buffers from an arena and takes them back one by one, so that a gradient's
 * memory serves the next gradient as soon as backward has passed it.  Best fit with
 * joining of neighbours; a step that repeats the requests of the step before repeats its
 * addresses too.  Sizes are the caller's to remember: give back what was taken. */
typedef struct nn_hole { size_t at, bytes; } nn_hole;

typedef struct nn_pool {
    nn_arena *arena;
    nn_hole *hole;                  /* free pieces below arena->at, by address */
    int holes, room;
    size_t lent, peak;              /* bytes lent now, and at the worst moment */
} nn_pool;

void *nn_pool_take(nn_pool *p, size_t bytes);
void  nn_pool_give(nn_pool *p, void *memory, size_t bytes);
void  nn_pool_reset(nn_pool *p);                        /* call with the arena's reset */
void  nn_pool_free(nn_pool *p);

#endif
