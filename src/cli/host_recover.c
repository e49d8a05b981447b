/*
 * `weir host recover`: the hosts that vote in the tier's store are lost for good, and this one has
 * a copy of it (docs/hosts.md). It says so in DATA/host.json, and has serve start again, which does
 * it (src/serve/recover.c); engines and endpoints go on meanwhile.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/up_priv.h"

#define ANSWER_MS 2000

/* ---- whether it is so --------------------------------------------------------------------------
 */

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

/* Somebody listens there. */
static bool answers(const char *endpoint)
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

static bool check_others(const Cli *cli, const HostFile *file, Err *err)
{
    size_t others = 0;
    size_t i;
    json_t *endpoint;
    json_array_foreach (member_array(file->etcd, "endpoints"), i, endpoint) {
        const char *text = json_string_value(endpoint);
        if (up_endpoint_is_here(cli, text)) {
            continue;
        }
        others++;
        if (answers(text)) {
            return err_set(err, ERR_CONFLICT,
                           "%s, where the tier's store is, answers: it is not lost, and is not "
                           "to be replaced",
                           text);
        }
    }
    return others > 0 || err_set(err, ERR_CONFLICT,
                                 "this host alone votes in the tier's store, and needs no other "
                                 "one: `weir up`");
}

static bool refuse_alone(Err *err)
{
    return err_set(err, ERR_CONFLICT,
                   "the tier stands on one host: there is no other one that could be lost");
}

static bool check(const Cli *cli, const HostFile *file, Err *err)
{
    CLEANUP(mem_free_ptr) char *data = mem_printf("%s/" HOST_ETCD_DATA, cli->data_dir);
    if (file->etcd == NULL) {
        return refuse_alone(err);
    }
    if (!member_bool(file->etcd, "own", false)) {
        return err_set(err, ERR_CONFLICT,
                       "the tier's store is not in an etcd of Weir's: there is nothing that this "
                       "host could go on from");
    }
    if (member_str(file->etcd, HOST_ETCD_RECOVER, NULL) != NULL) {
        return true; /* one that was cut off */
    }
    if (!file_exists(data)) {
        return err_set(err, ERR_CONFLICT,
                       "this host has no copy of the tier's store: say it on one of which `weir "
                       "host list` said that it votes or learns");
    }
    if (access(ETCD_RESTORE_PROGRAM, X_OK) != 0) {
        return err_set(
            err, ERR_NOT_FOUND,
            "etcdctl, which makes a store of the copy, is not installed: apt-get install "
            "etcd-client");
    }
    return check_others(cli, file, err);
}

/* ---- doing it ----------------------------------------------------------------------------------
 */

static bool wish(const Cli *cli, HostFile *file, Err *err)
{
    CLEANUP(mem_free_ptr) char *kept = mem_printf("data.left-%lld", (long long)time_wall_ms());
    if (member_str(file->etcd, HOST_ETCD_RECOVER, NULL) == NULL) {
        json_object_set_new(file->etcd, HOST_ETCD_RECOVER, json_string(kept));
    }
    return host_file_save(cli->data_dir, file, err);
}

/* Whoever serves starts again; engines and endpoints do not notice. */
static void serve_again(const Cli *cli)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/weir.lock", cli->data_dir);
    pid_t pid;
    if (file_lock_holder(path, &pid, NULL) && pid > 0) {
        kill(pid, SIGTERM);
    }
}

bool host_recover(Cli *cli, bool yes, Err *err)
{
    HostFile file;
    TierStart start = tier_start_none(cli);
    if (!host_file_load(cli->data_dir, &file, err)) {
        return err->code == ERR_NOT_FOUND ? refuse_alone(err) : false;
    }
    bool ok = check(cli, &file, err);
    if (ok && !yes) {
        ok = err_set(err, ERR_INVALID,
                     "the tier would go on from what this host has of its store, which may lack "
                     "the last moments, and the other hosts that voted would never be any of it "
                     "again: they must not come back with what they have. Add --yes to do it");
    }
    ok = ok && wish(cli, &file, err);
    host_file_done(&file);
    TRY(ok);
    if (!tier_is_supervised(cli)) {
        printf("The next `weir up` goes on from what this host has of the store.\n");
        return true;
    }
    serve_again(cli);
    TRY(tier_wait_for_api(cli, &start, err));
    printf("The tier goes on from what this host has of the store. Those that are lost: `weir host "
           "list`, and weir host remove NAME.\n");
    return true;
}
