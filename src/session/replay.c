/*
 * Settings that follow the client: the states of session.h, and asking what was set. The lists
 * and messages are settings.c's.
 */
#include "session/parts_priv.h"

void settings_begin(Session *session, Exchange *exchange)
{
    bool same = session->relay || exchange->applied == session->settings;
    exchange->settings_state = same ? SETTINGS_IN_FORCE : SETTINGS_MISSING;
    exchange->context = settings_id(session->settings);
    exchange->unsettled = exchange->failed = exchange->rolled_back = exchange->chained = false;
    exchange->asking = ASKING_NOTHING;
    exchange->ahead = 0;
    exchange->sync_owed = exchange->undoes = exchange->undone = false;
    buf_clear(&exchange->touched);
}

void settings_discarded(Exchange *exchange)
{
    Settings *before = exchange->applied;
    exchange->applied = settings_emptied(before);
    settings_unref(before);
}

bool session_settings_hold(const Session *session, const Exchange *exchange)
{
    return session->relay || exchange->settings_state == SETTINGS_IN_FORCE ||
           (exchange->settings_state == SETTINGS_REPLAYED && exchange->status == 'T');
}

bool settings_hold(const Exchange *exchange)
{
    return exchange->settings_state != SETTINGS_IN_FORCE ||
           touched_reading(buf_slice(&exchange->touched));
}

/* ---- the replay --------------------------------------------------------------------------------
 */

static bool text_is_alone(Exchange *exchange, const PgPiece *piece, size_t offset)
{
    if (!piece->last) {
        return true; /* who knows how it ends */
    }
    return session_text_effects(exchange, slice_skip(piece->body, offset)).alone;
}

static bool name_is_alone(const Session *session, Slice name)
{
    const Statement *statement = statement_names_get(&session->names, name);
    return statement != NULL && statement->effects.alone;
}

/* Whether nothing may stand in front of the message in its transaction. */
static bool must_be_alone(const Session *session, Exchange *exchange, const PgPiece *piece)
{
    PgBind bind;
    PgTarget target;
    Slice name;
    size_t offset;
    switch (piece->type) {
    case 'Q':
        return text_is_alone(exchange, piece, 0);
    case 'P':
        return !pg_get_parse_head(piece->body, &name, &offset) ||
               text_is_alone(exchange, piece, offset);
    case 'B':
        return pg_get_bind(piece->body, &bind) && name_is_alone(session, bind.statement);
    case 'D':
        return pg_get_target(piece->body, &target) && target.kind == 'S' &&
               name_is_alone(session, target.name);
    default:
        return piece->type == 'F';
    }
}

void exchange_push_replay(Exchange *exchange, size_t statements, unsigned marks)
{
    for (size_t i = 0; i < statements; i++) {
        flight_push(&exchange->flight, 'P', marks);
        flight_push(&exchange->flight, 'B', marks);
        flight_push(&exchange->flight, 'E', marks);
    }
}

static SessionStep replay(const Session *session, Exchange *exchange, bool settle, SessionOut *out)
{
    buf_clear(&exchange->own);
    size_t statements = settings_put_replay(exchange->applied, session->settings, &exchange->own);
    exchange_push_replay(exchange, statements, settle ? FLIGHT_OURS : FLIGHT_OURS | FLIGHT_TELL);
    if (settle) {
        pg_put_sync(&exchange->own);
        flight_push(&exchange->flight, 'S', FLIGHT_OURS);
    }
    exchange->settings_state = settle ? SETTINGS_SETTLING : SETTINGS_REPLAYED;
    exchange->undone = false;
    exchange->unnamed = UNNAMED_FOREIGN;
    session_put_before(out, buf_slice(&exchange->own));
    return settle ? STEP_WAIT : STEP_FORWARD;
}

/* What stands behind a COMMIT or ROLLBACK in its batch waits for that one's tag: the former may be
 * the latter, of a transaction that has failed, and what it has kept is not to be set again. */
