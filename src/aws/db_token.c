/*
 * IAM database tokens: a presigned GET of https://HOST:PORT/?Action=connect&DBUser=USER, without
 * its scheme, that a client sends in the place of a password. Source: Amazon RDS User Guide, "IAM
 * database authentication"; what SDKs' signers make. The signature is sigv4_verify.c's to judge;
 * here is what a token must be for, beside that.
 */
#include "aws/codec_priv.h"
#include "aws/sigv4_priv.h"

#define TOKEN_SERVICE "rds-db"

typedef struct Token {
    Slice place; /* host:port, as it was signed but for case */
    Slice query;
    Slice action, user; /* decoded */
} Token;

static bool refuse(Err *err, const char *why)
{
    return err_set(err, ERR_DENIED, "%s", why);
}

/* ---- reading it --------------------------------------------------------------------------------
 */

/* A parameter of which there must be one. Names are not encoded by anybody. */
static bool parameter(Slice query, const char *wanted, Arena *arena, Slice *ret_value)
{
    size_t found = 0;
    while (query.len > 0) {
        Slice value = slice_cut(&query, '&');
        if (slice_is(slice_cut(&value, '='), wanted)) {
            found++;
            TRY(percent_decode(value, false, arena, ret_value));
        }
    }
    return found == 1;
}

static bool token_read(Slice text, Arena *arena, Token *ret_token)
{
    Token token = {.query = text};
    Slice front = slice_cut(&token.query, '?');
    TRY(slice_ends(front, "/"));
    token.place = (Slice){front.data, front.len - 1};
    TRY(memchr(token.place.data, '/', token.place.len) == NULL);
    TRY(parameter(token.query, "Action", arena, &token.action) &&
        parameter(token.query, "DBUser", arena, &token.user));
    *ret_token = token;
    return true;
}

/* ---- what it is for ----------------------------------------------------------------------------
 */

/* Without a port in it, a place is a host at any of the verifier's ports: see AwsDbTokenWant. */
static bool place_is(Slice place, const char *allowed, uint16_t port)
{
    size_t len = strlen(allowed);
    if (slice_is_nocase(place, allowed)) {
        return allowed[0] != '[' ? strchr(allowed, ':') != NULL : allowed[len - 1] != ']';
    }
    CLEANUP(mem_free_ptr) char *with_port = mem_printf("%s:%u", allowed, port);
    return slice_is_nocase(place, with_port);
}

static bool place_allowed(Slice place, const AwsDbTokenWant *want)
{
    for (size_t i = 0; i < want->host_count; i++) {
        if (place_is(place, want->hosts[i], want->port)) {
            return true;
        }
    }
    return false;
}

/* The Host header as signers sign it: in lower case, and without the port that https has anyway. */
static Slice signed_host(Slice place, Arena *arena)
{
    char *copy = arena_slice_str(arena, place);
    for (size_t i = 0; i < place.len; i++) {
        copy[i] = char_lower(copy[i]);
    }
    return slice_from(copy, place.len - (slice_ends(place, ":443") ? 4 : 0));
}

static bool signature_check(const Token *token, const AwsDbTokenWant *want, int64_t now_ms,
                            Arena *arena, AwsCaller *ret_caller, Err *err)
{
    const AwsHeader host = {SLICE("host"), signed_host(token->place, arena)};
    const AwsHttp http = {.method = SLICE("GET"),
                          .path = SLICE("/"),
                          .query = token->query,
                          .headers = &host,
                          .header_count = 1};
    Sigv4Problem problem;
    if (sigv4_verify(&http, now_ms, want->find, want->context, ret_caller, NULL, &problem)) {
        return true;
    }
    /* Which keys there are is nobody's business. */
    return refuse(err, problem == SIGV4_TIME
                           ? "The token has expired, or its time is in the future: it is valid for "
                             "15 minutes."
                           : "The token's signature does not match, or its access key is not "
                             "known here.");
}

bool aws_db_token_verify(Slice text, const AwsDbTokenWant *want, int64_t now_ms, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Token token;
    AwsCaller caller;
    if (text.len > AWS_DB_TOKEN_MAX || !token_read(text, arena, &token)) {
        return refuse(err, "That is no token; make one with \"aws rds generate-db-auth-token\".");
    }
    if (!slice_is(token.action, "connect")) {
        return refuse(err, "The token is for something else than to connect.");
    }
    if (!place_allowed(token.place, want)) {
        return refuse(err, "The token is for another host or port.");
    }
    if (!slice_eq(token.user, want->user)) {
        return refuse(err, "The token is for another user.");
    }
    TRY(signature_check(&token, want, now_ms, arena, &caller, err));
    if (!caller.presigned || strcmp(caller.service, TOKEN_SERVICE) != 0) {
        return refuse(err, "The token is for something else than to connect.");
    }
    if (!slice_is(want->region, caller.region)) {
        return refuse(err, "The token is for another region.");
    }
    if (caller.expires_s > AWS_DB_TOKEN_S) {
        return refuse(err, "The token is valid for more than 15 minutes.");
    }
    return true;
}
