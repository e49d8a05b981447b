/* What users may write as names, credentials, windows and address ranges. The messages are AWS's
 * where AWS has one; secrets are never quoted in them. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>

#include "model/model.h"

/* ---- identifiers ------------------------------------------------------------------------------
 */

typedef enum NameRule {
    NAME_IDENTIFIER, /* letter first, then letters, digits, single hyphens, no hyphen last */
    NAME_SUBNET_GROUP,
    NAME_SECURITY_GROUP,
    NAME_SECRET,
} NameRule;

typedef struct NameShape {
    NameRule rule;
    size_t len_max;
} NameShape;

#define SECRET_NAME_MAX 256 /* AWS: 512; a key of the store must hold it */

static const NameShape name_shapes[RESOURCE_TYPES] = {
    [RESOURCE_DB_INSTANCE] = {NAME_IDENTIFIER, 63},
    [RESOURCE_DB_SUBNET_GROUP] = {NAME_SUBNET_GROUP, 255},
    [RESOURCE_DB_PARAMETER_GROUP] = {NAME_IDENTIFIER, 255},
    [RESOURCE_DB_PROXY] = {NAME_IDENTIFIER, 63},
    [RESOURCE_DB_PROXY_ENDPOINT] = {NAME_IDENTIFIER, 63},
    [RESOURCE_DB_PROXY_OPTIONS] = {NAME_IDENTIFIER, 63},
    [RESOURCE_SECURITY_GROUP] = {NAME_SECURITY_GROUP, 255},
    [RESOURCE_SECRET] = {NAME_SECRET, SECRET_NAME_MAX},
    [RESOURCE_REPLICATION_GROUP] = {NAME_IDENTIFIER, 40},
    [RESOURCE_CACHE_SUBNET_GROUP] = {NAME_SUBNET_GROUP, 255},
    [RESOURCE_CACHE_PARAMETER_GROUP] = {NAME_IDENTIFIER, 255},
};

static bool all_of(Slice text, const char *extra)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte == 0 || byte > 126 || (!isalnum(byte) && strchr(extra, byte) == NULL)) {
            return false;
        }
    }
    return true;
}

static bool identifier_shape(Slice text)
{
    if (text.len == 0 || !isalpha((unsigned char)text.data[0]) || !all_of(text, "-")) {
        return false;
    }
    for (size_t i = 1; i < text.len; i++) {
        if (text.data[i] == '-' && (i + 1 == text.len || text.data[i + 1] == '-')) {
            return false;
        }
    }
    return true;
}

static bool refuse_identifier(const char *parameter, Err *err)
{
    return err_set(err, ERR_INVALID,
                   "The parameter %s is not a valid identifier. Identifiers must begin with a "
                   "letter; must contain only ASCII letters, digits, and hyphens; and must not end "
                   "with a hyphen or contain two consecutive hyphens.",
                   parameter);
}

static bool subnet_group_name_check(const char *parameter, Slice text, Err *err)
{
    if (slice_is_nocase(text, MODEL_DEFAULT_SUBNET_GROUP)) {
        return err_set(err, ERR_INVALID,
                       "The name default is reserved for the default subnet "
                       "group. Choose another %s.",
                       parameter);
    }
    return all_of(text, "._- ")
               ? true
               : err_set(err, ERR_INVALID,
                         "The parameter %s must contain only letters, numbers, periods, "
                         "underscores, spaces, or hyphens.",
                         parameter);
}

static bool name_rule_check(NameRule rule, const char *parameter, Slice text, Err *err)
{
    switch (rule) {
    case NAME_IDENTIFIER:
        return identifier_shape(text) ? true : refuse_identifier(parameter, err);
    case NAME_SUBNET_GROUP:
        return subnet_group_name_check(parameter, text, err);
    case NAME_SECURITY_GROUP:
        if (slice_starts(text, "sg-") || !all_of(text, " ._-:/()#,@[]+=&;{}!$*")) {
            return err_set(err, ERR_INVALID,
                           "Invalid security group name. Names may not be in the format sg-*, and "
                           "use only letters, digits, spaces and ._-:/()#,@[]+=&;{}!$*");
        }
        return true;
    case NAME_SECRET:
        return all_of(text, "-/_+=.@!")
                   ? true
                   : err_set(err, ERR_INVALID,
                             "Invalid name. Must be a valid name containing alphanumeric "
                             "characters, or any of the following: -/_+=.@!");
    default:
        UNREACHABLE();
    }
}

bool identifier_check(ResourceType type, const char *parameter, Slice text, Err *err)
{
    ASSERT((size_t)type < RESOURCE_TYPES);
    const NameShape *shape = &name_shapes[type];
    if (text.len == 0) {
        return err_set(err, ERR_INVALID, "The parameter %s must be provided and must not be blank.",
                       parameter);
    }
    if (text.len > shape->len_max) {
        return err_set(err, ERR_INVALID,
                       "The parameter %s is not a valid identifier because it is longer than %zu "
                       "characters.",
                       parameter, shape->len_max);
    }
    return name_rule_check(shape->rule, parameter, text, err);
}

/* ---- accounts and databases -------------------------------------------------------------------
 */

/* Letters, digits and underscores, of which the first is no digit; `first_extra` may start too. */
static bool sql_name_shape(Slice text, const char *first_extra)
{
    unsigned char first = text.len > 0 ? (unsigned char)text.data[0] : '0';
    return text.len <= 63 && (isalpha(first) || strchr(first_extra, first) != NULL) &&
           all_of(text, "_");
}

static bool starts_nocase(Slice text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && slice_is_nocase(slice_from(text.data, len), prefix);
}

bool master_username_check(Slice text, Err *err)
{
    static const char *const reserved[] = {"admin",        "public",       "none",        "user",
                                           "session_user", "current_user", "current_role"};
    static const char *const reserved_prefixes[] = {"pg_", "rds", "weir"};
    if (text.len == 0) {
        return err_set(err, ERR_INVALID,
                       "The parameter MasterUsername must be provided and must not be blank.");
    }
    if (!sql_name_shape(text, "")) {
        return err_set(err, ERR_INVALID,
                       "The parameter MasterUsername is not a valid identifier. It must begin "
                       "with a letter and contain only alphanumeric characters or underscores, "
                       "63 at most.");
    }
    bool taken = false;
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
        taken = taken || slice_is_nocase(text, reserved[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(reserved_prefixes); i++) {
        taken = taken || starts_nocase(text, reserved_prefixes[i]);
    }
    return taken ? err_set(err, ERR_INVALID,
                           "MasterUsername %.*s cannot be used as it is a reserved word used by "
                           "the engine",
                           SLICE_FMT(text))
                 : true;
}

static bool refuse_password(Err *err, const char *reason)
{
    return err_set(err, ERR_INVALID, "The parameter MasterUserPassword is not a valid password%s",
                   reason);
}

bool master_password_check(Slice text, Err *err)
{
    if (text.len < 8) {
        return refuse_password(err, " because it is shorter than 8 characters.");
    }
    if (text.len > 128) {
        return refuse_password(err, " because it is longer than 128 characters.");
    }
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte <= ' ' || byte > '~' || strchr("/@\"", byte) != NULL) {
            return refuse_password(err, ". Only printable ASCII characters besides '/', '@', "
                                        "'\"', ' ' may be used.");
        }
    }
    return true;
}

bool db_name_check(Slice text, Err *err)
{
    static const char *const reserved[] = {"template0", "template1", "rdsadmin", "weir"};
    if (!sql_name_shape(text, "_")) {
        return err_set(err, ERR_INVALID,
                       "DBName must begin with a letter or an underscore and contain only "
                       "alphanumeric characters and underscores, 63 at most.");
    }
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
        if (slice_is_nocase(text, reserved[i])) {
            return err_set(err, ERR_INVALID,
                           "Database name %.*s cannot be used. It is a reserved word for this "
                           "engine.",
                           SLICE_FMT(text));
        }
    }
    return true;
}

bool auth_token_check(Slice text, Err *err)
{
    bool ok = text.len >= 16 && text.len <= 128 && all_of(text, "!&#$^<>-");
    return ok ? true
              : err_set(err, ERR_INVALID,
                        "Invalid AuthToken provided. It must be 16 to 128 printable characters; "
                        "the only special characters allowed are !&#$^<>-");
}

/* ---- windows ----------------------------------------------------------------------------------
 */

#define DAY_MINUTES  (24 * 60)
#define WEEK_MINUTES (7 * DAY_MINUTES)

static int two_digits(const char *at)
{
    bool ok = isdigit((unsigned char)at[0]) && isdigit((unsigned char)at[1]);
    return ok ? (at[0] - '0') * 10 + (at[1] - '0') : 99;
}

/* Minutes of "hh:mi", -1 where it is none. */
static int clock_parse(Slice text)
{
    if (text.len != 5 || text.data[2] != ':') {
        return -1;
    }
    int hour = two_digits(text.data);
    int minute = two_digits(text.data + 3);
    return hour < 24 && minute < 60 ? hour * 60 + minute : -1;
}

/* Minutes since Monday of "ddd:hh:mi", -1 where it is none. */
static int week_clock_parse(Slice text)
{
    static const char *const days[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
    Slice rest = text;
    Slice day = slice_cut(&rest, ':');
    int minutes = clock_parse(rest);
    for (size_t i = 0; minutes >= 0 && i < ARRAY_LEN(days); i++) {
        if (slice_is_nocase(day, days[i])) {
            return (int)i * DAY_MINUTES + minutes;
        }
    }
    return -1;
}

static int window_minutes(int from, int to, int period)
{
    return from < 0 || to < 0 ? -1 : (to - from + period) % period;
}

bool maintenance_window_check(Slice text, Err *err)
{
    Slice rest = text;
    int from = week_clock_parse(slice_cut(&rest, '-'));
    int minutes = window_minutes(from, week_clock_parse(rest), WEEK_MINUTES);
    if (minutes < 0) {
        return err_set(err, ERR_INVALID,
                       "Invalid maintenance window format: %.*s. Should be specified as a range "
                       "ddd:hh24:mi-ddd:hh24:mi (24H Clock UTC). Example: Sun:23:45-Mon:00:15",
                       SLICE_FMT(text));
    }
    return minutes >= 30 && minutes < DAY_MINUTES
               ? true
               : err_set(err, ERR_INVALID,
                         "The maintenance window must be at least 30 minutes and less than 24 "
                         "hours long.");
}

bool daily_window_check(const char *parameter, Slice text, int minutes_min, Err *err)
{
    Slice rest = text;
    int from = clock_parse(slice_cut(&rest, '-'));
    int minutes = window_minutes(from, clock_parse(rest), DAY_MINUTES);
    if (minutes < 0) {
        return err_set(err, ERR_INVALID,
                       "Invalid %s format: %.*s. Should be specified as a range hh24:mi-hh24:mi "
                       "(24H Clock UTC). Example: 23:45-00:15",
                       parameter, SLICE_FMT(text));
    }
    return minutes >= minutes_min ? true
                                  : err_set(err, ERR_INVALID, "The %s must be at least %d minutes.",
                                            parameter, minutes_min);
}

/* ---- address ranges ---------------------------------------------------------------------------
 */

/* True where every bit behind the prefix is 0. */
static bool host_bits_clear(const uint8_t *address, size_t len, uint64_t prefix)
{
    for (uint64_t bit = prefix; bit < len * 8; bit++) {
        if ((address[bit / 8] & (0x80U >> (bit % 8))) != 0) {
            return false;
        }
    }
    return true;
}

bool cidr_check(Slice text, bool ipv6, Err *err)
{
    char address_text[INET6_ADDRSTRLEN];
    uint8_t address[16];
    uint64_t prefix = 0;
    size_t len = ipv6 ? 16 : 4;
    Slice rest = text;
    Slice head = slice_cut(&rest, '/');
    bool ok = head.len > 0 && head.len < sizeof(address_text) && str_to_u64(rest, &prefix) &&
              prefix <= len * 8;
    if (ok) {
        snprintf(address_text, sizeof(address_text), "%.*s", SLICE_FMT(head));
        ok = inet_pton(ipv6 ? AF_INET6 : AF_INET, address_text, address) == 1 &&
             host_bits_clear(address, len, prefix);
    }
    return ok ? true : err_set(err, ERR_INVALID, "CIDR block %.*s is malformed", SLICE_FMT(text));
}
