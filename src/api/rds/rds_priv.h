/* What the operations on instances and proxies share. */
#ifndef WEIR_API_RDS_PRIV_H
#define WEIR_API_RDS_PRIV_H

#include "api/check_priv.h"

/* The DBInstance of an output. */
json_t *instance_view(ApiContext *ctx, const json_t *spec);
/* {"DBInstance": …} */
json_t *instance_output(ApiContext *ctx, const json_t *spec);
const char *instance_id(const json_t *spec);

/* Checks that instances of every origin share; members of the spec, after the field table. */
NODISCARD bool instance_check(ApiContext *ctx, const json_t *spec);
/* Seals the password into the spec and raises password_epoch. */
NODISCARD bool password_set(ApiContext *ctx, json_t *spec, const char *password);
/* Members that only api writes: identity, epochs, the state that is wanted. */
void instance_identify(ApiContext *ctx, json_t *spec, const char *id);
/* The replicas of an instance that are not being deleted; ids, from the context's arena. */
json_t *replicas_of(ApiContext *ctx, const json_t *spec);
/* Refuses while the instance is being deleted. */
NODISCARD bool instance_alive(ApiContext *ctx, const json_t *spec);
/* Whether a parameter group suits a Multi-AZ instance. */
NODISCARD bool multi_az_check(ApiContext *ctx, const json_t *spec);

#define INSTANCES_MAX       40
#define REPLICAS_MAX        15
#define PROXIES_MAX         20
#define PROXY_ENDPOINTS_MAX 20 /* of one proxy, besides its own */

#endif
