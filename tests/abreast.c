#include "tests/abreast.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct sums { int told, checks, failures, errors; } sums;

typedef struct running {
    const abreast_suite *suite;
    pid_t pid;                          /* 0: not started, or ended */
    FILE *said;
    double until;
    int late, done;
    sums *sums;                         /* written by the suite's process */
} running;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

/* --- the process of one suite --- */

static void count(SRunner *run, sums *s)
{
    int n = srunner_ntests_failed(run);
    TestResult **bad = srunner_failures(run);
    for (int i = 0; i < n; i++)
        *(tr_rtype(bad[i]) == CK_FAILURE ? &s->failures : &s->errors) += 1;
    free(bad);
    s->checks = srunner_ntests_run(run);
    s->told = 1;
}

static void be(const running *r, const sigset_t *mask)
{
    setpgid(0, 0);                      /* Check signals the whole group it is in */
    sigprocmask(SIG_SETMASK, mask, NULL);
    dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
    dup2(fileno(r->said), STDOUT_FILENO);
    dup2(fileno(r->said), STDERR_FILENO);

    SRunner *run = srunner_create(r->suite->make());
    srunner_run_all(run, CK_ENV);
    count(run, r->sums);
    srunner_free(run);
    exit(EXIT_SUCCESS);
}

static void start(running *r, const sigset_t *mask, int limit)
{
    fflush(NULL);
    r->said = tmpfile();
    if (!r->said)
        die("a file for a suite's output");
    r->pid = fork();
    if (r->pid < 0)
        die("fork");
    if (r->pid == 0)
        be(r, mask);
    setpgid(r->pid, r->pid);
    r->until = now() + limit;
}

/* --- ends --- */

static int is_suite(const running *all, int n, pid_t pid)
{
    for (int i = 0; i < n; i++)
        if (all[i].pid == pid)
            return 1;
    return 0;
}

/* What a killed suite leaves behind comes to this process, which is its subreaper: tests
 * first, then the programs they had started. */
static void kill_orphans(const running *all, int n)
{
    char path[64];
    int pid, found = 1;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    while (found) {
        FILE *f = fopen(path, "r");
        found = 0;
        while (f && fscanf(f, "%d", &pid) == 1)
            if (!is_suite(all, n, pid)) {
                kill(pid, SIGKILL);
                waitpid(pid, NULL, 0);
                found = 1;
            }
        if (f)
            fclose(f);
    }
}

/* Check's own head and sum of one suite: there is one sum, at the end. */
static int is_frame(const char *line)
{
    const char *p = line;
    while (isdigit((unsigned char)*p))
        p++;
    return strncmp(line, "Running suite(s):", 17) == 0
           || (p > line && strncmp(p, "%: Checks: ", 11) == 0);
}

static void print_said(FILE *said)
{
    char *line = NULL;
    size_t room = 0;
    rewind(said);
    while (getline(&line, &room, said) > 0)
        if (!is_frame(line))
            fputs(line, stdout);
    free(line);
    fclose(said);
}

/* What they have said so far is all that tells where they were. */
static void kill_all(running *all, int n)
{
    for (int i = 0; i < n; i++)
        if (all[i].pid) {
            kill(all[i].pid, SIGKILL);
            waitpid(all[i].pid, NULL, 0);
            all[i].pid = 0;
            print_said(all[i].said);
            printf("  %-14s ended before it was through\n", all[i].suite->name);
        }
    kill_orphans(all, n);
}

