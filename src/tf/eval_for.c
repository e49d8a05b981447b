/*
 * Loops and templates.
 */
#include "tf/eval_priv.h"

/* ---- for ---------------------------------------------------------------------------------- */

bool eval_iterable(Eval *eval, const Expr *expr, const TfValue *value)
{
    if (value_is_collection(value)) {
        return eval_spend(eval, value_len(value));
    }
    (void)eval_error(eval, expr->pos, NULL, "a list, set or object is needed here, not %s",
                     value_excerpt(eval->arena, value));
    return false;
}

/* Calls `round` for each element, with its names in scope. */
static void for_each_element(Eval *eval, const ForExpr *form, const TfValue *source,
                             void (*round)(void *context), void *context)
{
    const Scope *outer = eval->scope;
    for (size_t i = 0; i < value_len(source); i++) {
        Scope key = {.up = outer, .name = form->key_name};
        Scope value = {.up = outer, .name = form->value_name, .value = value_at(source, i)};
        if (form->key_name.len > 0) {
            key.value = value_key_at(eval->arena, source, i);
            value.up = &key;
        }
        eval->scope = &value;
        round(context);
    }
    eval->scope = outer;
}

typedef struct Loop {
    Eval *eval;
    const Expr *expr;
    VEC(TfMember) members; /* of a list without names */
    bool unknown;          /* how many elements there are is not known */
    bool sensitive;
} Loop;

static void loop_add_value(Loop *loop)
{
    Eval *eval = loop->eval;
    TfMember member = {.value = eval_expr(eval, loop->expr->loop.value)};
    arena_vec_push(eval->arena, &loop->members, member);
}

static void loop_add_member(Loop *loop)
{
    Eval *eval = loop->eval;
    const ForExpr *form = &loop->expr->loop;
    const TfValue *key = eval_expr(eval, form->key);
    TfMember member = {.value = eval_expr(eval, form->value)};
    loop->sensitive |= key->sensitive;
    if (key->kind == TF_UNKNOWN) {
        loop->unknown = true;
        return;
    }
    const TfValue *name = value_to_string(eval->arena, key);
    if (name == NULL) {
        (void)eval_error(eval, form->key->pos, NULL, "a key is a string, not %s",
                         value_excerpt(eval->arena, key));
        loop->unknown = true;
        return;
    }
    member.name = name->string;
    arena_vec_push(eval->arena, &loop->members, member);
}

static void loop_round(void *context)
{
    Loop *loop = context;
    const ForExpr *form = &loop->expr->loop;
    bool condition = true;
    bool unknown = false;
    bool sensitive = false;
    if (form->condition != NULL &&
        !eval_condition(loop->eval, form->condition, &condition, &unknown, &sensitive)) {
        loop->unknown = true;
        return;
    }
    loop->sensitive |= sensitive;
    loop->unknown |= unknown;
    if (condition && form->key == NULL) {
        loop_add_value(loop);
    } else if (condition) {
        loop_add_member(loop);
    }
}

static const TfValue *loop_list(const Loop *loop)
{
    Arena *arena = loop->eval->arena;
    const TfValue **items = ARENA_ARRAY(arena, const TfValue *, loop->members.len);
    for (size_t i = 0; i < loop->members.len; i++) {
        items[i] = loop->members.items[i].value;
    }
    return tf_list(arena, items, loop->members.len);
}

/* Members by name, each with the list of all its values, in their order. */
static const TfValue *loop_groups(const Loop *loop)
{
    Arena *arena = loop->eval->arena;
    const TfValue *names = tf_object(arena, loop->members.items, loop->members.len);
    TfMember *groups = ARENA_ARRAY(arena, TfMember, names->object.len);
    for (size_t i = 0; i < names->object.len; i++) {
        VEC(const TfValue *) values = {0};
        groups[i].name = names->object.members[i].name;
        for (size_t j = 0; j < loop->members.len; j++) {
            if (slice_eq(loop->members.items[j].name, groups[i].name)) {
                arena_vec_push(arena, &values, loop->members.items[j].value);
            }
        }
        groups[i].value = tf_list(arena, values.items, values.len);
    }
    return tf_object(arena, groups, names->object.len);
}

static const TfValue *loop_object(const Loop *loop)
{
    Eval *eval = loop->eval;
    const ForExpr *form = &loop->expr->loop;
    if (form->group) {
        if (!eval_spend(eval, loop->members.len * loop->members.len / 16)) {
            return tf_unknown();
        }
        return loop_groups(loop);
    }
    const TfValue *object = tf_object(eval->arena, loop->members.items, loop->members.len);
    if (object->object.len < loop->members.len) {
        return eval_error(eval, form->key->pos,
                          "keys must differ; write … => value... to collect the values of each key "
                          "in a list",
                          "two elements give the same key");
    }
    return object;
}

