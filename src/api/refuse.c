/* How handlers say no: AWS's code where there is one, and always what is wrong and with what. */
#include <stdio.h>

#include "api/api_priv.h"

static bool service_is(const ApiContext *ctx, const char *name)
{
    return strcmp(ctx->service->name, name) == 0;
}

bool refuse(ApiContext *ctx, const char *code, const char *format, ...)
{
    char message[sizeof(ctx->fault->message)];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    return aws_fault_set(ctx->fault, ctx->service, code, "%s", message);
}

bool refuse_invalid(ApiContext *ctx, const char *format, ...)
{
    Err err = {.code = ERR_INVALID};
    va_list args;
    va_start(args, format);
    vsnprintf(err.message, sizeof(err.message), format, args);
    va_end(args);
    return refuse_err(ctx, &err);
}

static const char *unsupported_code(const ApiContext *ctx)
{
    if (service_is(ctx, "ec2")) {
        return "UnsupportedOperation";
    }
    if (service_is(ctx, "secretsmanager") || service_is(ctx, "weir")) {
        return "InvalidRequestException";
    }
    return "InvalidParameterCombination";
}

bool refuse_err(ApiContext *ctx, const Err *err)
{
    if (err->code == ERR_UNSUPPORTED) {
        return refuse(ctx, unsupported_code(ctx), "%s", err->message);
    }
    return aws_fault_from_err(ctx->fault, ctx->service, err);
}

bool refuse_unsupported(ApiContext *ctx, const char *format, ...)
{
    char message[sizeof(ctx->fault->message)];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    return refuse(ctx, unsupported_code(ctx), "Weir does not support %s", message);
}
