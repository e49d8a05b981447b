/*
 * From a parameter group to the settings of an engine. PostgreSQL takes numbers in a parameter's
 * own unit, as RDS writes them, so values pass as they stand. ElastiCache splits one of Redis's
 * settings in six and computes maxmemory; that is put together here.
 */
#include <inttypes.h>
#include <stdio.h>

#include "model/parameter_priv.h"

#define SETTING_SIZE 512

/* A formula's result as text, within the parameter's range. */
static bool compute(const ParameterInfo *info, const char *formula, const FormulaFacts *facts,
                    char out[static SETTING_SIZE], Err *err)
{
    int64_t value;
    if (!formula_eval(slice_of(formula), facts, &value, err)) {
        return err_wrap(err, "%s", info->name);
    }
    if ((double)value < info->min) {
        value = (int64_t)info->min;
    }
    if ((double)value > info->max) {
        value = (int64_t)info->max;
    }
    snprintf(out, SETTING_SIZE, "%" PRId64, value);
    return true;
}

static bool set_text(json_t *settings, const char *name, const char *value)
{
    return json_object_set_new(settings, name, json_string(value)) == 0;
}

/* What the group or the family says; nothing where both leave it to the engine. */
static bool resolve_one(const ParameterInfo *info, const json_t *parameters,
                        const FormulaFacts *facts, json_t *settings, Err *err)
{
    const char *value =
        member_str(member_object(parameters, info->name), "value", info->family_default);
    if (value == NULL || info->refusal != NULL) {
        return true;
    }
    char computed[SETTING_SIZE];
    if (parameter_is_number(info) && formula_is(slice_of(value))) {
        TRY(compute(info, value, facts, computed, err));
        value = computed;
    }
    if (!set_text(settings, info->name, value)) {
        return err_set(err, ERR_INVALID, "the value of %s is not UTF-8", info->name);
    }
    return true;
}

/* ---- what is Weir's own -------------------------------------------------------------------------
 */

static void drop_prefix(json_t *settings, const char *prefix)
{
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe(settings, next, name, value)
    {
        if (slice_starts(slice_of(name), prefix)) {
            json_object_del(settings, name);
        }
    }
}

static const char *redis_value(const ParameterFamily *family, const json_t *parameters,
                               const char *class, const char *part)
{
    char name[80];
    snprintf(name, sizeof(name), "client-output-buffer-limit-%s-%s", class, part);
    const char *value = parameter_value(family, parameters, name);
    ASSERT(value != NULL);
    return value;
}

static void redis_buffer_limits(const ParameterFamily *family, const json_t *parameters,
                                json_t *settings)
{
    static const char *const classes[] = {"normal", "pubsub"};
    char text[SETTING_SIZE] = "";
    size_t len = 0;
    for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s %.20s %.20s %.20s",
                                i > 0 ? " " : "", classes[i],
                                redis_value(family, parameters, classes[i], "hard-limit"),
                                redis_value(family, parameters, classes[i], "soft-limit"),
                                redis_value(family, parameters, classes[i], "soft-seconds"));
    }
    drop_prefix(settings, "client-output-buffer-limit-");
    set_text(settings, "client-output-buffer-limit", text);
}

static void redis_maxmemory(const FormulaFacts *facts, json_t *settings)
{
    int64_t reserved = 0;
    const char *text = member_str(settings, "reserved-memory-percent", "0");
    if (!str_to_i64(slice_of(text), &reserved)) {
        reserved = 0;
    }
    int64_t bytes = facts->memory_bytes / 100 * (100 - reserved);
    char value[32];
    /* 0 would mean no limit to Redis. */
    snprintf(value, sizeof(value), "%" PRId64, bytes > 0 ? bytes : (int64_t)1 << 20);
    json_object_del(settings, "reserved-memory-percent");
    set_text(settings, "maxmemory", value);
}

bool parameters_resolve_new(const ParameterFamily *family, const json_t *parameters,
                            const FormulaFacts *facts, json_t **ret_settings, Err *err)
{
    json_t *settings = json_object();
    for (size_t i = 0; i < family->len; i++) {
        if (!resolve_one(&family->infos[i], parameters, facts, settings, err)) {
            json_decref(settings);
            return false;
        }
    }
    drop_prefix(settings, "rds.");
    drop_prefix(settings, "weir.");
    if (strcmp(family->engine, "redis") == 0) {
        redis_buffer_limits(family, parameters, settings);
        redis_maxmemory(facts, settings);
    }
    *ret_settings = settings;
    return true;
}
