/* Weights of 16 bits, widened, in plain C, for any processor. */

#include <stdint.h>

#include "micro_loops.h"
#include "micro_generic.h"
#include "micro_widen.h"
