/* The server's half of the step: see session.h. */
#include "session/parts_priv.h"
#include "session/records_priv.h"

/* Who has made something that keeps state unseen may use it at once: what it says next waits until
 * the names are known (catalog_priv.h). */
static bool learn_first(Exchange *exchange)
{
    if (!exchange->learns) {
        return false;
    }
    exchange->learns = false;
    exchange->asking = ASKING_CATALOG;
    exchange->barrier = true;
    flight_push(&exchange->flight, 'Q', FLIGHT_OURS);
    return true;
}

/* Whether the transaction is over, and everything that was asked is answered. */
static void check_rest(Session *session, Exchange *exchange, SessionOut *out)
{
    if (exchange->flight.unsure) {
        session_pin(session, PIN_CONVERSATION, out);
    }
    bool rests = exchange->status == 'I' && flight_is_empty(&exchange->flight) &&
                 !session->mid_message && !session->relay;
    if (rests && exchange->unnamed == UNNAMED_PARSED) {
        session_pin(session, PIN_UNNAMED_STATEMENT, out);
    }
    out->ddl = exchange->ddl && exchange->status == 'I';
    exchange->ddl = exchange->ddl && !out->ddl;
    exchange->learns = exchange->asks_catalog && (exchange->learns || out->ddl);
    bool free = rests && pins_rest(session, exchange, out) &&
                settings_rest(session, exchange, out) && session->pin == PIN_NONE;
    out->learn = free && learn_first(exchange);
    out->at_rest = free && !out->learn;
}

/* The answer to a question of the proxy's is complete. */
static void take_answered(Session *session, Exchange *exchange, SessionOut *out)
{
    Asking asked = exchange->asking;
    exchange->asking = ASKING_NOTHING;
    if (asked == ASKING_PINS) {
        pins_end(session, exchange, out);
    } else if (asked == ASKING_SETTINGS) {
        settings_end(session, exchange, out);
    } else if (asked != ASKING_CATALOG) { /* which the shell has taken */
        listen_answered(session, exchange, asked, out);
    }
}

static void take_answer_row(Session *session, Exchange *exchange, const PgPiece *piece)
{
    if (exchange->asking == ASKING_PINS) {
        pins_take_row(session, exchange, piece);
    } else if (exchange->asking == ASKING_SETTINGS) {
        settings_take_row(session, exchange, piece);
    }
}

static bool take_ready(Session *session, Exchange *exchange, const PgPiece *piece,
                       const FlightAnswer *answer, SessionOut *out)
{
    if (!pg_get_ready(piece->body, &exchange->status)) {
        out->problem = "the server sent a malformed ReadyForQuery";
        return false;
    }
    if (!answer->ours) {
        exchange->ended++;
        exchange->completed = false;
        loss_take_ready(exchange);
    }
    bool own = answer->ours && answer->ended == 'Q';
    bool asked = own && exchange->asking != ASKING_NOTHING && exchange->ahead == 0;
    exchange->ahead = (uint16_t)(exchange->ahead - (own && exchange->ahead > 0 ? 1 : 0));
    bool rest_follows = !answer->ours || asked;
    if (asked) {
        take_answered(session, exchange, out);
        if (out->problem != NULL) {
            return false;
        }
    } else {
        settings_take_ready(session, exchange, answer);
        walsender_take_ready(exchange, answer);
    }
    if (rest_follows) {
        check_rest(session, exchange, out);
    }
    return true;
}

/* What the answer says of statements. */
static void follow_answer(Session *session, Exchange *exchange, const FlightAnswer *answer)
{
    if (answer->recorded) {
        record_keep(exchange);
    }
    if (answer->undone > 0) {
        records_undo(session, exchange, answer->undone);
    }
}

static void take_tag(Session *session, Exchange *exchange, const PgPiece *piece)
{
    Slice body = piece->body;
    Slice tag = slice_cut(&body, '\0');
    names_take_tag(session, exchange, tag);
    settings_take_tag(session, exchange, tag);
}

/* A Query that the server skips for what stood in front of it has no Sync of its own. */
static void sync_for_query(const Session *session, Exchange *exchange, SessionOut *out)
{
    if (session->mid_message) {
        exchange->sync_owed = true;
    } else {
        out->behind = SLICE("S\0\0\0\4");
        flight_push(&exchange->flight, 'S', 0);
    }
}

