#ifndef DATA_SUBSET_H
#define DATA_SUBSET_H

#include "data/data.h"

/* Parts of a labelled set, and colours that give its labels away; called by data_load
 * when the reader is done.  In this order:
 *
 *   classes      keeps these alone, in both parts, renumbered 0, 1, ... as they are listed
 *   limit        the first so many of what is left (without `classes` the reader has cut)
 *   fraction     of every class so much, at least one           training images alone
 *   long_tail    n_c = n_max r^(-c / (C - 1)), rounded down, at least one; r = n_max/n_min
 *                (Cui et al., "Class-Balanced Loss", 2019)      training images alone
 *   shortcut     grey pictures get a colour each: their class's with probability p,
 *                any other class's otherwise; the last factor tells which
 *
 * Images stay in the order they had.  Which ones stay is a function of (subset_seed,
 * class, how many the class has): not of the run's seed, and a smaller fraction is part of
 * a larger one.  All but `shortcut` cost an index and no pixels. */
nn_status data_subset(const data_settings *s, nn_arena *a, data_images *train,
                      data_images *test, nn_err *err);

/* 1: the reader must not cut, since `limit` counts what `classes` leaves. */
int data_limit_is_late(const data_settings *s);

/* Makes d the images index[0 .. n-1] of d.  Returns the new labels, to be changed. */
uint16_t *data_take(data_images *d, const uint32_t *index, int n, nn_arena *a);

/* What the tail leaves of class c of `classes`, the largest of which has `most`. */
int data_tail_count(int most, double r, int c, int classes);

/* Colour of a class, 0..255: full hues, evenly round the circle from red on. */
void data_class_colour(int c, int classes, uint8_t rgb[3]);

#endif
