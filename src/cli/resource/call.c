/* Calls as plan and apply make them: inputs are handed over, pages are put together, and what is
 * not there is an empty list. */
#include "cli/resource/resources_priv.h"

#define PAGES_MAX 1000

static bool fault_not_found(const AwsFault *fault)
{
    return strstr(fault->code, "NotFound") != NULL;
}

bool caller_call(const Caller *caller, const char *service, const char *operation,
                 json_t *input_taken, json_t **ret_output, AwsFault *fault, Err *err)
{
    json_t *output = NULL;
    AwsFault own_fault;
    bool ok = caller->call(caller->context, service, operation, input_taken, &output,
                           fault != NULL ? fault : &own_fault, err);
    json_decref(input_taken);
    if (ok && ret_output != NULL) {
        *ret_output = output;
    } else if (ok) {
        json_decref(output);
    }
    return ok;
}

bool caller_find(const Caller *caller, const char *service, const char *operation,
                 json_t *input_taken, json_t **ret_output, Err *err)
{
    AwsFault fault = {0};
    Err own_err = {0};
    json_t *output = NULL;
    if (!caller_call(caller, service, operation, input_taken, &output, &fault, &own_err) &&
        !fault_not_found(&fault)) {
        if (err != NULL) {
            *err = own_err;
        }
        return false;
    }
    *ret_output = output;
    return true;
}

/* Which member asks for the next page: Marker of RDS, NextToken of the others. */
static const char *page_member(const char *service, const char *operation)
{
    const AwsService *found = aws_service_find(slice_of(service));
    const AwsOperation *op = found != NULL ? aws_operation_find(found, slice_of(operation)) : NULL;
    const AwsShape *input = op != NULL ? op->input : NULL;
    if (input == NULL) {
        return NULL;
    }
    return aws_member_find(input, SLICE("Marker")) != NULL      ? "Marker"
           : aws_member_find(input, SLICE("NextToken")) != NULL ? "NextToken"
                                                                : NULL;
}

bool caller_list(const Caller *caller, const char *service, const char *operation,
                 json_t *input_taken, const char *member, json_t **ret_items, Err *err)
{
    CLEANUP(record_free_ptr) json_t *input = input_taken != NULL ? input_taken : json_object();
    CLEANUP(record_free_ptr) json_t *items = json_array();
    const char *next_member = page_member(service, operation);
    for (int page = 0; page < PAGES_MAX; page++) {
        json_t *output;
        TRY(caller_find(caller, service, operation, json_deep_copy(input), &output, err));
        json_array_extend(items, member_array(output, member));
        const char *next = next_member != NULL ? member_str(output, next_member, "") : "";
        bool more = next[0] != '\0';
        if (more) {
            json_object_set(input, next_member, json_object_get(output, next_member));
        }
        json_decref(output);
        if (!more) {
            break;
        }
    }
    *ret_items = json_incref(items);
    return true;
}

bool change_call(Change *change, const char *service, const char *operation, json_t *input_taken,
                 json_t **ret_output, Err *err)
{
    return caller_call(change->caller, service, operation, input_taken, ret_output, &change->fault,
                       err);
}
