/* What the host knows of a postmaster that does not answer (proc(5), /proc/PID/stat). */
#include <stdio.h>

#include "engine/engine_priv.h"

#define TEXT_MAX ((size_t)4096)

static bool pid_read(const EnginePaths *paths, int64_t *ret_pid)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/postmaster.pid", paths->data);
    Buf text;
    buf_init(&text, TEXT_MAX);
    bool ok = file_read(path, &text, NULL);
    Slice rest = buf_slice(&text);
    ok = ok && str_to_i64(slice_trim(slice_cut(&rest, '\n')), ret_pid) && *ret_pid > 1;
    buf_done(&text);
    return ok;
}

bool pg_is_halted(const EnginePaths *paths)
{
    int64_t pid;
    if (!pid_read(paths, &pid)) {
        return false;
    }
    CLEANUP(mem_free_ptr) char *path = mem_printf("/proc/%lld/stat", (long long)pid);
    Buf text;
    buf_init(&text, TEXT_MAX);
    bool ok = file_read(path, &text, NULL);
    const char *name_end =
        ok ? strrchr(buf_str(&text), ')') : NULL; /* the name may hold anything */
    bool halted = name_end != NULL && strncmp(name_end, ") T", 3) == 0;
    buf_done(&text);
    return halted;
}
