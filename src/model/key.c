/* Types of resources and the keys of their records. */
#include <ctype.h>

#include "model/model.h"

static const char *const type_names[RESOURCE_TYPES] = {
    [RESOURCE_DB_INSTANCE] = "db-instance",
    [RESOURCE_DB_SUBNET_GROUP] = "db-subnet-group",
    [RESOURCE_DB_PARAMETER_GROUP] = "db-parameter-group",
    [RESOURCE_DB_PROXY] = "db-proxy",
    [RESOURCE_DB_PROXY_ENDPOINT] = "db-proxy-endpoint",
    [RESOURCE_DB_PROXY_OPTIONS] = "db-proxy-options",
    [RESOURCE_SECURITY_GROUP] = "security-group",
    [RESOURCE_SECRET] = "secret",
    [RESOURCE_REPLICATION_GROUP] = "replication-group",
    [RESOURCE_CACHE_SUBNET_GROUP] = "cache-subnet-group",
    [RESOURCE_CACHE_PARAMETER_GROUP] = "cache-parameter-group",
};

const char *resource_type_name(ResourceType type)
{
    ASSERT((size_t)type < RESOURCE_TYPES);
    return type_names[type];
}

bool resource_type_parse(Slice name, ResourceType *ret_type)
{
    for (size_t i = 0; i < RESOURCE_TYPES; i++) {
        if (slice_is(name, type_names[i])) {
            *ret_type = (ResourceType)i;
            return true;
        }
    }
    return false;
}

static bool key_byte_is_plain(unsigned char byte)
{
    return isalnum(byte) || (byte != 0 && strchr("-._+=@!:", byte) != NULL);
}

/* Appends an id, a byte that a key cannot hold as %XX. */
static void key_append_id(Buf *key, const char *id)
{
    for (const char *at = id; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;
        if (key_byte_is_plain(byte)) {
            buf_append_char(key, (char)byte);
        } else {
            buf_printf(key, "%%%02X", byte);
        }
    }
}

/* Copies the key out and frees the buffer. */
static bool key_finish(Buf *key, const char *id, char *out, Err *err)
{
    bool fits = !key->overflowed;
    if (fits) {
        memcpy(out, buf_str(key), key->len + 1);
    } else {
        err_set(err, ERR_LIMIT, "The name is too long for Weir's store: %.40s…", id);
    }
    buf_done(key);
    return fits;
}

static bool tree_key(const char *tree, ResourceType type, const char *id, char *out, Err *err)
{
    Buf key;
    buf_init(&key, MODEL_KEY_SIZE - 1);
    buf_printf(&key, "%s/%s/", tree, resource_type_name(type));
    key_append_id(&key, id);
    return key_finish(&key, id, out, err);
}

bool spec_key(ResourceType type, const char *id, char out[static MODEL_KEY_SIZE], Err *err)
{
    return tree_key("spec", type, id, out, err);
}

bool status_key(ResourceType type, const char *id, char out[static MODEL_KEY_SIZE], Err *err)
{
    return tree_key("status", type, id, out, err);
}

bool secret_value_key(const char *secret_name, const char *version, char out[static MODEL_KEY_SIZE],
                      Err *err)
{
    Buf key;
    buf_init(&key, MODEL_KEY_SIZE - 1);
    buf_append_str(&key, "secretvalue/");
    key_append_id(&key, secret_name);
    buf_append_char(&key, '/');
    key_append_id(&key, version);
    return key_finish(&key, secret_name, out, err);
}
