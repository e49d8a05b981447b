/* Named statements in a conversation: see session.h and statement_priv.h. */
#include "session/parts_priv.h"
#include "session/records_priv.h"

bool session_follows_names(const Session *session, const Exchange *exchange)
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
        session_put_before(out, slice_from(exchange->evicted, len));
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
    session_put_before(out, statement_anew(statement));
    flight_push(&exchange->flight, 'C', FLIGHT_OURS);
    flight_push(&exchange->flight, 'P', FLIGHT_OURS | FLIGHT_TELL | FLIGHT_RECORD);
    statement_set_sent(&exchange->prepared, statement, exchange->batch);
    record_add(exchange, RECORD_PREPARED, statement, (Slice){0});
}

bool names_refuse_reserved(const Session *session, Slice name, SessionOut *out)
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
    return session_follows_names(session, exchange) && !exchange_is_deaf(exchange);
}

Statement *names_find(const Session *session, const Exchange *exchange, Slice name)
{
    return names_count(session, exchange) ? statement_names_get(&session->names, name) : NULL;
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

/* Also anew, where the database has other names that mean something. */
static void learn_statement(Exchange *exchange, Statement *statement)
{
    uint64_t generation = sql_names_generation(&exchange->dialect);
    if (statement->learned && statement->names_generation == generation) {
        return;
    }
    statement->learned = true;
    statement->names_generation = generation;
    TextEffects effects = session_text_effects(exchange, statement_tail(statement));
    statement_learn(statement, &effects);
}

const TextEffects *names_effects(Exchange *exchange, Statement *statement)
{
    learn_statement(exchange, statement);
    return &statement->effects;
}

/* The text as it would be parsed now. One more reference. */
static Statement *intern(Exchange *exchange, Slice tail)
{
    Slice rest = tail;
    bool fresh = false;
    bool constant = statement_freezes_time(slice_cut(&rest, '\0'));
    uint64_t context = constant ? setting_table_fresh_id(exchange->setting_table) //
                                : exchange->context;
    Statement *statement = statement_intern(exchange->table, context, tail, &fresh);
    if (fresh) {
        statement->constant = constant;
    }
    learn_statement(exchange, statement);
    return statement;
}

/* What the client's name stands for, to be run now: where it was parsed under other settings, and
 * is not on the server, its text is parsed under these. */
static Statement *statement_now(Session *session, Exchange *exchange, Slice name,
                                Statement *statement)
{
    if (statement->context == exchange->context || statement->constant ||
        statement_set_has(&exchange->prepared, statement, exchange->batch)) {
        return statement;
    }
    Statement *now = intern(exchange, statement_tail(statement));
    statement_names_set(&session->names, name, now);
    statement_unref(now);
    return now;
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
        session_put_before(out, slice_from(exchange->head, parse.len));
        flight_push(&exchange->flight, 'P', FLIGHT_OURS | FLIGHT_TELL | FLIGHT_RECORD);
        record_add(exchange, RECORD_STRAY, NULL, name);
    }
    buf_done(&parse);
}

