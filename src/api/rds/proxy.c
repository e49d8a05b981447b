/* Proxies: made, changed, deleted, shown. The default target group lives in the proxy's own spec.
 */
#include "api/rds/rds_proxy_priv.h"

const char *proxy_name(const json_t *spec)
{
    return member_str(spec, "DBProxyName", "");
}

json_t *proxy_find(ApiContext *ctx, const json_t *input)
{
    const char *name;
    if (!input_required(ctx, input, "DBProxyName", &name)) {
        return NULL;
    }
    json_t *spec = spec_get(ctx, RESOURCE_DB_PROXY, text_lower(ctx->arena, name));
    if (spec == NULL) {
        refuse(ctx, "DBProxyNotFoundFault", "DBProxy %s not found.", name);
    }
    return spec;
}

json_t *proxy_for_change(ApiContext *ctx, const json_t *input)
{
    json_t *spec = proxy_find(ctx, input);
    if (spec != NULL && member_bool(spec, "deleting", false)) {
        refuse(ctx, "InvalidDBProxyStateFault", "DBProxy %s is being deleted.", proxy_name(spec));
        return NULL;
    }
    return spec;
}

/* ---- the view
 * ------------------------------------------------------------------------------------ */

static json_t *proxy_view(ApiContext *ctx, const json_t *spec)
{
    static const char *const copied[] = {"DBProxyName",
                                         "EngineFamily",
                                         "VpcId",
                                         "VpcSecurityGroupIds",
                                         "VpcSubnetIds",
                                         "Auth",
                                         "RoleArn",
                                         "RequireTLS",
                                         "IdleClientTimeout",
                                         "DebugLogging",
                                         "DefaultAuthScheme",
                                         "EndpointNetworkType",
                                         "TargetConnectionNetworkType"};
    json_t *status = status_get(ctx, RESOURCE_DB_PROXY, proxy_name(spec));
    json_t *view = json_object();
    for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
        json_t *value = json_object_get(spec, copied[i]);
        if (value != NULL) {
            json_object_set(view, copied[i], value);
        }
    }
    char address[MODEL_ADDRESS_SIZE];
    const char *host = member_str(status, "endpoint_host", NULL);
    if (host != NULL && endpoint_address(ctx->tier.net, host, address)) {
        json_object_set_new(view, "Endpoint", json_string(address));
    }
    json_object_set_new(view, "Status",
                        json_string(resource_status(RESOURCE_DB_PROXY, spec, status)));
    json_object_set_new(view, "DBProxyArn",
                        json_string(arn_make(ctx->arena, &ctx->tier, RESOURCE_DB_PROXY,
                                             member_str(spec, "proxy_id", ""))));
    json_object_set_new(view, "CreatedDate", json_time(member_int(spec, "created_ms", 0)));
    json_object_set_new(view, "UpdatedDate", json_time(member_int(spec, "updated_ms", 0)));
    return view;
}

static bool finish_change(ApiContext *ctx, json_t *spec, json_t **ret_output)
{
    json_object_set_new(spec, "updated_ms", json_integer(ctx->now_ms));
    spec_change(ctx, RESOURCE_DB_PROXY, proxy_name(spec), spec);
    *ret_output = json_under("DBProxy", proxy_view(ctx, spec));
    return true;
}

/* ---- credentials
 * --------------------------------------------------------------------------------- */

static bool secret_arn_check(ApiContext *ctx, const char *arn)
{
    RecordList list = spec_list(ctx, RESOURCE_SECRET);
    for (size_t i = 0; i < list.len; i++) {
        if (strcmp(member_str(list.items[i].value, "ARN", ""), arn) == 0) {
            return true;
        }
    }
    return refuse(ctx, "InvalidParameterValue",
                  "The secret %s does not exist. Auth wants the ARN of a secret of this tier.",
                  arn);
}

