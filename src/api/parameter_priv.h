/* Parameter groups of RDS and of ElastiCache: the same thing under two sets of names. */
#ifndef WEIR_API_PARAMETER_PRIV_H
#define WEIR_API_PARAMETER_PRIV_H

#include "api/operations_priv.h"

typedef struct ParameterGroupKind {
    ResourceType type;
    const char *engine;
    const char *name;   /* the member with the name */
    const char *family; /* the member with the family */
    const char *inputs; /* the member with the parameters of modify and reset */
    const char *list;   /* of the describe output */
    const char *one;    /* of the create output */
    const char *exists;
    const char *not_found;
    const char *in_use;
    ResourceType user;
    const char *user_member;
} ParameterGroupKind;

extern const ParameterGroupKind db_parameter_groups;
extern const ParameterGroupKind cache_parameter_groups;

/* The spec, or one made up for a default group. NULL, with a fault: there is none. */
json_t *parameter_group_get(ApiContext *ctx, const ParameterGroupKind *kind, const char *name);
/* The table behind a group's family. NULL, with a fault: its engine is not installed any more. */
const ParameterFamily *parameter_group_family(ApiContext *ctx, const ParameterGroupKind *kind,
                                              const json_t *spec);

#endif
