/*
 * Decimal to binary by one or two multiplications: Lemire, "Number Parsing at a Gigabyte per Second" (Software: Practice
 * and Experience 51, 2021), algorithm 1, for normal doubles alone. POWERS are the leading 128 bits of 5^q, of which
 * powers.py tells more.
 */

#include "decimal.h"

#include <string.h>

#include "powers.h"

#ifndef __SIZEOF_INT128__
#error "a compiler for a 64-bit machine is needed"
#endif

typedef unsigned __int128 wide;

enum { FRACTION_BITS = 52, BIAS = 1023, INFINITE = 0x7FF };

int decimal_to_double(uint64_t w, int64_t q, double *value) {
  int zeros, top, exponent;
  uint64_t upper, lower, fraction;
  wide product;
  const uint64_t *power;
  if (w == 0 || q < POWERS_FIRST || q > POWERS_LAST) return 0;
  power = POWERS[q - POWERS_FIRST];
  zeros = __builtin_clzll(w);
  w <<= zeros;
  product = (wide)w * power[0];
  upper = (uint64_t)(product >> 64);
  lower = (uint64_t)product;
  /* The bits behind the fraction's and the rounding one all set: what the power's second half adds may carry. */
  if ((upper & 0x1FF) == 0x1FF) {
    uint64_t second = (uint64_t)((wide)w * power[1] >> 64);
    lower += second;
    if (lower < second) upper++;
    if (lower == UINT64_MAX && (q < -27 || q > 55)) return 0;
  }
  top = (int)(upper >> 63);
  fraction = upper >> (top + 64 - FRACTION_BITS - 3);
  /* floor(q · log2(10)), exact in this range. */
  exponent = (int)((217706 * q) >> 16) + 63 + top - zeros + BIAS;
  if (exponent <= 0) return 0;
  /* In the middle exactly, which can be for no other powers: to even. */
  if (lower <= 1 && q >= -4 && q <= 23 && (fraction & 3) == 1 &&
      fraction << (top + 64 - FRACTION_BITS - 3) == upper)
    fraction &= ~UINT64_C(1);
  fraction = (fraction + (fraction & 1)) >> 1;
  if (fraction >> (FRACTION_BITS + 1)) {
    fraction = UINT64_C(1) << FRACTION_BITS;
    exponent++;
  }
  if (exponent >= INFINITE) return 0;
  fraction = (fraction & ~(UINT64_C(1) << FRACTION_BITS)) | (uint64_t)exponent << FRACTION_BITS;
  memcpy(value, &fraction, sizeof *value);
  return 1;
}
