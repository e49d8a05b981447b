/* Signature Version 4 against requests that botocore signed (tests/data/sigv4.json, made by
 * tools/aws_sigv4_vectors.py), and against everything that must not pass. */
#include <stdio.h>
#include <stdlib.h>

#include "aws_test.h"

#define HEADERS_MAX 16

typedef struct Vectors {
    json_t *root;
    Secret secret;
    Secret wrong;
    int64_t now_ms;
    const char *access_key;
} Vectors;

typedef struct Request {
    AwsHttp http;
    AwsHeader headers[HEADERS_MAX];
} Request;

static Slice text_of(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return slice_from(json_string_value(value), json_string_length(value));
}

static void request_load(const json_t *item, Request *request)
{
    const json_t *headers = json_object_get(item, "headers");
    *request = (Request){0};
    request->http = (AwsHttp){.method = text_of(item, "method"),
                              .path = text_of(item, "path"),
                              .query = text_of(item, "query"),
                              .body = text_of(item, "body"),
                              .headers = request->headers,
                              .header_count = json_array_size(headers)};
    assert_true(request->http.header_count <= HEADERS_MAX);
    for (size_t i = 0; i < request->http.header_count; i++) {
        const json_t *pair = json_array_get(headers, i);
        request->headers[i].name = slice_of(json_string_value(json_array_get(pair, 0)));
        request->headers[i].value = slice_of(json_string_value(json_array_get(pair, 1)));
    }
}

static int vectors_open(void **state)
{
    const char *root = getenv("WEIR_SOURCE_ROOT");
    assert_non_null(root);
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/tests/data/sigv4.json", root);
    Vectors *vectors = mem_alloc(sizeof(Vectors));
    vectors->root = json_load_file(path, 0, NULL);
    assert_non_null(vectors->root);
    vectors->now_ms = json_integer_value(json_object_get(vectors->root, "now_ms"));
    vectors->access_key = json_string_value(json_object_get(vectors->root, "access_key"));
    secret_set(&vectors->secret, text_of(vectors->root, "secret_key"));
    secret_set(&vectors->wrong, SLICE("wrong"));
    *state = vectors;
    return 0;
}

static int vectors_close(void **state)
{
    Vectors *vectors = *state;
    json_decref(vectors->root);
    secret_done(&vectors->secret);
    secret_done(&vectors->wrong);
    mem_free(vectors);
    return 0;
}

static const Secret *find_key(void *context, Slice access_key)
{
    const Vectors *vectors = context;
    return slice_is(access_key, vectors->access_key) ? &vectors->secret : NULL;
}

static const Secret *find_wrong_key(void *context, Slice access_key)
{
    const Vectors *vectors = context;
    (void)access_key;
    return &vectors->wrong;
}

static bool verify(Vectors *vectors, const Request *request, AwsFault *fault)
{
    AwsCaller caller;
    return aws_sigv4_verify(&request->http, vectors->now_ms, find_key, vectors, &caller, fault);
}

static const json_t *case_at(const Vectors *vectors, size_t index)
{
    return json_array_get(json_object_get(vectors->root, "cases"), index);
}

/* The vector of this name. */
static Request request_named(const Vectors *vectors, const char *name, Request *request)
{
    for (size_t i = 0; case_at(vectors, i) != NULL; i++) {
        if (slice_is(text_of(case_at(vectors, i), "name"), name)) {
            request_load(case_at(vectors, i), request);
            return *request;
        }
    }
    fail_msg("no vector %s", name);
    return *request;
}

static Slice *header_value(Request *request, const char *name)
{
    for (size_t i = 0; i < request->http.header_count; i++) {
        if (slice_is_nocase(request->headers[i].name, name)) {
            return &request->headers[i].value;
        }
    }
    fail_msg("no header %s", name);
    return NULL;
}

static void test_what_botocore_signed_is_accepted(void **state)
{
    Vectors *vectors = *state;
    size_t count = 0;
    for (; case_at(vectors, count) != NULL; count++) {
        const json_t *item = case_at(vectors, count);
        Request request;
        AwsCaller caller;
        AwsFault fault;
        request_load(item, &request);
        if (!aws_sigv4_verify(&request.http, vectors->now_ms, find_key, vectors, &caller, &fault)) {
            fail_msg("%s: %s %s", text_of(item, "name").data, fault.code, fault.message);
        }
        assert_string_equal(caller.access_key, vectors->access_key);
        assert_string_equal(caller.region, text_of(item, "region").data);
        assert_string_equal(caller.service, text_of(item, "service").data);
        assert_int_equal(caller.presigned, json_is_true(json_object_get(item, "presigned")));
        AwsFault wrong;
        assert_false(aws_sigv4_verify(&request.http, vectors->now_ms, find_wrong_key, vectors,
                                      &caller, &wrong));
    }
    assert_true(count >= 11);
}

