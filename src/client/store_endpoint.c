/* Whether somebody serves the tier's store at an address: nothing is said there. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/client.h"

#define ANSWER_MS 2000

/* Of "https://10.101.0.1:2379"; a name is none that Weir would write there. */
static bool address_of(const char *endpoint, struct sockaddr_in *ret_address)
{
    char host[INET_ADDRSTRLEN];
    int port = 0;
    *ret_address = (struct sockaddr_in){.sin_family = AF_INET};
    if (sscanf(endpoint, "https://%15[0-9.]:%5d", host, &port) != 2) {
        return false;
    }
    ret_address->sin_port = htons((uint16_t)port);
    return inet_pton(AF_INET, host, &ret_address->sin_addr) == 1;
}

bool store_endpoint_answers(const char *endpoint)
{
    struct sockaddr_in address;
    int error = 0;
    socklen_t len = sizeof(error);
    CLEANUP(fd_close) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || !address_of(endpoint, &address)) {
        return false;
    }
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
        return true;
    }
    return errno == EINPROGRESS && poll(&ready, 1, ANSWER_MS) == 1 &&
           getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0;
}
