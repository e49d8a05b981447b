/* Faults on purpose, where the tier allows them: the host does it, and nobody is told beforehand.
 */
#include "api/operations_priv.h"

bool weir_inject_fault(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    const ApiOptions *options = &ctx->api->options;
    const json_t *set = member_object(record_get(ctx, "tier"), "options");
    const char *fault, *node;
    size_t processes = 0;
    Err err;
    TRY(input_required(ctx, input, "Fault", &fault) && input_required(ctx, input, "NodeId", &node));
    if (options->inject == NULL || strcmp(member_str(set, "allow_chaos", ""), "yes") != 0) {
        return refuse(ctx, "InvalidRequestException",
                      "This tier takes no faults on purpose. Bring it up with "
                      "`weir up --allow-chaos`.");
    }
    if (strlen(node) >= MODEL_KEY_SIZE / 2 ||
        record_get(ctx, arena_printf(ctx->arena, "node/%s/goal", node)) == NULL) {
        return refuse(ctx, "ResourceNotFoundException", "There is no node %.100s.", node);
    }
    if (!options->inject(options->context, fault, node, &processes, &err)) {
        return err.code == ERR_INVALID || err.code == ERR_NOT_FOUND
                   ? refuse(ctx, "InvalidParameterException", "%s", err.message)
                   : refuse(ctx, "InvalidRequestException", "%s", err.message);
    }
    *ret_output = json_pack("{s:s, s:s, s:I}", "Fault", fault, "NodeId", node, "Processes",
                            (json_int_t)processes);
    return true;
}
