/* See causal_priv.h. */
#include "proxy/client/client_priv.h"
#include "proxy/client/login_priv.h"
#include "proxy/server/server_priv.h"
#include "proxy/split/causal_priv.h"
#include "proxy/split/split_priv.h"

static const ProxyStanding *standing_of(const ProxyClient *client, size_t target)
{
    return &client->worker->proxy->targets[target].standing;
}

/* ---- what is shown -----------------------------------------------------------------------------
 */

/* In a cluster whose name is not known it could not be told from another's. */
static CausalToken written_of(const ClientSplit *split)
{
    return (CausalToken){.system = split->system,
                         .position = split->system != 0 ? split->position : 0,
                         .timeline = split->timeline};
}

void proxy_causal_link(ProxyServer *server)
{
    const ProxyClient *client = server->client;
    const ClientSplit *split = client->split;
    Causal *causal = &server->exchange.causal;
    causal->standby = server->target != PROXY_TARGET_PRIMARY;
    causal->known = causal->nameless = false;
    causal->written = (CausalToken){0};
    if (split != NULL && client->worker->config->reads != READS_PRIMARY) {
        bool open = split->wrote_us != 0 || split->claimed_us != 0 || split->suspect;
        causal->written = written_of(split);
        causal->nameless = causal->written.position != split->position;
        causal->known = !open && !causal->nameless;
    }
}

/* ---- what is set -------------------------------------------------------------------------------
 */

static void refuse(ProxyClient *client, const char *message, const char *detail)
{
    proxy_meter_add(proxy_client_meter(client), STAT_TOKENS_REFUSED, 1);
    proxy_client_fatal(client, "22023", message, detail);
}

static void refuse_malformed(ProxyClient *client)
{
    refuse(client, "invalid value for parameter \"" SQL_TOKEN_NAME "\": it is no token",
           "Set it to what SHOW " SQL_TOKEN_NAME " has answered, unchanged. '' asks for nothing.");
}

static void refuse_other(ProxyClient *client, const CausalToken *token, const char *why)
{
    CLEANUP(mem_free_ptr)
    char *detail = mem_printf("Its cluster has the system identifier %llu: %s. Forget the token.",
                              (unsigned long long)token->system, why);
    refuse(client, "invalid value for parameter \"" SQL_TOKEN_NAME "\": it is of another cluster",
           detail);
}

static void tell_split(ProxyClient *client, const CausalToken *token)
{
    ClientSplit *split = client->split;
    const ProxyStanding *primary = standing_of(client, PROXY_TARGET_PRIMARY);
    uint32_t timeline = (uint32_t)atomic_load(&primary->timeline);
    uint64_t system = atomic_load(&primary->system);
    bool here = timeline != 0 && token->timeline == timeline && token->system == system;
    bool own = split->position == 0 || (split->timeline == timeline && split->system == system);
    uint64_t position = lag_position_of_insert(token->position);
    if (!here || !own || split->wrote_us != 0) {
        split->wrote_us = time_mono_us(); /* as if it had written it itself */
    } else if (position > split->position) {
        split->position = position;
        split->timeline = timeline;
        split->system = system;
        split->claimed_us = position > atomic_load(&primary->position) ? time_mono_us() : 0;
    }
}

/* Whether a replica of that cluster is known; true, too, while none is of any, and where it makes
 * no difference. False: the client is told so, and gone. */
static bool may_be_here(ProxyClient *client, const CausalToken *token)
{
    bool none = true;
    if (client->worker->config->reads != READS_REPLICAS) {
        return true;
    }
    for (size_t i = 1; i < PROXY_TARGETS_MAX; i++) {
        uint64_t known = proxy_config_uses(client->worker->config, i)
                             ? atomic_load(&standing_of(client, i)->system)
                             : 0;
        if (known == token->system) {
            return true;
        }
        none = none && known == 0;
    }
    if (!none) {
        refuse_other(client, token, "no replica of this endpoint is of that");
    }
    return none;
}

/* False: it is of another cluster than the one before; the client is told so, and gone. */
static bool tell_replicas(ProxyClient *client, const CausalToken *token)
{
    ClientSplit *split = client->split;
    bool anew = split->system != token->system;
    if (anew && split->told && split->system != 0) {
        refuse_other(client, token, "the session has had a token of another one before");
        return false;
    }
    uint64_t position = lag_position_of_insert(token->position);
    split->system = token->system;
    split->position = anew || position > split->position ? position : split->position;
    split->timeline = anew || token->timeline > split->timeline ? token->timeline : split->timeline;
    split->claimed_us = time_mono_us(); /* where it comes to have a primary */
    return true;
}

