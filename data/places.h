#ifndef DATA_PLACES_H
#define DATA_PLACES_H

#include <stddef.h>

/* The folders in which a reader looks for the files of a set, best first. */
enum { DATA_PATH = 4096, DATA_MOST_PLACES = 8 };

typedef struct data_places { int n; char dir[DATA_MOST_PLACES][DATA_PATH]; } data_places;

/* Adds the folder `dir` or, with a name, "dir/name".  A dir that is NULL or "", as an
 * unset variable or key is, and one too long for a path add nothing. */
void data_places_add(data_places *p, const char *dir, const char *name);

/* "; looked in A, B" for a message, "" for no places; returns `out`. */
const char *data_places_told(const data_places *p, char *out, size_t size);

#endif
