/* The double next to w · 10^q. See decimal.c. */

#include <stdint.h>

/*
 * Whether `*value` is it, w being any integer but 0, for a normal double. 0 says that this can't tell: q is far off, or
 * the value is subnormal, too large, or so near the middle of two doubles that 128 bits don't part them.
 */
int decimal_to_double(uint64_t w, int64_t q, double *value);
