/* Configurations as texts: what is taken, and what is refused by name. */
#ifndef WEIR_TESTS_UNIT_PROXY_CONFIG_TEXT_H
#define WEIR_TESTS_UNIT_PROXY_CONFIG_TEXT_H

#include "../unit.h"

#include "proxy/config/config_priv.h"

static const char pool_text[] =
    "{\"kind\":\"pool\",\"listeners\":[{\"address\":\"127.0.0.1\",\"port\":5432,\"cert_pem\":\"c\","
    "\"key_pem\":\"k\"}],\"require_tls\":true,\"idle_client_timeout_s\":60,\"security_rules\":["
    "{\"cidr\":\"10.0.0.0/8\"},{\"cidr\":\"::1/128\",\"from_port\":5000,\"to_port\":6000}],"
    "\"debug_logging\":true,\"workers\":3,\"pool\":{\"users\":[{\"user\":\"ann\",\"password\":"
    "\"p q\"}],\"target\":{\"id\":\"db-1\",\"socket_dir\":\"/run/x\",\"port\":5433,"
    "\"max_connections\":50},\"max_connections_percent\":30,\"max_idle_connections_percent\":10,"
    "\"connection_borrow_timeout_s\":5,\"init_query\":\"\"}}";

/* %s: more users. */
#define FILES_TEXT                                                                                 \
    "{\"kind\":\"pool\",\"listeners\":[{\"address\":\"127.0.0.1\",\"cert_file\":\"/c\","           \
    "\"key_file\":\"/k\"}],\"pool\":{\"target\":{\"host\":\"db.test\",\"port\":6000,\"tls\":"      \
    "\"verify-full\",\"ca_file\":\"/ca\"},\"users\":[{\"user\":\"a\",\"password_file\":\"/p\"}"    \
    "%s]}}"

static inline bool parse(const char *text, ProxyConfig **ret_config, Err *err)
{
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    bool ok = proxy_config_parse(json, ret_config, err);
    json_decref(json);
    return ok;
}

/* `what` is to be named. */
static inline void refuse(const char *text, const char *what)
{
    ProxyConfig *config;
    Err err;
    assert_false(parse(text, &config, &err));
    if (strstr(err.message, what) == NULL) {
        fail_msg("%s: not named in: %s", what, err.message);
    }
}

/* `target` and `user` are put where they belong, and `what` is to be named. */
static inline void refuse_pool(const char *listener, const char *target, const char *user,
                               const char *what)
{
    CLEANUP(mem_free_ptr)
    char *text = mem_printf("{\"kind\":\"pool\",\"listeners\":[{\"address\":\"a\"%s}],\"pool\":{"
                            "\"target\":{%s},\"users\":[{\"user\":\"a\",%s}]}}",
                            listener, target, user);
    refuse(text, what);
}

#endif