static void test_we_sign_as_botocore_does(void **state)
{
    Vectors *vectors = *state;
    size_t compared = 0;
    for (size_t i = 0; case_at(vectors, i) != NULL; i++) {
        const json_t *item = case_at(vectors, i);
        Request request;
        request_load(item, &request);
        bool unsigned_body =
            slice_is(aws_http_header(&request.http, "x-amz-content-sha256"), "UNSIGNED-PAYLOAD");
        Slice expected = aws_http_header(&request.http, "authorization");
        if (expected.data == NULL || unsigned_body) {
            continue;
        }
        Request bare = request;
        bare.http.headers = bare.headers;
        bare.http.header_count = 0;
        for (size_t k = 0; k < request.http.header_count; k++) {
            if (!slice_is_nocase(request.headers[k].name, "authorization") &&
                !slice_is_nocase(request.headers[k].name, "x-amz-date")) {
                bare.headers[bare.http.header_count++] = request.headers[k];
            }
        }
        AwsSigner signer = {slice_of(vectors->access_key), &vectors->secret,
                            text_of(item, "region"), text_of(item, "service")};
        char date[AWS_AMZ_DATE_SIZE];
        Buf out;
        buf_init(&out, BUF_MAX_DEFAULT);
        aws_sigv4_sign(&bare.http, &signer, vectors->now_ms, date, &out);
        assert_string_equal(date, "20260131T120000Z");
        assert_slice(expected, buf_str(&out));
        buf_done(&out);
        compared++;
    }
    assert_true(compared >= 7);
}

/* Every byte of what is signed counts. */
static void test_changed_requests_are_refused(void **state)
{
    Vectors *vectors = *state;
    for (size_t i = 0; case_at(vectors, i) != NULL; i++) {
        Request request;
        request_load(case_at(vectors, i), &request);
        Slice *const parts[] = {&request.http.method, &request.http.body,
                                &request.headers[0].value};
        bool body_is_signed =
            !slice_is(aws_http_header(&request.http, "x-amz-content-sha256"), "UNSIGNED-PAYLOAD");
        for (size_t part = 0; part < ARRAY_LEN(parts); part++) {
            Slice original = *parts[part];
            for (size_t at = 0; at < original.len; at++) {
                CLEANUP(mem_free_ptr) char *changed = mem_alloc(original.len);
                memcpy(changed, original.data, original.len);
                changed[at] ^= 1;
                *parts[part] = slice_from(changed, original.len);
                AwsFault fault;
                bool passes = part == 1 && !body_is_signed;
                assert_int_equal(verify(vectors, &request, &fault), passes);
            }
            *parts[part] = original;
        }
        request.http.path = SLICE("/other");
        assert_false(verify(vectors, &request, NULL));
    }
}

/* The order and the encoding of a query are free; names, values and their number are not. */
static void test_query(void **state)
{
    Vectors *vectors = *state;
    Request request;
    request_named(vectors, "get with a query", &request);
    request.http.query =
        SLICE("c=%20x%2f~&a=1&Version=2011-06-15&a=2&b&%41ction=GetCallerIdentity");
    assert_true(verify(vectors, &request, NULL));
    static const char *const others[] = {
        "c=%20x%2f~&a=1&Version=2011-06-15&a=2&Action=GetCallerIdentity",
        "c=%20x%2f~&a=1&Version=2011-06-15&a=2&b&Action=GetCallerIdentity&x",
        "c=+x%2f~&a=1&Version=2011-06-15&a=2&b&Action=GetCallerIdentity",
        "c=%20x%2f~&a=1&Version=2011-06-15&a=1&b&Action=GetCallerIdentity",
        "",
    };
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        request.http.query = slice_of(others[i]);
        assert_false(verify(vectors, &request, NULL));
    }
}