/* False: as of tell_replicas. */
static bool tell(ProxyClient *client, const CausalToken *token)
{
    ProxyReads reads = client->worker->config->reads;
    if (reads == READS_PRIMARY) {
        return true;
    }
    if (client->split == NULL) {
        proxy_split_start(client);
        client->split->wrote_us = reads == READS_SPLIT ? time_mono_us() : 0;
    }
    if (reads == READS_SPLIT) {
        tell_split(client, token);
    } else if (!tell_replicas(client, token)) {
        return false;
    }
    client->split->told = true;
    return true;
}

bool proxy_causal_admit(ProxyClient *client, Slice value, CausalToken *ret_token)
{
    CausalToken token;
    if (!causal_token_parse(value, &token)) {
        refuse_malformed(client);
        return false;
    }
    if (!may_be_here(client, &token)) {
        return false;
    }
    *ret_token = token;
    return true;
}

void proxy_causal_start(ProxyClient *client)
{
    if (client->login != NULL && client->login->token.position != 0) {
        (void)tell(client, &client->login->token); /* there was none before */
        proxy_meter_add(proxy_client_meter(client), STAT_TOKENS_SET, 1);
    }
}

bool proxy_causal_news(ProxyServer *server, CausalNews news)
{
    ProxyClient *client = server->client;
    const CausalToken token = server->exchange.causal.set;
    if (news == CAUSAL_MALFORMED) {
        refuse_malformed(client);
        return false;
    }
    if (!may_be_here(client, &token) || !tell(client, &token)) {
        return false;
    }
    proxy_meter_add(proxy_client_meter(client), STAT_TOKENS_SET, 1);
    proxy_causal_link(server);
    return true;
}

/* ---- where reads go, without a primary ---------------------------------------------------------
 */

ProxyPool *proxy_causal_route(ProxyClient *client)
{
    ClientSplit *split = client->split;
    int64_t borrow_us = client->worker->config->borrow_ms * US_PER_MS;
    const ReadFloor floor = {.position = split->position,
                             .timeline = split->timeline,
                             .system = split->system,
                             .later = true};
    ProxyPool *pool = proxy_route_replica(client->pool, &floor);
    if (pool != NULL || !proxy_route_replica_serves(client->pool)) {
        split->until_us = 0;
        return pool != NULL ? pool : client->pool; /* where it waits for a replica, as anybody */
    }
    (void)proxy_split_wait(
        client, borrow_us > 0 && borrow_us < CAUSAL_WAIT_US ? borrow_us : CAUSAL_WAIT_US, true);
    return NULL;
}

static void put_place(Buf *out, uint64_t position, uint32_t timeline)
{
    buf_printf(out, "%X/%X of timeline %u", (unsigned)(position >> 32), (unsigned)position,
               (unsigned)timeline);
}

static void put_standing(Buf *out, const char *id, const ProxyStanding *standing)
{
    uint32_t timeline = (uint32_t)atomic_load(&standing->timeline);
    buf_printf(out, "; %s ", id);
    if (timeline == 0) {
        buf_append_str(out, "has not answered");
    } else if (atomic_load(&standing->system) == 0) {
        buf_append_str(out, "does not say of which cluster it is");
    } else {
        buf_append_str(out, "has ");
        put_place(out, atomic_load(&standing->position), timeline);
    }
}

static char *shortfall_new(const ProxyClient *client)
{
    const ProxyConfig *config = client->worker->config;
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    buf_append_str(&text, "The token asks for ");
    put_place(&text, client->split->position, client->split->timeline);
    for (size_t i = 1; i < PROXY_TARGETS_MAX; i++) {
        if (proxy_config_uses(config, i)) {
            put_standing(&text, proxy_config_target(config, i)->id, standing_of(client, i));
        }
    }
    buf_append_str(&text, ". Try again later, or read at an endpoint that writes.");
    char *result = mem_strdup(buf_str(&text));
    buf_done(&text);
    return result;
}

void proxy_causal_expired(ProxyClient *client)
{
    CLEANUP(mem_free_ptr) char *detail = shortfall_new(client);
    proxy_meter_add(proxy_client_meter(client), STAT_REPLICA_WAITS_EXPIRED, 1);
    proxy_client_fatal(client, "08001",
                       "Timed-out waiting for a replica that has what " SQL_TOKEN_NAME " asks for.",
                       detail);
}