/* False: the proxy's own message failed, which cannot be. */
static bool take_error(Session *session, Exchange *exchange, const PgPiece *piece,
                       const FlightAnswer *answer, SessionOut *out)
{
    if (settings_take_error(exchange, answer)) {
        return true;
    }
    if (loss_take_error(exchange, piece)) {
        out->problem = "a read that was sent again writes: it may have done so before it was lost";
        return false;
    }
    if (answer->own_failed) {
        out->problem = "the server refused a command of the proxy";
        return false;
    }
    exchange->releases = exchange->releases || session->pin != PIN_NONE; /* it may not have been */
    if (answer->failed == 'P') {
        exchange->unnamed = UNNAMED_ABSENT;
    }
    loss_note_error(exchange);
    causal_note_error(exchange);
    gate_note_error(exchange);
    if (answer->query_skipped) {
        sync_for_query(session, exchange, out);
    }
    pins_take_error(session, exchange, piece, out);
    names_take_error(exchange, piece);
    return true;
}

static void tell_parsed(const PgPiece *piece, SessionOut *out)
{
    out->head = SLICE("1\0\0\0\4");
    out->replaced = piece->raw.len;
}

/* The first piece of a message. False: `problem` says why this connection cannot go on. */
static bool take_first(Session *session, Exchange *exchange, const PgPiece *piece,
                       const FlightAnswer *answer, SessionOut *out)
{
    switch (piece->type) {
    case 'E':
        return take_error(session, exchange, piece, answer, out);
    case 'C':
        exchange->completed = exchange->completed || !answer->ours;
        if (answer->ours) {
            Slice body = piece->body;
            settings_take_own_tag(exchange, slice_cut(&body, '\0'));
        } else if (!session->relay) {
            take_tag(session, exchange, piece);
        }
        return true;
    case 'D':
        if (answer->ours) {
            take_answer_row(session, exchange, piece);
        }
        return true;
    case 'W':
        exchange->streaming = true;
        return true;
    case 'Z':
        exchange->streaming = false;
        return take_ready(session, exchange, piece, answer, out);
    default:
        return true;
    }
}

size_t session_server_pass(const Session *session, Exchange *exchange, Slice data)
{
    bool completed = false;
    if (session->walsender) { /* which may have to be ended between any two messages */
        return 0;
    }
    size_t len = flight_pass(&exchange->flight, data, !exchange->gate.on, &completed);
    exchange->completed = exchange->completed || completed;
    exchange->swallowing = exchange->swallowing && len == 0;
    exchange->gate.passed = exchange->gate.passed && len == 0;
    return len;
}

SessionStep session_server_piece(Session *session, Exchange *exchange, const PgPiece *piece,
                                 SessionOut *out)
{
    session_out_clear(out);
    if (!piece->first) {
        return exchange->swallowing ? STEP_DROP : STEP_FORWARD;
    }
    if (exchange->gate.on && gate_holds(session, exchange, piece)) {
        return STEP_GATE;
    }
    FlightAnswer answer;
    flight_answer(&exchange->flight, piece->type, &answer);
    exchange->swallowing = answer.ours;
    if (exchange->gate.on && gate_takes(exchange, piece)) {
        return STEP_DROP;
    }
    if (piece->type == 'A' && !session->relay) {
        SessionStep step = listen_take_notification(session, exchange, piece, out);
        exchange->swallowing = step == STEP_DROP;
        return step;
    }
    follow_answer(session, exchange, &answer);
    if (!take_first(session, exchange, piece, &answer, out)) {
        return STEP_REFUSE;
    }
    if (exchange->flight.unsure && !answer.ready) {
        session_pin(session, PIN_CONVERSATION, out);
    }
    if (answer.stands) {
        tell_parsed(piece, out);
    }
    return answer.ours ? STEP_DROP : STEP_FORWARD;
}

FlightAnswer session_orphan_piece(Exchange *exchange, const PgPiece *piece)
{
    FlightAnswer answer;
    flight_answer(&exchange->flight, piece->type, &answer);
    follow_answer(NULL, exchange, &answer);
    return answer;
}
