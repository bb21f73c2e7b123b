#include "data/augment.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "nn/elem.h"

/* Two random views of an image: what makes a method "self-supervised" is that both must
 * be embedded alike.
 *
 *   crop and resize   take a random box, bring it to the size of a view
 *   flip              mirror left and right
 *   jitter            brightness, contrast, saturation, hue, in random order
 *   grey              lose the colour
 *   blur              Gaussian
 *   solarize          turn bright pixels into dark ones
 *   normalise         subtract the set's mean, divide by its deviation
 *   noise             add N(0, noise^2) to every number
 *
 * flip_early does them in this order; flip_last mirrors after solarize, as some of the
 * papers' programs do.  Mirroring commutes with everything else, so that the two orders
 * give the same view up to the rounding of one sum (the mean that contrast blends with).
 *
 * Pixels stay floats from the crop on; the papers' programs round to bytes after every
 * operation.  Vectors are normalised and given noise, which is drawn from a stream of its
 * own: views without it are the same bits as before there was any.  On one channel
 * saturation, hue and grey do nothing, but draw their numbers all the same. */

enum { CROP_TRIES = 10 };
#define NOISE_STREAM (UINT64_C(1) << 63)

/* The defaults here are those of the recipe `none`: nothing is done, and whoever turns
 * one operation on gets its usual range. */
const nn_setting data_augment_table[] = {
    NN_SET_C(data_augment, recipe, 0,
             "auto|none|grey28|simsiam_cifar|simsiam_imagenet|vicreg|vicreg_paper"
             "|ldreg_simclr|solo_simsiam|solo_simclr|solo_byol|solo_vicreg|intl_cifar"
             "|noise",
             "defaults for all keys below; auto = the one that suits the data set"),
    NN_SET_B(data_augment, crop, 0, "take a random box and resize it to the full size"),
    NN_SET_F(data_augment, scale_min, 0.2, 0.001, 1,
             "smallest share of the area to crop"),
    NN_SET_F(data_augment, scale_max, 1, 0.001, 1, "largest share of the area to crop"),
    NN_SET_F(data_augment, ratio_min, 3.0 / 4, 0.1, 10,
             "smallest width / height of a crop"),
    NN_SET_F(data_augment, ratio_max, 4.0 / 3, 0.1, 10,
             "largest width / height of a crop"),
    NN_SET_C(data_augment, interpolation, DATA_BILINEAR, "bilinear|bicubic",
             "how a crop is resized"),
    NN_SET_F(data_augment, flip, 0, 0, 1, "probability of mirroring left and right"),
    NN_SET_F(data_augment, jitter, 0, 0, 1,
             "probability of the four colour changes below"),
    NN_SET_F(data_augment, brightness, 0, 0, 2, "factor from 1-b to 1+b, at least 0"),
    NN_SET_F(data_augment, contrast, 0, 0, 2, "factor from 1-c to 1+c, at least 0"),
    NN_SET_F(data_augment, saturation, 0, 0, 2, "factor from 1-s to 1+s, at least 0"),
    NN_SET_F(data_augment, hue, 0, 0, 0.5, "shift of the hue, -h to h, in turns"),
    NN_SET_F(data_augment, grey, 0, 0, 1, "probability of losing the colour"),
    NN_SET_F(data_augment, blur, 0, 0, 1, "probability of a blur in the first view"),
    NN_SET_F(data_augment, blur2, 0, 0, 1, "the same in the second view"),
    NN_SET_F(data_augment, sigma_min, 0.1, 0.01, DATA_MOST_SIGMA,
             "narrowest blur, pixels"),
    NN_SET_F(data_augment, sigma_max, 2, 0.01, DATA_MOST_SIGMA, "widest blur, pixels"),
    NN_SET_F(data_augment, solarize, 0, 0, 1,
             "probability that the first view's values from 1/2 on are inverted"),
    NN_SET_F(data_augment, solarize2, 0, 0, 1, "the same in the second view"),
    NN_SET_C(data_augment, order, DATA_FLIP_EARLY, "flip_early|flip_last",
             "mirror before the colour changes or after everything"),
    NN_SET_F(data_augment, noise, 0, 0, 100,
             "deviation of what is added to every normalised number, also of vectors"),
    /* from here on no recipe has a say */
    NN_SET_I(data_augment, size, 0, 0, DATA_MOST_SIDE,
             "side of the views and of what is evaluated, pixels; 0 = as the images are"),
    NN_SET_I(data_augment, local_crops, 0, 0, DATA_MOST_LOCAL,
             "small crops of each image beside the views (multi-crop)"),
    NN_SET_I(data_augment, local_size, 0, 0, DATA_MOST_SIDE,
             "their side, pixels; 0 = half of a view's"),
    NN_SET_F(data_augment, local_scale_min, 0.05, 0.001, 1,
             "smallest share of the area in them"),
    NN_SET_F(data_augment, local_scale_max, 0.4, 0.001, 1,
             "largest share of the area in them"),
    NN_SET_END
};

