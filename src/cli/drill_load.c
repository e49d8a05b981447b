/*
 * The load of a drill. Each writer is a psql that reads its statements from a pipe: what reaches
 * users is what reaches it, and a lost connection ends it, so that the next one begins anew.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/drill_priv.h"
#include "crypto/crypto.h"

#define PAUSE_MS   20    /* behind an error, before the next try */
#define END_MS     10000 /* for statements under way */
#define ANSWER_MS  60000 /* of statements that are not part of the load */
#define ANSWER_MAX ((size_t)256 << 20)
#define OVER       "=" /* what psql says when a statement has ended, well or not */

extern char **environ;

struct DrillWriter {
    pid_t pid; /* 0: none */
    int in, out;
    bool busy; /* a statement is under way */
    int64_t tried;
    int64_t again_ms;
    int64_t acked_ms;   /* the last one */
    VEC(uint8_t) acked; /* by number */
    Buf said;
};

/* ---- psql --------------------------------------------------------------------------------------
 */

static bool psql_spawn(const char *const *argv, pid_t *ret_pid, int *ret_in, int *ret_out, Err *err)
{
    int to[2] = {-1, -1}, from[2] = {-1, -1};
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) {
        err_set_errno(err, errno, "cannot make a pipe");
        fd_close(&to[0]);
        fd_close(&to[1]);
        return false;
    }
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, to[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, from[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, from[1], STDERR_FILENO);
    int failed =
        posix_spawnp(ret_pid, "psql", &files, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&files);
    fd_close(&to[0]);
    fd_close(&from[1]);
    if (failed != 0) {
        fd_close(&to[1]);
        fd_close(&from[0]);
        return err_set_errno(err, failed, "cannot run psql");
    }
    *ret_in = to[1];
    *ret_out = from[0];
    return true;
}