static void test_codes_follow_the_protocol(void **state)
{
    Vectors *vectors = *state;
    static const struct {
        const char *name;
        const char *wrong_signature, *unknown_key, *late;
        int statuses[3];
    } cases[] = {
        {"rds form",
         "SignatureDoesNotMatch",
         "InvalidClientTokenId",
         "SignatureDoesNotMatch",
         {403, 403, 403}},
        {"empty body", "SignatureDoesNotMatch", "AuthFailure", "RequestExpired", {403, 401, 400}},
        {"secretsmanager json",
         "InvalidSignatureException",
         "UnrecognizedClientException",
         "InvalidSignatureException",
         {400, 400, 400}},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Request request;
        AwsFault fault;
        AwsCaller caller;
        request_named(vectors, cases[i].name, &request);
        assert_false(aws_sigv4_verify(&request.http, vectors->now_ms, find_wrong_key, vectors,
                                      &caller, &fault));
        assert_string_equal(fault.code, cases[i].wrong_signature);
        assert_int_equal(fault.status, cases[i].statuses[0]);
        vectors->access_key = "AKOTHER";
        assert_false(verify(vectors, &request, &fault));
        vectors->access_key = json_string_value(json_object_get(vectors->root, "access_key"));
        assert_string_equal(fault.code, cases[i].unknown_key);
        assert_int_equal(fault.status, cases[i].statuses[1]);
        assert_false(aws_sigv4_verify(&request.http, vectors->now_ms + AWS_CLOCK_SKEW_MS + 1,
                                      find_key, vectors, &caller, &fault));
        assert_string_equal(fault.code, cases[i].late);
        assert_int_equal(fault.status, cases[i].statuses[2]);
        assert_non_null(strstr(fault.message, "Signature expired: 20260131T120000Z"));
    }
}

