/* Names that the tier gives: ARNs, ids, and the network that every tier has. */
#include <stdio.h>

#include "model/model.h"

/* ---- ARNs ------------------------------------------------------------------------------------ */

typedef struct ArnShape {
    const char *service;
    const char *prefix; /* of the resource part */
} ArnShape;

static const ArnShape arn_shapes[RESOURCE_TYPES] = {
    [RESOURCE_DB_INSTANCE] = {"rds", "db:"},
    [RESOURCE_DB_SUBNET_GROUP] = {"rds", "subgrp:"},
    [RESOURCE_DB_PARAMETER_GROUP] = {"rds", "pg:"},
    [RESOURCE_DB_PROXY] = {"rds", "db-proxy:"},
    [RESOURCE_DB_PROXY_ENDPOINT] = {"rds", "db-proxy-endpoint:"},
    [RESOURCE_DB_PROXY_OPTIONS] = {"rds", "db-proxy-options:"},
    [RESOURCE_SECURITY_GROUP] = {"ec2", "security-group/"},
    [RESOURCE_SECRET] = {"secretsmanager", "secret:"},
    [RESOURCE_REPLICATION_GROUP] = {"elasticache", "replicationgroup:"},
    [RESOURCE_CACHE_SUBNET_GROUP] = {"elasticache", "subnetgroup:"},
    [RESOURCE_CACHE_PARAMETER_GROUP] = {"elasticache", "parametergroup:"},
};

static char *arn_print(Arena *arena, const TierFacts *tier, const char *service, const char *prefix,
                       const char *name)
{
    return arena_printf(arena, "arn:aws:%s:%s:%s:%s%s", service, tier->region, tier->account,
                        prefix, name);
}

char *arn_make(Arena *arena, const TierFacts *tier, ResourceType type, const char *name)
{
    ASSERT((size_t)type < RESOURCE_TYPES);
    return arn_print(arena, tier, arn_shapes[type].service, arn_shapes[type].prefix, name);
}

char *arn_make_target_group(Arena *arena, const TierFacts *tier, const char *resource_id)
{
    return arn_print(arena, tier, "rds", "target-group:", resource_id);
}

char *arn_make_cache_cluster(Arena *arena, const TierFacts *tier, const char *cluster_id)
{
    return arn_print(arena, tier, "elasticache", "cluster:", cluster_id);
}

bool arn_parse(const TierFacts *tier, Slice arn, ResourceType *ret_type, Slice *ret_name, Err *err)
{
    Slice rest = arn;
    bool ours = slice_is(slice_cut(&rest, ':'), "arn") && slice_is(slice_cut(&rest, ':'), "aws");
    Slice service = slice_cut(&rest, ':');
    ours = ours && slice_is(slice_cut(&rest, ':'), tier->region) &&
           slice_is(slice_cut(&rest, ':'), tier->account);
    for (size_t i = 0; ours && i < RESOURCE_TYPES; i++) {
        size_t prefix_len = strlen(arn_shapes[i].prefix);
        if (slice_is(service, arn_shapes[i].service) && slice_starts(rest, arn_shapes[i].prefix) &&
            rest.len > prefix_len) {
            *ret_type = (ResourceType)i;
            *ret_name = slice_skip(rest, prefix_len);
            return true;
        }
    }
    return err_set(err, ERR_INVALID, "Invalid resource name: %.*s", SLICE_FMT(arn));
}

/* ---- ids ------------------------------------------------------------------------------------- */

#define AWS_ID_DIGITS 17

static void hex_id_make(const char *prefix, char out[static MODEL_ID_SIZE])
{
    uint8_t bytes[(AWS_ID_DIGITS + 1) / 2];
    char hex[2 * sizeof(bytes) + 1];
    random_bytes(bytes, sizeof(bytes));
    hex_encode(bytes, sizeof(bytes), hex);
    snprintf(out, MODEL_ID_SIZE, "%s%.*s", prefix, AWS_ID_DIGITS, hex);
}

