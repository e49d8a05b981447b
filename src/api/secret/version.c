/* Versions of a secret: their values, and the labels that move between them. */
#include "api/secret/secret_priv.h"

#define VALUE_MAX      65536
#define UNLABELLED_MAX 10 /* versions kept that nobody points at */
#define LABELS_MAX     20
#define TOKEN_MIN      32
#define TOKEN_MAX      64

json_t *secret_versions(json_t *spec)
{
    json_t *versions = member_object(spec, "versions");
    if (versions == NULL) {
        versions = json_object();
        json_object_set_new(spec, "versions", versions);
    }
    return versions;
}

bool secret_has_value(const json_t *input)
{
    return input_str(input, "SecretString") != NULL || input_str(input, "SecretBinary") != NULL;
}

/* ---- labels
 * -------------------------------------------------------------------------------------- */

const char *secret_labelled(const json_t *spec, const char *label)
{
    const char *id;
    json_t *version;
    json_object_foreach (member_object(spec, "versions"), id, version) {
        if (member_has(version, "stages", label)) {
            return id;
        }
    }
    return NULL;
}

static void label_remove(json_t *version, const char *label)
{
    size_t index;
    const json_t *stage;
    json_t *stages = member_array(version, "stages");
    json_array_foreach (stages, index, stage) {
        if (json_is_string(stage) && strcmp(json_string_value(stage), label) == 0) {
            json_array_remove(stages, index);
            return;
        }
    }
}

static void label_place(json_t *spec, const char *label, const char *id)
{
    json_t *versions = secret_versions(spec);
    const char *from = secret_labelled(spec, label);
    if (from != NULL) {
        label_remove(json_object_get(versions, from), label);
    }
    json_t *stages = id != NULL ? member_array(json_object_get(versions, id), "stages") : NULL;
    if (stages != NULL) {
        json_array_append_new(stages, json_string(label));
    }
}

void secret_label_move(json_t *spec, const char *label, const char *version)
{
    const char *before = secret_labelled(spec, label);
    bool moves = before == NULL || version == NULL || strcmp(before, version) != 0;
    if (!moves) {
        return;
    }
    if (before != NULL && version != NULL && strcmp(label, LABEL_CURRENT) == 0) {
        label_place(spec, LABEL_PREVIOUS, before);
    }
    label_place(spec, label, version);
}

json_t *secret_stages_view(const json_t *spec)
{
    json_t *view = json_object();
    const char *id;
    json_t *version;
    json_object_foreach (member_object(spec, "versions"), id, version) {
        if (json_array_size(member_array(version, "stages")) > 0) {
            json_object_set_new(view, id, json_strings_copy(member_array(version, "stages")));
        }
    }
    return view;
}

/* ---- values
 * -------------------------------------------------------------------------------------- */

static const char *value_kind(const json_t *input)
{
    return input_str(input, "SecretBinary") != NULL ? "binary" : "string";
}

static const char *value_text(const json_t *input)
{
    const char *binary = input_str(input, "SecretBinary");
    return binary != NULL ? binary : input_str(input, "SecretString");
}

static bool value_check(ApiContext *ctx, const json_t *input)
{
    const char *text = value_text(input);
    if (text == NULL) {
        return refuse(ctx, "InvalidParameterException",
                      "You must provide either SecretString or SecretBinary.");
    }
    if (input_str(input, "SecretString") != NULL && input_str(input, "SecretBinary") != NULL) {
        return refuse(ctx, "InvalidParameterException",
                      "You can't specify both a binary secret value and a string secret value in "
                      "the same secret.");
    }
    return strlen(text) <= VALUE_MAX ? true
                                     : refuse(ctx, "InvalidParameterException",
                                              "A secret value has at most %d bytes.", VALUE_MAX);
}

static bool value_open(ApiContext *ctx, const json_t *spec, const char *version, Secret *ret_text)
{
    char key[MODEL_KEY_SIZE];
    Err err;
    if (!secret_value_key(secret_name(spec), version, key, &err)) {
        return refuse_err(ctx, &err);
    }
    const char *sealed = member_str(record_get(ctx, key), "sealed", "");
    return secret_unseal(ctx->api->options.master_key, slice_of(key), slice_of(sealed), ret_text,
                         &err)
               ? true
               : refuse(ctx, "DecryptionFailure",
                        "Secrets Manager can't decrypt the secret value: %s", err.message);
}

static bool value_put(ApiContext *ctx, const json_t *spec, const char *version, const json_t *input)
{
    char key[MODEL_KEY_SIZE];
    Err err;
    if (!secret_value_key(secret_name(spec), version, key, &err)) {
        return refuse_err(ctx, &err);
    }
    const char *sealed = seal_for(ctx, key, slice_of(value_text(input)));
    record_put(ctx, key, context_own(ctx, json_pack("{s:s}", "sealed", sealed)));
    return true;
}

/* ---- adding
 * -------------------------------------------------------------------------------------- */