static SessionStep settle_doubt(const Session *session, Exchange *exchange, SessionOut *out)
{
    if (flight_is_awaited(&exchange->flight)) {
        session_put_before(out, SLICE("H\0\0\0\4"));
        return STEP_WAIT;
    }
    exchange->undone = false;
    return exchange->rolled_back ? replay(session, exchange, false, out) : STEP_FORWARD;
}

SessionStep settings_before(Session *session, Exchange *exchange, const PgPiece *piece,
                            SessionOut *out)
{
    if (exchange->settings_state == SETTINGS_SETTLING) {
        return STEP_WAIT;
    }
    bool doubted = exchange->settings_state == SETTINGS_REPLAYED && exchange->undone;
    if ((exchange->settings_state != SETTINGS_MISSING && !doubted) || exchange_is_deaf(exchange) ||
        strchr("QPBDEF", piece->type) == NULL) {
        return STEP_FORWARD;
    }
    if (doubted) {
        return settle_doubt(session, exchange, out);
    }
    bool settle = !exchange->unsettled && !exchange->open &&
                  (settings_count_at_start(exchange->applied, session->settings) ||
                   must_be_alone(session, exchange, piece));
    return replay(session, exchange, settle, out);
}

static void replay_kept(Session *session, Exchange *exchange)
{
    settings_unref(exchange->applied);
    exchange->applied = settings_ref(session->settings);
    exchange->settings_state = SETTINGS_IN_FORCE;
    exchange->unsettled = false;
}

/* Custom settings that nobody has named on the connection before; that cannot be taken back. */
static bool names_more(const Session *session, const Exchange *exchange)
{
    return !settings_fit(session->settings, exchange->applied, false);
}

/* Of what the client's own texts would have set nothing is there. */
static void touched_forget(const Session *session, Exchange *exchange)
{
    exchange->context = settings_id(session->settings);
    buf_clear(&exchange->touched);
}

/* So is what the client's own texts set in that transaction. A custom setting has been named all
 * the same. */
static void replay_lost(Session *session, Exchange *exchange)
{
    exchange->soiled = exchange->soiled || touched_custom(buf_slice(&exchange->touched)) ||
                       names_more(session, exchange);
    exchange->settings_state = SETTINGS_MISSING;
    touched_forget(session, exchange);
}

/* ---- what texts do -----------------------------------------------------------------------------
 */

void settings_note(Session *session, Exchange *exchange, const TextEffects *effects,
                   SessionOut *out)
{
    /* Another transaction may have begun behind the end of this one. */
    exchange->chained = exchange->chained || effects->chains ||
                        (effects->several && (effects->undoes || effects->ends));
    /* A COMMIT may turn out to be one; and its portal may be run behind what is parsed since. */
    exchange->undoes = exchange->undoes || effects->undoes || effects->ends;
    if (effects->touched.len == 0 || session->relay) {
        return;
    }
    exchange->context = setting_table_fresh_id(exchange->setting_table);
    if (session->pinned_for_good) {
        buf_clear(&exchange->touched); /* what it sets is its own */
    } else if (!touched_add(&exchange->touched, effects->touched)) {
        session_pin(session, PIN_SETTING, out);
    }
}

void settings_executed(Exchange *exchange)
{
    exchange->undone = exchange->undone || exchange->undoes;
}

/* ---- what the server says ----------------------------------------------------------------------
 */

void settings_take_tag(Session *session, Exchange *exchange, Slice tag)
{
    if (exchange->settings_state != SETTINGS_REPLAYED) {
        return;
    }
    if (slice_is(tag, "COMMIT") || slice_is(tag, "PREPARE TRANSACTION")) {
        replay_kept(session, exchange);
    } else if (slice_is(tag, "ROLLBACK")) {
        exchange->rolled_back = true;
    }
}

/* A replay behind a ROLLBACK stands. What SELECT does (causal.c) is none. */
void settings_take_own_tag(Exchange *exchange, Slice tag)
{
    if (exchange->settings_state == SETTINGS_REPLAYED && !slice_starts(tag, "SELECT")) {
        exchange->rolled_back = false;
    }
}

