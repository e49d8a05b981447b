/*
 * What the store said last of clusters and nodes, for the loop's thread: that never waits for the
 * store, which on several hosts may be away for seconds. What is read here may be old; whoever
 * decides by a record reads it from the store, in a job.
 */
#ifndef WEIR_AGENT_MIRROR_PRIV_H
#define WEIR_AGENT_MIRROR_PRIV_H

#include "agent/agent_priv.h"

/* `changed` is called behind each change, from turns of the loop. */
NODISCARD bool mirror_new(Loop *loop, Store *store, LoopFn *changed, void *user,
                          Mirror **ret_mirror, Err *err);
void mirror_free(Mirror *mirror); /* NULL is fine */

/* The record, the caller's; NULL: there is none. */
PRINTF_LIKE(2, 3) json_t *mirror_record_new(const Mirror *mirror, const char *key_format, ...);

#endif
