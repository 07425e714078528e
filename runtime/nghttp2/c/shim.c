/* See shim.h. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <nghttp2/nghttp2.h>

#pragma GCC visibility push(default)
#include "shim.h"
#pragma GCC visibility pop

enum { TG_GONE = -1, TG_NO_MEMORY = -2, TG_CONFUSED = -3 };

/* Kinds of events, and their two values. */
enum {
  TG_EVENT_HEAD = 1,   /* a stream begins: start and length in the text; length -1 if it is over the bound */
  TG_EVENT_DATA = 2,   /* start and length in the data that was received */
  TG_EVENT_END = 3,    /* the client sends no more */
  TG_EVENT_CLOSED = 4, /* a stream that was not finished is gone: HTTP/2's error code */
  TG_EVENT_PONG = 5,   /* the answer to a PING */
};

enum { MAX_FIELDS = 256, LARGE = 1 << 20 };

typedef struct {
  uint8_t *bytes;
  size_t length, capacity;
} buffer;

static int buffer_reserve(buffer *b, size_t more) {
  size_t capacity = b->capacity ? b->capacity : 256;
  uint8_t *bytes;
  if (more > SIZE_MAX / 4 - b->length) return TG_NO_MEMORY;
  if (b->length + more <= b->capacity) return 0;
  while (capacity < b->length + more) capacity *= 2;
  bytes = realloc(b->bytes, capacity);
  if (bytes == NULL) return TG_NO_MEMORY;
  b->bytes = bytes;
  b->capacity = capacity;
  return 0;
}

static int buffer_add(buffer *b, const void *bytes, size_t length) {
  int rv = buffer_reserve(b, length);
  if (rv != 0) return rv;
  if (length > 0) memcpy(b->bytes + b->length, bytes, length);
  b->length += length;
  return 0;
}

static void buffer_free(buffer *b) {
  free(b->bytes);
  memset(b, 0, sizeof *b);
}

/* Empties it, and gives back what one odd call has made large. */
static void buffer_reset(buffer *b, size_t keep) {
  if (b->capacity > keep) buffer_free(b);
  b->length = 0;
}

/* `seen` is what the caller sees of it, and comes first. */
typedef struct {
  tg_scratch seen;
  buffer events, text, output;
} scratch_memory;

static scratch_memory *memory_of(tg_scratch *scratch) { return (scratch_memory *)(void *)scratch; }

typedef struct tg_stream {
  struct tg_stream *previous, *next;
  int32_t id;
  int answered; /* its head was submitted */
  int finished; /* all of the answer was submitted, or it was reset */
  buffer unsent;
  size_t sent; /* of `unsent` */
  buffer trailers;
  int has_trailers;
} tg_stream;

struct tg_session {
  nghttp2_session *h2;
  scratch_memory *scratch; /* of the call in progress */
  const uint8_t *data; /* that is being received */
  size_t data_length;
  tg_stream streams; /* a ring */
  size_t unsent, delivered;
  buffer head; /* of the stream that begins */
  size_t head_bytes, max_head_bytes;
  /* How often the client may yet reset its streams; it grows by the second, up to the burst. */
  int64_t resets_left, reset_burst, resets_per_second;
  time_t resets_counted;
};

tg_scratch *tg_scratch_new(void) { return calloc(1, sizeof(scratch_memory)); }

void tg_scratch_free(tg_scratch *scratch) {
  scratch_memory *memory = memory_of(scratch);
  buffer_free(&memory->events);
  buffer_free(&memory->text);
  buffer_free(&memory->output);
  free(memory);
}

const char *tg_version(void) { return NGHTTP2_VERSION; }

