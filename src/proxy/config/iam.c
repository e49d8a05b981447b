/* JSON to ProxyConfig: whose IAM tokens count, and for which names of this pool. Pure. */
#include "aws/aws.h"
#include "proxy/config/config_priv.h"
#include "proxy/config/reader_priv.h"

static void parse_key(Reader *outer, const json_t *item, ProxyIamKey *key)
{
    Reader reader = reader_of(item, "pool.iam.keys[]", outer->err);
    key->id = reader_text(&reader, "access_key_id", true);
    key->secret_file = reader_text(&reader, "secret_access_key_file", false);
    reader_secret(&reader, "secret_access_key", key->secret_file == NULL, &key->secret);
    if (key->secret_file != NULL && secret_is_set(&key->secret)) {
        reader_fail(&reader, "pool.iam.keys[] has secret_access_key and secret_access_key_file: "
                             "one of them");
    } else if (key->id != NULL && strlen(key->id) > AWS_ACCESS_KEY_MAX) {
        reader_fail(&reader, "pool.iam.keys[].access_key_id is longer than %d bytes",
                    AWS_ACCESS_KEY_MAX);
    }
    reader_end(&reader);
    reader_pass_on(outer, &reader);
}

static void parse_keys(Reader *reader, ProxyConfig *config)
{
    ProxyIam *iam = &config->iam;
    const json_t *list = reader_list(reader, "keys", 1, PROXY_IAM_KEYS_MAX);
    size_t count = json_array_size(list);
    iam->keys = mem_alloc((count + 1) * sizeof(ProxyIamKey));
    for (size_t i = 0; i < count && !reader->failed; i++) {
        ProxyIamKey *key = &iam->keys[iam->key_count++];
        parse_key(reader, json_array_get(list, i), key);
        config->holds_secrets = config->holds_secrets || secret_is_set(&key->secret);
        for (size_t j = 0; j < i && !reader->failed; j++) {
            if (strcmp(iam->keys[j].id, key->id) == 0) {
                reader_fail(reader, "pool.iam.keys has %s twice", key->id);
            }
        }
    }
}

void proxy_config_parse_iam(Reader *pool, ProxyConfig *config)
{
    json_t *json = reader_take(pool, "iam");
    if (json == NULL) {
        return;
    }
    Reader reader = reader_of(json, "pool.iam", pool->err);
    config->iam.region = reader_text(&reader, "region", true);
    proxy_config_parse_names(&reader, "hosts", 1, PROXY_IAM_HOSTS_MAX, &config->iam.hosts);
    parse_keys(&reader, config);
    reader_end(&reader);
    reader_pass_on(pool, &reader);
}
