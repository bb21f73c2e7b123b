#include "experiments/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nn/base.h"

/* What to do about the usual refusals of a file system. */
static const char *remedy(int error)
{
    switch (error) {
    case ENOSPC: case EDQUOT:
        return "; free some space or choose another place with --out DIR";
    case EFBIG:
        return "; the limit on file sizes is too low (ulimit -f)";
    case EACCES: case EPERM: case EROFS:
        return "; choose a place you may write to with --out DIR";
    case ENOTDIR:
        return "; a file stands where a folder is wanted";
    default:
        return "";
    }
}

/* mkdir -p.  On failure `path` is cut at the folder that could not be made. */
static int make_folders(char *path)
{
    for (char *p = path + 1; ; p++) {
        if (*p && *p != '/')
            continue;
        char end = *p;
        *p = 0;
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            return -1;
        *p = end;
        if (!end)
            return 0;
    }
}

int ex_folder_state(const char *path, char *out, size_t size)
{
    char file[1500];
    snprintf(file, sizeof file, "%s/status.json", path);
    json_t *status = json_load_file(file, 0, NULL);
    const char *state = json_string_value(json_object_get(status, "state"));
    int saved = json_object_get(status, "saved") != NULL;
    snprintf(out, size, "%s", state ? state : "");
    json_decref(status);
    return saved;
}

static void read_state(ex_folder *f)
{
    f->was_saved = ex_folder_state(f->path, f->was, sizeof f->was);
}

int ex_folder_has_checkpoint(const ex_folder *f)
{
    static const char *const name[] = { EX_LAST, EX_PREV };
    char file[1200];
    int found = 0;

    for (size_t i = 0; i < NN_COUNT(name); i++) {
        snprintf(file, sizeof file, "%s/%s", f->checkpoints, name[i]);
        found |= faccessat(AT_FDCWD, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    }
    return found;
}

nn_status ex_folder_name(ex_folder *f, const ex_config *c, nn_err *err)
{
    *f = (ex_folder){ .lock = -1 };
    int n =
        snprintf(f->path, sizeof f->path, "%s/%s/%s-%s-%s/s%d", c->top.out, c->top.name,
                 c->method->name, c->source->name, c->digest, c->top.seed);
    if (n >= (int)sizeof f->path - 64)
        return nn_fail(err, NN_ECONFIG,
                       "out: the path of the run folder is too long (%d bytes)", n);
    snprintf(f->checkpoints, sizeof f->checkpoints, "%s/checkpoints", f->path);
    read_state(f);
    return NN_OK;
}

nn_status ex_folder_open(ex_folder *f, nn_err *err)
{
    char try[sizeof f->path], file[sizeof f->path + 16];

    strcpy(try, f->path);
    if (make_folders(try) != 0)
        return nn_fail(err, NN_ERUN, "%s: cannot make this folder: %s%s", try,
                       strerror(errno), remedy(errno));
    snprintf(file, sizeof file, "%s/" EX_LOCK, f->path);
    f->lock = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (f->lock < 0)
        return nn_fail(err, NN_ERUN, "%s: cannot be written: %s%s", file, strerror(errno),
                       remedy(errno));
    /* A file open for writing can be locked on network file systems too; some know no
     * locks at all: then there is none. */
    if (flock(f->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        ex_folder_close(f);
        return nn_fail(err, NN_ERUN,
                       "%s: another fullrank is writing this run; wait for it or"
                       " choose another --out, --seed or name=",
                       f->path);
    }
    read_state(f);                      /* again: it may have ended meanwhile */
    if (mkdir(f->checkpoints, 0777) != 0 && errno != EEXIST) {
        int why = errno;
        ex_folder_close(f);
        return nn_fail(err, NN_ERUN, "%s: cannot make this folder: %s%s", f->checkpoints,
                       strerror(why), remedy(why));
    }
    nn_status status = ex_file_put(f->path, ".try", "", 0, err);
    snprintf(file, sizeof file, "%s/.try", f->path);
    if (status == NN_OK)
        unlink(file);
    else
        ex_folder_close(f);
    return status;
}

void ex_folder_remove(const ex_folder *f, const char *name)
{
    char file[1200];
    snprintf(file, sizeof file, "%s/%s", f->path, name);
    unlink(file);
}

void ex_folder_close(ex_folder *f)
{
    if (f->lock >= 0)
        close(f->lock);
    f->lock = -1;
}

/* ---- files ----------------------------------------------------------------------- */

static nn_status refused(ex_file *f, int why, nn_err *err)
{
    if (f->file >= 0)
        close(f->file);
    f->file = -1;
    unlink(f->temporary);
    return nn_fail(err, NN_ERUN, "%s: cannot be written: %s%s", f->final, strerror(why),
                   remedy(why));
}

nn_status ex_file_begin(ex_file *f, const char *folder, const char *name, nn_err *err)
{
    snprintf(f->folder, sizeof f->folder, "%s", folder);
    snprintf(f->final, sizeof f->final, "%s/%s", folder, name);
    snprintf(f->temporary, sizeof f->temporary, "%s.new", f->final);
    f->file = open(f->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return f->file < 0 ? refused(f, errno, err) : NN_OK;
}

/* Writes at `at`, or where the last writing ended if it is negative. */
static nn_status write_all(ex_file *f, const char *bytes, size_t n, off_t at, nn_err *err)
{
    while (n) {
        ssize_t done = at < 0 ? write(f->file, bytes, n) : pwrite(f->file, bytes, n, at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)                          /* 0: a device that takes nothing more */
            return refused(f, done < 0 ? errno : ENOSPC, err);
        bytes += done;
        n -= (size_t)done;
        at += at < 0 ? 0 : done;
    }
    return NN_OK;
}

nn_status ex_file_add(ex_file *f, const void *bytes, size_t n, nn_err *err)
{
    return write_all(f, bytes, n, -1, err);
}

nn_status ex_file_patch(ex_file *f, size_t at, const void *bytes, size_t n, nn_err *err)
{
    return write_all(f, bytes, n, (off_t)at, err);
}

/* The renames themselves reach the disk.  Some file systems know no fsync of a folder. */
static int sync_folder(const char *path)
{
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return -1;
    int bad = fsync(folder) != 0 && errno != EINVAL, why = errno;
    close(folder);
    errno = why;
    return bad ? -1 : 0;
}

nn_status ex_file_commit(ex_file *f, const char *keep, nn_err *err)
{
    char kept[sizeof f->final];

    if (fsync(f->file) != 0)
        return refused(f, errno, err);
    int bad = close(f->file) != 0;
    f->file = -1;
    if (bad)
        return refused(f, errno, err);
    if (keep) {
        snprintf(kept, sizeof kept, "%s/%s", f->folder, keep);
        if (rename(f->final, kept) != 0 && errno != ENOENT)
            return refused(f, errno, err);
    }
    if (rename(f->temporary, f->final) != 0 || sync_folder(f->folder) != 0)
        return refused(f, errno, err);
    return NN_OK;
}

nn_status ex_file_put(const char *folder, const char *name, const char *text,
                      size_t bytes, nn_err *err)
{
    ex_file f;

    NN_TRY(ex_file_begin(&f, folder, name, err));
    NN_TRY(ex_file_add(&f, text, bytes, err));
    return ex_file_commit(&f, NULL, err);
}
