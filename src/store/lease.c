/*
 * Leases: when one ends, its keys go at one revision. Nobody waits for that moment: every call
 * first ends what is due, and store_tick does it for those who only watch.
 */
#include "store/store_priv.h"

/* A lease that is due is marked under `lock`, so that a keepalive at the same moment either came
 * first or is refused: nobody believes in a lease whose keys are being deleted. */
static int64_t lease_take_due(Store *store)
{
    int64_t id = 0;
    pthread_mutex_lock(&store->lock);
    int64_t now = store->now_ms(store->clock);
    for (size_t i = 0; i < store->image.leases.len && id == 0; i++) {
        Lease *lease = &store->image.leases.items[i];
        if (lease->ending || lease->due_ms <= now) {
            lease->ending = true;
            id = lease->id;
        }
    }
    pthread_mutex_unlock(&store->lock);
    return id;
}

bool store_expire(Store *store, Err *err)
{
    for (int64_t id; (id = lease_take_due(store)) != 0;) {
        Err failed;
        if (!store->kind->lease_end(store, id, &failed) && failed.code != ERR_NOT_FOUND) {
            if (err != NULL) {
                *err = failed;
            }
            return false;
        }
    }
    return true;
}

int64_t lease_next_due(const Image *image)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < image->leases.len; i++) {
        const Lease *lease = &image->leases.items[i];
        int64_t due = lease->ending ? INT64_MIN : lease->due_ms;
        next = due < next ? due : next;
    }
    return next;
}

bool store_expire_due(Store *store, Err *err)
{
    pthread_mutex_lock(&store->lock);
    bool due = lease_next_due(&store->image) <= store->now_ms(store->clock);
    pthread_mutex_unlock(&store->lock);
    if (!due) {
        return true;
    }
    pthread_mutex_lock(&store->writing);
    bool ok = store->kind->ready(store, err) && store_expire(store, err);
    pthread_mutex_unlock(&store->writing);
    return ok;
}

bool store_tick(Store *store, int64_t *ret_next_ms, Err *err)
{
    TRY(store_expire_due(store, err));
    pthread_mutex_lock(&store->lock);
    int64_t next = lease_next_due(&store->image);
    int64_t now = store->now_ms(store->clock);
    pthread_mutex_unlock(&store->lock);
    *ret_next_ms = next == INT64_MAX ? -1 : next > now ? next - now : 0;
    return true;
}

static int64_t lease_id_new(const Image *image)
{
    int64_t id = 0;
    while (id <= 0 || image_lease(image, id) != NULL) {
        random_bytes(&id, sizeof(id));
        id = (int64_t)((uint64_t)id >> 1);
    }
    return id;
}

static bool lease_grant_locked(Store *store, int64_t ttl_ms, int64_t *ret_lease, Err *err)
{
    TRY(store->kind->ready(store, err));
    TRY(store_expire(store, err));
    pthread_mutex_lock(&store->lock);
    bool full = store->image.leases.len >= STORE_LEASES_MAX;
    Lease lease = {.id = lease_id_new(&store->image),
                   .ttl_ms = ttl_ms,
                   .due_ms = store->now_ms(store->clock) + ttl_ms};
    pthread_mutex_unlock(&store->lock);
    if (full) {
        return err_set(err, ERR_LIMIT, "the store keeps at most %d leases", STORE_LEASES_MAX);
    }
    TRY(store->kind->lease_grant(store, &lease, err));
    *ret_lease = lease.id;
    return true;
}

bool store_lease_grant(Store *store, int64_t ttl_ms, int64_t *ret_lease, Err *err)
{
    if (ttl_ms < 1 || ttl_ms > STORE_LEASE_MS_MAX) {
        return err_set(err, ERR_INVALID, "a lease lives 1 to %ld ms", STORE_LEASE_MS_MAX);
    }
    pthread_mutex_lock(&store->writing);
    bool ok = lease_grant_locked(store, ttl_ms, ret_lease, err);
    pthread_mutex_unlock(&store->writing);
    return ok;
}

/* Whether the lease lives. Its time counts from `begin_ms` again, or stays where that is -1. */
static bool lease_touch(Store *store, int64_t lease_id, int64_t begin_ms, bool *ret_known)
{
    pthread_mutex_lock(&store->lock);
    Lease *lease = image_lease(&store->image, lease_id);
    *ret_known = lease != NULL;
    bool alive = lease != NULL && !lease->ending && lease->due_ms > store->now_ms(store->clock);
    if (alive && begin_ms >= 0) {
        lease->due_ms = begin_ms + lease->ttl_ms;
    }
    pthread_mutex_unlock(&store->lock);
    return alive;
}

bool store_lease_keepalive(Store *store, int64_t lease_id, Err *err)
{
    bool known;
    bool remote = store->kind->lease_renew != NULL;
    int64_t begin_ms = store->now_ms(store->clock); /* of the request: never later than elsewhere */
    bool alive = lease_touch(store, lease_id, remote ? -1 : begin_ms, &known);
    if (remote && (alive || !known)) {
        TRY(store->kind->lease_renew(store, lease_id, err));
        alive = lease_touch(store, lease_id, begin_ms, &known) || !known;
    }
    if (!alive) {
        (void)store_expire_due(store, NULL);
        return err_set(err, ERR_NOT_FOUND, "the lease has ended");
    }
    return true;
}

static bool lease_revoke_locked(Store *store, int64_t lease_id, Err *err)
{
    TRY(store->kind->ready(store, err));
    TRY(store_expire(store, err));
    return store->kind->lease_end(store, lease_id, err);
}

bool store_lease_revoke(Store *store, int64_t lease_id, Err *err)
{
    pthread_mutex_lock(&store->writing);
    bool ok = lease_revoke_locked(store, lease_id, err);
    pthread_mutex_unlock(&store->writing);
    return ok;
}
