/* Secrets themselves: found, made, described, deleted. */
#include "api/secret/secret_priv.h"

#define DAY_MS             (24 * 60 * 60 * MS_PER_S)
#define WINDOW_DAYS        30
#define WINDOW_DAYS_MIN    7
#define SECRET_SUFFIX_SIZE 7 /* "-abcdef" */

const char *secret_name(const json_t *spec)
{
    return member_str(spec, "Name", "");
}

json_t *secret_output(const json_t *spec)
{
    return json_pack("{s:s, s:s}", "ARN", member_str(spec, "ARN", ""), "Name", secret_name(spec));
}

bool secret_is_there(const ApiContext *ctx, const json_t *spec)
{
    int64_t purge_ms = member_int(spec, "purge_ms", 0);
    return spec != NULL && (purge_ms == 0 || ctx->now_ms < purge_ms);
}

void secret_purge(ApiContext *ctx, const json_t *spec)
{
    const char *version;
    json_t *value;
    char key[MODEL_KEY_SIZE];
    json_object_foreach (member_object(spec, "versions"), version, value) {
        if (secret_value_key(secret_name(spec), version, key, NULL)) {
            record_delete(ctx, key);
        }
    }
    spec_delete(ctx, RESOURCE_SECRET, secret_name(spec));
}

/* ---- finding
 * ------------------------------------------------------------------------------------- */

static json_t *secret_by_arn(ApiContext *ctx, Slice name)
{
    json_t *spec = spec_get(ctx, RESOURCE_SECRET, arena_slice_str(ctx->arena, name));
    if (spec != NULL || name.len <= SECRET_SUFFIX_SIZE) {
        return spec; /* an ARN without its suffix */
    }
    Slice whole = slice_from(name.data, name.len - SECRET_SUFFIX_SIZE);
    spec = spec_get(ctx, RESOURCE_SECRET, arena_slice_str(ctx->arena, whole));
    const char *arn =
        arn_make(ctx->arena, &ctx->tier, RESOURCE_SECRET, arena_slice_str(ctx->arena, name));
    return strcmp(member_str(spec, "ARN", ""), arn) == 0 ? spec : NULL;
}

json_t *secret_find(ApiContext *ctx, const json_t *input, bool closed_too)
{
    const char *id;
    ResourceType type;
    Slice name;
    if (!input_required(ctx, input, "SecretId", &id)) {
        return NULL;
    }
    json_t *spec;
    if (slice_starts(slice_of(id), "arn:")) {
        bool ours = arn_parse(&ctx->tier, slice_of(id), &type, &name, NULL);
        spec = ours && type == RESOURCE_SECRET ? secret_by_arn(ctx, name) : NULL;
    } else {
        spec = spec_get(ctx, RESOURCE_SECRET, id);
    }
    if (!secret_is_there(ctx, spec)) {
        refuse(ctx, "ResourceNotFoundException",
               "Secrets Manager can't find the specified secret.");
        return NULL;
    }
    if (!closed_too && member_int(spec, "deleted_ms", 0) != 0) {
        refuse(ctx, "InvalidRequestException",
               "You can't perform this operation on the secret because it was marked for "
               "deletion.");
        return NULL;
    }
    return spec;
}

/* ---- create
 * -------------------------------------------------------------------------------------- */

/* The same call again finds its own version there and gets the same answer. */
static bool create_again(ApiContext *ctx, json_t *spec, const json_t *input, json_t **ret_output)
{
    const char *token = input_str(input, "ClientRequestToken");
    const char *version;
    if (member_int(spec, "deleted_ms", 0) != 0) {
        return refuse(ctx, "InvalidRequestException",
                      "You can't create this secret because a secret with this name is already "
                      "scheduled for deletion. Restore it, or delete it with "
                      "ForceDeleteWithoutRecovery.");
    }
    if (token == NULL || json_object_get(secret_versions(spec), token) == NULL) {
        return refuse(ctx, "ResourceExistsException",
                      "The operation failed because the secret %s already exists.",
                      secret_name(spec));
    }
    TRY(secret_version_add(ctx, spec, input, NULL, &version));
    *ret_output = secret_output(spec);
    json_object_set_new(*ret_output, "VersionId", json_string(version));
    return true;
}

