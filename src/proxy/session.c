/* See session_priv.h. One function per kind of message; the tables of types are at the top. */
#include "proxy/session_records_priv.h"

#define CLIENT_WANTED     "QPBDCE"
#define SERVER_WANTED     "ZESKRC"
#define CLIENT_KNOWN      "QPBDCEHSFXdcf"

#define FLIGHT_BEFORE_MAX 3 /* messages: a Close for room, Close and Parse; and those of strays */

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

void session_init(Session *session, bool relay)
{
    *session = (Session){.relay = relay};
}

void session_done(Session *session)
{
    statement_names_clear(&session->names);
}

static void put_before(SessionOut *out, Slice bytes)
{
    ASSERT(out->before_len < SESSION_BEFORE_MAX);
    out->before[out->before_len++] = bytes;
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
    SessionOut out = {0};
    Slice name;
    Slice value;
    while (pg_params_next(&params, &name, &value)) {
        if (slice_has(value, "pg_temp")) {
            session_pin(session, PIN_TEMPORARY, &out);
        }
    }
    return out.pinned;
}

void exchange_init(Exchange *exchange, StatementTable *table)
{
    *exchange = (Exchange){.table = table};
    buf_init(&exchange->closing, BUF_MAX_DEFAULT);
}

void exchange_done(Exchange *exchange)
{
    records_clear(exchange);
    vec_done(&exchange->records);
    vec_done(&exchange->strays);
    buf_done(&exchange->closing);
    statement_set_clear(&exchange->prepared);
}

void session_link(Session *session, Exchange *exchange, SqlDialect dialect, bool sequences_moved,
                  SessionOut *out)
{
    *out = (SessionOut){0};
    records_clear(exchange);
    exchange->flight = (Flight){0};
    exchange->scan = (SqlScan){.dialect = dialect};
    exchange->scanning = exchange->swallowing = exchange->wrote = false;
    exchange->forgets = exchange->barrier = false;
    exchange->unnamed = UNNAMED_FOREIGN;
    exchange->status = 'I';
    if (!session->relay && sequences_moved) {
        flight_push(&exchange->flight, 'Q', FLIGHT_OURS);
        put_before(out, SLICE("Q\0\0\0\26DISCARD SEQUENCES\0"));
    }
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

/* ---- named statements --------------------------------------------------------------------------
 */

static bool follows_names(const Session *session, const Exchange *exchange)
{
    return !session->relay && exchange->table != NULL;
}

/* Too many on one server connection: the one unused longest goes. */
static void make_room(Exchange *exchange, SessionOut *out)
{
    Statement *victim = statement_set_evict(&exchange->prepared);
    if (victim != NULL) {
        size_t len = victim->close.len;
        ASSERT(len <= sizeof(exchange->evicted));
        memcpy(exchange->evicted, victim->close.data, len); /* it may be the last reference */
        put_before(out, slice_from(exchange->evicted, len));
        flight_push(&exchange->flight, 'C', FLIGHT_OURS);
        statement_unref(victim);
    }
}

/* In front of what uses it. An error in it is the client's: it would have had it at this place. */
static void prepare(Exchange *exchange, Statement *statement, SessionOut *out)
{
    if (statement_set_has(&exchange->prepared, statement, exchange->batch)) {
        return;
    }
    make_room(exchange, out);
    put_before(out, statement_anew(statement));
    flight_push(&exchange->flight, 'C', FLIGHT_OURS);
    flight_push(&exchange->flight, 'P', FLIGHT_OURS | FLIGHT_TELL | FLIGHT_RECORD);
    statement_set_sent(&exchange->prepared, statement, exchange->batch);
    record_add(exchange, RECORD_PREPARED, statement, (Slice){0});
}

/* What servers call statements is none of the clients' business. */
static bool is_reserved(const Session *session, Slice name, SessionOut *out)
{
    if (session->relay || !slice_starts(name, STATEMENT_PREFIX)) {
        return false;
    }
    out->problem = "invalid statement name: names that begin with \"weir:\" are the proxy's";
    return true;
}

/* Not what the server skips. */
static bool names_count(const Session *session, const Exchange *exchange)
{
    return follows_names(session, exchange) && !exchange->flight.skipping &&
           !exchange->flight.copying;
}

/* NULL: the server knows what to say of the name, or skips the message. */
static Statement *statement_of(const Session *session, const Exchange *exchange, Slice name)
{
    return names_count(session, exchange) ? statement_names_get(&session->names, name) : NULL;
}

static void run_statement(Session *session, Exchange *exchange, const Statement *statement,
                          SessionOut *out)
{
    exchange->wrote = exchange->wrote || statement->writes;
    exchange->forgets = exchange->forgets || statement->forgets;
    session_pin(session, statement->pin, out);
}

/* The message goes on with the name that its statement has on servers. `fixed` is what stands
 * between header and name: a kind, or a portal with its NUL. */
static void rename_target(Exchange *exchange, const PgPiece *piece, Slice fixed, Slice old_name,
                          const Statement *statement, SessionOut *out)
{
    Slice name = slice_of(statement->name);
    char *at = exchange->head;
    if (PG_HEADER_SIZE + fixed.len + name.len + 1 > sizeof(exchange->head)) {
        out->problem = "invalid portal name: too long";
        return;
    }
    *at++ = piece->type;
    uint32_t len = piece->body_len + 4 - (uint32_t)old_name.len + (uint32_t)name.len;
    for (int shift = 24; shift >= 0; shift -= 8) {
        *at++ = (char)(uint8_t)(len >> shift);
    }
    memcpy(at, fixed.data, fixed.len);
    at += fixed.len;
    memcpy(at, name.data, name.len + 1);
    at += name.len + 1;
    out->head = slice_from(exchange->head, (size_t)(at - exchange->head));
    out->replaced = PG_HEADER_SIZE + fixed.len + old_name.len + 1;
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
        exchange->forgets = exchange->forgets || exchange->scan.forgets;
        session_pin(session, exchange->scan.pin, out);
    }
}

