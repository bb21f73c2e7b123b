#ifndef TESTS_STRIKE_H
#define TESTS_STRIKE_H

#include "tests/program.h"

/* The program with tests/faults.c in front of the C library.  The calls on files below
 * the folder "work" of the current folder are counted from 1; one may go wrong. */
typedef struct call { int number, hit; char kind[16], path[600]; } call;

enum { STRIKE_CALLS = 2000 };           /* no run of these tests makes more */

/* 0, and the cause is printed, when FULLRANK_FAULTS does not name the library. */
int strike_able(void);

/* Runs the program and strikes call `at` with `what` (see faults.c); what = NULL: nothing
 * happens.  `stay`: later calls that change anything get the same error. */
program_result strike(const char *const *args, int at, const char *what, int stay);

/* The calls of the last run; returns how many there were. */
int strike_calls(call list[STRIKE_CALLS]);

/* Fails the test unless the one call of the last run that was struck is `want`. */
void strike_hit(const call *want, const char *what);

const char *strike_base(const char *path);      /* behind the last slash */

#endif
