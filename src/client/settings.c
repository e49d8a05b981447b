/* client.json: where the tier's endpoint is, and the keys that sign. Written once by the tier, read
 * by every command; mode 0600, for it holds a secret. */
#include "client/client.h"

#define SETTINGS_SIZE_MAX ((size_t)64 << 10)

void client_settings_done(ClientSettings *settings)
{
    mem_free(settings->endpoint);
    mem_free(settings->region);
    mem_free(settings->access_key);
    mem_free(settings->ca);
    mem_free(settings->run_dir);
    secret_done(&settings->secret_key);
    *settings = (ClientSettings){0};
}

static char *text_copy(const json_t *root, const char *name)
{
    return mem_strdup(json_string_value(json_object_get(root, name)));
}

static char *ca_path(const json_t *root, const char *data_dir)
{
    const char *ca = json_string_value(json_object_get(root, "ca"));
    if (ca == NULL || ca[0] == '/') {
        return mem_strdup(ca);
    }
    return mem_printf("%s/%s", data_dir, ca);
}

static bool settings_parse(const char *path, const char *data_dir, Slice text,
                           ClientSettings *ret_settings, Err *err)
{
    json_error_t problem;
    json_t *root = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &problem);
    if (root == NULL) {
        return err_set(err, ERR_INVALID, "%s is not JSON: line %d: %s", path, problem.line,
                       problem.text);
    }
    const json_t *secret_key = json_object_get(root, "secret_key");
    ClientSettings settings = {.endpoint = text_copy(root, "endpoint"),
                               .region = text_copy(root, "region"),
                               .access_key = text_copy(root, "access_key"),
                               .ca = ca_path(root, data_dir),
                               .run_dir = text_copy(root, "run_dir"),
                               .patience_ms = CLIENT_PATIENCE_DEFAULT_MS,
                               .timeout_ms = CLIENT_TIMEOUT_DEFAULT_MS};
    const char *missing = settings.endpoint == NULL     ? "endpoint"
                          : settings.region == NULL     ? "region"
                          : settings.access_key == NULL ? "access_key"
                          : !json_is_string(secret_key) ? "secret_key"
                                                        : NULL;
    if (missing == NULL) {
        secret_set(&settings.secret_key,
                   slice_from(json_string_value(secret_key), json_string_length(secret_key)));
        *ret_settings = settings;
    } else {
        client_settings_done(&settings);
        err_set(err, ERR_INVALID, "%s has no text \"%s\"", path, missing);
    }
    json_decref(root);
    return missing == NULL;
}

bool client_settings_load(const char *data_dir, ClientSettings *ret_settings, Err *err)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/" CLIENT_FILE, data_dir);
    Buf text;
    buf_init(&text, SETTINGS_SIZE_MAX);
    bool ok = file_read(path, &text, err) &&
              settings_parse(path, data_dir, slice_of(buf_str(&text)), ret_settings, err);
    crypto_wipe(text.data, text.len);
    buf_done(&text);
    return ok;
}

bool client_settings_save(const char *data_dir, const ClientSettings *settings, Err *err)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/" CLIENT_FILE, data_dir);
    Slice secret_key = secret_reveal(&settings->secret_key);
    json_t *root = json_pack("{s:s, s:s, s:s, s:s%, s:s*, s:s*}", "endpoint", settings->endpoint,
                             "region", settings->region, "access_key", settings->access_key,
                             "secret_key", secret_key.data, secret_key.len, "ca", settings->ca,
                             "run_dir", settings->run_dir);
    if (root == NULL) {
        return err_set(err, ERR_INVALID, "%s: endpoint, region or a key is missing", path);
    }
    char *text = json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    bool ok = file_write(path, slice_of(text), 0600, err);
    crypto_wipe(text, strlen(text));
    mem_free(text);
    return ok;
}
