/*
 * A SQLite file system that can be told to fail: put in front of the real one as the default, so
 * that the store under test needs no door for it. Version 1 methods only: the store uses no shared
 * memory. Also knows whether a log has bytes that were not synced.
 */
#ifndef WEIR_TESTS_FAULT_VFS_H
#define WEIR_TESTS_FAULT_VFS_H

#include <sqlite3.h>

#include "base/base.h"

typedef struct Faults {
    int syncs;       /* this many syncs fail; negative: all */
    int writes;      /* the same for writes */
    int write_error; /* SQLITE_FULL or SQLITE_IOERR_WRITE */
    bool log_dirty;
    int log_syncs;
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
} Faults;

typedef struct FaultFile {
    sqlite3_file base;
    Faults *faults;
    bool log;
    sqlite3_file *real; /* behind this struct */
} FaultFile;

static inline sqlite3_file *real_of(sqlite3_file *file)
{
    return ((FaultFile *)file)->real;
}

static inline bool fault_due(int *count)
{
    if (*count > 0) {
        (*count)--;
        return true;
    }
    return *count < 0;
}

static inline int fault_close(sqlite3_file *file)
{
    return real_of(file)->pMethods->xClose(real_of(file));
}

static inline int fault_read(sqlite3_file *file, void *out, int len, sqlite3_int64 at)
{
    return real_of(file)->pMethods->xRead(real_of(file), out, len, at);
}

static inline int fault_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 at)
{
    FaultFile *own = (FaultFile *)file;
    if (fault_due(&own->faults->writes)) {
        return own->faults->write_error;
    }
    own->faults->log_dirty = own->faults->log_dirty || own->log;
    return own->real->pMethods->xWrite(own->real, data, len, at);
}

static inline int fault_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static inline int fault_sync(sqlite3_file *file, int flags)
{
    FaultFile *own = (FaultFile *)file;
    if (fault_due(&own->faults->syncs)) {
        return SQLITE_IOERR_FSYNC;
    }
    if (own->log) {
        own->faults->log_dirty = false;
        own->faults->log_syncs++;
    }
    return own->real->pMethods->xSync(own->real, flags);
}

static inline int fault_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), size);
}

static inline int fault_lock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static inline int fault_unlock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static inline int fault_reserved(sqlite3_file *file, int *out)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), out);
}

static inline int fault_control(sqlite3_file *file, int op, void *argument)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), op, argument);
}

static inline int fault_sector(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static inline int fault_traits(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static const sqlite3_io_methods fault_methods = {
    .iVersion = 1,
    .xClose = fault_close,
    .xRead = fault_read,
    .xWrite = fault_write,
    .xTruncate = fault_truncate,
    .xSync = fault_sync,
    .xFileSize = fault_size,
    .xLock = fault_lock,
    .xUnlock = fault_unlock,
    .xCheckReservedLock = fault_reserved,
    .xFileControl = fault_control,
    .xSectorSize = fault_sector,
    .xDeviceCharacteristics = fault_traits,
};

static inline int fault_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                             int *out_flags)
{
    FaultFile *own = (FaultFile *)file;
    own->faults = vfs->pAppData;
    own->log = (flags & SQLITE_OPEN_WAL) != 0;
    own->real = (sqlite3_file *)(own + 1);
    int code = own->faults->real->xOpen(own->faults->real, name, own->real, flags, out_flags);
    own->base.pMethods = code == SQLITE_OK ? &fault_methods : NULL;
    return code;
}

static inline void faults_install(Faults *faults)
{
    *faults = (Faults){.write_error = SQLITE_FULL};
    faults->real = sqlite3_vfs_find(NULL);
    faults->vfs = *faults->real; /* everything but opening is the real one's */
    faults->vfs.zName = "weir-faults";
    faults->vfs.szOsFile += (int)sizeof(FaultFile);
    faults->vfs.pAppData = faults;
    faults->vfs.xOpen = fault_open;
    faults->vfs.pNext = NULL;
    ASSERT(sqlite3_vfs_register(&faults->vfs, 1) == SQLITE_OK);
}

static inline void faults_remove(Faults *faults)
{
    sqlite3_vfs_unregister(&faults->vfs);
    sqlite3_vfs_register(faults->real, 1);
}

#endif
