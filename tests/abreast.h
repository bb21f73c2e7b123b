#ifndef TESTS_ABREAST_H
#define TESTS_ABREAST_H

#include <check.h>

/* Suites side by side, each in a process of its own; what a suite prints is kept and
 * printed in one piece when it has ended.  A suite that is killed by a signal, that ends
 * before it has told its sums, or that takes longer than its limit is one error.  Ctrl-C
 * and SIGTERM end every suite, with every test and every program below it. */
typedef struct abreast_suite {
    const char *name;
    Suite *(*make)(void);
    int alone;                          /* runs at the end, with nothing beside it */
} abreast_suite;

/* Starts them in the order given, `jobs` at a time; prints one line in Check's form at
 * the end.  Returns the exit status: 0 when nothing failed. */
int abreast_run(const abreast_suite *list, int n, int jobs, int limit_seconds);

#endif
