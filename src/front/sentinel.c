/*
 * What a Redis Sentinel would say of the group, for clients that ask one where their primary is
 * (redis-py, ioredis, jedis): the group's endpoints, which lead to whoever is primary. So the
 * answer is always the same, and nothing is ever published; clients that subscribe just wait.
 *
 * Source: redis.io/docs/reference/sentinel-clients, and the replies of Redis 7.0.
 */
#include <inttypes.h>
#include <stdio.h>

#include "front/front_priv.h"

#define SENTINEL_BYTES_MAX ((size_t)16 << 10) /* of one command */
#define SENTINEL_ARGS_MAX  16

typedef struct FrontSentinel {
    ListNode node;
    Front *front;
    Stream *stream;
    bool authenticated;
    int64_t subscribed; /* channels */
} FrontSentinel;

/* ---- what is told ------------------------------------------------------------------------------
 */

/* "127.1.1.3:6379", cut in two. */
static bool endpoint_find(const FrontConfig *config, bool reader, char text[NET_ADDR_TEXT_SIZE],
                          Slice *ret_host, Slice *ret_port)
{
    for (size_t i = 0; i < config->listeners.len; i++) {
        const FrontListenerConfig *listener = &config->listeners.items[i];
        if (!listener->sentinel && listener->reader == reader) {
            net_addr_format(&listener->addr, text);
            char *colon = strrchr(text, ':');
            ASSERT(colon != NULL);
            *ret_host = slice_from(text, (size_t)(colon - text));
            *ret_port = slice_of(colon + 1);
            return true;
        }
    }
    return false;
}

static size_t replicas_of(const FrontConfig *config)
{
    size_t count = 0;
    for (size_t i = 0; i < config->nodes.len; i++) {
        count += !config->nodes.items[i].primary;
    }
    return count;
}

static void put_pair(Buf *out, const char *name, Slice value)
{
    resp_put_bulk(out, slice_of(name));
    resp_put_bulk(out, value);
}

/* The primary or, as one, the replicas. */
static void put_state(const FrontConfig *config, bool reader, Buf *out)
{
    static const char *const zeros[] = {
        "link-pending-commands", "last-ping-sent",     "last-ok-ping-reply", "last-ping-reply",
        "info-refresh",          "role-reported-time", "num-other-sentinels"};
    char text[NET_ADDR_TEXT_SIZE];
    char count[24];
    Slice host = {0};
    Slice port = {0};
    const char *role = reader ? "slave" : "master";
    (void)endpoint_find(config, reader, text, &host, &port);
    snprintf(count, sizeof(count), "%zu", replicas_of(config));
    resp_put_header(out, '*', 2 * (10 + ARRAY_LEN(zeros)));
    put_pair(out, "name", reader ? slice_of(text) : slice_of(config->group));
    put_pair(out, "ip", host);
    put_pair(out, "port", port);
    put_pair(out, "runid", slice_of(role));
    put_pair(out, "flags", slice_of(role));
    put_pair(out, "role-reported", slice_of(role));
    put_pair(out, "down-after-milliseconds", SLICE("1000"));
    put_pair(out, reader ? "slave-priority" : "num-slaves",
             reader ? SLICE("100") : slice_of(count));
    put_pair(out, "quorum", SLICE("1"));
    put_pair(out, reader ? "master-link-status" : "parallel-syncs",
             reader ? SLICE("ok") : SLICE("1"));
    for (size_t i = 0; i < ARRAY_LEN(zeros); i++) {
        put_pair(out, zeros[i], SLICE("0"));
    }
}

static void put_address(const FrontConfig *config, Buf *out)
{
    char text[NET_ADDR_TEXT_SIZE];
    Slice host;
    Slice port;
    if (!endpoint_find(config, false, text, &host, &port)) {
        buf_append_str(out, "*-1\r\n");
        return;
    }
    resp_put_header(out, '*', 2);
    resp_put_bulk(out, host);
    resp_put_bulk(out, port);
}

static void answer_sentinel(const FrontConfig *config, const Slice *args, size_t len, Buf *out)
{
    Slice what = len > 1 ? args[1] : (Slice){0};
    bool known = len == 3 && slice_is(args[2], config->group);
    if (slice_is_nocase(what, "MASTERS") && len == 2) {
        resp_put_header(out, '*', 1);
        put_state(config, false, out);
    } else if (slice_is_nocase(what, "MYID")) {
        resp_put_bulk(out, slice_of(config->group));
    } else if (slice_is_nocase(what, "GET-MASTER-ADDR-BY-NAME") && !known) {
        buf_append_str(out, "*-1\r\n");
    } else if (!known) {
        resp_put_error(out, SLICE("ERR No such master with that name"));
    } else if (slice_is_nocase(what, "GET-MASTER-ADDR-BY-NAME")) {
        put_address(config, out);
    } else if (slice_is_nocase(what, "MASTER")) {
        put_state(config, false, out);
    } else if (slice_is_nocase(what, "REPLICAS") || slice_is_nocase(what, "SLAVES")) {
        size_t count = replicas_of(config) > 0 ? 1 : 0;
        resp_put_header(out, '*', count);
        if (count > 0) {
            put_state(config, true, out);
        }
    } else if (slice_is_nocase(what, "SENTINELS")) {
        resp_put_header(out, '*', 0); /* there is no other one */
    } else if (slice_is_nocase(what, "CKQUORUM")) {
        resp_put_simple(out, SLICE("OK 1 usable Sentinels"));
    } else {
        resp_put_error(out, SLICE("ERR Unknown sentinel subcommand"));
    }
}

/* ---- the conversation --------------------------------------------------------------------------
 */

static void answer_auth(FrontSentinel *sentinel, const Slice *args, size_t len, Buf *out)
{
    const FrontConfig *config = sentinel->front->config;
    bool fits = (len == 2 || (len == 3 && slice_is(args[1], "default"))) &&
                (config->tokens.len == 0 || front_token_fits(config, args[len - 1]));
    sentinel->authenticated = sentinel->authenticated || fits;
    if (fits) {
        resp_put_simple(out, SLICE("OK"));
    } else {
        resp_put_error(out, SLICE("WRONGPASS invalid username-password pair or user is disabled."));
    }
}

/* One answer per channel. */
static void answer_subscribe(FrontSentinel *sentinel, const char *word, int by, const Slice *args,
                             size_t len, Buf *out)
{
    for (size_t i = 1; i < len; i++) {
        sentinel->subscribed += by;
        sentinel->subscribed = sentinel->subscribed > 0 ? sentinel->subscribed : 0;
        resp_put_header(out, '*', 3);
        resp_put_bulk(out, slice_of(word));
        resp_put_bulk(out, args[i]);
        resp_put_integer(out, sentinel->subscribed);
    }
}

static void answer_known(FrontSentinel *sentinel, const Slice *args, size_t len, Buf *out)
{
    Slice name = args[0];
    if (slice_is_nocase(name, "SENTINEL")) {
        answer_sentinel(sentinel->front->config, args, len, out);
    } else if (slice_is_nocase(name, "SUBSCRIBE")) {
        answer_subscribe(sentinel, "subscribe", 1, args, len, out);
    } else if (slice_is_nocase(name, "PSUBSCRIBE")) {
        answer_subscribe(sentinel, "psubscribe", 1, args, len, out);
    } else if (slice_is_nocase(name, "UNSUBSCRIBE")) {
        answer_subscribe(sentinel, "unsubscribe", -1, args, len, out);
    } else if (slice_is_nocase(name, "PUNSUBSCRIBE")) {
        answer_subscribe(sentinel, "punsubscribe", -1, args, len, out);
    } else if (slice_is_nocase(name, "CLIENT")) {
        resp_put_simple(out, SLICE("OK"));
    } else if (slice_is_nocase(name, "INFO")) {
        resp_put_bulk(out, SLICE("# Server\r\nredis_mode:sentinel\r\n# Sentinel\r\n"
                                 "sentinel_masters:1\r\n"));
    } else if (slice_is_nocase(name, "ROLE")) {
        resp_put_header(out, '*', 2);
        resp_put_bulk(out, SLICE("sentinel"));
        resp_put_header(out, '*', 1);
        resp_put_bulk(out, slice_of(sentinel->front->config->group));
    } else {
        CLEANUP(mem_free_ptr)
        char *text = mem_printf("ERR unknown command '%.*s'", SLICE_FMT(name));
        resp_put_error(out, slice_of(text));
    }
}

