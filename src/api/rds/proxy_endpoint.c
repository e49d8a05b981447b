/*
 * Further endpoints of proxies: made, changed, deleted, shown. An endpoint has an address, security
 * groups and a role of its own; credentials, limits and targets are its proxy's. A proxy's own
 * endpoint is not among them: it is a member of the proxy (DescribeDBProxies, "Endpoint").
 */
#include "api/rds/rds_proxy_priv.h"

#define OWN_ENDPOINT "default" /* what RDS Proxy calls a proxy's own one */

static const char *endpoint_name(const json_t *spec)
{
    return member_str(spec, "DBProxyEndpointName", "");
}

static json_t *endpoint_find(ApiContext *ctx, const json_t *input)
{
    const char *name;
    if (!input_required(ctx, input, "DBProxyEndpointName", &name)) {
        return NULL;
    }
    json_t *spec = spec_get(ctx, RESOURCE_DB_PROXY_ENDPOINT, text_lower(ctx->arena, name));
    const char *proxy = input_lower(ctx, input, "DBProxyName"); /* only to describe */
    if (spec == NULL ||
        (proxy != NULL && strcmp(proxy, member_str(spec, "DBProxyName", "")) != 0)) {
        refuse(ctx, "DBProxyEndpointNotFoundFault", "DBProxyEndpoint %s not found.", name);
        return NULL;
    }
    return spec;
}

static json_t *endpoint_for_change(ApiContext *ctx, const json_t *input)
{
    json_t *spec = endpoint_find(ctx, input);
    if (spec != NULL && member_bool(spec, "deleting", false)) {
        refuse(ctx, "InvalidDBProxyEndpointStateFault", "DBProxyEndpoint %s is being deleted.",
               endpoint_name(spec));
        return NULL;
    }
    return spec;
}

/* ---- the view
 * ------------------------------------------------------------------------------------ */

static json_t *endpoint_view(ApiContext *ctx, const json_t *spec)
{
    static const char *const copied[] = {"DBProxyEndpointName", "DBProxyName",  "VpcId",
                                         "VpcSecurityGroupIds", "VpcSubnetIds", "TargetRole",
                                         "EndpointNetworkType"};
    json_t *status = status_get(ctx, RESOURCE_DB_PROXY_ENDPOINT, endpoint_name(spec));
    const char *arn = arn_make(ctx->arena, &ctx->tier, RESOURCE_DB_PROXY_ENDPOINT,
                               member_str(spec, "endpoint_id", ""));
    json_t *view =
        json_pack("{s:s, s:s, s:o, s:b}", "DBProxyEndpointArn", arn, "Status",
                  resource_status(RESOURCE_DB_PROXY_ENDPOINT, spec, status), "CreatedDate",
                  json_time(member_int(spec, "created_ms", 0)), "IsDefault", 0);
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
    return view;
}

static bool finish_change(ApiContext *ctx, json_t *spec, json_t **ret_output)
{
    spec_change(ctx, RESOURCE_DB_PROXY_ENDPOINT, endpoint_name(spec), spec);
    *ret_output = json_under("DBProxyEndpoint", endpoint_view(ctx, spec));
    return true;
}

/* ---- create
 * -------------------------------------------------------------------------------------- */

static bool role_check(ApiContext *ctx, const json_t *input)
{
    const char *role = input_str(input, "TargetRole");
    return role == NULL || strcmp(role, "READ_WRITE") == 0 || strcmp(role, "READ_ONLY") == 0
               ? true
               : refuse(ctx, "InvalidParameterValue",
                        "Invalid TargetRole: %s. It is READ_WRITE or READ_ONLY.", role);
}

static bool quota_of_proxy(ApiContext *ctx, const char *proxy)
{
    RecordList list = spec_list(ctx, RESOURCE_DB_PROXY_ENDPOINT);
    size_t count = 0;
    for (size_t i = 0; i < list.len; i++) {
        count += strcmp(member_str(list.items[i].value, "DBProxyName", ""), proxy) == 0;
    }
    return count < PROXY_ENDPOINTS_MAX
               ? true
               : refuse(ctx, "DBProxyEndpointQuotaExceededFault",
                        "DBProxy %s has %d endpoints besides its own, and that is the most.", proxy,
                        PROXY_ENDPOINTS_MAX);
}

static bool new_endpoint(ApiContext *ctx, const json_t *input, const json_t *proxy, json_t *spec)
{
    const char *given;
    char id[MODEL_ID_SIZE];
    Err err;
    TRY(input_required(ctx, input, "DBProxyEndpointName", &given));
    if (!identifier_check(RESOURCE_DB_PROXY_ENDPOINT, "DBProxyEndpointName", slice_of(given),
                          &err)) {
        return refuse_err(ctx, &err);
    }
    char *name = text_lower(ctx->arena, given);
    if (strcmp(name, OWN_ENDPOINT) == 0) {
        return refuse(ctx, "InvalidParameterValue",
                      "%s is the name of every proxy's own endpoint. Choose another one.",
                      OWN_ENDPOINT);
    }
    if (spec_get(ctx, RESOURCE_DB_PROXY_ENDPOINT, name) != NULL) {
        return refuse(ctx, "DBProxyEndpointAlreadyExistsFault",
                      "DBProxyEndpoint %s already exists.", name);
    }
    proxy_endpoint_id_make(id);
    json_object_set_new(spec, "DBProxyEndpointName", json_string(name));
    json_object_set_new(spec, "DBProxyName", json_string(proxy_name(proxy)));
    json_object_set_new(spec, "endpoint_id", json_string(id));
    json_object_set_new(spec, "VpcId", json_string(MODEL_VPC_ID));
    return true;
}

