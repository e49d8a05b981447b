/* The parts of Signature Version 4 that signing and verifying share. */
#ifndef WEIR_AWS_SIGV4_PRIV_H
#define WEIR_AWS_SIGV4_PRIV_H

#include "aws/aws.h"

#define SIGV4_ALGORITHM "AWS4-HMAC-SHA256"
#define SIGV4_HEX_SIZE  (2 * SHA256_SIZE + 1)

typedef enum Sigv4Problem {
    SIGV4_MISSING,    /* no signature at all */
    SIGV4_INCOMPLETE, /* a part is missing or cannot be read */
    SIGV4_KEY,        /* no such access key */
    SIGV4_SIGNATURE,
    SIGV4_TIME,
} Sigv4Problem;

/* aws_sigv4_verify, which also tells what is wrong in our own terms. `fault` may be NULL. */
NODISCARD bool sigv4_verify(const AwsHttp *http, int64_t now_ms, AwsKeyFind find, void *context,
                            AwsCaller *ret_caller, AwsFault *fault, Sigv4Problem *ret_problem);

/* What a signature covers beside the request. */
typedef struct Sigv4Scope {
    Slice date; /* 20260131 */
    Slice region;
    Slice service;
} Sigv4Scope;

/* The canonical request: method, path, query (without X-Amz-Signature), the named headers in the
 * order of `signed_headers` (names joined by ';'), and the payload's hash. */
void sigv4_canonical(const AwsHttp *http, Slice signed_headers, Slice payload_hash, Arena *arena,
                     Buf *out);
/* The signature, in hexadecimal. `amz_date` is 20260131T120000Z. */
void sigv4_signature(const Secret *secret_key, const Sigv4Scope *scope, Slice amz_date,
                     Slice canonical, char out[static SIGV4_HEX_SIZE]);
void sigv4_hash_hex(Slice text, char out[static SIGV4_HEX_SIZE]);

/* The service that a request claims to be signed for; not verified, "" where there is none. */
void sigv4_claimed_service(const AwsHttp *http, char out[static AWS_SCOPE_MAX + 1]);

#endif
