/*
 * Pins, and their end: some of what pins PostgreSQL can be asked for. When a text may have taken it
 * away, and the conversation is at rest, it is; where nothing is left the session is shared again
 * (RULES P2).
 */
#include "session/parts_priv.h"

bool pin_can_end(PinReason reason)
{
    switch (reason) {
    case PIN_SQL_PREPARE:
    case PIN_LISTEN:
    case PIN_TEMPORARY:
    case PIN_ADVISORY_LOCK:
    case PIN_HOLD_CURSOR:
        return true;
    case PIN_NONE:
    case PIN_SETTING:
    case PIN_PROTOCOL_PREPARE:
    case PIN_UNNAMED_STATEMENT:
    case PIN_LOAD:
    case PIN_SEQUENCE_VALUE:
    case PIN_ANONYMOUS_CODE:
    case PIN_STATE_FUNCTION:
    case PIN_HIDDEN_STATE:
    case PIN_FUNCTION_CALL:
    case PIN_REPLICATION:
    case PIN_ENCODING:
    case PIN_UNKNOWN_STATEMENT:
    case PIN_CONVERSATION:
    case PIN_REASON_COUNT:
    default:
        return false;
    }
}

void session_pin(Session *session, PinReason reason, SessionOut *out)
{
    if (reason == PIN_NONE || session->relay) {
        return;
    }
    session->pins++;
    session->pinned_for_good = session->pinned_for_good || !pin_can_end(reason);
    if (session->pin == PIN_NONE) {
        session->pin = reason;
        out->pinned = reason;
    }
}

/* Names and operators are PostgreSQL's own, whatever the search_path is. */
#define QUESTION                                                                                   \
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks"                                               \
    " WHERE locktype OPERATOR(pg_catalog.=) 'advisory'"                                            \
    " AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid())"                                 \
    " OR EXISTS (SELECT FROM pg_catalog.pg_listening_channels())"                                  \
    " OR EXISTS (SELECT FROM pg_catalog.pg_cursors)"                                               \
    " OR EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql)"                    \
    " OR EXISTS (SELECT FROM pg_catalog.pg_depend"                                                 \
    " WHERE refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass"      \
    " AND refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema())"

bool pins_rest(Session *session, Exchange *exchange, SessionOut *out)
{
    if (session->pin == PIN_NONE || session->pinned_for_good || !exchange->releases) {
        return true;
    }
    exchange->releases = false;
    exchange->pins_before = session->pins;
    exchange->asking = ASKING_PINS;
    exchange->answered = false;
    buf_clear(&exchange->own);
    pg_put_query(&exchange->own, SLICE(QUESTION));
    flight_push(&exchange->flight, 'Q', FLIGHT_OURS);
    out->behind = buf_slice(&exchange->own);
    return false;
}

void pins_take_row(Exchange *exchange, const PgPiece *piece)
{
    PgReader reader = {.rest = piece->body};
    exchange->answered = piece->last && pg_read_u16(&reader) == 1 && pg_read_u32(&reader) == 1 &&
                         slice_is(pg_read_bytes(&reader, 1), "f");
}

/* What the client has sent since the question may have made something new. */
void pins_end(Session *session, const Exchange *exchange, SessionOut *out)
{
    if (exchange->answered && !session->pinned_for_good && session->pins == exchange->pins_before) {
        session->pin = PIN_NONE;
        out->unpinned = true;
    }
}

void pins_guess(const Session *session, Exchange *exchange, PinReason reason)
{
    if (reason == PIN_UNKNOWN_STATEMENT && session->pins == 1) {
        exchange->guess = exchange->batch + 1;
    }
}

/* A statement that nobody knows pins, for what it might do. Where PostgreSQL does not know it
 * either, nothing was done. */
void pins_take_error(Session *session, const Exchange *exchange, const PgPiece *piece,
                     SessionOut *out)
{
    PgError error;
    if (exchange->guess == exchange->ended + 1 && session->pins == 1 && !exchange->completed &&
        piece->last && pg_get_error(piece->body, &error) && slice_is(error.sqlstate, "42601")) {
        session->pin = PIN_NONE;
        session->pinned_for_good = false;
        session->pins = 0;
        out->unpinned = true;
    }
}
