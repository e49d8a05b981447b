/* Shared by the files of serve. */
#ifndef WEIR_SERVE_PRIV_H
#define WEIR_SERVE_PRIV_H

#include "agent/agent.h"
#include "control/control.h"
#include "loop/loop.h"
#include "serve/etcd_own_priv.h"
#include "serve/tier_priv.h"

/* Runs control's rounds: after each change of the store, and now and then. Loop thread; the rounds
 * are jobs, one at a time. */
typedef struct ControlRunner ControlRunner;

NODISCARD bool control_runner_new(Loop *loop, Jobs *jobs, const Tier *tier, Agent *agent,
                                  ControlRunner **ret_runner, Err *err);
void control_runner_free(ControlRunner *runner); /* the jobs are over; NULL is fine */

/* The API: its listeners, and what it asks of this host. */
typedef struct ApiRunner ApiRunner;

/* On the loop's thread. */
typedef struct ApiRunnerEvents {
    LoopFn *stop;  /* somebody asked for the tier to stop */
    LoopFn *again; /* serve is to start again: the store moves then (move.c) */
    void *user;
} ApiRunnerEvents;

NODISCARD bool api_runner_new(Loop *loop, Jobs *jobs, const Tier *tier,
                              const ApiRunnerEvents *events, ApiRunner **ret_runner, Err *err);
/* Who knows the hosts, and which of them keep the store (NULL: none does); before the loop runs. */
void api_runner_set_hosts(ApiRunner *runner, Agent *agent, EtcdKeeper *etcd);
void api_runner_free(ApiRunner *runner); /* the jobs are over; NULL is fine */

/* chaos.c: does it to the node, and adds how many processes it met. Blocks. ERR_INVALID: there is
 * no such fault for it, and the message lists those that there are. */
NODISCARD bool chaos_inject(const Tier *tier, const char *fault, const char *node,
                            size_t *ret_processes, Err *err);

/* For when serve cannot be had (halt.c). The runtime folder of a tier that was not stopped, the
 * caller's; NULL: there is none. */
char *tier_run_dir(const char *data_dir);
/* Whether something of it serves there. */
bool tier_runs(const char *run_dir);
/* Ends everything of the tier that runs there. Blocks. */
void tier_halt(const char *run_dir);

#endif
