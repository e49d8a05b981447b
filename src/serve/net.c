/*
 * The network of a tier: a /16 of 127/8, held by abstract sockets, which end with the processes
 * that have them and are seen across chroots.
 *
 *   @weir-net-N           the lock: one serve's, kept by its supervisor while serve restarts
 *   @weir-net-N/TIER/ID   a mark: serve's, its guards' and its endpoints', who all have it as their
 *                         standard input. They may outlive serve and supervisor, with their
 *                         addresses. Nobody takes a net that has the mark of another tier.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "serve/tier_priv.h"

#define NETS_MAX         254
#define SOCKETS_MAX      ((size_t)64 << 20) /* bytes of /proc/net/unix */
#define LAST_WAIT_MS     3000               /* for another tier that has just looked at our net */
#define LAST_PAUSE_MS    50
#define NET_NAME_SIZE    96
#define MARK_ID_LENGTH   12
#define CONNECT_LIMIT_US 100000

/* ---- abstract sockets --------------------------------------------------------------------------
 */

static bool socket_name_set(int fd, const char *name)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t len = strlen(name);
    ASSERT(len < sizeof(addr.sun_path));
    memcpy(addr.sun_path + 1, name, len);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len);
    return bind(fd, (const struct sockaddr *)&addr, size) == 0;
}

/* The number of the net whose lock the socket is; 0 where it is none. */
static unsigned lock_number(int fd)
{
    struct sockaddr_un addr = {0};
    socklen_t size = sizeof(addr);
    if (fd < 0 || getsockname(fd, (struct sockaddr *)&addr, &size) != 0 ||
        size <= offsetof(struct sockaddr_un, sun_path) + 1) {
        return 0;
    }
    Slice name =
        slice_from(addr.sun_path + 1, (size_t)size - offsetof(struct sockaddr_un, sun_path) - 1);
    uint64_t number;
    return slice_starts(name, "weir-net-") &&
                   str_to_u64(slice_skip(name, strlen("weir-net-")), &number) && number <= NETS_MAX
               ? (unsigned)number
               : 0;
}

static bool lock_take(int fd, unsigned number)
{
    char name[NET_NAME_SIZE];
    snprintf(name, sizeof(name), "weir-net-%u", number);
    return socket_name_set(fd, name);
}

/* ---- marks -------------------------------------------------------------------------------------
 */

typedef struct Marks {
    bool ours;
    bool foreign;
} Marks;

/* Looks through /proc/net/unix, whose lines end in the name of the socket. */
static bool marks_find(const Tier *tier, unsigned number, Marks *ret_marks, Err *err)
{
    CLEANUP(mem_free_ptr) char *prefix = mem_printf("@weir-net-%u/", number);
    CLEANUP(mem_free_ptr) char *own = mem_printf("%s%s/", prefix, tier->id);
    Buf text;
    buf_init(&text, SOCKETS_MAX);
    bool ok = file_read("/proc/net/unix", &text, err);
    Marks marks = {0};
    for (Slice rest = buf_slice(&text); ok && rest.len > 0;) {
        Slice line = slice_cut(&rest, '\n');
        while (line.len > 0 && line.data[0] != '@') {
            (void)slice_cut(&line, ' ');
        }
        bool is_own = slice_starts(line, own);
        marks.ours = marks.ours || is_own;
        marks.foreign = marks.foreign || (!is_own && slice_starts(line, prefix));
    }
    buf_done(&text);
    *ret_marks = marks;
    return ok;
}

static bool mark_make(Tier *tier, Err *err)
{
    char id[MARK_ID_LENGTH + 1];
    char name[NET_NAME_SIZE];
    random_id(id, MARK_ID_LENGTH);
    snprintf(name, sizeof(name), "weir-net-%u/%s/%s", tier->net_number, tier->id, id);
    tier->mark_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return (tier->mark_fd >= 0 && socket_name_set(tier->mark_fd, name)) ||
           err_set_errno(err, errno, "cannot mark the network 127.%u", tier->net_number);
}

/* ---- choosing ----------------------------------------------------------------------------------
 */

static char *net_path(const Tier *tier)
{
    return mem_printf("%s/net", tier->data_dir);
}

/* The net of the last time; 0: none. */
static unsigned net_last(const Tier *tier)
{
    CLEANUP(mem_free_ptr) char *path = net_path(tier);
    Buf text;
    buf_init(&text, 16);
    uint64_t number = 0;
    bool ok = file_read(path, &text, NULL) && str_to_u64(slice_trim(buf_slice(&text)), &number);
    buf_done(&text);
    return ok && number <= NETS_MAX ? (unsigned)number : 0;
}

