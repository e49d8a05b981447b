/* One request and its reply, whatever the protocol: which service and operation, the input, the
 * output, the fault. The codecs do the work; this is the place that chooses among them. */
#include <stdio.h>

#include "aws/codec_priv.h"
#include "aws/sigv4_priv.h"

static bool is_json(AwsProtocol protocol)
{
    return protocol == AWS_JSON_1_0 || protocol == AWS_JSON_1_1;
}

Slice aws_http_header(const AwsHttp *http, const char *name)
{
    for (size_t i = 0; i < http->header_count; i++) {
        if (slice_is_nocase(http->headers[i].name, name)) {
            Slice value = http->headers[i].value;
            return value.data != NULL ? value : SLICE("");
        }
    }
    return (Slice){NULL, 0};
}

/* ---- which operation ---------------------------------------------------------------------------
 */

AwsProtocol aws_protocol_of(const AwsHttp *http)
{
    if (aws_http_header(http, "x-amz-target").data != NULL) {
        Slice type = aws_http_header(http, "content-type");
        return slice_starts(type, "application/x-amz-json-1.0") ? AWS_JSON_1_0 : AWS_JSON_1_1;
    }
    char claimed[AWS_SCOPE_MAX + 1];
    sigv4_claimed_service(http, claimed);
    const AwsService *service = aws_service_find(slice_of(claimed));
    return service != NULL && service->protocol == AWS_EC2 ? AWS_EC2 : AWS_QUERY;
}

static Slice form_text(const AwsHttp *http)
{
    return slice_is(http->method, "GET") ? http->query : http->body;
}

/* The value of a form's parameter as it stands; names of operations need no decoding. */
static Slice form_peek(Slice form, const char *name)
{
    while (form.len > 0) {
        Slice value = slice_cut(&form, '&');
        if (slice_is(slice_cut(&value, '='), name)) {
            return value;
        }
    }
    return (Slice){NULL, 0};
}

static Slice shown(Slice text)
{
    return text.len > 128 ? slice_from(text.data, 128) : text;
}

static bool route_json(const AwsHttp *http, AwsCall *call, AwsFault *fault)
{
    Slice target = aws_http_header(http, "x-amz-target");
    Slice name = {NULL, 0};
    call->service = aws_service_by_target(target, &name);
    call->operation = call->service != NULL ? aws_operation_find(call->service, name) : NULL;
    if (call->operation == NULL) {
        return aws_fault_set(fault, NULL, "UnknownOperationException",
                             "Weir does not know the operation %.*s.", SLICE_FMT(shown(target)));
    }
    return true;
}

static bool route_form(const AwsHttp *http, Slice signing_name, AwsCall *call, AwsFault *fault)
{
    Slice action = shown(form_peek(form_text(http), "Action"));
    Slice version = shown(form_peek(form_text(http), "Version"));
    call->service = aws_service_find(signing_name);
    if (call->service == NULL || call->service->namespace == NULL) {
        return aws_fault_set(fault, NULL, "InvalidAction", "Weir does not serve %.*s.",
                             SLICE_FMT(shown(signing_name)));
    }
    if (action.len == 0) {
        return aws_fault_set(fault, NULL, "MissingAction",
                             "The request must contain the parameter Action.");
    }
    call->operation = aws_operation_find(call->service, action);
    if (call->operation == NULL ||
        (version.len > 0 && !slice_is(version, call->service->version))) {
        return aws_fault_set(fault, NULL, "InvalidAction",
                             "Could not find operation %.*s for version %.*s.", SLICE_FMT(action),
                             SLICE_FMT(version));
    }
    return true;
}

bool aws_route(const AwsHttp *http, Slice signing_name, AwsCall *ret_call, AwsFault *fault)
{
    AwsCall call = {.protocol = aws_protocol_of(http)};
    TRY(is_json(call.protocol) ? route_json(http, &call, fault)
                               : route_form(http, signing_name, &call, fault));
    *ret_call = call;
    return true;
}

/* ---- input -------------------------------------------------------------------------------------
 */

static bool form_input_parse(const AwsCall *call, Slice text, json_t **ret_input, json_t *unknown,
                             AwsFault *fault)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Form form;
    TRY(form_parse(text, arena, &form, fault));
    return query_input_parse(call, &form, ret_input, unknown, fault);
}

bool aws_input_parse(const AwsCall *call, const AwsHttp *http, json_t **ret_input, json_t *unknown,
                     AwsFault *fault)
{
    if (is_json(call->protocol)) {
        return json_body_parse(call, call->operation->input, http->body, true, ret_input, unknown,
                               fault);
    }
    return form_input_parse(call, form_text(http), ret_input, unknown, fault);
}

bool fault_missing(AwsFault *fault, AwsProtocol protocol, const char *name)
{
    if (protocol == AWS_EC2) {
        return aws_fault_set(fault, NULL, "MissingParameter",
                             "The request must contain the parameter %s", name);
    }
    char first = name[0] >= 'A' && name[0] <= 'Z' ? (char)(name[0] | 0x20) : name[0];
    return aws_fault_set(fault, NULL, is_json(protocol) ? "ValidationException" : "ValidationError",
                         "1 validation error detected: Value null at '%c%s' failed to satisfy "
                         "constraint: Member must not be null",
                         first, name + 1);
}

/* ---- output and faults --------------------------------------------------------------------------
 */

bool aws_output_format(const AwsCall *call, const json_t *output, const char *request_id, Buf *out,
                       Err *err)
{
    bool ok = is_json(call->protocol) ? json_body_format(call->operation->output, output, out, err)
                                      : xml_output_format(call, output, request_id, out, err);
    if (!ok) {
        return err_wrap(err, "%s", call->operation->name);
    }
    if (out->overflowed) {
        return err_set(err, ERR_LIMIT, "%s: the reply is larger than %zu bytes",
                       call->operation->name, out->max);
    }
    return true;
}