static bool version_id(ApiContext *ctx, const json_t *input, const char **ret_id)
{
    const char *token = input_str(input, "ClientRequestToken");
    char made[MODEL_ID_SIZE];
    if (token == NULL) {
        uuid_make(made);
        *ret_id = arena_strdup(ctx->arena, made);
        return true;
    }
    size_t len = strlen(token);
    if (len < TOKEN_MIN || len > TOKEN_MAX) {
        return refuse(ctx, "InvalidParameterException",
                      "ClientRequestToken has %d to %d characters.", TOKEN_MIN, TOKEN_MAX);
    }
    *ret_id = token;
    return true;
}

/* The token is known: fine if the value is the same. */
static bool version_again(ApiContext *ctx, const json_t *spec, const char *id, const json_t *input)
{
    Secret text = {0};
    TRY(value_open(ctx, spec, id, &text));
    bool same = secret_eq(&text, slice_of(value_text(input)));
    secret_done(&text);
    return same ? true
                : refuse(ctx, "ResourceExistsException",
                         "You can't use ClientRequestToken %s because that value is already in use "
                         "for a version of secret %s.",
                         id, member_str(spec, "ARN", ""));
}

static const char *oldest_unlabelled(json_t *versions, size_t *ret_count)
{
    const char *id;
    json_t *version;
    const char *oldest = NULL;
    int64_t oldest_ms = INT64_MAX;
    *ret_count = 0;
    json_object_foreach (versions, id, version) {
        int64_t made_ms = member_int(version, "created_ms", 0);
        if (json_array_size(member_array(version, "stages")) > 0) {
            continue;
        }
        (*ret_count)++;
        if (made_ms < oldest_ms) {
            oldest = id;
            oldest_ms = made_ms;
        }
    }
    return oldest;
}

static void versions_prune(ApiContext *ctx, json_t *spec)
{
    json_t *versions = secret_versions(spec);
    size_t count;
    char key[MODEL_KEY_SIZE];
    for (const char *id = oldest_unlabelled(versions, &count); count > UNLABELLED_MAX;
         id = oldest_unlabelled(versions, &count)) {
        if (secret_value_key(secret_name(spec), id, key, NULL)) {
            record_delete(ctx, key);
        }
        json_object_del(versions, id);
    }
}

static void labels_set(json_t *spec, const char *id, const json_t *labels)
{
    size_t index;
    const json_t *label;
    if (labels == NULL) {
        secret_label_move(spec, LABEL_CURRENT, id);
        return;
    }
    json_array_foreach (labels, index, label) {
        secret_label_move(spec, json_string_value(label), id);
    }
}

bool secret_version_add(ApiContext *ctx, json_t *spec, const json_t *input, const json_t *labels,
                        const char **ret_version)
{
    const char *id = NULL;
    TRY(value_check(ctx, input) && version_id(ctx, input, &id));
    json_t *versions = secret_versions(spec);
    if (json_object_get(versions, id) != NULL) {
        *ret_version = id;
        return version_again(ctx, spec, id, input);
    }
    json_object_set_new(versions, id,
                        json_pack("{s:[], s:I, s:s}", "stages", "created_ms",
                                  (json_int_t)ctx->now_ms, "kind", value_kind(input)));
    /* The first version is the current one, whatever else it is called. */
    if (secret_labelled(spec, LABEL_CURRENT) == NULL) {
        secret_label_move(spec, LABEL_CURRENT, id);
    }
    labels_set(spec, id, labels);
    TRY(value_put(ctx, spec, id, input));
    versions_prune(ctx, spec);
    json_object_set_new(spec, "changed_ms", json_integer(ctx->now_ms));
    *ret_version = id;
    return true;
}

static bool labels_check(ApiContext *ctx, const json_t *labels)
{
    size_t index;
    const json_t *label;
    json_array_foreach (labels, index, label) {
        size_t len = json_is_string(label) ? json_string_length(label) : 0;
        if (len < 1 || len > 256) {
            return refuse(ctx, "InvalidParameterException",
                          "A staging label has 1 to 256 characters.");
        }
    }
    return json_array_size(labels) <= LABELS_MAX
               ? true
               : refuse(ctx, "LimitExceededException", "A version has at most %d staging labels.",
                        LABELS_MAX);
}

bool secret_put_value(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    const char *version;
    const json_t *labels = member_array(input, "VersionStages");
    json_t *spec = secret_find(ctx, input, false);
    if (spec == NULL || !labels_check(ctx, labels)) {
        return false;
    }
    if (json_array_size(labels) == 0) {
        labels = NULL;
    }
    TRY(secret_version_add(ctx, spec, input, labels, &version));
    spec_change(ctx, RESOURCE_SECRET, secret_name(spec), spec);
    const json_t *stored = json_object_get(secret_versions(spec), version);
    *ret_output = secret_output(spec);
    json_object_set_new(*ret_output, "VersionId", json_string(version));
    json_object_set_new(*ret_output, "VersionStages",
                        json_strings_copy(member_array(stored, "stages")));
    return true;
}