/* *ret_taken says whether it is ours now. A socket cannot be unbound: so marks are looked for
 * before the lock is taken. Whoever had it in between may have left one. */
static bool net_try(Tier *tier, unsigned number, bool *ret_taken, Marks *ret_marks, Err *err)
{
    TRY(marks_find(tier, number, ret_marks, err));
    *ret_taken = !ret_marks->foreign && lock_take(tier->net_fd, number);
    tier->net_number = number;
    Marks since = {0};
    TRY(!*ret_taken || marks_find(tier, number, &since, err));
    return !since.foreign ||
           err_set(err, ERR_UNAVAILABLE, "the network 127.%u was taken by another tier: try again",
                   number);
}

/* Where engines or endpoints of ours are left on it, no other net will do: they cannot move. */
static bool last_take(Tier *tier, unsigned last, bool *ret_taken, Err *err)
{
    const struct timespec pause = {.tv_nsec = (long)LAST_PAUSE_MS * 1000000};
    int64_t end_ms = time_mono_ms() + LAST_WAIT_MS;
    for (;;) {
        Marks marks;
        TRY(net_try(tier, last, ret_taken, &marks, err));
        if (*ret_taken || !marks.ours) {
            return true;
        }
        if (time_mono_ms() >= end_ms) {
            return err_set(err, ERR_UNAVAILABLE,
                           "engines of this tier run on 127.%u.0.0/16, and another tier holds it",
                           last);
        }
        nanosleep(&pause, NULL);
    }
}

/* Whether nobody listens where the API would. Asked by connecting: what tries to listen there is in
 * the way of another tier that does. */
static bool net_is_free(unsigned number)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons(TIER_API_PORT),
                               .sin_addr.s_addr = htonl(127U << 24 | number << 16 | 1)};
    const struct timeval limit = {.tv_usec = CONNECT_LIMIT_US};
    CLEANUP(fd_close) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0 &&
           connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) != 0 && errno == ECONNREFUSED;
}

/* The first that is free. Where somebody has the port everywhere, the first at all: then listening
 * says what is wrong. */
static bool net_choose_new(Tier *tier, bool *ret_taken, Err *err)
{
    for (int any = 0; any < 2 && !*ret_taken; any++) {
        for (unsigned number = 1; number <= NETS_MAX && !*ret_taken; number++) {
            Marks marks;
            TRY((any == 0 && !net_is_free(number)) ||
                net_try(tier, number, ret_taken, &marks, err));
        }
    }
    return true;
}

static bool net_choose(Tier *tier, Err *err)
{
    unsigned last = net_last(tier);
    bool taken = false;
    if (last > 0) {
        TRY(last_take(tier, last, &taken, err));
    }
    if (last > 0 && !taken && tier_etcd_is_own(tier)) {
        return err_set(err, ERR_UNAVAILABLE,
                       "the other hosts of the tier know this one by the network 127.%u, which "
                       "another tier holds now: stop that one first",
                       last);
    }
    TRY(taken || net_choose_new(tier, &taken, err));
    return taken ||
           err_set(err, ERR_LIMIT, "all %d networks of 127/8 are held by other tiers", NETS_MAX);
}

bool tier_net_open(Tier *tier, int lock_fd, Err *err)
{
    if (tier->net[0] != '\0') { /* the operator's, who gives it to one host alone */
        tier->net_fd = lock_fd;
        return true;
    }
    tier->net_fd = lock_fd >= 0 ? lock_fd : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (tier->net_fd < 0) {
        return err_set_errno(err, errno, "cannot make a socket");
    }
    tier->net_number = lock_number(tier->net_fd);
    if (tier->net_number == 0) {
        TRY(net_choose(tier, err));
    }
    TRY(mark_make(tier, err));
    unsigned last = net_last(tier);
    if (last > 0 && last != tier->net_number) {
        log_warn("serve", "another tier has the network 127.%u: every endpoint moves to 127.%u",
                 last, tier->net_number);
    }
    tier->first = tier->net_number == 1;
    snprintf(tier->net, sizeof(tier->net), "127.%u", tier->net_number);
    char text[16];
    snprintf(text, sizeof(text), "%u\n", tier->net_number);
    CLEANUP(mem_free_ptr) char *path = net_path(tier);
    return tier->net_number == last || file_write(path, slice_of(text), 0644, err);
}
