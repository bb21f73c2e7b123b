#ifndef EX_CONFIG_READ_H
#define EX_CONFIG_READ_H

#include "experiments/config.h"

/* The first half of reading a configuration: what the file and the command line say, as a
 * list of (section, key, text, place) that nobody has understood yet.  The second half is
 * config.c. */
enum { EX_MOST_ENTRIES = 1024, EX_PLACE = 512 };

typedef struct ex_entry {
    int section;
    const char *key, *value;
    ex_mark mark;
} ex_entry;

typedef struct ex_reader {
    const char *file;
    nn_arena *arena;
    nn_err *err;
    ex_entry list[EX_MOST_ENTRIES];
    int count;
    ex_mark added[EX_ADDONS];           /* where `add` names a regulariser; EX_DEFAULT: */
                                        /* nowhere */
} ex_reader;

nn_status ex_read_file(ex_reader *r);
nn_status ex_read_pair(ex_reader *r, const char *pair);         /* KEY=VALUE */

/* "demo.yaml:3", "command line", "default" or "recipe". */
const char *ex_place(const char *file, ex_mark m, char *out, size_t size);

/* A user's words inside a message: one line, printable, not endless. */
const char *ex_quoted(const char *text, char *out, size_t size);

/* "; did you mean 'X'?", or nothing when X is NULL. */
const char *ex_meant(const char *nearest, char *out, size_t size);

/* Sets one field from a user's text, which outlives it.  NN_ECONFIG: not of its kind or
 * out of range; the line begins with `where` and calls the setting `full`. */
nn_status ex_set_value(const nn_setting *s, void *config, const char *text,
                       const char *where, const char *full, nn_err *err);

int ex_find_row(const nn_setting *table, const char *key);      /* -1: none */
int ex_find_section(const char *word);                          /* -1: none */
extern const char *const ex_section_name[EX_SECTIONS + 1];      /* ends with NULL */

/* "optim", or "add.vicreg" for section EX_SECTIONS + i. */
const char *ex_section_text(int section, char *out, size_t size);

/* Has the section a key `name` that selects a component? */
int ex_has_choice(int section);

#endif
