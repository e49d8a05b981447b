/*
 * nullpg: a PostgreSQL that costs nothing, to stand behind a proxy that is measured. It lets
 * everybody in, answers what looks like a SELECT with one row of one column, and everything else
 * with a fitting tag. It remembers transactions and the names of statements, so that a proxy that
 * mixes them up hears of it as it would from PostgreSQL.
 *
 *   nullpg [-a ADDRESS] [-p PORT] [-u SOCKET] [-r ROW_BYTES]
 *
 * One thread; the answers to one read are one send.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/base.h"
#include "wire/wire.h"

#define EVENTS_MAX     256
#define READ_BYTES     ((size_t)64 << 10)
#define BUFFER_MAX     ((size_t)256 << 20)
#define STATEMENTS_MAX 1000 /* of one connection */

typedef enum Kind {
    KIND_SELECT,
    KIND_BEGIN,
    KIND_COMMIT,
    KIND_ROLLBACK,
    KIND_EMPTY,
    KIND_OTHER
} Kind;

typedef struct Statement {
    char *name;
    Kind kind;
} Statement;

typedef struct Client {
    int fd;
    bool listens; /* it is a listening socket */
    bool started;
    bool skips; /* after an error, up to the Sync */
    bool blocked;
    char status; /* 'I' or 'T' */
    Kind portal, unnamed;
    VEC(Statement) statements;
    Buf in, out;
} Client;

typedef struct Server {
    int epoll;
    Buf description, row; /* of each result */
} Server;

static void die(const char *what)
{
    fprintf(stderr, "nullpg: %s: %s\n", what, strerrordesc_np(errno));
    exit(1);
}

/* ---- answers -----------------------------------------------------------------------------------
 */

static void server_prepare(Server *server, size_t row_bytes)
{
    buf_init(&server->description, BUFFER_MAX);
    size_t mark = pg_put_begin(&server->description, 'T');
    pg_put_u16(&server->description, 1);
    pg_put_str(&server->description, SLICE("abalance"));
    pg_put_u32(&server->description, 0);
    pg_put_u16(&server->description, 0);
    pg_put_u32(&server->description, 25); /* text */
    pg_put_u16(&server->description, UINT16_MAX);
    pg_put_u32(&server->description, UINT32_MAX);
    pg_put_u16(&server->description, 0);
    pg_put_end(&server->description, mark);

    buf_init(&server->row, BUFFER_MAX);
    mark = pg_put_begin(&server->row, 'D');
    pg_put_u16(&server->row, 1);
    pg_put_u32(&server->row, (uint32_t)row_bytes);
    for (size_t i = 0; i < row_bytes; i++) {
        buf_append_char(&server->row, '0');
    }
    pg_put_end(&server->row, mark);
}

static Kind kind_of(Slice text)
{
    static const struct {
        const char *word;
        Kind kind;
    } words[] = {{"select", KIND_SELECT}, {"show", KIND_SELECT},       {"values", KIND_SELECT},
                 {"begin", KIND_BEGIN},   {"start", KIND_BEGIN},       {"commit", KIND_COMMIT},
                 {"end", KIND_COMMIT},    {"rollback", KIND_ROLLBACK}, {"abort", KIND_ROLLBACK}};
    text = slice_trim(text);
    if (text.len == 0) {
        return KIND_EMPTY;
    }
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        size_t len = strlen(words[i].word);
        if (text.len >= len && slice_is_nocase(slice_from(text.data, len), words[i].word)) {
            return words[i].kind;
        }
    }
    return KIND_OTHER;
}

