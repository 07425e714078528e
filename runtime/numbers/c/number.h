/* One number of a list: from its text to an element. Inline, for the loop around it has the kind as a constant. */

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "decimal.h"

#define INLINE static inline __attribute__((always_inline))
#define LIKELY(condition) __builtin_expect(!!(condition), 1)

/* The kinds of elements, as tidegate_numbers/reader.py has them. */
enum { U8, U16, U32, U64, I8, I16, I32, I64, F32, F64 };

enum {
  MOST_DIGITS = 19,     /* that are sure to fit 64 bits */
  EXACT_POWER = 22,     /* of ten, the greatest that is a double */
  LONGEST_TEXT = 1023,  /* of a number that only the C library can read */
};

static const int64_t HUGE_EXPONENT = INT64_C(1) << 40;
static const uint64_t TENS[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
static const double SIGNS[2] = {1, -1};
static const double EXACT[EXACT_POWER + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                              1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* A number's text, of which `digits` · 10^`exponent` is the magnitude, as long as `count` is at most MOST_DIGITS. */
typedef struct {
  const char *begin, *end;
  uint64_t digits; /* modulo 2^64 */
  int64_t exponent;
  int64_t count; /* of digits, or more, where zeros stand before the first */
  int negative, integral;
} number;

INLINE int is_digit(char c) { return c >= '0' && c <= '9'; }

/* Eight digits' values, one in each byte, the lowest first: the number they are. */
INLINE uint64_t eight_digits(uint64_t bytes) {
  const uint64_t mask = UINT64_C(0x000000FF000000FF);
  bytes = bytes * 10 + (bytes >> 8);
  return (((bytes & mask) * UINT64_C(0x000F424000000064)) + (((bytes >> 16) & mask) * UINT64_C(0x0000271000000001))) >>
         32;
}

/* Appends the digits at `p` to `digits`: where they end. */
INLINE const char *take_digits(const char *p, const char *stop, uint64_t *digits) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  while (LIKELY(stop - p >= 8)) {
    uint64_t bytes, others;
    int length;
    memcpy(&bytes, p, 8);
    bytes ^= UINT64_C(0x3030303030303030);
    /* The lowest bit that is set is in the first byte over 9: none before it carries. */
    others = ((bytes + UINT64_C(0x7676767676767676)) | bytes) & UINT64_C(0x8080808080808080);
    if (others == 0) {
      *digits = *digits * TENS[8] + eight_digits(bytes);
      p += 8;
      continue;
    }
    length = __builtin_ctzll(others) >> 3;
    if (length == 0) return p;
    /* Zeros come in front, and what is no digit falls off behind. */
    *digits = *digits * TENS[length] + eight_digits(bytes << (64 - 8 * length));
    return p + length;
  }
#endif
  for (; p < stop && is_digit(*p); p++) *digits = *digits * 10 + (uint64_t)(*p - '0');
  return p;
}

/* Adds the exponent whose E is at `p`: where it ends, or NULL if it is none. */
static const char *take_exponent(const char *p, const char *stop, int64_t *exponent) {
  const char *first;
  int64_t value = 0;
  int negative;
  p++;
  negative = p < stop && *p == '-';
  if (p < stop && (*p == '-' || *p == '+')) p++;
  for (first = p; p < stop && is_digit(*p); p++)
    if (value < HUGE_EXPONENT) value = value * 10 + (*p - '0');
  *exponent += negative ? -value : value;
  return p > first ? p : NULL;
}

/* Whether there is a number at `p`, as JSON writes them. */
INLINE int scan(const char *p, const char *stop, number *n) {
  const char *first;
  n->begin = p;
  n->digits = 0;
  n->exponent = 0;
  n->integral = 1;
  n->negative = p < stop && *p == '-';
  first = p += n->negative;
  /* The commonest form, and which digit it is takes no branch. */
  if (LIKELY(stop - p >= 2 && p[1] == '.' && is_digit(*p))) {
    n->digits = (uint64_t)(*p++ - '0');
    n->count = n->digits != 0;
  } else if (p < stop && *p == '0') {
    if (++p < stop && is_digit(*p)) return 0;
    n->count = 0;
  } else {
    p = take_digits(p, stop, &n->digits);
    if (p == first) return 0;
    n->count = p - first;
  }
  if (p < stop && *p == '.') {
    first = ++p;
    p = take_digits(p, stop, &n->digits);
    if (p == first) return 0;
    n->exponent = first - p;
    n->count += p - first;
    n->integral = 0;
  }
  if (p < stop && (*p | 0x20) == 'e') {
    n->integral = 0;
    p = take_exponent(p, stop, &n->exponent);
    if (p == NULL) return 0;
  }
  n->end = p;
  return 1;
}

/* Leaves at most MOST_DIGITS digits, beginning with the first that isn't zero: whether any were cut off. */
static int shorten(number *n) {
  const char *p = n->begin;
  int64_t taken = 0, cut = 0;
  n->digits = 0;
  for (; p < n->end && (*p | 0x20) != 'e'; p++) {
    if (!is_digit(*p) || (*p == '0' && taken == 0)) continue;
    if (taken == MOST_DIGITS) {
      cut++;
    } else {
      n->digits = n->digits * 10 + (uint64_t)(*p - '0');
      taken++;
    }
  }
  n->exponent += cut;
  return cut > 0;
}

/* For what is rare. In a locale that writes another decimal point this refuses, for `strtod` ends too early. */
static int by_library(const number *n, double *value) {
  char text[LONGEST_TEXT + 1];
  char *end;
  size_t length = (size_t)(n->end - n->begin);
  if (length > LONGEST_TEXT) return 0;
  memcpy(text, n->begin, length);
  text[length] = 0;
  *value = fabs(strtod(text, &end));
  return end == text + length && isfinite(*value);
}

static int hard_to_double(number *n, double *value) {
  int cut = n->count > MOST_DIGITS && shorten(n);
  double above;
  if (n->digits == 0) {
    *value = 0;
    return 1;
  }
  if (!decimal_to_double(n->digits, n->exponent, value)) return by_library(n, value);
  /* Cut off, it lies between this and the next. */
  if (cut && (!decimal_to_double(n->digits + 1, n->exponent, &above) || above != *value)) return by_library(n, value);
  return 1;
}

/* Whether it is a finite double. Digits and power both exact, one operation rounds once: Clinger, PLDI 1990. */
INLINE int to_double(number *n, double *value) {
  if (LIKELY(FLT_EVAL_METHOD == 0 && n->count <= MOST_DIGITS && n->digits <= UINT64_C(1) << 53 &&
             n->exponent >= -EXACT_POWER && n->exponent <= EXACT_POWER)) {
    *value = (double)n->digits;
    if (n->exponent < 0)
      *value /= EXACT[-n->exponent];
    else
      *value *= EXACT[n->exponent];
  } else if (!hard_to_double(n, value)) {
    return 0;
  }
  /* The integer -0 is 0. Signs are mixed in most data, so they take no branch. */
  *value *= SIGNS[n->negative & !(n->integral & (n->digits == 0))];
  return 1;
}

/* Whether it is an integer from -`below` to `above`, both as magnitudes; with two's complement in `value`. */
INLINE int to_integer(const number *n, uint64_t below, uint64_t above, uint64_t *value) {
  if (!n->integral || n->count > MOST_DIGITS + 1) return 0;
  /* Of those with twenty digits only the ones below 2^64 begin with 1 and are no smaller than they look. */
  if (n->count == MOST_DIGITS + 1 && (n->begin[n->negative] != '1' || n->digits < UINT64_C(10000000000000000000)))
    return 0;
  if (n->digits > (n->negative ? below : above)) return 0;
  *value = n->negative ? 0 - n->digits : n->digits;
  return 1;
}

INLINE int64_t size_of(int kind) {
  switch (kind) {
    case U8: case I8: return 1;
    case U16: case I16: return 2;
    case U32: case I32: case F32: return 4;
    default: return 8;
  }
}

INLINE int convert(number *n, int kind, uint64_t *value) {
  switch (kind) {
    case U8: return to_integer(n, 0, UINT8_MAX, value);
    case U16: return to_integer(n, 0, UINT16_MAX, value);
    case U32: return to_integer(n, 0, UINT32_MAX, value);
    case U64: return to_integer(n, 0, UINT64_MAX, value);
    case I8: return to_integer(n, 1u << 7, INT8_MAX, value);
    case I16: return to_integer(n, 1u << 15, INT16_MAX, value);
    case I32: return to_integer(n, 1u << 31, INT32_MAX, value);
    default: return to_integer(n, UINT64_C(1) << 63, INT64_MAX, value);
  }
}

/* Whether `n` is a value of that kind; if so, it is written to `out`. */
INLINE int store(number *n, int kind, char *out) {
  uint64_t value;
  double real;
  float narrow;
  if (kind == F32 || kind == F64) {
    if (!to_double(n, &real)) return 0;
    if (kind == F64) {
      memcpy(out, &real, sizeof real);
      return 1;
    }
    narrow = (float)real;
    memcpy(out, &narrow, sizeof narrow);
    return isfinite(narrow);
  }
  if (!convert(n, kind, &value)) return 0;
  switch (size_of(kind)) {
    case 1: { uint8_t v = (uint8_t)value; memcpy(out, &v, sizeof v); break; }
    case 2: { uint16_t v = (uint16_t)value; memcpy(out, &v, sizeof v); break; }
    case 4: { uint32_t v = (uint32_t)value; memcpy(out, &v, sizeof v); break; }
    default: memcpy(out, &value, sizeof value);
  }
  return 1;
}
