/* See session_priv.h. One function per kind of message; the tables of types are at the top. */
#include "proxy/session_priv.h"

#define CLIENT_WANTED "QPBDCE"
#define SERVER_WANTED "ZESKR"
#define CLIENT_KNOWN  "QPBDCEHSFXdcf"

void session_client_policy(PgPolicy *policy)
{
    *policy = (PgPolicy){.head_max = SESSION_HEAD_MAX};
    pg_policy_want(policy, CLIENT_WANTED);
}

void session_server_policy(PgPolicy *policy)
{
    *policy = (PgPolicy){.head_max = SESSION_HEAD_MAX};
    pg_policy_want(policy, SERVER_WANTED);
}

Slice session_inject_bytes(unsigned inject)
{
    switch (inject) {
    case INJECT_CLOSE_UNNAMED:
        return SLICE("C\0\0\0\6S\0");
    case INJECT_FLUSH:
        return SLICE("H\0\0\0\4");
    case INJECT_DISCARD_SEQUENCES:
        return SLICE("Q\0\0\0\26DISCARD SEQUENCES\0");
    default:
        UNREACHABLE();
    }
}

void session_init(Session *session, bool relay)
{
    *session = (Session){.relay = relay};
}

/* Pins once; the first reason is the one that counts. */
static void session_pin(Session *session, PinReason reason, SessionOut *out)
{
    if (session->pin == PIN_NONE && reason != PIN_NONE && !session->relay) {
        session->pin = reason;
        out->pinned = reason;
    }
}

PinReason session_check_start(Session *session, Slice params)
{
    static const char temporary[] = "pg_temp";
    SessionOut out = {0};
    Slice name;
    Slice value;
    while (pg_params_next(&params, &name, &value)) {
        if (value.len > 0 &&
            memmem(value.data, value.len, temporary, sizeof(temporary) - 1) != NULL) {
            session_pin(session, PIN_TEMPORARY, &out);
        }
    }
    return out.pinned;
}

unsigned session_link(Session *session, Exchange *exchange, SqlDialect dialect,
                      bool sequences_moved)
{
    exchange->flight = (Flight){0};
    exchange->scan = (SqlScan){.dialect = dialect};
    exchange->scanning = exchange->swallowing = exchange->wrote = false;
    exchange->unnamed = UNNAMED_FOREIGN;
    exchange->status = 'I';
    if (session->relay || !sequences_moved) {
        return 0;
    }
    flight_push(&exchange->flight, 'Q', true);
    return INJECT_DISCARD_SEQUENCES;
}

/* ---- from the client ---------------------------------------------------------------------------
 */

static void text_begin(Exchange *exchange)
{
    exchange->scan = (SqlScan){.dialect = exchange->scan.dialect};
    exchange->scanning = true;
}

static void text_feed(Session *session, Exchange *exchange, Slice text, bool last, SessionOut *out)
{
    sql_scan_feed(&exchange->scan, text);
    if (last) {
        sql_scan_end(&exchange->scan);
        exchange->scanning = false;
        exchange->wrote = exchange->wrote || exchange->scan.writes;
        session_pin(session, exchange->scan.pin, out);
    }
}

/* A pinned session is not looked into any more: its connection serves nobody after it. */
static bool looks_into_text(const Session *session)
{
    return !session->relay && session->pin == PIN_NONE;
}

static void take_query(Session *session, Exchange *exchange, const PgPiece *piece, SessionOut *out)
{
    exchange->unnamed = UNNAMED_ABSENT; /* the server drops it */
    if (looks_into_text(session)) {
        text_begin(exchange);
        text_feed(session, exchange, piece->body, piece->last, out);
    }
}

static void take_parse(Session *session, Exchange *exchange, const PgPiece *piece, SessionOut *out)
{
    Slice name;
    size_t offset;
    if (!pg_get_parse_head(piece->body, &name, &offset) || name.len > 0) {
        session_pin(session, PIN_PROTOCOL_PREPARE, out);
        return;
    }
    exchange->unnamed = UNNAMED_PARSED;
    if (looks_into_text(session)) {
        text_begin(exchange);
        text_feed(session, exchange, slice_skip(piece->body, offset), piece->last, out);
    }
}

/* Nobody may run another client's unnamed statement: it is closed first, and then the server itself
 * says that there is none. */
static void use_unnamed(Session *session, Exchange *exchange, SessionOut *out)
{
    if (exchange->unnamed == UNNAMED_FOREIGN && !session->relay) {
        out->inject |= INJECT_CLOSE_UNNAMED;
        flight_push(&exchange->flight, 'C', true);
        exchange->unnamed = UNNAMED_ABSENT;
    }
}

