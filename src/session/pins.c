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
    } else if (out->pinned != PIN_NONE && out->pinned != reason) {
        out->pinned_also |= PIN_BIT(reason);
    }
}

/* A row per channel, or one without; in front of each whether there is anything else. Names and
 * operators are PostgreSQL's own, whatever the search_path is. */
#define QUESTION                                                                                   \
    "SELECT o.o, c.c FROM (SELECT EXISTS (SELECT FROM pg_catalog.pg_locks"                         \
    " WHERE locktype OPERATOR(pg_catalog.=) 'advisory'"                                            \
    " AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid())"                                 \
    " OR EXISTS (SELECT FROM pg_catalog.pg_cursors)"                                               \
    " OR EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql)"                    \
    " OR EXISTS (SELECT FROM pg_catalog.pg_depend"                                                 \
    " WHERE refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass"      \
    " AND refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema())"                         \
    " AS o) AS o LEFT JOIN pg_catalog.pg_listening_channels() AS c(c) ON true"

bool pins_rest(Session *session, Exchange *exchange, SessionOut *out)
{
    if (session->pin == PIN_NONE || session->pinned_for_good || !exchange->releases) {
        return true;
    }
    exchange->releases = false;
    exchange->pins_before = session->pins;
    exchange->answered = exchange->others = false;
    exchange->batch_before = exchange->batch;
    listen_found_begin(session);
    exchange_ask(exchange, ASKING_PINS, SLICE(QUESTION), out);
    return false;
}

void exchange_ask(Exchange *exchange, Asking asking, Slice query, SessionOut *out)
{
    exchange->asking = asking;
    exchange->ahead = exchange->flight.len; /* what is there at a handover */
    buf_clear(&exchange->own);
    pg_put_query(&exchange->own, query);
    flight_push(&exchange->flight, 'Q', FLIGHT_OURS);
    out->behind = buf_slice(&exchange->own);
}

void pins_take_row(Session *session, Exchange *exchange, const PgPiece *piece)
{
    PgReader reader = {.rest = piece->body};
    bool whole = piece->last && pg_read_u16(&reader) == 2 && pg_read_u32(&reader) == 1;
    bool none = whole && slice_is(pg_read_bytes(&reader, 1), "f");
    uint32_t len = none ? pg_read_u32(&reader) : UINT32_MAX;
    exchange->answered = true;
    if (!none) {
        exchange->others = true;
        return;
    }
    if (len != UINT32_MAX) {
        Slice channel = pg_read_bytes(&reader, len);
        listen_found_add(session, channel);
    }
    exchange->others = exchange->others || !pg_reader_ended(&reader);
}

/* What the client has sent since the question may have made something new. */
void pins_end(Session *session, const Exchange *exchange, SessionOut *out)
{
    if (!exchange->answered || exchange->others || session->pinned_for_good ||
        session->pins != exchange->pins_before) {
        return;
    }
    if (listen_found_end(session, exchange, out)) {
        session->pin = PIN_NONE;
        out->unpinned = true;
    }
}

/* Of several reasons one may be for good that the first is not. */
void pins_note(Session *session, Exchange *exchange, const TextEffects *effects, SessionOut *out)
{
    bool first = session->pin == PIN_NONE;
    session_pin(session, effects->pin, out);
    for (PinReason reason = PIN_NONE + 1; reason < PIN_REASON_COUNT; reason++) {
        if (reason != effects->pin && (effects->pins & PIN_BIT(reason)) != 0) {
            session_pin(session, reason, out);
        }
    }
    if (first && (effects->pins & PIN_BIT(PIN_UNKNOWN_STATEMENT)) != 0) {
        exchange->guess = exchange->batch + 1;
        exchange->guess_pins = session->pins;
    }
}

/* A statement that nobody knows pins, for what it might do. Where PostgreSQL does not know it
 * either, nothing was done. */
void pins_take_error(Session *session, const Exchange *exchange, const PgPiece *piece,
                     SessionOut *out)
{
    PgError error;
    bool alone = exchange->guess == exchange->ended + 1 && session->pins == exchange->guess_pins;
    if (alone && session->pin != PIN_NONE && !exchange->completed && piece->last &&
        pg_get_error(piece->body, &error) && slice_is(error.sqlstate, "42601")) {
        session->pin = PIN_NONE;
        session->pinned_for_good = false;
        out->unpinned = true;
    }
}
