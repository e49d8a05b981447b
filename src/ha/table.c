/* Looking into a table of steps, and drawing it; and what duties and states are called. */
#include "ha/ha.h"

static const char *const duty_names[HA_DUTIES] = {"lead", "follow", "rest", "leave"};
static const char *const state_names[HA_STATES] = {"empty",     "down",      "stuck",   "starting",
                                                   "following", "promoting", "leading", "silent"};

const HaEdge *ha_table_find(const HaTable *table, HaDuty duty, HaState state, unsigned step)
{
    for (size_t i = 0; i < table->len; i++) {
        const HaEdge *edge = &table->edges[i];
        if (edge->duty == duty && edge->state == state && edge->step == step) {
            return edge;
        }
    }
    return NULL;
}

const char *ha_duty_name(HaDuty duty)
{
    return duty_names[duty];
}

const char *ha_state_name(HaState state)
{
    return state_names[state];
}

bool ha_state_parse(Slice name, HaState *ret_state)
{
    for (size_t i = 0; i < HA_STATES; i++) {
        if (slice_is(name, state_names[i])) {
            *ret_state = (HaState)i;
            return true;
        }
    }
    return false;
}

void ha_table_draw(const HaTable *table, Buf *out)
{
    for (size_t duty = 0; duty < HA_DUTIES; duty++) {
        buf_printf(out, "%sDuty **%s**:\n\n```mermaid\nstateDiagram-v2\n", duty > 0 ? "\n" : "",
                   duty_names[duty]);
        for (size_t i = 0; i < table->len; i++) {
            const HaEdge *edge = &table->edges[i];
            if (edge->duty == (HaDuty)duty && edge->then != edge->state) {
                buf_printf(out, "    %s --> %s: %s\n", state_names[edge->state],
                           state_names[edge->then], table->step_names[edge->step]);
            }
        }
        buf_append_slice(out, SLICE("```\n"));
    }
}
