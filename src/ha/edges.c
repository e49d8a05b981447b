/*
 * Which steps a node may be told for its duty and state, and what it becomes by them. ha_decide
 * chooses among these and no others; a test walks the table to show that each duty is reached from
 * every state, and draws it.
 */
#include "ha/ha.h"

#define LEAD        HA_DUTY_LEAD
#define FOLLOW      HA_DUTY_FOLLOW
#define REST        HA_DUTY_REST
#define LEAVE       HA_DUTY_LEAVE
#define STATE(name) HA_STATE_##name
#define STEP(name)  HA_STEP_##name

static const HaEdge edges[] = {
    {LEAD, STATE(EMPTY), STEP(MAKE), STATE(DOWN)},
    {LEAD, STATE(EMPTY), STEP(WRITE), STATE(EMPTY)}, /* its data is lost: another one may lead */
    {LEAD, STATE(EMPTY), STEP(WAIT), STATE(EMPTY)},
    {LEAD, STATE(DOWN), STEP(WRITE), STATE(DOWN)}, /* claims the record, or sets it free */
    {LEAD, STATE(DOWN), STEP(START_LEADING), STATE(STARTING)},
    {LEAD, STATE(DOWN), STEP(START_FOLLOWING), STATE(STARTING)}, /* and is promoted then */
    {LEAD, STATE(DOWN), STEP(WAIT), STATE(DOWN)},
    {LEAD, STATE(STUCK), STEP(KILL), STATE(DOWN)},
    {LEAD, STATE(STARTING), STEP(KILL), STATE(DOWN)},
    {LEAD, STATE(STARTING), STEP(WAIT), STATE(LEADING)},
    {LEAD, STATE(STARTING), STEP(WAIT), STATE(FOLLOWING)}, /* started so, to be promoted */
    {LEAD, STATE(FOLLOWING), STEP(WRITE), STATE(FOLLOWING)},
    {LEAD, STATE(FOLLOWING), STEP(PROMOTE), STATE(PROMOTING)},
    {LEAD, STATE(FOLLOWING), STEP(KILL), STATE(DOWN)},
    {LEAD, STATE(FOLLOWING), STEP(WAIT), STATE(FOLLOWING)}, /* its data is not the record's */
    {LEAD, STATE(PROMOTING), STEP(KILL), STATE(DOWN)},
    {LEAD, STATE(PROMOTING), STEP(WAIT), STATE(LEADING)},
    {LEAD, STATE(LEADING), STEP(WRITE), STATE(LEADING)},
    {LEAD, STATE(LEADING), STEP(NAMES), STATE(LEADING)},
    {LEAD, STATE(LEADING), STEP(OPEN), STATE(LEADING)},
    {LEAD, STATE(LEADING), STEP(STOP), STATE(DOWN)}, /* a planned change */
    {LEAD, STATE(LEADING), STEP(KILL), STATE(DOWN)}, /* its term is free already */
    {LEAD, STATE(LEADING), STEP(WAIT), STATE(LEADING)},
    {LEAD, STATE(SILENT), STEP(KILL), STATE(DOWN)},
    {LEAD, STATE(SILENT), STEP(WAIT), STATE(LEADING)},

    {FOLLOW, STATE(EMPTY), STEP(COPY), STATE(DOWN)},
    {FOLLOW, STATE(EMPTY), STEP(WAIT), STATE(EMPTY)},
    {FOLLOW, STATE(DOWN), STEP(REJOIN), STATE(DOWN)},
    {FOLLOW, STATE(DOWN), STEP(START_FOLLOWING), STATE(STARTING)},
    {FOLLOW, STATE(DOWN), STEP(WAIT), STATE(DOWN)},
    {FOLLOW, STATE(STUCK), STEP(KILL), STATE(DOWN)},
    {FOLLOW, STATE(STARTING), STEP(WAIT), STATE(FOLLOWING)},
    {FOLLOW, STATE(FOLLOWING), STEP(WRITE), STATE(FOLLOWING)}, /* takes the lead */
    {FOLLOW, STATE(FOLLOWING), STEP(SOURCE), STATE(FOLLOWING)},
    {FOLLOW, STATE(FOLLOWING), STEP(STOP), STATE(DOWN)},
    {FOLLOW, STATE(FOLLOWING), STEP(WAIT), STATE(FOLLOWING)},
    {FOLLOW, STATE(PROMOTING), STEP(KILL), STATE(DOWN)},
    {FOLLOW, STATE(LEADING), STEP(KILL), STATE(DOWN)}, /* it is deposed */
    {FOLLOW, STATE(SILENT), STEP(KILL), STATE(DOWN)},
    {FOLLOW, STATE(SILENT), STEP(WAIT), STATE(FOLLOWING)},

    {REST, STATE(EMPTY), STEP(WAIT), STATE(EMPTY)},
    {REST, STATE(DOWN), STEP(WAIT), STATE(DOWN)},
    {REST, STATE(STUCK), STEP(KILL), STATE(DOWN)},
    {REST, STATE(STARTING), STEP(STOP), STATE(DOWN)},
    {REST, STATE(FOLLOWING), STEP(STOP), STATE(DOWN)},
    {REST, STATE(PROMOTING), STEP(STOP), STATE(DOWN)},
    {REST, STATE(LEADING), STEP(STOP), STATE(DOWN)},
    {REST, STATE(SILENT), STEP(KILL), STATE(DOWN)},

    {LEAVE, STATE(EMPTY), STEP(REMOVE), STATE(EMPTY)},
    {LEAVE, STATE(DOWN), STEP(REMOVE), STATE(EMPTY)},
    {LEAVE, STATE(STUCK), STEP(KILL), STATE(DOWN)},
    {LEAVE, STATE(STARTING), STEP(STOP), STATE(DOWN)},
    {LEAVE, STATE(FOLLOWING), STEP(STOP), STATE(DOWN)},
    {LEAVE, STATE(PROMOTING), STEP(STOP), STATE(DOWN)},
    {LEAVE, STATE(LEADING), STEP(STOP), STATE(DOWN)},
    {LEAVE, STATE(SILENT), STEP(KILL), STATE(DOWN)},
};

static const char *const step_names[HA_STEPS] = {
    "wait",   "write",   "make",  "copy", "rejoin", "start-leading", "start-following",
    "source", "promote", "names", "open", "stop",   "kill",          "remove"};

const HaTable ha_table = {edges, ARRAY_LEN(edges), step_names};

const char *ha_step_name(HaStep step)
{
    return step_names[step];
}