/* Away with what clients' names are there, in front of the next message that could meet one. */
void names_close_strays(Exchange *exchange, const PgPiece *piece, SessionOut *out)
{
    if (exchange->strays.len == 0 || exchange_is_deaf(exchange) ||
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
    session_put_before(out, buf_slice(&exchange->closing));
    strays_clear(exchange);
}

void names_note_deallocate(const Session *session, Exchange *exchange, Slice text, bool whole,
                           SessionOut *out)
{
    char word[SQL_WORD_MAX];
    if (!whole || !session_follows_names(session, exchange) ||
        statement_names_len(&session->names) == 0 || exchange_is_deaf(exchange)) {
        return;
    }
    Slice name = statement_deallocated(slice_cut(&text, '\0'), word);
    if (name.len > 0 && statement_names_get(&session->names, name) != NULL) {
        name_on_server(exchange, name, out);
        mem_free(exchange->deallocating);
        exchange->deallocating = mem_printf("%.*s", SLICE_FMT(name));
    }
}

/* The server refuses it, in its own words, where the client has the name already. */
void names_keep_parse(Session *session, Exchange *exchange, Slice name, SessionOut *out)
{
    if (names_find(session, exchange, name) != NULL) {
        name_on_server(exchange, name, out);
    }
    if (!exchange->flight.skipping) {
        session->own_names = true;
        session_pin(session, PIN_PROTOCOL_PREPARE, out);
    }
    flight_push(&exchange->flight, 'P', 0);
}

void names_take_parse(Session *session, Exchange *exchange, const PgPiece *piece, Slice name,
                      Slice tail, SessionOut *out)
{
    if (statement_names_get(&session->names, name) != NULL) {
        name_on_server(exchange, name, out);
        flight_push(&exchange->flight, 'P', 0);
        return;
    }
    Statement *statement = intern(exchange, tail);
    causal_show(session, exchange, statement->effects.token, false, out);
    out->replaced = piece->raw.len;
    if (statement_set_has(&exchange->prepared, statement, exchange->batch)) {
        out->head = SLICE("C\0\0\0\13Sweir:\0");
        flight_push(&exchange->flight, 'C', FLIGHT_STANDS | FLIGHT_RECORD);
        record_add(exchange, RECORD_NAMED, statement, name);
    } else {
        make_room(exchange, out);
        session_put_before(out, statement->close);
        out->head = statement->parse;
        flight_push(&exchange->flight, 'C', FLIGHT_OURS);
        flight_push(&exchange->flight, 'P', FLIGHT_RECORD);
        statement_set_sent(&exchange->prepared, statement, exchange->batch);
        record_add(exchange, RECORD_NAMED | RECORD_PREPARED, statement, name);
    }
    statement_names_set(&session->names, name, statement);
    statement_unref(statement);
}

bool names_can_follow(const Session *session, const Exchange *exchange, const PgPiece *piece,
                      Slice name)
{
    return session_follows_names(session, exchange) && piece->last && !exchange_is_deaf(exchange) &&
           !exchange->dialect.unsafe_encoding &&
           statement_names_len(&session->names) < STATEMENT_NAMES_MAX &&
           (!session->own_names || statement_names_get(&session->names, name) != NULL);
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

bool names_take_bind(Session *session, Exchange *exchange, const PgPiece *piece, const PgBind *bind,
                     SessionOut *out)
{
    Statement *statement = names_find(session, exchange, bind->statement);
    if (statement == NULL) {
        return false;
    }
    Slice portal = slice_from(bind->portal.data, bind->portal.len + 1); /* with its NUL */
    statement = statement_now(session, exchange, bind->statement, statement);
    learn_statement(exchange, statement);
    causal_show(session, exchange, statement->effects.token, true, out);
    prepare(exchange, statement, out);
    session_note_text(session, exchange, &statement->effects, out);
    rename_target(exchange, piece, portal, bind->statement, statement, out);
    return true;
}

unsigned names_take_target(Session *session, Exchange *exchange, const PgPiece *piece, Slice name,
                           SessionOut *out)
{
    Statement *statement = names_find(session, exchange, name);
    if (statement == NULL && names_refuse_reserved(session, name, out)) {
        return 0;
    }
    if (piece->type == 'C' && names_count(session, exchange)) {
        return close_named(session, exchange, name, statement);
    }
    if (statement != NULL && piece->type == 'D') {
        statement = statement_now(session, exchange, name, statement);
        causal_show(session, exchange, statement->effects.token, false, out);
        prepare(exchange, statement, out);
        rename_target(exchange, piece, SLICE("S"), name, statement, out);
    }
    return 0;
}

/* The tags tell which statements are no more. */
void names_take_tag(Session *session, Exchange *exchange, Slice tag)
{
    if (!session_follows_names(session, exchange)) {
        return;
    }
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
void names_take_error(Exchange *exchange, const PgPiece *piece)
{
    PgError error;
    if (exchange->table == NULL || !piece->last || !pg_get_error(piece->body, &error)) {
        return;
    }
    bool lost =
        slice_is(error.sqlstate, "26000") && slice_has(error.message, "\"" STATEMENT_PREFIX);
    if (lost || slice_is(error.sqlstate, "0A000")) {
        statement_set_doubt(&exchange->prepared);
    }
}
