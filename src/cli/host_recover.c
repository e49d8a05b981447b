/*
 * `weir host recover`: the hosts that vote in the tier's store are lost for good, and this one has
 * a copy of it (docs/hosts.md). It says so in DATA/host.json, and has serve start again, which does
 * it (src/serve/recover.c); engines and endpoints go on meanwhile.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/up/up_priv.h"

/* ---- whether it is so --------------------------------------------------------------------------
 */

static bool check_others(const Cli *cli, const HostFile *file, Err *err)
{
    size_t others = 0;
    size_t i;
    json_t *endpoint;
    json_array_foreach (member_array(file->etcd, "endpoints"), i, endpoint) {
        const char *text = json_string_value(endpoint);
        if (up_endpoint_is_here(cli, text)) {
            continue;
        }
        others++;
        if (store_endpoint_answers(text)) {
            return err_set(err, ERR_CONFLICT,
                           "%s, where the tier's store is, answers: it is not lost, and is not "
                           "to be replaced",
                           text);
        }
    }
    return others > 0 || err_set(err, ERR_CONFLICT,
                                 "this host alone votes in the tier's store, and needs no other "
                                 "one: `weir up`");
}

static bool refuse_alone(Err *err)
{
    return err_set(err, ERR_CONFLICT,
                   "the tier stands on one host: there is no other one that could be lost");
}

static bool check(const Cli *cli, const HostFile *file, Err *err)
{
    CLEANUP(mem_free_ptr) char *data = mem_printf("%s/" HOST_ETCD_DATA, cli->data_dir);
    if (file->etcd == NULL) {
        return refuse_alone(err);
    }
    if (!member_bool(file->etcd, "own", false)) {
        return err_set(err, ERR_CONFLICT,
                       "the tier's store is not in an etcd of Weir's: there is nothing that this "
                       "host could go on from");
    }
    bool again = member_str(file->etcd, HOST_ETCD_RECOVER, NULL) != NULL; /* one was cut off */
    if (!again && !file_exists(data)) {
        return err_set(err, ERR_CONFLICT,
                       "this host has no copy of the tier's store: say it on one of which `weir "
                       "host list` said that it votes or learns");
    }
    if (access(ETCD_RESTORE_PROGRAM, X_OK) != 0) {
        return err_set(
            err, ERR_NOT_FOUND,
            "etcdctl, which makes a store of the copy, is not installed: apt-get install "
            "etcd-client");
    }
    return check_others(cli, file, err);
}

/* When anything in the folder was written last. */
static bool folder_changed_ms(const char *folder, int64_t *ret_ms)
{
    DIR *dir = opendir(folder);
    struct stat info;
    *ret_ms = 0;
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] != '.' && fstatat(dirfd(dir), entry->d_name, &info, 0) == 0) {
            int64_t ms = info.st_mtim.tv_sec * MS_PER_S + info.st_mtim.tv_nsec / 1000000;
            *ret_ms = ms > *ret_ms ? ms : *ret_ms;
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return *ret_ms > 0;
}

/* ---- doing it ----------------------------------------------------------------------------------
 */

static bool wish(const Cli *cli, HostFile *file, Err *err)
{
    CLEANUP(mem_free_ptr)
    char *kept = mem_printf(HOST_ETCD_KEPT "%lld", (long long)time_wall_ms());
    if (member_str(file->etcd, HOST_ETCD_RECOVER, NULL) == NULL) {
        json_object_set_new(file->etcd, HOST_ETCD_RECOVER, json_string(kept));
    }
    return host_file_save(cli->data_dir, file, err);
}

/* Whoever serves starts again; engines and endpoints do not notice. */
static void serve_again(const Cli *cli)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/weir.lock", cli->data_dir);
    pid_t pid;
    if (file_lock_holder(path, &pid, NULL) && pid > 0) {
        kill(pid, SIGTERM);
    }
}

/* What another host has decided since then is not known here. */
static bool refuse_unsure(const Cli *cli, Err *err)
{
    CLEANUP(mem_free_ptr) char *data = mem_printf("%s/" HOST_ETCD_LOG, cli->data_dir);
    char when[TIME_ISO_SIZE];
    int64_t changed_ms = 0;
    if (!folder_changed_ms(data, &changed_ms)) {
        snprintf(when, sizeof(when), "?");
    } else {
        time_format_iso(changed_ms, when);
    }
    return err_set(
        err, ERR_INVALID,
        "the tier would go on from what this host has of its store, which heard of the "
        "others at %.19sZ last: what was decided after that is lost, and what engines "
        "have acknowledged by it. What was led on a lost host waits for `weir failover "
        "NAME --allow-data-loss`. Lost hosts must not come back with what they have. Add "
        "--yes to do it",
        when);
}

bool host_recover(Cli *cli, bool yes, Err *err)
{
    HostFile file;
    TierStart start = tier_start_none(cli);
    if (!host_file_load(cli->data_dir, &file, err)) {
        return err->code == ERR_NOT_FOUND ? refuse_alone(err) : false;
    }
    bool ok = check(cli, &file, err) && (yes || refuse_unsure(cli, err)) && wish(cli, &file, err);
    host_file_done(&file);
    TRY(ok);
    if (!tier_is_up(cli) && !tier_is_supervised(cli)) {
        printf("The next `weir up` goes on from what this host has of the store, unless one of the "
               "others answers by then.\n");
        return true;
    }
    serve_again(cli);
    if (!tier_wait_for_api(cli, &start, err)) {
        return err_wrap(err, "it may still be on its way");
    }
    printf("The tier goes on from what this host has of the store. What was led on a host that is "
           "lost waits for your word: weir failover NAME --allow-data-loss. `weir host list` shows "
           "those that are lost: weir host remove NAME.\n");
    return true;
}
