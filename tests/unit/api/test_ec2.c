/* Security groups, their rules and tags, and the network. */
#include "harness.h"

static int group_setup(void **state)
{
    harness_setup(state);
    Harness *harness = *state;
    static const char *const names[] = {"db", "proxy"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        json_t *output = NULL;
        AwsFault fault;
        CLEANUP(mem_free_ptr)
        char *input =
            mem_printf("{'GroupName': '%s', 'Description': 'd', 'VpcId': 'vpc-00000000000000001', "
                       "'TagSpecifications': [{'ResourceType': 'security-group', 'Tags': "
                       "[{'Key': 'Name', 'Value': '%s'}]}]}",
                       names[i], names[i]);
        assert_true(harness_call(harness, "ec2:CreateSecurityGroup", input, &output, &fault));
        harness_keep(harness, names[i], output, "GroupId");
        json_decref(output);
    }
    return 0;
}

#define TCP_5432 "'IpProtocol': 'tcp', 'FromPort': 5432, 'ToPort': 5432"
#define ALL      "'IpProtocol': '-1', 'IpRanges': [{'CidrIp': '0.0.0.0/0'}]"
#define ALL_V6   "'IpProtocol': '-1', 'Ipv6Ranges': [{'CidrIpv6': '::/0'}]"

static void test_groups(void **state)
{
    static const Step steps[] = {
        {"ec2:DescribeSecurityGroups", "{'GroupIds': ['$db']}", NULL,
         "{'SecurityGroups': [{'GroupId': '$db', 'GroupName': 'db', 'VpcId': "
         "'vpc-00000000000000001', 'OwnerId': '000000000000', 'Description': 'd', 'IpPermissions': "
         "[], 'IpPermissionsEgress': [{'IpProtocol': '-1', 'IpRanges': [{'CidrIp': "
         "'0.0.0.0/0'}]}], 'Tags': [{'Key': 'Name', 'Value': 'db'}]}]}"},
        {"ec2:DescribeSecurityGroups", "{'GroupIds': ['sg-nope']}", "InvalidGroup.NotFound",
         "The security group 'sg-nope' does not exist"},
        {"ec2:DescribeSecurityGroups", "{'GroupNames': ['default']}", NULL,
         "{'SecurityGroups': [{'GroupId': 'sg-00000000000000001', 'IpPermissions': [{'IpRanges': "
         "[{'CidrIp': '127.0.0.0/8'}]}]}]}"},
        {"ec2:DescribeSecurityGroups", "{'Filters': [{'Name': 'group-name', 'Values': ['db']}]}",
         NULL, "{'SecurityGroups': [{'GroupId': '$db'}]}"},
        {"ec2:DescribeSecurityGroups", "{'Filters': [{'Name': 'tag:Name', 'Values': ['proxy']}]}",
         NULL, "{'SecurityGroups': [{'GroupId': '$proxy'}]}"},
        {"ec2:DescribeSecurityGroups", NULL, NULL, "{'SecurityGroups': [{}, {}, {}]}"},
        {"ec2:CreateSecurityGroup", "{'GroupName': 'db', 'Description': 'd'}",
         "InvalidGroup.Duplicate", "db"},
        {"ec2:CreateSecurityGroup", "{'GroupName': 'x', 'Description': 'd', 'VpcId': 'vpc-1'}",
         "InvalidVpcID.NotFound", "vpc-1"},
        {"ec2:CreateSecurityGroup", "{'GroupName': 'sg-x', 'Description': 'd'}",
         "InvalidParameterValue", "sg-*"},
        {"ec2:DeleteSecurityGroup", "{'GroupId': 'sg-00000000000000001'}", "CannotDelete", NULL},
        {"ec2:DeleteSecurityGroup", "{'GroupId': '$db', 'DryRun': true}", "UnsupportedOperation",
         "DryRun"},
        {"ec2:DeleteSecurityGroup", "{'GroupId': '$db'}", NULL, NULL},
        {"ec2:DeleteSecurityGroup", "{'GroupId': '$db'}", "InvalidGroup.NotFound", NULL},
        {"ec2:DeleteSecurityGroup", "{}", "MissingParameter", NULL},
    };
    RUN_STEPS((Harness *)*state, steps);
}

/* What Terraform does with a new group: takes the egress rule away, IPv6's as well, adds its own.
 */
