/*
 * Whom a leader's commits wait for. That a standby is named, and that the view says "sync", does
 * not prove that commits wait for it: the checkpointer tells the backends, and may not have read
 * the names yet (RULES F5). Two CHECKPOINTs one after the other that began after the reload prove
 * it. What was written until then may not have waited, so it has to be flushed as well.
 */
#include <stdlib.h>

#include "agent/pg/pg_node_priv.h"

void pg_lead_reset(PgLead *lead)
{
    mem_free(lead->proof_lsn);
    lead->proof_lsn = NULL;
    lead->revision = 0;
    lead->fresh = false;
    lead->names = (HaSet){.len = 0};
    lead->names_set = false;
    lead->joining = (HaId){0};
    lead->answered_ms = 0;
    lead->heard_ms = 0;
    lead->promoting = false;
    lead->links_len = 0;
    lead->keep_goal[0] = '\0';
}

static const char *name_array(Arena *arena, const HaId *incarnation)
{
    char name[PG_STANDBY_NAME_SIZE];
    pg_standby_name(incarnation->text, name);
    return arena_printf(arena, "{%s}", name);
}

/* Whether the standby is synchronous and has flushed up to `lsn`. */
static bool has_flushed(PgNode *node, const HaId *incarnation, const char *lsn, bool *ret_has,
                        Err *err)
{
    const char *const params[] = {name_array(node->run->arena, incarnation), lsn};
    char *found = NULL;
    TRY(pg_value(node->run->work->session, node->run->arena,
                 "SELECT 1 FROM pg_stat_replication WHERE application_name = ANY ($1::text[])"
                 " AND sync_state = 'sync' AND flush_lsn >= $2::pg_lsn LIMIT 1",
                 params, 2, &found, err));
    *ret_has = found != NULL;
    return true;
}

static bool all_sync(PgNode *node, bool *ret_all, Err *err)
{
    const HaSet *names = &node->run->work->lead.names;
    *ret_all = true;
    for (size_t i = 0; i < names->len && *ret_all; i++) {
        TRY(has_flushed(node, &names->items[i], "0/0", ret_all, err));
    }
    return true;
}

/* proof_lsn stays NULL where they do not count as synchronous yet. */
static bool names_bind(PgNode *node, Err *err)
{
    NodeWork *work = node->run->work;
    bool sync = false;
    char *target = NULL;
    TRY(all_sync(node, &sync, err));
    if (!sync) {
        return true;
    }
    TRY(pg_exec(work->session, "CHECKPOINT", err));
    TRY(pg_exec(work->session, "CHECKPOINT", err));
    TRY(pg_value(work->session, node->run->arena, "SELECT pg_current_wal_insert_lsn()", NULL, 0,
                 &target, err));
    work->lead.proof_lsn = mem_strdup(target);
    return true;
}

bool pg_lead_prove(PgNode *node, Err *err)
{
    PgLead *lead = &node->run->work->lead;
    if (node->view.state != HA_STATE_LEADING || !lead->names_set || lead->names.len == 0) {
        return true;
    }
    if (lead->proof_lsn == NULL) {
        TRY(names_bind(node, err));
    }
    for (size_t i = 0; i < node->view.peers_len && lead->proof_lsn != NULL; i++) {
        HaPeer *peer = &node->view.peers[i];
        if (ha_set_has(&lead->names, &peer->incarnation)) {
            TRY(has_flushed(node, &peer->incarnation, lead->proof_lsn, &peer->bound, err));
        }
    }
    return true;
}
