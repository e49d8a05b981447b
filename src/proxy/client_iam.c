/* The tokens of clients whose role has auth iam. What is proven is an access key; which of them may
 * be which role is not told apart. */
#include "aws/aws.h"
#include "proxy/client_priv.h"
#include "proxy/login_priv.h"

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

bool proxy_iam_verify(const ProxyClient *client, Slice token, Err *err)
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
