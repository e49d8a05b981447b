/* Inside of crypto: what its files share about OpenSSL. */
#ifndef WEIR_CRYPTO_PRIV_H
#define WEIR_CRYPTO_PRIV_H

#include <openssl/err.h>
#include <openssl/x509.h>

#include "crypto/crypto.h"

/* "what: OpenSSL's reason"; empties OpenSSL's queue of errors of this thread. Returns false. */
bool openssl_err(Err *err, const char *what);
/* All certificates of the text, at least one. */
NODISCARD bool cert_chain_parse(Slice pem, STACK_OF(X509) * *ret_certs, Err *err);
NODISCARD bool cert_key_parse(Slice pem, EVP_PKEY **ret_key, Err *err);

#endif