static void test_clock(void **state)
{
    Vectors *vectors = *state;
    static const struct {
        const char *name;
        int64_t offset_ms;
        bool ok;
    } cases[] = {
        {"rds form", AWS_CLOCK_SKEW_MS, true},        {"rds form", -AWS_CLOCK_SKEW_MS, true},
        {"rds form", AWS_CLOCK_SKEW_MS + 1, false},   {"rds form", -AWS_CLOCK_SKEW_MS - 1, false},
        {"presigned", 900 * MS_PER_S, true},          {"presigned", 900 * MS_PER_S + 1, false},
        {"presigned", -AWS_CLOCK_SKEW_MS - 1, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Request request;
        AwsCaller caller;
        AwsFault fault;
        request_named(vectors, cases[i].name, &request);
        assert_int_equal(aws_sigv4_verify(&request.http, vectors->now_ms + cases[i].offset_ms,
                                          find_key, vectors, &caller, &fault),
                         cases[i].ok);
    }
}

static void test_authorization_headers(void **state)
{
    Vectors *vectors = *state;
    static const struct {
        const char *value;
        const char *code;
    } cases[] = {
        {"", "IncompleteSignature"},
        {"AWS4-HMAC-SHA256", "IncompleteSignature"},
        {"Bearer abc", "IncompleteSignature"},
        {"AWS4-ECDSA-P256-SHA256 Credential=a", "IncompleteSignature"},
        {"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260131/eu-west-1/rds/aws4_request",
         "IncompleteSignature"},
        {"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260131/eu-west-1/rds, SignedHeaders=host,"
         " Signature=00",
         "IncompleteSignature"},
        {"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/2026013/eu-west-1/rds/aws4_request,"
         " SignedHeaders=host, Signature=00",
         "IncompleteSignature"},
        {"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260130/eu-west-1/rds/aws4_request,"
         " SignedHeaders=host, Signature=00",
         "SignatureDoesNotMatch"},
        {"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260131/eu-west-1/rds/aws4_request,"
         " SignedHeaders=x-amz-date, Signature=00",
         "SignatureDoesNotMatch"},
        {"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260131/eu-west-1/rds/aws4_request,"
         "SignedHeaders=host;x-amz-date,Signature=7447b7",
         "SignatureDoesNotMatch"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Request request;
        AwsFault fault;
        request_named(vectors, "rds form", &request);
        *header_value(&request, "authorization") = slice_of(cases[i].value);
        assert_false(verify(vectors, &request, &fault));
        assert_string_equal(fault.code, cases[i].code);
    }
}

/* Without blanks behind the commas, and with parts in another order, it is the same header. */
static void test_authorization_layout(void **state)
{
    Vectors *vectors = *state;
    Request request;
    request_named(vectors, "rds form", &request);
    Slice *value = header_value(&request, "authorization");
    Slice signature = slice_from(value->data + value->len - 64, 64);
    char text[512];
    snprintf(text, sizeof(text),
             "AWS4-HMAC-SHA256 Signature=%.64s,SignedHeaders=content-type;host;x-amz-date,"
             "Credential=AKIDEXAMPLE/20260131/eu-west-1/rds/aws4_request",
             signature.data);
    *value = slice_of(text);
    assert_true(verify(vectors, &request, NULL));
}

static void test_truncated_headers(void **state)
{
    Vectors *vectors = *state;
    Request request;
    request_named(vectors, "rds form", &request);
    Slice *value = header_value(&request, "authorization");
    Slice whole = *value;
    for (size_t len = 0; len < whole.len; len++) {
        CLEANUP(mem_free_ptr) char *copy = mem_alloc(len);
        memcpy(copy, whole.data, len);
        *value = slice_from(copy, len);
        assert_false(verify(vectors, &request, NULL));
    }
    *value = whole;
    Slice *date = header_value(&request, "x-amz-date");
    static const char *const dates[] = {"",
                                        "20260131T120000",
                                        "20260131 120000Z",
                                        "20260131T120000Zx",
                                        "20261331T120000Z",
                                        "2026-01-31T12:00:00Z"};
    for (size_t i = 0; i < ARRAY_LEN(dates); i++) {
        *date = slice_of(dates[i]);
        assert_false(verify(vectors, &request, NULL));
    }
}

static void test_what_must_be_signed(void **state)
{
    Vectors *vectors = *state;
    Request request;
    AwsFault fault;
    request_named(vectors, "rds form", &request);
    request.headers[request.http.header_count++] =
        (AwsHeader){SLICE("X-Amz-Target"), SLICE("secretsmanager.DeleteSecret")};
    assert_false(verify(vectors, &request, &fault));
    assert_string_equal(fault.message, "The header x-amz-target must be signed.");
    request_named(vectors, "empty body", &request);
    request.http.header_count = 0;
    assert_false(verify(vectors, &request, &fault));
    assert_string_equal(fault.code, "MissingAuthenticationToken");
}

static void test_declared_hash(void **state)
{
    Vectors *vectors = *state;
    Request request;
    AwsFault fault;
    request_named(vectors, "rds form", &request);
    request.headers[request.http.header_count++] =
        (AwsHeader){SLICE("x-amz-content-sha256"), SLICE("00")};
    assert_false(verify(vectors, &request, &fault));
    assert_non_null(strstr(fault.message, "X-Amz-Content-SHA256"));
    request.headers[request.http.header_count - 1].value = SLICE("UNSIGNED-PAYLOAD");
    assert_false(verify(vectors, &request, &fault)); /* it was signed with the body's hash */
}

static void test_presigned_queries(void **state)
{
    Vectors *vectors = *state;
    Request request;
    AwsFault fault;
    request_named(vectors, "presigned", &request);
    Slice query = request.http.query;
    static const char *const names[] = {"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date",
                                        "X-Amz-Expires", "X-Amz-SignedHeaders"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        CLEANUP(mem_free_ptr) char *copy = mem_printf("%.*s", SLICE_FMT(query));
        strstr(copy, names[i])[0] = 'x';
        request.http.query = slice_of(copy);
        assert_false(verify(vectors, &request, &fault));
        assert_string_equal(fault.code, "IncompleteSignature");
    }
    static const char *const expires[] = {"0", "604801", "-1", "", "9000000000000000000000"};
    for (size_t i = 0; i < ARRAY_LEN(expires); i++) {
        CLEANUP(mem_free_ptr)
        char *copy = mem_printf(
            "X-Amz-Expires=%s&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0", expires[i]);
        request.http.query = slice_of(copy);
        assert_false(verify(vectors, &request, &fault));
        assert_string_equal(fault.code, "IncompleteSignature");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_botocore_signed_is_accepted),
        cmocka_unit_test(test_we_sign_as_botocore_does),
        cmocka_unit_test(test_changed_requests_are_refused),
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_codes_follow_the_protocol),
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_authorization_headers),
        cmocka_unit_test(test_authorization_layout),
        cmocka_unit_test(test_truncated_headers),
        cmocka_unit_test(test_what_must_be_signed),
        cmocka_unit_test(test_declared_hash),
        cmocka_unit_test(test_presigned_queries),
    };
    return cmocka_run_group_tests(tests, vectors_open, vectors_close);
}
