#ifndef TESTS_PROGRAM_H
#define TESTS_PROGRAM_H

#include <jansson.h>
#include <sys/types.h>

/* The program itself under test: FULLRANK_BIN, or ./fullrank.  A test changes the
 * environment and folder of its own process, which Check has forked for it; the program
 * inherits both. */
typedef struct program_result {
    int exit;                           /* exit code; 128 + n when signal n killed it */
    char *out, *err;                    /* all it printed */
} program_result;

/* Under the sanitizers all takes five times as long and more: tests that repeat something
 * do it for one case of so many. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined __SANITIZE_ADDRESS__ || __has_feature(address_sanitizer)
enum { PROGRAM_SHARE = 3 };
#else
enum { PROGRAM_SHARE = 1 };
#endif

/* Finds the program and the root of the tree; call once, before any chdir. */
void program_find(void);
const char *program_root(void);

/* No file that the program writes may become longer; 0: no limit. */
extern long program_most_bytes;

/* program("train", "a.yaml", NULL): runs it and waits. */
program_result program(const char *first, ...) __attribute__((sentinel));
program_result program_args(const char *const *args);           /* ends with NULL */

/* The same without waiting, its output in the files .out.behind and .err.behind; and what
 * it ended with. */
pid_t program_start(const char *const *args);
int   program_wait(pid_t pid);

/* A fresh empty folder to work in, as a checked fixture.  Texts and objects that the
 * functions of this file return live until program_leave. */
void program_enter(void);
void program_leave(void);

/* Files, as whole texts that end with a zero; NULL when it cannot be read. */
char *program_read(const char *file);
void  program_write(const char *file, const char *text);

/* Files as bytes, `n` of them. */
char *program_bytes(const char *file, size_t *n);
void  program_put(const char *file, const void *bytes, size_t n);

/* A folder with all that is in it, symbolic links included; `to` must not be there yet.
 * Removing what is not there is no error. */
void program_copy(const char *from, const char *to);
void program_remove(const char *folder);

/* Frees at once what program_leave would free later: for tests with thousands of runs. */
void program_forget(void);

/* The run folder that lies below `under`, when there is exactly one. */
const char *program_run_folder(const char *under);

/* Memory of the test's own (from malloc), to be freed by program_leave as well. */
void *program_keep(void *memory);

/* One JSON object from a text; anything else fails the test. */
json_t *program_parse(const char *text);

/* Reads <folder>/<file>: one object, or one object a line as an array.  Fails the test on
 * anything else, a last line without its newline included. */
json_t *program_json(const char *folder, const char *file);
json_t *program_lines(const char *folder, const char *file);

#endif
