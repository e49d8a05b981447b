/* The tier as the API describes it, for status, up and env. */
#include <stdio.h>

#include "cli/cli_priv.h"
#include "model/model.h"

static bool view_add(Cli *cli, json_t *view, const char *name, const char *service,
                     const char *operation, const char *member, Err *err)
{
    json_t *list = cli_list(cli, service, operation, member, err);
    return list != NULL && json_object_set_new(view, name, list) == 0;
}

json_t *view_load(Cli *cli, Err *err)
{
    json_t *view = json_object();
    if (view_add(cli, view, "instances", "rds", "DescribeDBInstances", "DBInstances", err) &&
        view_add(cli, view, "proxies", "rds", "DescribeDBProxies", "DBProxies", err) &&
        view_add(cli, view, "endpoints", "rds", "DescribeDBProxyEndpoints", "DBProxyEndpoints",
                 err) &&
        view_add(cli, view, "caches", "elasticache", "DescribeReplicationGroups",
                 "ReplicationGroups", err) &&
        view_add(cli, view, "nodes", "weir", "ListNodes", "Nodes", err) &&
        view_add(cli, view, "remarks", "weir", "ListRemarks", "Remarks", err)) {
        return view;
    }
    json_decref(view);
    return NULL;
}

const json_t *view_find(const json_t *list, const char *member, const char *value)
{
    size_t i;
    json_t *item;
    json_array_foreach ((json_t *)(uintptr_t)list, i, item) {
        if (strcmp(member_str(item, member, ""), value) == 0) {
            return item;
        }
    }
    return NULL;
}

const char *view_instance_endpoint(Arena *arena, const json_t *instance)
{
    const json_t *endpoint = member_object(instance, "Endpoint");
    const char *host = member_str(endpoint, "Address", "");
    return host[0] == '\0'
               ? ""
               : arena_printf(arena, "%s:%d", host, (int)member_int(endpoint, "Port", 5432));
}

bool view_cache_endpoint(const json_t *group, const char *member, const char **ret_host,
                         int *ret_port)
{
    const json_t *node_group = json_array_get(member_array(group, "NodeGroups"), 0);
    const json_t *endpoint = member_object(node_group, member);
    const char *host = member_str(endpoint, "Address", "");
    if (host[0] == '\0') {
        return false;
    }
    *ret_host = host;
    *ret_port = (int)member_int(endpoint, "Port", 6379);
    return true;
}

const ViewKind view_kinds[4] = {
    {RESOURCE_DB_INSTANCE, "instances", "DBInstanceIdentifier", "DBInstanceStatus"},
    {RESOURCE_DB_PROXY, "proxies", "DBProxyName", "Status"},
    {RESOURCE_DB_PROXY_ENDPOINT, "endpoints", "DBProxyEndpointName", "Status"},
    {RESOURCE_REPLICATION_GROUP, "caches", "ReplicationGroupId", "Status"},
};

/* ---- resources ---------------------------------------------------------------------------------
 */

static const char *instance_kind(const json_t *instance)
{
    if (member_str(instance, "ReadReplicaSourceDBInstanceIdentifier", "")[0] != '\0') {
        return "read replica";
    }
    return member_bool(instance, "MultiAZ", false) ? "instance, Multi-AZ" : "instance";
}

static void add_instances(Arena *arena, Table *table, const json_t *view)
{
    size_t i;
    json_t *instance;
    json_array_foreach (member_array(view, "instances"), i, instance) {
        const json_t *group = json_array_get(member_array(instance, "DBParameterGroups"), 0);
        bool reboot = strcmp(member_str(group, "ParameterApplyStatus", ""), "pending-reboot") == 0;
        const char *const cells[] = {
            member_str(instance, "DBInstanceIdentifier", ""), instance_kind(instance),
            member_str(instance, "DBInstanceStatus", ""), view_instance_endpoint(arena, instance),
            reboot ? "parameters wait for a reboot" : ""};
        table_row(table, cells);
    }
}

static const char *proxy_endpoint(Arena *arena, const json_t *item)
{
    const char *host = member_str(item, "Endpoint", "");
    return host[0] != '\0' ? arena_printf(arena, "%s:5432", host) : "";
}

/* Each proxy, and behind it its further endpoints. */
static void add_proxies(Arena *arena, Table *table, const json_t *view)
{
    size_t i;
    size_t k;
    json_t *proxy;
    json_t *item;
    json_array_foreach (member_array(view, "proxies"), i, proxy) {
        const char *name = member_str(proxy, "DBProxyName", "");
        const char *const cells[] = {name, "proxy", member_str(proxy, "Status", ""),
                                     proxy_endpoint(arena, proxy), ""};
        table_row(table, cells);
        json_array_foreach (member_array(view, "endpoints"), k, item) {
            if (strcmp(member_str(item, "DBProxyName", ""), name) == 0) {
                const char *role = member_str(item, "TargetRole", "");
                const char *const row[] = {
                    member_str(item, "DBProxyEndpointName", ""),
                    strcmp(role, "READ_ONLY") == 0 ? "proxy, reader endpoint" : "proxy, endpoint",
                    member_str(item, "Status", ""), proxy_endpoint(arena, item),
                    arena_printf(arena, "of %s", name)};
                table_row(table, row);
            }
        }
    }
}