static bool auth_one(ApiContext *ctx, const json_t *given, json_t *list)
{
    const char *scheme = member_str(given, "AuthScheme", "SECRETS");
    const char *iam = member_str(given, "IAMAuth", "DISABLED");
    const char *password = member_str(given, "ClientPasswordAuthType", "POSTGRES_SCRAM_SHA_256");
    const char *arn;
    TRY(input_required(ctx, given, "SecretArn", &arn));
    if (strcmp(scheme, "SECRETS") != 0) {
        return refuse(ctx, "InvalidParameterValue", "Invalid AuthScheme: %s. It is SECRETS.",
                      scheme);
    }
    if (strcmp(iam, "ENABLED") == 0) {
        return refuse_unsupported(ctx, "the IAMAuth ENABLED, which is for SQL Server: it is "
                                       "DISABLED or REQUIRED.");
    }
    if (strcmp(iam, "DISABLED") != 0 && strcmp(iam, "REQUIRED") != 0) {
        return refuse(ctx, "InvalidParameterValue",
                      "Invalid IAMAuth: %s. It is DISABLED or REQUIRED.", iam);
    }
    if (strcmp(password, "POSTGRES_SCRAM_SHA_256") != 0 && strcmp(password, "POSTGRES_MD5") != 0) {
        return refuse(ctx, "InvalidParameterValue",
                      "Invalid ClientPasswordAuthType: %s. It is POSTGRES_SCRAM_SHA_256 or "
                      "POSTGRES_MD5.",
                      password);
    }
    TRY(secret_arn_check(ctx, arn));
    json_t *auth = json_pack("{s:s, s:s, s:s, s:s}", "AuthScheme", scheme, "SecretArn", arn,
                             "IAMAuth", iam, "ClientPasswordAuthType", password);
    json_array_append_new(list, auth);
    const char *description = input_str(given, "Description");
    const char *user = input_str(given, "UserName");
    if (description != NULL) {
        json_object_set_new(auth, "Description", json_string(description));
    }
    if (user != NULL) {
        json_object_set_new(auth, "UserName", json_string(user));
    }
    return true;
}

#define AUTH_MAX 200

static bool auth_set(ApiContext *ctx, const json_t *input, json_t *spec)
{
    const json_t *given = json_object_get(input, "Auth");
    size_t len = json_array_size(given);
    if (len < 1 || len > AUTH_MAX) {
        return refuse(ctx, "InvalidParameterValue", "Auth has 1 to %d entries.", AUTH_MAX);
    }
    json_t *list = json_array();
    json_object_set_new(spec, "Auth", list);
    size_t index;
    const json_t *item;
    json_array_foreach (given, index, item) {
        TRY(auth_one(ctx, item, list));
    }
    return true;
}

/* ---- create
 * -------------------------------------------------------------------------------------- */

bool proxy_subnets_check(ApiContext *ctx, const json_t *ids)
{
    bool zones[MODEL_SUBNETS] = {false};
    size_t count = 0;
    size_t index;
    const json_t *id;
    json_array_foreach (ids, index, id) {
        const char *text = json_is_string(id) ? json_string_value(id) : "";
        const Subnet *subnet = subnet_find(slice_of(text));
        if (subnet == NULL) {
            return refuse(ctx, "InvalidSubnet", "Subnet %s does not exist.", text);
        }
        count += !zones[subnet - model_subnets];
        zones[subnet - model_subnets] = true;
    }
    return count >= 2 ? true
                      : refuse(ctx, "InvalidSubnet",
                               "Provided subnets don't cover at least two Availability Zones.");
}

static void target_group_create(ApiContext *ctx, json_t *spec)
{
    char id[MODEL_ID_SIZE];
    target_group_id_make(id);
    json_object_set_new(spec, "target_group",
                        json_pack("{s:s, s:{s:i, s:i, s:i, s:[]}, s:I, s:I}", "target_group_id", id,
                                  "ConnectionPoolConfig", "MaxConnectionsPercent", 100,
                                  "MaxIdleConnectionsPercent", 50, "ConnectionBorrowTimeout", 120,
                                  "SessionPinningFilters", "created_ms", (json_int_t)ctx->now_ms,
                                  "updated_ms", (json_int_t)ctx->now_ms));
    json_object_set_new(spec, "targets", json_array());
}

