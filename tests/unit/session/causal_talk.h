/* A conversation in which the causal token plays its part, by a server connection to the primary or
 * to a replica. */
#ifndef WEIR_TESTS_UNIT_SESSION_CAUSAL_TALK_H
#define WEIR_TESTS_UNIT_SESSION_CAUSAL_TALK_H

#include "talk.h"

#define TOKEN "w1-0123456789abcdef-0000000b-00000000fedcba98"

typedef struct Talk {
    Session session;
    Exchange exchange;
    SessionOut out;
    StatementTable *statements;
    SettingTable *settings;
    Buf sent; /* to the server, as it goes over the wire */
} Talk;

static inline void link_anew(Talk *t, bool standby)
{
    session_link(&t->session, &t->exchange, HANDOVER_PLAIN, &t->out);
    t->exchange.causal.standby = standby;
    buf_clear(&t->sent);
}

static inline Talk *talk_new(bool standby)
{
    Talk *t = mem_alloc(sizeof(Talk));
    t->statements = statement_table_new();
    t->settings = setting_table_new();
    exchange_init(&t->exchange, t->statements, t->settings);
    t->exchange.dialect.wants_reads = !standby; /* as of READ_ONLY pools, which do not ask */
    session_init(&t->session, false);
    buf_init(&t->sent, BUF_MAX_DEFAULT);
    link_anew(t, standby);
    return t;
}

static inline void talk_free(Talk *t)
{
    session_done(&t->session);
    exchange_done(&t->exchange);
    statement_table_free(t->statements);
    setting_table_free(t->settings);
    buf_done(&t->sent);
    mem_free(t);
}

static inline SessionStep client(Talk *t, char type, const char *name, const char *text)
{
    return talk_message(&t->session, &t->exchange, &t->out, type, name, text, &t->sent);
}

static inline SessionStep says(Talk *t, char type, Slice body)
{
    PgPiece piece = {.type = type, .first = true, .last = true, .raw = body, .body = body};
    SessionStep step = session_server_piece(&t->session, &t->exchange, &piece, &t->out);
    assert_null(t->out.problem);
    buf_append_slice(&t->sent, t->out.behind);
    return step;
}

static inline SessionStep done(Talk *t, const char *tag)
{
    return says(t, 'C', slice_from(tag, strlen(tag) + 1));
}

static inline SessionStep ready(Talk *t, char status)
{
    return says(t, 'Z', (Slice){&status, 1});
}

#endif