/* Also of a pinned session: a text may take its named statements away. */
static bool looks_into_text(const Session *session)
{
    return !session->relay;
}

static void scan_statement(const Exchange *exchange, Statement *statement, Slice tail)
{
    SqlScan scan = {.dialect = exchange->scan.dialect};
    sql_scan_feed(&scan, tail);
    sql_scan_end(&scan);
    statement->pin = scan.pin;
    statement->writes = scan.writes;
    statement->forgets = scan.forgets;
}

/* Clients' names are not known to the server, but for some things one must be: to say in its own
 * words that a name is taken, and to run DEALLOCATE. */
static void name_on_server(Exchange *exchange, Slice name, SessionOut *out)
{
    Buf parse;
    buf_init(&parse, sizeof(exchange->head));
    pg_put_parse(&parse, name, SLICE(""));
    if (parse.overflowed) {
        out->problem = "invalid statement name: too long";
    } else {
        memcpy(exchange->head, parse.data, parse.len);
        put_before(out, slice_from(exchange->head, parse.len));
        flight_push(&exchange->flight, 'P', FLIGHT_OURS | FLIGHT_TELL | FLIGHT_RECORD);
        record_add(exchange, RECORD_STRAY, NULL, name);
    }
    buf_done(&parse);
}

/* And away with it, in front of the next message that could meet it. */
static void close_strays(Exchange *exchange, const PgPiece *piece, SessionOut *out)
{
    if (exchange->strays.len == 0 || exchange->flight.skipping || exchange->flight.copying ||
        strchr("QPBDCF", piece->type) == NULL) {
        return;
    }
    buf_clear(&exchange->closing);
    for (size_t i = 0; i < exchange->strays.len; i++) {
        Slice name = slice_of(exchange->strays.items[i]);
        pg_put_close(&exchange->closing, 'S', name);
        flight_push(&exchange->flight, 'C', FLIGHT_OURS | FLIGHT_RECORD);
        record_add(exchange, RECORD_CLOSED, NULL, name);
    }
    put_before(out, buf_slice(&exchange->closing));
    strays_clear(exchange);
}

/* DEALLOCATE of one of the client's names. */
static void note_deallocate(const Session *session, Exchange *exchange, Slice text, bool whole,
                            SessionOut *out)
{
    char word[SQL_WORD_MAX];
    if (!whole || !follows_names(session, exchange) || statement_names_len(&session->names) == 0 ||
        exchange->flight.skipping || exchange->flight.copying) {
        return;
    }
    Slice name = statement_deallocated(slice_cut(&text, '\0'), word);
    if (name.len > 0 && statement_names_get(&session->names, name) != NULL) {
        name_on_server(exchange, name, out);
        mem_free(exchange->deallocating);
        exchange->deallocating = mem_printf("%.*s", SLICE_FMT(name));
    }
}

static void take_query(Session *session, Exchange *exchange, const PgPiece *piece, SessionOut *out)
{
    exchange->unnamed = UNNAMED_ABSENT; /* the server drops it */
    if (looks_into_text(session)) {
        text_begin(exchange);
        text_feed(session, exchange, piece->body, piece->last, out);
    }
    note_deallocate(session, exchange, piece->body, piece->last, out);
}