static bool new_proxy(ApiContext *ctx, const json_t *input, json_t *spec)
{
    const char *given;
    const char *family;
    char id[MODEL_ID_SIZE];
    Err err;
    TRY(input_required(ctx, input, "DBProxyName", &given) &&
        input_required(ctx, input, "EngineFamily", &family));
    if (!identifier_check(RESOURCE_DB_PROXY, "DBProxyName", slice_of(given), &err)) {
        return refuse_err(ctx, &err);
    }
    char *name = text_lower(ctx->arena, given);
    if (spec_get(ctx, RESOURCE_DB_PROXY, name) != NULL) {
        return refuse(ctx, "DBProxyAlreadyExistsFault", "DBProxy %s already exists.", name);
    }
    if (strcmp(family, "POSTGRESQL") != 0) {
        return refuse_unsupported(ctx, "the EngineFamily %s: it is POSTGRESQL.", family);
    }
    proxy_resource_id_make(id);
    json_object_set_new(spec, "DBProxyName", json_string(name));
    json_object_set_new(spec, "EngineFamily", json_string(family));
    json_object_set_new(spec, "proxy_id", json_string(id));
    json_object_set_new(spec, "VpcId", json_string(MODEL_VPC_ID));
    return true;
}

bool rds_create_proxy(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    static const char *const handled[] = {"DBProxyName",         "EngineFamily", "Auth",
                                          "VpcSecurityGroupIds", "Tags",         NULL};
    json_t *spec = context_own(ctx, json_object());
    const json_t *tags = json_object_get(input, "Tags");
    references_hold(ctx);
    TRY(new_proxy(ctx, input, spec) &&
        quota_check(ctx, RESOURCE_DB_PROXY, PROXIES_MAX, "DBProxyQuotaExceededFault") &&
        proxy_subnets_check(ctx, json_object_get(input, "VpcSubnetIds")) &&
        security_groups_resolve(ctx, json_object_get(input, "VpcSecurityGroupIds"), spec,
                                "VpcSecurityGroupIds") &&
        auth_set(ctx, input, spec) && tags_check(ctx, tags) &&
        fields_create(ctx, RESOURCE_DB_PROXY, input, handled, spec));
    json_object_set_new(spec, "updated_ms", json_integer(ctx->now_ms));
    target_group_create(ctx, spec);
    spec_create(ctx, RESOURCE_DB_PROXY, proxy_name(spec), spec, tags);
    *ret_output = json_under("DBProxy", proxy_view(ctx, spec));
    return true;
}

/* ---- modify, delete, describe
 * --------------------------------------------------------------------
 */

bool rds_modify_proxy(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    static const char *const handled[] = {"DBProxyName", "NewDBProxyName", "Auth", "SecurityGroups",
                                          NULL};
    json_t *spec = proxy_for_change(ctx, input);
    if (spec == NULL) {
        return false;
    }
    char *rename = input_lower(ctx, input, "NewDBProxyName");
    if (rename != NULL && strcmp(rename, proxy_name(spec)) != 0) {
        return refuse_unsupported(ctx, "renaming a proxy yet (NewDBProxyName).");
    }
    const json_t *groups = json_object_get(input, "SecurityGroups");
    references_hold(ctx);
    return (json_object_get(input, "Auth") == NULL || auth_set(ctx, input, spec)) &&
           (json_array_size(groups) == 0 ||
            security_groups_resolve(ctx, groups, spec, "VpcSecurityGroupIds")) &&
           fields_modify(ctx, RESOURCE_DB_PROXY, input, handled, true, spec) &&
           finish_change(ctx, spec, ret_output);
}

bool rds_delete_proxy(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    json_t *spec = proxy_for_change(ctx, input);
    if (spec == NULL) {
        return false;
    }
    references_hold(ctx);
    proxy_endpoints_delete(ctx, proxy_name(spec));
    json_object_set_new(spec, "deleting", json_true());
    return finish_change(ctx, spec, ret_output);
}

bool rds_describe_proxies(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    static const char *const filters[] = {NULL};
    TRY(filters_check(ctx, input, filters));
    json_t *items = json_array();
    if (input_str(input, "DBProxyName") != NULL) {
        json_t *spec = proxy_find(ctx, input);
        if (spec == NULL) {
            json_decref(items);
            return false;
        }
        json_array_append_new(items, proxy_view(ctx, spec));
        return page_output(ctx, input, "DBProxies", items, ret_output);
    }
    RecordList list = spec_list(ctx, RESOURCE_DB_PROXY);
    for (size_t i = 0; i < list.len; i++) {
        json_array_append_new(items, proxy_view(ctx, list.items[i].value));
    }
    return page_output(ctx, input, "DBProxies", items, ret_output);
}
