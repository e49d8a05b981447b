/*
 * Two clients share one server connection; the input decides who does what. The server is a model
 * of PostgreSQL's main loop (tcop/postgres.c): what it skips, ignores and answers, and which
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
#include <stdlib.h>

#include "session/session.h"

#include "model_messages.h"
#include "model_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the server --------------------------------------------------------------------------------
 */

static void say(World *w, const char *types, uint8_t owner)
{
    for (; *types != '\0'; types++) {
        bool tells = *types == 'C' || *types == 'Z';
        queue_put(&w->out, (Entry){.type = *types,
                                   .owner = owner,
                                   .status = w->status,
                                   .cut = tells && owner != NOBODY && w->cut});
        w->cut = w->cut && *types != 'Z';
    }
}

/* The wait of a commit: for something that was written. What commits by a text that does not say so
 * (serve_transaction) is not read as one: there the server tells of a cut. */
static void wait_for_standby(World *w, bool said)
{
    const Gate *gate = &w->exchange.gate;
    bool wrote = w->wrote;
    w->wrote = false;
    if (!gate->on || !wrote || w->linked < 0 || choose(w, 3) != 0) {
        return;
    }
    if ((w->cancels > 0 || (gate->quiet && said)) && choose(w, 2) == 0) {
        w->cut = true;
    } else {
        queue_put(&w->out, (Entry){.type = 'N', .owner = NOBODY, .cut = true});
    }
}

static void roll_back(World *w)
{
    w->replayed = w->bound = w->wrote = false;
    w->marking = 0;
    model_settings_roll_back(&w->settings);
    model_token_roll_back(&w->token);
    listens_roll_back(&w->listens);
    if (w->linked >= 0) {
        listens_roll_back(&w->own_listens[w->linked]);
        model_settings_roll_back(&w->own_settings[w->linked]);
    }
}

static void commit(World *w, bool said)
{
    w->replayed = w->bound = false;
    wait_for_standby(w, said);
    model_settings_commit(&w->settings);
    model_token_commit(&w->token);
    listens_commit(&w->listens);
    mark(w);
    if (w->linked >= 0) {
        listens_commit(&w->own_listens[w->linked]);
        model_settings_commit(&w->own_settings[w->linked]);
    }
}

/* Something of the client's is run, or would be on a connection of its own. */
static void check_settings(World *w, uint8_t owner)
{
    if (owner == NOBODY || w->exchange.flight.unsure || w->status == 'E') {
        return;
    }
    const ModelSettings *own = &w->own_settings[owner];
    ASSERT(own->plain == w->settings.plain);
    /* What a rollback leaves of a custom setting goes with the server connection. */
    ASSERT(own->custom == w->settings.custom ||
           (own->custom == EMPTY && w->settings.custom == UNNAMED));
    w->seen[owner] |= 1U << own->plain;
}

static void run_setting(World *w, uint8_t owner, const char *sql)
{
    if (sets_token(slice_of(sql))) {
        bool set = !slice_starts(slice_of(sql), "reset ");
        model_token_set(&w->token, set ? TOKEN_CLIENT + owner : TOKEN_NOBODY);
        w->token.temporary = w->token.temporary || sets_both(slice_of(sql));
        w->token_pending = true;
        return;
    }
    if (owner == NOBODY && text_has(slice_of(sql), "search_path")) {
        ASSERT(!text_has(slice_of(sql), "pg_temp")); /* such a session is pinned */
        w->replayed = true;
        return;
    }
    if (slice_is(slice_of(sql), "discard all") || slice_is(slice_of(sql), "reset all")) {
        model_token_set(&w->token, TOKEN_NOBODY);
        w->token.temporary = false;
    }
    model_settings_run(&w->settings, slice_of(sql));
    if (owner == NOBODY) {
        w->replayed = true;
    } else {
        model_settings_run(&w->own_settings[owner], slice_of(sql));
        w->seen[owner] |= 1U << w->settings.plain;
    }
}

