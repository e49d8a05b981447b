/*
 * What the agent of a leading PostgreSQL node does beside running it: it writes the cluster's
 * record, derives synchronous_standby_names from what it has just written, lets clients in after a
 * start, lets standbys into the set, and keeps the slots of all that follow.
 *
 * Who runs weaker than before has asked the store first (RULES F2); the set grows only after the
 * new name binds: write the names, see them bind, see the standby flush, then write the record
 * (F5). After a start clients wait until the standbys of the set have what they would see (F7).
 */
#include <stdlib.h>

#include "agent/pg_node_priv.h"

/* ---- the cluster's record and the names -------------------------------------------------------
 */

static bool record_write(PgNode *node, const char *added, Err *err)
{
    NodeWork *work = node->run->work;
    const ClusterWrite write = {.node = work->id,
                                .incarnation = work->incarnation,
                                .wanted = node->wanted,
                                .wanted_len = node->wanted_len,
                                .added = added};
    json_t *set = NULL;
    TRY(cluster_write(work->options->store, node->cluster, &write, &set, err));
    json_decref(work->set);
    work->set = set;
    return true;
}

static bool is_wanted(const PgNode *node, const char *incarnation)
{
    for (size_t i = 0; i < node->wanted_len; i++) {
        if (strcmp(incarnation, node->wanted[i]) == 0) {
            return true;
        }
    }
    return strcmp(incarnation, node->run->work->incarnation) == 0;
}

static bool set_has_unwanted(const PgNode *node)
{
    size_t i;
    json_t *member;
    json_array_foreach (node->run->work->set, i, member) {
        if (!is_wanted(node, json_string_value(member))) {
            return true;
        }
    }
    return false;
}

/* The record comes first, then the names: whoever runs weaker than before has asked the store. */
bool pg_node_claim(PgNode *node, Err *err)
{
    NodeWork *work = node->run->work;
    bool stale = work->joining != NULL && !is_wanted(node, work->joining);
    if (node->primary && (work->set == NULL || stale || set_has_unwanted(node))) {
        TRY(record_write(node, NULL, err));
        if (stale) { /* its name may bind already: from here on it need not */
            pg_node_join_end(work);
        }
    }
    return true;
}

bool pg_node_configure(PgNode *node, bool *ret_changed, Err *err)
{
    NodeWork *work = node->run->work;
    Buf names;
    buf_init(&names, BUF_MAX_DEFAULT);
    if (node->primary) {
        cluster_names(work->set, work->incarnation, work->joining, &names);
    }
    node->spec.synchronous_standby_names = arena_strdup(node->run->arena, buf_str(&names));
    buf_done(&names);
    return pg_configure(&node->spec, ret_changed, err);
}

/* ---- letting a standby in ----------------------------------------------------------------------
 */

static const PgStandbySeen *standby_seen(const PgSeen *seen, const char *incarnation)
{
    char name[PG_STANDBY_NAME_SIZE];
    pg_standby_name(incarnation, name);
    for (size_t i = 0; i < seen->standbys_len; i++) {
        if (strcmp(seen->standbys[i].name, name) == 0 &&
            strcmp(seen->standbys[i].state, "streaming") == 0) {
            return &seen->standbys[i];
        }
    }
    return NULL;
}

/* Some standbys by name, as a query wants them. */
typedef struct Names {
    const char *array; /* "{weir_a,weir_b}" */
    size_t len;
} Names;

static void names_add(PgNode *node, Names *names, const char *incarnation)
{
    char name[PG_STANDBY_NAME_SIZE];
    pg_standby_name(incarnation, name);
    names->array = names->len++ == 0
                       ? arena_printf(node->run->arena, "{%s}", name)
                       : arena_printf(node->run->arena, "{%s,%s", name, names->array + 1);
}

/* Whether all of them are synchronous and have flushed up to `lsn`. */
static bool all_flushed(PgNode *node, const Names *names, const char *lsn, bool *ret_all, Err *err)
{
    const char *const params[] = {names->array, lsn};
    char *count = NULL;
    TRY(pg_value(node->run->work->session, node->run->arena,
                 "SELECT count(DISTINCT application_name) FROM pg_stat_replication"
                 " WHERE application_name = ANY ($1::text[]) AND sync_state = 'sync'"
                 " AND flush_lsn >= $2::pg_lsn",
                 params, 2, &count, err));
    *ret_all = count != NULL && (size_t)strtoul(count, NULL, 10) == names->len;
    return true;
}

/* The checkpointer, who tells everybody what the names are, has read them once two CHECKPOINTs that
 * began after the reload are over (RULES F5). What is written until then may not have waited; so
 * *lsn, which becomes what has to be flushed, is taken after that. Untouched: not yet. */
static bool names_bind(PgNode *node, const Names *names, char **lsn, Err *err)
{
    NodeWork *work = node->run->work;
    bool sync = false;
    TRY(all_flushed(node, names, "0/0", &sync, err));
    if (!sync) {
        return true; /* they do not count as synchronous yet: look again soon */
    }
    char *target = NULL;
    TRY(pg_exec(work->session, "CHECKPOINT", err));
    TRY(pg_exec(work->session, "CHECKPOINT", err));
    TRY(pg_value(work->session, node->run->arena, "SELECT pg_current_wal_insert_lsn()", NULL, 0,
                 &target, err));
    *lsn = mem_strdup(target);
    return true;
}

/* First the proof that the names bind, then all that was written before the proof. */
static bool names_have_all(PgNode *node, const Names *names, char **lsn, bool *ret_have, Err *err)
{
    return *lsn == NULL ? names_bind(node, names, lsn, err)
                        : all_flushed(node, names, *lsn, ret_have, err);
}

void pg_node_join_end(NodeWork *work)
{
    mem_free(work->joining);
    mem_free(work->join_lsn);
    work->joining = NULL;
    work->join_lsn = NULL;
}

/* Lets one wanted standby into the set: first its name, then what it must have, then the record. */
static bool join_step(PgNode *node, Err *err)
{
    NodeWork *work = node->run->work;
    Names names = {0};
    bool has_all = false;
    names_add(node, &names, work->joining);
    TRY(names_have_all(node, &names, &work->join_lsn, &has_all, err));
    if (has_all) {
        TRY(record_write(node, work->joining, err));
        pg_node_join_end(work);
    }
    return true;
}

static bool grow(PgNode *node, const PgSeen *seen, bool *ret_busy, Err *err)
{
    NodeWork *work = node->run->work;
    if (work->joining != NULL) {
        *ret_busy = true;
        return join_step(node, err);
    }
    for (size_t i = 0; i < node->wanted_len && work->joining == NULL; i++) {
        if (!cluster_set_has(work->set, node->wanted[i]) &&
            standby_seen(seen, node->wanted[i]) != NULL) {
            work->joining = mem_strdup(node->wanted[i]); /* the next step writes the names */
            *ret_busy = true;
        }
    }
    return true;
}

/* ---- letting clients in ------------------------------------------------------------------------
 */

bool pg_node_admits(PgNode *node, bool *ret_admits, Err *err)
{
    NodeWork *work = node->run->work;
    Names names = {0};
    size_t i;
    json_t *member;
    json_array_foreach (work->set, i, member) {
        if (strcmp(json_string_value(member), work->incarnation) != 0) {
            names_add(node, &names, json_string_value(member));
        }
    }
    if (names.len == 0) {
        *ret_admits = true;
        return true;
    }
    return names_have_all(node, &names, &work->admit_lsn, ret_admits, err);
}

/* ---- slots -------------------------------------------------------------------------------------
 */

static bool is_follower(PgNode *node, const char *incarnation)
{
    for (size_t i = 0; i < node->followers_len; i++) {
        if (strcmp(incarnation, node->followers[i].incarnation) == 0) {
            return true;
        }
    }
    return node_is_follower(node->run, incarnation);
}

/* The list comes first: a follower's incarnation stands in the store before it has a slot, so what
 * nobody there has now is nobody's. */
static bool slots_trim(PgNode *node, Err *err)
{
    PgSlots idle;
    TRY(pg_slots_idle(node->run->work->session, node->run->arena, &idle, err));
    for (size_t i = 0; i < idle.len; i++) {
        if (!is_follower(node, idle.incarnations[i])) {
            TRY(pg_slot_drop(node->run->work->session, idle.incarnations[i], err));
        }
    }
    return true;
}

/* A follower that has its data and is not connected may find that its slot is missing. (One that is
 * being cloned makes its own.) */
static bool slots_ensure(PgNode *node, const PgSeen *seen, Err *err)
{
    for (size_t i = 0; i < node->followers_len; i++) {
        const PgPeer *peer = &node->followers[i];
        if (peer->has_data && standby_seen(seen, peer->incarnation) == NULL) {
            TRY(pg_slot_ensure(node->run->work->session, peer->incarnation, err));
        }
    }
    return true;
}

bool pg_node_lead(PgNode *node, const PgSeen *seen, bool *ret_busy, Err *err)
{
    return grow(node, seen, ret_busy, err) && slots_trim(node, err) &&
           slots_ensure(node, seen, err);
}
