#ifndef DATA_DATA_H
#define DATA_DATA_H

#include <signal.h>
#include <stdint.h>
#include "nn/arena.h"
#include "nn/base.h"
#include "nn/rng.h"
#include "nn/setting.h"

/* A data set in memory: images of one size, channels last, labels beside them.
 *
 * Pictures are bytes (`pixel`); sets of plain vectors are numbers (`value`, h = w = 1 and
 * c numbers each), which no operation on pictures touches.  One of the two is there.
 *
 * n images are drawn from the rows that are stored: image i is row[i], so that a subset or
 * a long tail costs an index and no copy.  What is stored may also have another size than
 * what is handed out (augment.size): h x w is what everybody gets, stored_h x stored_w
 * what lies in memory; 0: the same. */
typedef struct data_images {
    int n, h, w, c, classes;
    const uint8_t *pixel;               /* (rows, stored_h, stored_w, c), or NULL */
    const float *value;                 /* (rows, h, w, c) instead, or NULL */
    const uint32_t *row;                /* (n), or NULL: image i is row i */
    const uint16_t *label;              /* (n), below classes <= DATA_MOST_CLASSES */
    int unlabelled;                     /* the last so many have none (label 0) */
    const float *factor; int factors;   /* (n, factors) true factors, or NULL */
    float mean[3], std[3];              /* per channel on the 0..1 scale; of numbers
                                           mean[0] and std[0], for all of them */
    int stored_h, stored_w;
    char *space; size_t space_each;     /* for data_plain of another size, one a thread */
    const char *const *names;           /* of the classes, NULL-terminated, or NULL */
    const char *const *factor_names;    /* (factors), or NULL */
    int balanced;                       /* data.sampler: every class equally often */
    uint64_t print;                     /* fingerprint of the rows, if a cache knows it */
    struct data_map *map;               /* file behind pixel, for data_release; or NULL */
    int skipped;                        /* files left out because they are unreadable */
} data_images;

enum { DATA_MOST_CLASSES = 1024 };      /* ImageNet has 1000; also the metrics' bound */

/* Where image i lies: its bytes, its numbers. */
const uint8_t *data_pixel_at(const data_images *d, int i);
const float   *data_value_at(const data_images *d, int i);

/* Numbers of an image as it is stored, and image i, pictures on the scale 0 to 255. */
int    data_stored_h(const data_images *d);
int    data_stored_w(const data_images *d);
size_t data_raw_count(const data_images *d);
void   data_raw(const data_images *d, int i, float *out);

/* Mean and deviation that column j, of c, was normalised with. */
float data_mean_of(const data_images *d, int j);
float data_std_of(const data_images *d, int j);

/* Images with a label: they come first. */
int data_labelled(const data_images *d);

/* Gives back what lies outside of the arena; d may hold nothing. */
void data_release(data_images *d);

typedef struct data_settings {          /* section `data` of the config */
    const char *name;                   /* chosen from datasets.def */
    const char *dir;                    /* where its files are; "" = the usual places */
    int limit, test_limit;              /* first so many images, 0 = all */
    int split;                          /* emnist, stl10: which part of them */
    int upright;                        /* emnist: 0: as its files have them */
    const char *batches;                /* cifar10: "1,3"; "" = all five */
    int labels;                         /* cifar100: fine | coarse */
    int size;                           /* made sets: how many to make (train) */
    int difficulty;                     /* shapes: normal | easy | hard */
    int dim, intrinsic, components;     /* made vectors: D, k, K */
    double separation, noise, offset;
    const char *classes;                /* "0,3,5" or "cat,dog": these alone; "" = all */
    double fraction;                    /* of every class; 0 = all */
    double long_tail;                   /* largest class / smallest; 0 = as it is */
    double shortcut, shortcut_test;     /* share in the colour of their class; 0 = grey */
    int subset_seed;                    /* which images these five take */
    int sampler;                        /* shuffle | balanced */
    double test_share;                  /* held out where there is no test part */
    int side, fit, resample, channels;  /* folder: what pictures become */
    int broken;                         /* folder: unreadable pictures */
    const char *cache;                  /* folder of decoded pictures; "" = the usual */
    int normalise;                      /* 0: pixels stay in 0..1 */
    int symmetric;                      /* 1: pixels from -1 to 1 instead */
} data_settings;

