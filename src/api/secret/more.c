/* What else Secrets Manager does: policies, tags, random passwords. */
#include "api/secret/secret_priv.h"

/* ---- policies: kept, and given back
 * -------------------------------------------------------------- */

#define POLICY_MAX 20480

bool secret_put_policy(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    const char *policy;
    json_t *parsed;
    json_t *spec = secret_find(ctx, input, false);
    if (spec == NULL || !input_required(ctx, input, "ResourcePolicy", &policy)) {
        return false;
    }
    if (strlen(policy) > POLICY_MAX || !record_parse(slice_of(policy), &parsed, NULL)) {
        return refuse(ctx, "MalformedPolicyDocumentException",
                      "This resource policy is not a JSON object of at most %d bytes.", POLICY_MAX);
    }
    json_decref(parsed);
    json_object_set_new(spec, "policy", json_string(policy));
    spec_put(ctx, RESOURCE_SECRET, secret_name(spec), spec);
    *ret_output = secret_output(spec);
    return true;
}

bool secret_get_policy(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    json_t *spec = secret_find(ctx, input, true);
    if (spec == NULL) {
        return false;
    }
    *ret_output = secret_output(spec);
    json_t *policy = json_object_get(spec, "policy");
    if (policy != NULL) {
        json_object_set(*ret_output, "ResourcePolicy", policy);
    }
    return true;
}

bool secret_delete_policy(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    json_t *spec = secret_find(ctx, input, false);
    if (spec == NULL) {
        return false;
    }
    json_object_del(spec, "policy");
    spec_put(ctx, RESOURCE_SECRET, secret_name(spec), spec);
    *ret_output = secret_output(spec);
    return true;
}

/* ---- tags
 * ---------------------------------------------------------------------------------------- */

bool secret_tag(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    (void)ret_output;
    const json_t *tags = json_object_get(input, "Tags");
    json_t *spec = secret_find(ctx, input, false);
    if (spec == NULL || !tags_check(ctx, tags)) {
        return false;
    }
    tags_merge(spec, tags);
    TRY(tags_check(ctx, member_array(spec, "TagList")));
    spec_put(ctx, RESOURCE_SECRET, secret_name(spec), spec);
    return true;
}

bool secret_untag(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    (void)ret_output;
    json_t *spec = secret_find(ctx, input, false);
    if (spec == NULL) {
        return false;
    }
    tags_remove(spec, json_object_get(input, "TagKeys"));
    spec_put(ctx, RESOURCE_SECRET, secret_name(spec), spec);
    return true;
}

bool secret_rotate(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    (void)ret_output;
    return secret_find(ctx, input, false) != NULL &&
           refuse_unsupported(ctx, "rotation yet. Put a new value with PutSecretValue.");
}

/* ---- random passwords
 * ---------------------------------------------------------------------------- */

#define PASSWORD_DEFAULT 32
#define PASSWORD_MAX     4096

typedef struct CharSet {
    const char *characters;
    const char *exclude; /* the flag that leaves it out; NULL: only with IncludeSpace */
} CharSet;

static const CharSet char_sets[] = {
    {"abcdefghijklmnopqrstuvwxyz", "ExcludeLowercase"},
    {"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "ExcludeUppercase"},
    {"0123456789", "ExcludeNumbers"},
    {"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "ExcludePunctuation"},
    {" ", NULL},
};

typedef struct Alphabet {
    char sets[ARRAY_LEN(char_sets)][64]; /* what is left of each set */
    char all[256];
} Alphabet;

static void alphabet_make(const json_t *input, Alphabet *alphabet)
{
    const char *without = member_str(input, "ExcludeCharacters", "");
    *alphabet = (Alphabet){0};
    size_t total = 0;
    for (size_t i = 0; i < ARRAY_LEN(char_sets); i++) {
        const CharSet *set = &char_sets[i];
        bool in = set->exclude != NULL ? !input_flag(input, set->exclude)
                                       : input_flag(input, "IncludeSpace");
        size_t len = 0;
        for (const char *at = set->characters; in && *at != '\0'; at++) {
            if (strchr(without, *at) == NULL) {
                alphabet->sets[i][len++] = *at;
                alphabet->all[total++] = *at;
            }
        }
    }
}

/* Uniform: bytes past the last whole multiple are thrown away. */
static size_t random_below(size_t count)
{
    ASSERT(count > 0 && count <= 256);
    uint8_t byte;
    do {
        random_bytes(&byte, 1);
    } while (byte >= 256 - 256 % count);
    return byte % count;
}

static void password_fill(const Alphabet *alphabet, bool each, char *out, size_t len)
{
    size_t at = 0;
    for (size_t i = 0; each && i < ARRAY_LEN(char_sets); i++) {
        if (alphabet->sets[i][0] != '\0') {
            out[at++] = alphabet->sets[i][random_below(strlen(alphabet->sets[i]))];
        }
    }
    while (at < len) {
        out[at++] = alphabet->all[random_below(strlen(alphabet->all))];
    }
    for (size_t i = len; i > 1 && len <= 256; i--) { /* so that the first ones are anywhere */
        size_t other = random_below(i);
        char swap = out[i - 1];
        out[i - 1] = out[other];
        out[other] = swap;
    }
}

static size_t sets_used(const Alphabet *alphabet)
{
    size_t used = 0;
    for (size_t i = 0; i < ARRAY_LEN(char_sets); i++) {
        used += alphabet->sets[i][0] != '\0' ? 1 : 0;
    }
    return used;
}

bool secret_random_password(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    int64_t len = member_int(input, "PasswordLength", PASSWORD_DEFAULT);
    bool each = member_bool(input, "RequireEachIncludedType", true);
    Alphabet alphabet;
    alphabet_make(input, &alphabet);
    if (len < 1 || len > PASSWORD_MAX) {
        return refuse(ctx, "InvalidParameterException", "PasswordLength is 1 to %d.", PASSWORD_MAX);
    }
    if (alphabet.all[0] == '\0' || (each && (size_t)len < sets_used(&alphabet))) {
        return refuse(ctx, "InvalidParameterException",
                      "The password length is too short for the types that are asked for, or "
                      "nothing is left to choose from.");
    }
    char *password = arena_alloc(ctx->arena, (size_t)len + 1);
    password_fill(&alphabet, each, password, (size_t)len);
    *ret_output = json_pack("{s:s}", "RandomPassword", password);
    crypto_wipe(password, (size_t)len);
    return true;
}
