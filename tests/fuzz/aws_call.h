/* Any operation of any service, chosen by the first byte of a fuzz input. */
#ifndef WEIR_FUZZ_AWS_CALL_H
#define WEIR_FUZZ_AWS_CALL_H

#include <stdlib.h>

#include "aws/aws.h"

/* The n-th operation of the services that speak one of these protocols; n wraps. */
static inline AwsCall fuzz_call(size_t n, bool json)
{
    AwsCall calls[512];
    size_t count = 0;
    for (size_t i = 0; aws_service_at(i) != NULL; i++) {
        const AwsService *service = aws_service_at(i);
        bool is_json = service->protocol == AWS_JSON_1_0 || service->protocol == AWS_JSON_1_1;
        for (size_t k = 0; is_json == json && k < service->operation_count; k++) {
            ASSERT(count < ARRAY_LEN(calls));
            calls[count++] = (AwsCall){service, &service->operations[k], service->protocol};
        }
    }
    return calls[n % count];
}

#endif
