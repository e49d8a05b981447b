/* Digests, key derivation and AES-GCM over OpenSSL's EVP. The digests are fetched once per process
 * by OpenSSL's own cache behind EVP_sha256(); nothing here keeps state. */
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "crypto/crypto.h"

#define SHA256_BLOCK ((size_t)64)

static const unsigned char *bytes_of(Slice in)
{
    return in.len > 0 ? (const unsigned char *)in.data : (const unsigned char *)"";
}

void sha256(Slice in, uint8_t out[static SHA256_SIZE])
{
    int ok = EVP_Digest(bytes_of(in), in.len, out, NULL, EVP_sha256(), NULL);
    ASSERT(ok == 1);
}

void sha256_hex(Slice in, char out[static SHA256_HEX_SIZE])
{
    uint8_t digest[SHA256_SIZE];
    sha256(in, digest);
    hex_encode(digest, sizeof(digest), out);
}

/* H((key ^ pad) | in). The first time the context has no digest yet; after that it is reset. */
static void hmac_half(EVP_MD_CTX *context, const EVP_MD *digest,
                      const uint8_t key[static SHA256_BLOCK], uint8_t pad, Slice in,
                      uint8_t out[static SHA256_SIZE])
{
    uint8_t block[SHA256_BLOCK];
    for (size_t i = 0; i < sizeof(block); i++) {
        block[i] = key[i] ^ pad;
    }
    bool ok = EVP_DigestInit_ex(context, digest, NULL) == 1 &&
              EVP_DigestUpdate(context, block, sizeof(block)) == 1 &&
              EVP_DigestUpdate(context, bytes_of(in), in.len) == 1 &&
              EVP_DigestFinal_ex(context, out, NULL) == 1;
    ASSERT(ok);
    OPENSSL_cleanse(block, sizeof(block));
}

/* RFC 2104 by hand: HMAC() of OpenSSL 3 looks everything up anew and takes three times as long,
 * and each login has three of them. */
void hmac_sha256(Slice key, Slice in, uint8_t out[static SHA256_SIZE])
{
    uint8_t padded[SHA256_BLOCK] = {0};
    uint8_t inner[SHA256_SIZE];
    if (key.len > sizeof(padded)) {
        sha256(key, padded);
    } else if (key.len > 0) {
        memcpy(padded, key.data, key.len);
    }
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    ASSERT(context != NULL);
    hmac_half(context, EVP_sha256(), padded, 0x36, in, inner);
    hmac_half(context, NULL, padded, 0x5c, slice_from(inner, sizeof(inner)), out);
    EVP_MD_CTX_free(context);
    OPENSSL_cleanse(padded, sizeof(padded));
    OPENSSL_cleanse(inner, sizeof(inner));
}

void pbkdf2_sha256(Slice password, Slice salt, uint32_t iterations, uint8_t out[static SHA256_SIZE])
{
    ASSERT(iterations >= 1 && iterations <= INT32_MAX);
    int ok = PKCS5_PBKDF2_HMAC((const char *)bytes_of(password), (int)password.len, bytes_of(salt),
                               (int)salt.len, (int)iterations, EVP_sha256(), SHA256_SIZE, out);
    ASSERT(ok == 1);
}

void md5_hex(Slice in, char out[static 33])
{
    uint8_t digest[16];
    int ok = EVP_Digest(bytes_of(in), in.len, digest, NULL, EVP_md5(), NULL);
    ASSERT(ok == 1);
    hex_encode(digest, sizeof(digest), out);
}

bool crypto_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

void crypto_wipe(void *data, size_t len)
{
    OPENSSL_cleanse(data, len);
}

void aead_seal(const uint8_t key[static AEAD_KEY_SIZE], Slice context, Slice plain, Buf *out)
{
    ASSERT(plain.len <= INT32_MAX && context.len <= INT32_MAX);
    unsigned char nonce[AEAD_NONCE_SIZE];
    random_bytes(nonce, sizeof(nonce));
    buf_append(out, nonce, sizeof(nonce));
    unsigned char *room = (unsigned char *)buf_reserve(out, plain.len + AEAD_TAG_SIZE);
    if (room == NULL) {
        return;
    }
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int len = 0;
    int ok = ctx != NULL && EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
             EVP_EncryptUpdate(ctx, NULL, &len, bytes_of(context), (int)context.len) == 1 &&
             EVP_EncryptUpdate(ctx, room, &len, bytes_of(plain), (int)plain.len) == 1 &&
             EVP_EncryptFinal_ex(ctx, room + len, &len) == 1 &&
             EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, AEAD_TAG_SIZE, room + plain.len) == 1;
    EVP_CIPHER_CTX_free(ctx);
    ASSERT(ok);
    buf_commit(out, plain.len + AEAD_TAG_SIZE);
}

bool aead_open(const uint8_t key[static AEAD_KEY_SIZE], Slice context, Slice sealed, Buf *out,
               Err *err)
{
    if (sealed.len < AEAD_OVERHEAD || sealed.len > INT32_MAX) {
        return err_set(err, ERR_DENIED, "the sealed text is cut short");
    }
    size_t plain_len = sealed.len - AEAD_OVERHEAD;
    const unsigned char *nonce = (const unsigned char *)sealed.data;
    const unsigned char *cipher = nonce + AEAD_NONCE_SIZE;
    unsigned char tag[AEAD_TAG_SIZE];
    memcpy(tag, cipher + plain_len, sizeof(tag));
    unsigned char *room = (unsigned char *)buf_reserve(out, plain_len);
    if (room == NULL) {
        return err_set(err, ERR_LIMIT, "the sealed text is larger than %zu bytes", out->max);
    }
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    ASSERT(ctx != NULL);
    int len = 0;
    int ok = EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
             EVP_DecryptUpdate(ctx, NULL, &len, bytes_of(context), (int)context.len) == 1 &&
             EVP_DecryptUpdate(ctx, room, &len, cipher, (int)plain_len) == 1 &&
             EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, AEAD_TAG_SIZE, tag) == 1 &&
             EVP_DecryptFinal_ex(ctx, room + len, &len) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (!ok) {
        crypto_wipe(room, plain_len);
        return err_set(err, ERR_DENIED,
                       "the sealed text does not open: wrong key, or changed bytes");
    }
    buf_commit(out, plain_len);
    return true;
}
