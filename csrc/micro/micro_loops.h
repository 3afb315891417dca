/* How loops are unrolled and functions inlined, by each compiler. TWICE: two steps in a row, before the
   loop is closed. */

#ifndef ERNIEM_MICRO_LOOPS_H
#define ERNIEM_MICRO_LOOPS_H

#if defined(__clang__)
#define INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("clang loop unroll(full)")
#define TWICE /* clang 14 loads for both steps at once, and runs out of registers */
#elif defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("GCC unroll 24")
#define TWICE _Pragma("GCC unroll 2")
#else
#define INLINE static inline
#define UNROLLED
#define TWICE
#endif

#endif
