#ifndef DATA_WALK_H
#define DATA_WALK_H

#include <stdint.h>

#include "nn/arena.h"
#include "nn/base.h"

/* The pictures below a folder: class/.../name.jpg, at any depth below the class.
 *
 * Two parts, if there are folders train/ and test/ (or val/; test/ is taken where there
 * are both) with the classes in them: nothing else is looked at then.  Otherwise, in the
 * folder itself or in a train/ that is all there is, a share of every class is held out:
 * the pictures whose place is below it.  The place of a picture is a hash of its path, so
 * a new file moves no other to the other part.
 *
 * Classes are numbered in the order of their names' bytes.  Names that begin with a dot
 * are passed over, other files than pictures are counted.  Links are followed. */
typedef struct data_found {
    const char *path;                   /* below the root: "train/cat/1.jpg" */
    uint64_t place;                     /* the first 8 bytes of its SHA-256, big-endian */
    int64_t bytes, time;                /* time: of its last change, in ns; bytes = -1:
                                           a link to nowhere */
    int part, class;                    /* part: 0 to train on, 1 to test on */
} data_found;

typedef struct data_walk {
    data_found *file;                   /* (n), by part, place and path */
    int n, of_part[2];
    const char **class_name;            /* (classes) as in the file system, any bytes */
    int classes, ignored;
} data_walk;

/* NN_EDATA: what is wrong with the folder.  Free what there is in any case. */
nn_status data_walk_folder(const char *root, double share, nn_arena *a, data_walk *out,
                           nn_err *err);
void      data_walk_free(data_walk *w);

/* 1: there is a picture in some class of it.  A glance that reads no more than it must. */
int data_walk_glance(const char *root);

/* Size and time of a file as the walk has them: 1 when they are still those. */
int data_walk_same(const char *root, const data_found *f);

#endif
