/* The tokens of clients whose role has auth iam. What is proven is an access key; which of them may
 * be which role is not told apart. */
#include "aws/aws.h"
#include "proxy/client/client_priv.h"
#include "proxy/client/login_priv.h"
#include "proxy/meter/traffic_priv.h"

static const Secret *key_find(void *context, Slice access_key)
{
    const ProxyIam *iam = context;
    for (size_t i = 0; i < iam->key_count; i++) {
        if (slice_is(access_key, iam->keys[i].id)) {
            return &iam->keys[i].secret;
        }
    }
    return NULL;
}

/* Whether the token lets the client in as `login->user`. */
static bool is_verified(const ProxyClient *client, Slice token, Err *err)
{
    ProxyIam *iam = &client->worker->config->iam;
    NetAddr here;
    bool known = stream_local_addr(client->stream, &here, NULL);
    const AwsDbTokenWant want = {.user = slice_of(client->login->user),
                                 .region = slice_of(iam->region),
                                 .hosts = (const char *const *)iam->hosts.items,
                                 .host_count = iam->hosts.count,
                                 .port = known ? net_addr_port(&here) : 0,
                                 .find = key_find,
                                 .context = iam};
    return aws_db_token_verify(token, &want, time_wall_ms(), err);
}

/* A token logs in whoever has it for 15 minutes: it is asked for over TLS only. */
LoginStep proxy_iam_begin(ProxyClient *client)
{
    Buf out;
    if (!client->tls) {
        proxy_traffic_tls_failed(client);
        proxy_client_fatal(client, "28000",
                           "IAM authentication is allowed only with SSL connections.", NULL);
        return LOGIN_GONE;
    }
    client->login->iam = true;
    buf_init(&out, BUF_MAX_DEFAULT);
    pg_put_auth(&out, PG_AUTH_CLEARTEXT, (Slice){0});
    login_send(client, &out);
    return LOGIN_TAKEN;
}

LoginStep proxy_iam_take(ProxyClient *client, Slice body)
{
    Slice token;
    Err err;
    if (!pg_get_password(body, &token)) {
        return proxy_auth_broken(client, "malformed PasswordMessage");
    }
    if (is_verified(client, token, &err)) {
        return proxy_auth_pass(client);
    }
    CLEANUP(mem_free_ptr)
    char *message = mem_printf("The IAM authentication failed for the role %.*s. Check the IAM "
                               "token for this role and try again.",
                               PG_NAME_MAX, client->login->user);
    return proxy_auth_deny(client, &(PgError){.severity = SLICE("FATAL"),
                                              .sqlstate = SLICE("28P01"),
                                              .message = slice_of(message),
                                              .detail = slice_of(err.message)});
}
