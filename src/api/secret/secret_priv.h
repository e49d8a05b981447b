/*
 * Secrets. The spec holds names, versions and their staging labels; each value is a record of its
 * own, sealed under its own key. A secret in its recovery window is there and closed; when the
 * window is over it is gone, and its records go with the next change that meets them.
 */
#ifndef WEIR_API_SECRET_PRIV_H
#define WEIR_API_SECRET_PRIV_H

#include "api/operations_priv.h"

#define LABEL_CURRENT  "AWSCURRENT"
#define LABEL_PREVIOUS "AWSPREVIOUS"

const char *secret_name(const json_t *spec);
/* By name, ARN, or ARN without its suffix. NULL, with a fault: none. `closed_too`: also one that is
 * to be deleted. */
json_t *secret_find(ApiContext *ctx, const json_t *input, bool closed_too);
/* Whether a spec is of a secret that is still there at all. */
bool secret_is_there(const ApiContext *ctx, const json_t *spec);
/* Deletes the spec and every value. */
void secret_purge(ApiContext *ctx, const json_t *spec);
/* {"ARN", "Name"}, to which an operation adds its own. */
json_t *secret_output(const json_t *spec);
/* A label's version id; NULL: nobody has it. */
const char *secret_labelled(const json_t *spec, const char *label);
/* Moves the label to the version (NULL: to nobody). AWSCURRENT leaves AWSPREVIOUS behind. */
void secret_label_move(json_t *spec, const char *label, const char *version);
json_t *secret_versions(json_t *spec);
/* Whether the input holds a value. */
bool secret_has_value(const json_t *input);
/* Adds the value in the input as a version with these labels (NULL: AWSCURRENT). The same token
 * again is the same version, unless its value differs. */
NODISCARD bool secret_version_add(ApiContext *ctx, json_t *spec, const json_t *input,
                                  const json_t *labels, const char **ret_version);
json_t *secret_stages_view(const json_t *spec);

#endif
