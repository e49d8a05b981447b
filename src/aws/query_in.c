/*
 * Requests of awsQuery and ec2Query: a sorted form, read by the input's shape.
 *
 * A structure's member is NAME.MEMBER, a list's item NAME.ITEM.N, NAME.member.N or NAME.N (the
 * first of these forms that is there counts), a map's entry NAME.entry.N.key and .value. Since the
 * form is sorted, all that lies below a name is one range, found by bisection; each pair that was
 * read is marked, and what is left unmarked is unknown.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "aws/codec_priv.h"

typedef struct QueryReader {
    const Form *form;
    AwsProtocol protocol;
    AwsFault *fault;
    char name[FORM_NAME_MAX]; /* where we are */
    size_t name_len;
    unsigned depth;
} QueryReader;

/* NULL in *ret_value: nothing was there. */
static bool read_value(QueryReader *reader, const AwsShape *shape, json_t **ret_value);

/* ---- where we are ------------------------------------------------------------------------------
 */

/* Goes below the present name and returns what to give to reader_up; FORM_NAME_MAX where it does
 * not fit, in which case no pair can have that name. */
static size_t reader_down(QueryReader *reader, const char *step)
{
    size_t before = reader->name_len;
    int len = snprintf(reader->name + before, FORM_NAME_MAX - before, "%s%s", before > 0 ? "." : "",
                       step);
    if (len < 0 || (size_t)len >= FORM_NAME_MAX - before) {
        reader->name[before] = '\0';
        return FORM_NAME_MAX;
    }
    reader->name_len += (size_t)len;
    return before;
}

static void reader_up(QueryReader *reader, size_t before)
{
    reader->name_len = before;
    reader->name[before] = '\0';
}

static FormPair *reader_pair(const QueryReader *reader)
{
    return form_find(reader->form, slice_from(reader->name, reader->name_len));
}

static bool is_below(const QueryReader *reader, Slice name)
{
    return name.len > reader->name_len && memcmp(name.data, reader->name, reader->name_len) == 0 &&
           name.data[reader->name_len] == '.';
}

/* The first pair below the present name; the others follow it. form->count: none. */
static size_t reader_below(const QueryReader *reader)
{
    char prefix[FORM_NAME_MAX + 1];
    memcpy(prefix, reader->name, reader->name_len);
    prefix[reader->name_len] = '.';
    Slice wanted = slice_from(prefix, reader->name_len + 1);
    size_t low = 0;
    size_t high = reader->form->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_cmp(reader->form->pairs[middle].name, wanted) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool found = low < reader->form->count && is_below(reader, reader->form->pairs[low].name);
    return found ? low : reader->form->count;
}

/* ---- scalars -----------------------------------------------------------------------------------
 */

static bool read_scalar(QueryReader *reader, const AwsShape *shape, json_t **ret_value)
{
    FormPair *pair = reader_pair(reader);
    if (pair == NULL) {
        *ret_value = NULL;
        return true;
    }
    pair->used = true;
    json_t *value = scalar_parse(shape, pair->value);
    if (value == NULL) {
        bool is_text = shape->type == AWS_STRING || shape->type == AWS_ENUM;
        Slice shown = is_text ? SLICE("…") : pair->value; /* a text may be a secret */
        return aws_fault_set(reader->fault, NULL, "InvalidParameterValue",
                             "Invalid value %.*s for parameter %s: it must be %s.",
                             (int)(shown.len < 64 ? shown.len : 64), shown.data, reader->name,
                             scalar_wants(shape));
    }
    *ret_value = value;
    return true;
}

/* ---- structures --------------------------------------------------------------------------------
 */

static bool read_member(QueryReader *reader, const AwsMember *member, json_t *object)
{
    size_t before = reader_down(reader, member->query);
    if (before == FORM_NAME_MAX) {
        return true;
    }
    json_t *value = NULL;
    TRY(read_value(reader, member->shape, &value));
    if (value == NULL && member->required) {
        return fault_missing(reader->fault, reader->protocol, reader->name);
    }
    if (value != NULL) {
        json_object_set_new(object, member->name, value);
    }
    reader_up(reader, before);
    return true;
}

static bool read_struct(QueryReader *reader, const AwsShape *shape, json_t **ret_value)
{
    json_t *object = json_object();
    for (size_t i = 0; i < shape->member_count; i++) {
        if (!read_member(reader, &shape->members[i], object)) {
            json_decref(object);
            return false;
        }
    }
    *ret_value = object;
    return true;
}

/* ---- lists and maps ----------------------------------------------------------------------------
 */

static int index_compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The N of a name below the present one; 0 where there is none. */
static uint32_t index_of(const QueryReader *reader, Slice name)
{
    Slice rest = slice_skip(name, reader->name_len + 1);
    Slice digits = slice_cut(&rest, '.');
    uint64_t index;
    bool is_index =
        digits.len > 0 && digits.len <= 9 && digits.data[0] != '0' && str_to_u64(digits, &index);
    return is_index ? (uint32_t)index : 0;
}

typedef VEC(uint32_t) Indexes;

static Indexes reader_indexes(const QueryReader *reader)
{
    Indexes indexes = {0};
    for (size_t i = reader_below(reader); i < reader->form->count; i++) {
        if (!is_below(reader, reader->form->pairs[i].name)) {
            break;
        }
        uint32_t index = index_of(reader, reader->form->pairs[i].name);
        if (index > 0 && (indexes.len == 0 || indexes.items[indexes.len - 1] != index)) {
            vec_push(&indexes, index); /* pairs of one index stand together */
        }
    }
    if (indexes.len > 0) {
        qsort(indexes.items, indexes.len, sizeof(uint32_t), index_compare);
    }
    return indexes;
}

