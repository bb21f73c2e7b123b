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
    tcase_add_test(tc, lent_buffers_never_overlap);
    tcase_add_test(tc, a_given_buffer_serves_the_next_request);
    suite_add_tcase(s, tc);
    return s;
}
