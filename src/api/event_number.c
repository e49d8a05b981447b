/*
 * Of events that RDS has, too, its own id for them, by what is said in its words: those who look
 * for RDS-EVENT-0049 find it. (Amazon RDS User Guide, "Amazon RDS event categories and event
 * messages", "Working with RDS Proxy events".)
 */
#include "api/operations_priv.h"

static const struct {
    ResourceType type;
    const char *begins; /* of the message */
    const char *id;
} numbers[] = {
    {RESOURCE_DB_INSTANCE, "DB instance deleted", "RDS-EVENT-0003"},
    {RESOURCE_DB_INSTANCE, "DB instance created", "RDS-EVENT-0005"},
    {RESOURCE_DB_INSTANCE, "DB instance restarted", "RDS-EVENT-0006"},
    {RESOURCE_DB_INSTANCE, "Multi-AZ instance failover started", "RDS-EVENT-0013"},
    {RESOURCE_DB_INSTANCE, "Multi-AZ instance failover completed", "RDS-EVENT-0049"},
    {RESOURCE_DB_INSTANCE, "DB instance stopped", "RDS-EVENT-0087"},
    {RESOURCE_DB_INSTANCE, "DB instance started", "RDS-EVENT-0088"},
    {RESOURCE_DB_PROXY, "RDS created DB proxy ", "RDS-EVENT-0203"},
    {RESOURCE_DB_PROXY, "RDS deleted DB proxy ", "RDS-EVENT-0205"},
    {RESOURCE_DB_PROXY, "RDS created endpoint ", "RDS-EVENT-0206"},
    {RESOURCE_DB_PROXY, "RDS deleted endpoint ", "RDS-EVENT-0208"},
    {RESOURCE_DB_PROXY, "RDS detected the addition of ", "RDS-EVENT-0213"},
    {RESOURCE_DB_PROXY, "RDS detected the deletion of ", "RDS-EVENT-0214"},
};

const char *event_number(const json_t *event)
{
    const char *type = member_str(event, "type", "");
    Slice message = slice_of(member_str(event, "message", ""));
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        if (strcmp(type, resource_type_name(numbers[i].type)) == 0 &&
            slice_starts(message, numbers[i].begins)) {
            return numbers[i].id;
        }
    }
    return NULL;
}
