/* Faults: from the tables' names, from our own errors, and back into them for the client. */
#include <stdio.h>

#include "aws/aws.h"

/* The codes that all services share; AWS documents them as "common errors". */
static const AwsFaultInfo common_faults[] = {
    {"AccessDenied", "AccessDenied", 403, true},
    {"AccessDeniedException", "AccessDeniedException", 400, true},
    {"IncompleteSignature", "IncompleteSignature", 400, true},
    {"InternalFailure", "InternalFailure", 500, false},
    {"InvalidAction", "InvalidAction", 400, true},
    {"InvalidParameterCombination", "InvalidParameterCombination", 400, true},
    {"InvalidParameterValue", "InvalidParameterValue", 400, true},
    {"MalformedInput", "MalformedInput", 400, true},
    {"MissingAction", "MissingAction", 400, true},
    {"MissingParameter", "MissingParameter", 400, true},
    {"OptInRequired", "OptInRequired", 403, true},
    {"RequestEntityTooLarge", "RequestEntityTooLarge", 413, true},
    {"RequestExpired", "RequestExpired", 400, true},
    {"SerializationException", "SerializationException", 400, true},
    {"ServiceUnavailable", "ServiceUnavailable", 503, false},
    {"Throttling", "Throttling", 400, true},
    {"ThrottlingException", "ThrottlingException", 400, true},
    {"UnknownOperationException", "UnknownOperationException", 400, true},
    {"UnknownParameter", "UnknownParameter", 400, true},
    {"ValidationError", "ValidationError", 400, true},
    {"ValidationException", "ValidationException", 400, true},
};

static const AwsFaultInfo *fault_search(const AwsFaultInfo *faults, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(faults[i].shape, name) == 0 || strcmp(faults[i].code, name) == 0) {
            return &faults[i];
        }
    }
    return NULL;
}

static const AwsFaultInfo *fault_modelled(const AwsService *service, const char *name)
{
    return service == NULL ? NULL : fault_search(service->faults, service->fault_count, name);
}

bool aws_fault_set(AwsFault *fault, const AwsService *service, const char *name, const char *format,
                   ...)
{
    const AwsFaultInfo *modelled = fault_modelled(service, name);
    const AwsFaultInfo *info =
        modelled != NULL ? modelled : fault_search(common_faults, ARRAY_LEN(common_faults), name);
    AwsFault set = {.status = 400, .sender = true, .modelled = modelled != NULL};
    snprintf(set.code, sizeof(set.code), "%s", info != NULL ? info->code : name);
    if (info != NULL) {
        set.status = info->status;
        set.sender = info->sender;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(set.message, sizeof(set.message), format, args);
    va_end(args);
    if (fault != NULL) {
        *fault = set;
    }
    return false;
}

bool aws_fault_known(const AwsService *service, const char *name)
{
    return fault_modelled(service, name) != NULL ||
           fault_search(common_faults, ARRAY_LEN(common_faults), name) != NULL;
}

static bool protocol_is_json(const AwsService *service)
{
    return service != NULL &&
           (service->protocol == AWS_JSON_1_0 || service->protocol == AWS_JSON_1_1);
}

static const char *fault_name_of_err(const AwsService *service, ErrCode code)
{
    bool json = protocol_is_json(service);
    switch (code) {
    case ERR_INVALID:
    case ERR_UNSUPPORTED:
        return json ? "InvalidParameterException" : "InvalidParameterValue";
    case ERR_NOT_FOUND:
        return json ? "ResourceNotFoundException" : "InvalidParameterValue";
    case ERR_EXISTS:
    case ERR_CONFLICT:
        return json ? "InvalidRequestException" : "InvalidParameterCombination";
    case ERR_DENIED:
        return json ? "AccessDeniedException" : "AccessDenied";
    case ERR_UNAVAILABLE:
    case ERR_LIMIT:
        return "ServiceUnavailable";
    case ERR_NONE:
    case ERR_INTERNAL:
    case ERR_IO:
    case ERR_TIMEOUT:
    case ERR_UNSETTLED:
        return "InternalFailure";
    }
    UNREACHABLE();
}

bool aws_fault_from_err(AwsFault *fault, const AwsService *service, const Err *err)
{
    return aws_fault_set(fault, service, fault_name_of_err(service, err->code), "%s", err->message);
}

typedef struct FaultClass {
    const char *part; /* of the code */
    ErrCode code;
} FaultClass;

/* The first part found decides. */
static const FaultClass fault_classes[] = {
    {"Throttling", ERR_UNAVAILABLE},
    {"ServiceUnavailable", ERR_UNAVAILABLE},
    {"AlreadyExists", ERR_EXISTS},
    {"Duplicate", ERR_EXISTS},
    {"ResourceExists", ERR_EXISTS},
    {"NotFound", ERR_NOT_FOUND},
    {"Signature", ERR_DENIED},
    {"AccessDenied", ERR_DENIED},
    {"ClientToken", ERR_DENIED},
    {"UnrecognizedClient", ERR_DENIED},
    {"Authentication", ERR_DENIED},
    {"RequestExpired", ERR_DENIED},
    {"AuthFailure", ERR_DENIED},
    {"State", ERR_CONFLICT},
    {"DependencyViolation", ERR_CONFLICT},
    {"InUse", ERR_CONFLICT},
    {"InvalidRequestException", ERR_CONFLICT},
    {"Quota", ERR_LIMIT},
    {"LimitExceeded", ERR_LIMIT},
    {"NotSupported", ERR_UNSUPPORTED},
};

static ErrCode err_code_of_fault(const AwsFault *fault)
{
    for (size_t i = 0; i < ARRAY_LEN(fault_classes); i++) {
        if (strstr(fault->code, fault_classes[i].part) != NULL) {
            return fault_classes[i].code;
        }
    }
    return fault->status >= 500 ? ERR_INTERNAL : ERR_INVALID;
}

bool aws_fault_to_err(const AwsFault *fault, Err *err)
{
    return err_set(err, err_code_of_fault(fault), "%s: %s", fault->code, fault->message);
}
