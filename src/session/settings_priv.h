/*
 * settings: what clients have set for their sessions, where a client has another server connection
 * in each transaction (RULES P1, P2). A list of settings is immutable and shared by everybody in a
 * pool who has the same, so that "the same settings" is the same pointer; NULL is the empty list:
 * what a connection has after its login.
 *
 *   SettingTable   a pool's: from a list's text to the list, as long as somebody has it
 *   Settings       one list: names in lower case, in order, with the values that PostgreSQL shows
 *
 * Values are never guessed from the text that set them: PostgreSQL is asked. Pure; everything is of
 * one thread.
 */
#ifndef WEIR_SESSION_SETTINGS_PRIV_H
#define WEIR_SESSION_SETTINGS_PRIV_H

#include "sql/sql.h"
#include "wire/wire.h"

#define SETTINGS_MAX        64                 /* of one client; with more it is pinned */
#define SETTINGS_BYTES_MAX  ((size_t)8 << 10)  /* names and values; with more it is pinned */
#define SETTINGS_REPLAY_MAX (2 * SETTINGS_MAX) /* statements of one replay */

typedef struct SettingTable SettingTable;

typedef struct Settings {
    size_t refs;
    SettingTable *table;
    uint64_t id; /* of the table; another list has another */
    bool custom; /* one of them is a custom setting, x.y */
    size_t count;
    size_t len;
    char bytes[]; /* name, NUL, value, NUL, …: for pg_params_next */
} Settings;

SettingTable *setting_table_new(void);
void setting_table_free(SettingTable *table); /* nobody has Settings of it; NULL is fine */
/* An id that no list has. */
uint64_t setting_table_fresh_id(SettingTable *table);

/* `pairs` in the order of their names. One more reference; NULL where there are none. */
Settings *settings_intern(SettingTable *table, Slice pairs);
Settings *settings_ref(Settings *settings);     /* NULL is fine */
void settings_unref(Settings *settings);        /* NULL is fine */
uint64_t settings_id(const Settings *settings); /* 0: the empty list */
Slice settings_slice(const Settings *settings);
Slice settings_value(const Settings *settings, Slice name); /* data == NULL: it is not there */
Slice settings_pair_value(Slice pairs, Slice name);         /* the same */
/* As SQL: right with standard_conforming_strings on and off. */
void setting_put_literal(Buf *out, Slice text);

/* With these pairs, in order, in the place of others of these names. One more reference. */
Settings *settings_overlay(SettingTable *table, const Settings *settings, Slice pairs);
/* What RESET ALL leaves of them: custom ones, empty. One more reference. */
Settings *settings_emptied(const Settings *settings);

/* Whether a server connection with these may be given to a client with those. A custom setting
 * leaves '' behind where there was nothing, so that it goes only to who has named it; after an
 * init_query (`baseline`) no RESET leads back, and that holds for every setting. */
bool settings_fit(const Settings *server, const Settings *client, bool baseline);

/* The messages that lead from one list to the other, Parse, Bind and Execute for each statement,
 * without Sync. Returns how many statements. */
size_t settings_put_replay(const Settings *from, const Settings *to, Buf *out);
/* Whether what is different must be in force before anything is read, or begun: how texts are read,
 * and what a transaction or a statement takes with it at its start. */
bool settings_count_at_start(const Settings *a, const Settings *b);
/* Whether what is created is temporary, without saying so. */
bool settings_make_temporary(const Settings *settings);

/* ---- asking what texts have set ----------------------------------------------------------------
 */

/* The Query that asks for the values that `touched` may have changed, of a client that had these
 * settings; nothing where there is nothing to ask. False: a name cannot be asked for. */
NODISCARD bool settings_put_ask(const Settings *settings, Slice touched, Buf *out);
/* The answer to it: the body of its DataRow. False: more than can be kept, or not an answer to
 * that. SQL_TOKEN_NAME is none of the settings: with the question it is taken off the server, and
 * *ret_token is its value, which points into the row; empty where it was not asked for. */
NODISCARD bool settings_take_answer(SettingTable *table, Settings *settings, Slice touched,
                                    Slice row, Settings **ret_settings, Slice *ret_token);

#endif
