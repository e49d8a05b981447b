/* Packets, doors and the seat: the system calls of a succession. Nothing here waits but
 * packet_await, nothing is decided. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plane/succession_priv.h"

#define DOOR_BACKLOG 64

/* ---- packets -----------------------------------------------------------------------------------
 */

bool packet_send(int fd, Slice text, const int *fds, size_t fd_count, Err *err)
{
    ASSERT(fd_count <= SUCCESSION_SOCKETS);
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(SUCCESSION_SOCKETS * sizeof(int))] = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)text.data, .iov_len = text.len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd_count > 0) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(head), fds, fd_count * sizeof(int));
    }
    ssize_t sent;
    do {
        sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno == EAGAIN) {
        return err_set(err, ERR_UNAVAILABLE, "the other process does not read");
    }
    return sent >= 0 || err_set_errno(err, errno, "sending to another process");
}

static void take_fds(struct msghdr *message, int *fds, size_t *len)
{
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head != NULL;
         head = CMSG_NXTHDR(message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(fd));
            if (*len < SUCCESSION_SOCKETS) {
                fds[(*len)++] = fd;
            } else {
                fd_close(&fd);
            }
        }
    }
}

PacketResult packet_receive(int fd, json_t **ret_message, int *fds, size_t *ret_len)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(SUCCESSION_SOCKETS * sizeof(int))];
    CLEANUP(mem_free_ptr) char *text = mem_alloc(PACKET_MAX);
    struct iovec part = {.iov_base = text, .iov_len = PACKET_MAX};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    ssize_t got;
    do {
        got = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN) {
        return PACKET_NOTHING;
    }
    size_t len = 0;
    if (got > 0) {
        take_fds(&message, fds, &len);
    }
    bool whole = got > 0 && (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
    json_t *json = whole ? json_loadb(text, (size_t)got, 0, NULL) : NULL;
    if (!json_is_object(json)) {
        json_decref(json);
        packet_fds_close(fds, len);
        return PACKET_END;
    }
    *ret_message = json;
    *ret_len = len;
    return PACKET_TAKEN;
}

bool packet_await(int fd, int64_t deadline_ms, Err *err)
{
    for (;;) {
        int64_t left = deadline_ms - time_mono_ms();
        struct pollfd entry = {.fd = fd, .events = POLLIN};
        int ready = left > 0 ? poll(&entry, 1, (int)left) : 0;
        if (ready > 0) {
            return true;
        }
        if (ready == 0) {
            return err_set(err, ERR_TIMEOUT, "the other process does not answer");
        }
        if (errno != EINTR) {
            return err_set_errno(err, errno, "waiting for another process");
        }
    }
}

void packet_fds_close(int *fds, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        fd_close(&fds[i]);
    }
}

/* ---- doors -------------------------------------------------------------------------------------
 */

static bool door_socket(const char *name, NetAddr *ret_addr, int *ret_fd, Err *err)
{
    TRY(net_addr_parse(name, 0, ret_addr, err));
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return err_set_errno(err, errno, "making a socket");
    }
    *ret_fd = fd;
    return true;
}

bool door_listen(const char *name, int *ret_fd, Err *err)
{
    NetAddr addr;
    CLEANUP(fd_close) int fd = -1;
    TRY(door_socket(name, &addr, &fd, err));
    /* The mode of its file is that of the socket, and nobody else need come in. */
    if (fchmod(fd, 0600) != 0 || bind(fd, (const struct sockaddr *)&addr.storage, addr.len) != 0 ||
        listen(fd, DOOR_BACKLOG) != 0) {
        return err_set_errno(err, errno, "listening on %s", name);
    }
    *ret_fd = fd;
    fd = -1;
    return true;
}

/* Of the end that connected: who connected; of the other: who called listen. Handed on, it is still
 * of the same account. */
bool door_peer_is_ours(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

bool door_connect(const char *name, int *ret_fd, Err *err)
{
    NetAddr addr;
    CLEANUP(fd_close) int fd = -1;
    TRY(door_socket(name, &addr, &fd, err));
    if (connect(fd, (const struct sockaddr *)&addr.storage, addr.len) != 0) {
        return errno == ECONNREFUSED || errno == ENOENT
                   ? err_set(err, ERR_NOT_FOUND, "nobody serves at %s", name)
                   : err_set_errno(err, errno, "connecting to %s", name);
    }
    if (!door_peer_is_ours(fd)) {
        return err_set(err, ERR_DENIED, "what serves at %s runs as another account", name);
    }
    *ret_fd = fd;
    fd = -1;
    return true;
}

/* ---- the seat ----------------------------------------------------------------------------------
 */

bool seat_open(const char *path, int *ret_fd, Err *err)
{
    int fd = path != NULL ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644)
                          : memfd_create("weir-seat", MFD_CLOEXEC);
    if (fd < 0) {
        return err_set_errno(err, errno, "opening %s", path != NULL ? path : "an anonymous file");
    }
    *ret_fd = fd;
    return true;
}

static bool byte_lock(int fd, short type, off_t byte)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return fcntl(fd, F_SETLK, &lock) == 0;
}

bool seat_take(int fd, Err *err)
{
    if (byte_lock(fd, F_WRLCK, 0)) {
        return true;
    }
    return errno == EAGAIN || errno == EACCES ? err_set(err, ERR_EXISTS, "another process serves")
                                              : err_set_errno(err, errno, "locking");
}

void seat_give(int fd)
{
    (void)byte_lock(fd, F_UNLCK, 0); /* giving up cannot fail */
}

bool seat_mark(int fd, uint32_t generation, Err *err)
{
    return byte_lock(fd, F_WRLCK, (off_t)generation) || err_set_errno(err, errno, "locking");
}

/* Who else has locked something of it; the first byte of that which is in it. -1: nobody. */
static off_t locked_in(int fd, off_t start, off_t len)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    if (fcntl(fd, F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) {
        return -1;
    }
    return lock.l_start > start ? lock.l_start : start;
}

bool seat_is_marked(int fd, uint32_t generation)
{
    return locked_in(fd, (off_t)generation, 1) >= 0;
}

uint32_t seat_next_marked(int fd, uint32_t after)
{
    off_t found = -1;
    for (off_t end = GENERATION_MAX + 1, start = (off_t)after + 1; start < end;) {
        off_t at = locked_in(fd, start, end - start); /* whichever it finds first */
        if (at < 0) {
            break;
        }
        found = at;
        end = at;
    }
    return found < 0 ? 0 : (uint32_t)found;
}

/* ---- texts -------------------------------------------------------------------------------------
 */

bool text_file_new(Slice text, int *ret_fd, Err *err)
{
    CLEANUP(fd_close) int fd = memfd_create("weir-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        return err_set_errno(err, errno, "making an anonymous file");
    }
    TRY(fd_write_all(fd, text.data, text.len, err));
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
        return err_set_errno(err, errno, "sealing an anonymous file");
    }
    *ret_fd = fd;
    fd = -1;
    return true;
}

/* Others read the same file: nobody moves where it stands. */
bool text_file_read(int fd, Buf *buf)
{
    for (;;) {
        char *room = buf_reserve(buf, 64 << 10);
        ssize_t got = room != NULL ? pread(fd, room, 64 << 10, (off_t)buf->len) : -1;
        if (got <= 0) {
            return got == 0;
        }
        buf_commit(buf, (size_t)got);
    }
}
