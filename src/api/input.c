/* Reading inputs: members, filters, pages; and small pieces of outputs. */
#include <stdio.h>

#include "api/api_priv.h"

/* ---- members ------------------------------------------------------------------------------------
 */

const char *input_str(const json_t *input, const char *member)
{
    const char *text = member_str(input, member, NULL);
    return text != NULL && text[0] != '\0' ? text : NULL;
}

bool input_flag(const json_t *input, const char *member)
{
    return member_bool(input, member, false);
}

char *text_lower(Arena *arena, const char *text)
{
    char *lower = arena_strdup(arena, text);
    for (char *at = lower; *at != '\0'; at++) {
        *at = char_lower(*at);
    }
    return lower;
}

char *input_lower(ApiContext *ctx, const json_t *input, const char *member)
{
    const char *text = input_str(input, member);
    return text != NULL ? text_lower(ctx->arena, text) : NULL;
}

bool input_required(ApiContext *ctx, const json_t *input, const char *member, const char **ret_text)
{
    const char *text = input_str(input, member);
    if (text == NULL) {
        return refuse_invalid(ctx, "The parameter %s must be provided and must not be blank.",
                              member);
    }
    *ret_text = text;
    return true;
}

/* ---- filters: [{Name, Values}], EC2's and RDS's alike
 * -------------------------------------------- */

static const char *filter_name(const json_t *filter)
{
    return member_str(filter, "Name", member_str(filter, "Key", ""));
}

const json_t *filter_values(const json_t *input, const char *name)
{
    size_t index;
    const json_t *filter;
    json_array_foreach (json_object_get(input, "Filters"), index, filter) {
        if (strcmp(filter_name(filter), name) == 0) {
            return member_array(filter, "Values");
        }
    }
    return NULL;
}

bool filter_passes(const json_t *values, const char *text)
{
    size_t index;
    const json_t *value;
    if (values == NULL) {
        return true;
    }
    json_array_foreach (values, index, value) {
        if (json_is_string(value) && strcmp(json_string_value(value), text) == 0) {
            return true;
        }
    }
    return false;
}

bool filters_check(ApiContext *ctx, const json_t *input, const char *const *known)
{
    size_t index;
    const json_t *filter;
    json_array_foreach (json_object_get(input, "Filters"), index, filter) {
        const char *name = filter_name(filter);
        const char *const *at = known;
        while (*at != NULL && strcmp(*at, name) != 0) {
            at++;
        }
        if (*at == NULL) {
            return refuse_invalid(ctx, "Unrecognized filter name: %s", name);
        }
    }
    return true;
}

/* ---- pages
 * --------------------------------------------------------------------------------------- */

#define PAGE_DEFAULT 100
#define PAGE_MAX     1000

/* Markers are offsets. A list that changes between pages may show an item twice or not at all. */
static bool page_bounds(ApiContext *ctx, const json_t *input, const PageWords *words, size_t total,
                        size_t *from, size_t *to)
{
    uint64_t marker = 0;
    const char *text = input_str(input, words->marker);
    int64_t records = member_int(input, words->limit, PAGE_DEFAULT);
    if (text != NULL && (!str_to_u64(slice_of(text), &marker) || marker > total)) {
        return refuse_invalid(ctx, "Invalid %s: %s", words->marker, text);
    }
    if (records < 1 || records > PAGE_MAX) {
        return refuse_invalid(ctx, "Invalid value %lld for %s. Must be between 1 and %d.",
                              (long long)records, words->limit, PAGE_MAX);
    }
    *from = (size_t)marker;
    *to = total - *from > (size_t)records ? *from + (size_t)records : total;
    return true;
}

const PageWords page_marker = {"Marker", "MaxRecords"};
const PageWords page_token = {"NextToken", "MaxResults"};

bool page_output(ApiContext *ctx, const json_t *input, const char *member, json_t *items,
                 json_t **ret_output)
{
    return page_output_by(ctx, &page_marker, input, member, items, ret_output);
}

bool page_output_by(ApiContext *ctx, const PageWords *words, const json_t *input,
                    const char *member, json_t *items, json_t **ret_output)
{
    size_t from = 0;
    size_t to = 0;
    size_t total = json_array_size(items);
    if (!page_bounds(ctx, input, words, total, &from, &to)) {
        json_decref(items);
        return false;
    }
    json_t *page = json_array();
    for (size_t i = from; i < to; i++) {
        json_array_append(page, json_array_get(items, i));
    }
    json_decref(items);
    json_t *output = json_under(member, page);
    if (to < total) {
        json_object_set_new(output, words->marker, json_sprintf("%zu", to));
    }
    *ret_output = output;
    return true;
}

/* ---- pieces of outputs
 * --------------------------------------------------------------------------- */

json_t *json_time(int64_t wall_ms)
{
    return json_integer(wall_ms);
}

json_t *json_wrap_list(const json_t *strings, const char *member)
{
    json_t *list = json_array();
    size_t index;
    json_t *string;
    json_array_foreach (strings, index, string) {
        json_array_append_new(list, json_pack("{s:O}", member, string));
    }
    return list;
}

json_t *json_strings_copy(const json_t *strings)
{
    return json_is_array(strings) ? json_deep_copy(strings) : json_array();
}

json_t *json_under(const char *outer, json_t *inner)
{
    return json_pack("{s:o}", outer, inner);
}
