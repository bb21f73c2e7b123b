toy_codes.o: experiments/toy_codes.c experiments/toy_codes.h nn/ops.h \
  nn/tape.h nn/tensor.h nn/arena.h nn/par.h nn/quant/search.h nn/rng.h \
  optim/opt.h nn/base.h nn/setting.h

experiments/toy_codes.h:

nn/ops.h:

nn/tape.h:

nn/tensor.h:

nn/arena.h:

nn/par.h:

nn/quant/search.h:

nn/rng.h:

optim/opt.h:

nn/base.h:

nn/setting.h:
