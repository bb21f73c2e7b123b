/* Partners are processes: this program again in the part of one side, or a Python with
 * PyTorch.  Two pipes each; the words are those of bench.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/bench.h"

/* peers/torch_peer.py, put into the program at build time */
extern const char _binary_torch_peer_py_start[], _binary_torch_peer_py_end[];

enum { ARGS = 8 };

/* Reads one line without its end; 0 when the other side is gone. */
static int read_line(int fd, char *out, size_t size)
{
    size_t n = 0;
    char c;

    for (;;) {
        ssize_t got = read(fd, &c, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return 0;
        if (c == '\n')
            break;
        if (n + 1 < size)
            out[n++] = c;
    }
    out[n] = 0;
    return 1;
}

/* What to run for a side: fills arg, returns 0 when there is nothing. */
static int command(const char *name, const char *peer, int threads, const char **arg,
                   char *text, size_t size)
{
    snprintf(text, size, "%d", threads);
    if (strncmp(name, "torch", 5) == 0) {
        static char *script;
        size_t n = (size_t)(_binary_torch_peer_py_end - _binary_torch_peer_py_start);
        const char *python = getenv("PYTHON"), *layout = strchr(name, ' ');
        if (!script) {
            script = calloc(n + 1, 1);
            NN_NEED(script, "bench: out of memory");
            memcpy(script, _binary_torch_peer_py_start, n);
        }
        const char *a[] = { python && *python ? python : "python3", "-c", script, text,
                            layout ? layout + 1 : "contiguous",     NULL };
        memcpy(arg, a, sizeof a);
        return 1;
    }
    const char *a[] = { peer ? peer : "/proc/self/exe",
                        "--serve",
                        strncmp(name, "ours", 4) == 0 || peer ? "ours" : name,
                        "--threads",
                        text,
                        NULL };
    memcpy(arg, a, sizeof a);
    return 1;
}

static void become(const char *const *arg, int bind, int in, int out)
{
    int null = open("/dev/null", O_WRONLY);

    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    if (null >= 0 && !getenv("BENCH_DEBUG"))
        dup2(null, STDERR_FILENO);
    if (bind)
        setenv("OMP_PROC_BIND", "true", 0);
    /* how long waiting threads spin was set for our own sake: others get their default */
    if (strcmp(arg[1], "--serve") != 0 || strcmp(arg[2], "ours") != 0)
        unsetenv("GOMP_SPINCOUNT");
    execvp(arg[0], (char *const *)(void *)arg);
    _exit(127);
}

void bench_partner_start(bench_partner *p, const char *name, const char *peer,
                         int threads, int bind)
{
    const char *arg[ARGS];
    char text[16], line[512];
    int to[2], from[2];

    *p = (bench_partner){ .name = name };
    if (strcmp(name, "ours, 1 thread") == 0)
        threads = 1;
    const double start = bench_now();
    command(name, strcmp(name, "peer") == 0 ? peer : NULL, threads, arg, text,
            sizeof text);
    NN_NEED(pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0,
            "bench: no pipe: %s", strerror(errno));
    p->pid = fork();
    NN_NEED(p->pid >= 0, "bench: no process: %s", strerror(errno));
    if (p->pid == 0)
        become(arg, bind, to[0], from[1]);
    close(to[0]);
    close(from[1]);
    p->to = to[1];
    p->from = from[0];
    if (!read_line(p->from, line, sizeof line))
        snprintf(line, sizeof line, "- did not start%s",
                 strncmp(name, "torch", 5) == 0
                     ? " (PYTHON names a Python with torch: pip install torch)"
                     : "");
    p->started = 1e3 * (bench_now() - start);
    snprintf(p->version, sizeof p->version, "%.250s",
             strncmp(line, "ready ", 6) == 0 ? line + 6
                                             : line + (line[0] == '-' ? 2 : 0));
    if (strncmp(line, "ready", 5) != 0)
        bench_partner_stop(p);
}

int bench_partner_ask(bench_partner *p, double seconds, const char *request,
                      bench_reply *r)
{
    char line[512];

    *r = (bench_reply){ 0 };
    if (!p->pid)
        return 0;
    int n = snprintf(line, sizeof line, "%g %s\n", seconds, request);
    if (write(p->to, line, (size_t)n) != n || !read_line(p->from, line, sizeof line)) {
        snprintf(r->why, sizeof r->why, "ended while it did '%.80s'", request);
        snprintf(p->version, sizeof p->version, "%s", r->why);
        bench_partner_stop(p);
        return 0;
    }
    if (sscanf(line, "%lf %lf", &r->ms, &r->value) == 2)
        return 1;
    snprintf(r->why, sizeof r->why, "%.150s", line[0] == '-' ? line + 2 : line);
    return 0;
}

void bench_partner_stop(bench_partner *p)
{
    if (!p->pid)
        return;
    close(p->to);
    close(p->from);
    while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    p->pid = 0;
}