static int add_event(tg_session *session, int32_t kind, int32_t stream, size_t first, int32_t second) {
  int32_t event[4] = {kind, stream, (int32_t)first, second};
  if (session->scratch == NULL) return 0;
  return buffer_add(&session->scratch->events, event, sizeof event) == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static tg_stream *find(tg_session *session, int32_t id) {
  return nghttp2_session_get_stream_user_data(session->h2, id);
}

static void drop_unsent(tg_session *session, tg_stream *stream) {
  session->unsent -= stream->unsent.length - stream->sent;
  stream->sent = 0;
  buffer_free(&stream->unsent);
}

static void stream_free(tg_session *session, tg_stream *stream) {
  drop_unsent(session, stream);
  buffer_free(&stream->trailers);
  stream->previous->next = stream->next;
  stream->next->previous = stream->previous;
  free(stream);
}

/* What nghttp2 tells */

static int is_request(const nghttp2_frame *frame) {
  return frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
}

static int on_begin_headers(nghttp2_session *h2, const nghttp2_frame *frame, void *user_data) {
  tg_session *session = user_data;
  tg_stream *stream;
  if (!is_request(frame)) return 0;
  stream = calloc(1, sizeof *stream);
  if (stream == NULL) return NGHTTP2_ERR_CALLBACK_FAILURE;
  stream->id = frame->hd.stream_id;
  stream->next = &session->streams;
  stream->previous = session->streams.previous;
  stream->previous->next = session->streams.previous = stream;
  session->head.length = session->head_bytes = 0;
  return nghttp2_session_set_stream_user_data(h2, stream->id, stream) == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name, size_t name_length,
                     const uint8_t *value, size_t value_length, uint8_t flags, void *user_data) {
  tg_session *session = user_data;
  (void)h2, (void)flags;
  if (!is_request(frame)) return 0;
  /* A field's size as RFC 9113 6.5.2 counts it. Neither names nor values have NUL in them: nghttp2 has looked. */
  session->head_bytes += name_length + value_length + 32;
  if (session->head_bytes > session->max_head_bytes) return 0;
  if (buffer_add(&session->head, name, name_length) != 0 || buffer_add(&session->head, "", 1) != 0 ||
      buffer_add(&session->head, value, value_length) != 0 || buffer_add(&session->head, "", 1) != 0)
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  return 0;
}

static int add_head(tg_session *session, int32_t id) {
  buffer *text = &session->scratch->text;
  size_t start = text->length;
  int too_large = session->head_bytes > session->max_head_bytes;
  if (!too_large && buffer_add(text, session->head.bytes, session->head.length) != 0)
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  return add_event(session, TG_EVENT_HEAD, id, start, too_large ? -1 : (int32_t)session->head.length);
}

/* nghttp2 has such a limit, too, but calls what goes beyond it an INTERNAL_ERROR. */
static int count_reset(tg_session *session) {
  struct timespec now;
  if (clock_gettime(CLOCK_MONOTONIC, &now) == 0 && now.tv_sec > session->resets_counted) {
    int64_t earned = (int64_t)(now.tv_sec - session->resets_counted) * session->resets_per_second;
    int64_t room = session->reset_burst - session->resets_left;
    session->resets_left += earned < room ? earned : room;
    session->resets_counted = now.tv_sec;
  }
  if (session->resets_left-- > 0) return 0;
  return nghttp2_session_terminate_session(session->h2, NGHTTP2_ENHANCE_YOUR_CALM) == 0 ? 0
                                                                                       : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_frame_recv(nghttp2_session *h2, const nghttp2_frame *frame, void *user_data) {
  tg_session *session = user_data;
  int rv = 0;
  (void)h2;
  if (frame->hd.type == NGHTTP2_PING)
    return frame->hd.flags & NGHTTP2_FLAG_ACK ? add_event(session, TG_EVENT_PONG, 0, 0, 0) : 0;
  if (frame->hd.type == NGHTTP2_RST_STREAM) return count_reset(session);
  if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
  if (is_request(frame)) {
    rv = add_head(session, frame->hd.stream_id);
    buffer_reset(&session->head, 4096);
  }
  if (rv == 0 && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
    rv = add_event(session, TG_EVENT_END, frame->hd.stream_id, 0, 0);
  return rv;
}

static int on_data_chunk_recv(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *data, size_t length,
                              void *user_data) {
  tg_session *session = user_data;
  tg_stream *stream = find(session, id);
  (void)flags;
  /* The connection's window bounds nothing: a stream that is not read must not stop the others. Streams' own do. */
  if (nghttp2_session_consume_connection(h2, length) != 0) return NGHTTP2_ERR_CALLBACK_FAILURE;
  if (stream == NULL || stream->finished) return 0;
  /* Events say where in the received data it lies, so that nothing is copied; nghttp2 hands over no other memory. */
  if (data < session->data || length > session->data_length ||
      (size_t)(data - session->data) > session->data_length - length)
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  return add_event(session, TG_EVENT_DATA, id, (size_t)(data - session->data), (int32_t)length);
}

static int on_stream_close(nghttp2_session *h2, int32_t id, uint32_t code, void *user_data) {
  tg_session *session = user_data;
  tg_stream *stream = find(session, id);
  int rv = 0;
  if (stream == NULL) return 0;
  if (!stream->finished) rv = add_event(session, TG_EVENT_CLOSED, id, code, 0);
  nghttp2_session_set_stream_user_data(h2, id, NULL);
  stream_free(session, stream);
  return rv;
}

static int on_frame_send(nghttp2_session *h2, const nghttp2_frame *frame, void *user_data) {
  (void)user_data;
  if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
      frame->hd.flags & NGHTTP2_FLAG_END_STREAM &&
      nghttp2_session_get_stream_remote_close(h2, frame->hd.stream_id) == 0)
    /* Answered before the request was complete: the client need not send the rest (RFC 9113 8.1). */
    return nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR) == 0
               ? 0
               : NGHTTP2_ERR_CALLBACK_FAILURE;
  return 0;
}

/* A head that is more than a frame holds goes nowhere: the client would wait for ever. */
static int on_frame_not_send(nghttp2_session *h2, const nghttp2_frame *frame, int error, void *user_data) {
  (void)error, (void)user_data;
  if (frame->hd.type != NGHTTP2_HEADERS) return 0;
  return nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_INTERNAL_ERROR) == 0
             ? 0
             : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* Sessions */

static int set_up(tg_session *session) {
  nghttp2_session_callbacks *callbacks = NULL;
  nghttp2_option *option = NULL;
  int rv = nghttp2_session_callbacks_new(&callbacks);
  if (rv == 0) rv = nghttp2_option_new(&option);
  if (rv == 0) {
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk_recv);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_send);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_stream_reset_rate_limit(option, UINT32_MAX, UINT32_MAX);
    rv = nghttp2_session_server_new2(&session->h2, callbacks, session, option);
  }
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
  return rv;
}