static void psql_end(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

/* One command to its end; what it said is in `out`. */
static bool psql_run(const char *sql, Buf *out, Err *err)
{
    const char *const argv[] = {"psql", "-XqAtF ", "-v", "ON_ERROR_STOP=1", "-c", sql, NULL};
    pid_t pid;
    int status = -1;
    CLEANUP(fd_close) int in = -1;
    CLEANUP(fd_close) int from = -1;
    TRY(psql_spawn(argv, &pid, &in, &from, err));
    fd_close(&in);
    int64_t end = time_mono_ms() + ANSWER_MS;
    for (ssize_t count = 1; count > 0;) {
        struct pollfd ready = {.fd = from, .events = POLLIN};
        char *room = buf_reserve(out, 65536);
        if (room == NULL || poll(&ready, 1, (int)(end - time_mono_ms())) <= 0) {
            kill(pid, SIGKILL);
            break;
        }
        count = read(from, room, 65536);
        buf_commit(out, count > 0 ? (size_t)count : 0);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return (WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
           err_set(err, ERR_UNAVAILABLE, "psql: %.*s", SLICE_FMT(slice_trim(buf_slice(out))));
}

/* The caller's text, which is freed. */
static bool psql_do(char *text, Err *err)
{
    CLEANUP(mem_free_ptr) char *sql = text;
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    bool ok = psql_run(sql, &out, err);
    buf_done(&out);
    return ok;
}

/* ---- a writer ----------------------------------------------------------------------------------
 */

static bool writer_start(DrillWriter *writer, Err *err)
{
    static const char *const argv[] = {"psql", "-XqAt", "-v", "VERBOSITY=sqlstate", NULL};
    buf_clear(&writer->said);
    writer->busy = false;
    return psql_spawn(argv, &writer->pid, &writer->in, &writer->out, err);
}

static void writer_end(DrillWriter *writer)
{
    fd_close(&writer->in);
    fd_close(&writer->out);
    if (writer->pid > 0) {
        psql_end(writer->pid);
    }
    writer->pid = 0;
}

static void writer_ask(const DrillLoad *load, DrillWriter *writer)
{
    CLEANUP(mem_free_ptr)
    char *text =
        mem_printf("INSERT INTO %s VALUES (%td, %" PRId64 ") RETURNING number;\n\\echo " OVER "\n",
                   load->table, writer - load->writers, writer->tried);
    size_t len = strlen(text);
    writer->busy = write(writer->in, text, len) == (ssize_t)len; /* else its end is seen soon */
    writer->tried++;
    uint8_t no = 0;
    vec_push(&writer->acked, no);
}

static void count_code(DrillLoad *load, Slice code)
{
    for (size_t i = 0; i < load->codes_len; i++) {
        if (slice_is(code, load->codes[i].sqlstate)) {
            load->codes[i].count++;
            return;
        }
    }
    if (load->codes_len < DRILL_CODES_MAX) {
        DrillCode *entry = &load->codes[load->codes_len++];
        snprintf(entry->sqlstate, sizeof(entry->sqlstate), "%.*s", SLICE_FMT(code));
        entry->count = 1;
    }
}

static void acknowledged(DrillLoad *load, DrillWriter *writer, int64_t now_ms)
{
    writer->acked.items[writer->tried - 1] = 1;
    writer->acked_ms = now_ms;
    bool counts = load->fault_ms > 0 && now_ms >= load->fault_ms && !load->measured;
    if (counts && now_ms - load->last_ack_ms > load->gap_to_ms - load->gap_from_ms) {
        load->gap_from_ms = load->last_ack_ms;
        load->gap_to_ms = now_ms;
    }
    load->last_ack_ms = now_ms;
    load->acked++;
}

static void writer_line(DrillLoad *load, DrillWriter *writer, Slice line, int64_t now_ms)
{
    int64_t number;
    if (slice_is(line, OVER)) {
        writer->busy = false;
    } else if (str_to_i64(line, &number) && number == writer->tried - 1) {
        acknowledged(load, writer, now_ms);
    } else if (slice_starts(line, "ERROR:  ") || slice_starts(line, "FATAL:  ")) {
        count_code(load, slice_trim(slice_skip(line, strlen("ERROR:  "))));
        load->last_error_ms = now_ms;
        writer->again_ms = now_ms + PAUSE_MS;
    }
}

static void writer_read(DrillLoad *load, DrillWriter *writer, int64_t now_ms)
{
    char *room = buf_reserve(&writer->said, 4096);
    ssize_t count = room != NULL ? read(writer->out, room, 4096) : 0;
    if (count <= 0) {
        load->lost_connections += writer->in >= 0;
        load->last_error_ms = writer->in >= 0 ? now_ms : load->last_error_ms;
        writer_end(writer);
        writer->again_ms = now_ms + PAUSE_MS;
        return;
    }
    buf_commit(&writer->said, (size_t)count);
    for (;;) {
        Slice rest = buf_slice(&writer->said);
        if (rest.len == 0 || memchr(rest.data, '\n', rest.len) == NULL) {
            return;
        }
        Slice line = slice_cut(&rest, '\n');
        size_t len = line.len + 1;
        writer_line(load, writer, line, now_ms);
        buf_consume(&writer->said, len);
    }
}

/* ---- all of them -------------------------------------------------------------------------------
 */

static void writers_push(DrillLoad *load, int64_t now_ms)
{
    for (size_t i = 0; i < load->writers_len; i++) {
        DrillWriter *writer = &load->writers[i];
        bool waits = writer->again_ms > now_ms;
        if (writer->pid == 0 && !waits && !writer_start(writer, NULL)) {
            writer->again_ms = now_ms + PAUSE_MS;
        } else if (writer->pid > 0 && !writer->busy && !waits && writer->in >= 0) {
            writer_ask(load, writer);
        }
    }
}

/* False: nobody has anything to say any more. */
static bool writers_hear(DrillLoad *load, int64_t limit_ms)
{
    struct pollfd fds[DRILL_WRITERS_MAX];
    DrillWriter *whose[DRILL_WRITERS_MAX];
    nfds_t len = 0;
    for (size_t i = 0; i < load->writers_len; i++) {
        if (load->writers[i].pid > 0) {
            whose[len] = &load->writers[i];
            fds[len++] = (struct pollfd){.fd = load->writers[i].out, .events = POLLIN};
        }
    }
    if (poll(fds, len, (int)(limit_ms < PAUSE_MS ? limit_ms : PAUSE_MS)) > 0) {
        int64_t now_ms = time_mono_ms();
        for (nfds_t i = 0; i < len; i++) {
            if (fds[i].revents != 0) {
                writer_read(load, whose[i], now_ms);
            }
        }
    }
    return len > 0;
}

bool drill_load_start(DrillLoad *load, size_t writers, Err *err)
{
    char id[9];
    random_id(id, sizeof(id) - 1);
    *load = (DrillLoad){.writers_len = writers};
    snprintf(load->table, sizeof(load->table), "weir_drill_%s", id);
    load->writers = mem_alloc(writers * sizeof(DrillWriter));
    for (size_t i = 0; i < writers; i++) {
        load->writers[i] = (DrillWriter){.in = -1, .out = -1};
        buf_init(&load->writers[i].said, BUF_MAX_DEFAULT);
    }
    signal(SIGPIPE, SIG_IGN);
    return psql_do(
        mem_printf("CREATE TABLE %s (writer int, number bigint, PRIMARY KEY (writer, number))",
                   load->table),
        err);
}

void drill_load_run(DrillLoad *load, int64_t ms)
{
    int64_t end = time_mono_ms() + ms;
    for (int64_t now; (now = time_mono_ms()) < end;) {
        writers_push(load, now);
        (void)writers_hear(load, end - now);
    }
}

bool drill_load_all_since(const DrillLoad *load, int64_t since_ms)
{
    for (size_t i = 0; i < load->writers_len; i++) {
        if (load->writers[i].acked_ms <= since_ms) {
            return false;
        }
    }
    return true;
}

void drill_load_stop(DrillLoad *load)
{
    int64_t end = time_mono_ms() + END_MS;
    for (size_t i = 0; i < load->writers_len; i++) {
        fd_close(&load->writers[i].in);
    }
    while (time_mono_ms() < end && writers_hear(load, PAUSE_MS)) {
    }
    for (size_t i = 0; i < load->writers_len; i++) {
        if (load->writers[i].pid > 0) {
            kill(load->writers[i].pid, SIGKILL);
        }
        writer_end(&load->writers[i]);
    }
}

bool drill_load_verify(const DrillLoad *load, int64_t *ret_lost, int64_t *ret_alien, Err *err)
{
    CLEANUP(mem_free_ptr) char *sql = mem_printf("SELECT writer, number FROM %s", load->table);
    Buf out;
    buf_init(&out, ANSWER_MAX);
    bool ok = psql_run(sql, &out, err);
    int64_t found = 0, alien = 0;
    for (Slice rest = buf_slice(&out); ok && rest.len > 0;) {
        Slice line = slice_cut(&rest, '\n');
        Slice first = slice_cut(&line, ' ');
        int64_t writer, number;
        bool tried = str_to_i64(first, &writer) && str_to_i64(line, &number) && writer >= 0 &&
                     writer < (int64_t)load->writers_len && number >= 0 &&
                     number < load->writers[writer].tried;
        alien += !tried;
        found += tried && load->writers[writer].acked.items[number];
    }
    buf_done(&out);
    *ret_lost = load->acked - found;
    *ret_alien = alien;
    return ok;
}

void drill_load_done(DrillLoad *load)
{
    Err err;
    if (load->writers == NULL) {
        return;
    }
    drill_load_stop(load);
    if (!psql_do(mem_printf("DROP TABLE IF EXISTS %s", load->table), &err)) {
        log_warn("drill", "the table %s stays: %s", load->table, err.message);
    }
    for (size_t i = 0; i < load->writers_len; i++) {
        vec_done(&load->writers[i].acked);
        buf_done(&load->writers[i].said);
    }
    mem_free(load->writers);
    *load = (DrillLoad){0};
}
