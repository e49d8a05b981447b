/*
 * Passwords and tokens that the API does not give back: a digest of what was applied last is kept
 * as a secret of the tier, so that an unchanged file plans nothing. It is salted, slow to compute,
 * and counts only for the incarnation of the resource that it was made for.
 *
 * {"format": 1, "salt": hex, "digests": {"aws_db_instance/app": {"of": incarnation, "password":
 * hex}}}
 */
#include "cli/plan/plan_priv.h"

#define FORMAT     1
#define ITERATIONS 20000
#define SALT_SIZE  16

static json_t *root_new(void)
{
    uint8_t salt[SALT_SIZE];
    char hex[2 * SALT_SIZE + 1];
    random_bytes(salt, sizeof(salt));
    hex_encode(salt, sizeof(salt), hex);
    return json_pack("{s:i, s:s, s:{}}", "format", FORMAT, "salt", hex, "digests");
}

static bool root_is_whole(const json_t *root)
{
    return member_int(root, "format", 0) == FORMAT && member_str(root, "salt", NULL) != NULL &&
           member_object(root, "digests") != NULL;
}

bool applied_load(const Caller *caller, Applied *ret_applied, Err *err)
{
    CLEANUP(record_free_ptr) json_t *output = NULL;
    Applied applied = {0};
    TRY(caller_find(caller, "secretsmanager", "GetSecretValue",
                    json_pack("{s:s}", "SecretId", APPLIED_SECRET), &output, err));
    const char *text = member_str(output, "SecretString", NULL);
    applied.stored = output != NULL;
    if (text != NULL) {
        applied.root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    }
    if (!root_is_whole(applied.root)) { /* lost: the next apply sets the passwords once more */
        json_decref(applied.root);
        applied.root = root_new();
    }
    *ret_applied = applied;
    return true;
}

bool applied_save(Applied *applied, const Caller *caller, Err *err)
{
    if (!applied->changed) {
        return true;
    }
    CLEANUP(mem_free_ptr) char *text = json_dumps(applied->root, JSON_COMPACT | JSON_SORT_KEYS);
    const char *operation = applied->stored ? "PutSecretValue" : "CreateSecret";
    TRY(caller_call(caller, "secretsmanager", operation,
                    json_pack("{s:s, s:s}", applied->stored ? "SecretId" : "Name", APPLIED_SECRET,
                              "SecretString", text),
                    NULL, NULL, err));
    applied->stored = true;
    applied->changed = false;
    return true;
}

void applied_done(Applied *applied)
{
    json_decref(applied->root);
    *applied = (Applied){0};
}

static void digest_hex(const Applied *applied, Slice value, char out[static SHA256_HEX_SIZE])
{
    uint8_t digest[SHA256_SIZE];
    pbkdf2_sha256(value, slice_of(member_str(applied->root, "salt", "")), ITERATIONS, digest);
    hex_encode(digest, sizeof(digest), out);
}

static char *entry_name(const Present *present)
{
    return mem_printf("%s/%s", present->kind->type, present->key);
}

AppliedAnswer applied_ask(const Applied *applied, const Present *present, const char *attribute,
                          Slice value)
{
    CLEANUP(mem_free_ptr) char *name = entry_name(present);
    const json_t *entry = member_object(member_object(applied->root, "digests"), name);
    const char *known = member_str(entry, attribute, NULL);
    if (known == NULL || strcmp(member_str(entry, "of", ""), present->incarnation) != 0) {
        return APPLIED_UNKNOWN;
    }
    char digest[SHA256_HEX_SIZE];
    digest_hex(applied, value, digest);
    return strcmp(known, digest) == 0 ? APPLIED_SAME : APPLIED_DIFFERS;
}

void applied_note(Applied *applied, const Present *present, const char *attribute, Slice value)
{
    CLEANUP(mem_free_ptr) char *name = entry_name(present);
    json_t *digests = member_object(applied->root, "digests");
    json_t *entry = member_object(digests, name);
    if (strcmp(member_str(entry, "of", ""), present->incarnation) != 0) {
        entry = json_pack("{s:s}", "of", present->incarnation);
        json_object_set_new(digests, name, entry);
    }
    char digest[SHA256_HEX_SIZE];
    digest_hex(applied, value, digest);
    json_object_set_new(entry, attribute, json_string(digest));
    applied->changed = true;
}
