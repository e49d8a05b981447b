/*
 * How a further host joins the tier (docs/hosts.md). A token is an access key that signs one
 * operation, for an hour, for the first host that uses it. Its secret is kept sealed, and goes over
 * no wire but in the token; what JoinHost gives goes over TLS only.
 */
#include <ctype.h>
#include <stdatomic.h>
#include <stdio.h>

#include "api/operations_priv.h"

#define TOKEN_PREFIX  "JOIN"
#define TOKEN_LENGTH  16 /* of the id, with the prefix */
#define SECRET_LENGTH 32
#define TOKEN_MS      (3600 * MS_PER_S)
#define LOOKUPS_MAX   2
#define TOKENS_MAX    16 /* that have not ended */

static const char *token_key(Arena *arena, Slice id)
{
    return arena_printf(arena, "join/%.*s", SLICE_FMT(id));
}

/* ---- signing with one --------------------------------------------------------------------------
 */

bool join_is_token(Slice access_key)
{
    bool good = access_key.len == TOKEN_LENGTH && slice_starts(access_key, TOKEN_PREFIX);
    for (size_t i = 0; i < access_key.len && good; i++) {
        good = isalnum((unsigned char)access_key.data[i]) != 0;
    }
    return good;
}

static bool token_counts(const json_t *record, int64_t now_ms)
{
    return now_ms < member_int(record, "expires_ms", 0);
}

static bool secret_find(Api *api, Slice id, int64_t now_ms, Secret *ret_secret, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(record_free_ptr) json_t *record = NULL;
    const char *key = token_key(arena, id);
    StoreItem item;
    TRY(store_get(api->options.store, slice_of(key), arena, &item, err) &&
        record_parse(item.value, &record, err));
    if (!token_counts(record, now_ms)) {
        return err_set(err, ERR_DENIED, "the token has ended");
    }
    return secret_unseal(api->options.master_key, slice_of(key),
                         slice_of(member_str(record, "secret", "")), ret_secret, err);
}

/* A store that is away holds each of them up: strangers must not hold up everybody. */
bool join_secret(Api *api, Slice id, int64_t now_ms, Secret *ret_secret, Err *err)
{
    bool room = atomic_fetch_add(&api->joining, 1) < LOOKUPS_MAX;
    bool ok = room ? secret_find(api, id, now_ms, ret_secret, err)
                   : err_set(err, ERR_UNAVAILABLE, "other tokens are looked up");
    atomic_fetch_sub(&api->joining, 1);
    return ok;
}

/* ---- making one --------------------------------------------------------------------------------
 */

static void id_make(char id[static TOKEN_LENGTH + 1])
{
    random_id(id, TOKEN_LENGTH);
    for (size_t i = 0; i < TOKEN_LENGTH; i++) {
        id[i] = (char)toupper((unsigned char)id[i]);
    }
    memcpy(id, TOKEN_PREFIX, strlen(TOKEN_PREFIX));
}

/* Those that have ended go with the next one that is made. */
static size_t tokens_trim(ApiContext *ctx)
{
    size_t left = 0;
    RecordList list = record_list(ctx, "join/");
    for (size_t i = 0; i < list.len; i++) {
        if (token_counts(list.items[i].value, ctx->now_ms)) {
            left++;
        } else if (record_get(ctx, list.items[i].key) != NULL) {
            record_delete(ctx, list.items[i].key);
        }
    }
    return left;
}

bool weir_create_join_token(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    (void)input;
    char id[TOKEN_LENGTH + 1];
    char secret[SECRET_LENGTH + 1];
    if (ctx->api->options.share_store == NULL) {
        return refuse(ctx, "InvalidRequestException", "Nobody can join this tier.");
    }
    if (!ctx->tls) {
        return refuse(ctx, "InvalidRequestException",
                      "A token lets its holder into the tier: it is given over TLS only.");
    }
    if (tokens_trim(ctx) >= TOKENS_MAX) {
        return refuse(ctx, "InvalidRequestException",
                      "There are %d tokens that have not ended: use one of them, or wait for an "
                      "hour.",
                      TOKENS_MAX);
    }
    id_make(id);
    random_id(secret, SECRET_LENGTH);
    int64_t expires_ms = ctx->now_ms + TOKEN_MS;
    const char *key = token_key(ctx->arena, slice_of(id));
    record_put(
        ctx, key,
        context_own(ctx, json_pack("{s:s, s:I}", "secret", seal_for(ctx, key, slice_of(secret)),
                                   "expires_ms", (json_int_t)expires_ms)));
    *ret_output = json_pack("{s:s, s:s, s:I}", "TokenId", id, "Secret", secret, "ExpiresAt",
                            (json_int_t)expires_ms);
    crypto_wipe(secret, sizeof(secret));
    return true;
}

/* ---- joining -----------------------------------------------------------------------------------
 */

typedef struct Wish {
    const char *name, *zone, *net; /* net "": it finds one of 127/8 */
    const char *attempt;           /* by which the host knows its own record */
    bool no_engines;
    json_t *token;
} Wish;

static bool wish_read(ApiContext *ctx, json_t *input, Wish *wish)
{
    Err err;
    wish->net = member_str(input, "Network", "");
    wish->no_engines = input_flag(input, "NoEngines");
    return input_required(ctx, input, "HostName", &wish->name) &&
           input_required(ctx, input, "Zone", &wish->zone) &&
           input_required(ctx, input, "Attempt", &wish->attempt) &&
           ((host_name_check(wish->name, &err) && host_zone_check(wish->zone, &err) &&
             host_net_check(wish->net, &err)) ||
            refuse_err(ctx, &err));
}

