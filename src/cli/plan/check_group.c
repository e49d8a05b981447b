/* What must hold for parameter groups, security groups and secrets. */
#include "cli/plan/plan_check_priv.h"

/* ---- parameter groups --------------------------------------------------------------------------
 */

/* NULL: unknown, and it has been said. */
static const ParameterFamily *check_family(const Check *check)
{
    const char *name = check_str(check, "family");
    const char *engine = check->kind == &kind_db_parameter_group ? "postgres" : "redis";
    Err err = {0};
    if (name == NULL) {
        return NULL;
    }
    bool asked = check->facts != NULL && check->facts->versions.len > 0;
    const ParameterFamily *family = asked
                                        ? engine_family_resolve(&check->facts->versions, name, &err)
                                        : parameter_family_find(name);
    if (family == NULL && asked) {
        check_err(check, "family", false, &err);
    } else if (family != NULL && strcmp(family->engine, engine) != 0) {
        check_error(check, "family", NULL, "\"%s\" is not a family of %s", name, engine);
        return NULL;
    }
    return family;
}

static bool named_before(const Check *check, size_t index, const char *name)
{
    for (size_t i = 0; i < index; i++) {
        const char *other = member_text(check_block(check, "parameter", i), "name");
        if (other != NULL && slice_is_nocase(slice_of(other), name)) {
            return true;
        }
    }
    return false;
}

static void check_method(const Check *check, size_t index, const ParameterInfo *info,
                         const char *method)
{
    const char *path = arena_printf(check->arena, "parameter.%zu.apply_method", index);
    if (method == NULL) {
        return;
    }
    if (strcmp(method, "immediate") != 0 && strcmp(method, "pending-reboot") != 0) {
        check_error(check, path, "write \"immediate\" or \"pending-reboot\"",
                    "\"%s\" is not an apply_method", method);
    } else if (info->is_static && strcmp(method, "immediate") == 0) {
        check_error(check, path, "write apply_method = \"pending-reboot\"",
                    "%s takes effect with a restart only", info->name);
    }
}

static void check_parameter(const Check *check, const ParameterFamily *family, size_t index)
{
    const TfValue *block = check_block(check, "parameter", index);
    const char *given = member_text(block, "name");
    const char *value = member_text(block, "value");
    if (given == NULL) {
        return;
    }
    const char *name = text_lower_new(check->arena, given);
    const char *path = arena_printf(check->arena, "parameter.%zu.name", index);
    const ParameterInfo *info = parameter_find(family, name);
    Err err;
    if (named_before(check, index, name)) {
        check_error(check, path, "leave one of them", "the parameter %s is set twice", name);
    } else if (info == NULL || value != NULL) {
        const char *at =
            info == NULL ? path : arena_printf(check->arena, "parameter.%zu.value", index);
        bool ok = parameter_check(family, name, value != NULL ? value : "", &err);
        if (!ok) {
            check_error(check, at, NULL, "%s", err.message);
        }
    }
    if (info != NULL) {
        check_method(check, index, info, member_text(block, "apply_method"));
    }
}

void check_parameter_group(const Check *check)
{
    const ParameterFamily *family = check_family(check);
    const char *name = check_str(check, "name");
    if (name != NULL && slice_starts(slice_of(name), "default.")) {
        check_error(check, "name", "give it another name",
                    "names that begin with default. are those of the default groups");
    }
    for (size_t i = 0; family != NULL && i < check_blocks_len(check, "parameter"); i++) {
        check_parameter(check, family, i);
    }
}

/* ---- security groups ----------------------------------------------------------------------------
 */

static void check_cidrs(const Check *check, const char *block, size_t index, const char *member)
{
    const TfValue *list = tf_get(check_block(check, block, index), member);
    bool ipv6 = strcmp(member, "ipv6_cidr_blocks") == 0;
    bool walkable = list != NULL && (list->kind == TF_LIST || list->kind == TF_SET);
    for (size_t i = 0; walkable && i < list->list.len; i++) {
        const TfValue *cidr = list->list.items[i];
        Err err;
        if (cidr->kind == TF_STRING && !cidr_check(cidr->string, ipv6, &err)) {
            check_error(check, arena_printf(check->arena, "%s.%zu.%s", block, index, member), NULL,
                        "%s", err.message);
        }
    }
}

