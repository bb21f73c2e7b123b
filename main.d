main.o: experiments/main.c experiments/ask.h nn/base.h \
  experiments/config.h data/data.h nn/arena.h nn/rng.h nn/setting.h \
  nn/model.h nn/layer.h nn/ops.h nn/tape.h nn/tensor.h nn/quant/quant.h \
  nn/quant/quant.def optim/opt.h ssl/objective.h ssl/method.h \
  experiments/data_command.h experiments/eval.h experiments/loss.h \
  experiments/plan.h experiments/memory.h nn/room.h experiments/run.h \
  experiments/codes.h metrics/code.h metrics/met.h metrics/image.h \
  experiments/quantise.h experiments/report.h experiments/reproduce.h \
  experiments/train.h experiments/version.h

experiments/ask.h:

nn/base.h:

experiments/config.h:

data/data.h:

nn/arena.h:

nn/rng.h:

nn/setting.h:

nn/model.h:

nn/layer.h:

nn/ops.h:

nn/tape.h:

nn/tensor.h:

nn/quant/quant.h:

nn/quant/quant.def:

optim/opt.h:

ssl/objective.h:

ssl/method.h:

experiments/data_command.h:

experiments/eval.h:

experiments/loss.h:

experiments/plan.h:

experiments/memory.h:

nn/room.h:

experiments/run.h:

experiments/codes.h:

metrics/code.h:

metrics/met.h:

metrics/image.h:

experiments/quantise.h:

experiments/report.h:

experiments/reproduce.h:

experiments/train.h:

experiments/version.h:
