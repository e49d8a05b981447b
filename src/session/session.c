/*
 * The client's half of the step, and the life of sessions and exchanges: see session.h. One
 * function per kind of message; the tables of types are at the top.
 */
#include "session/parts_priv.h"
#include "session/records_priv.h"

#define CLIENT_WANTED "QPBDCE"
#define SERVER_WANTED "ZENSKRCA"
/* PostgreSQL ends the connection over it; unless its COPY has just failed: then it would be run,
 * and nobody knew under what. */
#define NOT_IN_COPY "QPBDCEF"

/* In front of a message: a Close for room, Close and Parse, five of causal.c; and those of strays.
 */
#define FLIGHT_BEFORE_MAX 8

void session_client_policy(PgPolicy *policy)
{
    *policy = (PgPolicy){.head_max = SESSION_HEAD_MAX};
    pg_policy_want(policy, CLIENT_WANTED);
}

void session_server_policy(PgPolicy *policy, bool asking)
{
    *policy = (PgPolicy){.head_max = SESSION_HEAD_MAX};
    pg_policy_want(policy, SERVER_WANTED);
    pg_policy_want(policy, asking ? "D" : "");
}

void session_init(Session *session, bool relay)
{
    *session = (Session){.relay = relay};
}

void session_done(Session *session)
{
    statement_names_clear(&session->names);
    settings_unref(session->settings);
    session->settings = NULL;
    listening_free(session->listening);
    session->listening = NULL;
}

void session_put_before(SessionOut *out, Slice bytes)
{
    ASSERT(out->before_len < SESSION_BEFORE_MAX);
    out->before[out->before_len++] = bytes;
}

PinReason session_check_start(Session *session, Slice params)
{
    SessionOut out = {0};
    Slice name;
    Slice value;
    while (pg_params_next(&params, &name, &value)) {
        if (slice_has(value, "pg_temp")) {
            session_pin(session, PIN_TEMPORARY, &out);
            session->pinned_for_good = true;
        }
    }
    return out.pinned;
}

void exchange_init(Exchange *exchange, StatementTable *table, SettingTable *setting_table)
{
    *exchange = (Exchange){.table = table, .setting_table = setting_table};
    buf_init(&exchange->closing, BUF_MAX_DEFAULT);
    buf_init(&exchange->touched, BUF_MAX_DEFAULT);
    buf_init(&exchange->asked, BUF_MAX_DEFAULT);
    buf_init(&exchange->own, BUF_MAX_DEFAULT);
    buf_init(&exchange->causal.own, BUF_MAX_DEFAULT);
}

void exchange_done(Exchange *exchange)
{
    records_clear(exchange);
    vec_done(&exchange->records);
    vec_done(&exchange->strays);
    buf_done(&exchange->closing);
    buf_done(&exchange->touched);
    buf_done(&exchange->asked);
    buf_done(&exchange->own);
    buf_done(&exchange->causal.own);
    statement_set_clear(&exchange->prepared);
    settings_unref(exchange->applied);
}

void session_parse_anew(Exchange *exchange)
{
    statement_set_doubt(&exchange->prepared);
}

bool exchange_is_clean(const Exchange *exchange)
{
    return exchange->strays.len == 0 && !exchange->soiled;
}

bool exchange_is_deaf(const Exchange *exchange)
{
    return exchange->flight.skipping || exchange->flight.copying;
}

/* What an earlier client may have left, in the same round trip (RULES P2). */
static void put_handover(Exchange *exchange, Handover handover, SessionOut *out)
{
    if (handover == HANDOVER_PLAIN) {
        return;
    }
    flight_push(&exchange->flight, 'Q', FLIGHT_OURS);
    if (handover == HANDOVER_SEQUENCES) {
        session_put_before(out, SLICE("Q\0\0\0\26DISCARD SEQUENCES\0"));
        return;
    }
    static const char settings[] = "SET SESSION AUTHORIZATION DEFAULT; RESET ALL; ";
    static const char others[] = "CLOSE ALL; UNLISTEN *; DISCARD SEQUENCES; DISCARD TEMP; "
                                 "SELECT pg_catalog.pg_advisory_unlock_all()";
    bool resets = !exchange->dialect.baseline_set; /* what an init_query set would not come back */
    if (resets) {
        settings_discarded(exchange);
    }
    buf_clear(&exchange->own);
    size_t mark = pg_put_begin(&exchange->own, 'Q');
    buf_append_str(&exchange->own, resets ? settings : "");
    pg_put_str(&exchange->own, slice_of(others));
    pg_put_end(&exchange->own, mark);
    session_put_before(out, buf_slice(&exchange->own));
}

void session_link(Session *session, Exchange *exchange, Handover handover, SessionOut *out)
{
    session_out_clear(out);
    records_clear(exchange);
    exchange->flight = (Flight){0};
    exchange->scanning = exchange->swallowing = exchange->wrote = false;
    exchange->forgets = exchange->barrier = exchange->open = exchange->releases = false;
    exchange->fronted = false;
    exchange->ddl = exchange->learns = exchange->changed = exchange->replica = false;
    exchange->unnamed = UNNAMED_FOREIGN;
    exchange->status = 'I';
    exchange->ended = exchange->batch;
    exchange->guess = 0;
    exchange->completed = false;
    exchange->name = NAME_OPEN;
    exchange->streaming = exchange->stream_done = false;
    loss_begin(exchange);
    gate_begin(exchange);
    causal_begin(exchange);
    put_handover(exchange, session->relay ? HANDOVER_PLAIN : handover, out);
    settings_begin(session, exchange);
}

bool session_waits(const Exchange *exchange)
{
    return !flight_is_empty(&exchange->flight) &&
           !(exchange->asking != ASKING_NOTHING && exchange->flight.len == 1);
}

bool session_can_be_orphaned(const Session *session, const Exchange *exchange)
{
    const Flight *flight = &exchange->flight;
    bool settled = exchange->settings_state == SETTINGS_IN_FORCE ||
                   exchange->settings_state == SETTINGS_MISSING;
    return session->pin == PIN_NONE && !session->mid_message && settled &&
           exchange->asking == ASKING_NOTHING && !exchange->soiled && exchange->touched.len == 0 &&
           !flight->copying && !flight->unsure && flight->len + 2 <= FLIGHT_MAX;
}

void session_unlink(Exchange *exchange)
{
    for (size_t i = exchange->records_first; i < exchange->records.len; i++) {
        Record *record = &exchange->records.items[i];
        if ((record->kind & (RECORD_STRAY | RECORD_CLOSED)) == 0) {
            mem_free(record->name);
            record->name = NULL;
        }
    }
    mem_free(exchange->deallocating);
    exchange->deallocating = NULL;
}

/* ---- from the client ---------------------------------------------------------------------------
 */

TextEffects session_text_effects(Exchange *exchange, Slice text)
{
    return sql_memo_effects(exchange->memo, exchange->dialect, text, &exchange->scan);
}

void session_note_text(Session *session, Exchange *exchange, const TextEffects *effects,
                       SessionOut *out)
{
    if (exchange->replica && effects->locks) { /* they would keep nobody out */
        out->problem = "advisory locks cannot be taken in a transaction that a replica serves; "
                       "begin it without READ ONLY";
        out->sqlstate = "0A000";
    }
    exchange->wrote = exchange->wrote || effects->writes;
    exchange->changed = exchange->changed || !effects->harmless;
    exchange->forgets = exchange->forgets || effects->forgets;
    exchange->releases = exchange->releases || effects->releases;
    exchange->ddl = exchange->ddl || effects->ddl;
    loss_note_text(exchange, effects);
    if (exchange->gate.on) {
        gate_note_text(exchange, effects);
    }
    if ((exchange->causal.standby || (effects->token | exchange->causal.token) != 0) &&
        !session->relay) {
        causal_note_text(exchange, effects, out);
    }
    listen_note(session, exchange, effects);
    if (effects->pins != 0) {
        pins_note(session, exchange, effects, out);
    }
    settings_note(session, exchange, effects, out);
}

