/* The physical slots of a primary, one per node that follows it (RULES F4); and its walsenders. */
#include "engine/engine_priv.h"

/* `sql` has the slot's name as its parameter. */
static bool slot_command(PgSession *session, const char *sql, const char *incarnation, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    char name[PG_STANDBY_NAME_SIZE];
    pg_standby_name(incarnation, name);
    const char *const params[] = {name};
    char *ignored = NULL;
    return pg_value(session, arena, sql, params, 1, &ignored, err);
}

bool pg_slot_ensure(PgSession *session, const char *incarnation, Err *err)
{
    return slot_command(session,
                        "SELECT pg_create_physical_replication_slot($1, true) WHERE NOT EXISTS"
                        " (SELECT FROM pg_replication_slots WHERE slot_name = $1)",
                        incarnation, err);
}

bool pg_slots_idle(PgSession *session, Arena *arena, PgSlots *ret_slots, Err *err)
{
    PgRows rows;
    TRY(pg_rows(session, arena,
                "SELECT substr(slot_name, length('weir_') + 1) FROM pg_replication_slots"
                " WHERE NOT active AND slot_type = 'physical' AND slot_name LIKE 'weir\\_%'",
                NULL, 0, &rows, err));
    *ret_slots = (PgSlots){rows.cells, rows.rows};
    return true;
}

bool pg_slot_drop(PgSession *session, const char *incarnation, Err *err)
{
    return slot_command(session,
                        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                        " WHERE slot_name = $1 AND NOT active",
                        incarnation, err);
}

bool pg_walsenders_end(PgSession *session, Err *err)
{
    return pg_exec(session,
                   "SELECT pg_terminate_backend(pid) FROM pg_stat_replication"
                   " WHERE application_name LIKE 'weir\\_%' AND application_name <> 'weir_clone'",
                   err);
}
