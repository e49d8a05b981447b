/* What the checks of the kinds share. */
#ifndef WEIR_CLI_PLAN_CHECK_PRIV_H
#define WEIR_CLI_PLAN_CHECK_PRIV_H

#include "cli/plan/plan_priv.h"

typedef struct Check {
    Arena *arena;
    const ResourceKind *kind;
    const TfInstance *instance; /* NULL: nowhere */
    const TfValue *desired;
    const Facts *facts; /* NULL: the tier could not be asked */
    TfDiagnostics *diagnostics;
} Check;

/* Says it at the place of the attribute; `hint` may be NULL. */
PRINTF_LIKE(4, 5)
void check_error(const Check *check, const char *path, const char *hint, const char *format, ...);
/* The same with an error of the model's, unless `ok`. Behind its first sentence stands what to do:
 * that becomes the hint. */
void check_err(const Check *check, const char *path, bool ok, const Err *err);
/* The known text of an attribute; NULL otherwise. */
const char *check_str(const Check *check, const char *attribute);
const TfValue *check_value(const Check *check, const char *attribute); /* NULL: unset, unknown */
/* Blocks of this name; empty where there are none or they are not known. */
size_t check_blocks_len(const Check *check, const char *block);
const TfValue *check_block(const Check *check, const char *block, size_t index);
const char *member_text(const TfValue *object, const char *member); /* NULL: unset, unknown */

void check_db_instance(const Check *check);
void check_db_proxy(const Check *check);
void check_db_proxy_endpoint(const Check *check);
void check_db_proxy_options(const Check *check);
void check_target_group(const Check *check);
void check_replication_group(const Check *check);
void check_subnet_group(const Check *check);
void check_parameter_group(const Check *check);
void check_security_group(const Check *check);
void check_secret(const Check *check);
void check_secret_version(const Check *check);

#endif