static void text_feed(Session *session, Exchange *exchange, Slice text, bool last, SessionOut *out)
{
    if (!exchange->scanning) {
        return;
    }
    sql_scan_feed(&exchange->scan, text);
    if (last) {
        sql_scan_end(&exchange->scan);
        exchange->scanning = false;
        TextEffects effects = sql_scan_effects(&exchange->scan);
        session_note_text(session, exchange, &effects, out);
        causal_note_late(exchange, out);
    }
}

/* Also of a pinned session: a text may take its named statements away. */
static void text_begin(Session *session, Exchange *exchange, Slice text, bool last, SessionOut *out)
{
    exchange->scanning = false;
    if (session->relay && !exchange->gate.on) {
        return;
    }
    if (last) {
        TextEffects effects = session_text_effects(exchange, text);
        session_note_text(session, exchange, &effects, out);
        return;
    }
    exchange->causal.token = 0;
    exchange->causal.follows = false;
    sql_scan_begin(&exchange->scan, exchange->dialect);
    exchange->scanning = true;
    text_feed(session, exchange, text, false, out);
}

static void take_query(Session *session, Exchange *exchange, const PgPiece *piece, SessionOut *out)
{
    exchange->unnamed = UNNAMED_ABSENT; /* the server drops it */
    text_begin(session, exchange, piece->body, piece->last, out);
    causal_show(session, exchange, exchange->causal.token, true, out);
    names_note_deallocate(session, exchange, piece->body, piece->last, out);
}

/* A text that runs by a name which is not followed: when, and how often, is not known. */
static void note_kept(Exchange *exchange, const PgPiece *piece, size_t offset)
{
    if (!exchange->gate.on) {
        return;
    }
    if (!piece->last || offset >= piece->body.len) {
        gate_note_unread(exchange);
        return;
    }
    TextEffects effects = session_text_effects(exchange, slice_skip(piece->body, offset));
    gate_note_text(exchange, &effects);
}

static void take_parse(Session *session, Exchange *exchange, const PgPiece *piece, SessionOut *out)
{
    Slice name;
    size_t offset;
    bool readable = pg_get_parse_head(piece->body, &name, &offset);
    if (readable && names_refuse_reserved(session, name, out)) {
        return;
    }
    if (readable && name.len > 0 && names_can_follow(session, exchange, piece, name)) {
        names_take_parse(session, exchange, piece, name, slice_skip(piece->body, offset), out);
        return;
    }
    if (!readable || name.len > 0) {
        names_keep_parse(session, exchange, name, out);
        note_kept(exchange, piece, readable ? offset : piece->body.len);
        causal_note_kept(session, exchange, piece, readable ? offset : piece->body.len, out);
        exchange->changed = true;
        return;
    }
    exchange->unnamed = UNNAMED_PARSED;
    exchange->unnamed_may = 0;
    exchange->gate.unnamed_wrote = exchange->gate.unnamed_slow = false;
    Slice text = slice_skip(piece->body, offset);
    text_begin(session, exchange, text, piece->last, out);
    causal_note_parsed(exchange);
    causal_show(session, exchange, exchange->causal.token, false, out);
    names_note_deallocate(session, exchange, text, piece->last, out);
    flight_push(&exchange->flight, 'P', 0);
}

/* Nobody may run another client's unnamed statement: it is closed first, and then the server itself
 * says that there is none. */
static void use_unnamed(Session *session, Exchange *exchange, SessionOut *out)
{
    if (exchange->unnamed == UNNAMED_FOREIGN && !session->relay) {
        session_put_before(out, SLICE("C\0\0\0\6S\0"));
        flight_push(&exchange->flight, 'C', FLIGHT_OURS);
        exchange->unnamed = UNNAMED_ABSENT;
    }
}

