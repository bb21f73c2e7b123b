#include "nn/elem.h"
#include "optim/opt.h"

/* Learning-rate schedules (spec 1.4).  With t and T in epochs or in steps, W the end of
 * the warm-up, a = warmup_start and b = final_lr as fractions of the peak:
 *
 *   warm-up    peak (a + (1 - a) t / W)                          while t < W
 *   cosine     peak (b + (1 - b) (1 + cos(pi (t - W) / (T - W))) / 2)
 *   constant   peak
 *
 *   peak = lr, or base_lr * batch / 256      "Accurate, Large Minibatch SGD", 2017
 *
 * SimSiam: cosine per epoch, no warm-up, b = 0.  VICReg: cosine per step, ten epochs of
 * warm-up from a = 0, b = 0.001.  The warm-up always rises by the step, because by the
 * epoch its first epoch would train with a learning rate of zero. */
double opt_peak_lr(const opt_settings *o, int batch)
{
    NN_NEED(o->lr > 0 || o->base_lr > 0, "optim: lr and base_lr are both unset; "
            "opt_settle fills one in");
    return o->lr > 0 ? o->lr : o->base_lr * batch / 256;
}

double opt_lr(const opt_settings *o, int batch, long step, long steps, int epochs)
{
    const double pi = 3.14159265358979323846;
    NN_NEED(steps > 0 && epochs > 0 && step >= 0, "opt_lr: step %ld of %d epochs of %ld",
            step, epochs, steps);
    double peak = opt_peak_lr(o, batch);
    double warm = o->warmup_epochs * (double)steps;

    if ((double)step < warm)
        return peak * (o->warmup_start + (1 - o->warmup_start) * (double)step / warm);
    if (o->schedule == OPT_CONSTANT)
        return peak;

    long now = o->per == OPT_PER_EPOCH ? step / steps * steps : step;
    double length = (double)steps * epochs - warm;
    double t = ((double)now - warm) / length;
    if (!(t > 0))                   /* the warm-up ended inside this epoch */
        t = 0;
    if (t > 1)                      /* past the end: stay there */
        t = 1;
    return peak * (o->final_lr + (1 - o->final_lr) * 0.5 * (1 + nn_cos(pi * t)));
}
