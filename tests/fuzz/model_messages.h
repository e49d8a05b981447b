/* What the two clients of the session's model may say, and what its server's messages look like. */
#ifndef WEIR_FUZZ_MODEL_MESSAGES_H
#define WEIR_FUZZ_MODEL_MESSAGES_H

#include "model_queue.h"

static const struct {
    char type;
    int8_t name;
    Slice body;
} messages[] = {
    {'Q', -1, {"select 1", 9}},
    {'Q', -1, {"insert into t values (1)", 25}},
    {'Q', -1, {"select currval('s')", 20}},
    {'Q', -1, {"discard all", 12}},
    {'Q', -1, {"select pg_advisory_xact_lock(1)", 32}},
    {'Q', -1, {"set t = 1", 10}},
    {'Q', -1, {"set t = 2", 10}},
    {'Q', -1, {"reset t", 8}},
    {'Q', -1, {"set a.b = 3", 12}},
    {'Q', -1, {"reset a.b", 10}},
    {'Q', -1, {"reset all", 10}},
    {'Q', -1, {"set local t = 4", 16}},
    {'Q', -1, {"set local a.b = 5", 18}},
    {'Q', -1, {"listen c", 9}},
    {'Q', -1, {"listen c", 9}},
    {'Q', -1, {"unlisten *", 11}},
    {'P', -1, {"\0listen c\0\0\0", 12}},
    {'P', -1, {"\0set t = 6\0\0\0", 13}},
    {'P', -1, {"\0select 1\0\0\0", 12}},
    {'P', 0, {"a\0select 1\0\0\0", 13}},
    {'P', 0, {"a\0select 2\0\0\0", 13}},
    {'P', 1, {"b\0select 2\0\0\0", 13}},
    {'P', 1, {"b\0select 3\0\0\0", 13}},
    {'B', -1, {"\0\0\0\0\0\0\0\0", 8}},
    {'B', 0, {"\0a\0\0\0\0\0\0\0", 9}},
    {'B', 1, {"p\0b\0\0\0\0\0\0\0", 10}},
    {'D', -1, {"S\0", 2}},
    {'D', 0, {"Sa\0", 3}},
    {'D', -1, {"P\0", 2}},
    {'C', -1, {"S\0", 2}},
    {'C', 0, {"Sa\0", 3}},
    {'C', 1, {"Sb\0", 3}},
    {'E', -1, {"\0\0\0\0\0", 5}},
    {'E', -1, {"\0\0\0\0\0", 5}},
    {'S', -1, {"", 0}},
    {'S', -1, {"", 0}},
    {'H', -1, {"", 0}},
    {'d', -1, {"x", 1}},
    {'c', -1, {"", 0}},
    {'f', -1, {"x\0", 2}},
    {'F', -1, {"x", 1}},
    {'P', -1, {"\0begin\0\0\0", 9}},
    {'P', -1, {"\0commit\0\0\0", 10}},
    {'P', -1, {"\0rollback\0\0\0", 12}},
    /* Where there are tokens. */
    {'Q', -1, {"set weir.causal_token = 'x'", 28}},
    {'Q', -1, {"reset weir.causal_token", 24}},
    {'Q', -1, {"set local weir.causal_token = 'x'", 34}},
    {'Q', -1, {"show weir.causal_token", 23}},
    {'Q', -1, {"commit", 7}},
    {'P', -1, {"\0set weir.causal_token = 'x'\0\0\0", 31}},
    {'P', -1, {"\0show weir.causal_token\0\0\0", 26}},
    {'P', 0, {"a\0show weir.causal_token\0\0\0", 27}},
    {'P', 0, {"a\0set weir.causal_token = 'x'\0\0\0", 32}},
    {'Q', -1, {SETS_BOTH, sizeof(SETS_BOTH)}},
};
#define TOKEN_MESSAGES 10

static inline void model_put_token(Buf *row, int token)
{
    if (token == TOKEN_NOBODY) {
        pg_put_u32(row, 0);
    } else {
        pg_put_u32(row, 45);
        buf_printf(row, "w1-0000000000000001-00000001-%016d", token);
    }
}

static inline Slice body_of(const Entry *message, Buf *body)
{
    if (message->type == 'Z') {
        buf_append(body, &message->status, 1);
    } else if (message->type == 'N' && message->cut) {
        static const char fields[] = "SWARNING\0C01000\0Mcut\0RSyncRepWaitForLSN\0";
        buf_append(body, fields, sizeof(fields));
    } else if (message->tag != NULL) {
        pg_put_str(body, slice_of(message->tag));
    } else if (message->heard != NULL) {
        pg_put_u32(body, 1);
        pg_put_str(body, slice_of(message->heard));
        buf_printf(body, "t.%u", message->number);
        pg_put_str(body, SLICE(""));
    } else if (message->pins_asked) {
        pg_put_u16(body, 2);
        pg_put_u32(body, 1);
        buf_append_str(body, "f");
        pg_put_u32(body, message->channel ? 1 : UINT32_MAX);
        buf_append_str(body, message->channel ? "c" : "");
    } else if (message->asked) {
        pg_put_u16(body, (uint16_t)(strlen(message->columns) + (message->has_token ? 1 : 0)));
        for (const char *column = message->columns; *column != '\0'; column++) {
            bool custom = *column == 'a';
            if (*column == 'w') {
                model_put_token(body, message->token);
            } else if (*column == 's') {
                pg_put_u32(body, message->temporary ? 7 : 0);
                buf_append_str(body, message->temporary ? "pg_temp" : "");
            } else {
                model_put_value(body, custom ? message->settings.custom : message->settings.plain,
                                custom);
            }
        }
        if (message->has_token) {
            pg_put_u32(body, 0);
        }
    }
    return buf_slice(body);
}

#endif
