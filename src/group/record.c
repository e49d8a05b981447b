/* A replication group's record and its JSON. */
#include <stdio.h>

#include "group/group.h"
#include "model/model.h"

bool group_record_parse(const json_t *json, GroupRecord *ret_record, Err *err)
{
    GroupRecord record = {.term = member_int(json, "term", 1),
                          .handover = member_int(json, "handover", 0),
                          .writes = member_int(json, "writes", 0)};
    const char *history = member_str(json, "history", "");
    if (strlen(history) >= GROUP_HISTORY_SIZE) {
        return err_set(err, ERR_INVALID, "a group's history is no replication id");
    }
    snprintf(record.history, sizeof(record.history), "%s", history);
    TRY(ha_id_read(json_object_get(json, "leader"), &record.leader, err));
    TRY(ha_id_read(json_object_get(json, "heir"), &record.heir, err));
    TRY(ha_id_read(json_object_get(json, "former"), &record.former, err));
    TRY(ha_phase_read(member_str(json, "phase", ha_phase_name(HA_PHASE_LEADING)), &record.phase,
                      err));
    TRY(ha_set_read(member_array(json, "set"), &record.set, err));
    *ret_record = record;
    return true;
}

void group_record_reset(GroupRecord *record)
{
    record->term += HA_TERMS_UNSURE;
    record->writes++;
    record->set.len = record->set.len > 1 ? 1 : record->set.len;
    record->phase = HA_PHASE_LEADING;
    record->heir = record->former = (HaId){0};
}

void group_record_let_lead(GroupRecord *record, const HaSet *others)
{
    record->writes++;
    record->history[0] = '\0';
    for (size_t i = 0; i < others->len; i++) {
        ha_set_add(&record->set, &others->items[i]);
    }
}

void group_record_put(const GroupRecord *record, json_t *json)
{
    json_object_set_new(json, "term", json_integer(record->term));
    json_object_set_new(json, "leader", json_string(record->leader.text));
    json_object_set_new(json, "phase", json_string(ha_phase_name(record->phase)));
    json_object_set_new(json, "set", ha_set_new(&record->set));
    json_object_set_new(json, "history", json_string(record->history));
    json_object_set_new(json, "heir", json_string(record->heir.text));
    json_object_set_new(json, "former", json_string(record->former.text));
    json_object_set_new(json, "handover", json_integer(record->handover));
    json_object_set_new(json, "writes", json_integer(record->writes));
}
