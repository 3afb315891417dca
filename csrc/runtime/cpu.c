/* Which instruction set: the best that this processor has and this build contains. */

#include <string.h>

#include "internal.h"

#if defined(__x86_64__) || defined(_M_X64)
#if defined(_MSC_VER)
#include <immintrin.h>
#include <intrin.h>
static int bit(int leaf, int word, int number)
{
    int words[4];
    __cpuidex(words, leaf, 0);
    return words[word] >> number & 1;
}
/* The system must save the wider registers too: bits 1, 2 (AVX) and 5, 6, 7 (AVX-512) of XCR0. */
static int saved(unsigned mask) { return bit(1, 2, 27) && (_xgetbv(0) & mask) == mask; }
static int has_avx2(void) { return saved(0x06) && bit(7, 1, 5) && bit(1, 2, 12); }
static int has_avx512(void) { return has_avx2() && saved(0xe6) && bit(7, 1, 16); }
#else
static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
static int has_avx512(void) { return has_avx2() && __builtin_cpu_supports("avx512f"); }
#endif
#endif

static const struct erniem_micro *available(int i)
{
    const struct erniem_micro *found[3];
    int count = 0;
#if defined(__x86_64__) || defined(_M_X64)
    if (has_avx512())
        found[count++] = &erniem_micro_avx512;
    if (has_avx2())
        found[count++] = &erniem_micro_avx2;
#elif defined(__aarch64__) || defined(_M_ARM64)
    found[count++] = &erniem_micro_neon;
#endif
    found[count++] = &erniem_micro_generic;
    return i >= 0 && i < count ? found[i] : NULL;
}

/* Written by erniem_choose_isa alone, which Python calls when it loads the kernels. */
#if defined(_MSC_VER)
static const struct erniem_micro *volatile chosen = &erniem_micro_generic;
#else
static const struct erniem_micro *_Atomic chosen = &erniem_micro_generic;
#endif

const struct erniem_micro *erniem_micro(void) { return chosen; }

const char *erniem_isa(void) { return erniem_micro()->name; }

const char *erniem_available_isa(int i)
{
    const struct erniem_micro *micro = available(i);
    return micro ? micro->name : NULL;
}

int erniem_choose_isa(const char *name)
{
    for (int i = 0; available(i); i++) {
        if (strcmp(available(i)->name, name) == 0) {
            chosen = available(i);
            return 0;
        }
    }
    return -1;
}
