#ifndef TESTS_BYTES_H
#define TESTS_BYTES_H

#include <stddef.h>

/* Same bytes whoever computes them.  `of` works something out with the kernel table and the
 * team that are set, for one of a suite's shapes; what it gives is compared with what the
 * first table, or a team of one, gave. */
typedef struct outcome { size_t n; float *at; } outcome;

void bytes_of_every_table(outcome (*of)(int shape), int shape);
void bytes_of_every_team(outcome (*of)(int shape), int shape);

#endif