static void add_caches(Arena *arena, Table *table, const json_t *view)
{
    static const char *const endpoints[][2] = {{"PrimaryEndpoint", "cache, primary endpoint"},
                                               {"ReaderEndpoint", "cache, reader endpoint"}};
    size_t i;
    json_t *group;
    json_array_foreach (member_array(view, "caches"), i, group) {
        for (size_t k = 0; k < ARRAY_LEN(endpoints); k++) {
            const char *host = "";
            int port = 0;
            bool there = view_cache_endpoint(group, endpoints[k][0], &host, &port);
            const char *const cells[] = {member_str(group, "ReplicationGroupId", ""),
                                         endpoints[k][1], member_str(group, "Status", ""),
                                         there ? arena_printf(arena, "%s:%d", host, port) : "", ""};
            table_row(table, cells);
        }
    }
}

#define REMARK_INDENT "  "

static bool is_later(const json_t *remark)
{
    return strcmp(member_str(remark, "Kind", ""), "not-in-effect") == 0;
}

/* One paragraph for all: each kind of resource with what some of them have. */
static void print_later(const json_t *view, FILE *out)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    for (size_t k = 0; k < ARRAY_LEN(view_kinds); k++) {
        const char *list = NULL;
        size_t i;
        json_t *remark;
        json_array_foreach (member_array(view, "remarks"), i, remark) {
            const char *names = strchr(member_str(remark, "Message", ""), ':');
            bool ours = strcmp(member_str(remark, "ResourceType", ""),
                               resource_type_name(view_kinds[k].type)) == 0;
            if (ours && is_later(remark) && names != NULL) {
                list = text_merge(arena, list, names + 1);
            }
        }
        if (list != NULL) {
            buf_append_str(&text, text.len == 0 ? "\nNot yet in effect:\n" : "");
            text_wrap(arena_printf(arena, "%s: %s", view_kinds[k].list, list), REMARK_INDENT,
                      cli_columns(out), &text);
        }
    }
    fputs(buf_str(&text), out);
    buf_done(&text);
}

/* One paragraph per resource that has something to say. */
static void print_remarks(const json_t *view, FILE *out)
{
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    const char *before = "";
    size_t i;
    json_t *remark;
    json_array_foreach (member_array(view, "remarks"), i, remark) {
        const char *id = member_str(remark, "ResourceId", "");
        if (is_later(remark)) {
            continue;
        }
        if (strcmp(id, before) != 0) {
            buf_printf(&text, "\n%s\n", id);
        }
        text_wrap(member_str(remark, "Message", ""), REMARK_INDENT, cli_columns(out), &text);
        before = id;
    }
    fputs(buf_str(&text), out);
    buf_done(&text);
}

bool view_is_empty(const json_t *view)
{
    return json_array_size(member_array(view, "instances")) +
               json_array_size(member_array(view, "proxies")) +
               json_array_size(member_array(view, "caches")) ==
           0;
}

void view_print_resources(const json_t *view, bool later, FILE *out)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    static const char *const head[] = {"NAME", "KIND", "STATUS", "ENDPOINT", "NOTE"};
    Table table;
    table_init(&table, ARRAY_LEN(head), 2);
    table_row(&table, head);
    add_instances(arena, &table, view);
    add_proxies(arena, &table, view);
    add_caches(arena, &table, view);
    table_print(&table, out);
    table_done(&table);
    print_remarks(view, out);
    if (later) {
        print_later(view, out);
    }
}

/* ---- nodes -------------------------------------------------------------------------------------
 */

void view_print_nodes(const json_t *view, FILE *out)
{
    static const char *const head[] = {"NODE", "OF", "ROLE", "AZ", "STATE", "SYNC", "ERROR"};
    Table table;
    table_init(&table, ARRAY_LEN(head), 4);
    table_row(&table, head);
    size_t i;
    json_t *node;
    json_array_foreach (member_array(view, "nodes"), i, node) {
        const char *const cells[] = {
            member_str(node, "NodeId", ""),   member_str(node, "ResourceId", ""),
            member_str(node, "Role", ""),     member_str(node, "Zone", ""),
            member_str(node, "State", ""),    member_str(node, "SyncState", ""),
            member_str(node, "LastError", "")};
        table_row(&table, cells);
    }
    table_print(&table, out);
    table_done(&table);
}
