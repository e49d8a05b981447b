/* Secrets at rest: AES-GCM over a record's key as context, written as base64. Scratch memory that
 * held plain text is wiped before it is freed. */
#include "crypto/crypto.h"

void secret_seal(const uint8_t key[static AEAD_KEY_SIZE], Slice context, Slice plain, Buf *out)
{
    ASSERT(plain.len <= SEALED_PLAIN_MAX);
    Buf sealed;
    buf_init(&sealed, SEALED_PLAIN_MAX + AEAD_OVERHEAD);
    aead_seal(key, context, plain, &sealed);
    ASSERT(!sealed.overflowed);
    size_t len = base64_encoded_len(sealed.len);
    char *room = buf_reserve(out, len);
    if (room != NULL) {
        base64_encode(sealed.data, sealed.len, room);
        buf_commit(out, len);
    }
    buf_done(&sealed);
}

bool secret_unseal(const uint8_t key[static AEAD_KEY_SIZE], Slice context, Slice text,
                   Secret *ret_secret, Err *err)
{
    if (text.len > base64_encoded_len(SEALED_PLAIN_MAX + AEAD_OVERHEAD)) {
        return err_set(err, ERR_LIMIT, "the sealed text is larger than %zu bytes",
                       SEALED_PLAIN_MAX);
    }
    char *sealed = mem_alloc(text.len);
    size_t len = 0;
    Buf plain;
    buf_init(&plain, SEALED_PLAIN_MAX);
    bool ok = base64_decode(text, sealed, text.len, &len)
                  ? aead_open(key, context, slice_from(sealed, len), &plain, err)
                  : err_set(err, ERR_DENIED, "the sealed text is not base64");
    if (ok) {
        secret_set(ret_secret, buf_slice(&plain));
    }
    if (plain.data != NULL) {
        crypto_wipe(plain.data, plain.len);
    }
    buf_done(&plain);
    mem_free(sealed);
    return ok;
}