static void put_result(const Server *server, Client *client, Kind kind, bool described)
{
    static const char *const tags[] = {"SELECT 1", "BEGIN", "COMMIT", "ROLLBACK", "", "SET"};
    Buf *out = &client->out;
    if (kind == KIND_EMPTY) {
        pg_put_end(out, pg_put_begin(out, 'I'));
        return;
    }
    if (kind == KIND_SELECT) {
        if (described) {
            buf_append_slice(out, buf_slice(&server->description));
        }
        buf_append_slice(out, buf_slice(&server->row));
    } else if (kind == KIND_BEGIN) {
        client->status = 'T';
    } else if (kind == KIND_COMMIT || kind == KIND_ROLLBACK) {
        client->status = 'I';
    }
    pg_put_command_complete(out, slice_of(tags[kind]));
}

static void put_failure(Client *client, const char *sqlstate, const char *what, Slice name)
{
    char message[256];
    snprintf(message, sizeof(message), "prepared statement \"%.*s\" %s", SLICE_FMT(name), what);
    pg_put_error(&client->out, &(PgError){.severity = SLICE("ERROR"),
                                          .sqlstate = slice_of(sqlstate),
                                          .message = slice_of(message)});
    client->skips = true;
}

static void put_empty(Client *client, char type)
{
    pg_put_end(&client->out, pg_put_begin(&client->out, type));
}

/* ---- statements --------------------------------------------------------------------------------
 */

static Kind *statement_find(Client *client, Slice name)
{
    if (name.len == 0) {
        return &client->unnamed;
    }
    for (size_t i = 0; i < client->statements.len; i++) {
        if (slice_is(name, client->statements.items[i].name)) {
            return &client->statements.items[i].kind;
        }
    }
    return NULL;
}

/* NULL: there is none of that name, and the client was told. */
static const Kind *statement_known(Client *client, Slice name)
{
    const Kind *kind = statement_find(client, name);
    if (kind == NULL) {
        put_failure(client, "26000", "does not exist", name);
    }
    return kind;
}

static void statement_remove(Client *client, Slice name)
{
    for (size_t i = 0; i < client->statements.len; i++) {
        if (slice_is(name, client->statements.items[i].name)) {
            mem_free(client->statements.items[i].name);
            client->statements.items[i] = client->statements.items[--client->statements.len];
            return;
        }
    }
}

static void take_parse(Client *client, const PgParse *parse)
{
    Kind kind = kind_of(parse->query);
    if (parse->statement.len == 0) {
        client->unnamed = kind;
    } else if (statement_find(client, parse->statement) != NULL) {
        put_failure(client, "42P05", "already exists", parse->statement);
        return;
    } else if (client->statements.len == STATEMENTS_MAX) {
        put_failure(client, "53400", "is one too many for nullpg", parse->statement);
        return;
    } else {
        Statement statement = {mem_printf("%.*s", SLICE_FMT(parse->statement)), kind};
        vec_push(&client->statements, statement);
    }
    put_empty(client, '1');
}

/* ---- messages ----------------------------------------------------------------------------------
 */

static void take_query(const Server *server, Client *client, Slice text)
{
    Slice rest = text;
    do {
        Slice one = slice_cut(&rest, ';');
        if (slice_trim(one).len > 0 || (rest.data == NULL && one.data == text.data)) {
            put_result(server, client, kind_of(one), true);
        }
    } while (rest.data != NULL);
    pg_put_ready(&client->out, client->status);
}

static void take_describe(const Server *server, Client *client, const PgTarget *target)
{
    const Kind *kind =
        target->kind == 'S' ? statement_known(client, target->name) : &client->portal;
    if (kind == NULL) {
        return;
    }
    if (target->kind == 'S') {
        size_t mark = pg_put_begin(&client->out, 't');
        pg_put_u16(&client->out, 0);
        pg_put_end(&client->out, mark);
    }
    if (*kind == KIND_SELECT) {
        buf_append_slice(&client->out, buf_slice(&server->description));
    } else {
        put_empty(client, 'n');
    }
}

static void take_bind(Client *client, const PgBind *bind)
{
    const Kind *kind = statement_known(client, bind->statement);
    if (kind != NULL) {
        client->portal = *kind;
        put_empty(client, '2');
    }
}

static void take_close(Client *client, const PgTarget *target)
{
    if (target->kind == 'S') {
        statement_remove(client, target->name);
    }
    put_empty(client, '3');
}

/* False: it says goodbye, or what it says is no PostgreSQL. */
static bool take_message(const Server *server, Client *client, char type, Slice body)
{
    Slice text;
    PgParse parse;
    PgBind bind;
    PgTarget target;
    if (type == 'S') {
        client->skips = false;
        pg_put_ready(&client->out, client->status);
        return true;
    }
    if (client->skips || type == 'H') {
        return type != 'X';
    }
    switch (type) {
    case 'Q':
        TRY(pg_get_query(body, &text));
        take_query(server, client, text);
        return true;
    case 'P':
        TRY(pg_get_parse(body, &parse));
        take_parse(client, &parse);
        return true;
    case 'B':
        TRY(pg_get_bind(body, &bind));
        take_bind(client, &bind);
        return true;
    case 'D':
        TRY(pg_get_target(body, &target));
        take_describe(server, client, &target);
        return true;
    case 'E':
        put_result(server, client, client->portal, false);
        return true;
    case 'C':
        TRY(pg_get_target(body, &target));
        take_close(client, &target);
        return true;
    default:
        return false;
    }
}

static void put_welcome(Client *client)
{
    static const char *const settings[][2] = {
        {"application_name", ""},
        {"client_encoding", "UTF8"},
        {"DateStyle", "ISO, MDY"},
        {"default_transaction_read_only", "off"},
        {"in_hot_standby", "off"},
        {"integer_datetimes", "on"},
        {"IntervalStyle", "postgres"},
        {"is_superuser", "off"},
        {"server_encoding", "UTF8"},
        {"server_version", "15.99"},
        {"session_authorization", "bench"},
        {"standard_conforming_strings", "on"},
        {"TimeZone", "UTC"},
    };
    pg_put_auth(&client->out, PG_AUTH_OK, (Slice){0});
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        pg_put_parameter(&client->out, slice_of(settings[i][0]), slice_of(settings[i][1]));
    }
    pg_put_key_data(&client->out, 12345, SLICE("key!"));
    pg_put_ready(&client->out, 'I');
    client->started = true;
    client->status = 'I';
}

static bool take_start(Client *client, Slice in, size_t *ret_used)
{
    PgStart start;
    WireResult result = pg_start_read(in, &start);
    *ret_used = 0;
    if (result == WIRE_MORE) {
        return true;
    }
    if (result == WIRE_BAD || start.kind == PG_START_CANCEL || start.kind == PG_START_TLS) {
        return false;
    }
    *ret_used = start.len;
    if (start.kind == PG_START_SESSION) {
        put_welcome(client);
    } else {
        buf_append_char(&client->out, 'N');
    }
    return true;
}

/* False: the connection is to be closed. */
static bool take_input(const Server *server, Client *client)
{
    Slice in = buf_slice(&client->in);
    for (;;) {
        size_t used;
        if (!client->started) {
            TRY(take_start(client, in, &used));
        } else {
            PgReader reader = {.rest = in};
            char type = (char)pg_read_u8(&reader);
            uint32_t len = pg_read_u32(&reader);
            used = reader.bad || in.len < (size_t)len + 1 ? 0 : (size_t)len + 1;
            if (used > 0) {
                TRY(len >= 4 &&
                    take_message(server, client, type, slice_from(in.data + 5, len - 4)));
            }
        }
        if (used == 0) {
            break;
        }
        in = slice_skip(in, used);
    }
    buf_consume(&client->in, client->in.len - in.len);
    return true;
}

/* ---- connections -------------------------------------------------------------------------------
 */

static void client_watch(const Server *server, Client *client, int operation)
{
    struct epoll_event event = {.events = EPOLLIN | (client->blocked ? EPOLLOUT : 0),
                                .data.ptr = client};
    if (epoll_ctl(server->epoll, operation, client->fd, &event) != 0) {
        die("epoll_ctl");
    }
}

static void client_add(const Server *server, int fd, bool listens)
{
    Client *client = mem_alloc(sizeof(Client));
    client->fd = fd;
    client->listens = listens;
    buf_init(&client->in, BUFFER_MAX);
    buf_init(&client->out, BUFFER_MAX);
    client_watch(server, client, EPOLL_CTL_ADD);
}

static void client_free(Client *client)
{
    fd_close(&client->fd);
    for (size_t i = 0; i < client->statements.len; i++) {
        mem_free(client->statements.items[i].name);
    }
    vec_done(&client->statements);
    buf_done(&client->in);
    buf_done(&client->out);
    mem_free(client);
}

static bool client_receive(const Server *server, Client *client)
{
    char *room = buf_reserve(&client->in, READ_BYTES);
    ssize_t got = room != NULL ? recv(client->fd, room, READ_BYTES, 0) : 0;
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    buf_commit(&client->in, (size_t)got);
    return got > 0 && take_input(server, client);
}

static bool client_send(const Server *server, Client *client)
{
    while (client->out.len > 0) {
        ssize_t sent = send(client->fd, client->out.data, client->out.len, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) {
            break;
        }
        buf_consume(&client->out, sent > 0 ? (size_t)sent : 0);
    }
    bool blocked = client->out.len > 0;
    if (blocked && errno != EAGAIN) {
        return false;
    }
    if (blocked != client->blocked) {
        client->blocked = blocked;
        client_watch(server, client, EPOLL_CTL_MOD);
    }
    return true;
}

static void accept_all(const Server *server, int listener)
{
    int on = 1;
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* not for Unix sockets */
        client_add(server, fd, false);
    }
}

static void serve(const Server *server)
{
    struct epoll_event events[EVENTS_MAX];
    for (;;) {
        int count = epoll_wait(server->epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            Client *client = events[i].data.ptr;
            if (client->listens) {
                accept_all(server, client->fd);
            } else if (((events[i].events & ~(uint32_t)EPOLLOUT) != 0 &&
                        !client_receive(server, client)) ||
                       !client_send(server, client)) {
                client_free(client);
            }
        }
    }
}

/* ---- the program -------------------------------------------------------------------------------
 */

static void listen_at(const Server *server, const struct sockaddr *address, socklen_t len)
{
    int on = 1;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, address, len) != 0 || listen(fd, 4096) != 0) {
        die("listening");
    }
    client_add(server, fd, true);
}

static void listen_unix(const Server *server, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        die(path);
    }
    memcpy(address.sun_path, path, strlen(path));
    listen_at(server, (const struct sockaddr *)&address, sizeof(address));
}

static uint64_t number_of(const char *text)
{
    uint64_t value;
    if (!str_to_u64(slice_of(text), &value)) {
        errno = EINVAL;
        die(text);
    }
    return value;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(5432)};
    const char *host = "127.0.0.1";
    const char *path = NULL;
    uint64_t row_bytes = 1;
    int option;
    while ((option = getopt(argc, argv, "a:p:u:r:")) != -1) {
        switch (option) {
        case 'a':
            host = optarg;
            break;
        case 'p':
            address.sin_port = htons((uint16_t)number_of(optarg));
            break;
        case 'u':
            path = optarg;
            break;
        case 'r':
            row_bytes = number_of(optarg);
            break;
        default:
            return 2;
        }
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    Server server = {.epoll = epoll_create1(EPOLL_CLOEXEC)};
    server_prepare(&server, row_bytes);
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        errno = EINVAL;
        die(host);
    }
    if (path != NULL) {
        listen_unix(&server, path); /* first: who finds the port open counts on both */
    }
    listen_at(&server, (const struct sockaddr *)&address, sizeof(address));
    serve(&server);
}
