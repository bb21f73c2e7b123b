#include "tests/program.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_ARGS = 64, MOST_PATH = 4096 };

long program_most_bytes;

/* What program_leave frees; a test keeps a few hundred things at most. */
enum { MOST_KEPT = 4096 };
static void *kept[MOST_KEPT];
static json_t *kept_json[MOST_KEPT];
static int keeping, keeping_json;

static char binary[MOST_PATH], root[MOST_PATH], folder[MOST_PATH];

void program_find(void)
{
    const char *named = getenv("FULLRANK_BIN");

    if (!getcwd(root, sizeof root))
        root[0] = 0;
    if (!realpath(named ? named : "fullrank", binary))
        binary[0] = 0;
}

void *program_keep(void *memory)
{
    ck_assert_msg(memory && keeping < MOST_KEPT, "no room for a text");
    return kept[keeping++] = memory;
}

static json_t *keep_json(json_t *o)
{
    ck_assert_int_lt(keeping_json, MOST_KEPT);
    return kept_json[keeping_json++] = o;
}

const char *program_root(void)
{
    return root;
}

/* Tests share their cores with other tests.  A thread that waits by spinning then takes
 * the time of the one it waits for, and everything is ten times slower. */
static void become(const char *const *args)
{
    struct rlimit most = { .rlim_cur = (rlim_t)program_most_bytes,
                           .rlim_max = (rlim_t)program_most_bytes };
    setenv("OMP_WAIT_POLICY", "passive", 0);
    if (program_most_bytes)
        setrlimit(RLIMIT_FSIZE, &most);
    execv(binary, (char *const *)args);
    fprintf(stderr, "cannot run the program '%s': %s (set FULLRANK_BIN, or type make)\n",
            binary, strerror(errno));
    _exit(127);
}

