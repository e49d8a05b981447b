/*
 * Two clients share one server connection; the input decides who does what. The server is a model
 * of PostgreSQL's main loop (model_server.h): what it skips, ignores and answers, and which
 * statements it has by name. Checked: each answer reaches the client whose message it answers and
 * nobody else, the proxy's own are dropped, a connection that is said to be at rest has nothing in
 * it, whatever was sent; and a client that binds, describes or prepares a name meets what it would
 * meet on a connection of its own, and whatever of its own is run meets the settings that it has
 * made (model_settings.h). What a client listens to (channel "c") is what it would listen to on its
 * own, on this connection or on the shared one, and in one place only; and of the notifications,
 * which are numbered, it gets each that it would get, once, and in order. Each batch gets its
 * ReadyForQuery, and nothing is skipped but behind an error that the client knows for its own.
 * Where commits wait for standbys, a wait may be cut: with a notice, or without one while a cancel
 * is on its way, or where the session hears none; no success of that is passed on before the gate
 * was opened. Where the server is a replica, no message of a batch goes there before the one in
 * front of it is answered, for that may have ended the transaction; and no advisory lock. What
 * shows the causal token shows what the proxy has put there, and no client's is left at rest; the
 * proxy tells each that was set and committed; and a replica runs nothing behind one but what sets
 * another, or ends the transaction, also of a session that has been pinned to it since.
 */
#include "session/session.h"

#include "model_messages.h"
#include "model_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- to the server -----------------------------------------------------------------------------
 */

static void sql_keep(Entry *entry, Slice text)
{
    size_t len = text.len < TEXT_SIZE - 1 ? text.len : TEXT_SIZE - 1;
    memcpy(entry->sql, text.data, len);
}

/* Which settings a question of the proxy's is about. */
static void asked_keep(Entry *entry, Slice text)
{
    size_t count = 0;
    for (const char *at = text.data; (at = strstr(at, "current_setting('")) != NULL; at++) {
        ASSERT(count < sizeof(entry->columns) - 1);
        entry->columns[count++] = at[17];
        entry->has_token = entry->has_token || at[17] == 'w';
    }
    ASSERT(!entry->has_token || slice_has(text, "set_config('weir.causal_token', '', false)"));
}

/* Puts a message of the wire on the way to the server. */
static void send_message(World *w, const PgPiece *piece, Entry meant)
{
    PgParse parse;
    PgBind bind;
    PgTarget target;
    Slice name = {0};
    Entry entry = meant;
    entry.type = piece->type;
    memset(entry.sql, 0, sizeof(entry.sql));
    if (piece->type == 'Q') {
        sql_keep(&entry, piece->body);
        asked_keep(&entry, piece->body);
    } else if (piece->type == 'E' && slice_starts(piece->body, "weir:token")) {
        name = SLICE("weir:token");
    } else if (piece->type == 'P' && pg_get_parse(piece->body, &parse)) {
        name = parse.statement;
        sql_keep(&entry, parse.query);
        entry.text =
            parse.query.len > 0 ? (int8_t)(parse.query.data[parse.query.len - 1] - '0') : 9;
    } else if (piece->type == 'B' && pg_get_bind(piece->body, &bind)) {
        name = bind.statement;
    } else if ((piece->type == 'D' || piece->type == 'C') && pg_get_target(piece->body, &target)) {
        name = target.kind == 'S' ? target.name : (Slice){0};
    }
    ASSERT(name.len < NAME_SIZE);
    memset(entry.name, 0, sizeof(entry.name));
    if (name.len > 0) {
        memcpy(entry.name, name.data, name.len);
    }
    queue_put(&w->in, entry);
}

static void send_bytes(World *w, Slice bytes, Entry meant)
{
    PgPolicy policy = {0};
    while (bytes.len > 0) {
        PgFramer framer = {0};
        PgPiece piece;
        ASSERT(pg_framer_next(&framer, &policy, bytes, &piece) == WIRE_DONE);
        send_message(w, &piece, meant);
        bytes = slice_skip(bytes, piece.raw.len);
    }
}

static void send_before(World *w, const SessionOut *out)
{
    for (size_t i = 0; i < out->before_len; i++) {
        send_bytes(w, out->before[i], (Entry){.owner = NOBODY, .meant_name = -1});
    }
}

