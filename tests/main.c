/* Every test of the project in one program.
 *
 *   build/check                       all suites, side by side; the status is 0 when
 *                                     nothing failed
 *   CK_RUN_SUITE=kern build/check     one suite
 *   CK_FORK=no build/check            all in one process, for a debugger
 *   CK_VERBOSITY=verbose              names every test
 *   CHECK_JOBS=4                      so many suites at a time, instead of one a core
 *   CHECK_LIMIT=60                    seconds that a suite may take, instead of 600
 *   CHECK_FAST=1                      without the suites of `slow`
 *   FULLRANK_LONG=1                   the long form of some tests
 *
 * Run it from the root of the tree, with FULLRANK_BIN naming the program under test;
 * `make check` does. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/abreast.h"
#include "tests/program.h"
#include "tests/suites.h"

static const abreast_suite every[] = {
#define X(name) { #name, suite_##name, 0 },
#include "tests/suites.def"
#undef X
};
enum { SUITES = sizeof every / sizeof *every, LIMIT = 600 };    /* seconds a suite */

/* These start first, the longest before the others: the last to end is then a short one.
 * What is not here takes a few seconds. */
static const char *const longest[] = {
    "same_bits", "everywhere", "plan", "faults", "plan_codes", "figures", "resume",
    "reproduce", "quant_pilot", "cli", "propositions", "wino", "kern", NULL
};

/* These go by the clock, so nothing runs beside them: the bench races against time, and
 * torture draws its moments from the time that a whole run takes. */
static const char *const clocked[] = { "bench", "torture", NULL };

/* Left out of the fast form, which is what `.ci/run` runs under the sanitizers: by
 * measured time, and only where the same code runs there in another suite.  Whatever
 * reads files, configurations or arguments of users stays in. */
static const struct slow { const char *name, *why; } slow[] = {
    { "everywhere", "runs the program for its bits; cli and figures run it, too" },
    { "same_bits", "145 s to compare bits; models, methods, vqvae take such steps" },
    { "plan", "trains every model beside its plan; plans are made in cli, too" },
    { "plan_codes", "the same for every quantiser; their code runs in quant" },
    { "search", "37 s, half of it to compare tables; quant and codes search" },
    { "autoencoder", "32 s, most of it to compare tables; models and vqvae build it" },
    { "wino", "28 s of large tiles; tape, models and cli convolve by them" },
    { "whiten", "23 s of tables; methods whiten" },
};

static int is_set(const char *variable)
{
    const char *v = getenv(variable);
    return v && *v;
}

static int place(const char *name, const char *const *list)
{
    int i = 0;
    while (list[i] && strcmp(list[i], name) != 0)
        i++;
    return i;
}

static int left_out(const char *name)
{
    if (!is_set("CHECK_FAST"))
        return 0;
    for (size_t i = 0; i < sizeof slow / sizeof *slow; i++)
        if (strcmp(name, slow[i].name) == 0) {
            printf("left out of the fast form: %s: %s\n", name, slow[i].why);
            return 1;
        }
    return 0;
}

/* The longest first, the others as suites.def has them. */
static int in_order(abreast_suite *list)
{
    int n = 0;
    for (int rank = 0; rank <= place("", longest); rank++)
        for (int i = 0; i < SUITES; i++)
            if (place(every[i].name, longest) == rank && !left_out(every[i].name)) {
                list[n] = every[i];
                list[n++].alone = clocked[place(every[i].name, clocked)] != NULL;
            }
    return n;
}

static int number_of(const char *variable, int otherwise)
{
    return is_set(variable) ? atoi(getenv(variable)) : otherwise;
}

static int cores(void)
{
    cpu_set_t mine;
    return sched_getaffinity(0, sizeof mine, &mine) ? 1 : CPU_COUNT(&mine);
}

/* Under a debugger, for one suite, and where Check writes a log of its own. */
static int in_one_process(void)
{
    static const char *const asked[] = { "CK_RUN_SUITE", "CK_LOG_FILE_NAME",
                                         "CK_XML_LOG_FILE_NAME", "CK_TAP_LOG_FILE_NAME" };
    const char *fork = getenv("CK_FORK");
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++)
        if (is_set(asked[i]))
            return 1;
    return fork && strcmp(fork, "no") == 0;
}

int main(void)
{
    abreast_suite list[SUITES];
    int n = in_order(list);

    program_find();
    if (!in_one_process())
        return abreast_run(list, n, number_of("CHECK_JOBS", cores()),
                           PROGRAM_SHARE * number_of("CHECK_LIMIT", LIMIT));
    SRunner *run = srunner_create(NULL);
    for (int i = 0; i < n; i++)
        srunner_add_suite(run, list[i].make());
    srunner_run_all(run, CK_ENV);
    int failed = srunner_ntests_failed(run), ran = srunner_ntests_run(run);
    srunner_free(run);
    if (!ran)
        fputs("failed: no test has run; tests/suites.def has the suites' names\n", stderr);
    return failed || !ran ? EXIT_FAILURE : EXIT_SUCCESS;
}
