/* The server of the session's model: PostgreSQL's main loop (tcop/postgres.c), as far as it decides
 * what is skipped, ignored and answered; and what must hold of what is run. */
#ifndef WEIR_FUZZ_MODEL_SERVER_H
#define WEIR_FUZZ_MODEL_SERVER_H

#include <stdlib.h>

#include "model_names.h"
#include "model_transaction.h"

/* ---- what is run -------------------------------------------------------------------------------
 */

/* Something of the client's is run, or would be on a connection of its own. */
static inline void check_settings(World *w, uint8_t owner)
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

/* A client's text runs, or is bound to be. */
static inline void check_token(const World *w, Slice sql)
{
    if (w->exchange.flight.unsure || w->status == 'E') {
        return;
    }
    ASSERT(!shows_token(sql) || model_token_value(&w->token) == TOKEN_PROXY);
    ASSERT(!w->exchange.causal.standby || !w->token_pending || may_follow_token(sql));
}

static inline void run_setting(World *w, uint8_t owner, const char *sql)
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

/* ---- queries -----------------------------------------------------------------------------------
 */

/* Outside of a transaction only. */
static inline void serve_discard(World *w, uint8_t owner)
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
static inline void serve_ask(World *w, const Entry *question)
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
static inline void serve_pins(World *w)
{
    say(w, "T", NOBODY);
    queue_put(
        &w->out,
        (Entry){.type = 'D', .owner = NOBODY, .pins_asked = true, .channel = w->listens.channel});
    say(w, "C", NOBODY);
}

static inline void serve_listen(World *w, const char *sql)
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

static inline void serve_own_query(World *w, const Entry *message)
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

static inline void serve_client_query(World *w, const Entry *message)
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

static inline void serve_query(World *w, const Entry *message)
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

/* ---- the extended protocol ---------------------------------------------------------------------
 */

/* What it puts holds to the end of the transaction. */
static inline void serve_put_token(World *w)
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

static inline void serve_execute(World *w, uint8_t owner)
{
    static const char *const answers[] = {"DDC", "C", "I", "Ds", "HdcC"};
    uint8_t choice = owner == NOBODY ? 1 : choose(w, 9);
    check_settings(w, owner);
    if (owner != NOBODY && shows_token(slice_of(w->portal))) {
        check_token(w, slice_of(w->portal));
    }
    Slice sql = slice_of(w->portal);
    bool begins = slice_is(sql, "begin");
    if (!w->bound || (w->status == 'E' && (begins || !is_transaction(sql)))) {
        fail(w, owner, true);
    } else if (is_transaction(sql)) {
        serve_said_transaction(w, owner, sql);
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
    } else {
        fail(w, owner, true);
    }
}

/* Names of the proxy's own, which are nothing to what the client has under way. */
static inline bool serve_own_extended(World *w, const Entry *message)
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

static inline void check_shown(World *w, const Entry *message)
{
    const Has *has = has_find(w, message->name);
    bool unnamed = message->name[0] == '\0';
    if (message->type == 'P' && has == NULL && shows_token(slice_of(message->sql))) {
        ASSERT(w->token.named || w->status == 'E' || w->exchange.flight.unsure);
    } else if (message->type == 'B' && message->owner != NOBODY) {
        check_token(w, slice_of(unnamed ? w->unnamed : has != NULL ? has->sql : ""));
    }
}

static inline void serve_extended(World *w, Entry message)
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

/* ---- COPY, and all of it -----------------------------------------------------------------------
 */

static inline void copy_over(World *w, bool failed)
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
static inline void serve_copy(World *w, Entry message)
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

static inline void serve(World *w)
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

#endif
