#ifndef EX_REPORT_CODES_H
#define EX_REPORT_CODES_H

#include "experiments/report_read.h"

/* What a page has beside the rest where a run has a codebook. */

/* 1 when the run logs one: "code/K" stands in a line of its metrics. */
int ex_has_codes(const ex_record *r);

/* How popular codes are at an epoch, MET_CODE_BINS shares for every part, from a
 * line of snapshots.jsonl; NULL without. */
json_t *ex_code_bins(const json_t *shot);

/* {"h", "w", "c", "shown", "original", "made": [[epoch, base64], ...]}: the first test
 * images and what the decoder made of them at the first and last epoch; NULL without. */
json_t *ex_code_pictures(const ex_record *r);

/* The three ways of experiments/toy_codes.h, each {"moved", "turned", "loss", "frames"}.
 * Coordinates are hundredths; from the second frame on differences to the one before. */
json_t *ex_code_toy(void);

/* Checks what the two above rely on, with the sizes of images in status.json: NULL, or
 * what is wrong with the line, in `out`. */
const char *ex_code_shot_wrong(const json_t *status, const json_t *shot, char *out,
                               size_t size);

#endif