bool settings_take_error(Exchange *exchange, const FlightAnswer *answer)
{
    if (!answer->own_failed) {
        exchange->failed = true;
        return false;
    }
    if (answer->failed != 'Q' && exchange->settings_state == SETTINGS_SETTLING) {
        exchange->unsettled = true;
        return true;
    }
    exchange->answered = false;
    return exchange->asking != ASKING_NOTHING && exchange->ahead == 0; /* without an answer, then */
}

void settings_take_row(Session *session, Exchange *exchange, const PgPiece *piece)
{
    Settings *settings;
    Slice token;
    if (!piece->last ||
        !settings_take_answer(exchange->setting_table, session->settings,
                              buf_slice(&exchange->asked), piece->body, &settings, &token)) {
        return;
    }
    exchange->answered = true;
    causal_take(exchange, token);
    settings_unref(session->settings);
    session->settings = settings;
    settings_unref(exchange->applied);
    exchange->applied = settings_ref(settings);
}

void settings_end(Session *session, Exchange *exchange, SessionOut *out)
{
    if (!exchange->answered) {
        session_pin(session, PIN_SETTING, out);
    } else if (settings_make_temporary(session->settings)) {
        session_pin(session, PIN_TEMPORARY, out);
        session->pinned_for_good = true;
    }
    if (exchange->answered) {
        causal_answered(session, exchange, out);
    }
    if (exchange->touched.len == 0) {
        exchange->context = settings_id(session->settings);
        if (session->pin == PIN_NONE) {
            gate_note_asked(exchange);
        }
    }
}

static void transaction_end(Session *session, Exchange *exchange)
{
    bool over = exchange->status == 'I';
    bool chained = exchange->chained && exchange->rolled_back;
    if (exchange->settings_state == SETTINGS_REPLAYED && (over || chained)) {
        if (exchange->failed || exchange->rolled_back) {
            replay_lost(session, exchange);
        } else {
            replay_kept(session, exchange);
        }
    } else if (exchange->settings_state == SETTINGS_MISSING) {
        touched_forget(session, exchange); /* all of it stood behind an error */
    }
    exchange->undoes = exchange->undoes && !over; /* no portal outlives it */
    exchange->failed = exchange->rolled_back = exchange->chained = exchange->undone = false;
}

static void settle_end(Session *session, Exchange *exchange)
{
    if (exchange->unsettled) {
        exchange->settings_state = SETTINGS_MISSING;
        exchange->soiled = exchange->soiled || names_more(session, exchange);
    } else {
        replay_kept(session, exchange);
    }
}

void settings_take_ready(Session *session, Exchange *exchange, const FlightAnswer *answer)
{
    if (!answer->ours) {
        transaction_end(session, exchange);
    } else if (answer->ended == 'S' && exchange->settings_state == SETTINGS_SETTLING) {
        settle_end(session, exchange);
    }
}

bool settings_rest(Session *session, Exchange *exchange, SessionOut *out)
{
    bool stays = session->pin != PIN_NONE && !listen_is_leaving(session);
    if (stays || exchange->touched.len == 0) {
        return true;
    }
    buf_clear(&exchange->own);
    buf_clear(&exchange->asked);
    buf_append_slice(&exchange->asked, buf_slice(&exchange->touched));
    buf_clear(&exchange->touched);
    if (!settings_put_ask(session->settings, buf_slice(&exchange->asked), &exchange->own)) {
        session_pin(session, PIN_SETTING, out);
        return false;
    }
    if (exchange->own.len == 0) {
        exchange->context = settings_id(session->settings);
        return true;
    }
    flight_push(&exchange->flight, 'Q', FLIGHT_OURS);
    out->behind = buf_slice(&exchange->own);
    exchange->asking = ASKING_SETTINGS;
    exchange->answered = false;
    causal_ask(exchange);
    return false;
}
