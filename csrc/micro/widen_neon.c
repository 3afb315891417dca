/* Weights of 16 bits, widened, for aarch64. */

#if defined(__aarch64__) || defined(_M_ARM64)
#include <stdint.h>

#include "micro_loops.h"
#include "micro_neon.h"
#include "micro_widen.h"
#else
typedef int erniem_not_aarch64; /* C wants a declaration in every file */
#endif
