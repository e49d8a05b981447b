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

static const GroupEdge edges[] = {
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
    {LEAD, STATE(LEADING), STEP(KILL), STATE(DOWN)}, /* its term is free already */
    {LEAD, STATE(LEADING), STEP(WAIT), STATE(LEADING)},
    {LEAD, STATE(SILENT), STEP(KILL), STATE(DOWN)},
    {LEAD, STATE(SILENT), STEP(WAIT), STATE(LEADING)},

    {FOLLOW, STATE(EMPTY), STEP(MAKE), STATE(DOWN)},
    {FOLLOW, STATE(DOWN), STEP(START_FOLLOWING), STATE(STARTING)},
    {FOLLOW, STATE(STUCK), STEP(KILL), STATE(DOWN)},
    {FOLLOW, STATE(STARTING), STEP(WAIT), STATE(FOLLOWING)},
    {FOLLOW, STATE(FOLLOWING), STEP(WRITE), STATE(FOLLOWING)}, /* takes the lead */
    {FOLLOW, STATE(FOLLOWING), STEP(BID), STATE(FOLLOWING)},
    {FOLLOW, STATE(FOLLOWING), STEP(SOURCE), STATE(FOLLOWING)},
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
    "wait",   "write",   "make", "start-leading", "start-following",
    "source", "promote", "bid",  "pause",         "demote",
    "resume", "stop",    "kill", "remove"};

const GroupEdge *group_edges(size_t *ret_len)
{
    *ret_len = ARRAY_LEN(edges);
    return edges;
}

const GroupEdge *group_edge_find(HaDuty duty, HaState state, GroupStep step)
{
    for (size_t i = 0; i < ARRAY_LEN(edges); i++) {
        if (edges[i].duty == duty && edges[i].state == state && edges[i].step == step) {
            return &edges[i];
        }
    }
    return NULL;
}

const char *group_step_name(GroupStep step)
{
    return step_names[step];
}

void group_edges_draw(Buf *out)
{
    for (size_t duty = 0; duty < HA_DUTIES; duty++) {
        buf_printf(out, "%sDuty **%s**:\n\n```mermaid\nstateDiagram-v2\n", duty > 0 ? "\n" : "",
                   ha_duty_name((HaDuty)duty));
        for (size_t i = 0; i < ARRAY_LEN(edges); i++) {
            if (edges[i].duty == (HaDuty)duty && edges[i].then != edges[i].state) {
                buf_printf(out, "    %s --> %s: %s\n", ha_state_name(edges[i].state),
                           ha_state_name(edges[i].then), step_names[edges[i].step]);
            }
        }
        buf_append_slice(out, SLICE("```\n"));
    }
}
