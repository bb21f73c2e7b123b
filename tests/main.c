/* Every test of the project in one program.
 *
 *   build/check                       all suites; the status is 0 when nothing failed
 *   CK_RUN_SUITE=kern build/check     one suite
 *   CK_FORK=no build/check            all in one process, for a debugger
 *   CK_VERBOSITY=verbose              names every test
 *
 * Run it from the root of the tree, with FULLRANK_BIN naming the program under test;
 * `make check` does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/program.h"
#include "tests/suites.h"

/* Under the sanitizers a run of the program takes ten times as long.  `everywhere` runs
 * the same code a hundred times to compare results, which same_bits and cli run there
 * once. */
static int left_out(const char *suite)
{
    if (PROGRAM_SHARE == 1 || strcmp(suite, "everywhere") != 0)
        return 0;
    printf("skipped under the sanitizers: suite %s\n", suite);
    return 1;
}

int main(void)
{
    SRunner *run = srunner_create(NULL);

#define X(name)                                                                          \
    if (!left_out(#name))                                                                \
        srunner_add_suite(run, suite_##name());
#include "tests/suites.def"
#undef X

    srunner_run_all(run, CK_ENV);
    int failed = srunner_ntests_failed(run);
    srunner_free(run);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
