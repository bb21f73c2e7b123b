#ifndef EX_SURVEY_H
#define EX_SURVEY_H

#include <jansson.h>
#include <stdio.h>

#include "metrics/code.h"

/* A codebook on n vectors, which pass in batches: who is hit, and what is lost.  Not of a
 * run under way, which keeps a longer memory (experiments/codes.h); the figures that both
 * have are the same to the last digit for the same batches. */
typedef struct ex_survey {
    size_t k, d;
    double *count;                      /* (k): whole numbers */
    met_code_sum sum;
    met_usage usage;                    /* from here on by ex_survey_close */
    met_code_loss loss;
    double erank;                       /* of the codes, spec 14.7; NaN: no table */
    double duplicates;                  /* codes that are copies of an earlier one */
} ex_survey;

ex_survey ex_survey_open(size_t k, size_t d, nn_arena *a);
/* n vectors z (n, d), their codes and the values of these. */
void      ex_survey_add(ex_survey *s, size_t n, const int *index, const float *z,
                        const float *q, nn_arena *scratch);
/* book (k, d); NULL: codes are no table. */
void      ex_survey_close(ex_survey *s, const float *book, nn_arena *scratch);

/* code/usage ... of one part into an object; of several, the means of their figures. */
void ex_survey_json(const ex_survey *s, int parts, json_t *o);
/* A table: a line for every part under its name. */
void ex_survey_head(FILE *out);
void ex_survey_line(const ex_survey *s, const char *name, FILE *out);

json_t *ex_json_number(double x);       /* null for what is not finite */

#endif