/* Over the loopback all hosts are on one machine, or none is. */
static bool check_reach(ApiContext *ctx, const Wish *wish)
{
    bool here = host_net_is_loopback(ctx->tier.net);
    bool there = wish->net[0] == '\0' || host_net_is_loopback(wish->net);
    if (here && !there) {
        return refuse(ctx, "InvalidRequestException",
                      "The tier's host %s has the net %s, which no other machine reaches: give it "
                      "one of its own first (there, `weir down`, and `weir up --zone a --net "
                      "10.101`), or join on the same machine, without a net.",
                      ctx->api->options.host, ctx->tier.net);
    }
    if (!here && there) {
        return refuse(ctx, "InvalidParameterException",
                      "Host %s needs a net that leads to it, as the others have (--net 10.102).",
                      wish->name);
    }
    return true;
}

/* Nobody else has the net, and agents know so many hosts. */
static bool check_others(ApiContext *ctx, const Wish *wish)
{
    size_t hosts = 0;
    const char *own = arena_printf(ctx->arena, "host/%s/spec", wish->name);
    RecordList list = record_list(ctx, "host/");
    references_hold(ctx); /* another one may ask for the same net */
    for (size_t i = 0; i < list.len; i++) {
        const char *key = list.items[i].key;
        if (!slice_ends(slice_of(key), "/spec") || strcmp(key, own) == 0) {
            continue;
        }
        hosts++;
        if (wish->net[0] != '\0' &&
            strcmp(member_str(list.items[i].value, "net", ""), wish->net) == 0) {
            return refuse(ctx, "InvalidRequestException", "The net %s is that of another host.",
                          wish->net);
        }
    }
    return hosts < HOSTS_MAX
               ? true
               : refuse(ctx, "InvalidRequestException",
                        "The tier has %d hosts, and takes no more: remove one first.", HOSTS_MAX);
}

/* The same attempt may ask again, for its answer may have been lost. A name that was given and
 * never used, for its host has not come up, is given anew. */
static bool check_name(ApiContext *ctx, const Wish *wish)
{
    const char *user = member_str(wish->token, "attempt", NULL);
    bool again = user != NULL && strcmp(user, wish->attempt) == 0;
    if (user != NULL && !again) {
        return refuse(ctx, "InvalidRequestException",
                      "The token has been used, by host %s: make another one (weir host token).",
                      member_str(wish->token, "host", ""));
    }
    if (record_get(ctx, arena_printf(ctx->arena, "removed-host/%s", wish->name)) != NULL) {
        return refuse(ctx, "InvalidRequestException",
                      "A host %s was removed from this tier, and a name is not used again: choose "
                      "another one.",
                      wish->name);
    }
    const json_t *spec = record_get(ctx, arena_printf(ctx->arena, "host/%s/spec", wish->name));
    bool came = record_get(ctx, arena_printf(ctx->arena, "host/%s/beat", wish->name)) != NULL ||
                member_str(spec, "join", NULL) == NULL;
    return spec == NULL || !came ||
           refuse(ctx, "InvalidRequestException",
                  "The tier has a host %s already: choose another name.", wish->name);
}

static json_t *share(ApiContext *ctx)
{
    const ApiOptions *options = &ctx->api->options;
    char key[2 * AEAD_KEY_SIZE + 1];
    json_t *answer = NULL;
    Err err;
    if (options->share_store == NULL) {
        refuse(ctx, "InvalidRequestException", "Nobody can join this tier.");
        return NULL;
    }
    if (!options->share_store(options->context, &answer, &err)) {
        refuse_err(ctx, &err);
        return NULL;
    }
    hex_encode(options->master_key, AEAD_KEY_SIZE, key);
    json_object_set_new(answer, "MasterKey", json_string(key));
    json_object_set_new(answer, "TierId", json_string(options->tier_id));
    crypto_wipe(key, sizeof(key));
    return answer;
}

/* The host is one of the tier's from here on, and silent until it comes up. */
static void host_put(ApiContext *ctx, const Wish *wish)
{
    json_t *spec =
        context_own(ctx, json_pack("{s:s, s:s, s:I, s:s}", "zone", wish->zone, "net", wish->net,
                                   "joined_ms", (json_int_t)ctx->now_ms, "join", wish->attempt));
    if (wish->no_engines) {
        json_object_set_new(spec, "draining", json_true());
    }
    record_put(ctx, arena_printf(ctx->arena, "host/%s/spec", wish->name), spec);
}

bool weir_join_host(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    Wish wish = {0};
    if (!ctx->joins) {
        return refuse(ctx, "InvalidRequestException",
                      "A host joins by a token, and over TLS: see `weir host token`.");
    }
    const char *key = token_key(ctx->arena, slice_of(ctx->access_key));
    wish.token = record_get(ctx, key);
    TRY(wish_read(ctx, input, &wish) && check_name(ctx, &wish) && check_reach(ctx, &wish) &&
        check_others(ctx, &wish));
    json_t *answer = share(ctx);
    if (answer == NULL) {
        return false;
    }
    json_object_set_new(wish.token, "host", json_string(wish.name));
    json_object_set_new(wish.token, "attempt", json_string(wish.attempt));
    record_put(ctx, key, wish.token);
    host_put(ctx, &wish);
    *ret_output = answer;
    return true;
}
