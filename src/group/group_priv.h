/* What decide.c and lead.c have of each other. */
#ifndef WEIR_GROUP_PRIV_H
#define WEIR_GROUP_PRIV_H

#include "group/group.h"

GroupDecision group_lead(const GroupView *view);

static inline GroupDecision group_do(GroupStep step, const char *why)
{
    return (GroupDecision){.step = step, .why = why};
}

static inline GroupDecision group_wait(const char *why, int64_t again_ms)
{
    return (GroupDecision){.step = GROUP_STEP_WAIT, .why = why, .again_ms = again_ms};
}

static inline GroupDecision group_rest(void)
{
    return (GroupDecision){.step = GROUP_STEP_WAIT, .why = "", .done = true};
}

/* The record as it is, counted once more; the caller changes the rest. */
static inline GroupDecision group_write(const GroupView *view, const char *why)
{
    GroupDecision decision = {.step = GROUP_STEP_WRITE, .why = why, .record = view->record};
    decision.record.writes++;
    return decision;
}

/* A process that answers nobody: whether it is to be ended. */
GroupDecision group_silent(const GroupView *view, bool could_be_replaced);
/* Whether a peer could take the lead. */
bool group_could_lead(const GroupView *view, const GroupPeer *peer);
bool group_has_taker(const GroupView *view);
/* What was acknowledged is on some replica of the set, and it is not known on which: they are
 * compared before one leads. Not where nobody's history is the record's any more. */
static inline bool group_is_counted(const GroupView *view)
{
    return view->durable && view->record.history[0] != '\0';
}
static inline bool group_in_set(const GroupView *view)
{
    return ha_set_has(&view->record.set, &view->incarnation);
}

#endif
