/* The token by which a further host joins a tier, as a line of text that is copied by hand. Its
 * secret signs one request, and is never sent. */
#include "client/client.h"

#define TOKEN_MAX 512 /* bytes */

void join_token_done(JoinToken *token)
{
    mem_free(token->endpoint);
    mem_free(token->region);
    mem_free(token->id);
    secret_done(&token->secret);
    *token = (JoinToken){0};
}

char *join_token_format(const JoinToken *token)
{
    Slice place = slice_of(token->endpoint);
    place = slice_starts(place, "https://") ? slice_skip(place, strlen("https://")) : place;
    Slice secret = secret_reveal(&token->secret);
    return mem_printf("%.*s/%s/%s/%.*s/%s", SLICE_FMT(place), token->region, token->id,
                      SLICE_FMT(secret), token->ca_digest);
}

/* Letters, digits, and what addresses and regions have besides. */
static bool part_is_good(Slice part)
{
    for (size_t i = 0; i < part.len; i++) {
        char byte = part.data[i];
        if (!((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
              (byte >= '0' && byte <= '9') || byte == '.' || byte == ':' || byte == '-')) {
            return false;
        }
    }
    return part.len > 0;
}

bool join_token_parse(const char *text, JoinToken *ret_token, Err *err)
{
    enum { PLACE, REGION, ID, SECRET, DIGEST, PARTS };
    Slice rest = slice_trim(slice_of(text));
    Slice parts[PARTS];
    bool good = rest.len <= TOKEN_MAX;
    for (int i = 0; i < PARTS; i++) {
        parts[i] = i < DIGEST ? slice_cut(&rest, '/') : rest;
        good = good && part_is_good(parts[i]);
    }
    uint8_t digest[SHA256_SIZE];
    size_t len = 0;
    if (!good || !hex_decode(parts[DIGEST], digest, sizeof(digest), &len) || len != SHA256_SIZE) {
        return err_set(
            err, ERR_INVALID,
            "this is not a token to join by: copy the line that `weir host token` prints "
            "on a host of the tier, as a whole");
    }
    JoinToken token = {.endpoint = mem_printf("https://%.*s", SLICE_FMT(parts[PLACE])),
                       .region = mem_printf("%.*s", SLICE_FMT(parts[REGION])),
                       .id = mem_printf("%.*s", SLICE_FMT(parts[ID]))};
    secret_set(&token.secret, parts[SECRET]);
    hex_encode(digest, sizeof(digest), token.ca_digest);
    *ret_token = token;
    return true;
}
