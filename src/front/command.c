/* Which commands the front has to understand, and what AUTH and HELLO say. Pure. */
#include "front/front_priv.h"

typedef struct FrontCommandName {
    const char *name;
    FrontCommandKind kind;
} FrontCommandName;

FrontCommandKind front_command_kind(Slice name)
{
    static const FrontCommandName names[] = {
        {"AUTH", COMMAND_AUTH},           {"HELLO", COMMAND_HELLO},
        {"QUIT", COMMAND_QUIT},           {"RESET", COMMAND_RESET},
        {"SELECT", COMMAND_SELECT},       {"CLIENT", COMMAND_CLIENT},
        {"MULTI", COMMAND_MULTI},         {"EXEC", COMMAND_MULTI_END},
        {"DISCARD", COMMAND_MULTI_END},   {"WATCH", COMMAND_WATCH},
        {"UNWATCH", COMMAND_UNWATCH},     {"SUBSCRIBE", COMMAND_STREAM},
        {"PSUBSCRIBE", COMMAND_STREAM},   {"SSUBSCRIBE", COMMAND_STREAM},
        {"UNSUBSCRIBE", COMMAND_STREAM},  {"PUNSUBSCRIBE", COMMAND_STREAM},
        {"SUNSUBSCRIBE", COMMAND_STREAM}, {"MONITOR", COMMAND_STREAM},
        {"SYNC", COMMAND_STREAM},         {"PSYNC", COMMAND_STREAM},
        {"POST", COMMAND_HTTP},           {"HOST:", COMMAND_HTTP},
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (slice_is(name, names[i].name)) {
            return names[i].kind;
        }
    }
    return COMMAND_OTHER;
}

bool front_command_is_read(FrontCommandKind kind)
{
    return kind == COMMAND_AUTH || kind == COMMAND_HELLO || kind == COMMAND_SELECT ||
           kind == COMMAND_CLIENT;
}

bool front_command_is_bare(const RespScan *scan, Slice bytes)
{
    RespCommand whole;
    Slice first;
    if (scan->type == '*') {
        return scan->count == 1;
    }
    return resp_command_read(bytes, &first, 1, &whole) == WIRE_DONE && whole.arg_count == 1;
}

bool front_command_read(Slice bytes, FrontCommandKind kind, Arena *arena, FrontCommand *ret_command)
{
    FrontCommand command = {.kind = kind};
    RespCommand whole;
    if (resp_command_read(bytes, command.args, COMMAND_ARGS_MAX, &whole) != WIRE_DONE) {
        return false;
    }
    command.args_len = whole.arg_count;
    for (size_t i = 0; whole.inlined && i < command.args_len && i < COMMAND_ARGS_MAX; i++) {
        char *plain = arena_alloc(arena, command.args[i].len + 1);
        command.args[i] = slice_from(plain, resp_inline_unquote(command.args[i], plain));
    }
    *ret_command = command;
    return true;
}

/* ---- logging in: the replies are Redis 7's own ------------------------------------------------
 */

static void auth_parse(const FrontCommand *command, FrontLogin *login)
{
    if (command->args_len < 2) {
        login->refused = "ERR wrong number of arguments for 'auth' command";
    } else if (command->args_len > 3) {
        login->refused = "ERR syntax error";
    } else {
        login->given = true;
        login->user = command->args_len == 3 ? command->args[1] : (Slice){0};
        login->password = command->args[command->args_len - 1];
    }
}

static void hello_parse(const FrontCommand *command, FrontLogin *login)
{
    if (command->args_len > COMMAND_ARGS_MAX) {
        login->refused = "ERR Syntax error in HELLO option";
        return;
    }
    if (command->args_len < 2) {
        return;
    }
    int64_t proto;
    login->proto = command->args[1];
    if (!str_to_i64(login->proto, &proto)) {
        login->refused = "ERR Protocol version is not an integer or out of range";
        return;
    }
    if (proto != 2 && proto != 3) {
        login->refused = "NOPROTO unsupported protocol version";
        return;
    }
    for (size_t i = 2; i < command->args_len;) {
        size_t left = command->args_len - i - 1;
        if (slice_is_nocase(command->args[i], "AUTH") && left >= 2) {
            login->given = true;
            login->user = command->args[i + 1];
            login->password = command->args[i + 2];
            i += 3;
        } else if (slice_is_nocase(command->args[i], "SETNAME") && left >= 1) {
            login->name = command->args[i + 1];
            i += 2;
        } else {
            login->refused = "ERR Syntax error in HELLO option";
            return;
        }
    }
}

void front_login_parse(const FrontCommand *command, FrontLogin *ret_login)
{
    *ret_login = (FrontLogin){0};
    if (command->kind == COMMAND_AUTH) {
        auth_parse(command, ret_login);
    } else {
        hello_parse(command, ret_login);
    }
}

void front_login_put_hello(const FrontLogin *login, Buf *out)
{
    Slice args[4] = {SLICE("HELLO"), login->proto};
    size_t len = login->proto.data != NULL ? 2 : 1;
    if (login->name.data != NULL) {
        args[len++] = SLICE("SETNAME");
        args[len++] = login->name;
    }
    resp_put_command(out, args, len);
}