static void take_bind(Session *session, Exchange *exchange, const PgPiece *piece, SessionOut *out)
{
    PgBind bind;
    if (!pg_get_bind(piece->body, &bind)) {
        session_pin(session, PIN_CONVERSATION, out);
        return;
    }
    if (bind.statement.len == 0) {
        use_unnamed(session, exchange, out);
        if (exchange->unnamed == UNNAMED_PARSED) {
            exchange->unnamed = UNNAMED_BOUND;
        }
    }
}

static void take_target(Session *session, Exchange *exchange, const PgPiece *piece, SessionOut *out)
{
    PgTarget target;
    if (!pg_get_target(piece->body, &target)) {
        session_pin(session, PIN_CONVERSATION, out);
        return;
    }
    if (target.kind == 'S' && target.name.len == 0) {
        use_unnamed(session, exchange, out);
        if (piece->type == 'C') {
            exchange->unnamed = UNNAMED_ABSENT;
        }
    }
}

static SessionStep take_unlinked(Session *session, const PgPiece *piece)
{
    switch (piece->type) {
    case 'S':
        return STEP_READY;
    case 'H': /* what a server would ignore needs none */
    case 'd':
    case 'c':
    case 'f':
        session->dropping = !piece->last;
        return STEP_DROP;
    default:
        return STEP_BORROW;
    }
}

/* Two places: one for the message, one for what is injected in front of it. */
static bool has_room(const Exchange *exchange)
{
    return exchange->flight.len + 2 <= FLIGHT_MAX;
}

static void take_linked(Session *session, Exchange *exchange, const PgPiece *piece, SessionOut *out)
{
    switch (piece->type) {
    case 'Q':
        take_query(session, exchange, piece, out);
        break;
    case 'P':
        take_parse(session, exchange, piece, out);
        break;
    case 'B':
        take_bind(session, exchange, piece, out);
        break;
    case 'D':
    case 'C':
        take_target(session, exchange, piece, out);
        break;
    case 'F':
        session_pin(session, PIN_FUNCTION_CALL, out);
        break;
    default:
        break;
    }
    if (piece->type == 'c' || piece->type == 'f') {
        flight_push(&exchange->flight, 'c', false);
    } else if (piece->type != 'd' && piece->type != 'H') {
        flight_push(&exchange->flight, piece->type, false);
    }
}

static SessionStep take_first(Session *session, Exchange *exchange, const PgPiece *piece,
                              SessionOut *out)
{
    if (piece->type == '\0' || strchr(CLIENT_KNOWN, piece->type) == NULL) {
        out->problem = "invalid frontend message type";
        return STEP_REFUSE;
    }
    if (piece->type == 'X') {
        return STEP_END;
    }
    if (exchange == NULL) {
        return take_unlinked(session, piece);
    }
    if (!has_room(exchange)) {
        out->inject = INJECT_FLUSH;
        return STEP_WAIT;
    }
    session->mid_message = !piece->last;
    take_linked(session, exchange, piece, out);
    return STEP_FORWARD;
}

SessionStep session_client_piece(Session *session, Exchange *exchange, const PgPiece *piece,
                                 SessionOut *out)
{
    *out = (SessionOut){0};
    if (piece->first) {
        return take_first(session, exchange, piece, out);
    }
    if (session->dropping) {
        session->dropping = !piece->last;
        return STEP_DROP;
    }
    ASSERT(exchange != NULL && session->mid_message);
    session->mid_message = !piece->last;
    if (exchange->scanning) {
        text_feed(session, exchange, piece->body, piece->last, out);
    }
    return STEP_FORWARD;
}

/* ---- from the server ---------------------------------------------------------------------------
 */

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
    out->at_rest = rests && session->pin == PIN_NONE;
}

static bool take_ready(Session *session, Exchange *exchange, const PgPiece *piece, bool ours,
                       SessionOut *out)
{
    if (!pg_get_ready(piece->body, &exchange->status)) {
        out->problem = "the server sent a malformed ReadyForQuery";
        return false;
    }
    if (!ours) {
        check_rest(session, exchange, out);
    }
    return true;
}

SessionStep session_server_piece(Session *session, Exchange *exchange, const PgPiece *piece,
                                 SessionOut *out)
{
    *out = (SessionOut){0};
    if (!piece->first) {
        return exchange->swallowing ? STEP_DROP : STEP_FORWARD;
    }
    FlightAnswer answer = flight_answer(&exchange->flight, piece->type);
    exchange->swallowing = answer.ours;
    if (answer.own_failed) {
        out->problem = "the server refused a command of the proxy";
        return STEP_REFUSE;
    }
    if (answer.failed == 'P') {
        exchange->unnamed = UNNAMED_ABSENT;
    }
    if (answer.ready && !take_ready(session, exchange, piece, answer.ours, out)) {
        return STEP_REFUSE;
    }
    if (exchange->flight.unsure && !answer.ready) {
        session_pin(session, PIN_CONVERSATION, out);
    }
    return answer.ours ? STEP_DROP : STEP_FORWARD;
}
