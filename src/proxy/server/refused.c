/*
 * A login to PostgreSQL that came to nothing. What went wrong is either of the moment (it starts,
 * it is full: the waiters wait on, and more can be had elsewhere) or for good (no such database:
 * the waiters are told); or the role's other password is tried.
 */
#include "proxy/pulse/pulse_priv.h"
#include "proxy/server/server_login_priv.h"
#include "proxy/split/route_priv.h"
#include "proxy/target/watch_priv.h"

static bool is_passing(Slice sqlstate)
{
    static const char *const codes[] = {"57P01", "57P02", "57P03", "53300", "53200"};
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        if (slice_is(sqlstate, codes[i])) {
            return true;
        }
    }
    return slice_starts(sqlstate, "08") && !slice_is(sqlstate, "08P01");
}

/* All of PostgreSQL is, and not what a role or a database may have of it. */
static bool is_full(const PgError *error)
{
    return slice_is(error->sqlstate, "53300") &&
           !slice_is(error->routine, "InitializeSessionUserId") &&
           !slice_is(error->routine, "CheckMyDatabase");
}

static const char *health_reason(Slice sqlstate)
{
    if (slice_starts(sqlstate, "28")) {
        return "AUTH_FAILURE";
    }
    return slice_is(sqlstate, "53300") ? "PENDING_PROXY_CAPACITY" : "CONNECTION_FAILED";
}

/* Waiters wait on; the next attempt comes a little later each time. */
static void side_back_off(const ProxyServer *server, const char *message)
{
    ProxySide *side = proxy_server_side(server);
    int64_t delay = side->retry_delay_ms * 2;
    delay = delay < PROXY_RETRY_MIN_MS   ? PROXY_RETRY_MIN_MS
            : delay > PROXY_RETRY_MAX_MS ? PROXY_RETRY_MAX_MS
                                         : delay;
    side->retry_delay_ms = delay;
    side->retry_at_ms = loop_now_ms(server->worker->loop) + delay;
    err_set(&side->problem, ERR_UNAVAILABLE, "%s", message);
    proxy_watch_ask(server->worker, server->target);
}

/* The role's own words would tell a client about the proxy's login, which is none of its doing. */
static void fail_for_good(ProxyPool *pool, const PgError *error, const char *message)
{
    PgError told = *error;
    if (slice_starts(error->sqlstate, "28")) {
        told = (PgError){.severity = SLICE("FATAL"),
                         .sqlstate = SLICE("08004"),
                         .message = SLICE("The proxy could not log in to the database with the "
                                          "credentials of this role."),
                         .detail = slice_of(message)};
    }
    proxy_pool_fail_waiters(pool, &told);
}

/* PostgreSQL refused the password: keys of it are worth nothing, and the role's other one may be.
 * Clients wait on for that, and nobody else hears of it. */
static bool other_password_left(ProxyServer *server, const PgError *error)
{
    ProxyPool *pool = server->pool;
    const ProxyUser *user = server_login_credentials(server);
    if (!slice_is(error->sqlstate, "28P01") || user == NULL || !secret_is_set(&user->password)) {
        return false;
    }
    if (pool != NULL && pool->keys_previous == server->previous) {
        crypto_wipe(&pool->keys, sizeof(pool->keys));
    }
    return trial_refused(server_login_trial(server), server->previous,
                         secret_is_set(&user->previous));
}

void proxy_server_login_failed(ProxyServer *server, const PgError *error)
{
    ProxyHealth *health = &proxy_server_target(server)->health;
    ProxyPool *pool = server->pool;
    CLEANUP(mem_free_ptr) char *message = mem_printf("%.*s", SLICE_FMT(error->message));
    if (other_password_left(server, error)) {
        stream_abort(server->stream);
        proxy_server_lost(server, message);
        return;
    }
    if (server->pulse) {
        proxy_pulse_failed(server, message);
        proxy_pulse_crowded(server, is_full(error));
        stream_abort(server->stream);
        proxy_server_lost(server, message);
        return;
    }
    bool passing = is_passing(error->sqlstate);
    bool judged = proxy_watch_judges(server);
    bool watch = server->probe && judged;
    bool answered = slice_is(error->sqlstate, "3D000") && server->probe && !watch;
    proxy_meter_add(proxy_server_meter(server), STAT_SERVERS_FAILED, 1);
    if (answered) {
        trial_accepted(server_login_trial(server), server->previous);
        proxy_health_good(health); /* it authenticated us before it looked */
    } else if (watch) {
        proxy_watch_refused(server, health_reason(error->sqlstate), message, passing);
    } else if (!judged && (server->probe || passing || slice_starts(error->sqlstate, "28"))) {
        proxy_health_bad(health, health_reason(error->sqlstate), message);
    }
    if (pool != NULL && passing) {
        side_back_off(server, message);
        proxy_route_look_elsewhere(pool);
    } else if (pool != NULL && proxy_route_refused(pool)) {
        proxy_pool_wake_waiters(pool, true);
    } else if (pool != NULL) {
        pool->clients++; /* keeps it while its waiters go */
        fail_for_good(pool, error, message);
        pool->clients--;
    }
    stream_abort(server->stream);
    proxy_server_lost(server, message);
}

void proxy_server_connect_failed(ProxyServer *server, const Err *err)
{
    const char *why = err != NULL ? err->message : "PostgreSQL closed the connection";
    proxy_meter_add(proxy_server_meter(server), STAT_SERVERS_FAILED, 1);
    if (!server->pulse && (server->probe || !proxy_watch_judges(server))) {
        proxy_health_bad(&proxy_server_target(server)->health, "UNREACHABLE", why);
    }
    if (server->pool != NULL) {
        side_back_off(server, why);
        proxy_route_look_elsewhere(server->pool);
    }
    proxy_server_lost(server, why);
}

bool proxy_login_broken(ProxyServer *server, const char *what)
{
    PgError error = {
        .severity = SLICE("FATAL"), .sqlstate = SLICE("08P01"), .message = slice_of(what)};
    proxy_server_login_failed(server, &error);
    return false;
}

void proxy_server_login_late(void *user)
{
    PgError error = {.severity = SLICE("FATAL"),
                     .sqlstate = SLICE("08006"),
                     .message = SLICE("the server did not complete the login in time")};
    proxy_server_login_failed(user, &error);
}
