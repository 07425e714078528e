/*
 * Random texts, most of them nearly lists of numbers, in memory that ends where they do, for the sanitizers to watch:
 *
 *   cc -g -O1 -std=gnu11 -fsanitize=address,undefined -fno-sanitize-recover=all -Isrc/tidegate_numbers -Ic \
 *      c/decimal.c c/numbers.c fuzz/lists.c -o /tmp/lists && /tmp/lists SECONDS SEED
 *
 * A text that is read as one double is held against `strtod`, too.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shim.h"

enum { LONGEST = 1500, KINDS = 10, F64 = 9, ROOM = 24 };

static uint64_t state;

static uint64_t draw(uint64_t below) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (state * UINT64_C(0x2545F4914F6CDD1D) >> 16) % below;
}

static size_t add_digits(char *text, size_t length, uint64_t most) {
  uint64_t count = draw(60) ? 1 + draw(most) : draw(400);
  if (draw(16) == 0) count = 15 + draw(8);
  while (count-- > 0 && length < LONGEST) text[length++] = (char)('0' + (draw(3) ? draw(10) : 9 * draw(2)));
  return length;
}

static size_t add_number(char *text, size_t length) {
  if (draw(4) == 0) text[length++] = '-';
  text[length++] = (char)('0' + draw(10));
  if (text[length - 1] != '0' || draw(50) == 0) length = draw(2) ? add_digits(text, length, 20) : length;
  if (draw(2)) {
    text[length++] = '.';
    length = add_digits(text, length, 25);
  }
  if (draw(4) == 0) {
    text[length++] = "eE"[draw(2)];
    if (draw(2)) text[length++] = "+-"[draw(2)];
    length = add_digits(text, length, 4);
  }
  return length;
}

static size_t make(char *text) {
  static const char odd[] = "0123456789-+.eE,,[[]]{} \n\t\r\"tn";
  size_t length = 0, i;
  uint64_t items = draw(20), edits = draw(3) ? 0 : draw(4);
  if (draw(8) == 0) text[length++] = '[';
  text[length++] = '[';
  while (items-- > 0 && length < LONGEST / 2) {
    length = add_number(text, length);
    if (draw(50) == 0) text[length++] = ']', text[length++] = ',', text[length++] = '[';
    else if (items > 0) text[length++] = ',';
    while (draw(6) == 0) text[length++] = " \n\t\r"[draw(4)];
  }
  text[length++] = ']';
  if (text[1] == '[') text[length++] = ']';
  for (i = 0; i < edits; i++) text[draw(length)] = draw(20) ? odd[draw(sizeof odd)] : (char)draw(256);
  return draw(4) ? length : draw(length + 1);
}

static void check_double(const char *text, size_t length, double value) {
  char copy[LONGEST * 2];
  double expected;
  memcpy(copy, text, length);
  copy[length] = 0;
  expected = strtod(copy + 1 + strspn(copy + 1, " \n\t\r"), NULL);
  if (memcmp(&value, &expected, sizeof value) != 0 && !(value == 0 && expected == 0)) {
    printf("%s is %.17g, not %.17g\n", copy, expected, value);
    abort();
  }
}

static uint64_t once(void) {
  char made[LONGEST * 2];
  size_t length = make(made);
  char *text = malloc(length ? length : 1);
  int kind = draw(2) ? (int)draw(KINDS) : F64;
  int64_t room = (int64_t)draw(ROOM), sizes[4], nested[3], rows[4];
  static const size_t bytes[KINDS] = {1, 2, 4, 8, 1, 2, 4, 8, 4, 8};
  char *out = malloc((size_t)room * bytes[kind]), whole[4], *place = out;
  int64_t start = draw(8) ? 0 : (int64_t)draw(length + 1), count;
  uint64_t read;
  memcpy(text, made, length);
  count = tg_read(text, start, (int64_t)length, kind, place, room);
  read = count >= 0;
  if (count == 1 && kind == F64 && start == 0 && text[0] == '[') check_double(text, length, *(double *)place);
  sizes[0] = 1 + (int64_t)draw(3), sizes[1] = 1 + (int64_t)draw(8);
  tg_read_nested(text, start, (int64_t)length, kind, place, room, 2, sizes);
  nested[0] = draw(2) ? 0 : sizes[0], nested[1] = draw(2) ? 0 : sizes[1], nested[2] = 0;
  if (tg_read_nested(text, start, (int64_t)length, kind, place, room, 1 + (int)draw(3), nested) == 0) read = 1;
  rows[0] = 1 + (int64_t)draw(2), rows[1] = 1 + (int64_t)draw(2);
  if ((rows[0] + rows[1]) * sizes[1] <= room) {
    if (length > 0) text[draw(length)] = 0;
    count = tg_read_many(text, (int64_t)length, kind, place, sizes[1], rows, 2, whole);
    if (count >= 0 && count != !whole[0] + !whole[1]) abort();
    if (tg_read_many(text, (int64_t)length, kind, place, sizes[1], rows, 2, NULL) != count) abort();
  }
  free(out);
  free(text);
  return read;
}

int main(int argc, char **argv) {
  time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 60);
  uint64_t texts = 0, read = 0;
  state = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)time(NULL);
  state = state * 2 + 1;
  while (time(NULL) < end) {
    int i;
    for (i = 0; i < 1000; i++, texts++) read += once();
  }
  printf("%llu texts, of which %llu were read\n", (unsigned long long)texts, (unsigned long long)read);
  return 0;
}
