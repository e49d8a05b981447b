/* The generated tables: everything that the product serves is there, with the facts that clients
 * depend on. */
#include "../unit.h"
#include "aws/aws.h"

static const AwsService *service_of(const char *name)
{
    const AwsService *service = aws_service_find(slice_of(name));
    assert_non_null(service);
    return service;
}

static void test_services(void **state)
{
    (void)state;
    size_t count = 0;
    while (aws_service_at(count) != NULL) {
        count++;
    }
    assert_int_equal(count, 6);
    assert_null(aws_service_find(SLICE("")));
    assert_null(aws_service_find(SLICE("rdsx")));
    assert_null(aws_service_find((Slice){NULL, 0}));
    assert_int_equal(service_of("rds")->protocol, AWS_QUERY);
    assert_int_equal(service_of("ec2")->protocol, AWS_EC2);
    assert_int_equal(service_of("secretsmanager")->protocol, AWS_JSON_1_1);
    assert_string_equal(service_of("elasticache")->version, "2015-02-02");
}

/* Each service that AWS has is reached at its public name as well. */
static void test_public_hosts(void **state)
{
    (void)state;
    Arena *arena = arena_new();
    const char *const *hosts = aws_public_hosts(arena, "eu-west-1");
    for (size_t i = 0; aws_service_at(i) != NULL; i++) {
        const char *name = aws_service_at(i)->name;
        const char *wanted = arena_printf(arena, "%s.eu-west-1.amazonaws.com", name);
        bool found = false;
        for (size_t k = 0; hosts[k] != NULL; k++) {
            found = found || strcmp(hosts[k], wanted) == 0;
        }
        assert_true(found == (strcmp(name, "weir") != 0));
    }
    arena_free(arena);
}

static void test_target(void **state)
{
    (void)state;
    Slice operation = SLICE("untouched");
    const AwsService *service =
        aws_service_by_target(SLICE("secretsmanager.GetSecretValue"), &operation);
    assert_ptr_equal(service, service_of("secretsmanager"));
    assert_slice(operation, "GetSecretValue");
    assert_ptr_equal(aws_service_by_target(SLICE("Weir_20260101.StopTier"), &operation),
                     service_of("weir"));
    assert_ptr_equal(aws_service_by_target(SLICE("weir.StopTier"), &operation), NULL);
    assert_ptr_equal(aws_service_by_target(SLICE(""), &operation), NULL);
    assert_non_null(aws_service_by_target(SLICE("secretsmanager"), &operation));
    assert_int_equal(operation.len, 0);
}

static void test_operations_are_sorted_and_found(void **state)
{
    (void)state;
    size_t total = 0;
    for (size_t i = 0; aws_service_at(i) != NULL; i++) {
        const AwsService *service = aws_service_at(i);
        for (size_t j = 0; j < service->operation_count; j++) {
            const AwsOperation *operation = &service->operations[j];
            assert_ptr_equal(aws_operation_find(service, slice_of(operation->name)), operation);
            total++;
        }
        for (size_t j = 0; j < service->shape_count; j++) {
            const AwsShape *shape = &service->shapes[j];
            assert_ptr_equal(aws_shape_find(service, slice_of(shape->name)), shape);
        }
        assert_null(aws_operation_find(service, SLICE("")));
        assert_null(aws_operation_find(service, SLICE("Create")));
        assert_null(aws_operation_find(service, SLICE("zzz")));
    }
    assert_true(total > 100);
}

static void test_shapes(void **state)
{
    (void)state;
    const AwsOperation *create = aws_operation_find(service_of("rds"), SLICE("CreateDBInstance"));
    assert_string_equal(create->wrapper, "CreateDBInstanceResult");
    const AwsMember *id = aws_member_find(create->input, SLICE("DBInstanceIdentifier"));
    assert_true(id->required);
    assert_int_equal(id->shape->type, AWS_STRING);
    const AwsMember *groups = aws_member_find(create->input, SLICE("VpcSecurityGroupIds"));
    assert_int_equal(groups->shape->type, AWS_LIST);
    assert_string_equal(groups->shape->members[0].wire, "VpcSecurityGroupId");
    assert_true(aws_member_find(create->input, SLICE("MasterUserPassword"))->sensitive);
    assert_null(aws_member_find(create->input, SLICE("masterUserPassword")));

    const AwsOperation *authorize =
        aws_operation_find(service_of("ec2"), SLICE("AuthorizeSecurityGroupEgress"));
    const AwsMember *rules = aws_member_find(authorize->input, SLICE("IpPermissions"));
    assert_string_equal(rules->wire, "ipPermissions");
    assert_string_equal(rules->query, "IpPermissions");

    const AwsShape *group = aws_shape_find(service_of("elasticache"), SLICE("ReplicationGroup"));
    assert_true(aws_member_find(group, SLICE("NodeGroups"))->omit_empty);
    const AwsShape *family = aws_shape_find(service_of("rds"), SLICE("EngineFamily"));
    assert_true(aws_enum_has(family, SLICE("POSTGRESQL")));
    assert_false(aws_enum_has(family, SLICE("postgresql")));
}