tg_session *tg_session_new(int32_t max_streams, int32_t stream_window, int32_t connection_window,
                           int32_t max_head_bytes, int32_t reset_burst, int32_t resets_per_second) {
  nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)max_streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)max_head_bytes},
  };
  tg_session *session = calloc(1, sizeof *session);
  if (session == NULL) return NULL;
  session->streams.next = session->streams.previous = &session->streams;
  session->max_head_bytes = (size_t)max_head_bytes;
  session->resets_left = session->reset_burst = reset_burst;
  session->resets_per_second = resets_per_second;
  if (set_up(session) != 0 ||
      nghttp2_submit_settings(session->h2, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof *settings) != 0 ||
      nghttp2_session_set_local_window_size(session->h2, NGHTTP2_FLAG_NONE, 0, connection_window) != 0) {
    tg_session_free(session);
    return NULL;
  }
  return session;
}

void tg_session_free(tg_session *session) {
  if (session->h2 != NULL) nghttp2_session_del(session->h2);
  while (session->streams.next != &session->streams) stream_free(session, session->streams.next);
  buffer_free(&session->head);
  free(session);
}

static void begin(tg_session *session, tg_scratch *scratch) {
  session->scratch = memory_of(scratch);
  buffer_reset(&session->scratch->events, LARGE);
  buffer_reset(&session->scratch->text, LARGE);
}

static void end(tg_session *session) {
  scratch_memory *memory = session->scratch;
  memory->seen.events = (const int32_t *)(const void *)memory->events.bytes;
  memory->seen.events_count = (int32_t)(memory->events.length / (4 * sizeof(int32_t)));
  memory->seen.text = (const char *)memory->text.bytes;
  memory->seen.output = (const char *)memory->output.bytes;
  memory->seen.over = !nghttp2_session_want_read(session->h2) && !nghttp2_session_want_write(session->h2);
  session->scratch = NULL;
}

