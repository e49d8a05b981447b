/*
 * Inside the succession: packets (one message of JSON, with descriptors) over SOCK_SEQPACKET, and
 * the seat, which only one process has.
 */
#ifndef WEIR_PLANE_SUCCESSION_PRIV_H
#define WEIR_PLANE_SUCCESSION_PRIV_H

#include "plane/plane.h"

#define PACKET_MAX     ((size_t)128 << 10)
#define GENERATION_MAX 1023 /* of ten bits in a cancel key */

typedef enum PacketResult {
    PACKET_TAKEN,
    PACKET_NOTHING, /* not yet */
    PACKET_END,     /* the other end is gone, or speaks something else */
} PacketResult;

/* Without waiting: ERR_UNAVAILABLE: not now; anything else: never. */
NODISCARD bool packet_send(int fd, Slice text, const int *fds, size_t fd_count, Err *err);
/* Descriptors are the caller's then. *ret_len is how many fit in `fds` of SUCCESSION_SOCKETS. */
PacketResult packet_receive(int fd, json_t **ret_message, int *fds, size_t *ret_len);
/* Waits for it; ERR_TIMEOUT. */
NODISCARD bool packet_await(int fd, int64_t deadline_ms, Err *err);
void packet_fds_close(int *fds, size_t len);

/* A socket at this door, bound and listening. The name of a path must be free. */
NODISCARD bool door_listen(const char *name, int *ret_fd, Err *err);
/* ERR_NOT_FOUND: nobody is there. ERR_DENIED: it is another account's. */
NODISCARD bool door_connect(const char *name, int *ret_fd, Err *err);
/* Whether who is at the other end of a connection runs as we do. */
bool door_peer_is_ours(int fd);

NODISCARD bool seat_open(const char *path, int *ret_fd, Err *err); /* NULL: an anonymous file */
NODISCARD bool seat_take(int fd, Err *err); /* ERR_EXISTS: another process has it */
void seat_give(int fd);
NODISCARD bool seat_mark(int fd, uint32_t generation, Err *err); /* for life */
bool seat_is_marked(int fd, uint32_t generation); /* by another process, which lives */
/* The lowest generation above `after` that is; 0: there is none. */
uint32_t seat_next_marked(int fd, uint32_t after);

/* An anonymous file with this text in it, which cannot be changed any more. */
NODISCARD bool text_file_new(Slice text, int *ret_fd, Err *err);
NODISCARD bool text_file_read(int fd, Buf *buf);

#endif
