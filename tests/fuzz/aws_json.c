/* awsJson bodies, as requests and as replies. What is read can be written and read again. */
#include "aws_call.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_output(const AwsCall *call, Slice body)
{
    json_t *output;
    json_t *again;
    Err err;
    Buf out;
    if (!aws_output_parse(call, body, &output, &err)) {
        return;
    }
    buf_init(&out, BUF_MAX_DEFAULT);
    ASSERT(aws_output_format(call, output, "id", &out, &err));
    ASSERT(aws_output_parse(call, buf_slice(&out), &again, &err));
    json_decref(output);
    json_decref(again);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    AwsCall call = fuzz_call(data[0], true);
    AwsFault fault;
    json_t *unknown = json_array();
    json_t *input;
    AwsHttp http = {.method = SLICE("POST"), .body = slice_from(data + 1, size - 1)};
    if (aws_input_parse(&call, &http, &input, unknown, &fault)) {
        Buf body;
        Err err;
        buf_init(&body, BUF_MAX_DEFAULT);
        ASSERT(aws_input_format(&call, input, &body, &err));
        buf_done(&body);
        json_decref(input);
    }
    check_output(&call, http.body);
    aws_fault_parse(&call, 400, http.body, &fault);
    json_decref(unknown);
    return 0;
}