const TfValue *eval_for(Eval *eval, const Expr *expr)
{
    const TfValue *source = eval_expr(eval, expr->loop.source);
    if (source->kind == TF_UNKNOWN) {
        return value_unknown(source->sensitive);
    }
    if (!eval_iterable(eval, expr->loop.source, source)) {
        return tf_unknown();
    }
    Loop loop = {.eval = eval, .expr = expr, .sensitive = source->sensitive};
    for_each_element(eval, &expr->loop, source, loop_round, &loop);
    if (loop.unknown) {
        return value_unknown(loop.sensitive);
    }
    const TfValue *value = expr->loop.key == NULL ? loop_list(&loop) : loop_object(&loop);
    return tf_mark(eval->arena, value, loop.sensitive);
}

/* ---- templates ------------------------------------------------------------------------------ */

/* One piece of text that grows while parts are added. */
typedef struct Text {
    Eval *eval;
    Buf buf;
    bool unknown;
    bool sensitive;
} Text;

static void text_add(Text *text, const Expr *expr);

static void text_add_value(Text *text, const Expr *expr, const TfValue *value)
{
    Eval *eval = text->eval;
    text->sensitive |= value->holds_sensitive;
    if (value->kind == TF_UNKNOWN) {
        text->unknown = true;
        return;
    }
    const TfValue *string = value_to_string(eval->arena, value);
    if (string == NULL) {
        (void)eval_error(eval, expr->pos,
                         value->kind == TF_NULL ? NULL : "use join(\", \", …) or jsonencode(…)",
                         "%s cannot be put into a string", value_kind_name(value));
        text->unknown = true;
    } else if (eval_spend(eval, string->string.len / 16)) {
        buf_append_slice(&text->buf, string->string);
    }
}

static void text_add_if(Text *text, const Expr *expr)
{
    bool condition;
    bool unknown;
    bool sensitive;
    if (!eval_condition(text->eval, expr->choice.condition, &condition, &unknown, &sensitive)) {
        text->unknown = true;
        return;
    }
    text->sensitive |= sensitive;
    text->unknown |= unknown;
    const Expr *chosen = condition ? expr->choice.yes : expr->choice.no;
    if (chosen != NULL && !unknown) {
        text_add(text, chosen);
    }
}

typedef struct TextLoop {
    Text *text;
    const Expr *body;
} TextLoop;

static void text_round(void *context)
{
    const TextLoop *loop = context;
    text_add(loop->text, loop->body);
}

static void text_add_for(Text *text, const Expr *expr)
{
    Eval *eval = text->eval;
    const TfValue *source = eval_expr(eval, expr->loop.source);
    text->sensitive |= source->sensitive;
    if (source->kind == TF_UNKNOWN || !eval_iterable(eval, expr->loop.source, source)) {
        text->unknown = true;
        return;
    }
    TextLoop loop = {text, expr->loop.value};
    for_each_element(eval, &expr->loop, source, text_round, &loop);
}

/* The parts of a template, or one part. Recursion is as deep as the expression. */
static void text_add(Text *text, const Expr *expr)
{
    if (!eval_spend(text->eval, 1)) {
        text->unknown = true;
    } else if (expr->kind == EXPR_TEMPLATE && !expr->sequence.unwrap) {
        for (size_t i = 0; i < expr->sequence.parts.len; i++) {
            text_add(text, expr->sequence.parts.items[i]);
        }
    } else if (expr->kind == EXPR_TEMPLATE_IF) {
        text_add_if(text, expr);
    } else if (expr->kind == EXPR_TEMPLATE_FOR) {
        text_add_for(text, expr);
    } else {
        text_add_value(text, expr, eval_expr(text->eval, expr));
    }
}

const TfValue *eval_template(Eval *eval, const Expr *expr)
{
    if (expr->kind == EXPR_TEMPLATE && expr->sequence.unwrap) {
        return eval_expr(eval, expr->sequence.parts.items[0]);
    }
    Text text = {.eval = eval};
    buf_init(&text.buf, TF_VALUE_BYTES_MAX);
    text_add(&text, expr);
    const TfValue *value;
    if (text.buf.overflowed) {
        value = eval_error(eval, expr->pos, NULL, "a string of more than %zu bytes",
                           TF_VALUE_BYTES_MAX);
    } else {
        value = text.unknown ? tf_unknown() : tf_string(eval->arena, buf_slice(&text.buf));
    }
    buf_done(&text.buf);
    return tf_mark(eval->arena, value, text.sensitive);
}
