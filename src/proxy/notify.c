/* What a service manager is told (sd_notify(3)): a datagram of lines to NOTIFY_SOCKET. Nobody need
 * listen. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/proxy_priv.h"

void proxy_notify(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    NetAddr addr;
    if (path == NULL || !net_addr_parse(path, 0, &addr, NULL)) {
        return;
    }
    CLEANUP(fd_close) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || sendto(fd, text, strlen(text), MSG_NOSIGNAL,
                         (const struct sockaddr *)&addr.storage, addr.len) < 0) {
        log_warn("proxy", "the service manager at %s could not be told: %s", path, text);
    }
}
