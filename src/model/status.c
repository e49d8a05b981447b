/* The status that clients see: control's word, as far as it speaks of the present spec. */
#include "model/model.h"

static const char *status_member(ResourceType type)
{
    return type == RESOURCE_DB_INSTANCE ? "DBInstanceStatus" : "Status";
}

static bool has_status(ResourceType type)
{
    return type == RESOURCE_DB_INSTANCE || type == RESOURCE_DB_PROXY ||
           type == RESOURCE_DB_PROXY_ENDPOINT || type == RESOURCE_REPLICATION_GROUP;
}

/* What an instance is about to do, before control has said so. */
static const char *instance_intent(const json_t *spec, const json_t *status)
{
    bool stop = strcmp(member_str(spec, "desired_state", "running"), "stopped") == 0;
    const char *shown = member_str(status, "DBInstanceStatus", "");
    if (stop && strcmp(shown, "stopped") != 0) {
        return "stopping";
    }
    if (!stop && (strcmp(shown, "stopped") == 0 || strcmp(shown, "stopping") == 0)) {
        return "starting";
    }
    if (member_int(spec, "reboot_epoch", 0) > member_int(status, "reboot_epoch", 0) ||
        member_int(spec, "failover_epoch", 0) > member_int(status, "failover_epoch", 0)) {
        return "rebooting";
    }
    return "modifying";
}

const char *resource_status(ResourceType type, const json_t *spec, const json_t *status)
{
    if (!has_status(type)) {
        return "active";
    }
    const char *shown = member_str(status, status_member(type), "creating");
    if (member_bool(spec, "deleting", false)) {
        return "deleting";
    }
    if (status == NULL || strcmp(shown, "creating") == 0 ||
        member_int(status, "generation", 0) >= member_int(spec, "generation", 1)) {
        return shown;
    }
    return type == RESOURCE_DB_INSTANCE ? instance_intent(spec, status) : "modifying";
}
