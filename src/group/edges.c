/*
 * Which steps a node may be told for its duty and state, and what it becomes by them. group_decide
 * chooses among these and no others; a test walks the table to show that each duty is reached from
 * every state, and draws it.
 */
#include "group/group.h"

#define LEAD        HA_DUTY_LEAD
#define FOLLOW      HA_DUTY_FOLLOW
#define REST        HA_DUTY_REST
#define LEAVE       HA_DUTY_LEAVE
#define STATE(name) HA_STATE_##name
#define STEP(name)  GROUP_STEP_##name

static const HaEdge edges[] = {
    {LEAD, STATE(EMPTY), STEP(MAKE), STATE(DOWN)},   /* nobody has data */
    {LEAD, STATE(EMPTY), STEP(WRITE), STATE(EMPTY)}, /* somebody has: those may lead */
    {LEAD, STATE(EMPTY), STEP(WAIT), STATE(EMPTY)},
    {LEAD, STATE(DOWN), STEP(WRITE), STATE(DOWN)}, /* claims the record, or sets it free */
    {LEAD, STATE(DOWN), STEP(START_LEADING), STATE(STARTING)},
    {LEAD, STATE(DOWN), STEP(WAIT), STATE(DOWN)},
    {LEAD, STATE(STUCK), STEP(KILL), STATE(DOWN)},
    {LEAD, STATE(STARTING), STEP(KILL), STATE(DOWN)},
    {LEAD, STATE(STARTING), STEP(WAIT), STATE(LEADING)},
    {LEAD, STATE(STARTING), STEP(WAIT), STATE(FOLLOWING)},
    {LEAD, STATE(FOLLOWING), STEP(WRITE), STATE(FOLLOWING)}, /* claims it; or frees it, demoted */
    {LEAD, STATE(FOLLOWING), STEP(PROMOTE), STATE(LEADING)},
    {LEAD, STATE(FOLLOWING), STEP(WAIT), STATE(FOLLOWING)}, /* free: the heir has its turn */
    {LEAD, STATE(LEADING), STEP(WRITE), STATE(LEADING)},
    {LEAD, STATE(LEADING), STEP(PAUSE), STATE(LEADING)},
    {LEAD, STATE(LEADING), STEP(DEMOTE), STATE(FOLLOWING)},
    {LEAD, STATE(LEADING), STEP(RESUME), STATE(LEADING)},
    {LEAD, STATE(LEADING), STEP(BIND), STATE(LEADING)},
    {LEAD, STATE(LEADING), STEP(ALONE), STATE(LEADING)},
    {LEAD, STATE(LEADING), STEP(KILL), STATE(DOWN)}, /* its term is free already */
    {LEAD, STATE(LEADING), STEP(WAIT), STATE(LEADING)},
    {LEAD, STATE(SILENT), STEP(KILL), STATE(DOWN)},
    {LEAD, STATE(SILENT), STEP(WAIT), STATE(LEADING)},

    {FOLLOW, STATE(EMPTY), STEP(MAKE), STATE(DOWN)},
    {FOLLOW, STATE(DOWN), STEP(START_FOLLOWING), STATE(STARTING)},
    {FOLLOW, STATE(STUCK), STEP(KILL), STATE(DOWN)},
    {FOLLOW, STATE(STARTING), STEP(WAIT), STATE(FOLLOWING)},
    {FOLLOW, STATE(FOLLOWING), STEP(WRITE), STATE(FOLLOWING)}, /* takes the lead, or sets it free */
    {FOLLOW, STATE(FOLLOWING), STEP(BID), STATE(FOLLOWING)},
    {FOLLOW, STATE(FOLLOWING), STEP(SOURCE), STATE(FOLLOWING)},
    {FOLLOW, STATE(FOLLOWING), STEP(DROP), STATE(FOLLOWING)}, /* it hears nobody */
    {FOLLOW, STATE(FOLLOWING), STEP(WAIT), STATE(FOLLOWING)},
    {FOLLOW, STATE(LEADING), STEP(SOURCE), STATE(FOLLOWING)}, /* it is deposed */
    {FOLLOW, STATE(SILENT), STEP(KILL), STATE(DOWN)},
    {FOLLOW, STATE(SILENT), STEP(WAIT), STATE(FOLLOWING)},

    {REST, STATE(EMPTY), STEP(WAIT), STATE(EMPTY)},
    {REST, STATE(DOWN), STEP(WAIT), STATE(DOWN)},
    {REST, STATE(STUCK), STEP(KILL), STATE(DOWN)},
    {REST, STATE(STARTING), STEP(STOP), STATE(DOWN)},
    {REST, STATE(FOLLOWING), STEP(STOP), STATE(DOWN)},
    {REST, STATE(LEADING), STEP(STOP), STATE(DOWN)},
    {REST, STATE(SILENT), STEP(KILL), STATE(DOWN)},

    {LEAVE, STATE(EMPTY), STEP(REMOVE), STATE(EMPTY)},
    {LEAVE, STATE(DOWN), STEP(REMOVE), STATE(EMPTY)},
    {LEAVE, STATE(STUCK), STEP(KILL), STATE(DOWN)},
    {LEAVE, STATE(STARTING), STEP(STOP), STATE(DOWN)},
    {LEAVE, STATE(FOLLOWING), STEP(STOP), STATE(DOWN)},
    {LEAVE, STATE(LEADING), STEP(STOP), STATE(DOWN)},
    {LEAVE, STATE(SILENT), STEP(KILL), STATE(DOWN)},
};

static const char *const step_names[GROUP_STEPS] = {
    "wait", "write",   "make", "start-leading", "start-following", "source",
    "drop", "promote", "bid",  "pause",         "demote",          "resume",
    "bind", "alone",   "stop", "kill",          "remove"};

const HaTable group_table = {edges, ARRAY_LEN(edges), step_names};

const char *group_step_name(GroupStep step)
{
    return step_names[step];
}
