/* A gateway that misbehaves; see etcd_fake.h. One thread accepts, one serves each connection. */
#include "etcd_fake.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef struct Serving {
    Fake *fake;
    int fd;
} Serving;

static bool send_all(int fd, const void *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t count = send(fd, (const char *)data + done, len - done, MSG_NOSIGNAL);
        if (count <= 0) {
            return false;
        }
        done += (size_t)count;
    }
    return true;
}

static bool answer(int fd, int status, const char *body)
{
    CLEANUP(mem_free_ptr)
    char *text =
        mem_printf("HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n%s", status, strlen(body), body);
    return send_all(fd, text, strlen(text));
}

static bool answer_huge(int fd)
{
    static const char block[1 << 16];
    const char *head = "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n";
    bool ok = send_all(fd, head, strlen(head));
    for (int i = 0; ok && i < 1526; i++) {
        ok = send_all(fd, block, sizeof(block));
    }
    return false;
}

/* Silent until the peer hangs up, or all is over. */
static bool hang(int fd)
{
    char byte;
    (void)recv(fd, &byte, 1, 0);
    return false;
}

static void plain(Fake *fake, bool txn, char *out, size_t size)
{
    long long revision = atomic_fetch_add(fake->counter, txn) + txn;
    snprintf(out, size, "{\"header\":{\"cluster_id\":\"%s\",\"revision\":\"%lld\"}%s}",
             fake->cluster_id, revision, txn ? ",\"succeeded\":true" : "");
}

static bool serve_call(Fake *fake, FakeQueue *queue, int fd, const char *body)
{
    pthread_mutex_lock(&fake->lock);
    FakeStep step = queue->done < queue->len ? queue->steps[queue->done++] : (FakeStep){0};
    queue->seen++;
    mem_free(queue->last_body);
    queue->last_body = mem_strdup(body);
    pthread_cond_broadcast(&fake->changed);
    pthread_mutex_unlock(&fake->lock);
    char text[256];
    switch (step.way) {
    case FAKE_CUT:
        return false;
    case FAKE_HANG:
        return hang(fd);
    case FAKE_HUGE:
        return answer_huge(fd);
    case FAKE_TORN:
        (void)send_all(fd, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"hea", 44);
        return false;
    case FAKE_ANSWER:
    case FAKE_LAST:
        break;
    }
    if (step.body == NULL) {
        plain(fake, queue == &fake->txn, text, sizeof(text));
    }
    bool sent =
        answer(fd, step.status > 0 ? step.status : 200, step.body != NULL ? step.body : text);
    return sent && step.way != FAKE_LAST;
}

/* In two chunks, for nothing says that a line comes whole. */
static void send_line(int fd, const char *text)
{
    CLEANUP(mem_free_ptr)
    char *chunks = mem_printf("1\r\n%c\r\n%zx\r\n%s\n\r\n", text[0], strlen(text), text + 1);
    (void)send_all(fd, chunks, strlen(chunks));
}

static bool serve_watch(Fake *fake, int fd, const char *body)
{
    json_t *tree = json_loads(body, 0, NULL);
    const json_t *request = json_object_get(tree, "create_request");
    const char *start = json_string_value(json_object_get(request, "start_revision"));
    const char *head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    char created[200];
    snprintf(created, sizeof(created),
             "{\"result\":{\"header\":{\"cluster_id\":\"%s\",\"revision\":\"1\"},"
             "\"created\":true}}",
             fake->cluster_id);
    (void)send_all(fd, head, strlen(head));
    send_line(fd, created); /* before anybody who waits for the watch speaks */
    pthread_mutex_lock(&fake->lock);
    fake->watch_start = start != NULL ? strtoll(start, NULL, 10) : -1;
    fake->watch_fd = fd;
    fake->watches++;
    pthread_cond_broadcast(&fake->changed);
    pthread_mutex_unlock(&fake->lock);
    json_decref(tree);
    (void)hang(fd);
    pthread_mutex_lock(&fake->lock);
    if (fake->watch_fd == fd) {
        fake->watch_fd = -1;
    }
    pthread_mutex_unlock(&fake->lock);
    return false;
}

/* Reads one request; false where there is none. */
static bool read_request(int fd, Buf *text, Slice *ret_path, const char **ret_body)
{
    size_t need = 0;
    buf_clear(text);
    for (;;) {
        char block[4096];
        const char *end = strstr(buf_str(text), "\r\n\r\n");
        if (end != NULL && need == 0) {
            const char *length = strstr(buf_str(text), "Content-Length: ");
            need = (size_t)(end + 4 - text->data) +
                   (length != NULL ? strtoul(length + 16, NULL, 10) : 0);
        }
        if (need > 0 && text->len >= need) {
            Slice line = buf_slice(text);
            (void)slice_cut(&line, ' ');
            *ret_path = slice_cut(&line, ' ');
            *ret_body = strstr(buf_str(text), "\r\n\r\n") + 4;
            return true;
        }
        ssize_t count = recv(fd, block, sizeof(block), 0);
        if (count <= 0) {
            return false;
        }
        buf_append(text, block, (size_t)count);
    }
}

