#include "experiments/words.h"

#include <stdarg.h>
#include <stdio.h>

enum { REST = 32 };                     /* room for the count of what is left out */

void ex_say(ex_words *w, const char *format, ...)
{
    size_t room = w->size > w->used + REST ? w->size - w->used - REST : 0;
    va_list ap;
    int n = -1;

    w->count++;
    if (!w->left_out && room) {
        va_start(ap, format);
        n = vsnprintf(w->at + w->used, room, format, ap);
        va_end(ap);
    }
    if (n >= 0 && (size_t)n < room) {
        w->used += (size_t)n;
        return;
    }
    w->left_out++;
    if (w->at)
        w->at[w->used] = 0;
}

void ex_say_rest(ex_words *w)
{
    if (w->left_out)
        snprintf(w->at + w->used, w->size - w->used, ", and %d more", w->left_out);
}
