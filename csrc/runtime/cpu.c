/* The instruction sets that this processor has and this build contains, and the one in use. */

#include "platform.h"

#include <string.h>

#include "internal.h"
#include "micro/narrow.h"

#if ERNIEM_HAS_AMX
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined(__x86_64__) || defined(_M_X64)
#if defined(_MSC_VER) && !defined(__clang__)
#include <immintrin.h>
#include <intrin.h>
static void cpuid(unsigned leaf, unsigned part, unsigned words[4])
{
    int most[4]; /* Beyond the last leaf the instruction answers with that of another leaf. */
    __cpuid(most, 0);
    if (leaf <= (unsigned)most[0])
        __cpuidex((int *)words, (int)leaf, (int)part);
}
static uint64_t xcr0(void) { return _xgetbv(0); }
#else
#include <cpuid.h>
static void cpuid(unsigned leaf, unsigned part, unsigned words[4])
{
    if (!__get_cpuid_count(leaf, part, &words[0], &words[1], &words[2], &words[3]))
        memset(words, 0, 4 * sizeof *words);
}
static uint64_t xcr0(void)
{
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}
#endif

/* Bit `number` of word eax, ebx, ecx or edx (0 to 3) of a leaf of the cpuid instruction. */
static int bit_of(unsigned leaf, unsigned part, int word, int number)
{
    unsigned words[4] = {0};
    cpuid(leaf, part, words);
    return words[word] >> number & 1;
}

static int bit(unsigned leaf, int word, int number) { return bit_of(leaf, 0, word, number); }

/* Whether the operating system saves these registers of a thread: bits 1 and 2 (AVX), 5, 6 and 7
   (AVX-512) of XCR0, which can be read where OSXSAVE is set. */
static int saved(uint64_t mask) { return bit(1, 2, 27) && (xcr0() & mask) == mask; }
static int has_avx2(void) { return saved(0x06) && bit(7, 1, 5) && bit(1, 2, 12); } /* and FMA */
static int has_avx512(void) { return has_avx2() && saved(0xe6) && bit(7, 1, 16); }
#if ERNIEM_HAS_AVXVNNI
static int has_avxvnni(void) { return has_avx2() && bit_of(7, 1, 0, 4); }
#endif
static int has_avx512bw(void) { return has_avx512() && bit(7, 1, 30); }
static int has_avx512vnni(void) { return has_avx512bw() && bit(7, 2, 11); }
static int has_f16c(void) { return bit(1, 2, 29); }
#if ERNIEM_HAS_AVX512BF16
static int has_avx512bf16(void) { return has_avx512bw() && bit_of(7, 1, 0, 5); }
#endif

/* Processors by Intel take twice as long for an instruction of AVX512-BF16 as for one of float32,
   so that widening is faster. */
static int is_slow_at_bfloat16(void)
{
    unsigned words[4] = {0};
    cpuid(0, 0, words);
    return words[1] == 0x756e6547; /* "Genu", of "GenuineIntel" */
}

#if ERNIEM_HAS_AMX
/* The tiles for bfloat16 (edx bit 22) or for int8 (25); XCR0 bits 17 and 18. Linux has to be asked
   for their registers. The answer holds for all threads and children. */
static int has_amx(int number_bit)
{
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    return saved(0x600e6) && bit(7, 3, 24) && bit(7, 3, number_bit) &&
           syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}
#endif
#endif

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
/* HWCAP_ASIMDDP, HWCAP2_I8MM and HWCAP2_BF16, which old headers lack. */
static int has_dot(void) { return getauxval(AT_HWCAP) >> 20 & 1; }
static int has_i8mm(void) { return getauxval(AT_HWCAP2) >> 13 & 1; }
static int has_bf16(void) { return getauxval(AT_HWCAP2) >> 14 & 1; }
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
static int has(const char *feature)
{
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(feature, &value, &size, NULL, 0) == 0 && value;
}
static int has_dot(void) { return has("hw.optional.arm.FEAT_DotProd"); }
static int has_i8mm(void) { return has("hw.optional.arm.FEAT_I8MM"); }
static int has_bf16(void) { return has("hw.optional.arm.FEAT_BF16"); }
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

/* List the kernels of a number type of 16 bits, best first; their number. */
static int list_16(const struct erniem_micro *micro, int number, const struct erniem_narrow **found)
{
    int count = 0;
    const int row = number - ERNIEM_BFLOAT16;
#if defined(__x86_64__) || defined(_M_X64)
    static const struct erniem_narrow *const avx512[] = {
        &erniem_bfloat16_avx512, &erniem_stored_bfloat16_avx512, &erniem_float16_avx512};
    static const struct erniem_narrow *const avx2[] = {
        &erniem_bfloat16_avx2, &erniem_stored_bfloat16_avx2, &erniem_float16_avx2};
    if (micro == &erniem_micro_avx512) {
#if ERNIEM_HAS_AMX
        if (number == ERNIEM_BFLOAT16 && has_amx(22))
            found[count++] = &erniem_bfloat16_amx;
#endif
        if (is_slow_at_bfloat16())
            found[count++] = avx512[row];
#if ERNIEM_HAS_AVX512BF16
        if (number == ERNIEM_BFLOAT16 && has_avx512bf16())
            found[count++] = &erniem_bfloat16_avx512bf16;
#endif
        if (!is_slow_at_bfloat16())
            found[count++] = avx512[row];
    }
    if (micro != &erniem_micro_generic && has_f16c())
        found[count++] = avx2[row];
#elif defined(__aarch64__) || defined(_M_ARM64)
    static const struct erniem_narrow *const neon[] = {
        &erniem_bfloat16_neon, &erniem_stored_bfloat16_neon, &erniem_float16_neon};
    if (micro == &erniem_micro_neon) {
#if ERNIEM_HAS_I8MM /* the same compilers and systems */
        if (number == ERNIEM_BFLOAT16 && has_bf16())
            found[count++] = &erniem_bfloat16_neon_bf16;
#endif
        found[count++] = neon[row];
    }
#else
    (void)micro;
#endif
    static const struct erniem_narrow *const generic[] = {
        &erniem_bfloat16_generic, &erniem_stored_bfloat16_generic, &erniem_float16_generic};
    found[count++] = generic[row];
    return count;
}

