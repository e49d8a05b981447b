/* A replication group's record and its JSON. */
#include <stdio.h>

#include "group/group.h"
#include "model/model.h"

static const char *const phases[] = {"leading", "yielding", "free"};

static bool id_read(const json_t *value, HaId *ret_id, Err *err)
{
    const char *text = value != NULL ? json_string_value(value) : "";
    if (text == NULL || strlen(text) >= HA_ID_SIZE) {
        return err_set(err, ERR_INVALID, "a group's record names nobody by what it has");
    }
    *ret_id = ha_id(text);
    return true;
}

static bool set_read(const json_t *json, HaSet *ret_set, Err *err)
{
    if (json_array_size(json) > HA_SET_MAX) {
        return err_set(err, ERR_LIMIT, "a group's set has more than %d members", HA_SET_MAX);
    }
    size_t i;
    json_t *item;
    json_array_foreach (json, i, item) {
        HaId id;
        TRY(id_read(item, &id, err));
        ha_set_add(ret_set, &id);
    }
    return true;
}

static bool phase_read(const char *name, HaPhase *ret_phase, Err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(phases); i++) {
        if (strcmp(phases[i], name) == 0) {
            *ret_phase = (HaPhase)i;
            return true;
        }
    }
    return err_set(err, ERR_INVALID, "a group's record is in the phase \"%s\"", name);
}

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
    TRY(id_read(json_object_get(json, "leader"), &record.leader, err));
    TRY(id_read(json_object_get(json, "heir"), &record.heir, err));
    TRY(phase_read(member_str(json, "phase", phases[HA_PHASE_LEADING]), &record.phase, err));
    TRY(set_read(member_array(json, "set"), &record.set, err));
    *ret_record = record;
    return true;
}

void group_record_put(const GroupRecord *record, json_t *json)
{
    json_t *set = json_array();
    for (size_t i = 0; i < record->set.len; i++) {
        json_array_append_new(set, json_string(record->set.items[i].text));
    }
    json_object_set_new(json, "term", json_integer(record->term));
    json_object_set_new(json, "leader", json_string(record->leader.text));
    json_object_set_new(json, "phase", json_string(phases[record->phase]));
    json_object_set_new(json, "set", set);
    json_object_set_new(json, "history", json_string(record->history));
    json_object_set_new(json, "heir", json_string(record->heir.text));
    json_object_set_new(json, "handover", json_integer(record->handover));
    json_object_set_new(json, "writes", json_integer(record->writes));
}
