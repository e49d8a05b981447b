/* The counters of users and databases. */
#include "proxy/pool/quota_priv.h"

void quotas_init(Quotas *quotas)
{
    pthread_mutex_init(&quotas->lock, NULL);
    for (size_t i = 0; i < QUOTA_KINDS; i++) {
        quotas->maps[i] = map_new();
    }
}

void quotas_done(Quotas *quotas)
{
    for (size_t i = 0; i < QUOTA_KINDS; i++) {
        ASSERT(map_len(quotas->maps[i]) == 0);
        map_free(quotas->maps[i]);
    }
    pthread_mutex_destroy(&quotas->lock);
}

Quota *quotas_get(Quotas *quotas, QuotaKind kind, Slice name)
{
    pthread_mutex_lock(&quotas->lock);
    Quota *quota = map_get(quotas->maps[kind], name);
    if (quota == NULL) {
        quota = mem_alloc(sizeof(Quota));
        quota->quotas = quotas;
        quota->kind = kind;
        quota->name = mem_printf("%.*s", SLICE_FMT(name));
        map_set(quotas->maps[kind], name, quota);
    }
    quota->refs++;
    pthread_mutex_unlock(&quotas->lock);
    return quota;
}

void quota_unref(Quota *quota)
{
    Quotas *quotas = quota->quotas;
    pthread_mutex_lock(&quotas->lock);
    if (--quota->refs == 0) {
        ASSERT(atomic_load(&quota->clients) == 0 && atomic_load(&quota->servers) == 0);
        map_remove(quotas->maps[quota->kind], slice_of(quota->name));
        mem_free(quota->name);
        mem_free(quota);
    }
    pthread_mutex_unlock(&quotas->lock);
}

bool quota_take(atomic_uint *count, uint32_t max)
{
    unsigned now = atomic_load(count);
    while (max == 0 || now < max) {
        if (atomic_compare_exchange_weak(count, &now, now + 1)) {
            return true;
        }
    }
    return false;
}

void quota_give(atomic_uint *count)
{
    unsigned before = atomic_fetch_sub(count, 1);
    ASSERT(before > 0);
}

bool quota_is_full(const Quota *quota, uint32_t max)
{
    return max > 0 && atomic_load(&quota->servers) >= max;
}

/* It is read while others change it: one that leaves may be gone from one counter only. */
static unsigned staying(const Quota *quota)
{
    unsigned leaving = atomic_load(&quota->leaving);
    unsigned servers = atomic_load(&quota->servers);
    return servers > leaving ? servers - leaving : 0;
}

bool quota_stays_full(const Quota *quota, uint32_t max)
{
    return max > 0 && staying(quota) >= max;
}

bool quota_is_over(const Quota *quota, uint32_t max)
{
    return max > 0 && staying(quota) > max;
}

int64_t quota_oldest_wait(const Quota *quota, uint32_t except, uint32_t *ret_worker)
{
    int64_t oldest = 0;
    for (uint32_t i = 0; i < ARRAY_LEN(quota->sides); i++) {
        int64_t since = i == except ? 0 : atomic_load(&quota->sides[i].oldest_wait_ms);
        if (since != 0 && (oldest == 0 || since < oldest)) {
            oldest = since;
            *ret_worker = i;
        }
    }
    return oldest;
}