/* JSON takes UTF-8 only, and a message may quote what a client sent. */
static json_t *json_clean(const char *text)
{
    Buf clean;
    buf_init(&clean, BUF_MAX_DEFAULT);
    for (Slice rest = slice_of(text); rest.len > 0;) {
        size_t len = utf8_len(rest);
        buf_append_slice(&clean, len > 0 ? slice_from(rest.data, len) : SLICE("\xef\xbf\xbd"));
        rest = slice_skip(rest, len > 0 ? len : 1);
    }
    json_t *value = json_string(buf_str(&clean));
    buf_done(&clean);
    return value;
}

static void json_fault_format(const AwsFault *fault, Buf *out)
{
    json_t *body = json_object();
    json_object_set_new(body, "__type", json_clean(fault->code));
    /* The shapes in the model have a member Message; what the front door says is a message. */
    json_object_set_new(body, fault->modelled ? "Message" : "message", json_clean(fault->message));
    CLEANUP(mem_free_ptr) char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    buf_append_str(out, text);
}

static void xml_fault_element(const char *name, const char *text, Buf *out)
{
    buf_printf(out, "<%s>", name);
    xml_append_text(out, slice_of(text));
    buf_printf(out, "</%s>", name);
}

static void query_fault_format(const AwsFault *fault, const AwsService *service,
                               const char *request_id, Buf *out)
{
    buf_append_str(out, "<ErrorResponse");
    if (service != NULL && service->namespace != NULL) {
        buf_printf(out, " xmlns=\"%s\"", service->namespace);
    }
    buf_printf(out, "><Error><Type>%s</Type>", fault->sender ? "Sender" : "Receiver");
    xml_fault_element("Code", fault->code, out);
    xml_fault_element("Message", fault->message, out);
    buf_printf(out, "</Error><RequestId>%s</RequestId></ErrorResponse>", request_id);
}

void aws_fault_format(const AwsFault *fault, const AwsService *service, AwsProtocol protocol,
                      const char *request_id, Buf *out)
{
    switch (protocol) {
    case AWS_JSON_1_0:
    case AWS_JSON_1_1:
        json_fault_format(fault, out);
        return;
    case AWS_QUERY:
        query_fault_format(fault, service, request_id, out);
        return;
    case AWS_EC2:
        buf_append_str(out, "<Response><Errors><Error>");
        xml_fault_element("Code", fault->code, out);
        xml_fault_element("Message", fault->message, out);
        buf_printf(out, "</Error></Errors><RequestID>%s</RequestID></Response>", request_id);
        return;
    }
    UNREACHABLE();
}

const char *aws_content_type(AwsProtocol protocol)
{
    switch (protocol) {
    case AWS_JSON_1_0:
        return "application/x-amz-json-1.0";
    case AWS_JSON_1_1:
        return "application/x-amz-json-1.1";
    case AWS_QUERY:
        return "text/xml";
    case AWS_EC2:
        return "text/xml;charset=UTF-8";
    }
    UNREACHABLE();
}

/* ---- the client's side --------------------------------------------------------------------------
 */

bool aws_input_format(const AwsCall *call, const json_t *input, Buf *out, Err *err)
{
    bool ok = is_json(call->protocol) ? json_body_format(call->operation->input, input, out, err)
                                      : query_input_format(call, input, out, err);
    return ok || err_wrap(err, "%s", call->operation->name);
}

const char *aws_request_content_type(AwsProtocol protocol)
{
    return is_json(protocol) ? aws_content_type(protocol)
                             : "application/x-www-form-urlencoded; charset=utf-8";
}

void aws_request_target(const AwsCall *call, char out[static AWS_TARGET_SIZE])
{
    out[0] = '\0';
    if (is_json(call->protocol)) {
        snprintf(out, AWS_TARGET_SIZE, "%s.%s", call->service->target, call->operation->name);
    }
}

bool aws_output_parse(const AwsCall *call, Slice body, json_t **ret_output, Err *err)
{
    if (!is_json(call->protocol)) {
        return xml_output_parse(call, body, ret_output, err);
    }
    AwsFault fault;
    if (!json_body_parse(call, call->operation->output, body, false, ret_output, NULL, &fault)) {
        return err_set(err, ERR_INVALID, "%s", fault.message);
    }
    return true;
}

static bool json_fault_parse(Slice body, AwsFault *fault)
{
    json_t *in = json_loadb(body.len > 0 ? body.data : "", body.len, 0, NULL);
    const char *type = json_string_value(json_object_get(in, "__type"));
    const char *message = json_string_value(json_object_get(in, "message"));
    if (message == NULL) {
        message = json_string_value(json_object_get(in, "Message"));
    }
    if (type != NULL) {
        const char *hash = strchr(type, '#'); /* com.amazonaws.x#ResourceNotFoundException */
        snprintf(fault->code, sizeof(fault->code), "%s", hash != NULL ? hash + 1 : type);
        snprintf(fault->message, sizeof(fault->message), "%s", message != NULL ? message : "");
    }
    json_decref(in);
    return type != NULL;
}

void aws_fault_parse(const AwsCall *call, int status, Slice body, AwsFault *ret_fault)
{
    AwsFault fault = {.status = status, .sender = status < 500};
    bool ok =
        is_json(call->protocol) ? json_fault_parse(body, &fault) : xml_fault_parse(body, &fault);
    if (!ok) {
        snprintf(fault.code, sizeof(fault.code), "HTTP%d", status);
        snprintf(fault.message, sizeof(fault.message),
                 "The endpoint answered %d with something that is not an AWS fault.", status);
    }
    *ret_fault = fault;
}