/* A client's text runs, or is bound to be. */
static void check_token(const World *w, Slice sql)
{
    if (w->exchange.flight.unsure || w->status == 'E') {
        return;
    }
    ASSERT(!shows_token(sql) || model_token_value(&w->token) == TOKEN_PROXY);
    ASSERT(!w->exchange.causal.standby || !w->token_pending || may_follow_token(sql));
}

static void say_tag(World *w, const char *tag, uint8_t owner)
{
    bool cut = owner != NOBODY && w->cut;
    queue_put(&w->out, (Entry){.type = 'C', .owner = owner, .tag = tag, .cut = cut});
}

static void fail(World *w, uint8_t owner, bool extended)
{
    w->doubt = true; /* until everything in flight is over */
    if (w->status == 'T') {
        w->status = 'E';
    } else if (w->status == 'I') {
        roll_back(w);
    }
    say(w, "E", owner);
    w->skip = extended;
    w->skipper = owner;
    w->skips_more = false;
}

/* BEGIN, or what ends a transaction. */
static void serve_transaction(World *w, uint8_t owner)
{
    uint8_t choice = choose(w, 4);
    if (w->status == 'I') {
        w->status = 'T';
        say_tag(w, "BEGIN", owner);
    } else if (w->status == 'T' && choice == 0) {
        say_tag(w, "ROLLBACK", owner); /* to a savepoint, which nothing was set behind */
    } else if (w->status == 'T' && choice < 3) {
        w->status = 'I';
        commit(w, false);
        say_tag(w, "COMMIT", owner);
    } else {
        w->status = 'I';
        roll_back(w);
        say_tag(w, "ROLLBACK", owner);
    }
}

/* Outside of a transaction only. */
static void serve_discard(World *w, uint8_t owner)
{
    if (w->status != 'I' || w->replayed) {
        fail(w, owner, false);
        return;
    }
    w->has_len = 0;
    run_setting(w, owner, "discard all");
    run_listen(&w->listens, SLICE("discard all"));
    run_listen(&w->own_listens[owner], SLICE("discard all"));
    memset(w->own[owner], NO_TEXT, sizeof(w->own[owner]));
    w->doubt = w->doubt || w->in.len > 0; /* a pipeline that went on counted on them */
    say_tag(w, "DISCARD ALL", owner);
}

/* The proxy's question. */
static void serve_ask(World *w, const Entry *question)
{
    Entry row = {.type = 'D',
                 .owner = NOBODY,
                 .asked = true,
                 .settings = w->settings,
                 .has_token = question->has_token,
                 .token = model_token_value(&w->token),
                 .temporary = w->token.temporary};
    memcpy(row.columns, question->columns, sizeof(row.columns));
    if (question->has_token) {
        ASSERT(row.token == TOKEN_NOBODY || row.token == TOKEN_CLIENT + w->linked);
        model_token_set(&w->token, TOKEN_NOBODY);
        w->token_pending = w->token.temporary; /* then this server is all that it gets */
        w->token_due = row.token != TOKEN_NOBODY;
    }
    say(w, "T", NOBODY);
    queue_put(&w->out, row);
    say(w, "C", NOBODY);
}

/* What the proxy asks for itself. */
static void serve_pins(World *w)
{
    say(w, "T", NOBODY);
    queue_put(
        &w->out,
        (Entry){.type = 'D', .owner = NOBODY, .pins_asked = true, .channel = w->listens.channel});
    say(w, "C", NOBODY);
}

static void serve_listen(World *w, const char *sql)
{
    const char *notify_at = strstr(sql, ".");
    ASSERT(w->status == 'I' && !w->open);
    bool shares = strncmp(sql, "LISTEN \"m\"", 10) == 0;
    if (shares && choose(w, 8) == 0) {
        fail(w, NOBODY, false);
        return;
    }
    if (strstr(sql, "UNLISTEN *") != NULL) {
        w->listens.next_channel = w->listens.next_marks = false;
    } else if (strstr(sql, "UNLISTEN \"m\"") != NULL) {
        w->listens.next_marks = false;
    } else {
        w->listens.next_channel = w->listens.next_channel || strstr(sql, "LISTEN \"c\"") != NULL;
        w->listens.next_marks = true;
        ASSERT(notify_at != NULL);
        w->marking = (int32_t)strtol(notify_at + 1, NULL, 10);
    }
    say(w, "C", NOBODY);
}

