/* Finding things in the generated tables. The tables are constant and sorted by name. */
#include <stdlib.h>

#include "aws/tables_priv.h"

const AwsService *aws_service_at(size_t index)
{
    return index < aws_service_count ? &aws_services[index] : NULL;
}

const AwsService *aws_service_find(Slice signing_name)
{
    for (size_t i = 0; i < aws_service_count; i++) {
        if (slice_is(signing_name, aws_services[i].signing)) {
            return &aws_services[i];
        }
    }
    return NULL;
}

const AwsService *aws_service_by_target(Slice target, Slice *ret_operation)
{
    Slice operation = target;
    Slice prefix = slice_cut(&operation, '.');
    for (size_t i = 0; i < aws_service_count; i++) {
        if (aws_services[i].target != NULL && slice_is(prefix, aws_services[i].target)) {
            *ret_operation = operation;
            return &aws_services[i];
        }
    }
    return NULL;
}

/* A row of any table: its first field is the name that the table is sorted by. */
static int row_compare(const void *key, const void *row)
{
    return slice_cmp(*(const Slice *)key, slice_of(*(const char *const *)row));
}

const AwsOperation *aws_operation_find(const AwsService *service, Slice name)
{
    STATIC_ASSERT(offsetof(AwsOperation, name) == 0, "row_compare reads the name first");
    return bsearch(&name, service->operations, service->operation_count, sizeof(AwsOperation),
                   row_compare);
}

const AwsShape *aws_shape_find(const AwsService *service, Slice name)
{
    STATIC_ASSERT(offsetof(AwsShape, name) == 0, "row_compare reads the name first");
    return bsearch(&name, service->shapes, service->shape_count, sizeof(AwsShape), row_compare);
}

const AwsMember *aws_member_find(const AwsShape *shape, Slice name)
{
    for (size_t i = 0; i < shape->member_count; i++) {
        if (slice_is(name, shape->members[i].name)) {
            return &shape->members[i];
        }
    }
    return NULL;
}

bool aws_enum_has(const AwsShape *shape, Slice value)
{
    for (size_t i = 0; i < shape->value_count; i++) {
        if (slice_is(value, shape->values[i])) {
            return true;
        }
    }
    return false;
}

static json_t *redacted_struct(const AwsShape *shape, const json_t *value)
{
    json_t *copy = json_object();
    for (size_t i = 0; i < shape->member_count; i++) {
        const AwsMember *member = &shape->members[i];
        const json_t *item = json_object_get(value, member->name);
        if (item != NULL) {
            json_object_set_new(copy, member->name,
                                member->sensitive ? json_string("***")
                                                  : aws_redacted(member->shape, item));
        }
    }
    return copy;
}

json_t *aws_redacted(const AwsShape *shape, const json_t *value)
{
    if (shape != NULL && shape->type == AWS_STRUCT && json_is_object(value)) {
        return redacted_struct(shape, value);
    }
    if (shape != NULL && shape->type == AWS_LIST && json_is_array(value)) {
        json_t *copy = json_array();
        for (size_t i = 0; i < json_array_size(value); i++) {
            json_array_append_new(
                copy, shape->members[0].sensitive
                          ? json_string("***")
                          : aws_redacted(shape->members[0].shape, json_array_get(value, i)));
        }
        return copy;
    }
    return json_deep_copy(value);
}
