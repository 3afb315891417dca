/* The innermost loops for x86-64 with AVX-512 F, whatever the rest is compiled for. */

#if defined(__x86_64__) || defined(_M_X64)

#include <immintrin.h>
#include <stdint.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx2,fma"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC target("avx512f,avx2,fma")
#endif

/* 27 sums, 3 of the panel, 1 of the rows: 31 registers. 14 rows by 2 vectors have one sum more, but 16
   loads for 28 multiply-adds where these have 12 for 27: threads that share a core wait for each other's
   loads and instructions. */
#define MICRO_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9)
enum { MR = 9, NV = 3 };

#include "micro_avx512.h"
#include "micro_body.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else
typedef int erniem_not_x86; /* C wants a declaration in every file */
#endif
