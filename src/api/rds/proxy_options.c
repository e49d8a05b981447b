/*
 * What AWS has no word for in a proxy: how the pools of its endpoints read, share and listen. A
 * record of its own beside the proxy's, which goes with the proxy; none means the defaults.
 */
#include "api/operations_priv.h"
#include "api/rds/rds_proxy_priv.h"

static json_t *options_view(ApiContext *ctx, const char *proxy, const json_t *spec)
{
    json_t *view = json_pack("{s:s, s:s, s:o}", "DBProxyName", proxy, "Arn",
                             arn_make(ctx->arena, &ctx->tier, RESOURCE_DB_PROXY_OPTIONS, proxy),
                             "Tags", tags_copy(spec));
    size_t len;
    const FieldInfo *fields = model_fields(RESOURCE_DB_PROXY_OPTIONS, &len);
    for (size_t i = 0; i < len; i++) {
        json_object_set(view, fields[i].name, json_object_get(spec, fields[i].name));
    }
    return view;
}

static bool options_check(ApiContext *ctx, const json_t *spec)
{
    const char *reads = member_str(spec, "Reads", "");
    if (strcmp(reads, "primary") != 0 && strcmp(reads, "split") != 0) {
        return refuse(ctx, "InvalidParameterException",
                      "Reads must be primary, or split: those of the proxy go to the read replicas "
                      "of its target.");
    }
    return !member_bool(spec, "KeepListening", false) || member_bool(spec, "SharedListeners", false)
               ? true
               : refuse(
                     ctx, "InvalidParameterException",
                     "KeepListening takes SharedListeners: only those can outlive a connection.");
}

/* The proxy's name, as it is kept; NULL, with a fault: there is none that could be changed. */
static const char *proxy_of(ApiContext *ctx, const json_t *input)
{
    const char *name = input_lower(ctx, input, "DBProxyName");
    const json_t *proxy = name != NULL ? spec_get(ctx, RESOURCE_DB_PROXY, name) : NULL;
    if (proxy == NULL || member_bool(proxy, "deleting", false)) {
        refuse(ctx, "ResourceNotFoundException", "There is no proxy \"%s\".",
               name != NULL ? name : "");
        return NULL;
    }
    return name;
}

/* All of them at once: what is not given has its default. Tags stay unless some are given. */
bool weir_put_proxy_options(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    static const char *const handled[] = {"DBProxyName", "Tags", NULL};
    const json_t *tags = json_object_get(input, "Tags");
    json_t *spec = context_own(ctx, json_object());
    references_hold(ctx);
    const char *proxy = proxy_of(ctx, input);
    if (proxy == NULL) {
        return false;
    }
    TRY(tags_check(ctx, tags) &&
        fields_create(ctx, RESOURCE_DB_PROXY_OPTIONS, input, handled, spec) &&
        options_check(ctx, spec));
    const json_t *before = spec_get(ctx, RESOURCE_DB_PROXY_OPTIONS, proxy);
    if (before == NULL) {
        spec_create(ctx, RESOURCE_DB_PROXY_OPTIONS, proxy, spec, tags);
    } else {
        json_object_set(spec, "created_ms", json_object_get(before, "created_ms"));
        json_object_set(spec, "generation", json_object_get(before, "generation"));
        json_object_set_new(spec, "TagList", tags_copy(before));
        tags_merge(spec, tags);
        spec_change(ctx, RESOURCE_DB_PROXY_OPTIONS, proxy, spec);
    }
    *ret_output = json_under("Options", options_view(ctx, proxy, spec));
    return true;
}

bool weir_delete_proxy_options(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    (void)ret_output;
    const char *proxy = proxy_of(ctx, input);
    if (proxy == NULL) {
        return false;
    }
    if (spec_get(ctx, RESOURCE_DB_PROXY_OPTIONS, proxy) == NULL) {
        return refuse(ctx, "ResourceNotFoundException", "The proxy \"%s\" has its defaults.",
                      proxy);
    }
    spec_delete(ctx, RESOURCE_DB_PROXY_OPTIONS, proxy);
    return true;
}

/* Of the proxies that have some, or of one; a proxy that has its defaults is not listed. */
bool weir_describe_proxy_options(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    const char *only = input_lower(ctx, input, "DBProxyName");
    RecordList list = spec_list(ctx, RESOURCE_DB_PROXY_OPTIONS);
    json_t *items = json_array();
    for (size_t i = 0; i < list.len; i++) {
        const char *proxy = strrchr(list.items[i].key, '/') + 1;
        if (only == NULL || strcmp(only, proxy) == 0) {
            json_array_append_new(items, options_view(ctx, proxy, list.items[i].value));
        }
    }
    *ret_output = json_under("Options", items);
    return true;
}
