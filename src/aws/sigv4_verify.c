/*
 * The server's side of Signature Version 4. First the claim is read (Authorization header or
 * query), then judged: time, what must be signed, the key, the payload's hash, the signature. The
 * problem is named once; its code and status follow from the request's protocol.
 */
#include <stdio.h>

#include "aws/codec_priv.h"
#include "aws/sigv4_priv.h"

#define PRESIGNED_S_MAX    (7 * 24 * 3600)
#define SIGNED_HEADERS_MAX 4096

typedef struct ProblemCode {
    const char *code;
    int status;
} ProblemCode;

typedef struct ProblemCodes {
    ProblemCode query, ec2, json;
} ProblemCodes;

static const ProblemCodes problem_codes[] = {
    [SIGV4_MISSING] = {{"MissingAuthenticationToken", 403},
                       {"MissingAuthenticationToken", 403},
                       {"MissingAuthenticationTokenException", 400}},
    [SIGV4_INCOMPLETE] = {{"IncompleteSignature", 400},
                          {"IncompleteSignature", 400},
                          {"IncompleteSignatureException", 400}},
    [SIGV4_KEY] = {{"InvalidClientTokenId", 403},
                   {"AuthFailure", 401},
                   {"UnrecognizedClientException", 400}},
    [SIGV4_SIGNATURE] = {{"SignatureDoesNotMatch", 403},
                         {"SignatureDoesNotMatch", 403},
                         {"InvalidSignatureException", 400}},
    [SIGV4_TIME] = {{"SignatureDoesNotMatch", 403},
                    {"RequestExpired", 400},
                    {"InvalidSignatureException", 400}},
};

typedef struct Claim {
    Slice access_key, date, region, service, terminator;
    Slice signed_headers, signature, amz_date;
    uint64_t expires_s;
    bool presigned;
} Claim;

typedef struct Verifier {
    const AwsHttp *http;
    AwsFault *fault;
    Arena *arena;
    Claim claim;
    Sigv4Problem problem;
} Verifier;

PRINTF_LIKE(3, 4)
static bool refuse(Verifier *verifier, Sigv4Problem problem, const char *format, ...)
{
    const ProblemCodes *codes = &problem_codes[problem];
    AwsProtocol protocol = aws_protocol_of(verifier->http);
    const ProblemCode *code = protocol == AWS_QUERY ? &codes->query
                              : protocol == AWS_EC2 ? &codes->ec2
                                                    : &codes->json;
    AwsFault fault = {.status = code->status, .sender = true};
    snprintf(fault.code, sizeof(fault.code), "%s", code->code);
    va_list args;
    va_start(args, format);
    vsnprintf(fault.message, sizeof(fault.message), format, args);
    va_end(args);
    verifier->problem = problem;
    if (verifier->fault != NULL) {
        *verifier->fault = fault;
    }
    return false;
}

static bool refuse_mismatch(Verifier *verifier)
{
    return refuse(verifier, SIGV4_SIGNATURE,
                  "The request signature we calculated does not match the signature you provided. "
                  "Check your AWS Secret Access Key and signing method. Consult the service "
                  "documentation for details.");
}

/* ---- reading the claim -------------------------------------------------------------------------
 */

static void split_credential(Slice credential, Claim *claim)
{
    claim->access_key = slice_cut(&credential, '/');
    claim->date = slice_cut(&credential, '/');
    claim->region = slice_cut(&credential, '/');
    claim->service = slice_cut(&credential, '/');
    claim->terminator = credential;
}

/* "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…" */
static bool read_header(Slice header, Claim *claim)
{
    Slice algorithm = slice_cut(&header, ' ');
    while (header.len > 0) {
        Slice value = slice_trim(slice_cut(&header, ','));
        Slice name = slice_cut(&value, '=');
        if (slice_is(name, "Credential")) {
            split_credential(value, claim);
        } else if (slice_is(name, "SignedHeaders")) {
            claim->signed_headers = value;
        } else if (slice_is(name, "Signature")) {
            claim->signature = value;
        }
    }
    return slice_is(algorithm, SIGV4_ALGORITHM);
}

/* The parameter of a query, decoded; data == NULL where it is absent or cannot be decoded. */
static Slice query_parameter(Slice query, const char *wanted, Arena *arena)
{
    while (query.len > 0) {
        Slice value = slice_cut(&query, '&');
        Slice plain;
        if (slice_is(slice_cut(&value, '='), wanted)) {
            return percent_decode(value, false, arena, &plain) ? plain : (Slice){NULL, 0};
        }
    }
    return (Slice){NULL, 0};
}

