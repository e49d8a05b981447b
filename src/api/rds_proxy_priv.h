/* What the operations on proxies and on their targets share. */
#ifndef WEIR_API_RDS_PROXY_PRIV_H
#define WEIR_API_RDS_PROXY_PRIV_H

#include "api/rds_priv.h"

const char *proxy_name(const json_t *spec);
/* The proxy that the input's DBProxyName means. NULL, with a fault: none. */
json_t *proxy_find(ApiContext *ctx, const json_t *input);
json_t *proxy_for_change(ApiContext *ctx, const json_t *input); /* and not being deleted */

#endif
