#ifndef DATA_FIGURE_H
#define DATA_FIGURE_H

/* Figures as signed distances: negative inside, in units of their radius.  They fill the
 * unit circle; y points down. */
typedef struct data_point { double x, y; } data_point;

enum { DATA_DISC, DATA_RING, DATA_SQUARE, DATA_TRIANGLE, DATA_STAR, DATA_CROSS,
       DATA_HEART, DATA_MOON, DATA_ARROW, DATA_BAR, DATA_FIGURES };

double data_figure(int kind, data_point p);

#endif
