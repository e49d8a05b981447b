/* The table of operations. */
#include "api/operations_priv.h"

#define API_ROW(service, operation, handler, writes) {service, operation, handler, writes},
const ApiOperation api_operations[] = {API_OPERATIONS(API_ROW)};
const size_t api_operations_len = ARRAY_LEN(api_operations);

const ApiOperation *api_operation_find(const char *service, const char *operation)
{
    for (size_t i = 0; i < api_operations_len; i++) {
        if (strcmp(api_operations[i].service, service) == 0 &&
            strcmp(api_operations[i].operation, operation) == 0) {
            return &api_operations[i];
        }
    }
    return NULL;
}
