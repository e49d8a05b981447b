/* See target_priv.h. */
#include <stdio.h>

#include "proxy/target/target_priv.h"

bool proxy_budget_take(ProxyBudget *budget)
{
    unsigned open = atomic_load(&budget->open);
    while (open < atomic_load(&budget->max)) {
        if (atomic_compare_exchange_weak(&budget->open, &open, open + 1)) {
            return true;
        }
    }
    return false;
}

void proxy_budget_give(ProxyBudget *budget)
{
    unsigned before = atomic_fetch_sub(&budget->open, 1);
    ASSERT(before > 0);
}

void proxy_health_init(ProxyHealth *health)
{
    pthread_mutex_init(&health->lock, NULL);
}

void proxy_health_done(ProxyHealth *health)
{
    pthread_mutex_destroy(&health->lock);
}

void proxy_health_reset(ProxyHealth *health)
{
    pthread_mutex_lock(&health->lock);
    health->state = TARGET_REGISTERING;
    health->reason = NULL;
    health->description[0] = '\0';
    health->changed_ms = health->seen_ms = 0;
    health->seconds = 0;
    health->second_count = 0;
    pthread_mutex_unlock(&health->lock);
}

static void health_set(ProxyHealth *health, TargetState state, const char *reason,
                       const char *description)
{
    pthread_mutex_lock(&health->lock);
    health->seen_ms = time_mono_ms();
    if (health->state != state) {
        health->changed_ms = health->seen_ms;
    }
    health->state = state;
    health->reason = reason;
    snprintf(health->description, sizeof(health->description), "%s", description);
    pthread_mutex_unlock(&health->lock);
}

void proxy_health_good(ProxyHealth *health)
{
    health_set(health, TARGET_AVAILABLE, "", "");
}

void proxy_health_bad(ProxyHealth *health, const char *reason, const char *description)
{
    health_set(health, TARGET_UNAVAILABLE, reason, description);
}

void proxy_health_doubt(ProxyHealth *health)
{
    pthread_mutex_lock(&health->lock);
    health->seen_ms = 0;
    pthread_mutex_unlock(&health->lock);
}

void proxy_health_sample(ProxyHealth *health)
{
    pthread_mutex_lock(&health->lock);
    if (health->state != TARGET_REGISTERING) {
        health->seconds = health->seconds << 1 | (health->state == TARGET_AVAILABLE ? 1 : 0);
        health->second_count += health->second_count < PROXY_HEALTH_SECONDS ? 1 : 0;
    }
    pthread_mutex_unlock(&health->lock);
}

int proxy_health_available_percent(ProxyHealth *health)
{
    pthread_mutex_lock(&health->lock);
    unsigned count = health->second_count;
    uint64_t known = health->seconds & (((uint64_t)1 << PROXY_HEALTH_SECONDS) - 1);
    pthread_mutex_unlock(&health->lock);
    return count == 0 ? -1 : __builtin_popcountll(known) * 100 / (int)count;
}
