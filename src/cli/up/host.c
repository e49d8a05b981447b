/*
 * Which host of its tier a folder is: what `weir up` is told at its first start, by --name, --zone
 * and --net, and how a further one joins, by --join (docs/hosts.md).
 */
#include <stdio.h>

#include "cli/up/up_priv.h"
#include "engine/engine.h"

bool tier_has_store(const Cli *cli)
{
    HostFile file;
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/weir.sqlite", cli->data_dir);
    if (file_exists(path)) {
        return true;
    }
    bool has = host_file_load(cli->data_dir, &file, NULL);
    if (has) {
        has = file.etcd != NULL;
        host_file_done(&file);
    }
    return has;
}

bool up_endpoint_is_here(const Cli *cli, const char *endpoint)
{
    ClientSettings settings;
    if (!client_settings_load(cli->data_dir, &settings, NULL)) {
        return false;
    }
    const char *port = strrchr(settings.endpoint, ':');
    size_t len = port != NULL ? (size_t)(port - settings.endpoint) : 0;
    bool here = len > 0 && strncmp(endpoint, settings.endpoint, len + 1) == 0;
    client_settings_done(&settings);
    return here;
}

bool tier_waits_for_hosts(const Cli *cli)
{
    HostFile file;
    bool waits = false;
    size_t i;
    json_t *endpoint;
    CLEANUP(mem_free_ptr) char *settings = mem_printf("%s/" CLIENT_FILE, cli->data_dir);
    if (!file_exists(settings) || !host_file_load(cli->data_dir, &file, NULL)) {
        return false; /* who comes up for the first time has just been let in by others */
    }
    if (member_bool(file.etcd, "own", false)) {
        json_array_foreach (member_array(file.etcd, "endpoints"), i, endpoint) {
            waits = waits || !up_endpoint_is_here(cli, json_string_value(endpoint));
        }
    }
    host_file_done(&file);
    return waits;
}

bool up_host_is_asked(const Up *up)
{
    return up->join != NULL || up->name != NULL || up->zone != NULL || up->net != NULL;
}

static bool join(const Up *up, const Cli *cli, Err *err)
{
    Err missing;
    if (up->name == NULL || up->zone == NULL) {
        return err_set(err, ERR_INVALID,
                       "--join needs the host's --name, and the --zone that it is in");
    }
    bool complete = engine_all_installed(&missing);
    if (!complete && !up->no_engines) {
        fprintf(stderr, "The host takes no engines: %s. Once it is there: weir host undrain %s\n",
                missing.message, up->name);
    }
    fputs("Joining the tier; one that stood on one host moves its store to etcd first…\n", stderr);
    const JoinWish wish = {.token = up->join,
                           .name = up->name,
                           .zone = up->zone,
                           .net = up->net != NULL ? up->net : "",
                           .no_engines = up->no_engines || !complete};
    TRY(client_join(cli->data_dir, &wish, err));
    fprintf(stderr, "The host is %s of the tier now.\n", up->name);
    return true;
}

/* What is not said stays; the name of a host that has something stays, too. */
static bool take(HostFile *file, const Up *up, bool has_store, Err *err)
{
    const char *name = up->name != NULL        ? up->name
                       : file->name[0] != '\0' ? file->name
                                               : HOST_NAME_ALONE;
    const char *before = file->name[0] != '\0' ? file->name : HOST_NAME_ALONE;
    const char *zone = up->zone != NULL ? up->zone : file->zone;
    const char *net = up->net != NULL ? up->net : file->net;
    if (has_store && strcmp(name, before) != 0) {
        return err_set(
            err, ERR_CONFLICT,
            "this host is %s of its tier, which knows it by that name: leave --name out, "
            "or choose another --data folder",
            before);
    }
    if (strcmp(net, file->net) != 0 && member_bool(file->etcd, "own", false)) {
        return err_set(err, ERR_CONFLICT,
                       "the other hosts of the tier know this one by its net %s: leave --net out, "
                       "or take the host out and join it anew under another name",
                       file->net[0] != '\0' ? file->net : "of 127/8");
    }
    if (zone[0] == '\0') {
        return err_set(err, ERR_INVALID, "say the --zone that the host is in, too");
    }
    TRY(host_name_check(name, err) && host_zone_check(zone, err) && host_net_check(net, err));
    char copy[HOST_NAME_SIZE];
    snprintf(copy, sizeof(copy), "%s", name); /* it may be in the file already */
    memcpy(file->name, copy, sizeof(copy));
    file->zone[0] = zone[0];
    snprintf(copy, sizeof(copy), "%s", net);
    snprintf(file->net, sizeof(file->net), "%.7s", copy);
    return true;
}

static bool name_host(const Up *up, const Cli *cli, Err *err)
{
    HostFile file = {0};
    Err failed;
    if (!host_file_load(cli->data_dir, &file, &failed) && failed.code != ERR_NOT_FOUND) {
        return err_set(err, failed.code, "%s", failed.message);
    }
    bool ok = take(&file, up, tier_has_store(cli), err) && dir_make(cli->data_dir, 0711, err) &&
              host_file_save(cli->data_dir, &file, err);
    host_file_done(&file);
    return ok;
}

bool up_host_prepare(const Up *up, const Cli *cli, Err *err)
{
    if (up->no_engines && up->join == NULL) {
        return err_set(err, ERR_INVALID,
                       "--no-engines is for a host that joins; of one that is there `weir host "
                       "drain` takes them away");
    }
    if (!up_host_is_asked(up)) {
        return true;
    }
    return up->join != NULL ? join(up, cli, err) : name_host(up, cli, err);
}