static void parse_named(Session *session, Exchange *exchange, const PgPiece *piece, Slice name,
                        Slice tail, SessionOut *out)
{
    bool fresh = false;
    if (statement_names_get(&session->names, name) != NULL) {
        name_on_server(exchange, name, out);
        flight_push(&exchange->flight, 'P', 0);
        return;
    }
    Statement *statement = statement_intern(exchange->table, tail, &fresh);
    if (fresh) {
        scan_statement(exchange, statement, tail);
    }
    out->replaced = piece->raw.len;
    if (statement_set_has(&exchange->prepared, statement, exchange->batch)) {
        out->head = SLICE("C\0\0\0\13Sweir:\0");
        flight_push(&exchange->flight, 'C', FLIGHT_STANDS | FLIGHT_RECORD);
        record_add(exchange, RECORD_NAMED, statement, name);
    } else {
        make_room(exchange, out);
        put_before(out, statement->close);
        out->head = statement->parse;
        flight_push(&exchange->flight, 'C', FLIGHT_OURS);
        flight_push(&exchange->flight, 'P', FLIGHT_RECORD);
        statement_set_sent(&exchange->prepared, statement, exchange->batch);
        record_add(exchange, RECORD_NAMED | RECORD_PREPARED, statement, name);
    }
    statement_names_set(&session->names, name, statement);
    statement_unref(statement);
}

/* Before the server skips it, nothing of it counts. */
static bool can_follow_parse(const Session *session, const Exchange *exchange, const PgPiece *piece)
{
    return follows_names(session, exchange) && piece->last && !exchange->flight.skipping &&
           !exchange->flight.copying && !exchange->scan.dialect.unsafe_encoding &&
           statement_names_len(&session->names) < STATEMENT_NAMES_MAX;
}

static void take_parse(Session *session, Exchange *exchange, const PgPiece *piece, SessionOut *out)
{
    Slice name;
    size_t offset;
    bool readable = pg_get_parse_head(piece->body, &name, &offset);
    if (readable && is_reserved(session, name, out)) {
        return;
    }
    if (readable && name.len > 0 && can_follow_parse(session, exchange, piece)) {
        parse_named(session, exchange, piece, name, slice_skip(piece->body, offset), out);
        return;
    }
    if (!readable || name.len > 0) {
        session_pin(session, exchange->flight.skipping ? PIN_NONE : PIN_PROTOCOL_PREPARE, out);
        flight_push(&exchange->flight, 'P', 0);
        return;
    }
    exchange->unnamed = UNNAMED_PARSED;
    if (looks_into_text(session)) {
        text_begin(exchange);
        text_feed(session, exchange, slice_skip(piece->body, offset), piece->last, out);
    }
    note_deallocate(session, exchange, slice_skip(piece->body, offset), piece->last, out);
    flight_push(&exchange->flight, 'P', 0);
}

/* Nobody may run another client's unnamed statement: it is closed first, and then the server itself
 * says that there is none. */
static void use_unnamed(Session *session, Exchange *exchange, SessionOut *out)
{
    if (exchange->unnamed == UNNAMED_FOREIGN && !session->relay) {
        put_before(out, SLICE("C\0\0\0\6S\0"));
        flight_push(&exchange->flight, 'C', FLIGHT_OURS);
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
        return;
    }
    Statement *statement = statement_of(session, exchange, bind.statement);
    if (statement != NULL) {
        Slice portal = slice_from(bind.portal.data, bind.portal.len + 1); /* with its NUL */
        prepare(exchange, statement, out);
        run_statement(session, exchange, statement, out);
        rename_target(exchange, piece, portal, bind.statement, statement, out);
    } else {
        (void)is_reserved(session, bind.statement, out);
    }
}

static bool name_is_in_flight(const Exchange *exchange, Slice name)
{
    for (size_t i = exchange->records_first; i < exchange->records.len; i++) {
        if (record_is_of(&exchange->records.items[i], name)) {
            return true;
        }
    }
    return false;
}

/* The server does not have it by this name, and says of the Close what it says of any. One of a
 * name that is not known counts where something of it is in flight: if that is undone, this Close
 * closes what it stands for again. */
static unsigned close_named(Session *session, Exchange *exchange, Slice name, Statement *statement)
{
    if (statement == NULL && !name_is_in_flight(exchange, name)) {
        return 0;
    }
    record_add(exchange, RECORD_UNNAMED, NULL, name);
    exchange->records.items[exchange->records.len - 1].before =
        statement != NULL ? statement_ref(statement) : NULL;
    statement_names_remove(&session->names, name);
    return FLIGHT_RECORD;
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
    Statement *statement = statement_of(session, exchange, target.name);
    if (statement == NULL && is_reserved(session, target.name, out)) {
        return 0;
    }
    if (piece->type == 'C' && names_count(session, exchange)) {
        return close_named(session, exchange, target.name, statement);
    }
    if (statement == NULL || piece->type == 'C') {
        return 0;
    }
    prepare(exchange, statement, out);
    rename_target(exchange, piece, SLICE("S"), target.name, statement, out);
    return 0;
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

static void take_linked(Session *session, Exchange *exchange, const PgPiece *piece, SessionOut *out)
{
    unsigned marks = 0;
    close_strays(exchange, piece, out);
    switch (piece->type) {
    case 'Q':
        take_query(session, exchange, piece, out);
        break;
    case 'P':
        take_parse(session, exchange, piece, out);
        return;
    case 'B':
        take_bind(session, exchange, piece, out);
        break;
    case 'D':
    case 'C':
        marks = take_target(session, exchange, piece, out);
        break;
    case 'F':
        session_pin(session, PIN_FUNCTION_CALL, out);
        break;
    default:
        break;
    }
    if (piece->type == 'c' || piece->type == 'f') {
        flight_push(&exchange->flight, 'c', 0);
    } else if (piece->type != 'd' && piece->type != 'H') {
        flight_push(&exchange->flight, piece->type, marks);
    }
    if (piece->type == 'S' || piece->type == 'Q' || piece->type == 'F') {
        exchange->batch++;
        exchange->barrier = exchange->barrier || exchange->forgets;
        exchange->forgets = false;
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
    exchange->barrier = exchange->barrier && !flight_is_empty(&exchange->flight);
    if (exchange->barrier) {
        return STEP_WAIT;
    }
    if (!has_room(exchange)) {
        put_before(out, SLICE("H\0\0\0\4"));
        return STEP_WAIT;
    }
    session->mid_message = !piece->last;
    take_linked(session, exchange, piece, out);
    return out->problem == NULL ? STEP_FORWARD : STEP_REFUSE;
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

/* The tags tell which statements are no more. */
static void take_tag(Session *session, Exchange *exchange, const PgPiece *piece)
{
    Slice body = piece->body;
    Slice tag = slice_cut(&body, '\0');
    if (slice_is(tag, "DISCARD ALL") || slice_is(tag, "DEALLOCATE ALL")) {
        statement_set_clear(&exchange->prepared);
        statement_names_clear(&session->names);
        strays_clear(exchange);
    } else if (slice_is(tag, "DEALLOCATE") && exchange->deallocating != NULL) {
        statement_names_remove(&session->names, slice_of(exchange->deallocating));
        stray_remove(exchange, exchange->deallocating);
        mem_free(exchange->deallocating);
        exchange->deallocating = NULL;
    }
}

/* A statement that the server has lost, or whose plan no longer fits its result, is prepared anew
 * when it is used next. */
static void take_error(Exchange *exchange, const PgPiece *piece)
{
    PgError error;
    if (!piece->last || !pg_get_error(piece->body, &error)) {
        return;
    }
    bool lost =
        slice_is(error.sqlstate, "26000") && slice_has(error.message, "\"" STATEMENT_PREFIX);
    if (lost || slice_is(error.sqlstate, "0A000")) {
        statement_set_clear(&exchange->prepared);
    }
}

static void tell_parsed(const PgPiece *piece, SessionOut *out)
{
    out->head = SLICE("1\0\0\0\4");
    out->replaced = piece->raw.len;
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
    follow_answer(session, exchange, &answer);
    if (answer.own_failed) {
        out->problem = "the server refused a command of the proxy";
        return STEP_REFUSE;
    }
    if (answer.failed == 'P') {
        exchange->unnamed = UNNAMED_ABSENT;
    }
    if (follows_names(session, exchange) && piece->type == 'C') {
        take_tag(session, exchange, piece);
    } else if (follows_names(session, exchange) && piece->type == 'E') {
        take_error(exchange, piece);
    }
    if (answer.ready && !take_ready(session, exchange, piece, answer.ours, out)) {
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
    FlightAnswer answer = flight_answer(&exchange->flight, piece->type);
    follow_answer(NULL, exchange, &answer);
    return answer;
}