static void catch_output(const char *out, const char *err)
{
    const char *device = getenv("TEST_STDOUT");
    dup2(open(device ? device : out, O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
    dup2(open(err, O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
}

static int ended(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

program_result program_args(const char *const *more)
{
    const char *args[MOST_ARGS] = { binary };
    int n = 0, status;
    while (more[n] && n < MOST_ARGS - 2) {
        args[n + 1] = more[n];
        n++;
    }
    ck_assert_msg(!more[n], "more than %d arguments", MOST_ARGS - 2);

    fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        catch_output(".out", ".err");
        become(args);
    }
    while (waitpid(pid, &status, 0) < 0)
        ck_assert_int_eq(errno, EINTR);
    program_result r = { ended(status), program_read(".out"), program_read(".err") };
    ck_assert_msg(r.exit != 127, "%s", r.err);
    return r;
}

program_result program(const char *first, ...)
{
    const char *args[MOST_ARGS] = { first };
    int n = 1;
    va_list ap;
    va_start(ap, first);
    while (args[n - 1] && n < MOST_ARGS - 1)
        args[n++] = va_arg(ap, const char *);
    va_end(ap);
    ck_assert_msg(!args[n - 1], "more than %d arguments", MOST_ARGS);
    return program_args(args);
}

/* Returns when the program itself runs: before that, the child still has Check's answers
 * to signals, which end the test. */
pid_t program_start(const char *const *args)
{
    const char *all[MOST_ARGS] = { binary };
    int born[2];
    char none;

    for (int i = 0; args[i] && i < MOST_ARGS - 2; i++)
        all[i + 1] = args[i];
    ck_assert_int_eq(pipe2(born, O_CLOEXEC), 0);
    fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        catch_output(".out.behind", ".err.behind");
        become(all);
    }
    close(born[1]);
    while (read(born[0], &none, 1) < 0)         /* exec closes the other end */
        ck_assert_int_eq(errno, EINTR);
    close(born[0]);
    return pid;
}

int program_wait(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        ck_assert_int_eq(errno, EINTR);
    return ended(status);
}

void program_enter(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.4000s/fullrank-test-XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_msg(mkdtemp(folder) && chdir(folder) == 0, "%s: %s", folder,
                  strerror(errno));
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

void program_remove(const char *where)
{
    nftw(where, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void program_leave(void)
{
    if (chdir("/") == 0)
        program_remove(folder);
    program_forget();
}

void program_forget(void)
{
    while (keeping > 0)
        free(kept[--keeping]);
    while (keeping_json > 0)
        json_decref(kept_json[--keeping_json]);
}

char *program_bytes(const char *file, size_t *bytes)
{
    struct stat st;                             /* a pipe would never be opened */
    FILE *f = stat(file, &st) == 0 && S_ISREG(st.st_mode) ? fopen(file, "rb") : NULL;
    size_t room = 1 << 12, n = 0, got;

    if (!f)
        return NULL;
    char *text = malloc(room);
    while (text && (got = fread(text + n, 1, room - n - 1, f)) > 0) {
        n += got;
        if (room - n < 2)
            text = realloc(text, room *= 2);
    }
    fclose(f);
    if (text)
        text[n] = 0;
    *bytes = n;
    return program_keep(text);
}

char *program_read(const char *file)
{
    size_t n;
    return program_bytes(file, &n);
}

void program_put(const char *file, const void *bytes, size_t n)
{
    FILE *f = fopen(file, "wb");
    ck_assert_msg(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0, "%s: %s", file,
                  strerror(errno));
}

void program_write(const char *file, const char *text)
{
    program_put(file, text, strlen(text));
}

/* Where program_copy stands: nftw hands nothing through. */
static const char *copy_to;
static size_t copy_cut;

static int copy_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    char to[2 * MOST_PATH], link[MOST_PATH];
    (void)at;
    snprintf(to, sizeof to, "%s%s", copy_to, path + copy_cut);
    if (kind == FTW_D)
        return mkdir(to, 0777);
    if (kind == FTW_SL || kind == FTW_SLN) {
        ssize_t n = readlink(path, link, sizeof link - 1);
        link[n > 0 ? n : 0] = 0;
        return symlink(link, to);
    }
    int from = open(path, O_RDONLY), file = open(to, O_WRONLY | O_CREAT | O_EXCL, 0666);
    int bad = from < 0 || file < 0
              || (st->st_size && sendfile(file, from, NULL, (size_t)st->st_size)
                                     != st->st_size);
    close(from);
    close(file);
    return bad;
}

void program_copy(const char *from, const char *to)
{
    copy_to = to;
    copy_cut = strlen(from);
    ck_assert_msg(nftw(from, copy_one, 16, FTW_PHYS) == 0, "%s cannot be copied to %s: %s",
                  from, to, strerror(errno));
}

const char *program_run_folder(const char *under)
{
    static char path[MOST_PATH];
    char pattern[MOST_PATH];
    glob_t found;

    snprintf(pattern, sizeof pattern, "%s/*/*/s*", under);
    int bad = glob(pattern, 0, NULL, &found);
    ck_assert_msg(!bad && found.gl_pathc == 1, "%s: %zu run folders", pattern,
                  bad ? 0 : found.gl_pathc);
    snprintf(path, sizeof path, "%s", found.gl_pathv[0]);
    globfree(&found);
    return path;
}

json_t *program_json(const char *where, const char *file)
{
    char path[MOST_PATH];
    json_error_t e;

    snprintf(path, sizeof path, "%s/%s", where, file);
    json_t *o = keep_json(json_load_file(path, JSON_REJECT_DUPLICATES, &e));
    ck_assert_msg(json_is_object(o), "%s:%d: %s", path, e.line, e.text);
    return o;
}

json_t *program_parse(const char *text)
{
    json_error_t e;
    json_t *o = keep_json(json_loads(text, JSON_REJECT_DUPLICATES, &e));
    ck_assert_msg(json_is_object(o), "%s in: %s", e.text, text);
    return o;
}

json_t *program_lines(const char *where, const char *file)
{
    char path[MOST_PATH];
    json_t *list = keep_json(json_array());
    json_error_t e;

    snprintf(path, sizeof path, "%s/%s", where, file);
    char *text = program_read(path), *line = text;
    ck_assert_msg(text, "%s cannot be read", path);
    while (*line) {
        char *end = strchr(line, '\n');
        ck_assert_msg(end, "%s: the last line has no end: %.60s", path, line);
        *end = 0;
        json_t *o = json_loads(line, JSON_REJECT_DUPLICATES, &e);
        ck_assert_msg(json_is_object(o), "%s: %s in: %.60s", path, e.text, line);
        json_array_append_new(list, o);
        line = end + 1;
    }
    return list;
}
