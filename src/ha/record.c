/* The cluster's record: sets of incarnations, the history of timelines, and its JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ha/ha.h"
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

/* ---- timelines ---------------------------------------------------------------------------------
 */

int64_t ha_record_timeline(const HaRecord *record)
{
    return record->history_len > 0 && record->history_term == record->term
               ? record->history[record->history_len - 1].timeline
               : 0;
}

bool ha_record_fork(const HaRecord *record, int64_t timeline, HaFork *ret_fork)
{
    for (size_t i = 0; i < record->history_len; i++) {
        if (record->history[i].timeline > timeline) { /* the first one that left it */
            *ret_fork = record->history[i];
            return true;
        }
    }
    return false;
}

bool ha_record_diverged(const HaRecord *record, int64_t timeline, uint64_t lsn)
{
    HaFork fork;
    if (ha_record_fork(record, timeline, &fork)) {
        return lsn > fork.lsn;
    }
    /* Newer than all that is known: the leader's own, where it has not told of it yet. */
    int64_t newest =
        record->history_len > 0 ? record->history[record->history_len - 1].timeline : 0;
    return ha_record_timeline(record) != 0 && timeline > newest;
}

/* ---- JSON --------------------------------------------------------------------------------------
 */

static bool id_read(const json_t *json, HaId *ret_id, Err *err)
{
    const char *text = json_string_value(json);
    if (text == NULL || strlen(text) >= HA_ID_SIZE) {
        return err_set(err, ERR_INVALID, "a cluster's record names nobody by what it has");
    }
    *ret_id = ha_id(text);
    return true;
}

static bool member_id(const json_t *json, const char *member, HaId *ret_id, Err *err)
{
    const json_t *value = json_object_get(json, member);
    if (value == NULL) {
        *ret_id = (HaId){0};
        return true;
    }
    return id_read(value, ret_id, err);
}

static bool set_read(const json_t *json, HaSet *ret_set, Err *err)
{
    if (json_array_size(json) > HA_SET_MAX) {
        return err_set(err, ERR_LIMIT, "a cluster's set has more than %d members", HA_SET_MAX);
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

static bool phase_read(const char *name, HaPhase *ret_phase, Err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(phases); i++) {
        if (strcmp(phases[i], name) == 0) {
            *ret_phase = (HaPhase)i;
            return true;
        }
    }
    return err_set(err, ERR_INVALID, "a cluster's record is in the phase \"%s\"", name);
}

bool ha_record_parse(const json_t *json, HaRecord *ret_record, Err *err)
{
    HaRecord record = {.term = member_int(json, "term", 1),
                       .proven = member_bool(json, "proven", true),
                       .strict = member_bool(json, "strict", false),
                       .handover = member_int(json, "handover", 0),
                       .writes = member_int(json, "writes", 0),
                       .history_term = member_int(json, "history_term", 0)};
    TRY(member_id(json, "leader", &record.leader, err));
    TRY(member_id(json, "heir", &record.heir, err));
    TRY(phase_read(member_str(json, "phase", phases[HA_PHASE_LEADING]), &record.phase, err));
    TRY(set_read(member_array(json, "set"), &record.set, err));
    TRY(history_read(member_array(json, "history"), &record, err));
    *ret_record = record;
    return true;
}

void ha_record_put(const HaRecord *record, json_t *json)
{
    json_t *set = json_array();
    for (size_t i = 0; i < record->set.len; i++) {
        json_array_append_new(set, json_string(record->set.items[i].text));
    }
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
    json_object_set_new(json, "set", set);
    json_object_set_new(json, "heir", json_string(record->heir.text));
    json_object_set_new(json, "handover", json_integer(record->handover));
    json_object_set_new(json, "writes", json_integer(record->writes));
    json_object_set_new(json, "history", history);
    json_object_set_new(json, "history_term", json_integer(record->history_term));
}
