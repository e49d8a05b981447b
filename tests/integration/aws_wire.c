/* The codecs of src/aws as a filter, for tests/integration/test_aws_wire.py: a line of JSON in, a
 * line of JSON out. {"do": "input_parse", "service": …, "operation": …, "body": …} and so on. */
#include <stdio.h>
#include <stdlib.h>

#include "aws/aws.h"

static const char *text_of(const json_t *command, const char *name)
{
    const char *text = json_string_value(json_object_get(command, name));
    return text != NULL ? text : "";
}

static json_t *fault_json(const AwsFault *fault)
{
    return json_pack("{s:{s:s, s:i, s:s}}", "fault", "code", fault->code, "status", fault->status,
                     "message", fault->message);
}

static json_t *err_json(const Err *err)
{
    return json_pack("{s:s}", "error", err->message);
}

static json_t *body_json(Buf *body)
{
    json_t *reply = json_pack("{s:s#}", "body", buf_str(body), body->len);
    buf_done(body);
    return reply;
}

static json_t *input_parse(const AwsCall *call, const json_t *command)
{
    AwsHttp http = {.method = SLICE("POST"), .body = slice_of(text_of(command, "body"))};
    json_t *unknown = json_array();
    json_t *input;
    AwsFault fault;
    if (!aws_input_parse(call, &http, &input, unknown, &fault)) {
        json_decref(unknown);
        return fault_json(&fault);
    }
    return json_pack("{s:o, s:o}", "input", input, "unknown", unknown);
}

static json_t *input_format(const AwsCall *call, const json_t *command)
{
    Buf body;
    Err err;
    buf_init(&body, BUF_MAX_DEFAULT);
    if (!aws_input_format(call, json_object_get(command, "value"), &body, &err)) {
        buf_done(&body);
        return err_json(&err);
    }
    return body_json(&body);
}

static json_t *output_format(const AwsCall *call, const json_t *command)
{
    Buf body;
    Err err;
    buf_init(&body, BUF_MAX_DEFAULT);
    if (!aws_output_format(call, json_object_get(command, "value"), "id-1", &body, &err)) {
        buf_done(&body);
        return err_json(&err);
    }
    return body_json(&body);
}

static json_t *output_parse(const AwsCall *call, const json_t *command)
{
    json_t *output;
    Err err;
    if (!aws_output_parse(call, slice_of(text_of(command, "body")), &output, &err)) {
        return err_json(&err);
    }
    return json_pack("{s:o}", "output", output);
}

static json_t *fault_format(const AwsCall *call, const json_t *command)
{
    AwsFault fault;
    Buf body;
    buf_init(&body, BUF_MAX_DEFAULT);
    aws_fault_set(&fault, call->service, text_of(command, "name"), "%s",
                  text_of(command, "message"));
    aws_fault_format(&fault, call->service, call->protocol, "id-1", &body);
    json_t *reply = fault_json(&fault);
    json_object_set_new(reply, "body", json_string(buf_str(&body)));
    buf_done(&body);
    return reply;
}

/* {"rds": {"CreateDBInstance": ["DBInstanceAlreadyExistsFault", …], …}, …} */
static json_t *list_all(void)
{
    json_t *services = json_object();
    for (size_t i = 0; aws_service_at(i) != NULL; i++) {
        const AwsService *service = aws_service_at(i);
        json_t *operations = json_object();
        for (size_t k = 0; k < service->operation_count; k++) {
            const AwsOperation *operation = &service->operations[k];
            json_t *errors = json_array();
            for (size_t m = 0; m < operation->error_count; m++) {
                json_array_append_new(errors, json_string(operation->errors[m]->shape));
            }
            json_object_set_new(operations, operation->name, errors);
        }
        json_object_set_new(services, service->name, operations);
    }
    return services;
}

static json_t *answer(const json_t *command)
{
    static const struct {
        const char *name;
        json_t *(*run)(const AwsCall *call, const json_t *command);
    } verbs[] = {{"input_parse", input_parse},
                 {"input_format", input_format},
                 {"output_format", output_format},
                 {"output_parse", output_parse},
                 {"fault_format", fault_format}};
    const char *verb = text_of(command, "do");
    AwsCall call = {0};
    call.service = aws_service_find(slice_of(text_of(command, "service")));
    if (call.service == NULL) {
        return list_all();
    }
    call.protocol = call.service->protocol;
    call.operation = aws_operation_find(call.service, slice_of(text_of(command, "operation")));
    for (size_t i = 0; call.operation != NULL && i < ARRAY_LEN(verbs); i++) {
        if (strcmp(verbs[i].name, verb) == 0) {
            return verbs[i].run(&call, command);
        }
    }
    return json_pack("{s:s}", "error", "no such verb or operation");
}

int main(void)
{
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, stdin) > 0) {
        json_t *command = json_loads(line, 0, NULL);
        json_t *reply = answer(command);
        json_dumpf(reply, stdout, JSON_COMPACT);
        putchar('\n');
        fflush(stdout);
        json_decref(reply);
        json_decref(command);
    }
    free(line);
    return 0;
}
