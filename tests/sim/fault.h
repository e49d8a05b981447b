/* What goes wrong: fault.c, and lost.c where hosts are lost for good. */
#ifndef WEIR_SIM_FAULT_H
#define WEIR_SIM_FAULT_H

#include "clock.h"

typedef struct Fault {
    const char *name;
    int weight;
    int64_t gap_limit; /* of a single one, where everything was well; 0: it is not tried alone */
    bool same_term;    /* alone it must not cost a term */
    bool several;      /* it needs several hosts */
    void (*strike)(World *w, bool alone);
} Fault;

void fault_begin(World *w);
void fault_end_all(World *w);
void fault_at_change(World *w);       /* the record was written: a good moment */
int fault_host(World *w);             /* any */
int fault_node(World *w, bool alone); /* the leader, alone; else any, and most often the leader */
int fault_other(World *w);            /* than the leader */
void fault_kill_agent(World *w, bool alone);
void fault_pause_agent(World *w, bool alone);
void fault_cut_link(World *w, bool alone);
void fault_isolate(World *w, bool alone);
void fault_slow(World *w, bool alone);
void fault_store(World *w, bool alone);
void fault_lose_hosts(World *w, bool alone); /* lost.c */
#define SIM_CLUSTER_FAULTS 24
extern const Fault cluster_faults[SIM_CLUSTER_FAULTS];

#endif
