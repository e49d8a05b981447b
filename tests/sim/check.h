/* The checkers of the promises (check.c). */
#ifndef WEIR_SIM_CHECK_H
#define WEIR_SIM_CHECK_H

#include "engine.h"

typedef struct Check {
    int64_t leader_term; /* of the last leader that opened */
    int leader;
    VEC(uint32_t) kept; /* records that clients were told of, or have read */
    int64_t last_ack;
    int64_t gap_max; /* between acknowledged writes, since everything was there */
    int64_t gap_at;
    bool counts; /* gaps count */
    int64_t first_term;
    int64_t acks;
    int64_t reads;
    int64_t terms;
    int64_t cuts;
    int64_t lost;         /* acknowledged by plain groups, as docs/failover.md says */
    int64_t lost_durable; /* and by durable ones, for one of the reasons said there */
    int64_t ghosts;       /* members that were let in while their data was being changed */
} Check;

void check_record(World *w, const HaRecord *before, const HaRecord *after);
void check_open(World *w, Node *node);
void check_ack(World *w, uint32_t op);
void check_read(World *w, uint32_t op);
void check_change(World *w, const Node *node, const HaSet *known, const char *how);
void check_need(World *w, const Node *node, const Node *source); /* who knows the term */
void check_last(World *w, const Node *node, const HaRecord *known);
void check_copy(World *w, const Node *node);
void check_follow(World *w, const Node *standby, const Node *source, size_t from);
bool check_settled(World *w);
void check_end(World *w);
/* Somebody has allowed that what this node does not have is lost. */
void check_give_up(World *w, const Node *node);

#endif
