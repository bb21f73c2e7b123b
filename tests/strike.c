#include "tests/strike.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_PATH = 4200 };

int strike_able(void)
{
    const char *library = getenv("FULLRANK_FAULTS");
    if (library && access(library, R_OK) == 0)
        return 1;
    printf("skipped: FULLRANK_FAULTS does not name the library of faults\n");
    return 0;
}

program_result strike(const char *const *args, int at, const char *what, int stay)
{
    char number[16], here[MOST_PATH], text[2 * MOST_PATH];
    const char *asan = getenv("ASAN_OPTIONS");

    ck_assert_ptr_nonnull(getcwd(here, sizeof here));
    unlink("calls");
    snprintf(number, sizeof number, "%d", at);
    snprintf(text, sizeof text, "%s/work", here);
    setenv("FULLRANK_FAULT_UNDER", text, 1);
    snprintf(text, sizeof text, "%s/calls", here);
    setenv("FULLRANK_FAULT_LOG", text, 1);
    setenv("FULLRANK_FAULT_AT", number, 1);
    if (what)
        setenv("FULLRANK_FAULT_WHAT", what, 1);
    if (stay)
        setenv("FULLRANK_FAULT_STAY", "1", 1);
    /* The sanitizer's library wants to be the first; ours asks nothing of it. */
    snprintf(text, sizeof text, "%s%sverify_asan_link_order=0", asan ? asan : "",
             asan ? ":" : "");
    char *old = asan ? strdup(asan) : NULL;
    setenv("ASAN_OPTIONS", text, 1);
    setenv("LD_PRELOAD", getenv("FULLRANK_FAULTS"), 1);
    program_result r = program_args(args);
    unsetenv("LD_PRELOAD");
    unsetenv("FULLRANK_FAULT_WHAT");
    unsetenv("FULLRANK_FAULT_STAY");
    if (old)
        setenv("ASAN_OPTIONS", old, 1);
    else
        unsetenv("ASAN_OPTIONS");
    free(old);
    return r;
}

int strike_calls(call list[STRIKE_CALLS])
{
    char line[MOST_PATH + 64], mark[4];
    int n = 0;
    FILE *f = fopen("calls", "r");

    while (f && fgets(line, sizeof line, f)) {
        ck_assert_int_lt(n, STRIKE_CALLS);
        call *c = &list[n];
        int words = sscanf(line, "%d %15s %599s %1s", &c->number, c->kind, c->path, mark);
        ck_assert_msg(words >= 3 && c->number == n + 1, "call %d: %s", n + 1, line);
        c->hit = words == 4;
        n++;
    }
    if (f)
        fclose(f);
    return n;
}

void strike_hit(const call *want, const char *what)
{
    static call list[STRIKE_CALLS];
    int n = strike_calls(list), hits = 0;

    for (int i = 0; i < n; i++) {
        hits += list[i].hit;
        ck_assert_msg(!list[i].hit || (list[i].number == want->number
                                       && strcmp(list[i].kind, want->kind) == 0
                                       && strcmp(list[i].path, want->path) == 0),
                      "%s was to strike %s %s, not %s %s", what, want->kind, want->path,
                      list[i].kind, list[i].path);
    }
    ck_assert_msg(hits == 1, "%s at call %d (%s %s): struck %d times", what, want->number,
                  want->kind, want->path, hits);
}

const char *strike_base(const char *path)
{
    return strrchr(path, '/') + 1;
}