enum { DATA_AUTO, DATA_BALANCED, DATA_BYCLASS, DATA_BYMERGE, DATA_LETTERS, DATA_DIGITS,
       DATA_MNIST, DATA_TRAIN, DATA_UNLABELED, DATA_BOTH };             /* of split */
enum { DATA_FINE, DATA_COARSE };                                        /* of labels */
enum { DATA_CROP, DATA_SQUASH, DATA_PAD };              /* of fit */
enum { DATA_REFUSE, DATA_SKIP };                        /* of broken */
enum { DATA_RGB, DATA_GREY };                           /* of channels */

extern const nn_setting data_setting_table[];

/* What loading has to tell while it lasts: with of > 0, that `done` of `of` are done, the
 * text says what of; with of = 0 a remark, one sentence.  Told by the thread that loads,
 * to nobody unless the program has said who listens. */
typedef void data_teller(const char *text, long done, long of);
void data_on_news(data_teller *tell);
void data_tell(long done, long of, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* What a signal sets to another value than 0 ends what loading does for long, decoding and
 * waiting for a run that decodes: with NN_EAGAIN, and without a rest in the cache. */
void data_heed(const volatile sig_atomic_t *stop);
int  data_stopped(void);

/* A file of a set as it is published, for `fullrank data fetch-help` and `check`.  What
 * is not known for certain is not there: 0 bytes, no md5. */
typedef struct data_file { const char *name; long long bytes; const char *md5; } data_file;

typedef struct data_source {
    const char *name, *about, *package; /* Debian package that brings it, or NULL */
    const char *const *labels;          /* class names, NULL-terminated; NULL: its
                                           files tell (data_images.names) */
    const char *const *factors;         /* names of the true factors, or NULL */
    const char *recipe;                 /* augmentation that suits it: "grey28" */
    const data_file *files;             /* up to one without a name; NULL: no fixed files */
    const char *origin;                 /* where they are published, for people to go to */
    const void *reader;                 /* what a reader of several sets asks about this one */
    int train, test, h, w, c, classes;  /* as published, or made by default; 0: the files
                                           tell.  For `fullrank data list` alone */
    int own;                            /* 1: the user's own files, named in data.dir */
    /* Fills train and test; files, sizes and corruption are NN_EDATA with one clear text.
     * Called through data_load. */
    nn_status (*load)(const data_settings *s, uint64_t seed, nn_arena *a,
                      data_images *train, data_images *test, nn_err *err);
    /* 1 when its files can be found, for `fullrank doctor`; the folder goes to where. */
    int (*present)(const data_settings *s, char *where, size_t size);
} data_source;

int                data_source_count(void);
const data_source *data_source_at(int i);
const data_source *data_source_find(const char *name);  /* NULL if there is none */

/* Finds s->name, loads it, takes the part that is wanted (data/subset.h) and applies
 * s->normalise.  An unknown name is NN_ECONFIG and names the nearest one. */
nn_status data_load(const data_settings *s, uint64_t seed, nn_arena *a,
                    data_images *train, data_images *test, nn_err *err);

/* Hands out every picture of d as side x side (augment.size): views go straight there,
 * plain images are resized whole (bilinear, antialiased), whatever shape they had.
 * side = 0: nothing.  NN_ECONFIG when d holds numbers. */
nn_status data_view_size(data_images *d, int side, nn_arena *a, nn_err *err);

/* 64 bits over sizes, pixels or numbers, and labels, image by image: sets with the same
 * value are the same set.  d->print when that is not 0: who changes rows sets it to 0. */
uint64_t data_fingerprint(const data_images *d);

/* Augmentation: the settings of spec 1.5; the recipes grey28, simsiam_cifar ... are
 * rows of defaults (augment.recipe), each key can be overridden. */
typedef struct data_augment {           /* section `augment` of the config */
    int recipe;                         /* auto | none | grey28 | simsiam_cifar | ... */
    int crop;                           /* 0: no random crop (the ablation is one flag) */
    double scale_min, scale_max, ratio_min, ratio_max;
    int interpolation;                  /* bilinear | bicubic */
    double flip;
    double jitter, brightness, contrast, saturation, hue;
    double grey;
    double blur, blur2, sigma_min, sigma_max;           /* probability in view 1 and 2 */
    double solarize, solarize2;
    int order;                          /* flip_early | flip_last */
    double noise;                       /* deviation, on normalised numbers */
    int size;                           /* from here on no recipe has a say */
    int local_crops, local_size;
    double local_scale_min, local_scale_max;
} data_augment;

enum { DATA_MOST_SIDE = 4096, DATA_MOST_LOCAL = 8 };

extern const nn_setting data_augment_table[];

/* 1 for the rows of that table that recipes set. */
int data_in_recipe(const nn_setting *row);

/* Replaces, in *a, every setting the user did not give by the recipe's value; `given[i]`
 * is 1 for rows of data_augment_table that the user set (NULL: none).  recipe = auto
 * takes `suits`; afterwards a->recipe names the recipe taken.  A minimum above its
 * maximum is NN_ECONFIG. */
nn_status data_augment_resolve(data_augment *a, const unsigned char *given,
                               const char *suits, nn_err *err);

/* The first setting, as its row in data_augment_table, that does something to pictures
 * only (crop, flip, colour ...); -1: none does, and vectors can be had. */
int data_augment_of_pictures(const data_augment *a);

/* One view of image i: (h, w, c) floats, normalised; of vectors only noise is drawn.  Views
 * 0 and 2 use the augmentation of "the first view", 1 and 3 that of "the second"; each
 * draws for itself.  A function of its arguments alone.  `work` has data_augment_space
 * bytes, aligned like arena memory. */
size_t data_augment_space(const data_images *d);
void   data_augment_view(const data_augment *a, const data_images *d, int i, int view,
                         uint64_t seed, uint32_t epoch, float *out, void *work);

/* Local crop k of image i, below DATA_MOST_LOCAL: (side, side, c) floats, a small part of
 * the picture (local_scale_min to _max of its area) with the augmentation of the first
 * view (SwAV, Caron et al. 2020).  It draws for itself: no view changes. */
int    data_local_side(const data_augment *a, const data_images *d);
size_t data_local_space(const data_augment *a, const data_images *d);
void   data_augment_local(const data_augment *a, const data_images *d, int i, int k,
                          uint64_t seed, uint32_t epoch, float *out, void *work);

/* Images, normalised and not augmented: (n, h, w, c).  index = NULL: first .. first+n-1;
 * otherwise index[first] .. index[first+n-1]. */
void data_plain(const data_images *d, const uint32_t *index, int first, int n,
                float *out);

/* Batches of augmented views.  The next batch is made while the trainer computes
 * (nn_par_ahead): the values do not depend on who makes them, or when. */
typedef struct data_loader data_loader;

enum { DATA_MOST_VIEWS = 4 };

typedef struct data_batch {
    int n, epoch, step;
    const float *view[DATA_MOST_VIEWS]; /* (n, h, w, c) each, NULL beyond the loader's
                                           number; valid until the next call */
    const float *local[DATA_MOST_LOCAL]; /* (n, side, side, c) each, augment.local_crops
                                           of them, then NULL */
    const uint32_t *index;              /* (n) into the data set */
} data_batch;

/* NN_ECONFIG when the set does not fill one batch; ask before data_loader_new, to which
 * it is a bug of the caller. */
nn_status    data_loader_check(const data_images *d, int batch, nn_err *err);
data_loader *data_loader_new(nn_arena *a, const data_images *d, const data_augment *g,
                             uint64_t seed, int batch, int views);
int data_loader_steps(const data_loader *l); /* per epoch; the rest is dropped */
/* Batch `step` of `epoch`; starts on the one after it.  Asking for another than that
 * (resume) is allowed and costs one batch of work. */
data_batch data_loader_get(data_loader *l, int epoch, int step);

/* What making views has cost so far: processor time of the threads that made them, in
 * seconds, and the images whose views they are.  Most of it is hidden: threads make
 * the next batch while they would wait for each other. */
typedef struct data_cost { double seconds; long images; } data_cost;
data_cost data_loader_cost(const data_loader *l);

/* Drops what is being made ahead: call before the arena goes. */
void data_loader_stop(data_loader *l);

#endif
