/* host.json: which host of its tier a data folder is, and where the tier's store is. Without it the
 * folder is of a tier of one host. Mode 0600; the write of it is what a join, or the move of a
 * store, ends with. */
#include <stdio.h>

#include "client/client.h"

#define FILE_MAX_BYTES ((size_t)64 << 10)

static char *file_path(const char *data_dir)
{
    return mem_printf("%s/" CLIENT_HOST_FILE, data_dir);
}

void host_file_done(HostFile *file)
{
    json_decref(file->etcd);
    mem_free(file->tier);
    mem_free(file->join);
    *file = (HostFile){0};
}

static bool text_take(const json_t *root, const char *name, char *out, size_t size,
                      bool (*check)(const char *text, Err *err), Err *err)
{
    const char *text = member_str(root, name, "");
    TRY(check(text, err));
    snprintf(out, size, "%s", text);
    return true;
}

static bool etcd_check(const HostFile *file, Err *err)
{
    size_t count = json_array_size(member_array(file->etcd, "endpoints"));
    if (member_bool(file->etcd, "own", false) && file->tier == NULL) {
        return err_set(err, ERR_INVALID, "etcd.own needs the id of the tier");
    }
    return (count >= 1 && count <= CLIENT_ETCD_MAX) ||
           err_set(err, ERR_INVALID, "etcd.endpoints must be 1 to %d addresses", CLIENT_ETCD_MAX);
}

static bool file_take(const json_t *root, HostFile *file, Err *err)
{
    const json_t *etcd = member_object(root, "etcd");
    file->etcd = json_deep_copy(etcd);
    file->tier = mem_strdup(member_str(root, "tier", NULL));
    file->join = mem_strdup(member_str(root, "join", NULL));
    return text_take(root, "name", file->name, sizeof(file->name), host_name_check, err) &&
           text_take(root, "zone", file->zone, sizeof(file->zone), host_zone_check, err) &&
           text_take(root, "net", file->net, sizeof(file->net), host_net_check, err) &&
           (etcd == NULL || etcd_check(file, err));
}

bool host_file_load(const char *data_dir, HostFile *ret_file, Err *err)
{
    CLEANUP(mem_free_ptr) char *path = file_path(data_dir);
    CLEANUP(record_free_ptr) json_t *root = NULL;
    HostFile file = {0};
    Buf text;
    buf_init(&text, FILE_MAX_BYTES);
    bool read = file_read(path, &text, err);
    bool ok = read && record_parse(buf_slice(&text), &root, err) && file_take(root, &file, err);
    buf_done(&text);
    if (!ok) {
        host_file_done(&file);
        return read ? err_wrap(err, "%s", path) : false;
    }
    *ret_file = file;
    return true;
}

bool host_file_save(const char *data_dir, const HostFile *file, Err *err)
{
    CLEANUP(mem_free_ptr) char *path = file_path(data_dir);
    CLEANUP(record_free_ptr)
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:s*, s:s*, s:O*}", "name", file->name, "zone", file->zone,
                  "net", file->net, "tier", file->tier, "join", file->join, "etcd", file->etcd);
    ASSERT(root != NULL);
    char *text = json_dumps(root, JSON_INDENT(1));
    bool ok = file_write(path, slice_of(text), 0600, err);
    mem_free(text);
    return ok;
}
