/* The Authorization header, the query of a presigned request, a path, and IAM database tokens. The
 * input is lines: the header, X-Amz-Date, the query, the path. Nothing made without the key may
 * pass. */
#include "aws_call.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const Secret *find_key(void *context, Slice access_key)
{
    (void)access_key;
    return context;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Slice rest = slice_from(data, size);
    Slice lines[4];
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        lines[i] = slice_cut(&rest, '\n');
    }
    AwsHeader headers[] = {{SLICE("host"), SLICE("127.0.0.1:4566")},
                           {SLICE("x-amz-date"), lines[1]},
                           {SLICE("authorization"), lines[0]}};
    AwsHttp http = {.method = SLICE("POST"),
                    .path = lines[3],
                    .query = lines[2],
                    .headers = headers,
                    .header_count = lines[0].len > 0 ? 3 : 2,
                    .body = SLICE("Action=X")};
    Secret secret = {0};
    AwsCaller caller;
    AwsFault fault;
    AwsCall call;
    secret_set(&secret, SLICE("not the key of the corpus"));
    ASSERT(!aws_sigv4_verify(&http, 1769860800000, find_key, &secret, &caller, &fault));
    ASSERT(fault.code[0] != '\0' && fault.status >= 400);
    if (aws_route(&http, SLICE("ec2"), &call, &fault)) {
        ASSERT(call.operation != NULL);
    }
    static const char *const hosts[] = {"127.0.0.1:4566"};
    const AwsDbTokenWant want = {.user = SLICE("app"),
                                 .region = SLICE("eu-west-1"),
                                 .hosts = hosts,
                                 .host_count = 1,
                                 .find = find_key,
                                 .context = &secret};
    Buf token;
    buf_init(&token, BUF_MAX_DEFAULT);
    buf_append_str(&token, "127.0.0.1:4566/?");
    buf_append_slice(&token, lines[2]);
    ASSERT(!aws_db_token_verify(buf_slice(&token), &want, 1769860800000, NULL));
    ASSERT(!aws_db_token_verify(lines[2], &want, 1769860800000, NULL));
    buf_done(&token);
    secret_done(&secret);
    return 0;
}
