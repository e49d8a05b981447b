/* Forms of awsQuery and ec2Query. What is read can be written. */
#include "aws_call.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    AwsCall call = fuzz_call(data[0], false);
    AwsFault fault;
    json_t *unknown = json_array();
    json_t *input;
    AwsHttp http = {.method = SLICE("POST"), .body = slice_from(data + 1, size - 1)};
    AwsCall routed;
    if (aws_route(&http, SLICE("rds"), &routed, &fault)) {
        ASSERT(routed.operation != NULL);
    }
    if (aws_input_parse(&call, &http, &input, unknown, &fault)) {
        Buf body;
        Err err;
        buf_init(&body, BUF_MAX_DEFAULT);
        ASSERT(aws_input_format(&call, input, &body, &err));
        buf_done(&body);
        json_decref(aws_redacted(call.operation->input, input));
        json_decref(input);
    }
    json_decref(unknown);
    return 0;
}
