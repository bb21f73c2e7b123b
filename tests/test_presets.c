/* The configurations under experiments/: every one is accepted by the program as it stands,
 * or for nothing but a part that fullrank does not have yet.  Then they say so, and
 * every other key is accepted.  Networks and data of that size are nothing for a test;
 * what the methods compute is tested elsewhere. */
#include <check.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nn/base.h"
#include "tests/program.h"
#include "tests/suites.h"

/* What configurations may name before it is there, how its absence is told, and what
 * takes its place meanwhile.  shapes and resnet18 have every key that these files give. */
typedef struct missing { const char *says, *instead; } missing;

static const missing parts[] = {
    { "no data set 'imagenet'", "data.name=shapes" },
    { "no model 'resnet50'", "model.name=resnet18" },
};

/* Complaints about files are collected, so that one run tells all of them. */
static char complaints[16384];

static void complain(const char *file, const char *what)
{
    size_t used = strlen(complaints);
    snprintf(complaints + used, sizeof complaints - used, "\n%s%s", file, what);
}

static glob_t configurations(void)
{
    glob_t found = {0};
    char pattern[4300];

    complaints[0] = 0;
    snprintf(pattern, sizeof pattern, "%s/experiments", program_root());
    if (access(pattern, R_OK) != 0) {
        printf("skipped: no experiments/ in the folder the tests were started in\n");
        return found;
    }
    strcat(pattern, "/*/*.yaml");
    ck_assert_int_eq(glob(pattern, 0, NULL, &found), 0);
    return found;
}

static void settle(glob_t *found)
{
    globfree(found);
    ck_assert_msg(complaints[0] == 0, "%s", complaints);
}

/* How many parts of the file are missing; -1: it has a mistake, told in *says.  Ten images
 * are fewer than a batch, which stops the program once it has understood everything else.
 * Exit 5: the data set is known, its files are not on this machine. */
static int parts_missing(const char *file, const char **says)
{
    enum { FIXED = 4 };
    const char *args[FIXED + NN_COUNT(parts) + 2] = { "train", file, "data.size=10",
                                                      "data.limit=10" };
    int n = FIXED, absent = 0, known = 1;

    while (known && absent <= (int)NN_COUNT(parts)) {
        args[n] = NULL;
        program_result r = program_args(args);
        *says = r.err;
        if (r.exit == 2 && strstr(r.err, "has 10 training images here"))
            return absent;
        known = 0;
        if (r.exit == 5 && n == FIXED) {
            args[n++] = "data.name=shapes";
            known = 1;
        }
        for (size_t i = 0; i < NN_COUNT(parts) && !known; i++)
            if (strstr(r.err, parts[i].says) && absent < (int)NN_COUNT(parts)) {
                args[n++] = parts[i].instead;
                absent++;
                known = 1;
            }
    }
    return -1;
}

START_TEST(every_configuration_is_accepted_or_waits_for_a_known_part)
{
    glob_t found = configurations();
    const char *says;

    for (size_t i = 0; i < found.gl_pathc; i++)
        if (parts_missing(found.gl_pathv[i], &says) < 0)
            complain("", says);
    settle(&found);
}
END_TEST

/* ResNet-18 on all of CIFAR-10 could be run here, but takes days. */
static int takes_a_cluster(const char *file)
{
    const char *says;
    return strstr(program_read(file), "{name: cifar10}")
           || parts_missing(file, &says) > 0;
}

START_TEST(what_cannot_be_run_here_says_that_it_was_not)
{
    glob_t found = configurations();

    for (size_t i = 0; i < found.gl_pathc; i++)
        if (takes_a_cluster(found.gl_pathv[i])
            && !strstr(program_read(found.gl_pathv[i]), "have not run it"))
            complain(found.gl_pathv[i], ": its comment does not say 'have not run it'");
    settle(&found);
}
END_TEST

START_TEST(every_configuration_opens_with_a_comment)
{
    glob_t found = configurations();

    for (size_t i = 0; i < found.gl_pathc; i++)
        if (program_read(found.gl_pathv[i])[0] != '#')
            complain(found.gl_pathv[i], ": it does not open with what it is");
    settle(&found);
}
END_TEST

/* With quotes, so that fmnist.yaml is not found in imagenet-fmnist.yaml. */
START_TEST(the_readme_of_a_folder_names_every_configuration)
{
    glob_t found = configurations();

    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char *path = found.gl_pathv[i], *name = strrchr(path, '/') + 1;
        char readme[4300], quoted[256];
        snprintf(readme, sizeof readme, "%.*sREADME.md", (int)(name - path), path);
        snprintf(quoted, sizeof quoted, "`%s`", name);
        const char *text = program_read(readme);
        if (!text || !strstr(text, quoted))
            complain(path, ": README.md beside it does not name it");
    }
    settle(&found);
}
END_TEST

Suite *suite_presets(void)
{
    Suite *s = suite_create("presets");
    TCase *tc = tcase_create("presets");
    program_find();
    tcase_add_checked_fixture(tc, program_enter, program_leave);
    tcase_add_test(tc, every_configuration_is_accepted_or_waits_for_a_known_part);
    tcase_add_test(tc, what_cannot_be_run_here_says_that_it_was_not);
    tcase_add_test(tc, every_configuration_opens_with_a_comment);
    tcase_add_test(tc, the_readme_of_a_folder_names_every_configuration);
    suite_add_tcase(s, tc);
    return s;
}
