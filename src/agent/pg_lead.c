/*
 * What the agent of a leading PostgreSQL node does beside running it: it writes the cluster's
 * record, derives synchronous_standby_names from what it has just written, and lets standbys into
 * the set.
 *
 * Who runs weaker than before has asked the store first (RULES F2); the set grows only after the
 * new name binds: write the names, see them bind, see the standby flush, then write the record
 * (F5).
 */
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

static bool standby_has(PgNode *node, const char *condition, const char *lsn, bool *ret_has,
                        Err *err)
{
    char name[PG_STANDBY_NAME_SIZE];
    pg_standby_name(node->run->work->joining, name);
    const char *sql = arena_printf(node->run->arena,
                                   "SELECT 1 FROM pg_stat_replication WHERE application_name = $1"
                                   " AND sync_state = 'sync' AND %s $2::pg_lsn",
                                   condition);
    const char *const params[] = {name, lsn};
    char *found = NULL;
    TRY(pg_value(node->run->work->session, node->run->arena, sql, params, 2, &found, err));
    *ret_has = found != NULL;
    return true;
}

/* The checkpointer, who tells everybody what the names are, has read them once two CHECKPOINTs that
 * began after the reload are over (RULES F5). What is written until then may not have waited. */
static bool names_bind(PgNode *node, Err *err)
{
    NodeWork *work = node->run->work;
    bool sync = false;
    TRY(standby_has(node, "flush_lsn >=", "0/0", &sync, err));
    if (!sync) {
        return true; /* it does not count as synchronous yet: look again soon */
    }
    char *target = NULL;
    TRY(pg_exec(work->session, "CHECKPOINT", err));
    TRY(pg_exec(work->session, "CHECKPOINT", err));
    TRY(pg_value(work->session, node->run->arena, "SELECT pg_current_wal_insert_lsn()", NULL, 0,
                 &target, err));
    work->join_lsn = mem_strdup(target);
    return true;
}

void pg_node_join_end(NodeWork *work)
{
    mem_free(work->joining);
    mem_free(work->join_lsn);
    work->joining = NULL;
    work->join_lsn = NULL;
}

/* Lets one wanted standby into the set: first its name, then the proof that it binds, then all that
 * was written before the proof, and then the record. */
static bool join_step(PgNode *node, Err *err)
{
    NodeWork *work = node->run->work;
    if (work->join_lsn == NULL) {
        return names_bind(node, err);
    }
    bool flushed = false;
    TRY(standby_has(node, "flush_lsn >=", work->join_lsn, &flushed, err));
    if (flushed) {
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

bool pg_node_lead(PgNode *node, const PgSeen *seen, bool *ret_busy, Err *err)
{
    TRY(grow(node, seen, ret_busy, err));
    return pg_slots_trim(node->run->work->session, node->followers, node->followers_len, err);
}