void dbi_resource_id_make(char out[static MODEL_ID_SIZE])
{
    char id[27];
    random_id(id, 26);
    snprintf(out, MODEL_ID_SIZE, "db-%s", id);
}

void security_group_id_make(char out[static MODEL_ID_SIZE])
{
    hex_id_make("sg-", out);
}

void security_rule_id_make(char out[static MODEL_ID_SIZE])
{
    hex_id_make("sgr-", out);
}

void proxy_resource_id_make(char out[static MODEL_ID_SIZE])
{
    hex_id_make("prx-", out);
}

void proxy_endpoint_id_make(char out[static MODEL_ID_SIZE])
{
    hex_id_make("prx-endpoint-", out);
}

void target_group_id_make(char out[static MODEL_ID_SIZE])
{
    hex_id_make("prx-tg-", out);
}

void secret_suffix_make(char out[static MODEL_ID_SIZE])
{
    random_id(out, 6);
}

void uuid_make(char out[static MODEL_ID_SIZE])
{
    uint8_t bytes[16];
    random_bytes(bytes, sizeof(bytes));
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    char hex[33];
    hex_encode(bytes, sizeof(bytes), hex);
    snprintf(out, MODEL_ID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
             hex + 20);
}

/* ---- the network ----------------------------------------------------------------------------- */

const Subnet model_subnets[MODEL_SUBNETS] = {
    {"subnet-0000000000000000a", 'a'},
    {"subnet-0000000000000000b", 'b'},
    {"subnet-0000000000000000c", 'c'},
};

const Subnet *subnet_find(Slice id)
{
    for (size_t i = 0; i < MODEL_SUBNETS; i++) {
        if (slice_is(id, model_subnets[i].id)) {
            return &model_subnets[i];
        }
    }
    return NULL;
}

void subnet_cidr(const Subnet *subnet, const char *net, char out[static MODEL_CIDR_SIZE])
{
    snprintf(out, MODEL_CIDR_SIZE, "%.7s.%d.0/18", net, (subnet->zone - 'a') * 64);
}

char *zone_name(Arena *arena, const TierFacts *tier, char zone)
{
    return arena_printf(arena, "%s%c", tier->region, zone);
}

char zone_parse(const TierFacts *tier, Slice name)
{
    if (slice_starts(name, tier->region)) {
        name = slice_skip(name, strlen(tier->region));
    }
    bool known = name.len == 1 && name.data[0] != '\0' && strchr(MODEL_ZONES, name.data[0]) != NULL;
    return known ? name.data[0] : '\0';
}

bool endpoint_address(const char *net, const char *host, char out[static MODEL_ADDRESS_SIZE])
{
    Slice rest = slice_of(host);
    uint64_t high;
    uint64_t low;
    if (!str_to_u64(slice_cut(&rest, '.'), &high) || !str_to_u64(rest, &low) || high > 255 ||
        low > 255) {
        return false;
    }
    snprintf(out, MODEL_ADDRESS_SIZE, "%.7s.%u.%u", net, (unsigned)high & 0xffU,
             (unsigned)low & 0xffU);
    return true;
}

/* ---- what there is without a record ------------------------------------------------------------
 */

json_t *default_security_group_new(void)
{
    json_t *group =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:[{s:s, s:s, s:s}], s:[{s:s, s:s, s:s}], s:[]}",
                  "GroupId", MODEL_DEFAULT_SECURITY_GROUP_ID, "GroupName", "default", "Description",
                  "default VPC security group", "VpcId", MODEL_VPC_ID, "created_ms", (json_int_t)0,
                  "generation", (json_int_t)1, "ingress", "rule_id", "sgr-00000000000000001",
                  "IpProtocol", "-1", "CidrIpv4", MODEL_VPC_CIDR, "egress", "rule_id",
                  "sgr-00000000000000002", "IpProtocol", "-1", "CidrIpv4", "0.0.0.0/0", "TagList");
    ASSERT(group != NULL);
    return group;
}

char *default_parameter_group(Arena *arena, const char *family)
{
    return arena_printf(arena, "default.%s", family);
}
