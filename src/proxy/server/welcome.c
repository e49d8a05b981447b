/* What servers say at login, shared by the workers: a client whose like another worker has seen is
 * let in without a server connection. Looked up once per pool and worker. */
#include "proxy/server/server_priv.h"
#include "proxy/server/welcome_priv.h"

#define WELCOMES_MAX 1000 /* then it starts over: clients choose what their settings are */

typedef struct Welcome {
    ParamList *params;
    ProxyDefaults defaults;
} Welcome;

static void welcome_free(Welcome *welcome)
{
    if (welcome != NULL) {
        params_unref(welcome->params);
        mem_free(welcome);
    }
}

static void welcomes_clear(Map *map)
{
    size_t cursor = 0;
    Slice key;
    void *value;
    while (map_next(map, &cursor, &key, &value)) {
        welcome_free(value);
    }
    map_free(map);
}

void proxy_welcomes_init(ProxyWelcomes *welcomes)
{
    pthread_mutex_init(&welcomes->lock, NULL);
    welcomes->map = map_new();
}

void proxy_welcomes_done(ProxyWelcomes *welcomes)
{
    welcomes_clear(welcomes->map);
    pthread_mutex_destroy(&welcomes->lock);
}

void proxy_welcomes_forget(ProxyWelcomes *welcomes)
{
    pthread_mutex_lock(&welcomes->lock);
    welcomes_clear(welcomes->map);
    welcomes->map = map_new();
    pthread_mutex_unlock(&welcomes->lock);
}

static void welcome_share(ProxyWelcomes *welcomes, const ProxyPool *pool)
{
    pthread_mutex_lock(&welcomes->lock);
    if (map_len(welcomes->map) >= WELCOMES_MAX) {
        welcomes_clear(welcomes->map);
        welcomes->map = map_new();
    }
    Welcome *welcome = mem_alloc(sizeof(Welcome));
    welcome->params = params_new(params_slice(pool->welcome));
    welcome->defaults = pool->defaults;
    welcome_free(map_set(welcomes->map, slice_from(pool->key, pool->key_len), welcome));
    pthread_mutex_unlock(&welcomes->lock);
}

static bool defaults_equal(const ProxyDefaults *a, const ProxyDefaults *b)
{
    return a->known == b->known && a->read_only == b->read_only &&
           strcmp(a->isolation, b->isolation) == 0;
}

void proxy_welcome_take(ProxyServer *server)
{
    ProxyPool *home = server->pool->home;
    if (server->retired) {
        return;
    }
    bool other = home->welcome == NULL || !params_equal(home->welcome, server->params);
    if (other && home->welcome != NULL && server->target != PROXY_TARGET_PRIMARY &&
        proxy_worker_has_target(server->worker, PROXY_TARGET_PRIMARY)) {
        return;
    }
    if (server->defaults.known && !defaults_equal(&home->defaults, &server->defaults)) {
        home->defaults = server->defaults;
        other = true;
    }
    if (other) {
        params_unref(home->welcome);
        home->welcome = params_ref(server->params);
        welcome_share(&server->worker->proxy->welcomes, home);
        proxy_pool_welcome_waiters(home);
    } else {
        params_unref(server->params);
        server->params = params_ref(home->welcome);
    }
}

void proxy_welcome_find(ProxyWelcomes *welcomes, ProxyPool *pool)
{
    pthread_mutex_lock(&welcomes->lock);
    const Welcome *found = map_get(welcomes->map, slice_from(pool->key, pool->key_len));
    if (found != NULL && pool->welcome == NULL) {
        pool->welcome = params_new(params_slice(found->params));
        pool->defaults = found->defaults.known ? found->defaults : pool->defaults;
    }
    pthread_mutex_unlock(&welcomes->lock);
}