/* ---- recipes ---- */

typedef struct recipe { const char *name; data_augment set; } recipe;

#define BOX .crop = 1, .ratio_min = 3.0 / 4, .ratio_max = 4.0 / 3
#define FLIP .flip = 0.5
#define JITTER(b, c, s, h) \
    .jitter = 0.8, .brightness = b, .contrast = c, .saturation = s, .hue = h
#define SIGMA .sigma_min = 0.1, .sigma_max = 2

/* In the order of the words of augment.recipe, without auto; test_augment.c compares.
 * Ranges are those of the papers' programs unless the line says otherwise.  The size of a
 * view is the data set's own, or augment.size: what the papers state for 224 or 32 pixels
 * is used at any size. */
static const recipe recipes[] = {
    /* defaults of the table */
    { "none",
      { .scale_min = 0.2, .scale_max = 1, .ratio_min = 3.0 / 4, .ratio_max = 4.0 / 3,
        SIGMA } },

    /* Ours, for 28 x 28 grey pictures of things that fill the frame: crops are larger and
     * blurs narrower than on photographs, and there is no colour to change. */
    { "grey28",
      { BOX, .scale_min = 0.3, .scale_max = 1, FLIP, JITTER(0.4, 0.4, 0, 0), .blur = 0.5,
        .blur2 = 0.5, .sigma_min = 0.1, .sigma_max = 1 } },

    /* SimSiam, Chen and He 2021: its CIFAR experiment has no blur; details from a public
     * re-implementation, since the authors published the ImageNet program only. */
    { "simsiam_cifar",
      { BOX, .scale_min = 0.2, .scale_max = 1, FLIP, JITTER(0.4, 0.4, 0.4, 0.1),
        .grey = 0.2, SIGMA } },
    { "simsiam_imagenet",
      { BOX, .scale_min = 0.2, .scale_max = 1, FLIP, JITTER(0.4, 0.4, 0.4, 0.1),
        .grey = 0.2, .blur = 0.5, .blur2 = 0.5, SIGMA, .order = DATA_FLIP_LAST } },

    /* VICReg, Bardes et al. 2022: the program (also LDReg on BYOL) and the paper's text
     * differ in blur and solarize. */
    { "vicreg",
      { BOX, .scale_min = 0.08, .scale_max = 1, .interpolation = DATA_BICUBIC, FLIP,
        JITTER(0.4, 0.4, 0.2, 0.1), .grey = 0.2, .blur = 1, .blur2 = 0.1, SIGMA,
        .solarize2 = 0.2 } },
    { "vicreg_paper",
      { BOX, .scale_min = 0.08, .scale_max = 1, .interpolation = DATA_BICUBIC, FLIP,
        JITTER(0.4, 0.4, 0.2, 0.1), .grey = 0.2, .blur = 0.5, .blur2 = 0.5, SIGMA,
        .solarize = 0.1, .solarize2 = 0.1 } },

    /* LDReg, Huang et al. 2024, on SimCLR.  The program does not normalise: add
     * data.normalise=false to follow it in that too. */
    { "ldreg_simclr",
      { BOX, .scale_min = 0.08, .scale_max = 1, .interpolation = DATA_BICUBIC, FLIP,
        JITTER(0.8, 0.8, 0.8, 0.2), .grey = 0.2, .blur = 0.5, .blur2 = 0.5, SIGMA } },

    /* solo-learn's CIFAR files, da Costa et al. 2022.  Where it mirrors was not verified
     * (and does not matter, see above). */
    { "solo_simsiam",
      { BOX, .scale_min = 0.08, .scale_max = 1, .interpolation = DATA_BICUBIC, FLIP,
        JITTER(0.4, 0.4, 0.4, 0.1), .grey = 0.2, .blur = 0.5, .blur2 = 0.5, SIGMA } },
    { "solo_simclr",
      { BOX, .scale_min = 0.08, .scale_max = 1, .interpolation = DATA_BICUBIC, FLIP,
        JITTER(0.8, 0.8, 0.8, 0.2), .grey = 0.2, .blur = 0.5, .blur2 = 0.5, SIGMA } },
    { "solo_byol",
      { BOX, .scale_min = 0.08, .scale_max = 1, .interpolation = DATA_BICUBIC, FLIP,
        JITTER(0.4, 0.4, 0.2, 0.1), .grey = 0.2, SIGMA, .solarize2 = 0.2 } },
    { "solo_vicreg",
      { BOX, .scale_min = 0.2, .scale_max = 1, .interpolation = DATA_BICUBIC, FLIP,
        JITTER(0.4, 0.4, 0.2, 0.1), .grey = 0.2, SIGMA, .solarize = 0.1,
        .solarize2 = 0.1 } },

    /* INTL, Weng et al. 2024 ("Modulate Your Spectrum in Self-Supervised Learning") */
    { "intl_cifar",
      { BOX, .scale_min = 0.08, .scale_max = 1, .interpolation = DATA_BICUBIC, FLIP,
        JITTER(0.4, 0.4, 0.2, 0.1), .grey = 0.2, SIGMA, .solarize2 = 0.2,
        .order = DATA_FLIP_LAST } },

    /* Ours, for vectors: numbers of variance 1, so that a view keeps 94 % of itself. */
    { "noise",
      { .scale_min = 0.2, .scale_max = 1, .ratio_min = 3.0 / 4, .ratio_max = 4.0 / 3,
        SIGMA, .noise = 0.25 } },
};

