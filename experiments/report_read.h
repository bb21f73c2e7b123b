#ifndef EX_REPORT_READ_H
#define EX_REPORT_READ_H

#include <jansson.h>
#include "nn/base.h"

enum {
    EX_LABEL = 40,                      /* longest name of a run, in characters */
    EX_SIDE = 4096                      /* largest side of an image in snapshots.jsonl */
};

/* A run folder read back and checked.  Whoever wrote the folder may have been killed, and
 * whoever names it may be wrong: everything is checked here, so that the page and the
 * table may trust what they get.
 *
 *   status    the object of status.json
 *   config    [["optim.base_lr", "0.05", "file"], ...], in the order of config.yaml
 *   rows      one object per evaluated epoch, epochs strictly rising
 *   set       first line of snapshots.jsonl (classes, labels, pairs); NULL without one
 *   shots     the other lines of snapshots.jsonl, epochs strictly rising
 *   notes     what a reader must know: "metrics.jsonl ends in a line that was cut ..." */
typedef struct ex_record {
    char *path;                         /* as given, without slashes at the end */
    char label[4 * EX_LABEL];           /* a short name, given by ex_record_name */
    json_t *status, *config, *rows, *set, *shots, *notes;
} ex_record;

/* Reads the folder at `path`.  NN_ECONFIG: the path is not a run folder.  NN_ERUN: it is
 * one, but a file in it is missing, damaged or not ours; the text names file, cause and
 * remedy.  The caller frees the record in either case. */
nn_status ex_record_read(const char *path, ex_record *r, nn_err *err);
void      ex_record_free(ex_record *r);

/* Gives every run a short name, no two alike: the settings in which the runs differ, when
 * they are few; else the run's own label or its method.  Runs that still share a name add
 * their seed, and then a number. */
void ex_record_name(ex_record *rec, int runs);

/* Adds a sentence to the notes. */
void ex_record_note(ex_record *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The last evaluated epoch; NULL before the first. */
const json_t *ex_record_last(const ex_record *r);

/* Members of an object: "" and NaN where there is no such text or number. */
const char *ex_text_of(const json_t *object, const char *key);
double      ex_number_of(const json_t *object, const char *key);

/* 1 for a text of the length and the alphabet of base64 that holds `bytes` bytes. */
int ex_is_base64(const json_t *v, size_t bytes);

/* Characters of UTF-8 text; and a copy fit for a terminal: control characters (which
 * could drive it) become '?', and text longer than `most` characters ends in "...". */
int  ex_width(const char *text);
void ex_plain(char *out, size_t size, const char *text, int most);

#endif