static void answer(FrontSentinel *sentinel, const Slice *args, size_t len, Buf *out)
{
    if (slice_is_nocase(args[0], "AUTH") && len > 1) {
        answer_auth(sentinel, args, len, out);
    } else if (!sentinel->authenticated) {
        resp_put_error(out, SLICE("NOAUTH Authentication required."));
    } else if (slice_is_nocase(args[0], "PING") && sentinel->subscribed == 0) {
        resp_put_simple(out, SLICE("PONG"));
    } else if (slice_is_nocase(args[0], "PING")) {
        resp_put_header(out, '*', 2);
        resp_put_bulk(out, SLICE("pong"));
        resp_put_bulk(out, SLICE(""));
    } else {
        answer_known(sentinel, args, len, out);
    }
}

static void sentinel_free(FrontSentinel *sentinel)
{
    list_remove(&sentinel->front->sentinels, &sentinel->node);
    mem_free(sentinel);
}

static void sentinel_close(FrontSentinel *sentinel)
{
    stream_close(sentinel->stream);
    sentinel_free(sentinel);
}

/* False: the connection is at its end. */
static bool sentinel_command(FrontSentinel *sentinel, const Slice *args, size_t len)
{
    if (len > SENTINEL_ARGS_MAX || (len > 0 && slice_is_nocase(args[0], "QUIT"))) {
        return false;
    }
    if (len > 0) {
        Buf out;
        buf_init(&out, BUF_MAX_DEFAULT);
        answer(sentinel, args, len, &out);
        stream_write(sentinel->stream, buf_slice(&out));
        buf_done(&out);
    }
    return true;
}

static size_t sentinel_on_read(void *user, Stream *stream, Slice data)
{
    (void)stream;
    FrontSentinel *sentinel = user;
    Slice rest = data;
    while (rest.len > 0) {
        Slice args[SENTINEL_ARGS_MAX];
        RespCommand command;
        WireResult result = resp_command_read(rest, args, SENTINEL_ARGS_MAX, &command);
        if (result == WIRE_MORE && rest.len < SENTINEL_BYTES_MAX) {
            break;
        }
        if (result != WIRE_DONE || !sentinel_command(sentinel, args, command.arg_count)) {
            sentinel_close(sentinel);
            return data.len;
        }
        rest = slice_skip(rest, command.len);
    }
    return data.len - rest.len;
}

static void sentinel_on_eof(void *user, Stream *stream, Slice rest)
{
    (void)stream;
    (void)rest;
    sentinel_close(user);
}

static void sentinel_on_closed(void *user, Stream *stream, const Err *err)
{
    (void)stream;
    (void)err;
    sentinel_free(user);
}

void front_sentinel_new(Front *front, TlsContext *tls, int fd)
{
    static const StreamHandlers handlers = {
        .on_read = sentinel_on_read, .on_eof = sentinel_on_eof, .on_closed = sentinel_on_closed};
    if (front->sentinels.len >= FRONT_SENTINELS_MAX) {
        fd_close(&fd);
        return;
    }
    FrontSentinel *sentinel = mem_alloc(sizeof(FrontSentinel));
    const StreamOptions options = {
        .handlers = &handlers, .user = sentinel, .tls = tls, .keep_max = SENTINEL_BYTES_MAX};
    sentinel->front = front;
    sentinel->authenticated = front->config->tokens.len == 0;
    list_push_back(&front->sentinels, &sentinel->node);
    sentinel->stream = stream_adopt(front->loop, fd, &options);
}

void front_sentinels_close(Front *front)
{
    for (ListNode *node; (node = list_first(&front->sentinels)) != NULL;) {
        sentinel_close(CONTAINER_OF(node, FrontSentinel, node));
    }
}