/* ---- reading
 * ------------------------------------------------------------------------------------- */

/* The version that id and label mean; both must agree where both are given. */
static bool version_find(ApiContext *ctx, const json_t *spec, const json_t *input,
                         const char **ret_id)
{
    const char *id = input_str(input, "VersionId");
    const char *label = input_str(input, "VersionStage");
    if (id == NULL) {
        const char *wanted = label != NULL ? label : LABEL_CURRENT;
        id = secret_labelled(spec, wanted);
        *ret_id = id;
        return id != NULL
                   ? true
                   : refuse(ctx, "ResourceNotFoundException",
                            "Secrets Manager can't find the specified secret value for staging "
                            "label: %s",
                            wanted);
    }
    const json_t *version = json_object_get(member_object(spec, "versions"), id);
    if (version == NULL) {
        return refuse(ctx, "ResourceNotFoundException",
                      "Secrets Manager can't find the specified secret value for VersionId: %s",
                      id);
    }
    if (label != NULL && !member_has(version, "stages", label)) {
        return refuse(ctx, "InvalidRequestException",
                      "You provided a VersionStage that is not associated to the provided "
                      "VersionId.");
    }
    *ret_id = id;
    return true;
}

bool secret_get_value(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    const char *id = NULL;
    Secret text = {0};
    json_t *spec = secret_find(ctx, input, false);
    if (spec == NULL || !version_find(ctx, spec, input, &id) || !value_open(ctx, spec, id, &text)) {
        return false;
    }
    const json_t *version = json_object_get(member_object(spec, "versions"), id);
    bool binary = strcmp(member_str(version, "kind", "string"), "binary") == 0;
    *ret_output = secret_output(spec);
    json_object_set_new(*ret_output, "VersionId", json_string(id));
    json_object_set_new(*ret_output, "VersionStages",
                        json_strings_copy(member_array(version, "stages")));
    json_object_set_new(*ret_output, "CreatedDate",
                        json_time(member_int(version, "created_ms", 0)));
    json_object_set_new(*ret_output, binary ? "SecretBinary" : "SecretString",
                        json_string(secret_reveal(&text).data));
    secret_done(&text);
    return true;
}

bool secret_list_versions(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    json_t *spec = secret_find(ctx, input, true);
    if (spec == NULL) {
        return false;
    }
    json_t *items = json_array();
    const char *id;
    json_t *version;
    json_object_foreach (member_object(spec, "versions"), id, version) {
        bool labelled = json_array_size(member_array(version, "stages")) > 0;
        if (labelled || input_flag(input, "IncludeDeprecated")) {
            json_array_append_new(
                items, json_pack("{s:s, s:o, s:I}", "VersionId", id, "VersionStages",
                                 json_strings_copy(member_array(version, "stages")), "CreatedDate",
                                 (json_int_t)member_int(version, "created_ms", 0)));
        }
    }
    TRY(page_output_by(ctx, &page_token, input, "Versions", items, ret_output));
    json_object_update_missing(*ret_output, context_own(ctx, secret_output(spec)));
    return true;
}

/* ---- moving a label
 * ------------------------------------------------------------------------------ */

static bool stage_check(ApiContext *ctx, json_t *spec, const char *label, const char *from,
                        const char *to)
{
    const json_t *versions = secret_versions(spec);
    const char *holder = secret_labelled(spec, label);
    if ((from != NULL && json_object_get(versions, from) == NULL) ||
        (to != NULL && json_object_get(versions, to) == NULL)) {
        return refuse(ctx, "ResourceNotFoundException",
                      "Secrets Manager can't find the specified secret version.");
    }
    if (to == NULL && strcmp(label, LABEL_CURRENT) == 0) {
        return refuse(
            ctx, "InvalidParameterException",
            "You can only move staging label AWSCURRENT to a different secret version. It "
            "can't be completely removed.");
    }
    if (holder == NULL || (to != NULL && strcmp(holder, to) == 0)) {
        return true;
    }
    return from != NULL && strcmp(from, holder) == 0
               ? true
               : refuse(ctx, "InvalidParameterException",
                        "The parameter RemoveFromVersionId can't be empty or wrong. Staging label "
                        "%s is currently attached to version %s, so you must explicitly reference "
                        "that version in RemoveFromVersionId.",
                        label, holder);
}

bool secret_update_stage(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    const char *label;
    const char *from = input_str(input, "RemoveFromVersionId");
    const char *to = input_str(input, "MoveToVersionId");
    json_t *spec = secret_find(ctx, input, false);
    if (spec == NULL || !input_required(ctx, input, "VersionStage", &label) ||
        !stage_check(ctx, spec, label, from, to)) {
        return false;
    }
    secret_label_move(spec, label, to);
    spec_change(ctx, RESOURCE_SECRET, secret_name(spec), spec);
    *ret_output = secret_output(spec);
    return true;
}
