/* Signature Version 4, what signing and verifying share: the canonical request and the key's chain
 * of HMACs. Source: AWS General Reference, "Signature Version 4 signing process". Pure. */
#include <stdlib.h>

#include "aws/codec_priv.h"
#include "aws/sigv4_priv.h"

void sigv4_hash_hex(Slice text, char out[static SIGV4_HEX_SIZE])
{
    uint8_t digest[SHA256_SIZE];
    sha256(text, digest);
    hex_encode(digest, sizeof(digest), out);
}

/* ---- path --------------------------------------------------------------------------------------
 */

/* Appends the path without empty, "." and ".." segments, encoded once more than on the wire. */
static void append_path(Slice path, Buf *out)
{
    size_t start = out->len;
    bool ends_with_slash =
        path.len == 0 || slice_ends(path, "/") || slice_ends(path, "/.") || slice_ends(path, "/..");
    while (path.len > 0) {
        Slice segment = slice_cut(&path, '/');
        if (slice_is(segment, "..")) {
            size_t len = out->len;
            while (len > start && out->data[len - 1] != '/') {
                len--;
            }
            buf_truncate(out, len > start ? len - 1 : start);
        } else if (segment.len > 0 && !slice_is(segment, ".")) {
            buf_append_char(out, '/');
            percent_encode(out, segment, false);
        }
    }
    if (ends_with_slash || out->len == start) {
        buf_append_char(out, '/');
    }
}

/* ---- query -------------------------------------------------------------------------------------
 */

typedef struct QueryPair {
    Slice name; /* encoded */
    Slice value;
} QueryPair;

static int pair_compare(const void *a, const void *b)
{
    const QueryPair *x = a;
    const QueryPair *y = b;
    int order = slice_cmp(x->name, y->name);
    return order != 0 ? order : slice_cmp(x->value, y->value);
}

/* Whatever way it was encoded, encoded as the standard wants. */
static Slice recode(Slice text, Arena *arena)
{
    Slice plain;
    Buf buf;
    if (!percent_decode(text, false, arena, &plain)) {
        return text; /* not what a signer made: let the signature not match */
    }
    buf_init(&buf, BUF_MAX_DEFAULT);
    percent_encode(&buf, plain, false);
    Slice copy = slice_from(arena_slice_str(arena, buf_slice(&buf)), buf.len);
    buf_done(&buf);
    return copy;
}

static void append_query(Slice query, Arena *arena, Buf *out)
{
    VEC(QueryPair) pairs = {0};
    while (query.len > 0) {
        Slice value = slice_cut(&query, '&');
        if (value.len == 0) {
            continue;
        }
        Slice name = slice_cut(&value, '=');
        if (!slice_is(name, "X-Amz-Signature")) {
            QueryPair pair = {recode(name, arena), recode(value, arena)};
            vec_push(&pairs, pair);
        }
    }
    if (pairs.len > 1) {
        qsort(pairs.items, pairs.len, sizeof(QueryPair), pair_compare);
    }
    for (size_t i = 0; i < pairs.len; i++) {
        buf_append_str(out, i > 0 ? "&" : "");
        buf_append_slice(out, pairs.items[i].name);
        buf_append_char(out, '=');
        buf_append_slice(out, pairs.items[i].value);
    }
    vec_done(&pairs);
}

/* ---- headers -----------------------------------------------------------------------------------
 */

static bool same_header(Slice a, Slice b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        char c = a.data[i] >= 'A' && a.data[i] <= 'Z' ? (char)(a.data[i] | 0x20) : a.data[i];
        if (c != b.data[i]) {
            return false;
        }
    }
    return true;
}

/* Trimmed, and runs of spaces as one. */
static void append_value(Slice value, Buf *out)
{
    value = slice_trim(value);
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] != ' ' || value.data[i - 1] != ' ') { /* the first is no space */
            buf_append_char(out, value.data[i]);
        }
    }
}

/* `name` is in lower case. */
static void append_header(const AwsHttp *http, Slice name, Buf *out)
{
    bool first = true;
    buf_append_slice(out, name);
    buf_append_char(out, ':');
    for (size_t i = 0; i < http->header_count; i++) {
        if (same_header(http->headers[i].name, name)) {
            buf_append_str(out, first ? "" : ",");
            append_value(http->headers[i].value, out);
            first = false;
        }
    }
    buf_append_char(out, '\n');
}

void sigv4_canonical(const AwsHttp *http, Slice signed_headers, Slice payload_hash, Arena *arena,
                     Buf *out)
{
    buf_append_slice(out, http->method);
    buf_append_char(out, '\n');
    append_path(http->path, out);
    buf_append_char(out, '\n');
    append_query(http->query, arena, out);
    buf_append_char(out, '\n');
    for (Slice rest = signed_headers; rest.len > 0;) {
        append_header(http, slice_cut(&rest, ';'), out);
    }
    buf_append_char(out, '\n');
    buf_append_slice(out, signed_headers);
    buf_append_char(out, '\n');
    buf_append_slice(out, payload_hash);
}

/* ---- the signature -----------------------------------------------------------------------------
 */

static void signing_key(const Secret *secret_key, const Sigv4Scope *scope,
                        uint8_t key[static SHA256_SIZE])
{
    Slice steps[] = {scope->region, scope->service, SLICE("aws4_request")};
    Slice secret = secret_reveal(secret_key);
    Buf first;
    buf_init(&first, secret.len + 8);
    buf_append_str(&first, "AWS4");
    buf_append_slice(&first, secret);
    hmac_sha256(buf_slice(&first), scope->date, key);
    crypto_wipe(first.data, first.len);
    buf_done(&first);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        uint8_t next[SHA256_SIZE];
        hmac_sha256(slice_from(key, SHA256_SIZE), steps[i], next);
        memcpy(key, next, sizeof(next));
        crypto_wipe(next, sizeof(next));
    }
}

void sigv4_signature(const Secret *secret_key, const Sigv4Scope *scope, Slice amz_date,
                     Slice canonical, char out[static SIGV4_HEX_SIZE])
{
    char hash[SIGV4_HEX_SIZE];
    uint8_t key[SHA256_SIZE];
    uint8_t mac[SHA256_SIZE];
    Buf text;
    sigv4_hash_hex(canonical, hash);
    buf_init(&text, BUF_MAX_DEFAULT);
    buf_printf(&text, "%s\n%.*s\n%.*s/%.*s/%.*s/aws4_request\n%s", SIGV4_ALGORITHM,
               SLICE_FMT(amz_date), SLICE_FMT(scope->date), SLICE_FMT(scope->region),
               SLICE_FMT(scope->service), hash);
    signing_key(secret_key, scope, key);
    hmac_sha256(slice_from(key, sizeof(key)), buf_slice(&text), mac);
    hex_encode(mac, sizeof(mac), out);
    crypto_wipe(key, sizeof(key));
    buf_done(&text);
}
