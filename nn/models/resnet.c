/* resnet8, resnet18: residual networks of basic blocks.
 *
 *   block(x) = relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))
 *   shortcut = x, or bn(1 x 1 convolution) where the shape changes
 *
 * (He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2016.)  The stem
 * for small images is one 3 x 3 convolution without pooling; `stem: imagenet` is the
 * 7 x 7 of stride 2 with a 3 x 3 max-pool.  Stages halve the image from the second on.
 * Parameter names are torchvision's, so a ResNet-18 of theirs fits by name.
 *
 * zero_init_residual starts the scale of every block's last BatchNorm at 0, so that each
 * block begins as its shortcut; SimSiam and VICReg train so (spec 1.2). */
#include <stdio.h>

#include "nn/base.h"
#include "nn/model.h"

enum { STAGES = 4, BLOCKS = 8 };
enum { STEM_CIFAR, STEM_IMAGENET };

typedef struct resnet_config {
    double width;
    int stem, zero_init_residual;
} resnet_config;

static const nn_setting settings[] = {
    NN_SET_F(resnet_config, width, 1, 0.01, 16, "multiplies the channels of every stage"),
    NN_SET_C(resnet_config, stem, STEM_CIFAR, "cifar|imagenet",
             "3x3 without pooling, or 7x7 of stride 2 with a 3x3 max-pool"),
    NN_SET_B(resnet_config, zero_init_residual, 1, "start every block as its shortcut"),
    NN_SET_END
};

typedef struct block {
    nn_conv_layer conv1, conv2, down;
    nn_bn_layer bn1, bn2, down_bn;
    int has_down;
} block;

typedef struct resnet {
    nn_conv_layer conv1;
    nn_bn_layer bn1;
    int pool, blocks;
    block block[BLOCKS];
} resnet;

static block new_block(nn_store *s, const char *name, int cin, int cout, int stride,
                       int zero_init)
{
    char part[64];
    block b = { .has_down = stride != 1 || cin != cout };

    snprintf(part, sizeof part, "%s.conv1", name);
    b.conv1 =
        nn_conv_new(s, part, cin, cout, 3, stride, 1, NN_NO_BIAS, NN_INIT_HE_FAN_OUT);
    snprintf(part, sizeof part, "%s.bn1", name);
    b.bn1 = nn_bn_new(s, part, cout, NN_AFFINE);
    snprintf(part, sizeof part, "%s.conv2", name);
    b.conv2 = nn_conv_new(s, part, cout, cout, 3, 1, 1, NN_NO_BIAS, NN_INIT_HE_FAN_OUT);
    snprintf(part, sizeof part, "%s.bn2", name);
    b.bn2 = nn_bn_new(s, part, cout, NN_AFFINE);
    if (zero_init)
        nn_init_constant(b.bn2.weight, 0);
    if (b.has_down) {
        snprintf(part, sizeof part, "%s.downsample.0", name);
        b.down =
            nn_conv_new(s, part, cin, cout, 1, stride, 0, NN_NO_BIAS, NN_INIT_HE_FAN_OUT);
        snprintf(part, sizeof part, "%s.downsample.1", name);
        b.down_bn = nn_bn_new(s, part, cout, NN_AFFINE);
    }
    return b;
}

static void *new_net(nn_store *s, const resnet_config *c, int channels, int stages,
                     const int *widths, int per_stage, int *width)
{
    resnet *m = NN_NEW0(s->arena, resnet, 1);
    int from = nn_model_width(widths[0], c->width);

    NN_NEED(stages <= STAGES && stages * per_stage <= BLOCKS,
            "resnet: %d blocks, room for %d", stages * per_stage, BLOCKS);
    if (c->stem == STEM_IMAGENET)
        m->conv1 = nn_conv_new(s, "conv1", channels, from, 7, 2, 3, NN_NO_BIAS,
                               NN_INIT_HE_FAN_OUT);
    else
        m->conv1 = nn_conv_new(s, "conv1", channels, from, 3, 1, 1, NN_NO_BIAS,
                               NN_INIT_HE_FAN_OUT);
    m->bn1 = nn_bn_new(s, "bn1", from, NN_AFFINE);
    m->pool = c->stem == STEM_IMAGENET;
    for (int i = 0; i < stages; i++)
        for (int j = 0; j < per_stage; j++) {
            char name[32];
            int to = nn_model_width(widths[i], c->width);
            snprintf(name, sizeof name, "layer%d.%d", i + 1, j);
            m->block[m->blocks++] = new_block(s, name, from, to, i && !j ? 2 : 1,
                                              c->zero_init_residual);
            from = to;
        }
    *width = from;
    return m;
}

static void *build8(nn_store *s, const void *config, nn_image_shape in, int *width)
{
    return new_net(s, config, in.c, 3, (const int[]){ 16, 32, 64 }, 1, width);
}

static void *build18(nn_store *s, const void *config, nn_image_shape in, int *width)
{
    return new_net(s, config, in.c, 4, (const int[]){ 64, 128, 256, 512 }, 2, width);
}

static nn_node *forward_block(nn_tape *t, const block *b, nn_node *x)
{
    nn_node *y = nn_bn_apply(t, &b->bn1, nn_conv_apply(t, &b->conv1, x), NULL, NN_RELU);
    nn_node *shortcut = x;

    if (b->has_down)
        shortcut =
            nn_bn_apply(t, &b->down_bn, nn_conv_apply(t, &b->down, x), NULL, NN_LINEAR);
    return nn_bn_apply(t, &b->bn2, nn_conv_apply(t, &b->conv2, y), shortcut, NN_RELU);
}

static nn_node *forward(nn_tape *t, const void *state, nn_node *x)
{
    const resnet *m = state;

    x = nn_bn_apply(t, &m->bn1, nn_conv_apply(t, &m->conv1, x), NULL, NN_RELU);
    if (m->pool)
        x = nn_maxpool(t, x, 3, 2, 1);
    for (int i = 0; i < m->blocks; i++)
        x = forward_block(t, &m->block[i], x);
    return nn_globalpool(t, x);
}

const nn_model nn_model_resnet8 = {
    .name = "resnet8", .about = "three stages of one basic block, 16-32-64 channels",
    .config_size = sizeof(resnet_config), .settings = settings, .build = build8,
    .forward = forward
};

const nn_model nn_model_resnet18 = {
    .name = "resnet18", .about = "four stages of two basic blocks, 64-128-256-512 channels",
    .config_size = sizeof(resnet_config), .settings = settings, .build = build18,
    .forward = forward
};
