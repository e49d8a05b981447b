/* Plans: golden texts against the API. */
#include "fixture.h"

static void test_guide(void **state)
{
    Fixture *fixture = *state;
    assert_plan(fixture, fixture_read_file(fixture, "examples/guide.tf"),
                "  + aws_db_subnet_group.primary                       create\n"
                "  + aws_elasticache_subnet_group.redis                create\n"
                "  + aws_security_group.db_sg                          create\n"
                "  + aws_security_group.proxy_sg                       create\n"
                "  + aws_security_group.redis_sg                       create\n"
                "  + aws_db_parameter_group.postgres15                 create\n"
                "  + aws_db_parameter_group.postgres15_readonly        create\n"
                "  + aws_db_instance.primary                           create\n"
                "      not yet in effect: allocated_storage, max_allocated_storage,\n"
                "      storage_type, storage_encrypted, backup_retention_period, backup_window,\n"
                "      maintenance_window, monitoring_interval, performance_insights_enabled\n"
                "  + aws_db_instance.read_replica[0]                   create\n"
                "      not yet in effect: storage_encrypted, monitoring_interval,\n"
                "      performance_insights_enabled\n"
                "  + aws_db_instance.read_replica[1]                   create\n"
                "      not yet in effect: storage_encrypted, monitoring_interval,\n"
                "      performance_insights_enabled\n"
                "  + aws_secretsmanager_secret.db_credentials          create\n"
                "  + aws_secretsmanager_secret_version.db_credentials  create\n"
                "  + aws_db_proxy.primary                              create\n"
                "  + aws_db_proxy_default_target_group.primary         create\n"
                "  + aws_db_proxy_target.primary                       create\n"
                "  + aws_elasticache_parameter_group.redis_params      create\n"
                "  + aws_elasticache_replication_group.redis_cluster   create\n"
                "      not yet in effect: automatic_failover_enabled,\n"
                "      at_rest_encryption_enabled, maintenance_window,\n"
                "      snapshot_retention_limit, snapshot_window\n"
                "\n"
                "17 to create, 0 to change, 0 to destroy.\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_guide, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
