#ifndef EX_PROFILE_H
#define EX_PROFILE_H

#include <stdio.h>
#include "experiments/folder.h"
#include "nn/profile.h"

/* `fullrank train --profile`: where the time of a run goes, as a table for people and as
 * profile.json for chrome://tracing and ui.perfetto.dev.
 *
 * The first EX_WARM steps are not counted: they ask the system for memory and fill the
 * caches.  Every later step of the process goes into the sums, the first EX_TRACED of
 * them into the picture, one box a call, with the start of the run before them.  Eight steps
 * show what repeats and what does not; a ResNet-18 makes 250 boxes a step, 50 KB of JSON.
 * EX_MOST_BOXES bounds the file for networks that are far deeper: 3 MB.
 *
 * A tape sees operators.  It does not see inside them (packing, waiting for the other
 * threads), nor the augmentation of the next batch, which threads do inside an operator
 * when they run out of its jobs: that is told apart, as a share of the threads' time. */
#define EX_PROFILE "profile.json"

enum { EX_WARM = 2, EX_TRACED = 8, EX_MOST_BOXES = 1 << 14 };

typedef struct ex_profile {
    int on;                             /* 0: every call below does nothing */
    nn_profile step, run;               /* operators and parts of steps; of the run */
    int steps, counted;                 /* of this process; without the first */
    double begin, seconds;              /* when it began; what the counted steps took */
    double lap;                         /* when the last part of the run ended */
} ex_profile;

void ex_profile_start(ex_profile *p, int on);
void ex_profile_free(ex_profile *p);

/* The time since the last part, or since the start, was spent on this part of the run. */
void ex_profile_lap(ex_profile *p, const char *part);

/* Around a step: hangs the profile on the tape once it counts, and takes it off again.
 * `from`: when the step began, on the clock of nn_profile_now. */
void ex_profile_step(ex_profile *p, nn_tape *t);
void ex_profile_stepped(ex_profile *p, nn_tape *t, double from);

/* The tables: operators and parts of a step, the costliest layers, parts of the run. */
void ex_profile_print(const ex_profile *p, int threads, FILE *out);

/* Writes profile.json into a run folder, as whole as its other files: {"traceEvents":
 * [...], "operators": [...], "run": [...]} (experiments/README.md). */
nn_status ex_profile_write(const ex_profile *p, const ex_folder *f, int threads,
                           nn_err *err);

#endif