const data_augment *data_recipe_find(const char *name)
{
    for (size_t i = 0; i < NN_COUNT(recipes); i++)
        if (strcmp(recipes[i].name, name) == 0)
            return &recipes[i].set;
    return NULL;
}

int data_in_recipe(const nn_setting *s)
{
    return s->at < offsetof(data_augment, size);
}

static void copy_field(const nn_setting *s, const data_augment *from, data_augment *to)
{
    size_t size = s->kind == NN_FLOAT ? sizeof(double) : sizeof(int);
    memcpy((char *)to + s->at, (const char *)from + s->at, size);
}

static nn_status check_range(const char *what, double lo, double hi, nn_err *err)
{
    if (lo <= hi)
        return NN_OK;
    return nn_fail(err, NN_ECONFIG,
                   "augment: %s_min = %g is above %s_max = %g; lower it or "
                   "raise the other", what, lo, what, hi);
}

nn_status data_augment_resolve(data_augment *a, const unsigned char *given,
                               const char *suits, nn_err *err)
{
    const nn_setting *table = data_augment_table;
    int count = (int)NN_COUNT(recipes), wanted = a->recipe - 1;

    for (int i = 0; a->recipe == 0 && i < count; i++)
        if (suits && strcmp(recipes[i].name, suits) == 0)
            wanted = i;
    if (wanted < 0 || wanted >= count)
        return nn_fail(err, NN_ECONFIG, "augment.recipe: there is no recipe '%s'; see "
                       "`fullrank help config`", suits ? suits : "");
    a->recipe = wanted + 1;
    for (int k = 1; table[k].name; k++)
        if (data_in_recipe(&table[k]) && (!given || !given[k]))
            copy_field(&table[k], &recipes[wanted].set, a);

    NN_TRY(check_range("scale", a->scale_min, a->scale_max, err));
    NN_TRY(check_range("local_scale", a->local_scale_min, a->local_scale_max, err));
    NN_TRY(check_range("ratio", a->ratio_min, a->ratio_max, err));
    return check_range("sigma", a->sigma_min, a->sigma_max, err);
}

