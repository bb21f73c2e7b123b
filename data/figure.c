#include "data/figure.h"

#include <math.h>

/* ---- figures: signed distance at p; they fill the unit circle, y data_points down ---- */

static double length(data_point p)
{
    return sqrt(p.x * p.x + p.y * p.y);
}

static double clamp(double x, double lo, double hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

static double to_segment_squared(data_point p, data_point a, data_point b)
{
    double ux = b.x - a.x, uy = b.y - a.y, vx = p.x - a.x, vy = p.y - a.y;
    double t = clamp((ux * vx + uy * vy) / (ux * ux + uy * uy), 0, 1);
    double x = vx - t * ux, y = vy - t * uy;
    return x * x + y * y;
}

/* The nearest edge; inside is where a ray crosses the outline an odd number of times. */
static double polygon(data_point p, const data_point *corner, int n)
{
    double nearest = 1e9;
    int inside = 0;

    for (int i = 0, j = n - 1; i < n; j = i++) {
        data_point a = corner[j], b = corner[i];
        double d = to_segment_squared(p, a, b);
        nearest = d < nearest ? d : nearest;
        if ((a.y > p.y) != (b.y > p.y)
            && p.x < a.x + (b.x - a.x) * (p.y - a.y) / (b.y - a.y))
            inside = !inside;
    }
    return inside ? -sqrt(nearest) : sqrt(nearest);
}

static double disc_at(data_point p, double x, double y, double radius)
{
    return length((data_point){ p.x - x, p.y - y }) - radius;
}

static double disc(data_point p)
{
    return disc_at(p, 0, 0, 0.88);
}

static double ring(data_point p)
{
    return fabs(disc_at(p, 0, 0, 0.74)) - 0.21;
}

static double square(data_point p)
{
    static const data_point corner[] = {
        { -0.72, -0.72 }, { 0.72, -0.72 }, { 0.72, 0.72 }, { -0.72, 0.72 }
    };
    return polygon(p, corner, 4);
}

static double triangle(data_point p)
{
    static const data_point corner[] = { {0, -1}, {0.866, 0.5}, {-0.866, 0.5} };
    return polygon(p, corner, 3);
}

static double star(data_point p)
{
    static const data_point corner[] = {
        /* every 36 degrees, radius 1 and 0.45 in turn */
        { 0, -1 },           { 0.2645, -0.3641 }, { 0.9511, -0.3090 },
        { 0.4280, 0.1391 },  { 0.5878, 0.8090 },  { 0, 0.45 },
        { -0.5878, 0.8090 }, { -0.4280, 0.1391 }, { -0.9511, -0.3090 },
        { -0.2645, -0.3641 }
    };
    return polygon(p, corner, 10);
}

static double cross(data_point p)
{
    static const data_point corner[] = {
        { -0.29, -0.95 }, { 0.29, -0.95 }, { 0.29, -0.29 },  { 0.95, -0.29 },
        { 0.95, 0.29 },   { 0.29, 0.29 },  { 0.29, 0.95 },   { -0.29, 0.95 },
        { -0.29, 0.29 },  { -0.95, 0.29 }, { -0.95, -0.29 }, { -0.29, -0.29 }
    };
    return polygon(p, corner, 12);
}

/* Two discs, and the tangents from the tip to them. */
static double heart(data_point p)
{
    static const data_point corner[] = {
        { 0, 0.95 }, { -0.7996, -0.0534 }, { -0.44, -0.34 }, { 0, -0.47 },
        { 0.44, -0.34 }, { 0.7996, -0.0534 }
    };
    double d = polygon(p, corner, 6);
    double left = disc_at(p, -0.44, -0.34, 0.46), right = disc_at(p, 0.44, -0.34, 0.46);

    d = d < left ? d : left;
    return d < right ? d : right;
}

/* A disc out of which a second one is cut. */
static double moon(data_point p)
{
    double whole = disc_at(p, 0.06, 0, 0.9), cut = disc_at(p, 0.48, 0, 0.68);
    return whole > -cut ? whole : -cut;
}

static double arrow(data_point p)
{
    static const data_point corner[] = {
        { 0, -1 }, { 0.74, -0.12 }, { 0.26, -0.12 }, { 0.26, 0.92 }, { -0.26, 0.92 },
        { -0.26, -0.12 }, { -0.74, -0.12 }
    };
    return polygon(p, corner, 7);
}

static double bar(data_point p)
{
    const data_point a = { -0.72, 0 }, b = { 0.72, 0 };
    return sqrt(to_segment_squared(p, a, b)) - 0.26;
}

double data_figure(int kind, data_point p)
{
    static double (*const figure[DATA_FIGURES])(data_point p) = {
        disc, ring, square, triangle, star, cross, heart, moon, arrow, bar
    };
    return figure[kind](p);
}
