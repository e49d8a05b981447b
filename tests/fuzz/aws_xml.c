/* XML replies as the client reads them. What is read can be written and read again. */
#include "aws_call.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    AwsCall call = fuzz_call(data[0], false);
    Slice body = slice_from(data + 1, size - 1);
    json_t *output;
    AwsFault fault;
    Err err;
    if (aws_output_parse(&call, body, &output, &err)) {
        Buf out;
        json_t *again;
        buf_init(&out, BUF_MAX_DEFAULT);
        ASSERT(aws_output_format(&call, output, "id", &out, &err));
        ASSERT(aws_output_parse(&call, buf_slice(&out), &again, &err));
        json_decref(again);
        json_decref(output);
        buf_done(&out);
    }
    aws_fault_parse(&call, 400, body, &fault);
    return 0;
}
