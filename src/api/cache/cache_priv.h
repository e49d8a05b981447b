/* What the operations on replication groups share. */
#ifndef WEIR_API_CACHE_PRIV_H
#define WEIR_API_CACHE_PRIV_H

#include "api/check_priv.h"

#define CACHE_NODES_MAX  6
#define CACHE_NODE_GROUP "0001"

const char *cache_group_id(const json_t *spec);
/* The group that the input's ReplicationGroupId means. NULL, with a fault: none. */
json_t *cache_group_find(ApiContext *ctx, const json_t *input);
json_t *cache_group_for_change(ApiContext *ctx, const json_t *input); /* and not being deleted */
/* {"ReplicationGroup": …} */
json_t *cache_group_output(ApiContext *ctx, const json_t *spec);
json_t *cache_group_view(ApiContext *ctx, const json_t *spec);

/* Adds `count` members in zones of the group's subnet group, in turn; `zones` (names, may be NULL)
 * are taken first. */
NODISCARD bool cache_members_add(ApiContext *ctx, json_t *spec, size_t count, const json_t *zones);
/* Seals a new token. `keep` says whether the one before stays valid beside it. */
NODISCARD bool cache_token_set(ApiContext *ctx, json_t *spec, const char *token, bool keep);
NODISCARD bool cache_check(ApiContext *ctx, const json_t *spec);

#define REPLICATION_GROUPS_MAX 40

#endif
