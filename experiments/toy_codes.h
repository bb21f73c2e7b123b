#ifndef EX_TOY_CODES_H
#define EX_TOY_CODES_H

/* Why one linear layer keeps a codebook alive, in two dimensions (spec 7.3): K codes
 * C = B W, B ~ N(0, I), W = I at the start, no bias, and targets on a circle of radius 3,
 * with fresh noise N(0, .05^2) in every step.  SGD, rate .05, on the mean over targets of
 * the squared distance to the nearest code.  Three ways to train it:
 *
 *   EX_TOY_CODES   B alone, as in vanilla VQ: a code that is not the nearest never moves
 *   EX_TOY_LAYER   W alone, as in SimVQ: a step for one code moves all
 *   EX_TOY_BOTH    B and W
 *
 * Search, operators, gradients and steps are those that train a network.  Start and noise
 * are the same for all three, and for every run of the program. */
typedef enum ex_toy_mode {
    EX_TOY_CODES, EX_TOY_LAYER, EX_TOY_BOTH, EX_TOY_MODES
} ex_toy_mode;

enum { EX_TOY_K = 100, EX_TOY_D = 2, EX_TOY_TARGETS = 2, EX_TOY_STEPS = 500,
       EX_TOY_FRAMES = 41, EX_TOY_TAIL = 50 };

typedef struct ex_toy {
    int step[EX_TOY_FRAMES];            /* steps done: 0 ... EX_TOY_STEPS, denser early */
    float code[EX_TOY_FRAMES][EX_TOY_K * EX_TOY_D];
    float target[EX_TOY_TARGETS * EX_TOY_D];        /* without noise */
    double moved;                       /* share of codes that end over .05 from their
                                           start */
    double turned;                      /* |W - I|_F at the end */
    double loss;                        /* mean over the last EX_TOY_TAIL steps; noise
                                           alone is EX_TOY_D .05^2 = .005 */
} ex_toy;

void ex_toy_run(ex_toy_mode mode, ex_toy *out);

#endif
