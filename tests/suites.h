#ifndef TESTS_SUITES_H
#define TESTS_SUITES_H

#include <check.h>

/* One suite per module: tests/test_<name>.c defines suite_<name>(), suites.def lists it.
 *
 * Check forks for every test.  A forked child of a process that already used GNU OpenMP
 * hangs at its first parallel region, so nothing outside a test may start one: not main,
 * not a function that builds a suite, not an unchecked fixture. */
#define X(name) Suite *suite_##name(void);
#include "tests/suites.def"
#undef X

#endif