static bool read_map_entry(QueryReader *reader, const AwsShape *map, json_t *object)
{
    json_t *key = NULL;
    json_t *value = NULL;
    size_t before = reader_down(reader, map->members[0].wire);
    bool ok = before == FORM_NAME_MAX || read_scalar(reader, map->members[0].shape, &key);
    if (ok && before != FORM_NAME_MAX) {
        reader_up(reader, before);
        before = reader_down(reader, map->members[1].wire);
        ok = before == FORM_NAME_MAX || read_value(reader, map->members[1].shape, &value);
    }
    if (ok && before != FORM_NAME_MAX) {
        reader_up(reader, before);
    }
    if (ok && key != NULL && value != NULL) {
        json_object_set(object, json_string_value(key), value);
    }
    json_decref(key);
    json_decref(value);
    return ok;
}

static bool read_item(QueryReader *reader, const AwsShape *shape, json_t *collection)
{
    if (shape->type == AWS_MAP) {
        return read_map_entry(reader, shape, collection);
    }
    json_t *item = NULL;
    TRY(read_value(reader, shape->members[0].shape, &item));
    if (item != NULL) {
        json_array_append_new(collection, item);
    }
    return true;
}

static bool read_items(QueryReader *reader, const AwsShape *shape, const Indexes *indexes,
                       json_t *collection)
{
    for (size_t i = 0; i < indexes->len; i++) {
        char step[16];
        snprintf(step, sizeof(step), "%u", indexes->items[i]);
        size_t before = reader_down(reader, step);
        if (before == FORM_NAME_MAX) {
            continue;
        }
        TRY(read_item(reader, shape, collection));
        reader_up(reader, before);
    }
    return true;
}

/* Reads the items below the present name, in the form that has `step` between name and number
 * ("" for none). Leaves *ret_value alone where no item has that form. */
static bool read_form_of_list(QueryReader *reader, const AwsShape *shape, const char *step,
                              json_t **ret_value)
{
    size_t before = step[0] == '\0' ? reader->name_len : reader_down(reader, step);
    if (before == FORM_NAME_MAX) {
        return true;
    }
    Indexes indexes = reader_indexes(reader);
    bool ok = true;
    if (indexes.len > 0) {
        json_t *collection = shape->type == AWS_MAP ? json_object() : json_array();
        ok = read_items(reader, shape, &indexes, collection);
        if (ok) {
            *ret_value = collection;
        } else {
            json_decref(collection);
        }
    }
    vec_done(&indexes);
    if (ok) {
        reader_up(reader, before);
    }
    return ok;
}

static bool read_collection(QueryReader *reader, const AwsShape *shape, json_t **ret_value)
{
    const char *const steps[] = {shape->type == AWS_MAP ? "entry" : shape->members[0].wire,
                                 "member", ""};
    FormPair *pair = reader_pair(reader);
    *ret_value = NULL;
    for (size_t i = 0; i < ARRAY_LEN(steps) && *ret_value == NULL; i++) {
        TRY(read_form_of_list(reader, shape, steps[i], ret_value));
    }
    if (*ret_value == NULL && pair != NULL && pair->value.len == 0) {
        pair->used = true;
        *ret_value = shape->type == AWS_MAP ? json_object() : json_array();
    }
    return true;
}

/* ---- values ------------------------------------------------------------------------------------
 */

static bool read_compound(QueryReader *reader, const AwsShape *shape, json_t **ret_value)
{
    if (shape->type != AWS_STRUCT) {
        return read_collection(reader, shape, ret_value);
    }
    FormPair *pair = reader_pair(reader);
    bool present = reader->name_len == 0 || reader_below(reader) < reader->form->count;
    if (!present && pair != NULL && pair->value.len == 0) {
        pair->used = true;
        present = true;
    }
    *ret_value = NULL;
    return !present || read_struct(reader, shape, ret_value);
}

static bool read_value(QueryReader *reader, const AwsShape *shape, json_t **ret_value)
{
    bool is_compound =
        shape->type == AWS_STRUCT || shape->type == AWS_LIST || shape->type == AWS_MAP;
    if (!is_compound) {
        return read_scalar(reader, shape, ret_value);
    }
    if (reader->depth >= AWS_DEPTH_MAX) {
        *ret_value = NULL;
        return true;
    }
    reader->depth++;
    bool ok = read_compound(reader, shape, ret_value);
    reader->depth--;
    return ok;
}

static void collect_unknown(const Form *form, json_t *unknown)
{
    for (size_t i = 0; i < form->count; i++) {
        Slice name = form->pairs[i].name;
        bool expected = form->pairs[i].used || slice_is(name, "Action") ||
                        slice_is(name, "Version") || slice_starts(name, "X-Amz-");
        json_t *text = expected ? NULL : json_stringn(name.data, name.len);
        if (text != NULL) {
            json_array_append_new(unknown, text);
        }
    }
}

bool query_input_parse(const AwsCall *call, const Form *form, json_t **ret_input, json_t *unknown,
                       AwsFault *fault)
{
    QueryReader reader = {.form = form, .protocol = call->protocol, .fault = fault};
    json_t *input = NULL;
    if (call->operation->input == NULL) {
        input = json_object();
    } else {
        TRY(read_value(&reader, call->operation->input, &input));
    }
    if (unknown != NULL) {
        collect_unknown(form, unknown);
    }
    *ret_input = input;
    return true;
}
