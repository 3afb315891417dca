/* Weights of 16 bits, widened, for x86-64 with AVX2, FMA and F16C, whatever the rest is compiled
   for. */

#if defined(__x86_64__) || defined(_M_X64)

#include <immintrin.h>
#include <stdint.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC target("avx2,fma,f16c")
#endif

#define MICRO_F16C
#include "micro_loops.h"
#include "micro_avx2.h"
#include "micro_widen.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else
typedef int erniem_not_x86; /* C wants a declaration in every file */
#endif