/* What goes to the server at once, for what it has said. */
static void send_behind(World *w, const SessionOut *out)
{
    bool sync = out->behind.len > 0 && out->behind.data[0] == 'S';
    send_bytes(w, out->behind,
               (Entry){.owner = sync ? (uint8_t)w->linked : NOBODY, .meant_name = -1});
}

/* ---- the connection ----------------------------------------------------------------------------
 */

static void check_rest(const World *w)
{
    ASSERT(!w->skip && w->copy == '\0' && w->status == 'I' && !w->open && !w->replayed);
    for (size_t i = 0; i < w->in.len; i++) { /* what the server ignores may still be there */
        ASSERT(strchr("Hdcf", w->in.entries[(w->in.first + i) % QUEUE_MAX].type) != NULL);
    }
    for (size_t i = 0; i < w->out.len; i++) {
        ASSERT(w->out.entries[(w->out.first + i) % QUEUE_MAX].owner == NOBODY);
    }
    ASSERT(!w->listens.channel && !w->listens.marks);
    ASSERT(w->own_listens[w->linked].channel == is_shared(w, w->linked));
    ASSERT(w->exchange.soiled || model_settings_are(&w->settings, w->exchange.applied));
    ASSERT(w->token.session == TOKEN_NOBODY && !w->token_pending && !w->token_due);
    ASSERT(!w->token.temporary && w->owed[w->linked] == 0);
}

/* As the data says, for all of it. */
static void gate_anew(World *w)
{
    w->exchange.dialect.unsafe_encoding = w->kept;
    w->exchange.gate.on = w->gated;
    w->exchange.gate.quiet = w->quiet;
    w->cancels = 0;
}

/* A cancel goes to the server, or has arrived there. */
static void cancel(World *w)
{
    bool done = w->cancels > 0 && choose(w, 2) == 0;
    if (w->linked < 0 && !done) {
        return; /* there is nothing to cancel */
    }
    if (!done && w->cancels == 4) {
        return;
    }
    w->cancels = (uint8_t)(done ? w->cancels - 1 : w->cancels + 1);
    session_gate_cancel(&w->exchange, done);
}

/* Another connection takes the place of this one. */
static void server_anew(World *w)
{
    w->has_len = 0;
    w->unnamed[0] = '\0';
    model_settings_init(&w->settings);
    model_token_init(&w->token);
    exchange_done(&w->exchange);
    exchange_init(&w->exchange, w->table, w->settings_table);
    w->exchange.prepared.max = SET_MAX;
    w->exchange.asks_catalog = true;
    w->exchange.memo = w->memo;
    gate_anew(w);
}

/* ---- from the server ---------------------------------------------------------------------------
 */

static void check_heard(const World *w, const Entry *message, SessionStep step)
{
    if (message->owner == NOBODY) {
        bool unasked = strchr("NSA", message->type) != NULL;
        ASSERT(step == STEP_DROP || unasked || message->type == 'E' || w->exchange.flight.unsure);
    } else {
        ASSERT(message->owner == w->linked);
        ASSERT(step == STEP_FORWARD || w->exchange.flight.unsure);
    }
}

static void take_notification(World *w, const Entry *message, SessionStep step,
                              const SessionOut *out)
{
    if (out->news == LISTEN_KEEP) {
        numbers_push(&w->later[w->linked], (int32_t)message->number);
    } else if (step == STEP_FORWARD) {
        ASSERT(slice_is(slice_of(message->heard), "c"));
        get(w, w->linked, (int32_t)message->number);
    }
}

/* The shared connection listens to what was found. */
static void share(World *w)
{
    SessionOut out;
    Session *session = w->linked >= 0 ? &w->sessions[w->linked] : NULL;
    if (session != NULL && session_listen_is_found(session, &w->exchange) &&
        session_listen_share(session, &w->exchange, SLICE("m"), SLICE("t"), &out)) {
        w->ear[w->linked] = SHARING;
        send_behind(w, &out);
    }
}

/* Nobody hears of a success that may be undone. */
static void check_cut(World *w, const Entry *message, SessionStep step, bool proven)
{
    if (message->type == 'N' && message->cut) {
        ASSERT(step == STEP_DROP);
        w->noticed = true;
    } else if (message->type == 'C' || message->type == 'Z') {
        bool told = message->owner == w->linked && step == STEP_FORWARD;
        ASSERT(!told || proven || !(message->cut || w->noticed) || w->exchange.flight.unsure);
        w->noticed = w->noticed && !proven;
    }
}

