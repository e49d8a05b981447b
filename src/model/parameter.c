/* Parameters of the engines: finding one, and judging a value that a user wants to set. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/parameter_priv.h"

#define PARAMETER_VALUE_MAX 1024

/* ---- families ----------------------------------------------------------------------------------
 */

const ParameterFamily *parameter_family_find(const char *name)
{
    for (size_t i = 0; i < parameter_families_len; i++) {
        if (strcmp(parameter_families[i].name, name) == 0) {
            return &parameter_families[i];
        }
    }
    return NULL;
}

const ParameterFamily *parameter_family_of(const char *engine, const char *version)
{
    char name[2 * MODEL_VERSION_SIZE];
    char major[MODEL_VERSION_SIZE];
    engine_major(version, major);
    snprintf(name, sizeof(name), "%.16s%s", engine, major);
    return parameter_family_find(name);
}

bool parameter_family_next(size_t *cursor, const ParameterFamily **ret_family)
{
    if (*cursor >= parameter_families_len) {
        return false;
    }
    *ret_family = &parameter_families[(*cursor)++];
    return true;
}

static int info_compare(const void *name, const void *info)
{
    return strcmp(name, ((const ParameterInfo *)info)->name);
}

const ParameterInfo *parameter_find(const ParameterFamily *family, const char *name)
{
    return bsearch(name, family->infos, family->len, sizeof(ParameterInfo), info_compare);
}

/* ---- values ------------------------------------------------------------------------------------
 */

static bool word_in(const char *words, Slice word)
{
    Slice rest = slice_of(words);
    while (rest.len > 0) {
        if (slice_eq(slice_cut(&rest, ','), word)) {
            return true;
        }
    }
    return false;
}

/* PostgreSQL takes on and off, too; Redis only its own words. */
static bool boolean_check(const ParameterInfo *info, Slice value)
{
    return word_in(info->allowed, value) ||
           (strcmp(info->allowed, "0,1") == 0 && word_in("on,off,true,false", value));
}

static bool list_check(const ParameterInfo *info, Slice value)
{
    Slice rest = value;
    bool ok = true;
    while (ok && rest.len > 0) {
        ok = word_in(info->allowed, slice_trim(slice_cut(&rest, ',')));
    }
    return ok;
}

static bool integer_check(const ParameterInfo *info, Slice value)
{
    int64_t number;
    return str_to_i64(value, &number) && (double)number >= info->min && (double)number <= info->max;
}

static bool real_check(const ParameterInfo *info, Slice value)
{
    char text[64];
    if (value.len == 0 || value.len >= sizeof(text) ||
        strspn(value.data, "0123456789.eE+-") < value.len) {
        return false;
    }
    snprintf(text, sizeof(text), "%.*s", SLICE_FMT(value));
    char *end;
    errno = 0;
    double number = strtod(text, &end);
    return errno == 0 && *end == '\0' && number >= info->min && number <= info->max;
}

/* Any text that fits on a line. */
static bool string_check(Slice value)
{
    for (size_t i = 0; i < value.len; i++) {
        if ((unsigned char)value.data[i] < ' ' || value.data[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool plain_value_check(const ParameterInfo *info, Slice value)
{
    switch (info->type) {
    case PARAMETER_BOOLEAN:
        return boolean_check(info, value);
    case PARAMETER_INTEGER:
        return integer_check(info, value);
    case PARAMETER_REAL:
        return real_check(info, value);
    case PARAMETER_ENUM:
        return word_in(info->allowed, value);
    case PARAMETER_LIST:
        return list_check(info, value);
    case PARAMETER_STRING:
        return string_check(value);
    default:
        UNREACHABLE();
    }
}

bool parameter_is_number(const ParameterInfo *info)
{
    return info->type == PARAMETER_INTEGER || info->type == PARAMETER_REAL;
}

static bool value_check(const ParameterInfo *info, Slice value, Err *err)
{
    if (parameter_is_number(info) && formula_is(value)) {
        const FormulaFacts any = {(int64_t)1 << 34, 2, (int64_t)100 << 30, 5432};
        int64_t result;
        return formula_eval(value, &any, &result, err);
    }
    if (value.len <= PARAMETER_VALUE_MAX && plain_value_check(info, value)) {
        return true;
    }
    return err_set(err, ERR_INVALID, "Invalid parameter value: %.*s for: %s allowed values are: %s",
                   (int)(value.len < 80 ? value.len : 80), value.data != NULL ? value.data : "",
                   info->name, info->allowed[0] != '\0' ? info->allowed : "one line of text");
}

bool parameter_check(const ParameterFamily *family, const char *name, const char *value, Err *err)
{
    const ParameterInfo *info = parameter_find(family, name);
    if (info == NULL) {
        return err_set(err, ERR_INVALID, "Could not find parameter with name: %.80s", name);
    }
    if (info->refusal != NULL) {
        return err_set(err, ERR_UNSUPPORTED, "The parameter %s cannot be modified: %s.", name,
                       info->refusal);
    }
    return value_check(info, slice_of(value), err);
}

/* Its warnings tell the data plane that a commit did not wait for the standby to its end. */
static bool check_messages(const json_t *parameters, Err *err)
{
    const char *level =
        member_str(member_object(parameters, "client_min_messages"), "value", "notice");
    return strcmp(level, "error") != 0 ||
           err_set(
               err, ERR_UNSUPPORTED,
               "client_min_messages=error cannot be used with a Multi-AZ instance: it keeps the "
               "warning back by which a commit is known that the standby may not have. Use "
               "warning, or set it per session, whose commits take longer then.");
}

bool parameters_check_multi_az(const json_t *parameters, Err *err)
{
    TRY(check_messages(parameters, err));
    const char *level = member_str(member_object(parameters, "synchronous_commit"), "value", "on");
    if (strcmp(level, "on") == 0 || strcmp(level, "remote_apply") == 0) {
        return true;
    }
    return err_set(err, ERR_UNSUPPORTED,
                   "synchronous_commit=%s cannot be used with a Multi-AZ instance: a failover "
                   "would lose acknowledged commits. Use on or remote_apply, or lower it per "
                   "transaction.",
                   level);
}

const char *parameter_value(const ParameterFamily *family, const json_t *parameters,
                            const char *name)
{
    const ParameterInfo *info = parameter_find(family, name);
    if (info == NULL) {
        return NULL;
    }
    const char *value = member_str(member_object(parameters, name), "value", info->family_default);
    return value != NULL ? value : info->engine_default;
}

const char *parameters_durable(const ParameterFamily *family, const json_t *parameters)
{
    const char *value = parameter_value(family, parameters, "weir.durable");
    return value != NULL ? value : "off";
}

bool parameters_force_ssl(const ParameterFamily *family, const json_t *parameters)
{
    const char *value = parameter_value(family, parameters, "rds.force_ssl");
    return value != NULL && word_in("1,on,true", slice_of(value));
}