static void serve_own_query(World *w, const Entry *message)
{
    const char *sql = message->sql;
    if (strncmp(sql, "LISTEN", 6) == 0 || strncmp(sql, "UNLISTEN", 8) == 0) {
        serve_listen(w, sql);
        return;
    }
    if (strncmp(sql, "SELECT o.o", 10) == 0 && choose(w, 16) != 0) {
        serve_pins(w);
        return;
    }
    if (strncmp(sql, "SELECT", 6) == 0 && choose(w, 16) == 0) {
        fail(w, NOBODY, false);
    } else if (strncmp(sql, "SELECT", 6) == 0) {
        serve_ask(w, message);
    } else {
        if (strncmp(sql, "SET SESSION", 11) == 0) {
            run_setting(w, NOBODY, "discard all");
        }
        say(w, "C", NOBODY);
    }
}

static void serve_client_query(World *w, const Entry *message)
{
    static const char *const answers[] = {"TDDC", "C", "I", "TDCTDC", "HddcC", "NC"};
    uint8_t choice = choose(w, 11);
    uint8_t owner = message->owner;
    check_settings(w, owner);
    check_token(w, slice_of(message->sql));
    w->wrote = w->wrote || slice_starts(slice_of(message->sql), "insert");
    if (choice >= 8 || (w->status == 'E' && choice != 6)) {
        fail(w, owner, false);
    } else if (slice_is(slice_of(message->sql), "discard all")) {
        serve_discard(w, owner);
    } else if (model_is_setting(slice_of(message->sql))) {
        run_setting(w, owner, message->sql);
        say_tag(w, "SET", owner);
    } else if (is_listening(slice_of(message->sql))) {
        run_listen(&w->listens, slice_of(message->sql));
        run_listen(&w->own_listens[owner], slice_of(message->sql));
        say_tag(w, "LISTEN", owner);
    } else if (choice < 6) {
        say(w, answers[choice], owner);
    } else if (choice == 6) {
        serve_transaction(w, owner);
    } else {
        say(w, "G", owner);
        w->copy = 'Q';
        w->owner = owner;
    }
}

static void transaction_end(World *w)
{
    if (w->status == 'I') {
        commit(w, true);     /* where it failed, there is nothing left to be committed */
        w->portal[0] = '\0'; /* it lives no longer than its transaction */
    }
}

/* A Query's commit stands in front of the word of its last statement, if it has one. */
static void tell_cut(World *w)
{
    Entry *last =
        w->out.len > 0 ? &w->out.entries[(w->out.first + w->out.len - 1) % QUEUE_MAX] : NULL;
    if (w->cut && last != NULL && last->type == 'C' && last->owner != NOBODY) {
        last->cut = true;
        w->cut = false;
    }
}

static void serve_query(World *w, const Entry *message)
{
    if (message->owner == NOBODY) {
        serve_own_query(w, message);
    } else {
        serve_client_query(w, message);
    }
    w->unnamed[0] = '\0';
    if (w->copy == '\0') {
        transaction_end(w);
        tell_cut(w);
        say(w, "Z", message->owner);
    }
}

/* What it puts holds to the end of the transaction. */
static void serve_put_token(World *w)
{
    if (w->status == 'E' || choose(w, 8) == 0) { /* the transaction has written something */
        fail(w, NOBODY, true);
        return;
    }
    w->token.named = true;
    w->token.local = TOKEN_PROXY;
    say(w, "D", NOBODY);
    say_tag(w, "SELECT 1", NOBODY);
}