static bool read_query(Slice query, Arena *arena, Claim *claim)
{
    split_credential(query_parameter(query, "X-Amz-Credential", arena), claim);
    claim->signed_headers = query_parameter(query, "X-Amz-SignedHeaders", arena);
    claim->signature = query_parameter(query, "X-Amz-Signature", arena);
    claim->amz_date = query_parameter(query, "X-Amz-Date", arena);
    claim->presigned = true;
    return slice_is(query_parameter(query, "X-Amz-Algorithm", arena), SIGV4_ALGORITHM) &&
           str_to_u64(query_parameter(query, "X-Amz-Expires", arena), &claim->expires_s) &&
           claim->expires_s >= 1 && claim->expires_s <= PRESIGNED_S_MAX;
}

static bool is_presigned(const AwsHttp *http)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    return query_parameter(http->query, "X-Amz-Signature", arena).data != NULL;
}

void sigv4_claimed_service(const AwsHttp *http, char out[static AWS_SCOPE_MAX + 1])
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Claim claim = {0};
    Slice header = aws_http_header(http, "authorization");
    bool ok =
        header.data != NULL ? read_header(header, &claim) : read_query(http->query, arena, &claim);
    bool usable = ok && claim.service.len <= AWS_SCOPE_MAX;
    snprintf(out, AWS_SCOPE_MAX + 1, "%.*s", usable ? (int)claim.service.len : 0,
             usable && claim.service.len > 0 ? claim.service.data : "");
}

static bool read_claim(Verifier *verifier)
{
    const AwsHttp *http = verifier->http;
    Claim *claim = &verifier->claim;
    Slice header = aws_http_header(http, "authorization");
    if (header.data != NULL) {
        if (!read_header(header, claim)) {
            return refuse(verifier, SIGV4_INCOMPLETE,
                          "The Authorization header must begin with " SIGV4_ALGORITHM ".");
        }
        claim->amz_date = aws_http_header(http, "x-amz-date");
        return true;
    }
    if (!is_presigned(http)) {
        return refuse(verifier, SIGV4_MISSING, "Request is missing Authentication Token");
    }
    if (!read_query(http->query, verifier->arena, claim)) {
        return refuse(verifier, SIGV4_INCOMPLETE,
                      "The query needs X-Amz-Algorithm=" SIGV4_ALGORITHM
                      " and X-Amz-Expires from 1 to %d.",
                      PRESIGNED_S_MAX);
    }
    return true;
}

/* ---- judging it --------------------------------------------------------------------------------
 */

static bool check_complete(Verifier *verifier)
{
    const Claim *claim = &verifier->claim;
    const char *missing = claim->access_key.len == 0       ? "Credential"
                          : claim->signed_headers.len == 0 ? "SignedHeaders"
                          : claim->signature.len == 0      ? "Signature"
                          : claim->amz_date.len == 0       ? "X-Amz-Date"
                                                           : NULL;
    if (missing != NULL) {
        return refuse(verifier, SIGV4_INCOMPLETE, "The request's signature requires %s.", missing);
    }
    if (!slice_is(claim->terminator, "aws4_request") || claim->date.len != 8 ||
        claim->access_key.len > AWS_ACCESS_KEY_MAX || claim->region.len > AWS_SCOPE_MAX ||
        claim->service.len > AWS_SCOPE_MAX) {
        return refuse(verifier, SIGV4_INCOMPLETE,
                      "Credential must have the form KEY/YYYYMMDD/REGION/SERVICE/aws4_request.");
    }
    return true;
}

/* 20260131T120000Z */
static bool amz_date_parse(Slice text, int64_t *ret_wall_ms)
{
    char iso[TIME_ISO_SIZE];
    if (text.len != AWS_AMZ_DATE_SIZE - 1) {
        return false;
    }
    const char *t = text.data;
    int len =
        snprintf(iso, sizeof(iso), "%.4s-%.2s-%.5s:%.2s:%.3s", t, t + 4, t + 6, t + 11, t + 13);
    return time_parse_iso(slice_from(iso, (size_t)len), ret_wall_ms);
}

static bool check_time(Verifier *verifier, int64_t now_ms)
{
    const Claim *claim = &verifier->claim;
    int64_t signed_ms;
    if (!amz_date_parse(claim->amz_date, &signed_ms)) {
        return refuse(verifier, SIGV4_INCOMPLETE,
                      "X-Amz-Date must have the form 20260131T120000Z.");
    }
    if (!slice_eq(claim->date, slice_from(claim->amz_date.data, 8))) {
        return refuse(verifier, SIGV4_SIGNATURE,
                      "Date in Credential scope does not match YYYYMMDD from X-Amz-Date.");
    }
    int64_t valid_ms =
        claim->presigned ? (int64_t)claim->expires_s * MS_PER_S : (int64_t)AWS_CLOCK_SKEW_MS;
    char now[TIME_ISO_SIZE];
    time_format_iso(now_ms, now);
    if (now_ms > signed_ms + valid_ms) {
        return refuse(verifier, SIGV4_TIME, "Signature expired: %.*s is too early for %s.",
                      SLICE_FMT(claim->amz_date), now);
    }
    if (now_ms < signed_ms - AWS_CLOCK_SKEW_MS) {
        return refuse(verifier, SIGV4_TIME, "Signature not yet current: %.*s is too late for %s.",
                      SLICE_FMT(claim->amz_date), now);
    }
    return true;
}

