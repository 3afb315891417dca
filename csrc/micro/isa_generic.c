/* The innermost loops in plain C, for any processor. */

#include <stdint.h>

#include "micro_generic.h"
#include "micro_body.h"