/* Every second one as part of a run that passes, where it may. */
static SessionStep take(World *w, const Entry *message, SessionOut *out)
{
    Session *session = &w->sessions[w->linked];
    Buf body;
    Buf framed;
    buf_init(&body, BUF_MAX_DEFAULT);
    buf_init(&framed, BUF_MAX_DEFAULT);
    Slice text = body_of(message, &body);
    size_t mark = pg_put_begin(&framed, message->type);
    buf_append_slice(&framed, text);
    pg_put_end(&framed, mark);
    SessionStep step = STEP_FORWARD;
    session_out_clear(out);
    w->runs = !w->runs;
    if (!w->runs || session_server_pass(session, &w->exchange, buf_slice(&framed)) == 0) {
        PgPiece piece = {
            .type = message->type, .first = true, .last = true, .raw = text, .body = text};
        step = session_server_piece(session, &w->exchange, &piece, out);
    }
    buf_done(&framed);
    buf_done(&body);
    return step;
}

static void hear(World *w)
{
    bool proven = w->is_held;
    Entry message = proven ? w->held : queue_pop(&w->out);
    w->is_held = false;
    if (w->linked < 0) {
        ASSERT(message.owner == NOBODY);
        return;
    }
    SessionOut out;
    SessionStep step = take(w, &message, &out);
    if (step == STEP_GATE) {
        ASSERT(w->gated && !proven && message.owner == w->linked);
        ASSERT(message.type == 'C' || message.type == 'Z');
        w->is_held = true;
        w->held = message;
        return;
    }
    check_cut(w, &message, step, proven);
    if (message.type == 'Z' && step == STEP_FORWARD) {
        owe_less(w, (uint8_t)w->linked);
    }
    if (message.heard != NULL) {
        take_notification(w, &message, step, &out);
    } else {
        check_heard(w, &message, step);
    }
    if (message.type == 'Z' && step == STEP_FORWARD && message.status == 'I' &&
        is_shared(w, w->linked)) {
        flush(w, w->linked);
    }
    if (out.news == LISTEN_FAILED || out.news == LISTEN_GONE) {
        w->ear[w->linked] = DEAF;
    }
    send_behind(w, &out);
    if (out.causal != CAUSAL_NO_NEWS) {
        ASSERT(out.causal == CAUSAL_SET && w->token_due);
        ASSERT(w->exchange.causal.set.position == (uint64_t)(TOKEN_CLIENT + w->linked));
        w->token_due = false;
    }
    if (out.learn) {
        queue_put(&w->in, (Entry){.type = 'Q', .owner = NOBODY, .sql = "SELECT what it hides"});
    }
    if (out.at_rest) {
        check_rest(w);
        flush(w, w->linked);
        w->linked = -1;
        if (!exchange_is_clean(&w->exchange)) {
            server_anew(w);
        }
    }
    w->doubt = w->exchange.flight.unsure || (w->doubt && (w->in.len > 0 || w->out.len > 0));
}

/* ---- from the clients --------------------------------------------------------------------------
 */

static SessionStep give(World *w, int client, const PgPiece *piece, SessionOut *out)
{
    Session *session = &w->sessions[client];
    Exchange *exchange = w->linked == client ? &w->exchange : NULL;
    SessionStep step = session_client_piece(session, exchange, piece, out);
    if (step == STEP_BORROW) {
        ASSERT(exchange == NULL);
        if (!settings_fit(w->exchange.applied, session->settings, false)) {
            server_anew(w);
        }
        w->linked = client;
        session_link(session, &w->exchange, (Handover)choose(w, 3), out);
        w->exchange.replica = choose(w, 4) == 3;
        w->exchange.causal.standby = w->exchange.replica || (w->tokens && choose(w, 2) == 1);
        w->exchange.causal.known = w->tokens && choose(w, 2) == 1;
        w->token_pending = w->token_due = false;
        w->noticed = false;
        if (choose(w, 8) == 7) {
            session_guard(&w->exchange);
        }
        send_before(w, out);
        step = session_client_piece(session, &w->exchange, piece, out);
    }
    return step;
}

