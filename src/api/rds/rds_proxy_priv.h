/* What the operations on proxies, their targets and their endpoints share. */
#ifndef WEIR_API_RDS_PROXY_PRIV_H
#define WEIR_API_RDS_PROXY_PRIV_H

#include "api/rds/rds_priv.h"

const char *proxy_name(const json_t *spec);
/* The proxy that the input's DBProxyName means. NULL, with a fault: none. */
json_t *proxy_find(ApiContext *ctx, const json_t *input);
json_t *proxy_for_change(ApiContext *ctx, const json_t *input); /* and not being deleted */
/* The subnets of a proxy or of an endpoint. */
NODISCARD bool proxy_subnets_check(ApiContext *ctx, const json_t *ids);
/* The endpoints of a proxy go with it. */
void proxy_endpoints_delete(ApiContext *ctx, const char *proxy);

#endif