static void test_rules(void **state)
{
    static const Step steps[] = {
        {"ec2:RevokeSecurityGroupEgress", "{'GroupId': '$db', 'IpPermissions': [{" ALL "}]}", NULL,
         "{'Return': true}"},
        {"ec2:RevokeSecurityGroupEgress", "{'GroupId': '$db', 'IpPermissions': [{" ALL_V6 "}]}",
         "InvalidPermission.NotFound", NULL},
        {"ec2:AuthorizeSecurityGroupIngress",
         "{'GroupId': '$db', 'IpPermissions': [{" TCP_5432
         ", 'IpRanges': [{'CidrIp': '127.0.0.1/32', 'Description': 'here'}, {'CidrIp': "
         "'10.0.0.0/8'}], 'UserIdGroupPairs': [{'GroupId': '$proxy'}]}]}",
         NULL,
         "{'Return': true, 'SecurityGroupRules': [{'SecurityGroupRuleId': '*', 'IsEgress': false, "
         "'CidrIpv4': '127.0.0.1/32', 'FromPort': 5432, 'Description': 'here'}, {}, "
         "{'ReferencedGroupInfo': {'GroupId': '$proxy'}}]}"},
        {"ec2:DescribeSecurityGroups", "{'GroupIds': ['$db']}", NULL,
         "{'SecurityGroups': [{'IpPermissionsEgress': [], 'IpPermissions': [{'IpProtocol': 'tcp', "
         "'FromPort': 5432, 'ToPort': 5432, 'IpRanges': [{'CidrIp': '127.0.0.1/32', 'Description': "
         "'here'}, {'CidrIp': '10.0.0.0/8'}], 'UserIdGroupPairs': [{'GroupId': '$proxy', 'UserId': "
         "'000000000000'}]}]}]}"},
        {"ec2:AuthorizeSecurityGroupIngress",
         "{'GroupId': '$db', 'IpPermissions': [{" TCP_5432
         ", 'IpRanges': [{'CidrIp': '10.0.0.0/8'}]}]}",
         "InvalidPermission.Duplicate", "10.0.0.0/8"},
        {"ec2:AuthorizeSecurityGroupIngress",
         "{'GroupId': '$db', 'IpPermissions': [{" TCP_5432
         ", 'IpRanges': [{'CidrIp': '10.0.0.1/8'}]}]}",
         "InvalidParameterValue", "10.0.0.1/8 is malformed"},
        {"ec2:AuthorizeSecurityGroupIngress",
         "{'GroupId': '$db', 'IpPermissions': [{'IpProtocol': 'tcp', 'FromPort': 10, 'ToPort': 5, "
         "'IpRanges': [{'CidrIp': '10.0.0.0/8'}]}]}",
         "InvalidParameterValue", "port range"},
        {"ec2:AuthorizeSecurityGroupIngress",
         "{'GroupId': '$db', 'IpPermissions': [{'IpProtocol': 'carrier-pigeon', 'IpRanges': "
         "[{'CidrIp': '10.0.0.0/8'}]}]}",
         "InvalidPermission.Malformed", "carrier-pigeon"},
        {"ec2:AuthorizeSecurityGroupIngress",
         "{'GroupId': '$db', 'IpPermissions': [{" TCP_5432 "}]}", "InvalidPermission.Malformed",
         NULL},
        {"ec2:AuthorizeSecurityGroupIngress",
         "{'GroupId': '$db', 'IpPermissions': [{" TCP_5432
         ", 'UserIdGroupPairs': [{'GroupId': 'sg-nope'}]}]}",
         "InvalidGroup.NotFound", "sg-nope"},
        {"ec2:AuthorizeSecurityGroupIngress",
         "{'GroupId': '$db', 'IpPermissions': [{" TCP_5432
         ", 'PrefixListIds': [{'PrefixListId': 'pl-1'}]}]}",
         "UnsupportedOperation", "prefix lists"},
        /* the old form */
        {"ec2:AuthorizeSecurityGroupIngress",
         "{'GroupName': 'db', 'IpProtocol': '6', 'FromPort': 80, 'ToPort': 81, 'CidrIp': "
         "'10.1.0.0/16'}",
         NULL, "{'SecurityGroupRules': [{'IpProtocol': 'tcp', 'FromPort': 80, 'ToPort': 81}]}"},
        {"ec2:DescribeSecurityGroupRules", "{'Filters': [{'Name': 'group-id', 'Values': ['$db']}]}",
         NULL, "{'SecurityGroupRules': [{}, {}, {}, {'FromPort': 80}]}"},
        {"ec2:RevokeSecurityGroupIngress",
         "{'GroupId': '$db', 'IpPermissions': [{" TCP_5432
         ", 'IpRanges': [{'CidrIp': '127.0.0.1/32'}, {'CidrIp': '10.0.0.0/8'}], "
         "'UserIdGroupPairs': [{'GroupId': '$proxy'}]}]}",
         NULL, NULL},
        {"ec2:DescribeSecurityGroups", "{'GroupIds': ['$db']}", NULL,
         "{'SecurityGroups': [{'IpPermissions': [{'FromPort': 80}]}]}"},
        {"ec2:AuthorizeSecurityGroupEgress", "{'GroupId': '$db', 'IpPermissions': [{" ALL "}]}",
         NULL, "{'SecurityGroupRules': [{'IsEgress': true}]}"},
        {"ec2:AuthorizeSecurityGroupIngress", "{'GroupId': '$db'}", "MissingParameter", NULL},
    };
    RUN_STEPS((Harness *)*state, steps);
}

static void test_rules_by_id(void **state)
{
    Harness *harness = *state;
    json_t *output = NULL;
    AwsFault fault;
    assert_true(harness_call(harness, "ec2:DescribeSecurityGroupRules",
                             "{'Filters': [{'Name': 'group-id', 'Values': ['$db']}]}", &output,
                             &fault));
    harness_keep(harness, "rule", output, "SecurityGroupRules.0.SecurityGroupRuleId");
    json_decref(output);
    static const Step steps[] = {
        {"ec2:DescribeSecurityGroupRules", "{'SecurityGroupRuleIds': ['$rule']}", NULL,
         "{'SecurityGroupRules': [{'GroupId': '$db', 'IsEgress': true}]}"},
        {"ec2:RevokeSecurityGroupEgress", "{'GroupId': '$db', 'SecurityGroupRuleIds': ['$rule']}",
         NULL, NULL},
        {"ec2:RevokeSecurityGroupEgress", "{'GroupId': '$db', 'SecurityGroupRuleIds': ['$rule']}",
         "InvalidSecurityGroupRuleId.NotFound", NULL},
    };
    RUN_STEPS(harness, steps);
}

/* The default group gets a record when it is changed, and only then. */
static void test_the_default_group_can_be_changed(void **state)
{
    Harness *harness = *state;
    assert_null(harness_get(harness, "spec/security-group/sg-00000000000000001"));
    static const Step steps[] = {
        {"ec2:RevokeSecurityGroupIngress",
         "{'GroupName': 'default', 'IpPermissions': [{'IpProtocol': '-1', 'IpRanges': [{'CidrIp': "
         "'127.0.0.0/8'}]}]}",
         NULL, NULL},
        {"ec2:DescribeSecurityGroups", NULL, NULL,
         "{'SecurityGroups': [{'GroupId': 'sg-00000000000000001', 'IpPermissions': []}, {}, {}]}"},
    };
    RUN_STEPS(harness, steps);
}

static void test_groups_in_use_stay(void **state)
{
    static const Step steps[] = {
        {"rds:CreateDBInstance",
         "{'DBInstanceIdentifier': 'app', 'Engine': 'postgres', 'DBInstanceClass': 'db.t4g.micro', "
         "'AllocatedStorage': 20, 'MasterUsername': 'a', 'MasterUserPassword': '12345678', "
         "'VpcSecurityGroupIds': ['$db']}",
         NULL, "{'DBInstance': {'VpcSecurityGroups': [{'VpcSecurityGroupId': '$db'}]}}"},
        {"ec2:DeleteSecurityGroup", "{'GroupId': '$db'}", "DependencyViolation", "app"},
        {"ec2:AuthorizeSecurityGroupIngress",
         "{'GroupId': '$db', 'IpPermissions': [{" TCP_5432
         ", 'UserIdGroupPairs': [{'GroupId': '$proxy'}]}]}",
         NULL, NULL},
        {"ec2:DeleteSecurityGroup", "{'GroupId': '$proxy'}", "DependencyViolation", NULL},
        {"ec2:DescribeNetworkInterfaces", NULL, NULL, "{'NetworkInterfaces': []}"},
    };
    RUN_STEPS((Harness *)*state, steps);
}

