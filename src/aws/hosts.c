/* The names of AWS's own endpoints that stand for this API: the certificate of the API has them,
 * and `weir run` maps them. */
#include "aws/aws.h"

const char *const *aws_public_hosts(Arena *arena, const char *region)
{
    static const char *const services[] = {"rds", "elasticache", "secretsmanager",
                                           "sts", "ec2",         "monitoring"};
    /* One for sts.amazonaws.com, which SDKs ask by default in most regions; one for the NULL. */
    const char **hosts = ARENA_ARRAY(arena, const char *, ARRAY_LEN(services) + 2);
    size_t len = 0;
    for (size_t i = 0; i < ARRAY_LEN(services); i++) {
        hosts[len++] = arena_printf(arena, "%s.%s.amazonaws.com", services[i], region);
    }
    hosts[len++] = "sts.amazonaws.com";
    return hosts;
}
