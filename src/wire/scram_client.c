/* The client's side of SCRAM, with which the proxy logs in to PostgreSQL. */
#include "wire/scram_priv.h"

#define NO_BINDING_HEADER  "n,,"
#define NO_BINDING_ENCODED "biws" /* its base64 */

void scram_client_first(ScramClient *client, Slice nonce, Buf *out)
{
    ASSERT(nonce.len > 0 && nonce.len < sizeof(client->client_nonce) - 16);
    *client = (ScramClient){0};
    memcpy(client->client_nonce, nonce.data, nonce.len);
    memcpy(client->client_first_bare, "n=,r=", 5); /* the start packet's user name counts */
    memcpy(client->client_first_bare + 5, nonce.data, nonce.len);
    buf_append_str(out, NO_BINDING_HEADER);
    buf_append_str(out, client->client_first_bare);
}

typedef struct ServerFirst {
    Slice nonce;
    uint8_t salt[SCRAM_SALT_MAX];
    size_t salt_len;
    uint64_t iterations;
} ServerFirst;

static bool server_first_read(const ScramClient *client, Slice message, ServerFirst *ret_first)
{
    Slice rest = message;
    Slice salt;
    Slice iterations;
    return message.len < SCRAM_PART_MAX && scram_take_attr(&rest, 'r', &ret_first->nonce) &&
           scram_take_attr(&rest, 's', &salt) && scram_take_attr(&rest, 'i', &iterations) &&
           slice_starts(ret_first->nonce, client->client_nonce) &&
           ret_first->nonce.len > strlen(client->client_nonce) &&
           base64_decode(salt, ret_first->salt, sizeof(ret_first->salt), &ret_first->salt_len) &&
           ret_first->salt_len > 0 && str_to_u64(iterations, &ret_first->iterations) &&
           ret_first->iterations >= 1 && ret_first->iterations <= SCRAM_ITERATIONS_MAX;
}

static void keys_derive(ScramKeys *keys, const ServerFirst *first, Slice password)
{
    if (keys->iterations == first->iterations && keys->salt_len == first->salt_len &&
        memcmp(keys->salt, first->salt, first->salt_len) == 0) {
        return;
    }
    keys->iterations = (uint32_t)first->iterations;
    keys->salt_len = (uint32_t)first->salt_len;
    memcpy(keys->salt, first->salt, first->salt_len);
    scram_derive(password, slice_from(first->salt, first->salt_len), keys->iterations,
                 keys->client_key, keys->server_key);
}

bool scram_client_final(ScramClient *client, Slice message, Slice password, ScramKeys *keys,
                        Buf *out, Err *err)
{
    ServerFirst first;
    if (!server_first_read(client, message, &first)) {
        return err_set(err, ERR_INVALID, "the server's first SCRAM message is malformed");
    }
    keys_derive(keys, &first, password);
    Buf final;
    buf_init(&final, (size_t)2 * SCRAM_PART_MAX);
    buf_append_str(&final, "c=" NO_BINDING_ENCODED ",r=");
    buf_append_slice(&final, first.nonce);
    uint8_t stored_key[SHA256_SIZE];
    uint8_t signature[SHA256_SIZE];
    uint8_t proof[SHA256_SIZE];
    Slice bare = slice_of(client->client_first_bare);
    sha256(slice_from(keys->client_key, SHA256_SIZE), stored_key);
    scram_sign(stored_key, bare, message, buf_slice(&final), signature);
    scram_xor(keys->client_key, signature, proof);
    scram_sign(keys->server_key, bare, message, buf_slice(&final), client->server_signature);
    buf_append_str(&final, ",p=");
    scram_put_base64(&final, proof, SHA256_SIZE);
    buf_append_slice(out, buf_slice(&final));
    buf_done(&final);
    return true;
}

bool scram_client_verify(const ScramClient *client, Slice message, Err *err)
{
    Slice rest = message;
    Slice signature;
    uint8_t given[SHA256_SIZE];
    if (!scram_take_attr(&rest, 'v', &signature) || !scram_decode_exactly(signature, given)) {
        return err_set(err, ERR_INVALID, "the server's final SCRAM message is malformed");
    }
    if (!crypto_equal(given, client->server_signature, SHA256_SIZE)) {
        return err_set(err, ERR_DENIED,
                       "the server does not know the password either: its SCRAM "
                       "signature is wrong");
    }
    return true;
}
