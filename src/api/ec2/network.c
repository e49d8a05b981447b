/* The network that every tier has: one default VPC, a subnet in each of three zones. */
#include "api/ec2/ec2_priv.h"

/* Whether the list `member` asks for `id`, or for nothing. */
static bool asked_for(const json_t *input, const char *member, const char *id)
{
    return json_array_size(json_object_get(input, member)) == 0 || member_has(input, member, id);
}

/* ---- VPC
 * ----------------------------------------------------------------------------------------- */

static bool vpc_ids_check(ApiContext *ctx, const json_t *input)
{
    size_t index;
    const json_t *id;
    json_array_foreach (json_object_get(input, "VpcIds"), index, id) {
        if (!json_is_string(id) || strcmp(json_string_value(id), MODEL_VPC_ID) != 0) {
            return refuse(ctx, "InvalidVpcID.NotFound", "The vpc ID '%s' does not exist",
                          json_is_string(id) ? json_string_value(id) : "");
        }
    }
    return true;
}

static bool vpc_passes(const json_t *input)
{
    return filter_passes(filter_values(input, "vpc-id"), MODEL_VPC_ID) &&
           filter_passes(filter_values(input, "cidr"), MODEL_VPC_CIDR) &&
           filter_passes(filter_values(input, "state"), "available") &&
           filter_passes(filter_values(input, "isDefault"), "true") &&
           filter_passes(filter_values(input, "is-default"), "true") &&
           filter_passes(filter_values(input, "owner-id"), MODEL_ACCOUNT_ID) &&
           tag_filters_pass(input, NULL);
}

bool ec2_describe_vpcs(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    TRY(vpc_ids_check(ctx, input));
    json_t *items = json_array();
    if (vpc_passes(input)) {
        json_array_append_new(
            items,
            json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:[{s:s, s:s, s:{s:s}}], s:[], s:[]}",
                      "VpcId", MODEL_VPC_ID, "CidrBlock", MODEL_VPC_CIDR, "State", "available",
                      "OwnerId", ctx->tier.account, "InstanceTenancy", "default", "IsDefault", 1,
                      "DhcpOptionsId", "dopt-00000000000000001", "CidrBlockAssociationSet",
                      "AssociationId", "vpc-cidr-assoc-00000000000000001", "CidrBlock",
                      MODEL_VPC_CIDR, "CidrBlockState", "State", "associated",
                      "Ipv6CidrBlockAssociationSet", "Tags"));
    }
    return page_output_by(ctx, &page_token, input, "Vpcs", items, ret_output);
}

/* ---- subnets
 * ------------------------------------------------------------------------------------- */

static bool subnet_ids_check(ApiContext *ctx, const json_t *input)
{
    size_t index;
    const json_t *id;
    json_array_foreach (json_object_get(input, "SubnetIds"), index, id) {
        const char *text = json_is_string(id) ? json_string_value(id) : "";
        if (subnet_find(slice_of(text)) == NULL) {
            return refuse(ctx, "InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist",
                          text);
        }
    }
    return true;
}

static bool subnet_passes(ApiContext *ctx, const json_t *input, const Subnet *subnet)
{
    const char *zone = zone_name(ctx->arena, &ctx->tier, subnet->zone);
    return asked_for(input, "SubnetIds", subnet->id) &&
           filter_passes(filter_values(input, "subnet-id"), subnet->id) &&
           filter_passes(filter_values(input, "vpc-id"), MODEL_VPC_ID) &&
           filter_passes(filter_values(input, "availability-zone"), zone) &&
           filter_passes(filter_values(input, "availabilityZone"), zone) &&
           filter_passes(filter_values(input, "default-for-az"), "true") &&
           filter_passes(filter_values(input, "defaultForAz"), "true") &&
           filter_passes(filter_values(input, "state"), "available") &&
           tag_filters_pass(input, NULL);
}

static json_t *subnet_view(ApiContext *ctx, const Subnet *subnet)
{
    char cidr[MODEL_CIDR_SIZE];
    subnet_cidr(subnet, ctx->tier.net, cidr);
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:b, s:b, s:b, s:b, s:b, s:s, s:[], s:[]}",
        "SubnetId", subnet->id, "VpcId", MODEL_VPC_ID, "CidrBlock", cidr, "AvailabilityZone",
        zone_name(ctx->arena, &ctx->tier, subnet->zone), "AvailabilityZoneId",
        arena_printf(ctx->arena, "weir-az%d", subnet->zone - 'a' + 1), "State", "available",
        "OwnerId", ctx->tier.account, "AvailableIpAddressCount", 16379, "DefaultForAz", 1,
        "MapPublicIpOnLaunch", 0, "AssignIpv6AddressOnCreation", 0, "EnableDns64", 0, "Ipv6Native",
        0, "SubnetArn",
        arena_printf(ctx->arena, "arn:aws:ec2:%s:%s:subnet/%s", ctx->tier.region, ctx->tier.account,
                     subnet->id),
        "Ipv6CidrBlockAssociationSet", "Tags");
}

bool ec2_describe_subnets(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    TRY(subnet_ids_check(ctx, input));
    json_t *items = json_array();
    for (size_t i = 0; i < MODEL_SUBNETS; i++) {
        if (subnet_passes(ctx, input, &model_subnets[i])) {
            json_array_append_new(items, subnet_view(ctx, &model_subnets[i]));
        }
    }
    return page_output_by(ctx, &page_token, input, "Subnets", items, ret_output);
}

/* ---- zones, and what there is none of
 * ------------------------------------------------------------ */

bool ec2_describe_zones(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    json_t *items = json_array();
    for (const char *zone = MODEL_ZONES; *zone != '\0'; zone++) {
        const char *name = zone_name(ctx->arena, &ctx->tier, *zone);
        if (asked_for(input, "ZoneNames", name) &&
            filter_passes(filter_values(input, "zone-name"), name) &&
            filter_passes(filter_values(input, "state"), "available") &&
            filter_passes(filter_values(input, "region-name"), ctx->tier.region) &&
            filter_passes(filter_values(input, "opt-in-status"), "opt-in-not-required")) {
            json_array_append_new(
                items,
                json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:[]}", "ZoneName", name,
                          "ZoneId", arena_printf(ctx->arena, "weir-az%d", (int)(*zone - 'a') + 1),
                          "RegionName", ctx->tier.region, "State", "available", "OptInStatus",
                          "opt-in-not-required", "GroupName", ctx->tier.region,
                          "NetworkBorderGroup", ctx->tier.region, "ZoneType", "availability-zone",
                          "Messages"));
        }
    }
    *ret_output = json_under("AvailabilityZones", items);
    return true;
}

/* Endpoints here are no interfaces of machines: there are none to detach. */
bool ec2_describe_interfaces(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    (void)ctx;
    (void)input;
    *ret_output = json_under("NetworkInterfaces", json_array());
    return true;
}

bool ec2_describe_account(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    (void)ctx;
    static const struct {
        const char *name, *value;
    } attributes[] = {{"supported-platforms", "VPC"}, {"default-vpc", MODEL_VPC_ID}};
    json_t *items = json_array();
    for (size_t i = 0; i < ARRAY_LEN(attributes); i++) {
        if (asked_for(input, "AttributeNames", attributes[i].name)) {
            json_array_append_new(items, json_pack("{s:s, s:[{s:s}]}", "AttributeName",
                                                   attributes[i].name, "AttributeValues",
                                                   "AttributeValue", attributes[i].value));
        }
    }
    *ret_output = json_under("AccountAttributes", items);
    return true;
}
