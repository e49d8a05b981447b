/*
 * The gate through which clients reach a PostgreSQL: a second name, by hard link, for the socket of
 * one running engine, in the folder that the data plane may enter. A new engine makes a new socket,
 * to which the old name does not lead. So the gate closes by itself with the engine that it was
 * opened for, and nobody gets into the next one before it is opened again (RULES F7).
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/engine_priv.h"

static char *socket_path(const char *folder)
{
    return mem_printf("%s/.s.PGSQL.%d", folder, PG_PORT);
}

bool pg_gate_is_open(const EnginePaths *paths)
{
    CLEANUP(mem_free_ptr) char *engine = socket_path(paths->socket_dir);
    CLEANUP(mem_free_ptr) char *gate = socket_path(paths->client_dir);
    struct stat engine_info;
    struct stat gate_info;
    return stat(engine, &engine_info) == 0 && stat(gate, &gate_info) == 0 &&
           engine_info.st_dev == gate_info.st_dev && engine_info.st_ino == gate_info.st_ino;
}

bool pg_gate_open(const EnginePaths *paths, gid_t readers, Err *err)
{
    CLEANUP(mem_free_ptr) char *engine = socket_path(paths->socket_dir);
    CLEANUP(mem_free_ptr) char *gate = socket_path(paths->client_dir);
    const ProcessAccount ours = {.uid = geteuid()};
    TRY(engine_dir_make(paths->client_dir, &ours, readers, 0750, err));
    if (unlink(gate) != 0 && errno != ENOENT) {
        return err_set_errno(err, errno, "cannot remove %s", gate);
    }
    return link(engine, gate) == 0 ||
           err_set_errno(err, errno, "cannot open %s to clients", engine);
}