static void new_identity(ApiContext *ctx, json_t *spec, const char *name)
{
    char suffix[MODEL_ID_SIZE];
    secret_suffix_make(suffix);
    const char *full = arena_printf(ctx->arena, "%s-%s", name, suffix);
    json_object_set_new(spec, "Name", json_string(name));
    json_object_set_new(spec, "ARN",
                        json_string(arn_make(ctx->arena, &ctx->tier, RESOURCE_SECRET, full)));
    json_object_set_new(spec, "changed_ms", json_integer(ctx->now_ms));
}

static bool create_new(ApiContext *ctx, json_t *input, const char *name, json_t **ret_output)
{
    static const char *const handled[] = {
        "Name", "ClientRequestToken", "SecretString", "SecretBinary", "Tags", NULL};
    const char *version = NULL;
    const json_t *tags = json_object_get(input, "Tags");
    json_t *spec = context_own(ctx, json_object());
    TRY(tags_check(ctx, tags) && fields_create(ctx, RESOURCE_SECRET, input, handled, spec));
    new_identity(ctx, spec, name);
    TRY(!secret_has_value(input) || secret_version_add(ctx, spec, input, NULL, &version));
    spec_create(ctx, RESOURCE_SECRET, name, spec, tags);
    *ret_output = secret_output(spec);
    if (version != NULL) {
        json_object_set_new(*ret_output, "VersionId", json_string(version));
    }
    return true;
}

bool secret_create(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    const char *name;
    Err err;
    char key[MODEL_KEY_SIZE];
    TRY(input_required(ctx, input, "Name", &name));
    /* A value's key is the longest that the name will be in. */
    if (!identifier_check(RESOURCE_SECRET, "Name", slice_of(name), &err) ||
        !secret_value_key(name, "0123456789012345678901234567890123456789012345678901234567890123",
                          key, &err)) {
        err.code = ERR_INVALID;
        return refuse_err(ctx, &err);
    }
    json_t *spec = spec_get(ctx, RESOURCE_SECRET, name);
    if (secret_is_there(ctx, spec)) {
        return create_again(ctx, spec, input, ret_output);
    }
    if (spec != NULL) {
        secret_purge(ctx, spec);
    }
    return create_new(ctx, input, name, ret_output);
}

/* ---- update
 * -------------------------------------------------------------------------------------- */

static void put_changed(ApiContext *ctx, json_t *spec)
{
    json_object_set_new(spec, "changed_ms", json_integer(ctx->now_ms));
    spec_change(ctx, RESOURCE_SECRET, secret_name(spec), spec);
}

bool secret_update(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    static const char *const handled[] = {"SecretId",     "ClientRequestToken", "SecretString",
                                          "SecretBinary", "Description",        NULL};
    const char *version = NULL;
    json_t *spec = secret_find(ctx, input, false);
    if (spec == NULL || !fields_modify(ctx, RESOURCE_SECRET, input, handled, true, spec) ||
        (secret_has_value(input) && !secret_version_add(ctx, spec, input, NULL, &version))) {
        return false;
    }
    const char *description = member_str(input, "Description", NULL);
    if (description != NULL) { /* "" takes it away */
        json_object_set_new(spec, "Description", json_string(description));
    }
    put_changed(ctx, spec);
    *ret_output = secret_output(spec);
    if (version != NULL) {
        json_object_set_new(*ret_output, "VersionId", json_string(version));
    }
    return true;
}

/* ---- describe, list
 * ------------------------------------------------------------------------------ */

static json_t *secret_view(const json_t *spec, const char *stages_member)
{
    json_t *view = secret_output(spec);
    const char *description = member_str(spec, "Description", "");
    json_t *key = json_object_get(spec, "KmsKeyId");
    int64_t deleted_ms = member_int(spec, "deleted_ms", 0);
    if (description[0] != '\0') {
        json_object_set_new(view, "Description", json_string(description));
    }
    if (key != NULL) {
        json_object_set(view, "KmsKeyId", key);
    }
    if (deleted_ms != 0) {
        json_object_set_new(view, "DeletedDate", json_time(deleted_ms));
    }
    json_object_set_new(view, "CreatedDate", json_time(member_int(spec, "created_ms", 0)));
    json_object_set_new(view, "LastChangedDate", json_time(member_int(spec, "changed_ms", 0)));
    json_object_set_new(view, "Tags", tags_copy(spec));
    json_object_set_new(view, stages_member, secret_stages_view(spec));
    return view;
}

