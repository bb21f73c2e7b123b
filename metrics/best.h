#ifndef MET_BEST_H
#define MET_BEST_H

#include <stddef.h>
#include <stdint.h>

/* The k largest numbers of a stream, and where in it they stood.
 *
 * A number is kept as one 64-bit key that sorts like it: the float's bits turned so that
 * they sort as integers, above the turned place, so that of equal numbers the earlier is
 * the larger.  What passes `least` is appended; when 2k keys are held, the k largest of
 * them stay and `least` rises.  So a number costs a comparison and now and then an
 * append, and the result is that of a sort, whatever the order of events.  Numbers are
 * finite. */
typedef struct met_best {
    int k, held;
    float least;                    /* start: -INFINITY; only what is above may enter */
    uint64_t *key;                  /* room for 2k */
} met_best;

/* Takes s[0 .. n-1], whose places are first, first + 1, ...; places come in order. */
void met_best_take(met_best *b, const float *s, int n, int first);

/* Leaves the k largest (or all, if there are fewer) in no order, the least at the end. */
void met_best_settle(met_best *b);

/* The same in order, the largest first. */
void met_best_sort(met_best *b);

float met_best_value(uint64_t key);
int   met_best_place(uint64_t key);

#endif
