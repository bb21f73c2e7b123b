#ifndef EX_REPORT_READ_H
#define EX_REPORT_READ_H

#include <jansson.h>
#include "nn/base.h"

/* A run folder read back and checked (its files are described in experiments/README.md).
 * Whoever wrote the folder may have been killed, and whoever names it may be wrong:
 * everything is checked here, so that the page and the table may trust what they get.
 *
 *   status    the object of status.json
 *   config    [["optim.base_lr", "0.05", "file"], ...], in the order of config.yaml
 *   rows      one object per evaluated epoch, epochs strictly rising
 *   set       first line of snapshots.jsonl (classes, labels, pairs); NULL without one
 *   shots     the other lines of snapshots.jsonl, epochs strictly rising
 *   notes     sentences a reader must know: "metrics.jsonl: the last line was cut off ..."
 */
typedef struct ex_record {
    char *path;                         /* as given, without slashes at the end */
    json_t *status, *config, *rows, *set, *shots, *notes;
} ex_record;

/* Reads the folder at `path`.  NN_ECONFIG: the path is not a run folder.  NN_ERUN: it is
 * one, but a file in it is missing, damaged or not ours; the text names file, cause and
 * remedy.  The caller frees the record in either case. */
nn_status ex_record_read(const char *path, ex_record *r, nn_err *err);
void      ex_record_free(ex_record *r);

/* Adds a sentence to the notes. */
void ex_record_note(ex_record *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
