/* A client's bytes as the front reads them: every whole command is read, its login understood, and
 * taken into a session, some of them as writes; then the same bytes are replies, and what a server
 * says of its commands. */
#include "front/front_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_commands(FrontSession *session, Slice rest)
{
    RespScan scan = {.requests = true};
    Arena *arena = arena_new();
    size_t len;
    while (resp_scan(&scan, rest, &len) == WIRE_DONE && len > 0) {
        FrontCommandKind kind = front_command_kind(slice_from(scan.kept, scan.kept_len));
        FrontCommand command;
        FrontLogin login;
        if (front_command_read(slice_from(rest.data, len), kind, arena, &command)) {
            front_login_parse(&command, &login);
            front_session_sent(session, kind, front_command_is_read(kind) ? &command : NULL);
            if (kind == COMMAND_OTHER && scan.kept_len % 2 == 0) {
                front_session_wrote(session);
            }
        }
        rest = slice_skip(rest, len);
    }
    arena_free(arena);
}

static void take_table(Slice reply)
{
    FrontTable *table;
    Err err;
    if (front_table_parse(reply, &table, &err)) {
        ASSERT(front_table_writes(table, SLICE("no such command")));
        front_table_free(table);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FrontSession session = {0};
    Slice rest = slice_from(data, size);
    take_commands(&session, rest);
    RespScan scan = {0};
    size_t len;
    while (resp_scan(&scan, rest, &len) == WIRE_DONE && len > 0) {
        uint64_t left = front_session_unanswered(&session);
        bool acknowledges = front_session_acknowledges(&session, &scan);
        ASSERT(!acknowledges || session.streaming || left > 0);
        front_session_answered(&session, &scan);
        rest = slice_skip(rest, len);
    }
    take_table(slice_from(data, size));
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    front_session_cut(&session);
    ASSERT(front_session_greet(&session, SLICE("u"), SLICE("p"), &out) <= 4);
    ASSERT(front_session_can_move(&session) && front_session_is_quiet(&session));
    buf_done(&out);
    return 0;
}
