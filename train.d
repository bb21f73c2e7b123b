train.o: experiments/train.c experiments/train.h nn/base.h \
  experiments/checkpoint.h experiments/runlog.h experiments/evaluate.h \
  experiments/run.h experiments/codes.h metrics/code.h metrics/met.h \
  nn/arena.h metrics/image.h nn/quant/quant.h nn/layer.h nn/ops.h \
  nn/tape.h nn/tensor.h nn/setting.h nn/quant/quant.def \
  experiments/config.h data/data.h nn/rng.h nn/model.h optim/opt.h \
  ssl/objective.h ssl/method.h experiments/folder.h \
  experiments/safetensors.h experiments/init.h experiments/machine.h \
  experiments/memory.h nn/room.h experiments/profile.h nn/profile.h \
  experiments/progress.h experiments/settings.h experiments/words.h \
  nn/kern/kern.h nn/par.h nn/watch.h

experiments/train.h:

nn/base.h:

experiments/checkpoint.h:

experiments/runlog.h:

experiments/evaluate.h:

experiments/run.h:

experiments/codes.h:

metrics/code.h:

metrics/met.h:

nn/arena.h:

metrics/image.h:

nn/quant/quant.h:

nn/layer.h:

nn/ops.h:

nn/tape.h:

nn/tensor.h:

nn/setting.h:

nn/quant/quant.def:

experiments/config.h:

data/data.h:

nn/rng.h:

nn/model.h:

optim/opt.h:

ssl/objective.h:

ssl/method.h:

experiments/folder.h:

experiments/safetensors.h:

experiments/init.h:

experiments/machine.h:

experiments/memory.h:

nn/room.h:

experiments/profile.h:

nn/profile.h:

experiments/progress.h:

experiments/settings.h:

experiments/words.h:

nn/kern/kern.h:

nn/par.h:

nn/watch.h:
