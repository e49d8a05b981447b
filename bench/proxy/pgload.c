/*
 * pgload: a cheap closed loop of clients. libpq opens the connections, so any authentication and
 * TLS will do; then their sockets are driven from one thread with messages made beforehand, at a
 * fraction of what a general client costs.
 *
 *   pgload -d CONNINFO [-c CLIENTS] [-k DEPTH] [-m simple|extended|prepared] [-s SECONDS] [-q SQL]
 *
 * DEPTH queries go out in one write, each with its own end; the next ones when all are answered.
 * When every client has been through that once, it says "ready" and waits for a line on its input;
 * then it runs, prints {"queries", "seconds", "bytes", "p50_us", "p99_us"}, and holds the
 * connections until its input ends: whoever measures another process looks at it in between.
 * The first error of a server ends it, with the server's words.
 */
#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "wire/wire.h"

#define EVENTS_MAX    512
#define READ_BYTES    ((size_t)256 << 10)
#define HISTOGRAM_US  ((size_t)1000000) /* one bucket a microsecond, the last for what is slower */
#define ERROR_BYTES   512
#define STATEMENT     "P_0"
#define DEPTH_MAX     10000
#define CLIENTS_MAX   20000
#define NS_PER_US     UINT64_C(1000)
#define NS_PER_SECOND UINT64_C(1000000000)

typedef struct Client {
    PGconn *connection;
    SSL *ssl; /* libpq's; NULL: plain */
    int fd;
    size_t sent; /* of the batch */
    uint64_t since_ns;
    uint32_t unanswered;
    /* Of the message that is being read. */
    uint8_t head[5];
    size_t head_len;
    size_t body_left;
    Buf error; /* the body of an ErrorResponse */
} Client;

typedef struct Load {
    const char *conninfo, *mode, *sql;
    uint64_t clients_count, depth;
    double seconds;
    Buf batch;
    Client *clients;
    int epoll;
    char *room; /* READ_BYTES */
    uint32_t *histogram;
    uint64_t queries, bytes, answered_clients;
} Load;

__attribute__((noreturn)) static void die(const char *what, const char *why)
{
    fprintf(stderr, "pgload: %s: %s\n", what, why);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/* ---- what is sent ------------------------------------------------------------------------------
 */

static void batch_build(Load *load)
{
    Slice sql = slice_of(load->sql);
    bool named = strcmp(load->mode, "prepared") == 0;
    buf_init(&load->batch, BUF_MAX_DEFAULT);
    for (uint64_t i = 0; i < load->depth; i++) {
        if (strcmp(load->mode, "simple") == 0) {
            pg_put_query(&load->batch, sql);
            continue;
        }
        if (!named) {
            pg_put_parse(&load->batch, SLICE(""), sql);
        }
        pg_put_bind(&load->batch, SLICE(""), named ? SLICE(STATEMENT) : SLICE(""));
        pg_put_describe(&load->batch, 'P', SLICE(""));
        pg_put_execute(&load->batch, SLICE(""), 0);
        pg_put_sync(&load->batch);
    }
    if (load->batch.overflowed) {
        die("the batch", "too large");
    }
}

/* ---- bytes -------------------------------------------------------------------------------------
 */

static ssize_t ssl_result(const Client *client, int result)
{
    int error = SSL_get_error(client->ssl, result);
    errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
    return result > 0 ? result : -1;
}

static ssize_t client_write(const Client *client, Slice data)
{
    return client->ssl != NULL
               ? ssl_result(client, SSL_write(client->ssl, data.data, (int)data.len))
               : send(client->fd, data.data, data.len, MSG_NOSIGNAL);
}

static ssize_t client_read(const Client *client, char *room)
{
    return client->ssl != NULL ? ssl_result(client, SSL_read(client->ssl, room, READ_BYTES))
                               : recv(client->fd, room, READ_BYTES, 0);
}

static void client_push(const Load *load, Client *client)
{
    while (client->sent < load->batch.len) {
        ssize_t sent = client_write(client, slice_skip(buf_slice(&load->batch), client->sent));
        if (sent < 0 && errno == EAGAIN) {
            return; /* the next answer is the time to go on */
        }
        if (sent < 0 && errno != EINTR) {
            die("sending", strerrordesc_np(errno));
        }
        client->sent += sent > 0 ? (size_t)sent : 0;
    }
}

static void client_begin(const Load *load, Client *client)
{
    client->sent = 0;
    client->unanswered = (uint32_t)load->depth;
    client->since_ns = now_ns();
    client_push(load, client);
}

/* ---- what is answered --------------------------------------------------------------------------
 */

static void die_of(const Client *client)
{
    PgError error;
    char text[ERROR_BYTES] = "malformed";
    if (pg_get_error(buf_slice(&client->error), &error)) {
        snprintf(text, sizeof(text), "%.*s", SLICE_FMT(error.message));
    }
    die("the server", text);
}

static void message_end(Load *load, Client *client)
{
    if (client->head[0] == 'E') {
        die_of(client);
    }
    if (client->head[0] == 'Z') {
        client->unanswered--;
        load->queries++;
    }
    client->head_len = 0;
}

/* Counts the messages; only an error's body is kept. */
static void client_take(Load *load, Client *client, Slice data)
{
    while (data.len > 0) {
        if (client->head_len < sizeof(client->head)) {
            client->head[client->head_len++] = (uint8_t)data.data[0];
            data = slice_skip(data, 1);
            if (client->head_len < sizeof(client->head)) {
                continue;
            }
            PgReader reader = {.rest = slice_from(client->head + 1, 4)};
            client->body_left = pg_read_u32(&reader) - 4;
        }
        size_t len = data.len < client->body_left ? data.len : client->body_left;
        if (client->head[0] == 'E') {
            buf_append(&client->error, data.data, len);
        }
        data = slice_skip(data, len);
        client->body_left -= len;
        if (client->body_left == 0) {
            message_end(load, client);
        }
    }
}

static void client_pull(Load *load, Client *client)
{
    ssize_t got;
    do {
        got = client_read(client, load->room);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
            die("receiving", got == 0 ? "the connection was closed" : strerrordesc_np(errno));
        }
        if (got > 0) {
            load->bytes += (uint64_t)got;
            client_take(load, client, slice_from(load->room, (size_t)got));
        }
    } while (got > 0 && client->ssl != NULL); /* it may have more than the socket says */
}

/* One answer to everything is one measurement. */
static void client_done(Load *load, Client *client)
{
    uint64_t us = (now_ns() - client->since_ns) / NS_PER_US;
    load->histogram[us < HISTOGRAM_US ? us : HISTOGRAM_US]++;
    load->answered_clients++;
}

/* ---- phases ------------------------------------------------------------------------------------
 */

static void turn(Load *load, bool again)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(load->epoll, events, EVENTS_MAX, 100);
    for (int i = 0; i < count; i++) {
        Client *client = events[i].data.ptr;
        client_push(load, client);
        client_pull(load, client);
        if (client->unanswered == 0) {
            client_done(load, client);
            client->unanswered = UINT32_MAX;
            if (again) {
                client_begin(load, client);
            }
        }
    }
}

static void begin_all(Load *load)
{
    memset(load->histogram, 0, (HISTOGRAM_US + 1) * sizeof(uint32_t));
    load->queries = load->bytes = load->answered_clients = 0;
    for (uint64_t i = 0; i < load->clients_count; i++) {
        client_begin(load, &load->clients[i]);
    }
}