static void test_tags(void **state)
{
    static const Step steps[] = {
        {"ec2:CreateTags",
         "{'Resources': ['$db'], 'Tags': [{'Key': 'Name', 'Value': 'new'}, {'Key': 'a', 'Value': "
         "'1'}]}",
         NULL, NULL},
        {"ec2:DeleteTags", "{'Resources': ['$db'], 'Tags': [{'Key': 'a', 'Value': '2'}]}", NULL,
         NULL},
        {"ec2:DescribeTags", "{'Filters': [{'Name': 'resource-id', 'Values': ['$db']}]}", NULL,
         "{'Tags': [{'Key': 'Name', 'Value': 'new', 'ResourceId': '$db', 'ResourceType': "
         "'security-group'}, {'Key': 'a'}]}"},
        {"ec2:DeleteTags", "{'Resources': ['$db'], 'Tags': [{'Key': 'a'}]}", NULL, NULL},
        {"ec2:DescribeTags", "{'Filters': [{'Name': 'key', 'Values': ['a']}]}", NULL,
         "{'Tags': []}"},
        {"ec2:CreateTags",
         "{'Resources': ['vpc-00000000000000001'], 'Tags': [{'Key': 'a', 'Value': '1'}]}",
         "UnsupportedOperation", "vpc-"},
        {"ec2:CreateTags", "{'Resources': ['sg-nope'], 'Tags': [{'Key': 'a', 'Value': '1'}]}",
         "InvalidGroup.NotFound", NULL},
    };
    RUN_STEPS((Harness *)*state, steps);
}

static void test_network(void **state)
{
    static const Step steps[] = {
        {"ec2:DescribeVpcs", "{'Filters': [{'Name': 'is-default', 'Values': ['true']}]}", NULL,
         "{'Vpcs': [{'VpcId': 'vpc-00000000000000001', 'CidrBlock': '127.0.0.0/8', 'IsDefault': "
         "true}]}"},
        {"ec2:DescribeVpcs", "{'VpcIds': ['vpc-1']}", "InvalidVpcID.NotFound", NULL},
        {"ec2:DescribeVpcs", "{'Filters': [{'Name': 'tag:Name', 'Values': ['x']}]}", NULL,
         "{'Vpcs': []}"},
        {"ec2:DescribeSubnets",
         "{'Filters': [{'Name': 'vpc-id', 'Values': ['vpc-00000000000000001']}]}", NULL,
         "{'Subnets': [{'SubnetId': 'subnet-0000000000000000a', 'AvailabilityZone': 'eu-west-1a', "
         "'CidrBlock': '127.5.0.0/18'}, {'CidrBlock': '127.5.64.0/18'}, {}]}"},
        {"ec2:DescribeSubnets",
         "{'Filters': [{'Name': 'availability-zone', 'Values': ['eu-west-1b']}]}", NULL,
         "{'Subnets': [{'SubnetId': 'subnet-0000000000000000b'}]}"},
        {"ec2:DescribeSubnets", "{'SubnetIds': ['subnet-1']}", "InvalidSubnetID.NotFound", NULL},
        {"ec2:DescribeAvailabilityZones", NULL, NULL,
         "{'AvailabilityZones': [{'ZoneName': 'eu-west-1a', 'State': 'available'}, {}, {}]}"},
        {"ec2:DescribeAccountAttributes", "{'AttributeNames': ['default-vpc']}", NULL,
         "{'AccountAttributes': [{'AttributeName': 'default-vpc', 'AttributeValues': "
         "[{'AttributeValue': 'vpc-00000000000000001'}]}]}"},
    };
    RUN_STEPS((Harness *)*state, steps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define API_TEST(f) cmocka_unit_test_setup_teardown(f, group_setup, harness_teardown)
        API_TEST(test_groups),
        API_TEST(test_rules),
        API_TEST(test_rules_by_id),
        API_TEST(test_the_default_group_can_be_changed),
        API_TEST(test_groups_in_use_stay),
        API_TEST(test_tags),
        API_TEST(test_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