static bool is_all(const TfValue *rule)
{
    const char *protocol = member_text(rule, "protocol");
    return protocol != NULL && (strcmp(protocol, "-1") == 0 || strcmp(protocol, "all") == 0);
}

static int64_t port_of(const TfValue *rule, const char *member)
{
    const TfValue *value = tf_get(rule, member);
    return value != NULL && value->kind == TF_NUMBER ? value->number.integer : 0;
}

static void check_ports(const Check *check, const char *block, size_t index)
{
    const TfValue *rule = check_block(check, block, index);
    int64_t from = port_of(rule, "from_port");
    int64_t to = port_of(rule, "to_port");
    const char *path = arena_printf(check->arena, "%s.%zu.from_port", block, index);
    bool known = !rule->holds_unknown;
    if (known && is_all(rule) && (from != 0 || to != 0)) {
        check_error(check, path, "write from_port = 0 and to_port = 0",
                    "a rule for all protocols is for all ports");
    } else if (known && (from < -1 || from > 65535 || to < -1 || to > 65535 || from > to)) {
        check_error(check, path, NULL, "%lld to %lld is no range of ports", (long long)from,
                    (long long)to);
    }
}

static bool has_peer(const TfValue *rule)
{
    static const char *const lists[] = {"cidr_blocks", "ipv6_cidr_blocks", "security_groups"};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const TfValue *list = tf_get(rule, lists[i]);
        bool walkable = list != NULL && (list->kind == TF_LIST || list->kind == TF_SET);
        if (walkable ? list->list.len > 0 : list != NULL && list->kind == TF_UNKNOWN) {
            return true;
        }
    }
    const TfValue *self = tf_get(rule, "self");
    return self != NULL && (self->kind == TF_UNKNOWN || (self->kind == TF_BOOL && self->boolean));
}

static void check_rules(const Check *check, const char *block)
{
    for (size_t i = 0; i < check_blocks_len(check, block); i++) {
        const TfValue *rule = check_block(check, block, i);
        if (rule->kind != TF_OBJECT) {
            continue;
        }
        check_ports(check, block, i);
        check_cidrs(check, block, i, "cidr_blocks");
        check_cidrs(check, block, i, "ipv6_cidr_blocks");
        if (!has_peer(rule)) {
            check_error(check, arena_printf(check->arena, "%s.%zu", block, i),
                        "add: cidr_blocks = [\"127.0.0.0/8\"]", "the rule is for nobody");
        }
    }
}

void check_security_group(const Check *check)
{
    check_rules(check, "ingress");
    check_rules(check, "egress");
    const char *name = check_str(check, "name");
    if (name != NULL && strcmp(name, "default") == 0) {
        check_error(check, "name", "give it another name",
                    "\"default\" is the VPC's own group, which is there already");
    }
    const char *vpc = check_str(check, "vpc_id");
    if (vpc != NULL && strcmp(vpc, MODEL_VPC_ID) != 0) {
        check_error(check, "vpc_id", "take the line out, or write \"" MODEL_VPC_ID "\"",
                    "there is no VPC \"%s\"", vpc);
    }
}

/* ---- secrets ------------------------------------------------------------------------------------
 */

void check_secret(const Check *check)
{
    const char *name = check_str(check, "name");
    const TfValue *days = check_value(check, "recovery_window_in_days");
    if (name != NULL && slice_starts(slice_of(name), "weir/")) {
        check_error(check, "name", "give it another name", "names under weir/ are Weir's own");
    }
    if (days != NULL && days->number.integer != 0 &&
        (days->number.integer < 7 || days->number.integer > 30)) {
        check_error(check, "recovery_window_in_days", "write 0, or 7 to 30",
                    "a recovery window has 7 to 30 days, or there is none (0)");
    }
}

void check_secret_version(const Check *check)
{
    static const char *const names[] = {"secret_string", "secret_binary"};
    size_t set = 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const TfValue *value = tf_get(check->desired, names[i]);
        set += value != NULL && value->kind != TF_NULL ? 1 : 0;
    }
    if (set != 1) {
        check_error(check, "", "add: secret_string = jsonencode({ … })",
                    "a secret's value takes either secret_string or secret_binary");
    }
}
