/*
 * HTTP/2 sessions for a server, on libnghttp2, made to be driven from Python: bytes in, events out, answers in, bytes
 * out, each in one call however many frames they are. Read by the compiler and by cffi, so it holds declarations alone.
 *
 * A `tg_scratch` is what a call leaves for the caller to read, until the next call with the same scratch. One serves
 * all sessions of a thread. Functions that return int return 0, or a negative number: nghttp2's error, TG_GONE or
 * TG_NO_MEMORY. A stream that is gone is no fault of the caller's: its client may have reset it.
 */

typedef struct tg_session tg_session;

typedef struct {
  /* Four numbers an event: its kind, stream, and two values by kind (TG_EVENT_* in shim.c). */
  const int32_t *events;
  /* Heads: name, NUL, value, NUL, and so on. */
  const char *text;
  const char *output;
  int32_t events_count;
  /* Whether the connection has nothing more to read or to write, after GOAWAY or an error. */
  int32_t over;
} tg_scratch;

/* NULL if there is no memory. */
tg_scratch *tg_scratch_new(void);
void tg_scratch_free(tg_scratch *scratch);

/* NULL if there is no memory. Its SETTINGS are the first thing to send. */
tg_session *tg_session_new(int32_t max_streams, int32_t stream_window, int32_t connection_window,
                           int32_t max_head_bytes, int32_t reset_burst, int32_t resets_per_second);
void tg_session_free(tg_session *session);

/* Reads all of `data`, less than 2^31 bytes: the number of events. Negative: the peer speaks no HTTP/2, or floods. */
int tg_receive(tg_session *session, tg_scratch *scratch, const char *data, size_t length);

/* Puts what may be sent into the output: its length, about `limit` at most; 0 if there is nothing, or windows are shut. */
long tg_send(tg_session *session, tg_scratch *scratch, size_t limit);

/* Bytes of all streams', or of one stream's, messages that windows or the transport hold back. */
long tg_unsent(tg_session *session);
long tg_unsent_of(tg_session *session, int32_t stream);
/* Bytes of messages that were put into the output, since the beginning. */
long tg_delivered(tg_session *session);

/* Heads are given as they are in events. `tg_head` begins an answer, `tg_message` adds a message with gRPC's prefix,
 * `tg_finish` ends it with trailers; `tg_answer` is all three. `tg_refuse` answers with a head and a body, if any. */
int tg_head(tg_session *session, int32_t stream, const char *head, size_t head_length);
int tg_message(tg_session *session, int32_t stream, const char *message, size_t length);
int tg_finish(tg_session *session, int32_t stream, const char *trailers, size_t trailers_length);
int tg_answer(tg_session *session, int32_t stream, const char *head, size_t head_length, const char *message,
              size_t length, const char *trailers, size_t trailers_length);
int tg_refuse(tg_session *session, int32_t stream, const char *head, size_t head_length, const char *body,
              size_t length);

int tg_reset(tg_session *session, int32_t stream, uint32_t code);
/* Lets the client send that many bytes more on the stream. */
int tg_consume(tg_session *session, int32_t stream, size_t length);
int tg_ping(tg_session *session);
/* Tells the client to begin no more streams here; they still may, until `tg_goaway`. */
int tg_notice(tg_session *session);
int tg_goaway(tg_session *session, uint32_t code);

const char *tg_version(void);
