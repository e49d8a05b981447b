/*
 * What becomes of the client's transaction where its server connection is lost: a code that invites
 * to repeat it is only for what has not happened for sure (RULES F12). So it is noted what was sent
 * and is not answered yet: whether it may commit a transaction that is open, and whether it changes
 * something where none is. Whatever cannot be read may do all of that.
 */
#include "session/parts_priv.h"
#include "session/records_priv.h"

enum {
    MAY_COMMIT = 1, /* the transaction that is open */
    MAY_LEAVE = 2,  /* it: what follows is in none */
    MAY_CHANGE = 4, /* something, where it is a transaction of its own */
    MAY_ALL = MAY_COMMIT | MAY_LEAVE | MAY_CHANGE,
    MAY_READ = 8, /* it does nothing else */
    MAY_BEGIN = 16,
};

void loss_begin(Exchange *exchange)
{
    exchange->may = exchange->unnamed_may = 0;
    exchange->told = exchange->guard = exchange->guarded = false;
    exchange->bound_len = -1;
}

void loss_note_text(Exchange *exchange, const TextEffects *effects)
{
    unsigned may = 0;
    const uint32_t unreadable = PIN_BIT(PIN_ENCODING) | PIN_BIT(PIN_UNKNOWN_STATEMENT);
    bool unread = (effects->pins & unreadable) != 0;
    may |= effects->ends ? MAY_COMMIT : 0U;
    may |= effects->ends || effects->undoes ? MAY_LEAVE : 0U;
    may |= effects->reads ? MAY_READ : effects->bare ? MAY_BEGIN : MAY_CHANGE;
    may = unread ? MAY_ALL : may;
    exchange->may |= (uint8_t)may;
    exchange->told = true;
    if (exchange->unnamed == UNNAMED_PARSED) {
        exchange->unnamed_may |= (uint8_t)may;
    }
}

void loss_note_unnamed(Exchange *exchange)
{
    exchange->may |= exchange->unnamed_may;
}

void loss_note_bound(Exchange *exchange, Slice portal)
{
    bool fits = portal.len <= sizeof(exchange->bound);
    exchange->bound_len = fits ? (int16_t)portal.len : -1;
    memcpy(exchange->bound, portal.data, fits ? portal.len : 0);
}

/* Of a Parse that was skipped nothing is on the server: what was there before is. */
void loss_note_error(Exchange *exchange)
{
    exchange->unnamed_may = MAY_ALL;
}

/* A portal of an earlier batch may run anything. */
static bool is_bound(const Exchange *exchange, const PgPiece *piece)
{
    PgExecute execute;
    return exchange->bound_len >= 0 && pg_get_execute(piece->body, &execute) &&
           slice_eq(execute.portal, (Slice){exchange->bound, (size_t)exchange->bound_len});
}

static bool is_noted(const Session *session, const Exchange *exchange, const PgPiece *piece)
{
    if (session->relay && !exchange->gate.on) {
        return false;
    }
    return piece->type == 'E' ? is_bound(exchange, piece) : piece->type == 'Q' && exchange->told;
}

bool loss_note_message(const Session *session, Exchange *exchange, const PgPiece *piece)
{
    bool noted = strchr("QEF", piece->type) == NULL || is_noted(session, exchange, piece);
    if (!noted) {
        exchange->may = MAY_ALL;
    }
    if (strchr("QSF", piece->type) != NULL) {
        exchange->told = exchange->guard = false;
        exchange->bound_len = -1;
    }
    return noted;
}

void loss_note_unread(Exchange *exchange)
{
    exchange->may = MAY_ALL;
}

bool loss_may_have_committed(const Exchange *exchange, bool inside)
{
    bool open = inside || exchange->status != 'I';
    bool own = !open || (exchange->may & MAY_LEAVE) != 0;
    return (exchange->may & MAY_COMMIT) != 0 || (own && (exchange->may & MAY_CHANGE) != 0);
}

/* Whether all is answered that the client has sent. */
static bool is_answered(const Exchange *exchange)
{
    return exchange->ended == exchange->batch && !exchange->open;
}

void loss_take_ready(Exchange *exchange)
{
    exchange->guarded = false;
    if (is_answered(exchange)) {
        exchange->may = 0;
        gate_answered(exchange);
    }
}

SessionLoss session_lost(const Session *session, const Exchange *exchange)
{
    bool inside = exchange->status != 'I';
    bool complete = exchange->ended != exchange->batch; /* otherwise its Sync was not sent */
    if (is_answered(exchange) && !session->mid_message) {
        return inside ? LOSS_UNDONE : LOSS_AT_REST;
    }
    bool own = complete && (!inside || (exchange->may & MAY_LEAVE) != 0);
    bool unknown = exchange->flight.unsure || (exchange->may & MAY_COMMIT) != 0 ||
                   (own && (exchange->may & MAY_CHANGE) != 0);
    return unknown ? LOSS_UNKNOWN : LOSS_UNDONE;
}