static int is_float32(int number)
{
    return number == ERNIEM_FLOAT32 || number == ERNIEM_TRAINED_FLOAT32;
}

/* The tables of a number type that this instruction set, the processor and the build allow. */
static const struct erniem_narrow *available_narrow(const struct erniem_micro *micro, int number,
                                                    int i)
{
    const struct erniem_narrow *found[8];
    int count = 0;
#if defined(__x86_64__) || defined(_M_X64)
    const int avx512 = micro == &erniem_micro_avx512, avx2 = avx512 || micro == &erniem_micro_avx2;
    if (number == ERNIEM_INT8) {
#if ERNIEM_HAS_AMX
        if (avx512 && has_amx(25))
            found[count++] = &erniem_int8_amx;
#endif
        if (avx512 && has_avx512vnni())
            found[count++] = &erniem_int8_avx512vnni;
        if (avx512 && has_avx512bw())
            found[count++] = &erniem_int8_avx512;
#if ERNIEM_HAS_AVXVNNI
        if (avx2 && has_avxvnni())
            found[count++] = &erniem_int8_avxvnni;
#endif
        if (avx2)
            found[count++] = &erniem_int8_avx2;
#if defined(__GNUC__)
        found[count++] = &erniem_int8_sse2;
#endif
    }
#elif defined(__aarch64__) || defined(_M_ARM64)
    if (number == ERNIEM_INT8 && micro == &erniem_micro_neon) {
#if ERNIEM_HAS_I8MM
        if (has_i8mm())
            found[count++] = &erniem_int8_neon_i8mm;
#endif
#if ERNIEM_HAS_DOT
        if (has_dot())
            found[count++] = &erniem_int8_neon_dot;
#endif
        found[count++] = &erniem_int8_neon;
    }
#else
    (void)micro;
#endif
    if (number == ERNIEM_INT8) {
        found[count++] = &erniem_int8_generic;
    }
    if (number >= ERNIEM_BFLOAT16 && number <= ERNIEM_FLOAT16)
        count = list_16(micro, number, found);
#if ERNIEM_HAS_AMX
    if (is_float32(number) && avx512 && has_amx(22))
        found[count++] = &erniem_float32_amx;
#endif
    return i >= 0 && i < count ? found[i] : NULL;
}

enum { NUMBERS = ERNIEM_TRAINED_FLOAT32 + 1 };

/* Only erniem_choose_isa and erniem_choose_kernel write these; Python calls the first when it loads
   the kernels. */
static const struct erniem_micro *_Atomic chosen = &erniem_micro_generic;
static const struct erniem_narrow *_Atomic chosen_narrow[NUMBERS] = {
    NULL, &erniem_int8_generic, &erniem_bfloat16_generic, &erniem_stored_bfloat16_generic,
    &erniem_float16_generic, NULL};

const struct erniem_micro *erniem_micro(void) { return chosen; }

const struct erniem_narrow *erniem_narrow(int number)
{
    return number >= ERNIEM_FLOAT32 && number < NUMBERS ? chosen_narrow[number] : NULL;
}

struct kernel {
    const char *name;
    const struct erniem_narrow *narrow; /* NULL: of the instruction set itself */
};

/* Number i of the kernels of a number type; without a name at the end. For float32 there is that of the
   instruction set, as the first one, so that bits do not depend on the processor; in training as the last. */
static struct kernel kernel_at(int number, int i)
{
    const int own_is_first = number == ERNIEM_FLOAT32;
    const struct erniem_narrow *narrow = available_narrow(erniem_micro(), number, i - own_is_first);
    if (narrow)
        return (struct kernel){narrow->name, narrow};
    const int follows = !own_is_first && available_narrow(erniem_micro(), number, i - 1);
    const int is_own = is_float32(number) && (i == 0 || follows);
    return (struct kernel){is_own ? erniem_micro()->name : NULL, NULL};
}

const char *erniem_isa(void) { return erniem_micro()->name; }

const char *erniem_available_isa(int i)
{
    const struct erniem_micro *micro = available(i);
    return micro ? micro->name : NULL;
}

int erniem_choose_isa(const char *name)
{
    for (int i = 0; available(i); i++)
        if (strcmp(available(i)->name, name) == 0) {
            chosen = available(i);
            for (int number = 0; number < NUMBERS; number++)
                chosen_narrow[number] = kernel_at(number, 0).narrow;
            return 0;
        }
    return -1;
}

const char *erniem_kernel(int number)
{
    if (erniem_narrow(number))
        return erniem_narrow(number)->name;
    return is_float32(number) ? erniem_isa() : NULL;
}

const char *erniem_available_kernel(int number, int i) { return kernel_at(number, i).name; }

int erniem_choose_kernel(int number, const char *name)
{
    for (int i = 0; kernel_at(number, i).name; i++)
        if (strcmp(kernel_at(number, i).name, name) == 0) {
            chosen_narrow[number] = kernel_at(number, i).narrow;
            return 0;
        }
    return -1;
}
