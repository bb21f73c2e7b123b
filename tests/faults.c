/* Faults on order: a library to be put before the C library with LD_PRELOAD.
 *
 * It counts the calls that concern files below one folder, from 1, and lets one of them
 * go wrong.  The environment says what:
 *
 *   FULLRANK_FAULT_UNDER   the folder, absolute, without "." or ".." in it
 *   FULLRANK_FAULT_LOG     a file outside it: "<number> <kind> <path>" for every call,
 *                          with a "!" behind the one that was struck
 *   FULLRANK_FAULT_AT      the number of the call to strike
 *   FULLRANK_FAULT_WHAT    an error (ENOSPC, EIO, ...): nothing happens, -1 is returned;
 *                              a close does close, as on Linux
 *                          short: half of the bytes are taken, and it says so
 *                          kill, killed: SIGKILL right before or right after the call
 *                          torn: half of the bytes are written, then SIGKILL
 *   FULLRANK_FAULT_STAY    when set, later calls that change anything get the error too
 *
 * Kinds: open (to write), openr (to read), opendir; write, pwrite, read; fsync, fsyncdir;
 * close, closer (only read), closedir; rename, link, unlink, mkdir, truncate.
 *
 * Only what the program itself calls is seen, not what the C library does inside fopen or
 * fwrite.  The calls go to the kernel directly: no symbol has to be looked up, and other
 * libraries may watch the same functions. */
#undef _FORTIFY_SOURCE                  /* its inline open() would get in the way */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST_PATH = 4096 };
enum { PASS = 0, SHORT = -1, KILLED = -2, TORN = -3 };      /* positive: an errno */

static atomic_int calls, struck;

/* ---- which file ------------------------------------------------------------------ */

static int is_below(const char *path)
{
    const char *under = getenv("FULLRANK_FAULT_UNDER");
    size_t n = under ? strlen(under) : 0;
    return n && strncmp(path, under, n) == 0 && (path[n] == '/' || path[n] == 0);
}

static int of_descriptor(int file, char path[MOST_PATH])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    long n = syscall(SYS_readlinkat, AT_FDCWD, link, path, MOST_PATH - 1);
    path[n > 0 ? n : 0] = 0;
    return n > 0;
}

static int of_name(int dir, const char *name, char path[MOST_PATH])
{
    size_t n;

    if (*name == '/') {
        snprintf(path, MOST_PATH, "%s", name);
        return 1;
    }
    if (dir == AT_FDCWD ? !getcwd(path, MOST_PATH) : !of_descriptor(dir, path))
        return 0;
    n = strlen(path);
    snprintf(path + n, MOST_PATH - n, "/%s", name);
    return 1;
}

/* ---- what happens to it ---------------------------------------------------------- */

static int meaning(const char *what)
{
    static const struct { const char *name; int value; } known[] = {
        { "ENOSPC", ENOSPC }, { "EIO", EIO }, { "EDQUOT", EDQUOT }, { "EACCES", EACCES },
        { "EROFS", EROFS }, { "EINTR", EINTR }, { "EINVAL", EINVAL }, { "short", SHORT },
        { "killed", KILLED }, { "torn", TORN },
    };
    for (size_t i = 0; what && i < sizeof known / sizeof *known; i++)
        if (strcmp(what, known[i].name) == 0)
            return known[i].value;
    return PASS;
}

static int has_bytes(const char *kind)
{
    return strcmp(kind, "write") == 0 || strcmp(kind, "pwrite") == 0
           || strcmp(kind, "read") == 0;
}

