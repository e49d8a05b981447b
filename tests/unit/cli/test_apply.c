/* Applying: order, waiting, changes, removals and failures. */
#include "fixture.h"

static void test_guide(void **state)
{
    Fixture *fixture = *state;
    const char *guide = fixture_read_file(fixture, "examples/guide.tf");
    assert_applies(fixture, guide);
    assert_log(fixture, "CreateSecret weir/var/db_password\n"
                        "CreateSecret weir/var/redis_auth_token\n"
                        "CreateDBSubnetGroup app-db-subnets\n"
                        "CreateCacheSubnetGroup app-redis-subnets\n"
                        "CreateSecurityGroup app-db\n"
                        "AuthorizeSecurityGroupIngress sg-\n"
                        "RevokeSecurityGroupEgress sg-\n"
                        "CreateSecurityGroup app-db-proxy\n"
                        "AuthorizeSecurityGroupIngress sg-\n"
                        "RevokeSecurityGroupEgress sg-\n"
                        "CreateSecurityGroup app-redis\n"
                        "AuthorizeSecurityGroupIngress sg-\n"
                        "RevokeSecurityGroupEgress sg-\n"
                        "CreateDBParameterGroup app-postgres15\n"
                        "ModifyDBParameterGroup app-postgres15\n"
                        "CreateDBParameterGroup app-postgres15-readonly\n"
                        "ModifyDBParameterGroup app-postgres15-readonly\n"
                        "CreateSecret app-db-credentials\n"
                        "CreateCacheParameterGroup app-redis7\n"
                        "ModifyCacheParameterGroup app-redis7\n"
                        "CreateDBInstance app-primary-db\n"
                        "CreateDBProxy app-db-proxy\n"
                        "CreateReplicationGroup app-redis-cluster\n"
                        "CreateDBInstanceReadReplica app-read-replica-0\n"
                        "CreateDBInstanceReadReplica app-read-replica-1\n"
                        "PutSecretValue app-db-credentials\n"
                        "ModifyDBProxyTargetGroup app-db-proxy\n"
                        "RegisterDBProxyTargets app-db-proxy\n"
                        "AddTagsToResource prx-\n");
    assert_no_changes(fixture, guide);
    assert_applies(fixture, guide);
    assert_log(fixture, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_guide, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
