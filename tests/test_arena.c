#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "nn/arena.h"
#include "nn/base.h"
#include "nn/rng.h"
#include "tests/suites.h"

START_TEST(memory_is_aligned_and_apart)
{
    nn_arena a = {0};
    char *p = nn_arena_alloc(&a, 1), *q = nn_arena_alloc(&a, 100);
    ck_assert_uint_eq((uintptr_t)p % 64, 0);
    ck_assert_uint_eq((uintptr_t)q % 64, 0);
    ck_assert(q >= p + 64);
    nn_arena_free(&a);
}
END_TEST

START_TEST(a_repeated_step_asks_the_system_once)
{
    nn_arena a = {0};
    size_t grown = 0;
    for (int step = 0; step < 5; step++) {
        for (int i = 0; i < 100; i++)
            memset(nn_arena_alloc(&a, 300000), i, 300000);
        nn_arena_reset(&a);
        if (step == 0)
            grown = a.grown;
        ck_assert_uint_eq(a.grown, grown);
    }
    ck_assert_uint_gt(grown, 0);
    ck_assert_uint_lt(grown, 40);       /* logarithmic, not one request an allocation */
    nn_arena_free(&a);
}
END_TEST

START_TEST(a_rewind_hands_out_the_same_memory_again)
{
    nn_arena a = {0};
    nn_arena_alloc(&a, 10);
    size_t mark = nn_arena_mark(&a);
    void *p = nn_arena_alloc(&a, 1000);
    nn_arena_rewind(&a, mark);
    ck_assert_ptr_eq(nn_arena_alloc(&a, 1000), p);
    nn_arena_free(&a);
}
END_TEST

START_TEST(nothing_moves_when_the_arena_grows)
{
    nn_arena a = {0};
    int *first = nn_arena_alloc(&a, sizeof *first);
    *first = 42;
    nn_arena_alloc(&a, (size_t)100 << 20);
    ck_assert_int_eq(*first, 42);
    nn_arena_free(&a);
}
END_TEST

/* Where addresses are rationed, every arena still gets a share that can be used. */
START_TEST(four_arenas_share_rationed_addresses)
{
    struct rlimit rationed = { (rlim_t)3 << 30, (rlim_t)3 << 30 };
    nn_arena a[4] = {{0}};

#if defined(__SANITIZE_ADDRESS__)
    printf("skipped: the address sanitizer needs more addresses than the test allows\n");
    return;
#endif
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &rationed), 0);
    for (int i = 0; i < 4; i++)
        memset(nn_arena_alloc(&a[i], (size_t)64 << 20), i, (size_t)64 << 20);
    for (int i = 0; i < 4; i++)
        nn_arena_free(&a[i]);
}
END_TEST

static void leave(const char *text)
{
    _exit(strstr(text, "out of memory: one arena needs") ? 17 : 18);
}

START_TEST(running_out_of_memory_is_told_to_the_program)
{
    struct rlimit rationed = { (rlim_t)3 << 30, (rlim_t)3 << 30 };
    nn_arena a = {0};

#if defined(__SANITIZE_ADDRESS__)
    printf("skipped: the address sanitizer needs more addresses than the test allows\n");
    _exit(17);
#endif
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &rationed), 0);
    nn_on_no_memory(leave);
    nn_arena_alloc(&a, (size_t)4 << 30);
}
END_TEST

/* ---- one cap for all arenas -------------------------------------------------------- */

START_TEST(the_cap_counts_what_every_arena_handed_out)
{
    nn_arena a = {0}, b = {0};
    size_t before = nn_memory_used();

    nn_arena_alloc(&a, 1000);                   /* 1024 in lines of 64 bytes */
    nn_arena_alloc(&b, (size_t)5 << 20);
    ck_assert_uint_eq(nn_memory_used() - before, 1024 + ((size_t)5 << 20));
    nn_arena_reset(&b);
    nn_arena_alloc(&b, (size_t)4 << 20);        /* below the old peak: nothing new */
    ck_assert_uint_eq(nn_memory_used() - before, 1024 + ((size_t)5 << 20));
    ck_assert_uint_eq(nn_memory_used() - before, a.peak + b.peak);
    nn_arena_free(&b);
    ck_assert_uint_eq(nn_memory_used() - before, 1024);
    nn_arena_free(&a);
    ck_assert_uint_eq(nn_memory_used(), before);
}
END_TEST

static void show_and_leave(const char *text)
{
    const char *says = "out of memory: 3.0 MiB are held and 2.0 MiB more are wanted, but"
                       " memory.limit = 0.004 GiB (a.yaml:3) allows 4.0 MiB; buy more";
    if (strcmp(text, says) != 0)
        fprintf(stderr, "%s\n", text);
    _exit(strcmp(text, says) == 0 ? 17 : 18);
}

START_TEST(growing_past_the_cap_says_what_who_and_what_now)
{
    nn_arena a = {0}, b = {0};

    nn_on_no_memory(show_and_leave);
    nn_memory_limit((size_t)4 << 20, "memory.limit = 0.004 GiB (a.yaml:3)", "buy more");
    nn_arena_alloc(&a, (size_t)2 << 20);
    nn_arena_alloc(&b, (size_t)1 << 20);
    nn_arena_alloc(&a, (size_t)2 << 20);        /* each alone would fit */
}
END_TEST

static int filled;                      /* 1: everything that fits was handed out */

static void leave_when_filled(const char *text)
{
    (void)text;
    _exit(filled ? 19 : 20);
}

