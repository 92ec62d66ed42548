/* trainer/nn/clones.h - one source, several instruction sets, chosen when the program starts.
 *
 * TH_CLONES before a function's definition compiles it for AVX-512 (x86-64-v4), for AVX2
 * (x86-64-v3) and for any x86-64, and lets the loader take the best one. Inline helpers without
 * target attributes become part of each clone. Not under a sanitizer, whose runtime starts after
 * the loader has asked the resolvers; nor under clang, which cannot clone static functions. */
#ifndef TH_TRAINER_NN_CLONES_H
#define TH_TRAINER_NN_CLONES_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(TH_SANITIZE)
#define TH_CLONED
#define TH_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define TH_CLONES
#endif

#endif