static void *serve(void *argument)
{
    Serving *serving = argument;
    Fake *fake = serving->fake;
    Buf text;
    Slice path;
    const char *body;
    bool more = true;
    buf_init(&text, BUF_MAX_DEFAULT);
    while (more && read_request(serving->fd, &text, &path, &body)) {
        if (slice_is(path, "/v3/watch")) {
            more = serve_watch(fake, serving->fd, body);
        } else if (slice_is(path, "/v3/kv/txn")) {
            more = serve_call(fake, &fake->txn, serving->fd, body);
        } else if (slice_is(path, "/v3/kv/compaction")) {
            more = serve_call(fake, &fake->compaction, serving->fd, body);
        } else if (strstr(body, "count_only") != NULL) {
            more = serve_call(fake, &fake->probe, serving->fd, body);
        } else {
            more = serve_call(fake, &fake->range, serving->fd, body);
        }
    }
    buf_done(&text);
    shutdown(serving->fd, SHUT_RDWR);
    close(serving->fd);
    mem_free(serving);
    pthread_mutex_lock(&fake->lock);
    fake->closed++;
    pthread_cond_broadcast(&fake->changed);
    pthread_mutex_unlock(&fake->lock);
    return NULL;
}

static void *accept_all(void *argument)
{
    Fake *fake = argument;
    for (;;) {
        int fd = accept4(fake->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) {
            return NULL;
        }
        struct timeval limit = {.tv_sec = 20}; /* of what hangs */
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        Serving *serving = mem_alloc(sizeof(Serving));
        *serving = (Serving){fake, fd};
        pthread_mutex_lock(&fake->lock);
        fake->connections++;
        assert_true(fake->threads_len < FAKE_THREADS_MAX);
        pthread_create(&fake->threads[fake->threads_len++], NULL, serve, serving);
        pthread_mutex_unlock(&fake->lock);
    }
}

Fake *fake_new(int number)
{
    Fake *fake = mem_alloc(sizeof(Fake));
    int pid = (int)getpid();
    char address[32];
    snprintf(address, sizeof(address), "127.94.%d.%d", pid / 250 % 250, 1 + pid % 250);
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)(23790 + number))};
    assert_int_equal(inet_pton(AF_INET, address, &name.sin_addr), 1);
    fake->number = number;
    fake->endpoint = mem_printf("http://%s:%d", address, 23790 + number);
    fake->cluster_id = "1";
    atomic_init(&fake->revision, 10);
    fake->counter = &fake->revision;
    fake->watch_fd = -1;
    pthread_mutex_init(&fake->lock, NULL);
    pthread_cond_init(&fake->changed, NULL);
    fake->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(fake->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    assert_int_equal(bind(fake->listen_fd, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(listen(fake->listen_fd, 64), 0);
    assert_int_equal(pthread_create(&fake->acceptor, NULL, accept_all, fake), 0);
    return fake;
}

void fake_free(Fake *fake)
{
    if (fake == NULL) {
        return;
    }
    shutdown(fake->listen_fd, SHUT_RDWR);
    pthread_join(fake->acceptor, NULL);
    close(fake->listen_fd);
    for (size_t i = 0; i < fake->threads_len; i++) {
        pthread_join(fake->threads[i], NULL); /* the store has hung up before */
    }
    mem_free(fake->probe.last_body);
    mem_free(fake->range.last_body);
    mem_free(fake->txn.last_body);
    mem_free(fake->compaction.last_body);
    mem_free(fake->endpoint);
    pthread_cond_destroy(&fake->changed);
    pthread_mutex_destroy(&fake->lock);
    mem_free(fake);
}

/* ---- what the test says -----------------------------------------------------------------------
 */

void fake_push(Fake *fake, FakeQueue *queue, FakeStep step)
{
    pthread_mutex_lock(&fake->lock);
    assert_true(queue->len < FAKE_STEPS_MAX);
    queue->steps[queue->len++] = step;
    pthread_mutex_unlock(&fake->lock);
}

int fake_seen(Fake *fake, FakeQueue *queue)
{
    pthread_mutex_lock(&fake->lock);
    int seen = queue->seen;
    pthread_mutex_unlock(&fake->lock);
    return seen;
}

int64_t fake_watch_wait(Fake *fake, int watches)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&fake->lock);
    int late = 0;
    while (late == 0 && (fake->watches < watches || fake->watch_fd < 0)) {
        late = pthread_cond_timedwait(&fake->changed, &fake->lock, &until);
    }
    int64_t start = fake->watch_start;
    pthread_mutex_unlock(&fake->lock);
    assert_int_equal(late, 0);
    return start;
}

void fake_say(Fake *fake, const char *format, ...)
{
    char text[4096];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    assert_true(len > 0 && (size_t)len < sizeof(text));
    pthread_mutex_lock(&fake->lock);
    send_line(fake->watch_fd, text);
    pthread_mutex_unlock(&fake->lock);
}

void fake_deafen(Fake *fake)
{
    pthread_mutex_lock(&fake->lock);
    while (fake->closed == 0) {
        pthread_cond_wait(&fake->changed, &fake->lock);
    }
    pthread_mutex_unlock(&fake->lock);
    shutdown(fake->listen_fd, SHUT_RDWR);
}

void fake_watch_cut(Fake *fake)
{
    pthread_mutex_lock(&fake->lock);
    if (fake->watch_fd >= 0) {
        shutdown(fake->watch_fd, SHUT_RDWR);
        fake->watch_fd = -1;
    }
    pthread_mutex_unlock(&fake->lock);
}