static bool is_signed(const Claim *claim, const char *name)
{
    for (Slice rest = claim->signed_headers; rest.len > 0;) {
        if (slice_is(slice_cut(&rest, ';'), name)) {
            return true;
        }
    }
    return false;
}

/* Without these a signature could be carried over to another request. */
static bool check_signed_headers(Verifier *verifier)
{
    const Claim *claim = &verifier->claim;
    bool has_target = aws_http_header(verifier->http, "x-amz-target").data != NULL;
    const char *unsigned_name = !is_signed(claim, "host")                         ? "host"
                                : has_target && !is_signed(claim, "x-amz-target") ? "x-amz-target"
                                                                                  : NULL;
    if (unsigned_name != NULL) {
        return refuse(verifier, SIGV4_SIGNATURE, "The header %s must be signed.", unsigned_name);
    }
    if (claim->signed_headers.len > SIGNED_HEADERS_MAX) {
        return refuse(verifier, SIGV4_INCOMPLETE, "SignedHeaders is longer than %d bytes.",
                      SIGNED_HEADERS_MAX);
    }
    return true;
}

/* What stands in the last line of the canonical request: the body's hash, unless the sender says
 * that the body is not signed. */
static bool payload_hash(Verifier *verifier, char hex[static SIGV4_HEX_SIZE], Slice *ret_hash)
{
    Slice declared = aws_http_header(verifier->http, "x-amz-content-sha256");
    if (slice_is(declared, "UNSIGNED-PAYLOAD")) {
        *ret_hash = declared;
        return true;
    }
    sigv4_hash_hex(verifier->http->body, hex);
    if (declared.data != NULL && !slice_is(declared, hex)) {
        return refuse(verifier, SIGV4_SIGNATURE,
                      "X-Amz-Content-SHA256 is not the hash of the body that arrived.");
    }
    *ret_hash = slice_of(hex);
    return true;
}

static bool check_signature(Verifier *verifier, const Secret *secret_key)
{
    const Claim *claim = &verifier->claim;
    char hex[SIGV4_HEX_SIZE];
    char expected[SIGV4_HEX_SIZE];
    Slice hash;
    Buf canonical;
    TRY(payload_hash(verifier, hex, &hash));
    buf_init(&canonical, BUF_MAX_DEFAULT);
    sigv4_canonical(verifier->http, claim->signed_headers, hash, verifier->arena, &canonical);
    Sigv4Scope scope = {claim->date, claim->region, claim->service};
    sigv4_signature(secret_key, &scope, claim->amz_date, buf_slice(&canonical), expected);
    bool equal = !canonical.overflowed && claim->signature.len == sizeof(expected) - 1 &&
                 crypto_equal(claim->signature.data, expected, sizeof(expected) - 1);
    buf_done(&canonical);
    return equal || refuse_mismatch(verifier);
}

static bool verify(Verifier *verifier, int64_t now_ms, AwsKeyFind find, void *context)
{
    TRY(read_claim(verifier));
    TRY(check_complete(verifier));
    TRY(check_time(verifier, now_ms));
    TRY(check_signed_headers(verifier));
    const Secret *secret_key = find(context, verifier->claim.access_key);
    if (secret_key == NULL) {
        return refuse(verifier, SIGV4_KEY,
                      "The security token included in the request is invalid.");
    }
    return check_signature(verifier, secret_key);
}

static void copy(Slice from, char *to, size_t size)
{
    ASSERT(from.len < size);
    memcpy(to, from.len > 0 ? from.data : "", from.len);
    to[from.len] = '\0';
}

bool sigv4_verify(const AwsHttp *http, int64_t now_ms, AwsKeyFind find, void *context,
                  AwsCaller *ret_caller, AwsFault *fault, Sigv4Problem *ret_problem)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Verifier verifier = {.http = http, .fault = fault, .arena = arena};
    if (!verify(&verifier, now_ms, find, context)) {
        *ret_problem = verifier.problem;
        return false;
    }
    const Claim *claim = &verifier.claim;
    *ret_caller = (AwsCaller){.presigned = claim->presigned, .expires_s = claim->expires_s};
    copy(claim->access_key, ret_caller->access_key, sizeof(ret_caller->access_key));
    copy(claim->region, ret_caller->region, sizeof(ret_caller->region));
    copy(claim->service, ret_caller->service, sizeof(ret_caller->service));
    return true;
}

bool aws_sigv4_verify(const AwsHttp *http, int64_t now_ms, AwsKeyFind find, void *context,
                      AwsCaller *ret_caller, AwsFault *fault)
{
    Sigv4Problem ignored;
    return sigv4_verify(http, now_ms, find, context, ret_caller, fault, &ignored);
}
