/*
 * The proxy's part in a succession (docs/upgrade.md): what it hands on, how it stops accepting and
 * begins again, and how long it goes on as a leaving process. Main thread.
 */
#include "proxy/upgrade/peers_priv.h"
#include "proxy/worker_priv.h"

#define LEFT_LOOK_MS 50 /* whether the last client has gone */

static json_t *socket_name(const ProxySocket *socket)
{
    CLEANUP(mem_free_ptr) char *name = mem_printf("%s:%u", socket->address, socket->port);
    return json_string(name);
}

int proxy_socket_inherit(Proxy *proxy, const ProxyListener *listener)
{
    CLEANUP(mem_free_ptr) char *name = mem_printf("%s:%u", listener->address, listener->port);
    return proxy->succession != NULL ? succession_socket(proxy->succession, name) : -1;
}

static bool on_offer(void *user, SuccessionSockets *sockets)
{
    Proxy *proxy = user;
    if (proxy->stopping || proxy->shut || proxy->config == NULL) {
        return false;
    }
    for (size_t i = 0; i < proxy->config->listener_count; i++) {
        const ProxySocket *socket = proxy->config->listeners[i].socket;
        if (socket != NULL) {
            json_array_append_new(sockets->names, socket_name(socket));
            sockets->fds[sockets->len++] = socket->fd;
        }
    }
    return true;
}

static void on_leave(void *user, json_t *books)
{
    Proxy *proxy = user;
    proxy->shut = true;
    leaving_begin(&proxy->peers);
    for (uint32_t i = 0; i < proxy->worker_count; i++) {
        proxy_worker_leave(&proxy->workers[i]);
    }
    leaving_put_books(&proxy->peers, books);
    peers_put_books(&proxy->peers, books);
}

static void on_return(void *user)
{
    Proxy *proxy = user;
    loop_timer_stop(&proxy->peers.drain);
    leaving_end(&proxy->peers);
    proxy->shut = false;
    proxy_reopen(proxy);
    plane_return(proxy->plane);
}

static void drain_over(Proxy *proxy, const char *why)
{
    log_info("proxy", "%s is leaving: %s", proxy->id, why);
    loop_timer_stop(&proxy->peers.drain);
    proxy_stop(proxy);
}

static void left_look(void *user)
{
    Proxy *proxy = user;
    int64_t left_ms = loop_now_ms(proxy->loop) - proxy->left_ms;
    if (!succession_is_leaving(proxy->succession)) {
        return; /* it is about to serve again */
    }
    if (atomic_load(&proxy->clients) <= atomic_load(&proxy->guests)) {
        drain_over(proxy, "its last client has gone");
    } else if (left_ms >= proxy->config->upgrade_drain_ms) {
        drain_over(proxy, "upgrade_drain_s is over");
    }
}

static void notify_successor(const Proxy *proxy)
{
    pid_t pid = proxy->peers.up != NULL ? succession_link_pid(proxy->peers.up) : 0;
    if (proxy->plane == NULL && pid > 0) {
        CLEANUP(mem_free_ptr) char *text = mem_printf("MAINPID=%d", (int)pid);
        proxy_notify(text);
    }
}

static void on_left(void *user)
{
    Proxy *proxy = user;
    log_info("proxy", "%s is leaving: another process accepts, %u clients stay", proxy->id,
             (unsigned)proxy->peers.held_clients);
    peers_forget_all(&proxy->peers); /* the serving process counts them */
    plane_leave(proxy->plane);
    notify_successor(proxy);
    proxy->left_ms = loop_now_ms(proxy->loop);
    loop_timer_start(proxy->loop, &proxy->peers.drain, LEFT_LOOK_MS, LEFT_LOOK_MS, left_look,
                     proxy);
}

static void on_hold(void *user, json_t *books)
{
    Proxy *proxy = user;
    leaving_put_books(&proxy->peers, books);
}

static void on_book(void *user, const json_t *books)
{
    Proxy *proxy = user;
    peers_take_books(&proxy->peers, books);
}

static void on_joined(void *user, SuccessionLink *link)
{
    Proxy *proxy = user;
    if (succession_is_leaving(proxy->succession)) {
        leaving_joined(&proxy->peers, link);
    } else {
        peers_joined(&proxy->peers, link);
    }
}

static void on_parted(void *user, uint32_t generation, bool gone)
{
    Proxy *proxy = user;
    Peers *peers = &proxy->peers;
    if (peers->leaving && peers->up != NULL) {
        peers_cancel_lost(peers, peers->up);
        leaving_parted(peers);
        return;
    }
    peers_cancel_lost(peers, peers_link_of(peers, generation));
    if (gone) {
        peers_forget(peers, generation);
    } else {
        peers_parted(peers, generation);
    }
}

static void on_message(void *user, SuccessionLink *link, const json_t *message)
{
    Proxy *proxy = user;
    if (peers_cancel_take(&proxy->peers, link, message)) {
        return;
    }
    if (link == proxy->peers.up) {
        leaving_take_message(&proxy->peers, message);
    } else { /* also while the place is handed over, for it may come back */
        peers_take_message(&proxy->peers, link, message);
    }
}

static bool config_follow(Proxy *proxy, const json_t *json, Err *err)
{
    ProxyConfig *config = NULL;
    TRY(proxy_config_parse(json, &config, err));
    config->workers = proxy->config->workers; /* as many as there are */
    return proxy_put_in_force(proxy, config, err);
}

/* What counts for those who are still here: the target above all. */
static void on_config(void *user, const json_t *json)
{
    Proxy *proxy = user;
    Err err;
    if (!proxy->stopping && !config_follow(proxy, json, &err)) {
        log_warn("proxy", "leaving, and the new configuration is refused: %s", err.message);
    }
}

static void on_stop(void *user)
{
    proxy_stop(user);
}

const SuccessionHandlers proxy_succession_handlers = {
    .on_offer = on_offer,
    .on_leave = on_leave,
    .on_left = on_left,
    .on_return = on_return,
    .on_hold = on_hold,
    .on_book = on_book,
    .on_joined = on_joined,
    .on_parted = on_parted,
    .on_message = on_message,
    .on_config = on_config,
    .on_stop = on_stop,
};

/* ---- accepting ---------------------------------------------------------------------------------
 */

void proxy_reopen(Proxy *proxy)
{
    for (uint32_t i = 0; i < proxy->worker_count; i++) {
        proxy_worker_accept(&proxy->workers[i]);
    }
}

bool proxy_begin_service(Proxy *proxy, Err *err)
{
    if (proxy->succession != NULL) {
        TRY(succession_take(proxy->succession, err));
    }
    proxy->shut = false;
    proxy_reopen(proxy);
    if (proxy->succession != NULL) {
        succession_serves(proxy->succession);
    }
    return true;
}