int data_augment_of_pictures(const data_augment *a)
{
    const nn_setting *table = data_augment_table;
    const struct { size_t at; int on; } does[] = {
        { offsetof(data_augment, crop), a->crop },
        { offsetof(data_augment, flip), a->flip > 0 },
        { offsetof(data_augment, jitter), a->jitter > 0 },
        { offsetof(data_augment, grey), a->grey > 0 },
        { offsetof(data_augment, blur), a->blur > 0 },
        { offsetof(data_augment, blur2), a->blur2 > 0 },
        { offsetof(data_augment, solarize), a->solarize > 0 },
        { offsetof(data_augment, solarize2), a->solarize2 > 0 },
        { offsetof(data_augment, size), a->size > 0 },
        { offsetof(data_augment, local_crops), a->local_crops > 0 },
    };

    for (size_t k = 0; k < NN_COUNT(does); k++)
        for (int i = 0; does[k].on && table[i].name; i++)
            if (table[i].at == does[k].at)
                return i;
    return -1;
}

/* ---- what is drawn ---- */

/* The middle of the image, as large as the range of ratios allows. */
static data_box centre_box(const data_augment *a, int h, int w)
{
    double ratio = (double)w / h;
    data_box b = { 0, 0, h, w };

    if (ratio < a->ratio_min)
        b.h = (int)rint(w / a->ratio_min);
    else if (ratio > a->ratio_max)
        b.w = (int)rint(h * a->ratio_max);
    b.top = (h - b.h) / 2;
    b.left = (w - b.w) / 2;
    return b;
}

/* An area and a ratio, uniform and log-uniform; a box that does not fit is drawn anew. */
static data_box random_box(const data_augment *a, int h, int w, nn_rng *r)
{
    double lo = nn_log(a->ratio_min), hi = nn_log(a->ratio_max);

    for (int i = 0; i < CROP_TRIES; i++) {
        double area = nn_rng_range(r, a->scale_min, a->scale_max) * h * w;
        double ratio = nn_exp(nn_rng_range(r, lo, hi));
        data_box b = { .h = (int)rint(sqrt(area / ratio)),
                       .w = (int)rint(sqrt(area * ratio)) };
        if (b.h > 0 && b.h <= h && b.w > 0 && b.w <= w) {
            b.top = (int)nn_rng_below(r, (uint32_t)(h - b.h + 1));
            b.left = (int)nn_rng_below(r, (uint32_t)(w - b.w + 1));
            return b;
        }
    }
    return centre_box(a, h, w);
}

static int happens(nn_rng *r, double probability)
{
    return nn_rng_double(r) < probability;
}

static float factor_of(nn_rng *r, double strength)
{
    double lo = strength < 1 ? 1 - strength : 0;
    return (float)nn_rng_range(r, lo, 1 + strength);
}

data_draw data_draw_view(const data_augment *a, int h, int w, int view, nn_rng *r)
{
    data_draw d = { .box = { 0, 0, h, w } };

    d.flip = happens(r, a->flip);
    d.jitter = happens(r, a->jitter);
    d.grey = happens(r, a->grey);
    d.blur = happens(r, view ? a->blur2 : a->blur);
    d.solarize = happens(r, view ? a->solarize2 : a->solarize);
    d.factor[DATA_BRIGHTNESS] = factor_of(r, a->brightness);
    d.factor[DATA_CONTRAST] = factor_of(r, a->contrast);
    d.factor[DATA_SATURATION] = factor_of(r, a->saturation);
    d.factor[DATA_HUE] = (float)nn_rng_range(r, -a->hue, a->hue);
    d.sigma = nn_rng_range(r, a->sigma_min, a->sigma_max);

    for (int k = 0; k < DATA_JITTERS; k++) {
        int at = (int)nn_rng_below(r, (uint32_t)k + 1);
        d.order[k] = d.order[at];
        d.order[at] = k;
    }
    if (a->crop)
        d.box = random_box(a, h, w, r);
    return d;
}

/* ---- one view ---- */

static void jitter(const data_draw *draw, float *x, size_t pixels, int c)
{
    static void (*const change[DATA_JITTERS])(float *, size_t, int, float) = {
        [DATA_BRIGHTNESS] = data_brightness, [DATA_CONTRAST] = data_contrast,
        [DATA_SATURATION] = data_saturation, [DATA_HUE] = data_hue
    };

    for (int k = 0; k < DATA_JITTERS; k++) {
        int which = draw->order[k];
        float neutral = which == DATA_HUE ? 0 : 1;
        if (draw->factor[which] != neutral)
            change[which](x, pixels, c, draw->factor[which]);
    }
}

