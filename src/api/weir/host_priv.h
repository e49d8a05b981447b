/* Nodes and their hosts: which there are, and whether they are heard of (host.c). */
#ifndef WEIR_API_HOST_PRIV_H
#define WEIR_API_HOST_PRIV_H

#include "api/api_priv.h"

/* "node/ID/goal": the id; NULL for another key. */
const char *node_id_of(ApiContext *ctx, const char *key);

#define HOST_GONE_MS 10000 /* so long silent before it may be taken for gone for good */

/* As this host hears of it: one that it does not know has just come. */
bool host_is_heard(ApiContext *ctx, const char *name, int64_t *ret_silent_ms);
/* What a node said last; "unknown" where its host is silent, since *ret_silent_ms (else 0), or was
 * not heard yet. */
const char *node_state(ApiContext *ctx, const json_t *goal, const json_t *seen,
                       int64_t *ret_silent_ms);
/* The leader of a cluster's record runs, in the term that it was given, on a host that is heard. */
bool cluster_serves(ApiContext *ctx, const json_t *record);

#endif
