/* The secret type: owns its text and wipes it. */
#include "crypto/crypto.h"

void secret_set(Secret *secret, Slice text)
{
    char *copy = mem_alloc(text.len + 1);
    if (text.len > 0) {
        memcpy(copy, text.data, text.len);
    }
    secret_done(secret);
    *secret = (Secret){copy, text.len};
}

Slice secret_reveal(const Secret *secret)
{
    return (Slice){secret->hidden_, secret->len_};
}

bool secret_is_set(const Secret *secret)
{
    return secret->hidden_ != NULL;
}

bool secret_eq(const Secret *secret, Slice text)
{
    return secret->hidden_ != NULL && secret->len_ == text.len &&
           crypto_equal(secret->hidden_, text.data, text.len);
}

void secret_done(Secret *secret)
{
    if (secret->hidden_ != NULL) {
        crypto_wipe(secret->hidden_, secret->len_);
        mem_free(secret->hidden_);
    }
    *secret = (Secret){0};
}