static void tell(World *w, int client)
{
    size_t which = choose(w, ARRAY_LEN(messages) - (w->tokens ? 0 : TOKEN_MESSAGES));
    if ((w->linked >= 0 && w->linked != client) || (w->linked < 0 && w->cancels > 0)) {
        return; /* it would wait */
    }
    Buf bytes;
    Buf wire;
    PgFramer framer = {0};
    PgPolicy policy = {0};
    PgPiece piece;
    SessionOut out;
    buf_init(&bytes, BUF_MAX_DEFAULT);
    buf_init(&wire, BUF_MAX_DEFAULT);
    size_t mark = pg_put_begin(&bytes, messages[which].type);
    buf_append_slice(&bytes, messages[which].body);
    pg_put_end(&bytes, mark);
    ASSERT(pg_framer_next(&framer, &policy, buf_slice(&bytes), &piece) == WIRE_DONE);
    const Exchange *exchange = &w->exchange;
    bool unanswered = w->linked == client && !exchange->open && exchange->ended < exchange->batch &&
                      flight_is_awaited(&exchange->flight);
    bool copying = exchange->flight.copying;
    SessionStep step = give(w, client, &piece, &out);
    w->dead = w->dead || step == STEP_REFUSE;
    send_before(w, &out);
    if (exchange->replica) {
        ASSERT(step != STEP_FORWARD || !unanswered || copying || exchange->flight.unsure);
        ASSERT(step != STEP_FORWARD || !slice_has(piece.body, "advisory"));
    }
    ASSERT(step != STEP_FORWARD || !slice_starts(piece.body, "set local weir."));
    if (step == STEP_FORWARD) {
        owe(w, client, messages[which].type);
        buf_append_slice(&wire, out.head);
        buf_append_slice(&wire, slice_skip(piece.raw, out.replaced));
        send_bytes(w, buf_slice(&wire),
                   (Entry){.owner = (uint8_t)client,
                           .meant = messages[which].type,
                           .meant_name = messages[which].name,
                           .text = messages[which].type == 'P' && messages[which].name >= 0
                                       ? (int8_t)(piece.body.data[piece.body.len - 4] - '0')
                                       : 0});
        send_behind(w, &out);
        w->exchange.ddl = w->exchange.ddl || slice_has(messages[which].body, "insert");
    }
    buf_done(&bytes);
    buf_done(&wire);
}

/* ---- the world ---------------------------------------------------------------------------------
 */

static void world_done(World *w)
{
    exchange_done(&w->exchange);
    session_done(&w->sessions[0]);
    session_done(&w->sessions[1]);
    statement_table_free(w->table);
    setting_table_free(w->settings_table);
    sql_memo_free(w->memo);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static World w; /* large; all of it is set here */
    memset(&w, 0, sizeof(w));
    memset(w.own, NO_TEXT, sizeof(w.own));
    w.table = statement_table_new();
    w.settings_table = setting_table_new();
    w.memo = size % 2 == 0 ? sql_memo_new() : NULL;
    exchange_init(&w.exchange, w.table, w.settings_table);
    w.exchange.prepared.max = SET_MAX;
    w.exchange.asks_catalog = true;
    w.exchange.memo = w.memo;
    model_settings_init(&w.settings);
    model_token_init(&w.token);
    w.tokens = size % 7 == 0;
    w.kept = w.tokens && size / 7 % 4 == 3;
    model_settings_init(&w.own_settings[0]);
    model_settings_init(&w.own_settings[1]);
    w.seen[0] = w.seen[1] = 1;
    w.gated = size % 3 != 0;
    w.quiet = size % 5 == 0;
    gate_anew(&w);
    w.linked = -1;
    w.status = 'I';
    w.data = data;
    w.size = size;
    while (w.size > 0 && !w.dead && w.in.len < QUEUE_MAX / 2 && w.out.len < QUEUE_MAX / 2) {
        switch (choose(&w, 7)) {
        case 0:
            tell(&w, 0);
            break;
        case 1:
            tell(&w, 1);
            break;
        case 2:
            if (w.in.len > 0) {
                serve(&w);
            }
            break;
        case 3:
            if (w.is_held && choose(&w, 2) == 0) {
                session_gate_open(&w.exchange);
                hear(&w);
            } else if (w.out.len > 0 && !w.is_held) {
                hear(&w);
            }
            break;
        case 5:
            cancel(&w);
            break;
        case 4:
            notify(&w);
            break;
        default:
            hub_hear(&w, choose(&w, 2));
            share(&w);
            break;
        }
        check_owed(&w);
    }
    world_done(&w);
    return 0;
}
