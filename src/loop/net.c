/* Socket addresses in text form, and listening sockets. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "loop/loop_priv.h"

#define KEEPALIVE_PROBES       3
#define LISTEN_BACKLOG_DEFAULT 1024

/* ---- addresses ------------------------------------------------------------------------------- */

static bool unix_addr_make(const char *path, NetAddr *ret_addr, Err *err)
{
    NetAddr addr = {0};
    struct sockaddr_un *sun = (struct sockaddr_un *)&addr.storage;
    size_t len = strlen(path);
    bool abstract = path[0] == '@';
    if (len >= sizeof(sun->sun_path)) {
        return err_set(err, ERR_INVALID, "the socket path \"%s\" is longer than %zu bytes", path,
                       sizeof(sun->sun_path) - 1);
    }
    sun->sun_family = AF_UNIX;
    memcpy(sun->sun_path, path, len);
    if (abstract) {
        sun->sun_path[0] = '\0'; /* and no NUL behind: the length ends an abstract name */
    }
    addr.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (abstract ? 0 : 1));
    *ret_addr = addr;
    return true;
}

static bool inet_addr_make(const char *host, uint16_t port, NetAddr *ret_addr)
{
    NetAddr addr = {0};
    struct sockaddr_in *in4 = (struct sockaddr_in *)&addr.storage;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&addr.storage;
    if (inet_pton(AF_INET, host, &in4->sin_addr) == 1) {
        in4->sin_family = AF_INET;
        in4->sin_port = htons(port);
        addr.len = sizeof(*in4);
    } else if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        addr.len = sizeof(*in6);
    } else {
        return false;
    }
    *ret_addr = addr;
    return true;
}

bool net_addr_parse(const char *host, uint16_t port, NetAddr *ret_addr, Err *err)
{
    if (host[0] == '@' || strchr(host, '/') != NULL) {
        return unix_addr_make(host, ret_addr, err);
    }
    if (!inet_addr_make(host, port, ret_addr)) {
        return err_set(err, ERR_INVALID, "\"%s\" is not an IP address", host);
    }
    return true;
}

