test_data_command.o: tests/test_data_command.c data/data.h nn/arena.h \
  nn/base.h nn/rng.h nn/setting.h data/image.h tests/program.h \
  tests/suites.h tests/suites.def

data/data.h:

nn/arena.h:

nn/base.h:

nn/rng.h:

nn/setting.h:

data/image.h:

tests/program.h:

tests/suites.h:

tests/suites.def:
