/* What decide.c and lead.c have of each other. */
#ifndef WEIR_HA_PRIV_H
#define WEIR_HA_PRIV_H

#include "ha/ha.h"

HaDecision ha_lead(const HaView *view);

static inline HaDecision ha_do(HaStep step, const char *why)
{
    return (HaDecision){.step = step, .why = why};
}

/* `again_ms` 0: whatever is waited for is told. */
static inline HaDecision ha_wait(const char *why, int64_t again_ms)
{
    return (HaDecision){.step = HA_STEP_WAIT, .why = why, .again_ms = again_ms};
}

static inline HaDecision ha_stuck(const char *why)
{
    return (HaDecision){.step = HA_STEP_WAIT, .why = why, .again_ms = HA_SOON_MS, .stuck = true};
}

static inline HaDecision ha_rest(void)
{
    return (HaDecision){.step = HA_STEP_WAIT, .why = "", .done = true};
}

/* The record as it is, counted once more; the caller changes the rest. */
static inline HaDecision ha_write(const HaView *view, const char *why)
{
    HaDecision decision = {.step = HA_STEP_WRITE, .why = why, .record = view->record};
    decision.record.writes++;
    return decision;
}

/* A node of the set, other than this one, whose engine could be promoted; NULL: there is none. */
const HaPeer *ha_taker(const HaView *view);
const HaPeer *ha_peer_of_node(const HaView *view, const HaId *node);
const HaPeer *ha_peer_of_incarnation(const HaView *view, const HaId *incarnation);
static inline bool ha_in_set(const HaView *view)
{
    return ha_set_has(&view->record.set, &view->incarnation);
}
/* The leader's timeline, and how that came to be. */
void ha_record_tell(HaRecord *record, const HaView *view);
/* Somebody has led; or nobody knows, for the record is a copy of when nobody had. */
static inline bool ha_may_have_begun(const HaRecord *record)
{
    return record->set.len > 0 || record->unsure;
}
/* By somebody's word. */
static inline bool ha_is_admitted(const HaView *view)
{
    return !ha_id_is_empty(&view->incarnation) &&
           ha_id_eq(&view->record.admitted, &view->incarnation);
}
static inline bool ha_may_lead(const HaView *view)
{
    return ha_in_set(view) || ha_is_admitted(view);
}

#endif