int tg_receive(tg_session *session, tg_scratch *scratch, const char *data, size_t length) {
  nghttp2_ssize read;
  if (length > INT32_MAX) return TG_CONFUSED;
  begin(session, scratch);
  session->data = (const uint8_t *)data;
  session->data_length = length;
  read = nghttp2_session_mem_recv2(session->h2, session->data, length);
  session->data = NULL;
  end(session);
  if (read < 0) return (int)read;
  return (size_t)read == length ? scratch->events_count : TG_CONFUSED;
}

long tg_send(tg_session *session, tg_scratch *scratch, size_t limit) {
  buffer *output = &memory_of(scratch)->output;
  nghttp2_ssize length = 0;
  begin(session, scratch);
  buffer_reset(output, LARGE);
  while (output->length < limit) {
    const uint8_t *bytes;
    length = nghttp2_session_mem_send2(session->h2, &bytes);
    if (length <= 0) break;
    if (buffer_add(output, bytes, (size_t)length) != 0) {
      length = NGHTTP2_ERR_NOMEM;
      break;
    }
  }
  end(session);
  return length < 0 ? (long)length : (long)output->length;
}

long tg_unsent(tg_session *session) { return (long)session->unsent; }

long tg_delivered(tg_session *session) { return (long)session->delivered; }

long tg_unsent_of(tg_session *session, int32_t id) {
  tg_stream *stream = find(session, id);
  return stream == NULL ? TG_GONE : (long)(stream->unsent.length - stream->sent);
}

/* Answers */

/* Splits a head into fields that point into it. Their number, or -1 if there are too many. */
static int split(nghttp2_nv *fields, const char *head, size_t length) {
  const char *end = head + length;
  int count = 0;
  while (head < end) {
    const char *value = memchr(head, 0, (size_t)(end - head));
    const char *stop;
    if (value == NULL || count == MAX_FIELDS) return -1;
    value++;
    stop = memchr(value, 0, (size_t)(end - value));
    if (stop == NULL) return -1;
    fields[count].name = (uint8_t *)(uintptr_t)head;
    fields[count].namelen = (size_t)(value - 1 - head);
    fields[count].value = (uint8_t *)(uintptr_t)value;
    fields[count].valuelen = (size_t)(stop - value);
    fields[count].flags = NGHTTP2_NV_FLAG_NONE;
    count++;
    head = stop + 1;
  }
  return count;
}

static int submit_trailers(nghttp2_session *h2, tg_stream *stream) {
  nghttp2_nv fields[MAX_FIELDS];
  int count = split(fields, (const char *)stream->trailers.bytes, stream->trailers.length);
  return count < 0 ? TG_CONFUSED : nghttp2_submit_trailer(h2, stream->id, fields, (size_t)count);
}

static nghttp2_ssize on_read(nghttp2_session *h2, int32_t id, uint8_t *into, size_t length, uint32_t *flags,
                             nghttp2_data_source *source, void *user_data) {
  tg_session *session = user_data;
  tg_stream *stream = source->ptr;
  size_t left = stream->unsent.length - stream->sent;
  size_t taken = left < length ? left : length;
  (void)id;
  if (taken == 0 && !stream->finished) return NGHTTP2_ERR_DEFERRED;
  if (taken > 0) memcpy(into, stream->unsent.bytes + stream->sent, taken);
  stream->sent += taken;
  session->unsent -= taken;
  session->delivered += taken;
  if (taken < left) return (nghttp2_ssize)taken;
  stream->unsent.length = stream->sent = 0;
  if (stream->finished) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (stream->has_trailers) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      if (submit_trailers(h2, stream) != 0) return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
  }
  return (nghttp2_ssize)taken;
}

static int submit(tg_session *session, tg_stream *stream, const char *head, size_t head_length, int body) {
  nghttp2_nv fields[MAX_FIELDS];
  nghttp2_data_provider2 provider = {{.ptr = stream}, on_read};
  int count = split(fields, head, head_length);
  if (count < 0 || stream->answered) return TG_CONFUSED;
  stream->answered = 1;
  return nghttp2_submit_response2(session->h2, stream->id, fields, (size_t)count, body ? &provider : NULL);
}

