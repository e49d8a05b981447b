/*
 * The end of everything in a tier, through the API like anybody else: first what uses others, then
 * what is used. Protection is taken off first, and said; nothing is kept as a final snapshot.
 */
#include <stdio.h>
#include <time.h>

#include "cli/up/up_priv.h"
#include "model/model.h"

#define WAIT_MS (600 * MS_PER_S)
#define POLL_MS 200
#define LOST_MS (10 * MS_PER_S) /* then one that does not answer will not soon */

/* A kind of resource that is simply deleted, one call each. */
typedef struct Kind {
    const char *service;
    const char *describe;
    const char *list;
    const char *name; /* the member that names it, in the description and in the delete call */
    const char *destroy;
    const char *kept; /* names with this prefix are the tier's own */
} Kind;

static const Kind users[] = {
    {"rds", "DescribeDBProxies", "DBProxies", "DBProxyName", "DeleteDBProxy", NULL},
    {"elasticache", "DescribeReplicationGroups", "ReplicationGroups", "ReplicationGroupId",
     "DeleteReplicationGroup", NULL},
};

static const Kind used[] = {
    {"rds", "DescribeDBParameterGroups", "DBParameterGroups", "DBParameterGroupName",
     "DeleteDBParameterGroup", "default"},
    {"rds", "DescribeDBSubnetGroups", "DBSubnetGroups", "DBSubnetGroupName", "DeleteDBSubnetGroup",
     "default"},
    {"elasticache", "DescribeCacheParameterGroups", "CacheParameterGroups",
     "CacheParameterGroupName", "DeleteCacheParameterGroup", "default"},
    {"elasticache", "DescribeCacheSubnetGroups", "CacheSubnetGroups", "CacheSubnetGroupName",
     "DeleteCacheSubnetGroup", "default"},
    {"ec2", "DescribeSecurityGroups", "SecurityGroups", "GroupId", "DeleteSecurityGroup",
     MODEL_DEFAULT_SECURITY_GROUP_ID},
};

/* Takes the input. */
static bool call(Cli *cli, const char *service, const char *operation, json_t *input, Err *err)
{
    json_t *output = cli_call(cli, service, operation, input, err);
    json_decref(output);
    return output != NULL;
}

static bool is_going(const json_t *resource)
{
    const char *status =
        member_str(resource, "DBInstanceStatus", member_str(resource, "Status", ""));
    return strcmp(status, "deleting") == 0;
}

static bool kind_destroy(Cli *cli, const Kind *kind, Err *err)
{
    CLEANUP(record_free_ptr)
    json_t *list = cli_list(cli, kind->service, kind->describe, kind->list, err);
    size_t i;
    json_t *resource;
    json_array_foreach (list, i, resource) {
        const char *name = member_str(resource, kind->name, "");
        if (is_going(resource) ||
            (kind->kept != NULL && strncmp(name, kind->kept, strlen(kind->kept)) == 0)) {
            continue;
        }
        TRY(call(cli, kind->service, kind->destroy, json_pack("{s:s}", kind->name, name), err));
        fprintf(stderr, "removed %s\n", name);
    }
    return list != NULL;
}

static bool secrets_destroy(Cli *cli, Err *err)
{
    CLEANUP(record_free_ptr)
    json_t *output = cli_call(cli, "secretsmanager", "ListSecrets",
                              json_pack("{s:b}", "IncludePlannedDeletion", 1), err);
    size_t i;
    json_t *secret;
    json_array_foreach (member_array(output, "SecretList"), i, secret) {
        const char *name = member_str(secret, "Name", "");
        TRY(call(cli, "secretsmanager", "DeleteSecret",
                 json_pack("{s:s, s:b}", "SecretId", name, "ForceDeleteWithoutRecovery", 1), err));
        fprintf(stderr, "removed %s\n", name);
    }
    return output != NULL;
}

/* ---- instances: protection first, replicas before their sources -------------------------------
 */

static bool unprotect(Cli *cli, const char *name, Err *err)
{
    return call(cli, "rds", "ModifyDBInstance",
                json_pack("{s:s, s:b, s:b}", "DBInstanceIdentifier", name, "DeletionProtection", 0,
                          "ApplyImmediately", 1),
                err);
}

static bool instance_destroy(Cli *cli, const json_t *instance, Err *err)
{
    const char *name = member_str(instance, "DBInstanceIdentifier", "");
    bool was_protected = member_bool(instance, "DeletionProtection", false);
    TRY(!was_protected || unprotect(cli, name, err));
    TRY(call(cli, "rds", "DeleteDBInstance",
             json_pack("{s:s, s:b, s:b}", "DBInstanceIdentifier", name, "SkipFinalSnapshot", 1,
                       "DeleteAutomatedBackups", 1),
             err));
    fprintf(stderr, "removed %s%s\n", name, was_protected ? " (it was protected)" : "");
    return true;
}

/* Those that nobody replicates from. *ret_left: how many there still are. */
static bool leaves_destroy(Cli *cli, size_t *ret_left, Err *err)
{
    CLEANUP(record_free_ptr)
    json_t *list = cli_list(cli, "rds", "DescribeDBInstances", "DBInstances", err);
    size_t i;
    json_t *instance;
    json_array_foreach (list, i, instance) {
        const json_t *replicas = member_array(instance, "ReadReplicaDBInstanceIdentifiers");
        if (!is_going(instance) && json_array_size(replicas) == 0) {
            TRY(instance_destroy(cli, instance, err));
        }
    }
    *ret_left = json_array_size(list);
    return list != NULL;
}

static bool count_left(Cli *cli, const Kind *kind, size_t *left, Err *err)
{
    CLEANUP(record_free_ptr)
    json_t *list = cli_list(cli, kind->service, kind->describe, kind->list, err);
    *left += json_array_size(list);
    return list != NULL;
}

/* Nobody can say of its engines that they are gone. */
static bool check_hosts(Cli *cli, Err *err)
{
    CLEANUP(record_free_ptr) json_t *list = cli_list(cli, "weir", "ListHosts", "Hosts", err);
    size_t i;
    json_t *host;
    json_array_foreach (list, i, host) {
        const char *name = member_str(host, "HostName", "");
        if (strcmp(member_str(host, "State", ""), "silent") == 0 &&
            json_array_size(member_array(host, "Nodes")) > 0) {
            return err_set(err, ERR_UNAVAILABLE,
                           "host %s is silent, and has engines of what is removed: bring it back, "
                           "or take it out (weir host remove %s), and say it again",
                           name, name);
        }
    }
    return list != NULL;
}

static bool until_gone(Cli *cli, Err *err)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000};
    int64_t begun_ms = time_mono_ms();
    for (; time_mono_ms() - begun_ms < WAIT_MS; nanosleep(&pause, NULL)) {
        size_t left = 0;
        TRY(leaves_destroy(cli, &left, err));
        for (size_t i = 0; i < ARRAY_LEN(users); i++) {
            TRY(count_left(cli, &users[i], &left, err));
        }
        if (left == 0) {
            return true;
        }
        TRY(time_mono_ms() - begun_ms < LOST_MS || check_hosts(cli, err));
    }
    return err_set(err, ERR_TIMEOUT, "not everything is gone after %d s: see `weir status`",
                   (int)(WAIT_MS / MS_PER_S));
}

bool up_destroy_all(Cli *cli, Err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(users); i++) {
        TRY(kind_destroy(cli, &users[i], err));
    }
    TRY(until_gone(cli, err));
    for (size_t i = 0; i < ARRAY_LEN(used); i++) {
        TRY(kind_destroy(cli, &used[i], err));
    }
    return secrets_destroy(cli, err);
}
