/* Checks that services share. */
#ifndef WEIR_API_CHECK_PRIV_H
#define WEIR_API_CHECK_PRIV_H

#include "api/operations_priv.h"

NODISCARD bool quota_check(ApiContext *ctx, ResourceType type, size_t max, const char *code);
NODISCARD bool class_check(ApiContext *ctx, const char *name, const char *prefix);
/* "14.5" or NULL to the installed version, under the operator's map; into the spec. */
NODISCARD bool version_check(ApiContext *ctx, const char *engine, const char *requested,
                             json_t *spec);

#endif