static void take_bind(Session *session, Exchange *exchange, const PgPiece *piece, SessionOut *out)
{
    PgBind bind;
    if (!pg_get_bind(piece->body, &bind)) {
        session_pin(session, PIN_CONVERSATION, out);
        exchange->bound_len = -1;
        return;
    }
    loss_note_bound(exchange, bind.portal);
    if (bind.statement.len == 0) {
        use_unnamed(session, exchange, out);
        loss_note_unnamed(exchange);
        gate_note_unnamed(exchange);
        causal_note_bound(exchange, out);
        causal_show(session, exchange, exchange->causal.unnamed, true, out);
        if (exchange->unnamed == UNNAMED_PARSED) {
            exchange->unnamed = UNNAMED_BOUND;
        }
        return;
    }
    if (!names_take_bind(session, exchange, piece, &bind, out)) {
        loss_note_unread(exchange);
        gate_note_unknown(exchange);
        causal_note_unread(exchange, out);
        (void)names_refuse_reserved(session, bind.statement, out);
    }
}

/* Describe and Close. Returns the marks of the message in flight. */
static unsigned take_target(Session *session, Exchange *exchange, const PgPiece *piece,
                            SessionOut *out)
{
    PgTarget target;
    if (!pg_get_target(piece->body, &target)) {
        session_pin(session, PIN_CONVERSATION, out);
        return 0;
    }
    if (target.kind != 'S') {
        return 0;
    }
    if (target.name.len == 0) {
        use_unnamed(session, exchange, out);
        if (piece->type == 'C') {
            exchange->unnamed = UNNAMED_ABSENT;
        }
        return 0;
    }
    return names_take_target(session, exchange, piece, target.name, out);
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

/* For the message, and for what is sent in front of it. */
static bool has_room(const Exchange *exchange)
{
    size_t most = 1 + FLIGHT_BEFORE_MAX + exchange->strays.len;
    return exchange->flight.len + most <= FLIGHT_MAX;
}

/* Where what stands in front of a Query fails, the server skips that, too, up to a Sync that comes
 * only then (sync_for_query): it would skip what came behind it as well. */
static void batch_end(Exchange *exchange, char type)
{
    bool unsynced = exchange->fronted && type != 'S';
    exchange->batch++;
    exchange->open = false;
    exchange->barrier = exchange->barrier || exchange->forgets || settings_hold(exchange) ||
                        unsynced || exchange->replica || /* the transaction may be over */
                        exchange->causal.pending;        /* it may go elsewhere */
    exchange->forgets = exchange->fronted = false;
}

static void take_linked(Session *session, Exchange *exchange, const PgPiece *piece, SessionOut *out)
{
    unsigned marks = 0;
    names_close_strays(exchange, piece, out);
    switch (piece->type) {
    case 'Q':
        take_query(session, exchange, piece, out);
        break;
    case 'P':
        take_parse(session, exchange, piece, out);
        exchange->open = true;
        return;
    case 'B':
        take_bind(session, exchange, piece, out);
        break;
    case 'D':
    case 'C':
        marks = take_target(session, exchange, piece, out);
        break;
    case 'E':
        settings_executed(exchange);
        break;
    case 'F':
        session_pin(session, PIN_FUNCTION_CALL, out);
        gate_note_unread(exchange);
        causal_note_unread(exchange, out);
        exchange->changed = true;
        break;
    default:
        break;
    }
    if (piece->type == 'c' || piece->type == 'f') {
        flight_push(&exchange->flight, 'c', 0);
    } else if (piece->type != 'd' && piece->type != 'H') {
        flight_push(&exchange->flight, piece->type, marks);
        exchange->open = true;
    }
    if (!loss_note_message(session, exchange, piece)) {
        gate_note_unknown(exchange);
    }
    if (piece->type == 'S' || piece->type == 'Q' || piece->type == 'F') {
        batch_end(exchange, piece->type);
    }
}

/* A session that is pinned would stay with the replica, where its writes fail. Of a statement that
 * nobody knows the server says first whether it is one. */
static void refuse_pin(const Exchange *exchange, SessionOut *out)
{
    if (exchange->replica && out->pinned != PIN_NONE && out->problem == NULL &&
        (out->pinned != PIN_UNKNOWN_STATEMENT || out->pinned_also != 0)) {
        out->problem = "what pins the session cannot be done in a transaction that a replica "
                       "serves; begin it without READ ONLY";
        out->sqlstate = "0A000";
    }
}

/* What has turned out to pin only behind its answer: the next transaction may be any. */
static bool stays_behind(const Session *session, const Exchange *exchange)
{
    return exchange->replica && session->pin != PIN_NONE && exchange->status == 'I' &&
           flight_is_empty(&exchange->flight);
}

static bool is_known(char type)
{
    static const bool known[256] = {
        ['Q'] = true, ['P'] = true, ['B'] = true, ['D'] = true, ['C'] = true,
        ['E'] = true, ['H'] = true, ['S'] = true, ['F'] = true, ['X'] = true,
        ['d'] = true, ['c'] = true, ['f'] = true};
    return known[(uint8_t)type];
}

static SessionStep take_first(Session *session, Exchange *exchange, const PgPiece *piece,
                              SessionOut *out)
{
    if (!is_known(piece->type)) {
        out->problem = "invalid frontend message type";
        return STEP_REFUSE;
    }
    if (piece->type == 'X') {
        return STEP_END;
    }
    if (exchange == NULL) {
        return session->after != AFTER_NOTHING ? loss_take_unlinked(session, piece, out)
                                               : take_unlinked(session, piece);
    }
    if (!session->relay && exchange->flight.copying && strchr(NOT_IN_COPY, piece->type) != NULL) {
        out->problem = "unexpected message type during COPY from stdin";
        return STEP_REFUSE;
    }
    exchange->barrier = exchange->barrier && flight_is_awaited(&exchange->flight);
    if (exchange->barrier && !exchange->flight.copying) { /* what is copied, the batch waits for */
        return STEP_WAIT;
    }
    if (stays_behind(session, exchange)) {
        out->problem = "a transaction that a replica served has pinned the session, which cannot "
                       "go on there; begin it without READ ONLY";
        out->sqlstate = "0A000";
        return STEP_REFUSE;
    }
    if (!has_room(exchange)) {
        session_put_before(out, SLICE("H\0\0\0\4"));
        return STEP_WAIT;
    }
    SessionStep step =
        session->listening != NULL ? listen_before(session, exchange, piece, out) : STEP_FORWARD;
    if (step == STEP_FORWARD) {
        step = session->walsender ? walsender_before(exchange, piece, out)
                                  : settings_before(session, exchange, piece, out);
    }
    if (step != STEP_FORWARD) {
        return step;
    }
    if (exchange->guard && strchr("QPBDE", piece->type) != NULL) {
        loss_put_guard(exchange, out);
    }
    session->mid_message = !piece->last;
    take_linked(session, exchange, piece, out);
    refuse_pin(exchange, out);
    session->mid_message = session->mid_message || out->problem != NULL; /* it is not sent */
    return out->problem == NULL ? STEP_FORWARD : STEP_REFUSE;
}

SessionStep session_client_piece(Session *session, Exchange *exchange, const PgPiece *piece,
                                 SessionOut *out)
{
    session_out_clear(out);
    if (piece->first) {
        return take_first(session, exchange, piece, out);
    }
    if (session->dropping) {
        session->dropping = !piece->last;
        return STEP_DROP;
    }
    ASSERT(exchange != NULL && session->mid_message);
    session->mid_message = !piece->last;
    text_feed(session, exchange, piece->body, piece->last, out);
    refuse_pin(exchange, out);
    if (out->problem != NULL) {
        session->mid_message = true; /* the server lacks its end, and runs nothing of it */
        return STEP_REFUSE;
    }
    if (piece->last && exchange->sync_owed) {
        exchange->sync_owed = false;
        out->behind = SLICE("S\0\0\0\4");
        flight_push(&exchange->flight, 'S', 0);
    }
    return STEP_FORWARD;
}
