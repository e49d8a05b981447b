/*
 * The value of a body: arguments converted to the types of the schema, blocks as lists of objects.
 * And what a reference to a resource sees, where the rest is unknown or null.
 */
#include "tf/eval_priv.h"

typedef struct Decode {
    Eval *eval;
    const TfSchema *schema;
    const char *what;
    VEC(TfMember) members;
} Decode;

static void decode_add(Decode *decode, const char *name, const TfValue *value)
{
    TfMember member = {slice_of(name), value};
    arena_vec_push(decode->eval->arena, &decode->members, member);
}

/* ---- single values --------------------------------------------------------------------------- */

static const TfValue *convert_attribute(Decode *decode, TfPos pos, const TfAttribute *attribute,
                                        const TfValue *value)
{
    Arena *arena = decode->eval->arena;
    const TfValue *marked = tf_mark(arena, value, (attribute->flags & TF_SENSITIVE) != 0);
    const TfValue *converted;
    ConvertFailure failure;
    if (value_convert(arena, marked, type_of_schema(attribute->type), &converted, &failure)) {
        return converted;
    }
    const char *found = "nothing";
    if (failure.found != NULL) {
        found = marked->sensitive ? value_kind_name(failure.found)
                                  : value_excerpt(arena, failure.found);
    }
    return eval_error(decode->eval, pos,
                      arena_printf(arena, "for instance: %s = %s", attribute->name,
                                   schema_sample(attribute->type)),
                      "%s%s of %s must be %s, not %s", attribute->name, failure.path, decode->what,
                      failure.wanted, found);
}

static void decode_attribute(Decode *decode, TfPos pos, const TfAttribute *attribute,
                             const TfValue *value)
{
    if (value->kind != TF_NULL) {
        decode_add(decode, attribute->name, convert_attribute(decode, pos, attribute, value));
    } else if ((attribute->flags & TF_REQUIRED) != 0) {
        (void)eval_error(decode->eval, pos, NULL, "%s of %s is required, so it must not be null",
                         attribute->name, decode->what);
    }
}

/* ---- blocks as values: NAME = [{…}] ------------------------------------------------------------
 */

static const TfValue *blocks_from_value(Decode *decode, TfPos pos, const TfBlockType *type,
                                        const TfValue *value);

static void object_member(Decode *decode, TfPos pos, const TfMember *member)
{
    const TfAttribute *attribute = schema_attribute(decode->schema, member->name);
    const TfBlockType *block = schema_block(decode->schema, member->name);
    if (attribute != NULL && attribute->refused == NULL) {
        decode_attribute(decode, pos, attribute, member->value);
    } else if (attribute == NULL && block != NULL && member->value->kind != TF_NULL) {
        decode_add(decode, block->name, blocks_from_value(decode, pos, block, member->value));
    } else if (attribute != NULL || block == NULL) {
        (void)eval_error(decode->eval, pos,
                         attribute != NULL
                             ? attribute->refused
                             : schema_hint(decode->eval->arena, decode->schema, member->name),
                         "unknown argument \"%.*s\" in %s", SLICE_FMT(member->name), decode->what);
    }
}

static const TfValue *object_from_value(Eval *eval, TfPos pos, const TfSchema *schema,
                                        const char *what, const TfValue *value)
{
    if (value->kind != TF_OBJECT) {
        return value->kind == TF_UNKNOWN
                   ? value
                   : eval_error(eval, pos, NULL, "%s must be an object, not %s", what,
                                value_excerpt(eval->arena, value));
    }
    Decode decode = {.eval = eval, .schema = schema, .what = what};
    for (size_t i = 0; i < value->object.len; i++) {
        object_member(&decode, pos, &value->object.members[i]);
    }
    for (size_t i = 0; i < schema->attributes_len; i++) {
        const TfAttribute *attribute = &schema->attributes[i];
        if ((attribute->flags & TF_REQUIRED) != 0 && tf_get(value, attribute->name) == NULL) {
            (void)eval_error(eval, pos, NULL, "missing argument \"%s\" in %s", attribute->name,
                             what);
        }
    }
    return tf_mark(eval->arena, tf_object(eval->arena, decode.members.items, decode.members.len),
                   value->sensitive);
}