size_t data_augment_space(const data_images *d)
{
    return data_pixel_space(data_stored_h(d), data_stored_w(d), d->c, d->h, d->w);
}

void data_make_view(const data_augment *a, const data_images *d, int i,
                    const data_draw *draw, int h, int w, float *out, void *work)
{
    int c = d->c;
    size_t pixels = (size_t)h * w;

    data_resize(d, data_pixel_at(d, i), draw->box, a->interpolation, h, w, out, work);
    if (draw->flip && a->order == DATA_FLIP_EARLY)
        data_flip(out, h, w, c);
    if (draw->jitter)
        jitter(draw, out, pixels, c);
    if (draw->grey)
        data_grey(out, pixels, c);
    if (draw->blur)
        data_blur(out, h, w, c, draw->sigma, work);
    if (draw->solarize)
        data_solarize(out, pixels * c);
    if (draw->flip && a->order == DATA_FLIP_LAST)
        data_flip(out, h, w, c);
    data_normalise(d, out, pixels);
}

/* The address of all draws of a view: pairs 0 and 1 are the views', later ones the local
 * crops', of which each has a pair for itself. */
static uint64_t sample_of(int i, int pair, int second)
{
    return (uint64_t)pair << 32 | ((uint64_t)i * 2 + (uint64_t)second);
}

static void add_noise(const data_augment *a, uint64_t seed, uint32_t epoch,
                      uint64_t sample, float *x, size_t count)
{
    nn_rng r = nn_rng_at(seed, NN_RNG_AUGMENT, epoch, NOISE_STREAM | sample);
    for (size_t k = 0; k < count; k++)
        x[k] += (float)(a->noise * nn_rng_normal(&r));
}

void data_augment_view(const data_augment *a, const data_images *d, int i, int view,
                       uint64_t seed, uint32_t epoch, float *out, void *work)
{
    NN_NEED(i >= 0 && i < d->n && view >= 0 && view < DATA_MOST_VIEWS,
            "view %d of image %d of %d", view, i, d->n);
    int second = view % 2;
    uint64_t sample = sample_of(i, view / 2, second);

    if (d->value) {
        data_plain(d, NULL, i, 1, out);
    } else {
        nn_rng r = nn_rng_at(seed, NN_RNG_AUGMENT, epoch, sample);
        data_draw draw = data_draw_view(a, data_stored_h(d), data_stored_w(d), second, &r);
        data_make_view(a, d, i, &draw, d->h, d->w, out, work);
    }
    if (a->noise > 0)
        add_noise(a, seed, epoch, sample, out, (size_t)d->h * d->w * d->c);
}

/* ---- local crops ---- */

int data_local_side(const data_augment *a, const data_images *d)
{
    int shorter = d->h < d->w ? d->h : d->w;
    return a->local_size ? a->local_size : (shorter + 1) / 2;
}

size_t data_local_space(const data_augment *a, const data_images *d)
{
    int side = data_local_side(a, d);
    return data_pixel_space(data_stored_h(d), data_stored_w(d), d->c, side, side);
}

void data_augment_local(const data_augment *a, const data_images *d, int i, int k,
                        uint64_t seed, uint32_t epoch, float *out, void *work)
{
    int side = data_local_side(a, d);
    data_augment small = *a;

    NN_NEED(i >= 0 && i < d->n && k >= 0 && k < DATA_MOST_LOCAL && d->pixel,
            "local crop %d of image %d of %d", k, i, d->n);
    small.crop = 1;
    small.scale_min = a->local_scale_min;
    small.scale_max = a->local_scale_max;
    uint64_t sample = sample_of(i, DATA_MOST_VIEWS / 2 + k, 0);
    nn_rng r = nn_rng_at(seed, NN_RNG_AUGMENT, epoch, sample);
    data_draw draw = data_draw_view(&small, data_stored_h(d), data_stored_w(d), 0, &r);
    data_make_view(a, d, i, &draw, side, side, out, work);
    if (a->noise > 0)
        add_noise(a, seed, epoch, sample, out, (size_t)side * side * d->c);
}