static int add_unsent(tg_session *session, tg_stream *stream, const void *bytes, size_t length) {
  int rv;
  if (stream->sent > stream->unsent.length / 2) {
    stream->unsent.length -= stream->sent;
    memmove(stream->unsent.bytes, stream->unsent.bytes + stream->sent, stream->unsent.length);
    stream->sent = 0;
  }
  rv = buffer_add(&stream->unsent, bytes, length);
  if (rv == 0) session->unsent += length;
  return rv;
}

static int add_message(tg_session *session, tg_stream *stream, const char *message, size_t length) {
  uint8_t prefix[5] = {0, (uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length};
  int rv;
  if (length > UINT32_MAX) return TG_CONFUSED;
  rv = buffer_reserve(&stream->unsent, sizeof prefix + length);
  if (rv == 0) rv = add_unsent(session, stream, prefix, sizeof prefix);
  return rv == 0 ? add_unsent(session, stream, message, length) : rv;
}

static int set_trailers(tg_stream *stream, const char *trailers, size_t length) {
  stream->has_trailers = stream->finished = 1;
  return buffer_add(&stream->trailers, trailers, length);
}

static int resume(tg_session *session, int32_t id) {
  int rv = nghttp2_session_resume_data(session->h2, id);
  /* It wasn't waiting for data. */
  return rv == NGHTTP2_ERR_INVALID_ARGUMENT ? 0 : rv;
}

int tg_head(tg_session *session, int32_t id, const char *head, size_t head_length) {
  tg_stream *stream = find(session, id);
  return stream == NULL ? TG_GONE : submit(session, stream, head, head_length, 1);
}

int tg_message(tg_session *session, int32_t id, const char *message, size_t length) {
  tg_stream *stream = find(session, id);
  int rv;
  if (stream == NULL || stream->finished) return TG_GONE;
  rv = add_message(session, stream, message, length);
  return rv == 0 ? resume(session, id) : rv;
}

int tg_finish(tg_session *session, int32_t id, const char *trailers, size_t trailers_length) {
  tg_stream *stream = find(session, id);
  int rv;
  if (stream == NULL || stream->finished) return TG_GONE;
  rv = set_trailers(stream, trailers, trailers_length);
  return rv == 0 ? resume(session, id) : rv;
}

int tg_answer(tg_session *session, int32_t id, const char *head, size_t head_length, const char *message,
              size_t length, const char *trailers, size_t trailers_length) {
  tg_stream *stream = find(session, id);
  int rv;
  if (stream == NULL || stream->finished) return TG_GONE;
  rv = add_message(session, stream, message, length);
  if (rv == 0) rv = set_trailers(stream, trailers, trailers_length);
  return rv == 0 ? submit(session, stream, head, head_length, 1) : rv;
}

int tg_refuse(tg_session *session, int32_t id, const char *head, size_t head_length, const char *body,
              size_t length) {
  tg_stream *stream = find(session, id);
  int rv;
  if (stream == NULL || stream->finished) return TG_GONE;
  stream->finished = 1;
  rv = add_unsent(session, stream, body, length);
  return rv == 0 ? submit(session, stream, head, head_length, length > 0) : rv;
}

int tg_reset(tg_session *session, int32_t id, uint32_t code) {
  tg_stream *stream = find(session, id);
  if (stream == NULL) return TG_GONE;
  stream->finished = 1;
  return nghttp2_submit_rst_stream(session->h2, NGHTTP2_FLAG_NONE, id, code);
}

int tg_consume(tg_session *session, int32_t id, size_t length) {
  return nghttp2_session_consume_stream(session->h2, id, length);
}

int tg_ping(tg_session *session) { return nghttp2_submit_ping(session->h2, NGHTTP2_FLAG_NONE, NULL); }

int tg_notice(tg_session *session) { return nghttp2_submit_shutdown_notice(session->h2); }

int tg_goaway(tg_session *session, uint32_t code) {
  return nghttp2_submit_goaway(session->h2, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session->h2),
                               code, NULL, 0);
}
