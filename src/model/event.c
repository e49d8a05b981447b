/*
 * Events: their records, and the ids of those that RDS has, too: who looks for RDS-EVENT-0049 finds
 * it. (Amazon RDS User Guide, "Amazon RDS event categories and event messages", "Working with RDS
 * Proxy events".)
 */
#include <inttypes.h>

#include "model/model.h"

json_t *event_new(Arena *arena, int64_t now_ms, ResourceType type, const char *id,
                  const char *category, const char *message, const char **ret_key)
{
    char suffix[7];
    random_id(suffix, sizeof(suffix) - 1);
    *ret_key = arena_printf(arena, "event/%013" PRId64 "-%s", now_ms, suffix);
    json_t *text = json_string(message);
    if (text == NULL) {
        text = json_string("(a message that is not UTF-8)");
    }
    json_t *event =
        json_pack("{s:s, s:s, s:o, s:[s], s:I}", "type", resource_type_name(type), "id", id,
                  "message", text, "categories", category, "time_ms", (json_int_t)now_ms);
    ASSERT(event != NULL);
    return event;
}

static const struct {
    ResourceType type;
    const char *begins; /* of the message */
    const char *id;
} known[] = {
    {RESOURCE_DB_INSTANCE, EVENT_INSTANCE_DELETED, "RDS-EVENT-0003"},
    {RESOURCE_DB_INSTANCE, EVENT_INSTANCE_CREATED, "RDS-EVENT-0005"},
    {RESOURCE_DB_INSTANCE, EVENT_INSTANCE_RESTARTED, "RDS-EVENT-0006"},
    {RESOURCE_DB_INSTANCE, EVENT_FAILOVER_STARTED, "RDS-EVENT-0013"},
    {RESOURCE_DB_INSTANCE, EVENT_FAILOVER_COMPLETED, "RDS-EVENT-0049"},
    {RESOURCE_DB_INSTANCE, EVENT_INSTANCE_STOPPED, "RDS-EVENT-0087"},
    {RESOURCE_DB_INSTANCE, EVENT_INSTANCE_STARTED, "RDS-EVENT-0088"},
    {RESOURCE_DB_PROXY, EVENT_PROXY_CREATED, "RDS-EVENT-0203"},
    {RESOURCE_DB_PROXY, EVENT_PROXY_DELETED, "RDS-EVENT-0205"},
    {RESOURCE_DB_PROXY, EVENT_ENDPOINT_CREATED, "RDS-EVENT-0206"},
    {RESOURCE_DB_PROXY, EVENT_ENDPOINT_DELETED, "RDS-EVENT-0208"},
    {RESOURCE_DB_PROXY, EVENT_TARGET_ADDED, "RDS-EVENT-0213"},
    {RESOURCE_DB_PROXY, EVENT_TARGET_REMOVED, "RDS-EVENT-0214"},
};

const char *event_rds_id(const json_t *event)
{
    const char *type = member_str(event, "type", "");
    Slice message = slice_of(member_str(event, "message", ""));
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (strcmp(type, resource_type_name(known[i].type)) == 0 &&
            slice_starts(message, known[i].begins)) {
            return known[i].id;
        }
    }
    return NULL;
}