/* To the byte: what fits fits, also what was freed, and one line of 64 bytes more does
 * not. */
START_TEST(the_cap_is_exact)
{
    nn_arena a = {0};

    nn_on_no_memory(leave_when_filled);
    nn_memory_limit(nn_memory_used() + ((size_t)3 << 20) + 128, "the cap", "");
    for (int i = 0; i < 3; i++)
        nn_arena_alloc(&a, (size_t)1 << 20);
    nn_arena_alloc(&a, 128);
    nn_arena_reset(&a);
    nn_arena_alloc(&a, ((size_t)3 << 20) + 128);
    nn_arena_free(&a);
    nn_arena_alloc(&a, ((size_t)3 << 20) + 128);
    filled = 1;
    nn_arena_alloc(&a, 1);
}
END_TEST

START_TEST(a_cap_of_zero_is_no_cap)
{
    nn_arena a = {0};

    nn_memory_limit(1, "a cap", "");
    nn_memory_limit(0, NULL, NULL);
    nn_arena_alloc(&a, (size_t)64 << 20);
    nn_arena_free(&a);
}
END_TEST

/* Random taking and giving: no two lent buffers overlap, and all of it can come back. */
START_TEST(lent_buffers_never_overlap)
{
    enum { SLOTS = 40, MOVES = 4000 };
    nn_arena a = {0};
    nn_pool pool = { .arena = &a };
    unsigned char *at[SLOTS] = {0};
    size_t size[SLOTS] = {0};
    nn_rng r = nn_rng_at(1, NN_RNG_TEST, 0, 0);

    for (int m = 0; m < MOVES; m++) {
        int i = (int)nn_rng_below(&r, SLOTS);
        if (at[i]) {
            size_t kept = 0;
            while (kept < size[i] && at[i][kept] == i)
                kept++;
            ck_assert_msg(kept == size[i], "buffer %d was overwritten at %zu", i, kept);
            nn_pool_give(&pool, at[i], size[i]);
            at[i] = NULL;
        } else {
            size[i] = 1 + nn_rng_below(&r, 5000);
            at[i] = nn_pool_take(&pool, size[i]);
            memset(at[i], i, size[i]);
        }
    }
    for (int i = 0; i < SLOTS; i++)
        if (at[i])
            nn_pool_give(&pool, at[i], size[i]);
    ck_assert_uint_eq(pool.lent, 0);
    ck_assert_int_eq(pool.holes, 0);
    ck_assert_uint_eq(nn_arena_mark(&a), 0);
    nn_pool_free(&pool);
    nn_arena_free(&a);
}
END_TEST

START_TEST(a_given_buffer_serves_the_next_request)
{
    nn_arena a = {0};
    nn_pool pool = { .arena = &a };
    void *big = nn_pool_take(&pool, 4096), *wall = nn_pool_take(&pool, 64);
    nn_pool_give(&pool, big, 4096);
    ck_assert_ptr_eq(nn_pool_take(&pool, 4000), big);
    ck_assert_ptr_ne(wall, big);
    nn_pool_free(&pool);
    nn_arena_free(&a);
}
END_TEST

/* Whether the range that holds p was given the mark for huge pages ("hg"). */
static int wants_huge_pages(const void *p)
{
    char line[1024];
    unsigned long from, to;
    int here = 0, found = 0;
    FILE *f = fopen("/proc/self/smaps", "r");

    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            here = from <= (uintptr_t)p && (uintptr_t)p < to;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, " hg") != NULL;
    }
    fclose(f);
    return found;
}

START_TEST(a_large_arena_asks_for_huge_pages_and_a_small_one_does_not)
{
    nn_arena small = {0}, large = {0};
    char *p = nn_arena_alloc(&small, 4096), *q = nn_arena_alloc(&large, (size_t)64 << 20);

    ck_assert_uint_eq((uintptr_t)p % (2 << 20), 0);     /* a huge page fits from there */
    ck_assert_uint_eq((uintptr_t)q % (2 << 20), 0);
    ck_assert(!wants_huge_pages(p));
    if (access("/sys/kernel/mm/transparent_hugepage/enabled", R_OK) == 0)
        ck_assert(wants_huge_pages(q));
    else
        printf("arena: the large one is not looked at: no huge pages in this kernel\n");
    nn_arena_free(&small);
    nn_arena_free(&large);
}
END_TEST

Suite *suite_arena(void)
{
    Suite *s = suite_create("arena");
    TCase *tc = tcase_create("arena");
    tcase_add_test(tc, memory_is_aligned_and_apart);
    tcase_add_test(tc, a_repeated_step_asks_the_system_once);
    tcase_add_test(tc, a_rewind_hands_out_the_same_memory_again);
    tcase_add_test(tc, nothing_moves_when_the_arena_grows);
    tcase_add_test(tc, four_arenas_share_rationed_addresses);
    tcase_add_exit_test(tc, running_out_of_memory_is_told_to_the_program, 17);
    tcase_add_test(tc, the_cap_counts_what_every_arena_handed_out);
    tcase_add_exit_test(tc, growing_past_the_cap_says_what_who_and_what_now, 17);
    tcase_add_exit_test(tc, the_cap_is_exact, 19);
    tcase_add_test(tc, a_cap_of_zero_is_no_cap);
    tcase_add_test(tc, lent_buffers_never_overlap);
    tcase_add_test(tc, a_given_buffer_serves_the_next_request);
    tcase_add_test(tc, a_large_arena_asks_for_huge_pages_and_a_small_one_does_not);
    suite_add_tcase(s, tc);
    return s;
}
