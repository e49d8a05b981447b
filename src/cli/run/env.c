/* The environment of a command of `weir run`. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/run/run_priv.h"

/* Other credentials, other endpoints, and the orders not to use ours. */
bool run_env_leads_away(const char *name)
{
    static const char *const names[] = {"AWS_PROFILE",
                                        "AWS_DEFAULT_PROFILE",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_SECURITY_TOKEN",
                                        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
                                        "AWS_USE_FIPS_ENDPOINT",
                                        "AWS_USE_DUALSTACK_ENDPOINT"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return slice_starts(slice_of(name), "AWS_ENDPOINT_URL_");
}

/* ---- lists of hosts ----------------------------------------------------------------------- */

static bool list_has(const char *list, const char *item)
{
    Slice rest = slice_of(list);
    while (rest.data != NULL) {
        if (slice_is_nocase(slice_trim(slice_cut(&rest, ',')), item)) {
            return true;
        }
    }
    return false;
}

char *run_list_add(const char *list, const char *const *more)
{
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    buf_append_str(&out, list != NULL ? list : "");
    for (; *more != NULL; more++) {
        if (!list_has(buf_str(&out), *more)) {
            buf_printf(&out, "%s%s", out.len > 0 ? "," : "", *more);
        }
    }
    char *text = mem_strdup(buf_str(&out));
    buf_done(&out);
    return text;
}

/* ---- setting it --------------------------------------------------------------------------- */

static void env_remove(void)
{
    for (char **at = environ; *at != NULL;) {
        Slice rest = slice_of(*at);
        Slice name = slice_cut(&rest, '=');
        CLEANUP(mem_free_ptr) char *copy = mem_printf("%.*s", SLICE_FMT(name));
        if (run_env_leads_away(copy)) {
            unsetenv(copy);
            at = environ; /* it has changed */
        } else {
            at++;
        }
    }
}

static bool has_proxy(void)
{
    static const char *const names[] = {"HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && value[0] != '\0') {
            return true;
        }
    }
    return false;
}

/* Both spellings: programs differ in which they read. */
static void proxy_pass_by(const char *const *hosts)
{
    const char *upper = getenv("NO_PROXY");
    const char *lower = getenv("no_proxy");
    CLEANUP(mem_free_ptr) char *for_upper = run_list_add(upper != NULL ? upper : lower, hosts);
    CLEANUP(mem_free_ptr) char *for_lower = run_list_add(lower != NULL ? lower : upper, hosts);
    setenv("NO_PROXY", for_upper, 1);
    setenv("no_proxy", for_lower, 1);
}

void run_env_apply(const json_t *vars, const char *const *hosts)
{
    env_remove();
    /* sts.amazonaws.com, the default of old SDKs, is signed for a region that is not the tier's. */
    setenv("AWS_STS_REGIONAL_ENDPOINTS", "regional", 1);
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)vars, name, value) {
        setenv(name, json_string_value(value), 1);
    }
    if (has_proxy()) {
        proxy_pass_by(hosts);
    }
}