static void client_open(Load *load, Client *client)
{
    client->connection = PQconnectdb(load->conninfo);
    if (PQstatus(client->connection) != CONNECTION_OK) {
        die("connecting", PQerrorMessage(client->connection));
    }
    if (strcmp(load->mode, "prepared") == 0) {
        PGresult *result = PQprepare(client->connection, STATEMENT, load->sql, 0, NULL);
        if (PQresultStatus(result) != PGRES_COMMAND_OK) {
            die("preparing", PQerrorMessage(client->connection));
        }
        PQclear(result);
    }
    client->ssl = PQsslStruct(client->connection, "OpenSSL");
    client->fd = PQsocket(client->connection);
    PQsetnonblocking(client->connection, 1);
    int flags = fcntl(client->fd, F_GETFL);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    if (fcntl(client->fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        epoll_ctl(load->epoll, EPOLL_CTL_ADD, client->fd, &event) != 0) {
        die("a socket", strerrordesc_np(errno));
    }
    buf_init(&client->error, BUF_MAX_DEFAULT);
}

static uint64_t percentile_us(const Load *load, uint64_t percent)
{
    uint64_t seen = 0;
    for (size_t us = 0; us <= HISTOGRAM_US; us++) {
        seen += load->histogram[us];
        if (seen * 100 >= load->answered_clients * percent) {
            return us;
        }
    }
    return HISTOGRAM_US;
}

static void wait_for_line(void)
{
    for (int c = getchar(); c != '\n' && c != EOF;) {
        c = getchar();
    }
}

static void run(Load *load)
{
    begin_all(load);
    while (load->answered_clients < load->clients_count) {
        turn(load, false);
    }
    puts("ready");
    fflush(stdout);
    wait_for_line();
    uint64_t start_ns = now_ns();
    uint64_t end_ns = start_ns + (uint64_t)(load->seconds * (double)NS_PER_SECOND);
    begin_all(load);
    while (now_ns() < end_ns) {
        turn(load, true);
    }
    double seconds = (double)(now_ns() - start_ns) / (double)NS_PER_SECOND;
    printf("{\"queries\": %llu, \"seconds\": %.6f, \"bytes\": %llu, \"p50_us\": %llu, "
           "\"p99_us\": %llu}\n",
           (unsigned long long)load->queries, seconds, (unsigned long long)load->bytes,
           (unsigned long long)percentile_us(load, 50),
           (unsigned long long)percentile_us(load, 99));
    fflush(stdout);
    wait_for_line();
}

/* ---- the program -------------------------------------------------------------------------------
 */

static uint64_t number_of(const char *text, uint64_t max)
{
    uint64_t value;
    if (!str_to_u64(slice_of(text), &value) || value == 0 || value > max) {
        die(text, "not such a number");
    }
    return value;
}

static void options_read(Load *load, int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "d:c:k:m:s:q:")) != -1) {
        switch (option) {
        case 'd':
            load->conninfo = optarg;
            break;
        case 'c':
            load->clients_count = number_of(optarg, CLIENTS_MAX);
            break;
        case 'k':
            load->depth = number_of(optarg, DEPTH_MAX);
            break;
        case 'm':
            load->mode = optarg;
            break;
        case 's':
            load->seconds = strtod(optarg, NULL);
            break;
        case 'q':
            load->sql = optarg;
            break;
        default:
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    Load load = {.conninfo = "",
                 .mode = "simple",
                 .sql = "SELECT abalance FROM pgbench_accounts WHERE aid = 12345;",
                 .clients_count = 32,
                 .depth = 1,
                 .seconds = 3};
    struct rlimit limit;
    options_read(&load, argc, argv);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    batch_build(&load);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    load.room = mem_alloc(READ_BYTES);
    load.histogram = mem_alloc((HISTOGRAM_US + 1) * sizeof(uint32_t));
    load.clients = mem_alloc(load.clients_count * sizeof(Client));
    for (uint64_t i = 0; i < load.clients_count; i++) {
        client_open(&load, &load.clients[i]);
    }
    run(&load);
    for (uint64_t i = 0; i < load.clients_count; i++) {
        PQfinish(load.clients[i].connection);
        buf_done(&load.clients[i].error);
    }
    buf_done(&load.batch);
    mem_free(load.room);
    mem_free(load.histogram);
    mem_free(load.clients);
    return 0;
}