/* A full disk still lets files go; nothing refuses to close for good. */
static int goes_on_failing(const char *kind, int error)
{
    static const char *const changing[] = { "open", "write", "pwrite", "fsync",
                                            "rename", "link", "mkdir", "truncate" };
    for (size_t i = 0; i < sizeof changing / sizeof *changing; i++)
        if (strcmp(kind, changing[i]) == 0)
            return 1;
    return strcmp(kind, "unlink") == 0 && error != ENOSPC && error != EDQUOT;
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static void report(int number, const char *kind, const char *path, int hit)
{
    const char *log = getenv("FULLRANK_FAULT_LOG");
    char text[MOST_PATH + 64];

    if (!log)
        return;
    int n = snprintf(text, sizeof text, "%d %s %s%s\n", number, kind, path,
                     hit ? " !" : "");
    long file = syscall(SYS_openat, AT_FDCWD, log,
                        O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0 || syscall(SYS_write, file, text, n) != n)
        abort();                        /* a test that does not see is no test */
    syscall(SYS_close, file);
}

/* Counts a call on `path` and tells what to do with it. */
static int meet(const char *kind, const char *path)
{
    const char *at = getenv("FULLRANK_FAULT_AT"), *what = getenv("FULLRANK_FAULT_WHAT");
    int verdict = PASS;

    if (!is_below(path))
        return PASS;
    int number = ++calls, hit = at && what && atoi(at) == number;
    report(number, kind, path, hit);
    if (hit) {
        if (strcmp(what, "kill") == 0)
            die();
        verdict = meaning(what);
        if (!verdict || ((verdict == SHORT || verdict == TORN) && !has_bytes(kind)))
            abort();
        struck = 1;
    } else if (struck && getenv("FULLRANK_FAULT_STAY")
               && goes_on_failing(kind, meaning(what))) {
        verdict = meaning(what);
    }
    return verdict;
}

static int meet_name(const char *kind, int dir, const char *name)
{
    char path[MOST_PATH];
    int before = errno, verdict = of_name(dir, name, path) ? meet(kind, path) : PASS;
    errno = before;
    return verdict;
}

/* Of three kinds the one that fits how the descriptor was opened. */
static int meet_file(const char *writing, const char *reading, const char *folder,
                     int file)
{
    char path[MOST_PATH];
    int before = errno, verdict = PASS;
    int flags = (int)syscall(SYS_fcntl, file, F_GETFL);

    if (flags >= 0 && of_descriptor(file, path))
        verdict = meet((flags & O_DIRECTORY) ? folder
                       : (flags & O_ACCMODE) == O_RDONLY ? reading : writing, path);
    errno = before;
    return verdict;
}

/* What the caller gets to see. */
static long outcome(int verdict, long result)
{
    if (verdict == KILLED || verdict == TORN)
        die();
    if (verdict > 0) {
        errno = verdict;
        return -1;
    }
    return result;
}

static size_t some(int verdict, size_t n)
{
    return verdict == SHORT || verdict == TORN ? (n + 1) / 2 : n;
}

/* ---- the calls ------------------------------------------------------------------- */

static int opened(int dir, const char *path, int flags, mode_t mode)
{
    const char *kind = (flags & O_DIRECTORY) ? "opendir"
                       : (flags & O_ACCMODE) == O_RDONLY ? "openr" : "open";
    int v = meet_name(kind, dir, path);
    return (int)outcome(v, v > 0 ? -1 : syscall(SYS_openat, dir, path, flags, mode));
}

static mode_t mode_of(int flags, va_list more)
{
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(more, mode_t)
                                                                 : 0;
}

#define OPEN(name)                                        \
    int name(const char *path, int flags, ...)            \
    {                                                     \
        va_list more;                                     \
        va_start(more, flags);                            \
        mode_t mode = mode_of(flags, more);               \
        va_end(more);                                     \
        return opened(AT_FDCWD, path, flags, mode);       \
    }

#define OPENAT(name)                                      \
    int name(int dir, const char *path, int flags, ...)   \
    {                                                     \
        va_list more;                                     \
        va_start(more, flags);                            \
        mode_t mode = mode_of(flags, more);               \
        va_end(more);                                     \
        return opened(dir, path, flags, mode);            \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int creat(const char *path, mode_t mode)
{
    return opened(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

ssize_t write(int file, const void *from, size_t n)
{
    int v = meet_file("write", "write", "write", file);
    return outcome(v, v > 0 ? -1 : syscall(SYS_write, file, from, some(v, n)));
}

ssize_t pwrite(int file, const void *from, size_t n, off_t at)
{
    int v = meet_file("pwrite", "pwrite", "pwrite", file);
    return outcome(v, v > 0 ? -1 : syscall(SYS_pwrite64, file, from, some(v, n), at));
}

ssize_t pwrite64(int file, const void *from, size_t n, off64_t at)
{
    return pwrite(file, from, n, at);
}

ssize_t read(int file, void *to, size_t n)
{
    int v = meet_file("read", "read", "read", file);
    return outcome(v, v > 0 ? -1 : syscall(SYS_read, file, to, some(v, n)));
}

ssize_t pread(int file, void *to, size_t n, off_t at)
{
    int v = meet_file("read", "read", "read", file);
    return outcome(v, v > 0 ? -1 : syscall(SYS_pread64, file, to, some(v, n), at));
}

ssize_t pread64(int file, void *to, size_t n, off64_t at)
{
    return pread(file, to, n, at);
}

int fsync(int file)
{
    int v = meet_file("fsync", "fsync", "fsyncdir", file);
    return (int)outcome(v, v > 0 ? -1 : syscall(SYS_fsync, file));
}

int fdatasync(int file)
{
    int v = meet_file("fsync", "fsync", "fsyncdir", file);
    return (int)outcome(v, v > 0 ? -1 : syscall(SYS_fdatasync, file));
}

int close(int file)
{
    int v = meet_file("close", "closer", "closedir", file);
    return (int)outcome(v, syscall(SYS_close, file));
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    int v = meet_name("rename", to_dir, to);
    return (int)outcome(v, v > 0 ? -1 : syscall(SYS_renameat2, from_dir, from, to_dir, to,
                                                flags));
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return renameat2(from_dir, from, to_dir, to, 0);
}

int rename(const char *from, const char *to)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    int v = meet_name("link", to_dir, to);
    return (int)outcome(v, v > 0 ? -1 : syscall(SYS_linkat, from_dir, from, to_dir, to,
                                                flags));
}

int link(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int dir, const char *path, int flags)
{
    int v = meet_name("unlink", dir, path);
    return (int)outcome(v, v > 0 ? -1 : syscall(SYS_unlinkat, dir, path, flags));
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
    int v = meet_name("mkdir", dir, path);
    return (int)outcome(v, v > 0 ? -1 : syscall(SYS_mkdirat, dir, path, mode));
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

int ftruncate(int file, off_t size)
{
    int v = meet_file("truncate", "truncate", "truncate", file);
    return (int)outcome(v, v > 0 ? -1 : syscall(SYS_ftruncate, file, size));
}

int ftruncate64(int file, off64_t size)
{
    return ftruncate(file, size);
}
