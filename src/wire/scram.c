/* SCRAM-SHA-256: keys, signatures and the verifier text. The two sides of an exchange are in
 * scram_server.c and scram_client.c. */
#include "wire/scram_priv.h"

#define BASE64_MAX 256 /* covers the longest salt */

bool scram_take_attr(Slice *rest, char attr, Slice *ret_value)
{
    if (rest->len < 2 || rest->data[0] != attr || rest->data[1] != '=') {
        return false;
    }
    Slice behind = slice_skip(*rest, 2);
    *ret_value = slice_cut(&behind, ',');
    *rest = behind;
    return true;
}

bool scram_keep(char *field, size_t field_size, Slice text)
{
    if (text.len >= field_size || (text.len > 0 && memchr(text.data, '\0', text.len) != NULL)) {
        return false;
    }
    if (text.len > 0) {
        memcpy(field, text.data, text.len);
    }
    field[text.len] = '\0';
    return true;
}

void scram_derive(Slice password, Slice salt, uint32_t iterations,
                  uint8_t client_key[static SHA256_SIZE], uint8_t server_key[static SHA256_SIZE])
{
    uint8_t salted[SHA256_SIZE];
    pbkdf2_sha256(password, salt, iterations, salted);
    hmac_sha256(slice_from(salted, SHA256_SIZE), SLICE("Client Key"), client_key);
    hmac_sha256(slice_from(salted, SHA256_SIZE), SLICE("Server Key"), server_key);
    crypto_wipe(salted, sizeof(salted));
}

void scram_sign(const uint8_t key[static SHA256_SIZE], Slice client_first_bare, Slice server_first,
                Slice final_without_proof, uint8_t out[static SHA256_SIZE])
{
    Buf text;
    buf_init(&text, (size_t)4 * SCRAM_PART_MAX);
    buf_append_slice(&text, client_first_bare);
    buf_append_char(&text, ',');
    buf_append_slice(&text, server_first);
    buf_append_char(&text, ',');
    buf_append_slice(&text, final_without_proof);
    ASSERT(!text.overflowed);
    hmac_sha256(slice_from(key, SHA256_SIZE), buf_slice(&text), out);
    buf_done(&text);
}

void scram_xor(const uint8_t a[static SHA256_SIZE], const uint8_t b[static SHA256_SIZE],
               uint8_t out[static SHA256_SIZE])
{
    for (size_t i = 0; i < SHA256_SIZE; i++) {
        out[i] = a[i] ^ b[i];
    }
}

void scram_put_base64(Buf *out, const void *data, size_t len)
{
    char text[BASE64_MAX];
    ASSERT(base64_encoded_len(len) < sizeof(text));
    base64_encode(data, len, text);
    buf_append_str(out, text);
}

bool scram_decode_exactly(Slice text, uint8_t out[static SHA256_SIZE])
{
    uint8_t bytes[SHA256_SIZE];
    size_t len;
    if (!base64_decode(text, bytes, sizeof(bytes), &len) || len != SHA256_SIZE) {
        return false;
    }
    memcpy(out, bytes, SHA256_SIZE);
    return true;
}

/* ---- verifiers ------------------------------------------------------------------------------- */

void scram_verifier_make(Slice password, Slice salt, uint32_t iterations,
                         ScramVerifier *ret_verifier)
{
    ASSERT(salt.len > 0 && salt.len <= SCRAM_SALT_MAX);
    uint8_t client_key[SHA256_SIZE];
    *ret_verifier = (ScramVerifier){.iterations = iterations, .salt_len = (uint32_t)salt.len};
    memcpy(ret_verifier->salt, salt.data, salt.len);
    scram_derive(password, salt, iterations, client_key, ret_verifier->server_key);
    sha256(slice_from(client_key, SHA256_SIZE), ret_verifier->stored_key);
    crypto_wipe(client_key, sizeof(client_key));
}

bool scram_verifier_parse(Slice text, ScramVerifier *ret_verifier)
{
    if (!slice_starts(text, SCRAM_MECHANISM "$")) {
        return false;
    }
    Slice rest = slice_skip(text, strlen(SCRAM_MECHANISM "$"));
    Slice iterations = slice_cut(&rest, ':');
    Slice salt = slice_cut(&rest, '$');
    Slice stored_key = slice_cut(&rest, ':');
    ScramVerifier verifier = {0};
    uint64_t count;
    size_t salt_len;
    if (!str_to_u64(iterations, &count) || count < 1 || count > SCRAM_ITERATIONS_MAX ||
        !base64_decode(salt, verifier.salt, sizeof(verifier.salt), &salt_len) || salt_len == 0 ||
        !scram_decode_exactly(stored_key, verifier.stored_key) ||
        !scram_decode_exactly(rest, verifier.server_key)) {
        return false;
    }
    verifier.iterations = (uint32_t)count;
    verifier.salt_len = (uint32_t)salt_len;
    *ret_verifier = verifier;
    return true;
}

void scram_verifier_format(const ScramVerifier *verifier, Buf *out)
{
    buf_printf(out, SCRAM_MECHANISM "$%u:", verifier->iterations);
    scram_put_base64(out, verifier->salt, verifier->salt_len);
    buf_append_char(out, '$');
    scram_put_base64(out, verifier->stored_key, SHA256_SIZE);
    buf_append_char(out, ':');
    scram_put_base64(out, verifier->server_key, SHA256_SIZE);
}

void scram_verifier_mock(Slice user, const uint8_t secret[static SHA256_SIZE],
                         ScramVerifier *ret_verifier)
{
    uint8_t salt[SHA256_SIZE];
    hmac_sha256(slice_from(secret, SHA256_SIZE), user, salt);
    *ret_verifier = (ScramVerifier){.iterations = SCRAM_ITERATIONS, .salt_len = SCRAM_SALT_SIZE};
    memcpy(ret_verifier->salt, salt, SCRAM_SALT_SIZE);
    hmac_sha256(slice_from(secret, SHA256_SIZE), slice_from(salt, SHA256_SIZE),
                ret_verifier->stored_key);
    hmac_sha256(slice_from(secret, SHA256_SIZE), slice_from(ret_verifier->stored_key, SHA256_SIZE),
                ret_verifier->server_key);
}
