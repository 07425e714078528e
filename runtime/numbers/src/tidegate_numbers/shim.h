/*
 * JSON's lists of numbers, from text into memory that is there already. Read by the compiler and by cffi, so it holds
 * declarations alone. No function allocates, keeps anything or reads beyond the length that it is given.
 *
 * What a value may be and what it becomes is what a JSON parser and Python's arrays make of it: a number is the double
 * next to its decimal value, as float rounded once more from there; integers are without fraction and exponent, and
 * in range; nothing becomes infinite. `kind` is of the enumeration in number.h. A number whose text has over a thousand characters may be refused for that.
 */

/*
 * Reads one flat list into `out`, which has room for `room` elements: how many it has, or -1 if the text isn't exactly
 * such a list, with white space around it or without. What was written until then stays.
 */
int64_t tg_read(const char *text, int64_t start, int64_t stop, int kind, void *out, int64_t room);

/*
 * The same for lists nested in `rank` levels, from 1 to 32, each as long as `sizes` says: 0, or -1. A size of 0 is set to
 * that of the first such list, which the others have to have, too; no list is empty.
 */
int tg_read_nested(const char *text, int64_t start, int64_t stop, int kind, void *out, int64_t room, int rank,
                   int64_t *sizes);

/*
 * The same for `count` lists, a NUL behind each but the last. List i has `size` · rows[i] numbers, or `size` where
 * `rows` is NULL, and what stands before it in `out` are the places of those before it. `whole[i]` tells whether it
 * was read; NULL: nobody wants to know which. Returns how many weren't, or -1 if there aren't that many texts, and then
 * nothing that was read may be used.
 */
int64_t tg_read_many(const char *text, int64_t length, int kind, void *out, int64_t size, const int64_t *rows,
                     int64_t count, char *whole);
