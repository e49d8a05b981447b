/* What the process reports each second: some sums of the workers' counters, and the target's
 * health. All that is measured stands in meter/metrics.c. */
#include "proxy/meter/metrics_priv.h"
#include "proxy/pulse/pulse_priv.h"

static const struct {
    const char *name;
    ProxyStat stat;
} reported[] = {
    {"clients", STAT_CLIENTS},
    {"clients_tls", STAT_CLIENTS_TLS},
    {"clients_waiting", STAT_CLIENTS_WAITING},
    {"clients_pinned", STAT_CLIENTS_PINNED},
    {"clients_replication", STAT_CLIENTS_REPLICATION},
    {"clients_listening", STAT_CLIENTS_LISTENING},
    {"servers", STAT_SERVERS},
    {"servers_borrowed", STAT_SERVERS_BORROWED},
    {"servers_listening", STAT_HUBS},
    {"accepted", STAT_ACCEPTED},
    {"refused_by_rule", STAT_REFUSED_BY_RULE},
    {"refused_by_limit", STAT_REFUSED_BY_LIMIT},
    {"auth_failed", STAT_AUTH_FAILED},
    {"auth_delayed", STAT_AUTH_DELAYED},
    {"logins", STAT_LOGINS},
    {"borrows", STAT_BORROWS},
    {"shared", STAT_SHARED},
    {"replica_borrows", STAT_REPLICA_BORROWS},
    {"reads_again", STAT_READS_AGAIN},
    {"replica_waits", STAT_REPLICA_WAITS},
    {"replica_waits_expired", STAT_REPLICA_WAITS_EXPIRED},
    {"tokens_shown", STAT_TOKENS_SHOWN},
    {"tokens_set", STAT_TOKENS_SET},
    {"tokens_refused", STAT_TOKENS_REFUSED},
    {"gated", STAT_GATED},
    {"gated_lost", STAT_GATED_LOST},
    {"reads_resent", STAT_RESENT},
    {"timeouts", STAT_BORROW_TIMEOUTS},
    {"idle_timeouts", STAT_IDLE_TIMEOUTS},
    {"servers_opened", STAT_SERVERS_OPENED},
    {"servers_failed", STAT_SERVERS_FAILED},
    {"cancels", STAT_CANCELS},
};

static json_t *pins_of(const MeterSum *sum)
{
    json_t *pins = json_object();
    for (PinReason reason = PIN_NONE; reason < PIN_REASON_COUNT; reason++) {
        if (sum->pins[reason] > 0) {
            json_object_set_new(pins, pin_reason_name(reason),
                                json_integer((json_int_t)sum->pins[reason]));
        }
    }
    return pins;
}

int proxy_available_percent(Proxy *proxy)
{
    ProxyReads reads = (ProxyReads)atomic_load(&proxy->reads);
    int primary = proxy_health_available_percent(&proxy->targets[PROXY_TARGET_PRIMARY].health);
    int replica = -1; /* the best of them: one is enough */
    for (size_t i = 1; i < PROXY_TARGETS_MAX && reads != READS_PRIMARY; i++) {
        int percent = proxy_health_available_percent(&proxy->targets[i].health);
        replica = percent > replica ? percent : replica;
    }
    if (reads != READS_SPLIT || primary < 0 || replica < 0) {
        return reads == READS_REPLICAS || primary < 0 ? replica : primary;
    }
    return primary < replica ? primary : replica;
}

uint32_t proxy_servers_max(const Proxy *proxy)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        sum += atomic_load(&proxy->targets[i].budget.max);
    }
    return sum;
}

/* Whether it may answer, in words that seldom change. */
static const char *right_word(const ProxyPulse *pulse)
{
    if (proxy_pulse_right_us(pulse) > 0) {
        return "held";
    }
    return atomic_load(&pulse->rests) ? "resting" : "lost";
}

static json_t *target_of(Proxy *proxy, size_t number)
{
    static const char *const states[] = {"REGISTERING", "AVAILABLE", "UNAVAILABLE"};
    ProxyHealth *health = &proxy->targets[number].health;
    const ProxyTarget *target = proxy_config_target(proxy->config, number);
    pthread_mutex_lock(&health->lock);
    json_t *description = json_string(health->description);
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:s, s:o}", "id", target->id != NULL ? target->id : "", "role",
                  number > 0 ? "READ_ONLY" : "READ_WRITE", "state", states[health->state], "reason",
                  health->reason != NULL ? health->reason : "", "description",
                  description != NULL ? description : json_string(""));
    pthread_mutex_unlock(&health->lock);
    if (number == PROXY_TARGET_PRIMARY && target->synchronous) {
        json_object_set_new(json, "right", json_string(right_word(&proxy->pulse)));
    }
    return json;
}

json_t *proxy_status_of(Proxy *proxy)
{
    MeterSum *sum = mem_alloc(sizeof(MeterSum));
    json_t *status = json_object();
    proxy_metrics_collect(proxy, sum);
    for (size_t i = 0; i < ARRAY_LEN(reported); i++) {
        json_object_set_new(status, reported[i].name,
                            json_integer((json_int_t)sum->stats[reported[i].stat]));
    }
    json_object_set_new(status, "pinned", pins_of(sum));
    json_t *targets = json_array();
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        if (proxy_config_uses(proxy->config, i)) {
            json_array_append_new(targets, target_of(proxy, i));
        }
    }
    json_object_set_new(status, "targets", targets);
    mem_free(sum);
    return status;
}
