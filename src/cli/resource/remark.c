/* Why a resource is not as it should be, said once it has been so for a while: what passes by
 * itself is no news. The clock is the caller's. */
#include "cli/resource/resources_priv.h"

#define REMARK_LASTS_MS 1000

const char *remark_of_state(const json_t *remarks, ResourceType type, const char *id)
{
    size_t i;
    const json_t *remark;
    json_array_foreach (remarks, i, remark) {
        if (strcmp(member_str(remark, "Kind", ""), "state") == 0 &&
            strcmp(member_str(remark, "ResourceType", ""), resource_type_name(type)) == 0 &&
            slice_is_nocase(slice_of(member_str(remark, "ResourceId", "")), id)) {
            return member_str(remark, "Message", NULL);
        }
    }
    return NULL;
}

bool remark_is_due(RemarkWatch *watch, const char *text, int64_t now_ms)
{
    if (text == NULL || watch->text == NULL || strcmp(watch->text, text) != 0) {
        mem_free(watch->text);
        *watch = (RemarkWatch){.text = mem_strdup(text), .since_ms = now_ms};
        return false;
    }
    bool due = !watch->shown && now_ms - watch->since_ms >= REMARK_LASTS_MS;
    watch->shown = watch->shown || due;
    return due;
}

void remark_watch_done(RemarkWatch *watch)
{
    mem_free(watch->text);
    *watch = (RemarkWatch){0};
}