bool rds_create_proxy_endpoint(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    static const char *const handled[] = {"DBProxyName", "DBProxyEndpointName",
                                          "VpcSecurityGroupIds", "Tags", NULL};
    json_t *spec = context_own(ctx, json_object());
    const json_t *tags = json_object_get(input, "Tags");
    references_hold(ctx);
    const json_t *proxy = proxy_for_change(ctx, input);
    if (proxy == NULL) {
        return false;
    }
    TRY(new_endpoint(ctx, input, proxy, spec) && role_check(ctx, input) &&
        quota_of_proxy(ctx, proxy_name(proxy)) &&
        proxy_subnets_check(ctx, json_object_get(input, "VpcSubnetIds")) &&
        security_groups_resolve(ctx, json_object_get(input, "VpcSecurityGroupIds"), spec,
                                "VpcSecurityGroupIds") &&
        tags_check(ctx, tags) &&
        fields_create(ctx, RESOURCE_DB_PROXY_ENDPOINT, input, handled, spec));
    spec_create(ctx, RESOURCE_DB_PROXY_ENDPOINT, endpoint_name(spec), spec, tags);
    *ret_output = json_under("DBProxyEndpoint", endpoint_view(ctx, spec));
    return true;
}

/* ---- modify, delete, describe
 * -------------------------------------------------------------------- */

bool rds_modify_proxy_endpoint(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    static const char *const handled[] = {"DBProxyEndpointName", "NewDBProxyEndpointName",
                                          "VpcSecurityGroupIds", NULL};
    json_t *spec = endpoint_for_change(ctx, input);
    if (spec == NULL) {
        return false;
    }
    char *rename = input_lower(ctx, input, "NewDBProxyEndpointName");
    if (rename != NULL && strcmp(rename, endpoint_name(spec)) != 0) {
        return refuse_unsupported(ctx, "renaming a proxy's endpoint yet (NewDBProxyEndpointName).");
    }
    const json_t *groups = json_object_get(input, "VpcSecurityGroupIds");
    references_hold(ctx);
    return (json_array_size(groups) == 0 ||
            security_groups_resolve(ctx, groups, spec, "VpcSecurityGroupIds")) &&
           fields_modify(ctx, RESOURCE_DB_PROXY_ENDPOINT, input, handled, true, spec) &&
           finish_change(ctx, spec, ret_output);
}

bool rds_delete_proxy_endpoint(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    json_t *spec = endpoint_for_change(ctx, input);
    if (spec == NULL) {
        return false;
    }
    json_object_set_new(spec, "deleting", json_true());
    return finish_change(ctx, spec, ret_output);
}

void proxy_endpoints_delete(ApiContext *ctx, const char *proxy)
{
    RecordList list = spec_list(ctx, RESOURCE_DB_PROXY_ENDPOINT);
    for (size_t i = 0; i < list.len; i++) {
        const char *name = endpoint_name(list.items[i].value);
        json_t *spec = spec_get(ctx, RESOURCE_DB_PROXY_ENDPOINT, name);
        if (strcmp(member_str(spec, "DBProxyName", ""), proxy) == 0 &&
            !member_bool(spec, "deleting", false)) {
            json_object_set_new(spec, "deleting", json_true());
            spec_change(ctx, RESOURCE_DB_PROXY_ENDPOINT, name, spec);
        }
    }
}

bool rds_describe_proxy_endpoints(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    static const char *const filters[] = {NULL};
    const char *proxy = input_lower(ctx, input, "DBProxyName");
    TRY(filters_check(ctx, input, filters) && (proxy == NULL || proxy_find(ctx, input) != NULL));
    json_t *items = json_array();
    if (input_str(input, "DBProxyEndpointName") != NULL) {
        json_t *spec = endpoint_find(ctx, input);
        if (spec == NULL) {
            json_decref(items);
            return false;
        }
        json_array_append_new(items, endpoint_view(ctx, spec));
        return page_output(ctx, input, "DBProxyEndpoints", items, ret_output);
    }
    RecordList list = spec_list(ctx, RESOURCE_DB_PROXY_ENDPOINT);
    for (size_t i = 0; i < list.len; i++) {
        const json_t *spec = list.items[i].value;
        if (proxy == NULL || strcmp(proxy, member_str(spec, "DBProxyName", "")) == 0) {
            json_array_append_new(items, endpoint_view(ctx, spec));
        }
    }
    return page_output(ctx, input, "DBProxyEndpoints", items, ret_output);
}
