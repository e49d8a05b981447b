/* The cluster's record: sets of incarnations, and its JSON. Of its timelines: timeline.c. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ha/ha_priv.h"
#include "model/model.h"

static const char *const phases[] = {"leading", "yielding", "free"};

/* ---- ids and sets ------------------------------------------------------------------------------
 */

HaId ha_id(const char *text)
{
    HaId id = {0};
    size_t len = strlen(text);
    ASSERT(len < HA_ID_SIZE);
    memcpy(id.text, text, len);
    return id;
}

bool ha_id_eq(const HaId *a, const HaId *b)
{
    return strcmp(a->text, b->text) == 0;
}

bool ha_id_is_empty(const HaId *id)
{
    return id->text[0] == '\0';
}

bool ha_set_has(const HaSet *set, const HaId *id)
{
    for (size_t i = 0; i < set->len; i++) {
        if (ha_id_eq(&set->items[i], id)) {
            return true;
        }
    }
    return false;
}

void ha_set_add(HaSet *set, const HaId *id)
{
    if (!ha_id_is_empty(id) && set->len < HA_SET_MAX && !ha_set_has(set, id)) {
        set->items[set->len++] = *id;
    }
}

bool ha_set_eq(const HaSet *a, const HaSet *b)
{
    bool equal = a->len == b->len;
    for (size_t i = 0; i < a->len && equal; i++) {
        equal = ha_set_has(b, &a->items[i]);
    }
    return equal;
}

HaSet ha_standbys(const HaRecord *record, const HaId *self, const HaId *joining)
{
    HaSet standbys = {.len = 0};
    for (size_t i = 0; i < record->set.len; i++) {
        if (!ha_id_eq(&record->set.items[i], self)) {
            ha_set_add(&standbys, &record->set.items[i]);
        }
    }
    ha_set_add(&standbys, joining);
    return standbys;
}

/* ---- a copy of the past ----------------------------------------------------------------------
 */

/* The data that the set names is on the timeline that it had, unless it was promoted since
 * (lead.c): following another one, or going back, would have made other data of it. */
void ha_record_reset(HaRecord *record)
{
    bool known = ha_record_timeline(record) != 0;
    record->term += HA_TERMS_UNSURE;
    record->writes++;
    record->history_term = known ? record->term : record->history_term;
    record->unsure = true;
    record->set.len = record->set.len > 1 ? 1 : record->set.len;
    record->phase = HA_PHASE_LEADING;
    record->proven = false;
    record->admitted = record->heir = (HaId){0};
}

/* ---- JSON --------------------------------------------------------------------------------------
 */

bool ha_id_read(const json_t *value, HaId *ret_id, Err *err)
{
    const char *text = value != NULL ? json_string_value(value) : "";
    if (text == NULL || strlen(text) >= HA_ID_SIZE) {
        return err_set(err, ERR_INVALID, "a record names nobody by what it has");
    }
    *ret_id = ha_id(text);
    return true;
}

bool ha_set_read(const json_t *array, HaSet *ret_set, Err *err)
{
    if (json_array_size(array) > HA_SET_MAX) {
        return err_set(err, ERR_LIMIT, "a record's set has more than %d members", HA_SET_MAX);
    }
    size_t i;
    json_t *item;
    json_array_foreach (array, i, item) {
        HaId id;
        TRY(ha_id_read(item, &id, err));
        ha_set_add(ret_set, &id);
    }
    return true;
}

json_t *ha_set_new(const HaSet *set)
{
    json_t *array = json_array();
    for (size_t i = 0; i < set->len; i++) {
        json_array_append_new(array, json_string(set->items[i].text));
    }
    return array;
}

bool ha_phase_read(const char *name, HaPhase *ret_phase, Err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(phases); i++) {
        if (strcmp(phases[i], name) == 0) {
            *ret_phase = (HaPhase)i;
            return true;
        }
    }
    return err_set(err, ERR_INVALID, "a record is in the phase \"%s\"", name);
}

const char *ha_phase_name(HaPhase phase)
{
    return phases[phase];
}

static bool history_read(const json_t *json, HaRecord *record, Err *err)
{
    if (json_array_size(json) > HA_HISTORY_MAX) {
        return err_set(err, ERR_LIMIT, "a cluster's history has more than %d timelines",
                       HA_HISTORY_MAX);
    }
    size_t i;
    json_t *item;
    json_array_foreach (json, i, item) {
        record->history[record->history_len++] =
            (HaFork){.timeline = member_int(item, "timeline", 0),
                     .lsn = strtoull(member_str(item, "lsn", "0"), NULL, 16)};
    }
    return true;
}

bool ha_record_may_have_begun(const json_t *json)
{
    return json_array_size(json_object_get(json, "set")) > 0 || member_bool(json, "unsure", false);
}

bool ha_record_parse(const json_t *json, HaRecord *ret_record, Err *err)
{
    HaRecord record = {.term = member_int(json, "term", 1),
                       .proven = member_bool(json, "proven", true),
                       .strict = member_bool(json, "strict", false),
                       .handover = member_int(json, "handover", 0),
                       .writes = member_int(json, "writes", 0),
                       .unsure = member_bool(json, "unsure", false),
                       .history_term = member_int(json, "history_term", 0)};
    TRY(ha_id_read(json_object_get(json, "leader"), &record.leader, err));
    TRY(ha_id_read(json_object_get(json, "heir"), &record.heir, err));
    TRY(ha_id_read(json_object_get(json, "admitted"), &record.admitted, err));
    TRY(ha_phase_read(member_str(json, "phase", phases[HA_PHASE_LEADING]), &record.phase, err));
    TRY(ha_set_read(member_array(json, "set"), &record.set, err));
    TRY(history_read(member_array(json, "history"), &record, err));
    *ret_record = record;
    return true;
}

void ha_record_put(const HaRecord *record, json_t *json)
{
    json_t *history = json_array();
    for (size_t i = 0; i < record->history_len; i++) {
        char lsn[17];
        snprintf(lsn, sizeof(lsn), "%" PRIx64, record->history[i].lsn);
        json_array_append_new(history,
                              json_pack("{s:I, s:s}", "timeline",
                                        (json_int_t)record->history[i].timeline, "lsn", lsn));
    }
    json_object_set_new(json, "term", json_integer(record->term));
    json_object_set_new(json, "leader", json_string(record->leader.text));
    json_object_set_new(json, "phase", json_string(phases[record->phase]));
    json_object_set_new(json, "proven", json_boolean(record->proven));
    json_object_set_new(json, "strict", json_boolean(record->strict));
    json_object_set_new(json, "set", ha_set_new(&record->set));
    json_object_set_new(json, "admitted", json_string(record->admitted.text));
    json_object_set_new(json, "heir", json_string(record->heir.text));
    json_object_set_new(json, "handover", json_integer(record->handover));
    json_object_set_new(json, "writes", json_integer(record->writes));
    json_object_set_new(json, "history", history);
    json_object_set_new(json, "unsure", json_boolean(record->unsure));
    json_object_set_new(json, "history_term", json_integer(record->history_term));
}