bool net_addr_resolve(const char *host, uint16_t port, NetAddr *ret_addr, Err *err)
{
    if (net_addr_parse(host, port, ret_addr, err)) {
        return true;
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char service[8];
    snprintf(service, sizeof(service), "%u", port);
    int status = getaddrinfo(host, service, &hints, &found);
    if (status != 0) {
        return err_set(err, ERR_UNAVAILABLE, "resolving \"%s\": %s", host, gai_strerror(status));
    }
    NetAddr addr = {.len = found->ai_addrlen};
    memcpy(&addr.storage, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    *ret_addr = addr;
    return true;
}

void net_addr_host(const NetAddr *addr, char out[static NET_ADDR_TEXT_SIZE])
{
    out[0] = '\0';
    if (addr->storage.ss_family == AF_INET) {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)&addr->storage;
        inet_ntop(AF_INET, &in4->sin_addr, out, NET_ADDR_TEXT_SIZE);
    } else if (addr->storage.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&addr->storage;
        inet_ntop(AF_INET6, &in6->sin6_addr, out, NET_ADDR_TEXT_SIZE);
    }
}

bool net_addr_same(const NetAddr *a, const NetAddr *b)
{
    return a->len == b->len && memcmp(&a->storage, &b->storage, a->len) == 0;
}

uint16_t net_addr_port(const NetAddr *addr)
{
    if (addr->storage.ss_family == AF_INET) {
        return ntohs(((const struct sockaddr_in *)&addr->storage)->sin_port);
    }
    if (addr->storage.ss_family == AF_INET6) {
        return ntohs(((const struct sockaddr_in6 *)&addr->storage)->sin6_port);
    }
    return 0;
}

bool net_cidr_parse(Slice text, NetCidr *ret_cidr, Err *err)
{
    char address[INET6_ADDRSTRLEN];
    uint64_t bits = 0;
    Slice rest = text;
    Slice head = slice_cut(&rest, '/');
    NetCidr cidr = {.family = memchr(text.data, ':', text.len) != NULL ? AF_INET6 : AF_INET};
    snprintf(address, sizeof(address), "%.*s", SLICE_FMT(head));
    if (head.len == 0 || head.len >= sizeof(address) || !str_to_u64(rest, &bits) ||
        bits > (cidr.family == AF_INET6 ? 128 : 32) ||
        inet_pton(cidr.family, address, cidr.bytes) != 1) {
        return err_set(err, ERR_INVALID, "'%.*s' is not a network like 10.0.0.0/8",
                       SLICE_FMT(text));
    }
    cidr.bits = (unsigned)bits;
    *ret_cidr = cidr;
    return true;
}

/* The bytes that count, and which family's they are. */
static sa_family_t addr_bytes(const NetAddr *addr, const uint8_t **ret_bytes)
{
    static const uint8_t mapped[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (addr->storage.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&addr->storage;
        *ret_bytes = (const uint8_t *)&v4->sin_addr;
        return AF_INET;
    }
    if (addr->storage.ss_family != AF_INET6) {
        return AF_UNSPEC;
    }
    *ret_bytes = ((const struct sockaddr_in6 *)&addr->storage)->sin6_addr.s6_addr;
    if (memcmp(*ret_bytes, mapped, sizeof(mapped)) == 0) {
        *ret_bytes += sizeof(mapped);
        return AF_INET;
    }
    return AF_INET6;
}

bool net_cidr_has(const NetCidr *cidr, const NetAddr *addr)
{
    const uint8_t *bytes = NULL;
    if (addr_bytes(addr, &bytes) != cidr->family) {
        return false;
    }
    unsigned whole = cidr->bits / 8;
    unsigned left = cidr->bits % 8;
    uint8_t mask = (uint8_t)(0xff00u >> left);
    return memcmp(bytes, cidr->bytes, whole) == 0 &&
           (left == 0 || ((bytes[whole] ^ cidr->bytes[whole]) & mask) == 0);
}

static void unix_addr_format(const NetAddr *addr, char out[static NET_ADDR_TEXT_SIZE])
{
    const struct sockaddr_un *sun = (const struct sockaddr_un *)&addr->storage;
    size_t head = offsetof(struct sockaddr_un, sun_path);
    size_t len = addr->len > head ? addr->len - head : 0;
    if (len == 0) {
        snprintf(out, NET_ADDR_TEXT_SIZE, "unix");
    } else if (sun->sun_path[0] == '\0') {
        snprintf(out, NET_ADDR_TEXT_SIZE, "@%.*s", (int)len - 1, sun->sun_path + 1);
    } else {
        snprintf(out, NET_ADDR_TEXT_SIZE, "%.*s", (int)len, sun->sun_path);
    }
}

void net_addr_format(const NetAddr *addr, char out[static NET_ADDR_TEXT_SIZE])
{
    char host[NET_ADDR_TEXT_SIZE];
    net_addr_host(addr, host);
    if (addr->storage.ss_family == AF_INET) {
        snprintf(out, NET_ADDR_TEXT_SIZE, "%.100s:%u", host, net_addr_port(addr));
    } else if (addr->storage.ss_family == AF_INET6) {
        snprintf(out, NET_ADDR_TEXT_SIZE, "[%.100s]:%u", host, net_addr_port(addr));
    } else {
        unix_addr_format(addr, out);
    }
}

bool net_local_addr(int fd, NetAddr *ret_addr, Err *err)
{
    NetAddr addr = {.len = sizeof(addr.storage)};
    if (getsockname(fd, (struct sockaddr *)&addr.storage, &addr.len) != 0) {
        return err_set_errno(err, errno, "asking for a socket's address");
    }
    *ret_addr = addr;
    return true;
}

/* ---- options -------------------------------------------------------------------------------- */

/* Probes begin after a quarter to half of the time, and end after 7/8 of it at most. Connections
 * that were made at once are probed apart: the system drops what is more than it queues
 * (net.core.netdev_max_backlog), each time the same ones, and then takes their peers for dead. */
static int keepalive_idle_s(int fd, uint32_t silence_s)
{
    int quarter = (int)silence_s / 4;
    return quarter + fd % (quarter + 1);
}

static int keepalive_interval_s(int fd, uint32_t silence_s)
{
    int eighth = (int)silence_s / 8;
    int interval = eighth - fd % (eighth / 3 + 1);
    return interval > 0 ? interval : 1;
}

/* A connection has those of the socket that accepted it, so that mostly one question is all. A
 * socket that does not take them works without them. */
bool net_tune(int fd, uint32_t silence_s)
{
    int on = 1;
    int idle_s = keepalive_idle_s(fd, silence_s);
    int interval_s = keepalive_interval_s(fd, silence_s);
    int probes = KEEPALIVE_PROBES;
    int tuned = 0;
    socklen_t len = sizeof(tuned);
    if (getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &tuned, &len) != 0) {
        return false;
    }
    if (tuned != 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
        if (silence_s != STREAM_SILENCE_S_DEFAULT) {
            setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
        }
        return true;
    }
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* last: it says that all are set */
    return true;
}

/* ---- listening ------------------------------------------------------------------------------- */

/* A socket's file outlives the process that made it. Removes it if nobody answers any more. */
static bool unix_path_clear(const NetAddr *addr, Err *err)
{
    const struct sockaddr_un *sun = (const struct sockaddr_un *)&addr->storage;
    struct stat info;
    if (sun->sun_path[0] == '\0' || lstat(sun->sun_path, &info) != 0) {
        return true;
    }
    if (!S_ISSOCK(info.st_mode)) {
        return err_set(err, ERR_EXISTS, "%s is in the way, and is not a socket", sun->sun_path);
    }
    CLEANUP(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return err_set_errno(err, errno, "making a socket");
    }
    if (connect(fd, (const struct sockaddr *)&addr->storage, addr->len) == 0 || errno == EAGAIN) {
        return err_set(err, ERR_EXISTS, "another process listens on %s", sun->sun_path);
    }
    if (errno != ECONNREFUSED) {
        return err_set_errno(err, errno, "looking who listens on %s", sun->sun_path);
    }
    if (unlink(sun->sun_path) != 0 && errno != ENOENT) {
        return err_set_errno(err, errno, "removing %s", sun->sun_path);
    }
    return true;
}

static bool listen_socket_make(const NetAddr *addr, const NetListenOptions *options, int *ret_fd,
                               Err *err)
{
    CLEANUP(fd_close)
    int fd = socket(addr->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return err_set_errno(err, errno, "making a socket");
    }
    int on = 1;
    bool inet = addr->storage.ss_family != AF_UNIX;
    if (inet && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0) {
        return err_set_errno(err, errno, "setting SO_REUSEADDR");
    }
    if (inet && options->reuse_port &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) {
        return err_set_errno(err, errno, "setting SO_REUSEPORT");
    }
    /* The mode of a socket's file is that of the socket at bind, less the umask. */
    if (!inet && fchmod(fd, options->mode != 0 ? options->mode : 0600) != 0) {
        return err_set_errno(err, errno, "setting a socket's mode");
    }
    if (bind(fd, (const struct sockaddr *)&addr->storage, addr->len) != 0) {
        return err_set_errno(err, errno, "binding");
    }
    if (inet) {
        (void)net_tune(fd, STREAM_SILENCE_S_DEFAULT);
    }
    if (inet && options->speak_first) {
        int wait_s = 1; /* spares a turn per connection; without it they only cost more */
        setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &wait_s, sizeof(wait_s));
    }
    *ret_fd = fd;
    fd = -1;
    return true;
}

bool net_listen(const NetAddr *addr, const NetListenOptions *options, int *ret_fd, Err *err)
{
    char name[NET_ADDR_TEXT_SIZE];
    net_addr_format(addr, name);
    bool file = addr->storage.ss_family == AF_UNIX && name[0] != '@';
    if (file && !unix_path_clear(addr, err)) {
        return err_wrap(err, "listening on %s", name);
    }
    CLEANUP(fd_close) int fd = -1;
    if (!listen_socket_make(addr, options, &fd, err)) {
        return err_wrap(err, "listening on %s", name);
    }
    if (file && options->mode != 0 && chmod(name, options->mode) != 0) {
        return err_set_errno(err, errno, "listening on %s: setting its mode", name);
    }
    if (listen(fd, options->backlog > 0 ? options->backlog : LISTEN_BACKLOG_DEFAULT) != 0) {
        return err_set_errno(err, errno, "listening on %s", name);
    }
    *ret_fd = fd;
    fd = -1;
    return true;
}
