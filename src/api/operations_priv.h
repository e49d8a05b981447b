/*
 * Every operation that Weir carries out: service, operation, handler, and whether it changes
 * anything. One list makes the prototypes and the table. What refuses by name has a handler, too.
 */
#ifndef WEIR_API_OPERATIONS_PRIV_H
#define WEIR_API_OPERATIONS_PRIV_H

#include "api/api_priv.h"

#define READS  false
#define WRITES true

/* clang-format off */
#define API_OPERATIONS(X)                                                                          \
    X("rds", "CreateDBInstance", rds_create_instance, WRITES)                                      \
    X("rds", "CreateDBInstanceReadReplica", rds_create_replica, WRITES)                            \
    X("rds", "ModifyDBInstance", rds_modify_instance, WRITES)                                      \
    X("rds", "DeleteDBInstance", rds_delete_instance, WRITES)                                      \
    X("rds", "RebootDBInstance", rds_reboot_instance, WRITES)                                      \
    X("rds", "StartDBInstance", rds_start_instance, WRITES)                                        \
    X("rds", "StopDBInstance", rds_stop_instance, WRITES)                                          \
    X("rds", "PromoteReadReplica", rds_promote_replica, WRITES)                                    \
    X("rds", "DescribeDBInstances", rds_describe_instances, READS)                                 \
    X("rds", "CreateDBSubnetGroup", db_subnet_group_create, WRITES)                                \
    X("rds", "ModifyDBSubnetGroup", db_subnet_group_modify, WRITES)                                \
    X("rds", "DeleteDBSubnetGroup", db_subnet_group_delete, WRITES)                                \
    X("rds", "DescribeDBSubnetGroups", db_subnet_group_describe, READS)                            \
    X("rds", "CreateDBParameterGroup", db_parameter_group_create, WRITES)                          \
    X("rds", "ModifyDBParameterGroup", db_parameter_group_modify, WRITES)                          \
    X("rds", "ResetDBParameterGroup", db_parameter_group_reset, WRITES)                            \
    X("rds", "DeleteDBParameterGroup", db_parameter_group_delete, WRITES)                          \
    X("rds", "DescribeDBParameterGroups", db_parameter_group_describe, READS)                      \
    X("rds", "DescribeDBParameters", db_parameters_describe, READS)                                \
    X("rds", "DescribeEngineDefaultParameters", db_parameters_default, READS)                      \
    X("rds", "CreateDBProxy", rds_create_proxy, WRITES)                                            \
    X("rds", "ModifyDBProxy", rds_modify_proxy, WRITES)                                            \
    X("rds", "DeleteDBProxy", rds_delete_proxy, WRITES)                                            \
    X("rds", "DescribeDBProxies", rds_describe_proxies, READS)                                     \
    X("rds", "ModifyDBProxyTargetGroup", rds_modify_target_group, WRITES)                          \
    X("rds", "DescribeDBProxyTargetGroups", rds_describe_target_groups, READS)                     \
    X("rds", "RegisterDBProxyTargets", rds_register_targets, WRITES)                               \
    X("rds", "DeregisterDBProxyTargets", rds_deregister_targets, WRITES)                           \
    X("rds", "DescribeDBProxyTargets", rds_describe_targets, READS)                                \
    X("rds", "CreateDBProxyEndpoint", rds_create_proxy_endpoint, WRITES)                           \
    X("rds", "ModifyDBProxyEndpoint", rds_modify_proxy_endpoint, WRITES)                           \
    X("rds", "DeleteDBProxyEndpoint", rds_delete_proxy_endpoint, WRITES)                           \
    X("rds", "DescribeDBProxyEndpoints", rds_describe_proxy_endpoints, READS)                      \
    X("rds", "AddTagsToResource", named_tags_add, WRITES)                                          \
    X("rds", "RemoveTagsFromResource", named_tags_remove, WRITES)                                  \
    X("rds", "ListTagsForResource", named_tags_list, READS)                                        \
    X("rds", "DescribeEvents", rds_describe_events, READS)                                         \
    X("rds", "DescribeDBEngineVersions", rds_describe_engine_versions, READS)                      \
    X("rds", "DescribeOrderableDBInstanceOptions", rds_describe_orderable, READS)                  \
    X("rds", "DescribeDBLogFiles", rds_describe_log_files, READS)                                  \
    X("rds", "DownloadDBLogFilePortion", rds_download_log, READS)                                  \
    X("elasticache", "CreateReplicationGroup", cache_create_group, WRITES)                         \
    X("elasticache", "ModifyReplicationGroup", cache_modify_group, WRITES)                         \
    X("elasticache", "DeleteReplicationGroup", cache_delete_group, WRITES)                         \
    X("elasticache", "DescribeReplicationGroups", cache_describe_groups, READS)                    \
    X("elasticache", "IncreaseReplicaCount", cache_increase_replicas, WRITES)                      \
    X("elasticache", "DecreaseReplicaCount", cache_decrease_replicas, WRITES)                      \
    X("elasticache", "TestFailover", cache_test_failover, WRITES)                                  \
    X("elasticache", "DescribeCacheClusters", cache_describe_clusters, READS)                      \
    X("elasticache", "CreateCacheSubnetGroup", cache_subnet_group_create, WRITES)                  \
    X("elasticache", "ModifyCacheSubnetGroup", cache_subnet_group_modify, WRITES)                  \
    X("elasticache", "DeleteCacheSubnetGroup", cache_subnet_group_delete, WRITES)                  \
    X("elasticache", "DescribeCacheSubnetGroups", cache_subnet_group_describe, READS)              \
    X("elasticache", "CreateCacheParameterGroup", cache_parameter_group_create, WRITES)            \
    X("elasticache", "ModifyCacheParameterGroup", cache_parameter_group_modify, WRITES)            \
    X("elasticache", "ResetCacheParameterGroup", cache_parameter_group_reset, WRITES)              \
    X("elasticache", "DeleteCacheParameterGroup", cache_parameter_group_delete, WRITES)            \
    X("elasticache", "DescribeCacheParameterGroups", cache_parameter_group_describe, READS)        \
    X("elasticache", "DescribeCacheParameters", cache_parameters_describe, READS)                  \
    X("elasticache", "DescribeEngineDefaultParameters", cache_parameters_default, READS)           \
    X("elasticache", "AddTagsToResource", named_tags_add, WRITES)                                  \
    X("elasticache", "RemoveTagsFromResource", named_tags_remove, WRITES)                          \
    X("elasticache", "ListTagsForResource", named_tags_list, READS)                                \
    X("elasticache", "DescribeEvents", cache_describe_events, READS)                               \
    X("elasticache", "DescribeCacheEngineVersions", cache_describe_engine_versions, READS)         \
    X("secretsmanager", "CreateSecret", secret_create, WRITES)                                     \
    X("secretsmanager", "DescribeSecret", secret_describe, READS)                                  \
    X("secretsmanager", "ListSecrets", secret_list, READS)                                         \
    X("secretsmanager", "UpdateSecret", secret_update, WRITES)                                     \
    X("secretsmanager", "DeleteSecret", secret_delete, WRITES)                                     \
    X("secretsmanager", "RestoreSecret", secret_restore, WRITES)                                   \
    X("secretsmanager", "PutSecretValue", secret_put_value, WRITES)                                \
    X("secretsmanager", "GetSecretValue", secret_get_value, READS)                                 \
    X("secretsmanager", "ListSecretVersionIds", secret_list_versions, READS)                       \
    X("secretsmanager", "UpdateSecretVersionStage", secret_update_stage, WRITES)                   \
    X("secretsmanager", "PutResourcePolicy", secret_put_policy, WRITES)                            \
    X("secretsmanager", "GetResourcePolicy", secret_get_policy, READS)                             \
    X("secretsmanager", "DeleteResourcePolicy", secret_delete_policy, WRITES)                      \
    X("secretsmanager", "TagResource", secret_tag, WRITES)                                         \
    X("secretsmanager", "UntagResource", secret_untag, WRITES)                                     \
    X("secretsmanager", "GetRandomPassword", secret_random_password, READS)                        \
    X("secretsmanager", "RotateSecret", secret_rotate, WRITES)                                     \
    X("ec2", "CreateSecurityGroup", ec2_create_group, WRITES)                                      \
    X("ec2", "DeleteSecurityGroup", ec2_delete_group, WRITES)                                      \
    X("ec2", "DescribeSecurityGroups", ec2_describe_groups, READS)                                 \
    X("ec2", "DescribeSecurityGroupRules", ec2_describe_rules, READS)                              \
    X("ec2", "AuthorizeSecurityGroupIngress", ec2_authorize_ingress, WRITES)                       \
    X("ec2", "AuthorizeSecurityGroupEgress", ec2_authorize_egress, WRITES)                         \
    X("ec2", "RevokeSecurityGroupIngress", ec2_revoke_ingress, WRITES)                             \
    X("ec2", "RevokeSecurityGroupEgress", ec2_revoke_egress, WRITES)                               \
    X("ec2", "DescribeVpcs", ec2_describe_vpcs, READS)                                             \
    X("ec2", "DescribeSubnets", ec2_describe_subnets, READS)                                       \
    X("ec2", "DescribeAvailabilityZones", ec2_describe_zones, READS)                               \
    X("ec2", "DescribeNetworkInterfaces", ec2_describe_interfaces, READS)                          \
    X("ec2", "DescribeAccountAttributes", ec2_describe_account, READS)                             \
    X("ec2", "CreateTags", ec2_create_tags, WRITES)                                                \
    X("ec2", "DeleteTags", ec2_delete_tags, WRITES)                                                \
    X("ec2", "DescribeTags", ec2_describe_tags, READS)                                             \
    X("sts", "GetCallerIdentity", sts_get_caller_identity, READS)                                  \
    X("weir", "DescribeTier", weir_describe_tier, READS)                                           \
    X("weir", "PutTierOption", weir_put_option, WRITES)                                            \
    X("weir", "PutDBProxyOptions", weir_put_proxy_options, WRITES)                                 \
    X("weir", "DeleteDBProxyOptions", weir_delete_proxy_options, WRITES)                           \
    X("weir", "DescribeDBProxyOptions", weir_describe_proxy_options, READS)                        \
    X("weir", "StopTier", weir_stop_tier, WRITES)                                                  \
    X("weir", "ListNodes", weir_list_nodes, READS)                                                 \
    X("weir", "ListRemarks", weir_list_remarks, READS)                                             \
    X("weir", "CreateJoinToken", weir_create_join_token, WRITES)                                   \
    X("weir", "JoinHost", weir_join_host, WRITES)                                                  \
    X("weir", "ListHosts", weir_list_hosts, READS)                                                 \
    X("weir", "DrainHost", weir_drain_host, WRITES)                                                \
    X("weir", "UndrainHost", weir_undrain_host, WRITES)                                            \
    X("weir", "RemoveHost", weir_remove_host, WRITES)                                              \
    X("weir", "ForceFailover", weir_force_failover, WRITES)                                        \
    X("weir", "ListEvents", weir_list_events, READS)                                               \
    X("weir", "GetAuthToken", weir_get_auth_token, READS)                                          \
    X("weir", "GetMasterUserPassword", weir_get_master_user_password, READS)                       \
    X("weir", "GetLog", weir_get_log, READS)                                                       \
    X("weir", "InjectFault", weir_inject_fault, READS)
/* clang-format on */

#define API_PROTOTYPE(service, operation, handler, writes) ApiHandler handler;
API_OPERATIONS(API_PROTOTYPE)
#undef API_PROTOTYPE

#endif
