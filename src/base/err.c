/* The error value and its fixed vocabulary. */
#include <errno.h>
#include <stdio.h>

#include "base/base.h"

typedef struct ErrInfo {
    const char *name;
    int exit_code;
} ErrInfo;

static const ErrInfo err_infos[] = {
    [ERR_NONE] = {"none", 0},           [ERR_INTERNAL] = {"internal", 1},
    [ERR_INVALID] = {"invalid", 2},     [ERR_UNSUPPORTED] = {"unsupported", 2},
    [ERR_NOT_FOUND] = {"not found", 3}, [ERR_EXISTS] = {"exists", 5},
    [ERR_CONFLICT] = {"conflict", 5},   [ERR_DENIED] = {"denied", 4},
    [ERR_TIMEOUT] = {"timeout", 6},     [ERR_UNAVAILABLE] = {"unavailable", 1},
    [ERR_LIMIT] = {"limit", 1},         [ERR_IO] = {"io", 1},
    [ERR_UNSETTLED] = {"unsettled", 1},
};

const char *err_code_name(ErrCode code)
{
    ASSERT((size_t)code < ARRAY_LEN(err_infos));
    return err_infos[code].name;
}

int err_exit_code(ErrCode code)
{
    ASSERT((size_t)code < ARRAY_LEN(err_infos));
    return err_infos[code].exit_code;
}

static ErrCode err_code_of_errno(int os_errno)
{
    switch (os_errno) {
    case ENOENT:
        return ERR_NOT_FOUND;
    case EEXIST:
        return ERR_EXISTS;
    case EACCES:
    case EPERM:
        return ERR_DENIED;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
        return ERR_UNAVAILABLE;
    default:
        return ERR_IO;
    }
}

bool err_set(Err *err, ErrCode code, const char *format, ...)
{
    ASSERT(code != ERR_NONE);
    if (err != NULL) {
        char message[sizeof(err->message)]; /* the arguments may point into err itself */
        va_list args;
        va_start(args, format);
        vsnprintf(message, sizeof(message), format, args);
        va_end(args);
        err->code = code;
        err->os_errno = 0;
        memcpy(err->message, message, sizeof(message));
    }
    return false;
}

bool err_set_errno(Err *err, int os_errno, const char *format, ...)
{
    if (err != NULL) {
        char message[sizeof(err->message)];
        va_list args;
        va_start(args, format);
        vsnprintf(message, sizeof(message), format, args);
        va_end(args);
        char reason[128];
        const char *text = strerror_r(os_errno, reason, sizeof(reason));
        err_set(err, err_code_of_errno(os_errno), "%s: %s", message, text);
        err->os_errno = os_errno;
    }
    return false;
}

bool err_wrap(Err *err, const char *format, ...)
{
    if (err != NULL) {
        char context[sizeof(err->message)];
        va_list args;
        va_start(args, format);
        vsnprintf(context, sizeof(context), format, args);
        va_end(args);
        int os_errno = err->os_errno;
        err_set(err, err->code, "%s: %s", context, err->message);
        err->os_errno = os_errno;
    }
    return false;
}
