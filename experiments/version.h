#ifndef EX_VERSION_H
#define EX_VERSION_H

#define EX_VERSION "0.1.0"

#ifdef __clang__
#define EX_COMPILER "clang " __clang_version__
#else
#define EX_COMPILER "gcc " __VERSION__
#endif

#endif
