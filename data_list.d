data_list.o: experiments/data_list.c data/places.h \
  experiments/data_task.h data/data.h nn/arena.h nn/base.h nn/rng.h \
  nn/setting.h experiments/data_command.h

data/places.h:

experiments/data_task.h:

data/data.h:

nn/arena.h:

nn/base.h:

nn/rng.h:

nn/setting.h:

experiments/data_command.h:
