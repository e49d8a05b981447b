/*
 * What a front is told of a replication group's members beyond its goal: who leads, who runs, and
 * whether commands are to be held because the leader is about to hand over. By the group's record
 * and what the members' agents saw.
 */
#include "agent/plane/plane_parts_priv.h"

static json_t *seen_of(const AgentOptions *options, const char *node)
{
    return mirror_record_new(options->mirror, "node/%s/seen", node);
}

static bool record_of(const AgentOptions *options, const char *cluster, GroupRecord *ret_record)
{
    CLEANUP(record_free_ptr)
    json_t *json = mirror_record_new(options->mirror, "cluster/%s", cluster);
    return json != NULL && group_record_parse(json, ret_record, NULL);
}

static bool is_in_state(const json_t *seen, HaState state)
{
    return strcmp(member_str(seen, "ha", ""), ha_state_name(state)) == 0;
}

/* Not before its engine takes writes, in the term that the record gave to it. One that is silent
 * may just be computing: its clients stay with it until the record says otherwise. */
static bool leads(const GroupRecord *record, const char *node, const json_t *seen)
{
    return group_record_serves(record) && strcmp(record->leader.text, node) == 0 &&
           (is_in_state(seen, HA_STATE_LEADING) || is_in_state(seen, HA_STATE_SILENT)) &&
           member_int(seen, "term", 0) == record->term;
}

json_t *plane_group_member(const AgentOptions *options, const char *cluster, const char *node)
{
    GroupRecord record;
    CLEANUP(record_free_ptr) json_t *seen = seen_of(options, node);
    bool known = record_of(options, cluster, &record);
    bool primary = known && leads(&record, node, seen);
    bool handed = known && strcmp(record.former.text, node) == 0;
    bool runs = strcmp(member_str(seen, "state", ""), "running") == 0;
    return json_pack("{s:s, s:b, s:b}", "role", primary ? "primary" : "replica", "available", runs,
                     "handed", handed);
}

bool plane_group_yields(const AgentOptions *options, const char *cluster)
{
    GroupRecord record;
    return record_of(options, cluster, &record) && record.phase == HA_PHASE_YIELDING;
}
