/* STS: who one is. Every key of a tier belongs to its one account. */
#include "api/operations_priv.h"

bool sts_get_caller_identity(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    (void)input;
    *ret_output =
        json_pack("{s:s, s:s, s:s}", "Account", ctx->tier.account, "UserId", ctx->access_key, "Arn",
                  arena_printf(ctx->arena, "arn:aws:iam::%s:root", ctx->tier.account));
    return true;
}