static void serve_execute(World *w, uint8_t owner)
{
    static const char *const answers[] = {"DDC", "C", "I", "Ds", "HdcC"};
    uint8_t choice = owner == NOBODY ? 1 : choose(w, 9);
    check_settings(w, owner);
    if (owner != NOBODY && shows_token(slice_of(w->portal))) {
        check_token(w, slice_of(w->portal));
    }
    if (!w->bound || (w->status == 'E' && choice != 6)) {
        fail(w, owner, true);
    } else if (strncmp(w->portal, "SET transaction_", 16) == 0) {
        say(w, "C", owner); /* what is sent again is read only */
    } else if (model_is_setting(slice_of(w->portal))) {
        run_setting(w, owner, w->portal);
        say_tag(w, "SET", owner);
    } else if (is_listening(slice_of(w->portal))) {
        run_listen(&w->listens, slice_of(w->portal));
        run_listen(&w->own_listens[owner], slice_of(w->portal));
        say_tag(w, "LISTEN", owner);
    } else if (choice < 5) {
        say(w, answers[choice], owner);
    } else if (choice == 5) {
        say(w, "G", owner);
        w->copy = 'E';
        w->owner = owner;
    } else if (choice == 6) {
        serve_transaction(w, owner);
    } else {
        fail(w, owner, true);
    }
}

/* ---- names on the server -----------------------------------------------------------------------
 */

static Has *has_find(World *w, const char *name)
{
    for (size_t i = 0; i < w->has_len; i++) {
        if (strcmp(w->has[i].name, name) == 0) {
            return &w->has[i];
        }
    }
    return NULL;
}

static void has_remove(World *w, const char *name)
{
    Has *has = has_find(w, name);
    if (has != NULL) {
        *has = w->has[--w->has_len];
    }
}

/* The client's own namespace follows what it meant, and the two must agree. False: the server finds
 * a mistake. */
static bool names_follow(World *w, const Entry *message)
{
    Has *has = message->name[0] != '\0' ? has_find(w, message->name) : NULL;
    int8_t *own = message->meant_name >= 0 && message->owner != NOBODY
                      ? &w->own[message->owner][message->meant_name]
                      : NULL;
    bool works = true;
    if (message->type == 'P' && message->name[0] != '\0') {
        works = has == NULL;
        if (works) {
            ASSERT(w->has_len < HAS_MAX);
            has = &w->has[w->has_len++];
            *has = (Has){.text = message->text, .plain = (int8_t)w->settings.plain};
            memcpy(has->name, message->name, NAME_SIZE);
            memcpy(has->sql, message->sql, TEXT_SIZE);
        }
    } else if ((message->type == 'B' || message->type == 'D') && message->name[0] != '\0') {
        works = has != NULL;
    } else if (message->type == 'C' && message->name[0] != '\0') {
        has_remove(w, message->name);
    }
    if (own == NULL) {
        return works;
    }
    if (message->meant == 'P') {
        ASSERT(w->doubt || works == (*own == NO_TEXT));
        *own = works ? message->text : *own;
    } else if (message->meant == 'C') {
        *own = NO_TEXT;
    } else {
        ASSERT(w->doubt || works == (*own != NO_TEXT));
        ASSERT(w->doubt || !works || has->text == *own);
        /* Parsed under settings that the client has had. */
        ASSERT(!works || w->exchange.flight.unsure ||
               (w->seen[message->owner] & 1U << has->plain) != 0);
    }
    return works;
}

/* Names of the proxy's own, which are nothing to what the client has under way. */
static bool serve_own_extended(World *w, const Entry *message)
{
    const Has *has = has_find(w, message->name);
    if (message->owner != NOBODY || strcmp(message->name, "weir:token") != 0 ||
        strchr("BE", message->type) == NULL) {
        return false;
    }
    if (message->type == 'E') {
        ASSERT(w->puts_token);
        serve_put_token(w);
        return true;
    }
    ASSERT(has != NULL && puts_token(slice_of(has->sql)));
    w->puts_token = true;
    say(w, "2", NOBODY);
    return true;
}

static void check_shown(World *w, const Entry *message)
{
    const Has *has = has_find(w, message->name);
    bool unnamed = message->name[0] == '\0';
    if (message->type == 'P' && has == NULL && shows_token(slice_of(message->sql))) {
        ASSERT(w->token.named || w->status == 'E' || w->exchange.flight.unsure);
    } else if (message->type == 'B' && message->owner != NOBODY) {
        check_token(w, slice_of(unnamed ? w->unnamed : has != NULL ? has->sql : ""));
    }
}

static void serve_extended(World *w, Entry message)
{
    static const char *const describes[] = {"tT", "tn", "T", "n"};
    w->open = true;
    bool ours_told = message.owner == NOBODY && message.type != 'C';
    if (serve_own_extended(w, &message)) {
        return;
    }
    check_shown(w, &message);
    if (message.owner != NOBODY && (message.type == 'P' || message.type == 'D')) {
        check_settings(w, message.owner);
    }
    if ((message.owner != NOBODY || ours_told) && choose(w, 8) == 0) {
        fail(w, message.owner, true);
    } else if (!names_follow(w, &message)) {
        fail(w, message.owner, true);
    } else if (message.type == 'P') {
        if (message.name[0] == '\0') {
            memcpy(w->unnamed, message.sql, TEXT_SIZE);
        }
        say(w, "1", message.owner);
    } else if (message.type == 'B') {
        w->bound = true;
        memcpy(w->portal, message.name[0] == '\0' ? w->unnamed : has_find(w, message.name)->sql,
               TEXT_SIZE);
        say(w, "2", message.owner);
    } else if (message.type == 'C') {
        say(w, "3", message.owner);
    } else if (message.type == 'D') {
        say(w, describes[choose(w, 4)], message.owner);
    } else {
        serve_execute(w, message.owner);
    }
}

static void copy_over(World *w, bool failed)
{
    char copy = w->copy;
    w->copy = '\0';
    if (failed) {
        fail(w, w->owner, copy == 'E');
    } else {
        say(w, "C", w->owner);
    }
    if (copy == 'Q') {
        transaction_end(w);
        tell_cut(w);
        say(w, "Z", w->owner);
    }
}

/* Sync and Flush are ignored; any other message breaks the connection. */
static void serve_copy(World *w, Entry message)
{
    if (message.type == 'd') {
        if (choose(w, 4) == 0) {
            copy_over(w, true);
        }
    } else if (message.type == 'c') {
        copy_over(w, choose(w, 4) == 0);
    } else if (message.type == 'f') {
        copy_over(w, true);
    } else if (message.type == 'S' && message.owner != NOBODY) {
        owe_less(w, message.owner);
    } else if (message.type != 'S' && message.type != 'H') {
        w->dead = true;
    }
}

static void serve(World *w)
{
    Entry message = queue_pop(&w->in);
    if (w->copy != '\0') {
        serve_copy(w, message);
    } else if (message.type == 'S') {
        bool late = !w->skip && choose(w, 8) == 0; /* the commit fails */
        w->skip = w->open = false;
        if (late) {
            fail(w, message.owner, false);
        }
        transaction_end(w);
        say(w, "Z", message.owner);
    } else if (w->skip) {
        skip_message(w, &message);
        return;
    } else if (message.type == 'Q') {
        w->open = false;
        serve_query(w, &message);
    } else if (message.type == 'F') {
        check_settings(w, message.owner);
        check_token(w, SLICE("function"));
        w->wrote = true;
        if (choose(w, 2) == 0 && w->status != 'E') {
            say(w, "V", message.owner);
        } else {
            fail(w, message.owner, false);
        }
        transaction_end(w);
        say(w, "Z", message.owner);
    } else if (strchr("PBDCE", message.type) != NULL) {
        serve_extended(w, message);
    }
    if (choose(w, 16) == 0) {
        queue_push(&w->out, "NSA"[choose(w, 3)], NOBODY, 0);
    }
}

/* ---- the proxy
 * ----------------------------------------------------------------------------------- */

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

/* What goes to the server at once, for what it has said. */
static void send_behind(World *w, const SessionOut *out)
{
    bool sync = out->behind.len > 0 && out->behind.data[0] == 'S';
    send_bytes(w, out->behind,
               (Entry){.owner = sync ? (uint8_t)w->linked : NOBODY, .meant_name = -1});
}

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
    Buf buf;
    buf_init(&buf, BUF_MAX_DEFAULT);
    Slice body = body_of(&message, &buf);
    PgPiece piece = {.type = message.type, .first = true, .last = true, .raw = body, .body = body};
    SessionStep step = session_server_piece(&w->sessions[w->linked], &w->exchange, &piece, &out);
    buf_done(&buf);
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