static void finish(running *r, int status, const struct rusage *use)
{
    const char *name = r->suite->name;
    const sums *s = r->sums;
    r->pid = 0;
    r->done = 1;
    print_said(r->said);
    if (!s->told || status) {
        s = NULL;
        r->sums->told = 0;
        r->sums->checks++;
        r->sums->errors++;
    }
    double spent = (double)(use->ru_utime.tv_sec + use->ru_stime.tv_sec)
                   + 1e-6 * (double)(use->ru_utime.tv_usec + use->ru_stime.tv_usec);
    if (s)
        printf("  %-14s %4d checks %6.1f s%s\n", name, s->checks, spent,
               s->failures + s->errors ? "  FAILED" : "");
    else if (r->late)
        printf("  %-14s HANGS: killed after its limit\n", name);
    else if (WIFSIGNALED(status))
        printf("  %-14s DIED: %s\n", name, strsignal(WTERMSIG(status)));
    else
        printf("  %-14s DIED: its process ended with status %d\n", name,
               WEXITSTATUS(status));
    fflush(stdout);
}

static void reap(running *all, int n)
{
    struct rusage use;
    pid_t pid;
    int status;
    while ((pid = wait4(-1, &status, WNOHANG, &use)) > 0)
        for (int i = 0; i < n; i++)
            if (all[i].pid == pid) {
                finish(&all[i], status, &use);
                if (status)
                    kill_orphans(all, n);
            }
}

static void kill_late(running *all, int n)
{
    for (int i = 0; i < n; i++)
        if (all[i].pid && !all[i].late && now() > all[i].until) {
            all[i].late = 1;
            kill(all[i].pid, SIGKILL);
        }
}

/* The next one that may start now, or NULL. */
static running *next(running *all, int n, int jobs)
{
    int going = 0, left = 0;
    for (int i = 0; i < n; i++) {
        going += all[i].pid != 0;
        left += !all[i].suite->alone && !all[i].done;
    }
    if (going >= (left ? jobs : 1))
        return NULL;
    for (int i = 0; i < n; i++)
        if (!all[i].pid && !all[i].done && (!all[i].suite->alone || !left))
            return &all[i];
    return NULL;
}

static int sum_up(const running *all, int n)
{
    int checks = 0, failures = 0, errors = 0;
    for (int i = 0; i < n; i++) {
        const sums *s = all[i].sums;
        checks += s->checks;
        failures += s->failures;
        errors += s->errors;
        if (!s->told || s->failures || s->errors)
            printf("failed: suite %s (again: make check CK_RUN_SUITE=%s)\n",
                   all[i].suite->name, all[i].suite->name);
    }
    int bad = failures + errors;
    printf("%d%%: Checks: %d, Failures: %d, Errors: %d\n",
           bad == 0 ? 100 : (int)((float)(checks - bad) / (float)checks * 100), checks,
           failures, errors);
    return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}

int abreast_run(const abreast_suite *list, int n, int jobs, int limit_seconds)
{
    static const int ends[] = { SIGINT, SIGTERM, SIGHUP };
    const struct timespec second = { .tv_sec = 1 };
    sigset_t awaited, before;
    running *all = calloc((size_t)n, sizeof *all), *r;
    sums *shared = mmap(NULL, sizeof *shared * (size_t)n, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int left = n;

    if (!all || shared == MAP_FAILED)
        die("memory for the suites");
    for (int i = 0; i < n; i++)
        all[i] = (running){ .suite = &list[i], .sums = &shared[i] };
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigemptyset(&awaited);
    sigaddset(&awaited, SIGCHLD);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        sigaddset(&awaited, ends[i]);
    sigprocmask(SIG_BLOCK, &awaited, &before);

    while (left) {
        while ((r = next(all, n, jobs)))
            start(r, &before, limit_seconds);
        int got = sigtimedwait(&awaited, NULL, &second);
        if (got > 0 && got != SIGCHLD) {
            kill_all(all, n);
            printf("ended by: %s\n", strsignal(got));
            exit(128 + got);
        }
        kill_late(all, n);
        reap(all, n);
        left = 0;
        for (int i = 0; i < n; i++)
            left += !all[i].done;
    }
    kill_orphans(all, n);               /* that tests have left behind */
    int status = sum_up(all, n);
    munmap(shared, sizeof *shared * (size_t)n);
    free(all);
    return status;
}