bool secret_describe(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    json_t *spec = secret_find(ctx, input, true);
    if (spec == NULL) {
        return false;
    }
    *ret_output = secret_view(spec, "VersionIdsToStages");
    return true;
}

static bool any_prefix(const json_t *values, const char *text)
{
    size_t index;
    const json_t *value;
    json_array_foreach (values, index, value) {
        const char *prefix = json_is_string(value) ? json_string_value(value) : "";
        if (strncmp(text, prefix, strlen(prefix)) == 0) {
            return true;
        }
    }
    return values == NULL;
}

static bool any_tag(const json_t *spec, const json_t *values, const char *part)
{
    size_t index;
    const json_t *tag;
    json_array_foreach (json_object_get(spec, "TagList"), index, tag) {
        if (any_prefix(values, member_str(tag, part, ""))) {
            return true;
        }
    }
    return values == NULL;
}

static bool list_fits(const json_t *input, const json_t *spec)
{
    const char *description = member_str(spec, "Description", "");
    const json_t *all = filter_values(input, "all");
    return any_prefix(filter_values(input, "name"), secret_name(spec)) &&
           any_prefix(filter_values(input, "description"), description) &&
           any_tag(spec, filter_values(input, "tag-key"), "Key") &&
           any_tag(spec, filter_values(input, "tag-value"), "Value") &&
           (any_prefix(all, secret_name(spec)) || any_prefix(all, description));
}

bool secret_list(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    static const char *const filters[] = {"name",      "description", "tag-key",
                                          "tag-value", "all",         NULL};
    TRY(filters_check(ctx, input, filters));
    json_t *items = json_array();
    RecordList list = spec_list(ctx, RESOURCE_SECRET);
    for (size_t i = 0; i < list.len; i++) {
        const json_t *spec = list.items[i].value;
        bool closed = member_int(spec, "deleted_ms", 0) != 0;
        if (secret_is_there(ctx, spec) && list_fits(input, spec) &&
            (!closed || input_flag(input, "IncludePlannedDeletion"))) {
            json_array_append_new(items, secret_view(spec, "SecretVersionsToStages"));
        }
    }
    return page_output_by(ctx, &page_token, input, "SecretList", items, ret_output);
}

/* ---- delete, restore
 * ----------------------------------------------------------------------------- */

static bool window_of(ApiContext *ctx, const json_t *input, int64_t *ret_days)
{
    bool given = json_is_integer(json_object_get(input, "RecoveryWindowInDays"));
    int64_t days = member_int(input, "RecoveryWindowInDays", WINDOW_DAYS);
    bool force = input_flag(input, "ForceDeleteWithoutRecovery");
    if (given && force) {
        return refuse(ctx, "InvalidParameterException",
                      "You can't use ForceDeleteWithoutRecovery in conjunction with "
                      "RecoveryWindowInDays.");
    }
    if (days < WINDOW_DAYS_MIN || days > WINDOW_DAYS) {
        return refuse(ctx, "InvalidParameterException",
                      "RecoveryWindowInDays value must be between 7 and 30 days (inclusive).");
    }
    *ret_days = force ? 0 : days;
    return true;
}

bool secret_delete(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    int64_t days = 0;
    bool force = input_flag(input, "ForceDeleteWithoutRecovery");
    json_t *spec = secret_find(ctx, input, force); /* force also cuts a window short */
    if (spec == NULL || !window_of(ctx, input, &days)) {
        return false;
    }
    int64_t purge_ms = ctx->now_ms + days * DAY_MS;
    references_hold(ctx);
    *ret_output = secret_output(spec);
    json_object_set_new(*ret_output, "DeletionDate", json_time(purge_ms));
    if (days == 0) {
        secret_purge(ctx, spec);
        return true;
    }
    json_object_set_new(spec, "deleted_ms", json_integer(ctx->now_ms));
    json_object_set_new(spec, "purge_ms", json_integer(purge_ms));
    put_changed(ctx, spec);
    return true;
}

bool secret_restore(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    json_t *spec = secret_find(ctx, input, true);
    if (spec == NULL) {
        return false;
    }
    json_object_del(spec, "deleted_ms");
    json_object_del(spec, "purge_ms");
    put_changed(ctx, spec);
    *ret_output = secret_output(spec);
    return true;
}
