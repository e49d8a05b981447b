/* See talk.h. */
#include "talk.h"

void talk_put(Buf *buf, char type, const char *name, const char *text)
{
    switch (type) {
    case 'Q':
        pg_put_query(buf, slice_of(text));
        break;
    case 'P':
        pg_put_parse(buf, slice_of(name), slice_of(text));
        break;
    case 'B':
        pg_put_bind(buf, slice_of(text), slice_of(name));
        break;
    case 'D':
        pg_put_describe(buf, 'S', slice_of(name));
        break;
    case 'C':
        pg_put_close(buf, 'S', slice_of(name));
        break;
    case 'E':
        pg_put_execute(buf, slice_of(text), 0);
        break;
    default:
        pg_put_end(buf, pg_put_begin(buf, type));
        break;
    }
}

SessionStep talk_say(Session *session, Exchange *exchange, SessionOut *out, Slice message,
                     Buf *sent)
{
    PgPiece piece;
    PgFramer framer = {0};
    PgPolicy policy = {0};
    assert_true(pg_framer_next(&framer, &policy, message, &piece) == WIRE_DONE);
    SessionStep step = session_client_piece(session, exchange, &piece, out);
    for (size_t i = 0; i < out->before_len; i++) {
        buf_append_slice(sent, out->before[i]);
    }
    if (step == STEP_FORWARD) {
        buf_append_slice(sent, out->head);
        buf_append_slice(sent, slice_skip(piece.raw, out->replaced));
        buf_append_slice(sent, out->behind);
    }
    return step;
}

SessionStep talk_message(Session *session, Exchange *exchange, SessionOut *out, char type,
                         const char *name, const char *text, Buf *sent)
{
    Buf buf;
    buf_init(&buf, BUF_MAX_DEFAULT);
    talk_put(&buf, type, name, text);
    SessionStep step = talk_say(session, exchange, out, buf_slice(&buf), sent);
    buf_done(&buf);
    return step;
}

void talk_answer(Session *session, Exchange *exchange, SessionOut *out, const char *types,
                 TalkLetter letter, char got[static TALK_MAX])
{
    size_t count = 0;
    for (const char *type = types; *type != '\0'; type++) {
        bool ready = *type == 'Z';
        Slice body = ready ? (Slice){type + 1, 1} : SLICE("");
        PgPiece piece = {.type = *type, .first = true, .last = true, .raw = body, .body = body};
        SessionStep step = session_server_piece(session, exchange, &piece, out);
        assert_true(count < TALK_MAX - 1);
        got[count++] = letter(*type, step, out);
        type += ready ? 1 : 0;
    }
    got[count] = '\0';
}
