/* Every test of the project in one program.
 *
 *   build/check                       all suites; the status is 0 when nothing failed
 *   CK_RUN_SUITE=kern build/check     one suite
 *   CK_FORK=no build/check            all in one process, for a debugger
 *   CK_VERBOSITY=verbose              names every test
 *
 * Run it from the root of the tree, with FULLRANK_BIN naming the program under test;
 * `make check` does. */
#include <stdlib.h>
#include "tests/suites.h"

int main(void)
{
    SRunner *run = srunner_create(NULL);

#define X(name) srunner_add_suite(run, suite_##name());
#include "tests/suites.def"
#undef X

    srunner_run_all(run, CK_ENV);
    int failed = srunner_ntests_failed(run);
    srunner_free(run);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
