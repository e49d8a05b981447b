/* The server's side of SCRAM. Follows PostgreSQL's auth-scram.c in what it takes and refuses; a
 * doomed exchange (there is no such user) does the same work and ends in the same answer as a
 * wrong password. */
#include "wire/scram_priv.h"

void scram_server_init(ScramServer *server, const ScramVerifier *verifier, bool doomed,
                       Slice binding)
{
    ASSERT(binding.len <= SCRAM_BINDING_MAX);
    *server = (ScramServer){
        .verifier = *verifier, .other = *verifier, .doomed = doomed, .binding_len = binding.len};
    if (binding.len > 0) {
        memcpy(server->binding, binding.data, binding.len);
    }
}

void scram_server_accept_too(ScramServer *server, const ScramVerifier *other)
{
    ASSERT(other->iterations == server->verifier.iterations &&
           other->salt_len == server->verifier.salt_len &&
           memcmp(other->salt, server->verifier.salt, other->salt_len) == 0);
    server->other = *other;
}

void scram_server_done(ScramServer *server)
{
    crypto_wipe(server, sizeof(*server));
}

static ScramOutcome bad(Err *err, const char *why)
{
    err_set(err, ERR_INVALID, "malformed SCRAM message: %s", why);
    return SCRAM_BAD;
}

/* The flag at the very front: "n", "y", or "p=tls-server-end-point". */
static ScramOutcome take_binding_flag(const ScramServer *server, Slice flag, Err *err)
{
    if (server->bound) {
        return slice_is(flag, "p=tls-server-end-point")
                   ? SCRAM_OK
                   : bad(err, "SCRAM-SHA-256-PLUS needs channel binding tls-server-end-point");
    }
    if (slice_is(flag, "n")) {
        return SCRAM_OK;
    }
    if (!slice_is(flag, "y")) {
        return bad(err, "unexpected channel binding flag");
    }
    if (server->binding_len > 0) {
        return bad(err, "the client believes that the server has no channel binding, but it has: "
                        "somebody may have changed the list of mechanisms on the way");
    }
    return SCRAM_OK;
}

static bool nonce_printable(Slice nonce)
{
    for (size_t i = 0; i < nonce.len; i++) {
        if (nonce.data[i] < 0x21 || nonce.data[i] > 0x7e || nonce.data[i] == ',') {
            return false;
        }
    }
    return nonce.len > 0;
}

/* "flag,[a=authzid],n=user,r=nonce[,extensions]" */
static ScramOutcome take_client_first(ScramServer *server, Slice message, Slice *ret_nonce,
                                      Err *err)
{
    Slice rest = message;
    ScramOutcome outcome = take_binding_flag(server, slice_cut(&rest, ','), err);
    if (outcome != SCRAM_OK) {
        return outcome;
    }
    Slice authzid = slice_cut(&rest, ',');
    if (authzid.len > 0) {
        return bad(err, "an authorization identity is not supported");
    }
    if (rest.data == NULL) {
        return bad(err, "it ends early");
    }
    Slice header = {message.data, (size_t)(rest.data - message.data)};
    Slice bare = rest;
    Slice user; /* ignored: the name of the start packet counts */
    if (rest.len > 0 && rest.data[0] == 'm') {
        return bad(err, "an extension is required that is not supported");
    }
    if (!scram_take_attr(&rest, 'n', &user) || !scram_take_attr(&rest, 'r', ret_nonce)) {
        return bad(err, "user name and nonce are expected");
    }
    if (!nonce_printable(*ret_nonce)) {
        return bad(err, "the nonce is not printable");
    }
    if (!scram_keep(server->gs2_header, sizeof(server->gs2_header), header) ||
        !scram_keep(server->client_first_bare, sizeof(server->client_first_bare), bare)) {
        return bad(err, "it is too long");
    }
    return SCRAM_OK;
}

ScramOutcome scram_server_first(ScramServer *server, Slice mechanism, Slice message, Slice nonce,
                                Buf *out, Err *err)
{
    server->bound = slice_is(mechanism, SCRAM_MECHANISM_PLUS) && server->binding_len > 0;
    if (!server->bound && !slice_is(mechanism, SCRAM_MECHANISM)) {
        return bad(err, "the client chose a mechanism that was not offered");
    }
    Slice client_nonce;
    ScramOutcome outcome = take_client_first(server, message, &client_nonce, err);
    if (outcome != SCRAM_OK) {
        return outcome;
    }
    Buf first;
    buf_init(&first, SCRAM_PART_MAX - 1);
    buf_append_str(&first, "r=");
    buf_append_slice(&first, client_nonce);
    buf_append_slice(&first, nonce);
    buf_append_str(&first, ",s=");
    scram_put_base64(&first, server->verifier.salt, server->verifier.salt_len);
    buf_printf(&first, ",i=%u", server->verifier.iterations);
    if (first.overflowed) {
        buf_done(&first);
        return bad(err, "the nonce is too long");
    }
    memcpy(server->server_first, first.data, first.len + 1);
    buf_append_slice(out, buf_slice(&first));
    buf_done(&first);
    return SCRAM_OK;
}

