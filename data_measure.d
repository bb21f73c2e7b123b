data_measure.o: experiments/data_measure.c experiments/data_measure.h \
  data/data.h nn/arena.h nn/base.h nn/rng.h nn/setting.h

experiments/data_measure.h:

data/data.h:

nn/arena.h:

nn/base.h:

nn/rng.h:

nn/setting.h:
