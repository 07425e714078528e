/* See shim.h. */

#include "number.h"

#pragma GCC visibility push(default)
#include "shim.h"
#pragma GCC visibility pop

enum { MAX_RANK = 32 };

INLINE const char *skip_space(const char *p, const char *stop) {
  while (p < stop && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')) p++;
  return p;
}

/* Reads the list whose bracket is at `p`: what is behind it, or NULL. */
INLINE const char *read_list_of(int kind, const char *p, const char *stop, char *out, int64_t room, int64_t *count) {
  const char *end = out + room * size_of(kind);
  const char *begin = out;
  number n;
  if (p == stop || *p != '[') return NULL;
  p = skip_space(p + 1, stop);
  if (p < stop && *p == ']') {
    *count = 0;
    return p + 1;
  }
  for (;;) {
    if (out == end || !scan(p, stop, &n) || !store(&n, kind, out)) return NULL;
    out += size_of(kind);
    p = skip_space(n.end, stop);
    if (p == stop) return NULL;
    if (*p == ']') break;
    if (*p != ',') return NULL;
    p = skip_space(p + 1, stop);
  }
  *count = (out - begin) / size_of(kind);
  return p + 1;
}

static const char *read_list(int kind, const char *p, const char *stop, char *out, int64_t room, int64_t *count) {
  switch (kind) {
    case U8: return read_list_of(U8, p, stop, out, room, count);
    case U16: return read_list_of(U16, p, stop, out, room, count);
    case U32: return read_list_of(U32, p, stop, out, room, count);
    case U64: return read_list_of(U64, p, stop, out, room, count);
    case I8: return read_list_of(I8, p, stop, out, room, count);
    case I16: return read_list_of(I16, p, stop, out, room, count);
    case I32: return read_list_of(I32, p, stop, out, room, count);
    case I64: return read_list_of(I64, p, stop, out, room, count);
    case F32: return read_list_of(F32, p, stop, out, room, count);
    case F64: return read_list_of(F64, p, stop, out, room, count);
    default: return NULL;
  }
}

/*
 * As `read_list`, but in `rank` levels, each as long as its size says, or, where that is 0, as its first list, which sets
 * it. `*out` and `*room` move on.
 */
static const char *read_levels(int kind, const char *p, const char *stop, char **out, int64_t *room, int rank,
                               int64_t *sizes) {
  int64_t count;
  if (rank == 1) {
    p = read_list(kind, p, stop, *out, *sizes > 0 && *sizes < *room ? *sizes : *room, &count);
    if (p == NULL) return NULL;
    *out += count * size_of(kind);
    *room -= count;
  } else {
    if (p == stop || *p != '[') return NULL;
    count = 0;
    do {
      /* The bracket, or the comma. */
      p = read_levels(kind, skip_space(p + 1, stop), stop, out, room, rank - 1, sizes + 1);
      if (p == NULL) return NULL;
      p = skip_space(p, stop);
      count++;
    } while (p < stop && *p == ',');
    if (p == stop || *p != ']') return NULL;
    p++;
  }
  if (*sizes == 0) *sizes = count;
  return count > 0 && count == *sizes ? p : NULL;
}

int64_t tg_read(const char *text, int64_t start, int64_t stop, int kind, void *out, int64_t room) {
  const char *end = text + stop;
  int64_t count;
  const char *p = read_list(kind, skip_space(text + start, end), end, out, room, &count);
  return p != NULL && skip_space(p, end) == end ? count : -1;
}

int tg_read_nested(const char *text, int64_t start, int64_t stop, int kind, void *out, int64_t room, int rank,
                   int64_t *sizes) {
  const char *end = text + stop;
  char *place = out;
  const char *p;
  int i;
  if (rank < 1 || rank > MAX_RANK) return -1;
  for (i = 0; i < rank; i++)
    if (sizes[i] < 0) return -1;
  p = read_levels(kind, skip_space(text + start, end), end, &place, &room, rank, sizes);
  return p != NULL && skip_space(p, end) == end ? 0 : -1;
}

int64_t tg_read_many(const char *text, int64_t length, int kind, void *out, int64_t size, const int64_t *rows,
                     int64_t count, char *whole) {
  const char *stop = text + length;
  char *place = out;
  int64_t i, unread = 0;
  for (i = 0; i < count; i++) {
    int64_t wanted = rows == NULL ? size : size * rows[i];
    const char *end = memchr(text, 0, (size_t)(stop - text));
    if ((end == NULL) != (i == count - 1)) return -1;
    if (end == NULL) end = stop;
    int read = tg_read(text, 0, end - text, kind, place, wanted) == wanted;
    if (whole != NULL) whole[i] = (char)read;
    unread += !read;
    place += wanted * size_of(kind);
    text = end + 1;
  }
  return unread;
}
