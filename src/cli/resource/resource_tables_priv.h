/* Short forms for the rows of the kinds' tables. */
#ifndef WEIR_CLI_RESOURCE_TABLES_PRIV_H
#define WEIR_CLI_RESOURCE_TABLES_PRIV_H

#include "cli/resource/resources_priv.h"

/* Must be written; may be written; what it is otherwise is the API's to say; … */
#define REQUIRED(name, type, rules, output)                                                        \
    {                                                                                              \
        {name, TF_TYPE_##type, TF_REQUIRED, NULL}, rules, output, NULL                             \
    }
#define OPTIONAL(name, type, rules, output, fallback)                                              \
    {                                                                                              \
        {name, TF_TYPE_##type, 0, NULL}, rules, output, fallback                                   \
    }
#define COMPUTED(name, type, rules, output)                                                        \
    {                                                                                              \
        {name, TF_TYPE_##type, TF_COMPUTED, NULL}, rules, output, NULL                             \
    }
#define READ_ONLY(name, type, output)                                                              \
    {                                                                                              \
        {name, TF_TYPE_##type, TF_READ_ONLY | TF_COMPUTED, NULL}, 0, output, NULL                  \
    }
#define SECRET(name)                                                                               \
    {                                                                                              \
        {name, TF_TYPE_STRING, TF_SENSITIVE, NULL}, RULE_DIGEST, NULL, NULL                        \
    }
#define OURS(name, type, rules, fallback)                                                          \
    {                                                                                              \
        {name, TF_TYPE_##type, 0, NULL}, RULE_OURS | (rules), NULL, fallback                       \
    }
#define REFUSED(name, type, why)                                                                   \
    {                                                                                              \
        {name, TF_TYPE_##type, 0, why}, RULE_OURS, NULL, NULL                                      \
    }
#define REFUSED_BLOCK(block, why)                                                                  \
    {                                                                                              \
        .tf = {.name = block, .refused = why }                                                     \
    }

#define NAME_PREFIX_REFUSED "write the whole name: Weir finds the resource by it"

#endif
