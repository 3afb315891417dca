/* How loops are unrolled and functions inlined, by each compiler. */

#ifndef ERNIEM_MICRO_LOOPS_H
#define ERNIEM_MICRO_LOOPS_H

#if defined(__clang__)
#define INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("GCC unroll 24")
#else
#define INLINE static inline
#define UNROLLED
#endif

#endif
