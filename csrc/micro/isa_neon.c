/* The innermost loops for aarch64, where NEON is always there. */

#if defined(__aarch64__) || defined(_M_ARM64)
#include <stdint.h>

#include "micro_neon.h"
#include "micro_body.h"
#else
typedef int erniem_not_aarch64; /* C wants a declaration in every file */
#endif
