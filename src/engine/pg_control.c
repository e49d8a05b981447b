/* What the control file of a data directory says, by pg_controldata. */
#include "engine/engine_priv.h"

#define CONTROL_WAIT_MS (10 * MS_PER_S)

bool pg_control_read(const PgSpec *spec, Buf *out, Err *err)
{
    CLEANUP(mem_free_ptr) char *program = mem_printf("%s/pg_controldata", spec->install.bin_dir);
    const char *const argv[] = {program, spec->paths.data, NULL};
    CommandResult result;
    bool ok = pg_program_run(spec, argv, CONTROL_WAIT_MS, &result, err);
    if (ok) {
        buf_append_slice(out, buf_slice(&result.out));
    }
    command_result_done(&result);
    return ok;
}

Slice pg_control_value(Slice text, const char *label, char separator)
{
    while (text.len > 0) {
        Slice line = slice_cut(&text, '\n');
        if (slice_is(slice_trim(slice_cut(&line, separator)), label)) {
            return slice_trim(line);
        }
    }
    return SLICE("");
}

void pg_recovered_parse(Slice control_data, int64_t *ret_timeline, uint64_t *ret_lsn)
{
    Slice lsn = pg_control_value(control_data, "Minimum recovery ending location", ':');
    Slice timeline = pg_control_value(control_data, "Min recovery ending loc's timeline", ':');
    if (!pg_lsn_parse(lsn, ret_lsn) || !str_to_i64(timeline, ret_timeline)) {
        *ret_timeline = 0;
        *ret_lsn = 0;
    }
}

bool pg_recovered(const PgSpec *spec, int64_t *ret_timeline, uint64_t *ret_lsn, Err *err)
{
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    bool ok = pg_control_read(spec, &text, err);
    pg_recovered_parse(buf_slice(&text), ret_timeline, ret_lsn);
    buf_done(&text);
    return ok || err_wrap(err, "reading the control file");
}