/* c=base64(gs2 header, and with -PLUS the certificate's hash) */
static bool binding_matches(const ScramServer *server, Slice given)
{
    Buf expected;
    Buf encoded;
    buf_init(&expected, BUF_MAX_DEFAULT);
    buf_init(&encoded, BUF_MAX_DEFAULT);
    buf_append_str(&expected, server->gs2_header);
    if (server->bound) {
        buf_append(&expected, server->binding, server->binding_len);
    }
    char *room = buf_reserve(&encoded, base64_encoded_len(expected.len));
    ASSERT(room != NULL);
    base64_encode(expected.data, expected.len, room);
    buf_commit(&encoded, base64_encoded_len(expected.len));
    bool same = slice_eq(buf_slice(&encoded), given);
    buf_done(&expected);
    buf_done(&encoded);
    return same;
}

/* ClientKey = proof XOR HMAC(StoredKey, …), and H(ClientKey) must be the StoredKey. */
static bool proves(const ScramServer *server, const ScramVerifier *verifier,
                   const uint8_t proof[static SHA256_SIZE], Slice without_proof,
                   uint8_t client_key[static SHA256_SIZE])
{
    uint8_t signature[SHA256_SIZE];
    uint8_t hashed[SHA256_SIZE];
    scram_sign(verifier->stored_key, slice_of(server->client_first_bare),
               slice_of(server->server_first), without_proof, signature);
    scram_xor(proof, signature, client_key);
    sha256(slice_from(client_key, SHA256_SIZE), hashed);
    return crypto_equal(hashed, verifier->stored_key, SHA256_SIZE);
}

/* Both are looked at, whichever it is, and where there is only one. */
static bool proof_matches(ScramServer *server, const uint8_t proof[static SHA256_SIZE],
                          Slice without_proof)
{
    uint8_t other_key[SHA256_SIZE];
    bool first = proves(server, &server->verifier, proof, without_proof, server->client_key);
    bool other = proves(server, &server->other, proof, without_proof, other_key);
    if (!first && other) {
        server->verifier = server->other;
        memcpy(server->client_key, other_key, SHA256_SIZE);
    }
    crypto_wipe(other_key, sizeof(other_key));
    return (first || other) && !server->doomed;
}

ScramOutcome scram_server_final(ScramServer *server, Slice message, Buf *out, Err *err)
{
    if (message.len >= SCRAM_PART_MAX) {
        return bad(err, "it is too long");
    }
    Slice rest = message;
    Slice binding;
    Slice nonce;
    Slice proof_text = {0};
    if (!scram_take_attr(&rest, 'c', &binding) || !scram_take_attr(&rest, 'r', &nonce)) {
        return bad(err, "channel binding and nonce are expected");
    }
    Slice without_proof = {0};
    while (rest.len > 0 && proof_text.data == NULL) {
        without_proof = (Slice){message.data, (size_t)(rest.data - message.data) - 1};
        if (!scram_take_attr(&rest, 'p', &proof_text)) {
            slice_cut(&rest, ',');
        }
    }
    uint8_t proof[SHA256_SIZE];
    if (rest.data != NULL || !scram_decode_exactly(proof_text, proof)) {
        return bad(err, "a proof is expected at its end");
    }
    if (!binding_matches(server, binding)) {
        return bad(err, "the channel binding does not match");
    }
    Slice sent = slice_skip(slice_of(server->server_first), 2);
    if (!slice_eq(nonce, slice_cut(&sent, ','))) {
        return bad(err, "the nonce does not match");
    }
    if (!proof_matches(server, proof, without_proof)) {
        crypto_wipe(server->client_key, SHA256_SIZE);
        return SCRAM_DENIED;
    }
    uint8_t signature[SHA256_SIZE];
    scram_sign(server->verifier.server_key, slice_of(server->client_first_bare),
               slice_of(server->server_first), without_proof, signature);
    buf_append_str(out, "v=");
    scram_put_base64(out, signature, SHA256_SIZE);
    return SCRAM_OK;
}