/* What Debian's model lacks, and what newer clients send. */
static void test_newer_members(void **state)
{
    (void)state;
    const AwsService *rds = service_of("rds");
    const AwsOperation *proxy = aws_operation_find(rds, SLICE("CreateDBProxy"));
    assert_non_null(aws_member_find(proxy->input, SLICE("DefaultAuthScheme")));
    assert_false(aws_member_find(proxy->input, SLICE("Auth"))->required);
    const AwsShape *auth = aws_shape_find(rds, SLICE("UserAuthConfig"));
    assert_non_null(aws_member_find(auth, SLICE("ClientPasswordAuthType")));
    const AwsShape *instance = aws_shape_find(rds, SLICE("DBInstance"));
    assert_non_null(aws_member_find(instance, SLICE("MasterUserSecret")));
    assert_non_null(aws_member_find(instance, SLICE("CertificateDetails")));
    assert_non_null(aws_member_find(instance, SLICE("DedicatedLogVolume")));
}

static void test_faults(void **state)
{
    (void)state;
    const AwsService *rds = service_of("rds");
    AwsFault fault;
    assert_false(aws_fault_set(&fault, rds, "DBInstanceNotFoundFault", "DBInstance %s", "a"));
    assert_string_equal(fault.code, "DBInstanceNotFound");
    assert_int_equal(fault.status, 404);
    assert_true(fault.sender && fault.modelled);
    assert_string_equal(fault.message, "DBInstance a");
    aws_fault_set(&fault, rds, "DBProxyNotFoundFault", "x");
    assert_string_equal(fault.code, "DBProxyNotFoundFault");
    aws_fault_set(&fault, service_of("elasticache"), "CacheSubnetGroupNotFoundFault", "x");
    assert_int_equal(fault.status, 400);
    aws_fault_set(&fault, service_of("ec2"), "InvalidGroup.NotFound", "x");
    assert_int_equal(fault.status, 400);
    assert_true(fault.modelled);
    aws_fault_set(&fault, NULL, "InternalFailure", "x");
    assert_int_equal(fault.status, 500);
    assert_false(fault.sender || fault.modelled);
    assert_true(aws_fault_known(rds, "DBInstanceNotFound"));
    assert_true(aws_fault_known(NULL, "Throttling"));
    assert_false(aws_fault_known(rds, "ResourceNotFoundException"));
}

static void test_errors_become_faults_and_back(void **state)
{
    (void)state;
    Err err;
    AwsFault fault;
    err_set(&err, ERR_IO, "disk");
    aws_fault_from_err(&fault, service_of("rds"), &err);
    assert_string_equal(fault.code, "InternalFailure");
    err_set(&err, ERR_NOT_FOUND, "nothing");
    aws_fault_from_err(&fault, service_of("secretsmanager"), &err);
    assert_string_equal(fault.code, "ResourceNotFoundException");
    assert_false(aws_fault_to_err(&fault, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_string_equal(err.message, "ResourceNotFoundException: nothing");
    static const struct {
        const char *code;
        ErrCode expected;
    } cases[] = {
        {"DBInstanceAlreadyExists", ERR_EXISTS}, {"InvalidDBInstanceState", ERR_CONFLICT},
        {"SignatureDoesNotMatch", ERR_DENIED},   {"InvalidPermission.NotFound", ERR_NOT_FOUND},
        {"InstanceQuotaExceeded", ERR_LIMIT},    {"InternalFailure", ERR_INTERNAL},
        {"InvalidParameterValue", ERR_INVALID}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        aws_fault_set(&fault, service_of("rds"), cases[i].code, "x");
        aws_fault_to_err(&fault, &err);
        assert_int_equal(err.code, cases[i].expected);
    }
}

static void test_redacted(void **state)
{
    (void)state;
    const AwsOperation *put =
        aws_operation_find(service_of("secretsmanager"), SLICE("PutSecretValue"));
    json_t *input = json_pack("{s:s, s:s, s:[s]}", "SecretId", "a", "SecretString", "hunter2",
                              "VersionStages", "AWSCURRENT");
    json_t *copy = aws_redacted(put->input, input);
    assert_string_equal(json_string_value(json_object_get(copy, "SecretString")), "***");
    assert_string_equal(json_string_value(json_object_get(copy, "SecretId")), "a");
    assert_int_equal(json_array_size(json_object_get(copy, "VersionStages")), 1);
    assert_string_equal(json_string_value(json_object_get(input, "SecretString")), "hunter2");
    json_decref(copy);
    json_decref(input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_services), cmocka_unit_test(test_public_hosts),
        cmocka_unit_test(test_target),   cmocka_unit_test(test_operations_are_sorted_and_found),
        cmocka_unit_test(test_shapes),   cmocka_unit_test(test_newer_members),
        cmocka_unit_test(test_faults),   cmocka_unit_test(test_errors_become_faults_and_back),
        cmocka_unit_test(test_redacted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