PgError session_loss_error(SessionLoss loss, bool fatal, const char *detail)
{
    static const struct {
        const char *sqlstate, *message;
    } words[] = {
        [LOSS_AT_REST] = {"57P01", "The connection to the database was lost, and with it the "
                                   "state of this session."},
        [LOSS_UNDONE] = {"40001", "The connection to the database was lost: the transaction was "
                                  "not committed."},
        [LOSS_UNKNOWN] = {"08007", "The connection to the database was lost before it had "
                                   "answered: the transaction may have been committed."},
    };
    return (PgError){.severity = slice_of(fatal ? "FATAL" : "ERROR"),
                     .sqlstate = slice_of(words[loss].sqlstate),
                     .message = slice_of(words[loss].message),
                     .detail = slice_of(detail)};
}

/* ---- clients that stay -------------------------------------------------------------------------
 */

/* All that the session has is known here, and follows the client to any other connection. */
bool session_can_outlive(const Session *session, const Exchange *exchange)
{
    return !session->relay && session->pin == PIN_NONE && session->listening == NULL &&
           !session->mid_message && !exchange->flight.copying && !exchange->flight.unsure &&
           exchange->asking == ASKING_NOTHING && exchange->touched.len == 0 &&
           session_lost(session, exchange) != LOSS_AT_REST;
}

/* Reads behind a BEGIN cannot be guarded: the transaction would stay read only. */
bool session_only_reads(const Exchange *exchange)
{
    return (exchange->may & MAY_ALL) == 0 && exchange->may != (MAY_READ | MAY_BEGIN);
}

bool session_can_resend(const Session *session, const Exchange *exchange)
{
    return session_can_outlive(session, exchange) && session_only_reads(exchange) &&
           exchange->status == 'I' && !exchange->open && exchange->batch - exchange->ended == 1;
}

bool session_resend_begins(const Exchange *exchange)
{
    return (exchange->may & MAY_BEGIN) != 0;
}

void session_undo(Session *session, Exchange *exchange)
{
    records_undo(session, exchange, exchange->records.len - exchange->records_first);
}

void session_guard(Exchange *exchange)
{
    exchange->guard = true;
}

/* As a replay of settings: in the same transaction. That is all that it holds for. */
void loss_put_guard(Exchange *exchange, SessionOut *out)
{
    exchange->guard = false;
    exchange->guarded = exchange->fronted = true;
    exchange->unnamed = UNNAMED_FOREIGN;
    exchange_push_replay(exchange, 1, FLIGHT_OURS | FLIGHT_TELL);
    session_put_before(out, SLICE("P\0\0\0\46\0SET transaction_read_only = on\0\0\0"
                                  "B\0\0\0\14\0\0\0\0\0\0\0\0"
                                  "E\0\0\0\11\0\0\0\0\0"));
}

bool loss_take_error(Exchange *exchange, const PgPiece *piece)
{
    PgError error;
    bool writes = exchange->guarded && piece->last && pg_get_error(piece->body, &error) &&
                  slice_is(error.sqlstate, "25006");
    if (writes) {
        loss_note_unread(exchange);
    }
    return writes;
}

/* Each batch that it waits for fails, and so does the one that it is about to end; where it waits
 * for nothing, it hears it when it asks. */
void session_outlive(Session *session, Exchange *exchange, const char *detail, Buf *out)
{
    PgError error = session_loss_error(session_lost(session, exchange), false, detail);
    uint64_t waiting = exchange->batch - exchange->ended;
    for (uint64_t i = 0; i < waiting; i++) {
        pg_put_error(out, &error);
        pg_put_ready(out, 'I');
    }
    if (exchange->open) {
        pg_put_error(out, &error);
        session->after = AFTER_SKIP;
    } else if (waiting == 0) {
        session->after = AFTER_TELL;
    }
    session_undo(session, exchange);
}

SessionStep loss_take_unlinked(Session *session, const PgPiece *piece, SessionOut *out)
{
    bool tell = session->after == AFTER_TELL;
    bool extended = strchr("PBDCE", piece->type) != NULL;
    out->ready = !extended;
    if (strchr("Hdcf", piece->type) != NULL || (!tell && piece->type != 'S')) {
        session->dropping = !piece->last;
        return STEP_DROP;
    }
    session->after = tell && extended ? AFTER_SKIP : AFTER_NOTHING;
    session->dropping = !piece->last;
    return tell ? STEP_FAILED : STEP_READY;
}
