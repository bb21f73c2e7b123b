npy.o: experiments/npy.c experiments/npy.h nn/arena.h nn/base.h

experiments/npy.h:

nn/arena.h:

nn/base.h:
