/*
 * What a connection to a node holds of its client: enough to know how many replies are due, and
 * whether another connection can take its place. Pure.
 *
 * Where in doubt a session is bound to its connection: losing it then closes the client's, and the
 * client starts anew, which is safe.
 */
#include <stdio.h>

#include "front/front_priv.h"

static void session_mark(FrontSession *session, FrontMarkKind kind, int64_t value, Slice name)
{
    if (session->multi || session->streaming || session->marks_len == SESSION_MARKS_MAX ||
        name.len > SESSION_NAME_MAX) {
        session->bound = true; /* whether it took place is not told by one reply */
        return;
    }
    FrontMark *mark = &session->marks[session->marks_len++];
    *mark = (FrontMark){.number = session->sent, .kind = kind, .value = value};
    snprintf(mark->name, sizeof(mark->name), "%.*s", SLICE_FMT(name));
}

static void session_stream(FrontSession *session)
{
    session->stream_wrote = session->stream_wrote || session->writes_len > 0;
    session->streaming = true;
}

static void session_sent_client(FrontSession *session, const FrontCommand *command)
{
    Slice word = command->args_len > 1 ? command->args[1] : (Slice){0};
    Slice value = command->args_len > 2 ? command->args[2] : (Slice){0};
    if (slice_is_nocase(word, "SETNAME") && command->args_len == 3) {
        session_mark(session, MARK_NAME, 0, value);
    } else if (slice_is_nocase(word, "REPLY")) {
        session_stream(session);
    } else if (slice_is_nocase(word, "TRACKING") || slice_is_nocase(word, "CACHING") ||
               slice_is_nocase(word, "NO-EVICT") || slice_is_nocase(word, "NO-TOUCH")) {
        session->bound = true;
    }
}

static void session_sent_hello(FrontSession *session, const FrontCommand *command)
{
    FrontLogin login;
    int64_t proto;
    front_login_parse(command, &login);
    if (login.refused == NULL && str_to_i64(login.proto, &proto)) {
        session_mark(session, MARK_PROTO, proto, (Slice){0});
    }
    if (login.refused == NULL && login.name.data != NULL) {
        session_mark(session, MARK_NAME, 0, login.name);
    }
}

static void session_sent_select(FrontSession *session, const FrontCommand *command)
{
    int64_t db;
    if (command->args_len == 2 && str_to_i64(command->args[1], &db)) {
        session_mark(session, MARK_DB, db, (Slice){0});
    }
}

void front_session_sent(FrontSession *session, FrontCommandKind kind, const FrontCommand *command)
{
    ASSERT(command != NULL || !front_command_is_read(kind));
    if (kind == COMMAND_STREAM) {
        session_stream(session);
    }
    if (!session->streaming) {
        session->sent++;
    }
    switch (kind) {
    case COMMAND_SELECT:
        session_sent_select(session, command);
        break;
    case COMMAND_CLIENT:
        session_sent_client(session, command);
        break;
    case COMMAND_HELLO:
        session_sent_hello(session, command);
        break;
    case COMMAND_MULTI:
        session->multi = true;
        break;
    case COMMAND_MULTI_END:
    case COMMAND_RESET:
        session->multi = false;
        session->watching = false;
        break;
    case COMMAND_WATCH:
        session->watching = true;
        break;
    case COMMAND_UNWATCH:
        session->watching = session->watching && session->multi;
        break;
    case COMMAND_OTHER:
    case COMMAND_AUTH:
    case COMMAND_QUIT:
    case COMMAND_STREAM:
    case COMMAND_HTTP:
        break;
    }
}

/* ---- writes -----------------------------------------------------------------------------------
 */

void front_session_wrote(FrontSession *session)
{
    if (session->streaming) {
        session->stream_wrote = true;
        return;
    }
    FrontWrites *last = session->writes_len > 0 ? &session->writes[session->writes_len - 1] : NULL;
    bool adds = last != NULL &&
                (last->last + 1 == session->sent || session->writes_len == SESSION_WRITES_MAX);
    if (adds) {
        last->last = session->sent;
        return;
    }
    session->writes[session->writes_len++] =
        (FrontWrites){.first = session->sent, .last = session->sent};
}

/* An error acknowledges nothing. */
bool front_session_acknowledges(const FrontSession *session, const RespScan *reply)
{
    uint64_t number = session->answered + 1;
    if (session->streaming) {
        return session->stream_wrote; /* which of them it is cannot be said */
    }
    return reply->type != '-' && reply->type != '>' && session->writes_len > 0 &&
           number >= session->writes[0].first;
}

static void writes_answered(FrontSession *session)
{
    if (session->writes_len > 0 && session->answered >= session->writes[0].last) {
        session->writes_len--;
        memmove(session->writes, session->writes + 1, session->writes_len * sizeof(FrontWrites));
    }
}

/* ---- replies ----------------------------------------------------------------------------------
 */

static void mark_apply(FrontSession *session, const FrontMark *mark)
{
    switch (mark->kind) {
    case MARK_DB:
        session->db = mark->value;
        break;
    case MARK_PROTO:
        session->proto = mark->value;
        break;
    case MARK_NAME:
        memcpy(session->name, mark->name, sizeof(session->name));
        break;
    }
}

void front_session_answered(FrontSession *session, const RespScan *reply)
{
    if (reply->type == '>' || session->streaming) {
        return;
    }
    session->answered++;
    writes_answered(session);
    while (session->marks_len > 0 && session->marks[0].number <= session->answered) {
        if (reply->type != '-') {
            mark_apply(session, &session->marks[0]);
        }
        session->marks_len--;
        memmove(session->marks, session->marks + 1, session->marks_len * sizeof(FrontMark));
    }
}

uint64_t front_session_unanswered(const FrontSession *session)
{
    return session->streaming || session->answered >= session->sent
               ? 0
               : session->sent - session->answered;
}

bool front_session_can_move(const FrontSession *session)
{
    return !session->multi && !session->watching && !session->bound && !session->streaming;
}

bool front_session_is_quiet(const FrontSession *session)
{
    return !session->multi && !session->streaming && session->sent == session->answered;
}

void front_session_cut(FrontSession *session)
{
    FrontSession fresh = {.db = session->db, .proto = session->proto};
    memcpy(fresh.name, session->name, sizeof(fresh.name));
    *session = fresh;
}

int front_session_greet(const FrontSession *session, Slice user, Slice password, Buf *out)
{
    int replies = 1;
    Slice auth[] = {SLICE("AUTH"), user, password};
    resp_put_command(out, auth, ARRAY_LEN(auth));
    if (session->proto != 0) {
        Slice hello[] = {SLICE("HELLO"), session->proto == 3 ? SLICE("3") : SLICE("2")};
        resp_put_command(out, hello, ARRAY_LEN(hello));
        replies++;
    }
    if (session->name[0] != '\0') {
        Slice name[] = {SLICE("CLIENT"), SLICE("SETNAME"), slice_of(session->name)};
        resp_put_command(out, name, ARRAY_LEN(name));
        replies++;
    }
    if (session->db != 0) {
        char number[24];
        snprintf(number, sizeof(number), "%lld", (long long)session->db);
        Slice select[] = {SLICE("SELECT"), slice_of(number)};
        resp_put_command(out, select, ARRAY_LEN(select));
        replies++;
    }
    return replies;
}