/* A list of objects, or a single one. Recursion is as deep as the schema. */
static const TfValue *blocks_from_value(Decode *decode, TfPos pos, const TfBlockType *type,
                                        const TfValue *value)
{
    Arena *arena = decode->eval->arena;
    const char *what = arena_printf(arena, "%s of %s", type->name, decode->what);
    if (value->kind == TF_UNKNOWN) {
        return value;
    }
    const TfValue *list = value->kind == TF_OBJECT ? tf_list(arena, &value, 1) : value;
    if (list->kind != TF_LIST && list->kind != TF_SET) {
        return eval_error(decode->eval, pos, NULL, "%s must be a list of objects, not %s", what,
                          value_excerpt(arena, value));
    }
    size_t len = value_len(list);
    const TfValue **items = ARENA_ARRAY(arena, const TfValue *, len);
    for (size_t i = 0; i < len; i++) {
        items[i] = object_from_value(decode->eval, pos, &type->schema, what, value_at(list, i));
    }
    if (len < type->min || (type->max > 0 && len > type->max)) {
        (void)eval_error(decode->eval, pos, NULL, "%zu \"%s\" are too %s", len, what,
                         len < type->min ? "few" : "many");
    }
    return tf_mark(arena, tf_list(arena, items, len), list->sensitive);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

typedef struct BlockValues {
    Decode *decode;
    const TfBlockType *type;
    const char *what;
    VEC(const TfValue *) items;
    bool unknown; /* how many there are is not known yet */
} BlockValues;

static void add_block(BlockValues *values, const Body *body)
{
    Eval *eval = values->decode->eval;
    const TfValue *value = schema_decode(eval, body, &values->type->schema, values->what);
    arena_vec_push(eval->arena, &values->items, value);
}

static void add_dynamic(BlockValues *values, const Block *block)
{
    Eval *eval = values->decode->eval;
    Dynamic dynamic = block_dynamic(block);
    if (dynamic.for_each == NULL || dynamic.content == NULL) {
        return; /* reported by the check */
    }
    const TfValue *source = eval_expr(eval, dynamic.for_each);
    if (source->kind == TF_UNKNOWN || source->kind == TF_NULL) {
        values->unknown |= source->kind == TF_UNKNOWN;
        return;
    }
    if (!eval_iterable(eval, dynamic.for_each, source)) {
        return;
    }
    for (size_t i = 0; i < value_len(source); i++) {
        const TfMember members[] = {
            {SLICE("key"), value_key_at(eval->arena, source, i)},
            {SLICE("value"), tf_mark(eval->arena, value_at(source, i), source->sensitive)},
        };
        Scope scope = {.up = eval->scope,
                       .name = dynamic.iterator,
                       .value = tf_object(eval->arena, members, ARRAY_LEN(members))};
        eval->scope = &scope;
        add_block(values, dynamic.content);
        eval->scope = scope.up;
    }
}

static void decode_blocks(Decode *decode, const Body *body, const TfBlockType *type)
{
    Arena *arena = decode->eval->arena;
    BlockValues values = {.decode = decode,
                          .type = type,
                          .what = arena_printf(arena, "%s of %s", type->name, decode->what)};
    bool any = false;
    for (size_t i = 0; i < body->blocks.len; i++) {
        const Block *block = &body->blocks.items[i];
        if (block_is_dynamic(block) && slice_is(block->labels[0].text, type->name)) {
            any = true;
            add_dynamic(&values, block);
        } else if (slice_is(block->type, type->name)) {
            any = true;
            add_block(&values, block->body);
        }
    }
    if (any) {
        decode_add(decode, type->name,
                   values.unknown ? tf_unknown()
                                  : tf_list(arena, values.items.items, values.items.len));
    }
}

static void decode_argument(Decode *decode, const Argument *argument)
{
    const TfAttribute *attribute = schema_attribute(decode->schema, argument->name);
    const TfBlockType *block = schema_block(decode->schema, argument->name);
    if (attribute == NULL && (block == NULL || !block->as_argument)) {
        return; /* reported by the check */
    }
    const TfValue *value = eval_expr(decode->eval, argument->expr);
    if (attribute != NULL) {
        decode_attribute(decode, argument->pos, attribute, value);
    } else if (value->kind != TF_NULL) {
        decode_add(decode, block->name, blocks_from_value(decode, argument->pos, block, value));
    }
}

/* Recursion is as deep as the schema. */
const TfValue *schema_decode(Eval *eval, const Body *body, const TfSchema *schema, const char *what)
{
    Decode decode = {.eval = eval, .schema = schema, .what = what};
    for (size_t i = 0; i < body->arguments.len; i++) {
        decode_argument(&decode, &body->arguments.items[i]);
    }
    for (size_t i = 0; i < schema->blocks_len; i++) {
        decode_blocks(&decode, body, &schema->blocks[i]);
    }
    return tf_object(eval->arena, decode.members.items, decode.members.len);
}

/* ---- what a reference sees --------------------------------------------------------------------
 */

static const TfValue *find_member(const TfValue *first, const TfValue *second, const char *name)
{
    const TfValue *value = first != NULL ? tf_get(first, name) : NULL;
    return value == NULL && second != NULL ? tf_get(second, name) : value;
}

static const TfValue *complete_attribute(Arena *arena, const TfAttribute *attribute,
                                         const TfValue *config, const TfValue *set)
{
    const TfValue *value = find_member(set, config, attribute->name);
    bool computed = (attribute->flags & (TF_COMPUTED | TF_READ_ONLY)) != 0;
    if (value == NULL) {
        value = computed && set == NULL ? tf_unknown() : tf_null();
    }
    ConvertFailure failure;
    (void)value_convert(arena, value, type_of_schema(attribute->type), &value, &failure);
    return tf_mark(arena, value, (attribute->flags & TF_SENSITIVE) != 0);
}

static const TfValue *complete_blocks(Arena *arena, const TfBlockType *type, const TfValue *config,
                                      const TfValue *set)
{
    const TfValue *value = find_member(set, config, type->name);
    if (value == NULL) {
        return type->computed && set == NULL ? tf_unknown() : tf_list(arena, NULL, 0);
    }
    if (value->kind != TF_LIST) {
        return value;
    }
    const TfValue **items = ARENA_ARRAY(arena, const TfValue *, value->list.len);
    for (size_t i = 0; i < value->list.len; i++) {
        const TfValue *item = value->list.items[i];
        items[i] = item->kind != TF_OBJECT
                       ? item
                       : schema_complete(arena, &type->schema, set == NULL ? item : NULL,
                                         set == NULL ? NULL : item);
    }
    return tf_list(arena, items, value->list.len);
}

/* Recursion is as deep as the schema. */
const TfValue *schema_complete(Arena *arena, const TfSchema *schema, const TfValue *config,
                               const TfValue *set)
{
    size_t len = 0;
    TfMember *members = ARENA_ARRAY(arena, TfMember, schema->attributes_len + schema->blocks_len);
    for (size_t i = 0; i < schema->attributes_len; i++) {
        const TfAttribute *attribute = &schema->attributes[i];
        members[len++] = (TfMember){slice_of(attribute->name),
                                    complete_attribute(arena, attribute, config, set)};
    }
    for (size_t i = 0; i < schema->blocks_len; i++) {
        const TfBlockType *type = &schema->blocks[i];
        members[len++] =
            (TfMember){slice_of(type->name), complete_blocks(arena, type, config, set)};
    }
    return tf_object(arena, members, len);
}
