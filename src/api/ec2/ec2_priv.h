/* What the operations on security groups and their rules share. */
#ifndef WEIR_API_EC2_PRIV_H
#define WEIR_API_EC2_PRIV_H

#include "api/operations_priv.h"

const char *group_id_of(const json_t *spec);
/* By GroupId, or by GroupName. NULL, with a fault: none. */
json_t *group_find(ApiContext *ctx, const json_t *input);
/* The default group and every one with a record. */
RecordList group_list(ApiContext *ctx);
/* Rules as EC2 shows them: those of one protocol and ports together. */
json_t *permissions_view(ApiContext *ctx, const json_t *rules);
json_t *rule_view(ApiContext *ctx, const json_t *group, const json_t *rule, bool egress);
/* EC2's filters on tags: "tag:KEY" and "tag-key". */
bool tag_filters_pass(const json_t *input, const json_t *spec);
/* Tags of the input's TagSpecifications for this type of resource; a new reference. */
json_t *specified_tags(const json_t *input, const char *resource_type);
json_t *wildcard_rule(const char *cidr); /* everything to or from the range */

#define GROUPS_MAX 500
#define RULES_MAX  60 /* in one direction */

#endif
