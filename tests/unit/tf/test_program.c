/* Programs: instances, stages of evaluation, variables and their inputs, outputs, the JSON syntax.
 */
#include "fixture.h"

static const char tier[] =
    "variable \"db_password\" {\n  sensitive = true\n  description = \"of the master user\"\n}\n"
    "variable \"replicas\" {\n  type = number\n  default = 2\n}\n"
    "locals {\n  secret = jsonencode({ username = \"admin\", password = var.db_password })\n"
    "  endpoints = aws_db_instance.replica[*].endpoint\n}\n"
    "resource \"aws_db_proxy\" \"main\" {\n  name = \"proxy-of-${aws_db_instance.primary.id}\"\n"
    "  auth {\n    auth_scheme = \"SECRETS\"\n"
    "    secret_arn  = aws_secretsmanager_secret.db.arn\n  }\n}\n"
    "resource \"aws_db_instance\" \"replica\" {\n  count = var.replicas\n"
    "  identifier = \"replica-${count.index}\"\n"
    "  replicate_source_db = aws_db_instance.primary.identifier\n"
    "  instance_class = aws_db_instance.primary.instance_class\n}\n"
    "resource \"aws_db_instance\" \"primary\" {\n  identifier = \"primary\"\n"
    "  instance_class = \"db.r6g.large\"\n  engine = \"postgres\"\n"
    "  allocated_storage = \"100\"\n  multi_az = \"true\"\n  password = var.db_password\n"
    "  vpc_security_group_ids = [aws_security_group.db.id]\n"
    "  tags = { Environment = \"test\", Count = var.replicas }\n"
    "  lifecycle {\n    prevent_destroy = true\n    ignore_changes = [engine_version, tags]\n  "
    "}\n}\n"
    "resource \"aws_security_group\" \"db\" {\n  name = \"db\"\n"
    "  ingress {\n    from_port = 5432\n    cidr_blocks = [\"127.0.0.0/8\"]\n  }\n}\n"
    "resource \"aws_secretsmanager_secret\" \"db\" { name = \"db\" }\n"
    "resource \"aws_secretsmanager_secret_version\" \"db\" {\n"
    "  secret_id = aws_secretsmanager_secret.db.id\n  secret_string = local.secret\n}\n"
    "output \"endpoints\" {\n  value = local.endpoints\n  description = \"of the replicas\"\n}\n"
    "output \"a_secret\" {\n  value = local.secret\n  sensitive = true\n}\n";

static Loaded load_tier(void)
{
    TfSource source = {"tier.tf", slice_of(tier)};
    TfInput input = {TF_FROM_OPTION, "--var", "db_password", SLICE("hidden")};
    Loaded loaded = load_many(&source, 1, &input, 1);
    must_load(&loaded);
    return loaded;
}

static void set_attribute(Loaded *loaded, const char *address, const char *name, const char *text)
{
    const TfMember members[] = {{slice_of(name), tf_string(loaded->arena, slice_of(text))}};
    tf_set_attributes(loaded->program, tf_instance_find(loaded->program, address),
                      tf_object(loaded->arena, members, 1));
}

static void test_order(void **state)
{
    (void)state;
    Loaded loaded = load_tier();
    size_t len;
    const TfInstance *const *instances = tf_instances(loaded.program, &len);
    assert_int_equal(len, 7);
    for (size_t i = 0; i < len; i++) {
        for (size_t j = 0; j < instances[i]->depends_len; j++) {
            bool before = false;
            for (size_t k = 0; k < i; k++) {
                before = before || instances[k] == instances[i]->depends[j];
            }
            assert_true(before);
        }
    }
    const TfInstance *replica = tf_instance_find(loaded.program, "aws_db_instance.replica[1]");
    assert_int_equal(replica->depends_len, 1);
    assert_string_equal(replica->depends[0]->address, "aws_db_instance.primary");
    assert_int_equal(replica->key_kind, TF_KEY_COUNT);
    assert_int_equal(replica->count_index, 1);
    assert_string_equal(replica->resource, "aws_db_instance.replica");
    const TfInstance *version =
        tf_instance_find(loaded.program, "aws_secretsmanager_secret_version.db");
    assert_int_equal(version->depends_len, 1);
    assert_null(tf_instance_find(loaded.program, "aws_db_instance.replica[2]"));
    loaded_done(&loaded);
}

static void test_stages(void **state)
{
    (void)state;
    Loaded loaded = load_tier();
    assert_string_equal(
        evaluated(&loaded, "aws_db_instance.primary"),
        "{allocated_storage = 100, engine = \"postgres\", identifier = \"primary\", "
        "instance_class = \"db.r6g.large\", multi_az = true, password = (sensitive), "
        "tags = {Count = \"2\", Environment = \"test\"}, "
        "vpc_security_group_ids = [(known after apply)]}");
    assert_string_equal(output_of(&loaded, "endpoints"),
                        "[(known after apply), (known after apply)]");
    set_attribute(&loaded, "aws_security_group.db", "id", "sg-1");
    assert_non_null(strstr(evaluated(&loaded, "aws_db_instance.primary"), "[\"sg-1\"]"));
    assert_string_equal(evaluated(&loaded, "aws_db_proxy.main"),
                        "{auth = [{auth_scheme = \"SECRETS\", secret_arn = (known after apply)}], "
                        "name = (known after apply)}");
    set_attribute(&loaded, "aws_db_instance.primary", "id", "db-1");
    assert_string_equal(evaluated(&loaded, "aws_db_proxy.main"),
                        "{auth = [{auth_scheme = \"SECRETS\", secret_arn = (known after apply)}], "
                        "name = \"proxy-of-db-1\"}");
    set_attribute(&loaded, "aws_secretsmanager_secret.db", "arn", "arn:1");
    assert_non_null(strstr(evaluated(&loaded, "aws_db_proxy.main"), "secret_arn = \"arn:1\""));
    assert_string_equal(evaluated(&loaded, "aws_db_instance.replica[1]"),
                        "{identifier = \"replica-1\", instance_class = \"db.r6g.large\", "
                        "replicate_source_db = \"primary\"}");
    set_attribute(&loaded, "aws_db_instance.replica[0]", "endpoint", "r0");
    set_attribute(&loaded, "aws_db_instance.replica[1]", "endpoint", "r1");
    assert_string_equal(output_of(&loaded, "endpoints"), "[\"r0\", \"r1\"]");
    assert_string_equal(output_of(&loaded, "a_secret"), "(sensitive)");
    loaded_done(&loaded);
}

/* After apply what it said counts, then what is written; the rest is null, not unknown. */
static void test_set_attributes(void **state)
{
    (void)state;
    Loaded loaded = load_text("resource \"aws_db_instance\" \"a\" {\n  identifier = \"A\"\n"
                              "  instance_class = \"x\"\n  password = \"p\"\n}\n"
                              "output \"o\" {\n  value = [aws_db_instance.a.identifier, "
                              "aws_db_instance.a.instance_class, aws_db_instance.a.port, "
                              "aws_db_instance.a.engine]\n}\n"
                              "output \"p\" {\n  value = aws_db_instance.a.password\n"
                              "  sensitive = true\n}\n");
    must_load(&loaded);
    assert_string_equal(output_of(&loaded, "o"), "[\"A\", \"x\", (known after apply), null]");
    set_attribute(&loaded, "aws_db_instance.a", "identifier", "a");
    assert_string_equal(output_of(&loaded, "o"), "[\"a\", \"x\", null, null]");
    const TfMember members[] = {{SLICE("port"), tf_string(loaded.arena, SLICE("5432"))}};
    tf_set_attributes(loaded.program, tf_instance_find(loaded.program, "aws_db_instance.a"),
                      tf_object(loaded.arena, members, 1));
    assert_string_equal(output_of(&loaded, "o"), "[\"A\", \"x\", 5432, null]");
    loaded_done(&loaded);
}

/* What only apply shows to be wrong is reported at its place, as often as it is asked for. */
static void test_late_error(void **state)
{
    (void)state;
    Loaded loaded = load_text("resource \"aws_security_group\" \"g\" { name = \"g\" }\n"
                              "resource \"aws_db_instance\" \"a\" {\n  instance_class = \"x\"\n"
                              "  allocated_storage = aws_security_group.g.id\n}\n");
    must_load(&loaded);
    const TfInstance *instance = tf_instance_find(loaded.program, "aws_db_instance.a");
    const TfValue *value;
    assert_true(tf_evaluate(loaded.program, instance, &loaded.diagnostics, &value));
    set_attribute(&loaded, "aws_security_group.g", "id", "sg-1");
    for (int i = 0; i < 2; i++) {
        TfDiagnostics diagnostics;
        tf_diagnostics_init(&diagnostics, loaded.arena);
        assert_false(tf_evaluate(loaded.program, instance, &diagnostics, &value));
        assert_int_equal(diagnostics.list.len, 1);
        assert_int_equal(diagnostics.list.items[0].line, 4);
        assert_string_equal(diagnostics.list.items[0].message,
                            "allocated_storage of aws_db_instance must be a whole number, not "
                            "\"sg-1\"");
    }
    loaded_done(&loaded);
}

static void test_positions(void **state)
{
    (void)state;
    Loaded loaded = load_tier();
    const TfInstance *proxy = tf_instance_find(loaded.program, "aws_db_proxy.main");
    assert_int_equal(tf_pos_line(proxy->pos), 13);
    assert_int_equal(tf_pos_line(tf_instance_pos(proxy, "name")), 14);
    assert_int_equal(tf_pos_column(tf_instance_pos(proxy, "name")), 3);
    assert_int_equal(tf_pos_line(tf_instance_pos(proxy, "auth")), 15);
    assert_int_equal(tf_pos_line(tf_instance_pos(proxy, "auth.0.secret_arn")), 17);
    assert_int_equal(tf_pos_line(tf_instance_pos(proxy, "auth.0.iam_auth")), 15);
    assert_int_equal(tf_pos_line(tf_instance_pos(proxy, "auth.1.iam_auth")), 13);
    assert_int_equal(tf_pos_line(tf_instance_pos(proxy, "idle_client_timeout")), 13);
    assert_string_equal(tf_pos_file(tf_instance_pos(proxy, "")), "tier.tf");
    tf_diagnose(&loaded.diagnostics, TF_ERROR, tf_instance_pos(proxy, "auth.0.secret_arn"),
                "the API refused it", NULL);
    assert_string_equal(diagnostics_text(&loaded),
                        "error: tier.tf:17: the API refused it\n"
                        "  17 |     secret_arn  = aws_secretsmanager_secret.db.arn\n");
    loaded_done(&loaded);
}

static void test_lifecycle(void **state)
{
    (void)state;
    Loaded loaded = load_tier();
    const TfInstance *primary = tf_instance_find(loaded.program, "aws_db_instance.primary");
    assert_true(primary->prevent_destroy);
    assert_false(primary->ignore_all_changes);
    assert_int_equal(primary->ignore_changes_len, 2);
    assert_string_equal(primary->ignore_changes[1], "tags");
    loaded_done(&loaded);
    loaded = load_text("resource \"aws_security_group\" \"g\" {\n  lifecycle {\n"
                       "    ignore_changes = all\n  }\n}\n");
    must_load(&loaded);
    assert_true(tf_instance_find(loaded.program, "aws_security_group.g")->ignore_all_changes);
    loaded_done(&loaded);
}

static void test_for_each(void **state)
{
    (void)state;
    Loaded loaded = load_text(
        "locals {\n  groups = { a = aws_secretsmanager_secret.s.id, \"b \\\"\" = \"x\" }\n}\n"
        "resource \"aws_secretsmanager_secret\" \"s\" { name = \"s\" }\n"
        "resource \"aws_security_group\" \"g\" {\n  for_each = local.groups\n"
        "  name = \"${each.key}-${each.value}\"\n}\n"
        "resource \"aws_security_group\" \"h\" {\n  for_each = toset([\"y\", \"x\"])\n"
        "  name = \"${each.key}${each.value}\"\n}\n"
        "output \"names\" { value = { for k, g in aws_security_group.g : k => g.name } }\n"
        "output \"x\" { value = aws_security_group.h[\"x\"].name }\n"
        "output \"all\" { value = values(aws_security_group.h)[*].name }\n");
    must_load(&loaded);
    assert_string_equal(evaluated(&loaded, "aws_security_group.g[\"a\"]"),
                        "{name = (known after apply)}");
    set_attribute(&loaded, "aws_secretsmanager_secret.s", "id", "1");
    assert_string_equal(evaluated(&loaded, "aws_security_group.g[\"a\"]"), "{name = \"a-1\"}");
    assert_string_equal(evaluated(&loaded, "aws_security_group.g[\"b \\\"\"]"),
                        "{name = \"b \\\"-x\"}");
    assert_string_equal(output_of(&loaded, "names"), "{a = \"a-1\", \"b \\\"\" = \"b \\\"-x\"}");
    assert_string_equal(output_of(&loaded, "x"), "\"xx\"");
    assert_string_equal(output_of(&loaded, "all"), "[\"xx\", \"yy\"]");
    loaded_done(&loaded);
}

static void test_count_zero(void **state)
{
    (void)state;
    Loaded loaded = load_text("resource \"aws_security_group\" \"g\" {\n  count = false ? 1 : 0\n"
                              "}\noutput \"o\" { value = aws_security_group.g[*].id }\n");
    must_load(&loaded);
    size_t len;
    (void)tf_instances(loaded.program, &len);
    assert_int_equal(len, 0);
    assert_string_equal(output_of(&loaded, "o"), "[]");
    loaded_done(&loaded);
}

/* An output may name what it waits for; a name that is not declared is found there too. */
static void test_output_depends_on(void **state)
{
    (void)state;
    assert_diagnostics("output \"o\" {\n  value = 1\n  depends_on = [aws_security_group.g]\n}\n",
                       "error: main.tf:3: aws_security_group.g is not declared\n"
                       "  3 |   depends_on = [aws_security_group.g]\n"
                       "    declare it: resource \"aws_security_group\" \"g\" { … }\n");
}

static void test_blocks(void **state)
{
    (void)state;
    Loaded loaded =
        load_text("locals { ports = { pg = 5432, redis = 6379 } }\n"
                  "resource \"aws_security_group\" \"a\" {\n  dynamic \"ingress\" {\n"
                  "    for_each = local.ports\n    iterator = port\n    content {\n"
                  "      from_port   = port.value\n      cidr_blocks = [port.key]\n    }\n  }\n"
                  "  ingress {\n    from_port = 1\n  }\n}\n"
                  "resource \"aws_security_group\" \"b\" {\n"
                  "  ingress = [for p in local.ports : { from_port = tostring(p) }]\n}\n"
                  "resource \"aws_security_group\" \"c\" {\n}\n"
                  "output \"o\" {\n  value = [aws_security_group.b.ingress[0], "
                  "aws_security_group.c.ingress]\n}\n");
    must_load(&loaded);
    assert_string_equal(evaluated(&loaded, "aws_security_group.a"),
                        "{ingress = [{cidr_blocks = [\"pg\"], from_port = 5432}, "
                        "{cidr_blocks = [\"redis\"], from_port = 6379}, {from_port = 1}]}");
    assert_string_equal(evaluated(&loaded, "aws_security_group.b"),
                        "{ingress = [{from_port = 5432}, {from_port = 6379}]}");
    assert_string_equal(output_of(&loaded, "o"),
                        "[{cidr_blocks = null, from_port = 5432}, (known after apply)]");
    loaded_done(&loaded);
}

/* ---- variables --------------------------------------------------------------------------------
 */

static void test_needs(void **state)
{
    (void)state;
    TfSource source = {"tier.tf", slice_of(tier)};
    Loaded loaded = load_many(&source, 1, NULL, 0);
    must_load(&loaded);
    size_t len;
    const TfNeed *needs = tf_needs(loaded.program, &len);
    assert_int_equal(len, 1);
    assert_string_equal(needs[0].name, "db_password");
    assert_string_equal(needs[0].description, "of the master user");
    assert_int_equal(tf_pos_line(needs[0].pos), 1);
    assert_non_null(
        strstr(evaluated(&loaded, "aws_db_instance.primary"), "password = (sensitive)"));
    loaded_done(&loaded);

    TfInput generated = {TF_FROM_GENERATED, "generated", "db_password", SLICE("[1]\"${x}")};
    loaded = load_many(&source, 1, &generated, 1);
    must_load(&loaded);
    (void)tf_needs(loaded.program, &len);
    assert_int_equal(len, 0);
    const TfValue *value;
    assert_true(tf_evaluate(loaded.program,
                            tf_instance_find(loaded.program, "aws_db_instance.primary"),
                            &loaded.diagnostics, &value));
    assert_slice(tf_get(value, "password")->string, "[1]\"${x}");
    loaded_done(&loaded);
}

static const char *const inputs_text =
    "variable \"s\" { default = \"d\" }\nvariable \"n\" {\n  type = number\n  default = 1\n}\n"
    "variable \"l\" {\n  type = list(string)\n  default = []\n}\n"
    "variable \"o\" {\n  type = object({ a = string, b = optional(number, 7) })\n"
    "  default = { a = \"x\" }\n}\n"
    "variable \"any\" {\n  type = any\n  default = null\n}\n"
    "output \"v\" { value = [var.s, var.n, var.l, var.o, var.any] }\n";

static void test_inputs(void **state)
{
    (void)state;
    TfSource source = {"main.tf", slice_of(inputs_text)};
    Loaded loaded = load_many(&source, 1, NULL, 0);
    must_load(&loaded);
    assert_string_equal(output_of(&loaded, "v"), "[\"d\", 1, [], {a = \"x\", b = 7}, null]");
    loaded_done(&loaded);

    const TfInput inputs[] = {
        {TF_FROM_OPTION, "--var", "s", SLICE("[1]")},
        {TF_FROM_OPTION, "--var", "l", SLICE("[1, \"b\"]")},
        {TF_FROM_FILE, "terraform.tfvars", NULL,
         SLICE("s = \"file\"\nn = \"3\"\no = { a = 1, b = 2, c = 3 }\n")},
        {TF_FROM_ENVIRONMENT, "TF_VAR_n", "n", SLICE("9")},
        {TF_FROM_ENVIRONMENT, "TF_VAR_any", "any", SLICE("{ a = upper(\"x\") }")},
        {TF_FROM_ENVIRONMENT, "TF_VAR_other", "other", SLICE("ignored")},
    };
    loaded = load_many(&source, 1, inputs, ARRAY_LEN(inputs));
    must_load(&loaded);
    assert_string_equal(output_of(&loaded, "v"),
                        "[\"[1]\", 3, [\"1\", \"b\"], {a = \"1\", b = 2}, {a = \"X\"}]");
    assert_int_equal(loaded.diagnostics.list.len, 0);
    loaded_done(&loaded);

    const TfInput json = {TF_FROM_FILE, "x.tfvars.json", NULL,
                          SLICE("{\"s\": \"${no}\", \"l\": [1], \"o\": {\"a\": null}}")};
    loaded = load_many(&source, 1, &json, 1);
    must_load(&loaded);
    assert_string_equal(output_of(&loaded, "v"),
                        "[\"${no}\", 1, [\"1\"], {a = null, b = 7}, null]");
    loaded_done(&loaded);
}

static void test_bad_inputs(void **state)
{
    (void)state;
    TfSource source = {"main.tf",
                       SLICE("variable \"n\" { type = number }\n"
                             "variable \"p\" {\n  type = number\n  sensitive = true\n}\n"
                             "variable \"l\" {\n  type = list(number)\n  nullable = false\n}\n"
                             "variable \"size\" {\n  default = 20\n  validation {\n"
                             "    condition = var.size < 10\n"
                             "    error_message = \"at most 9, not ${var.size}\"\n  }\n}\n"
                             "variable \"none\" {}\n")};
    const TfInput inputs[] = {
        {TF_FROM_OPTION, "--var", "n", SLICE("x")},
        {TF_FROM_OPTION, "--var", "nn", SLICE("x")},
        {TF_FROM_FILE, "a.tfvars", NULL,
         SLICE("p = \"s3cret\"\nl = [1, \"x\"]\nsizes = 5\nb {}\n")},
        {TF_FROM_ENVIRONMENT, "TF_VAR_size", "size", SLICE("\xff")},
    };
    Loaded loaded = load_many(&source, 1, inputs, ARRAY_LEN(inputs));
    assert_null(loaded.program);
    assert_string_equal(diagnostics_text(&loaded),
                        "error: --var: there is no variable \"nn\"\n"
                        "  did you mean n?\n"
                        "error: main.tf:10: the value of variable \"size\" is not valid\n"
                        "  10 | variable \"size\" {\n"
                        "     at most 9, not 20\n"
                        "error: main.tf:17: variable \"none\" has no value\n"
                        "  17 | variable \"none\" {}\n"
                        "     write --var none=…, set TF_VAR_none, or give it a default\n"
                        "error: --var:1: var.n must be a number, not \"x\"\n"
                        "  its type is number\n"
                        "error: a.tfvars:1: var.p must be a number, not a string\n"
                        "  1 | p = …\n"
                        "    its type is number\n"
                        "error: a.tfvars:2: var.l[1] must be a number, not \"x\"\n"
                        "  2 | l = …\n"
                        "    its type is list(number)\n"
                        "warning: a.tfvars:3: there is no variable \"sizes\"\n"
                        "  3 | sizes = …\n"
                        "    did you mean size?\n"
                        "error: a.tfvars:4: a file of variable values holds no blocks\n"
                        "  write NAME = value\n"
                        "error: TF_VAR_size:1: this is not UTF-8 text\n"
                        "  save the file as UTF-8\n");
    loaded_done(&loaded);
}

/* Nothing of what stands in a file of values, or behind --var, is quoted. */
static void test_private_inputs(void **state)
{
    (void)state;
    TfSource source = {"main.tf", SLICE("variable \"a\" {\n  type = list(string)\n}\n")};
    static const char *const texts[] = {
        "a = hunter2",   "a = \"hunter2",   "a = hunter2(1)",      "a = [\"x\" hunter2]",
        "a = hunter2.x", "hunter2",         "a = <<hunter2\nx",    "a = \"${hunter2}\"",
        "a = 'hunter2'", "a = var.hunter2", "a = [[\"hunter2\"]]",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        bool value = slice_starts(slice_of(texts[i]), "a = ");
        const TfInput inputs[] = {
            {TF_FROM_FILE, "a.tfvars", NULL, slice_of(texts[i])},
            {TF_FROM_OPTION, "--var", "a", slice_of(texts[i] + (value ? 4 : 0))},
        };
        for (size_t j = 0; j < ARRAY_LEN(inputs); j++) {
            Loaded loaded = load_many(&source, 1, &inputs[j], 1);
            assert_null(loaded.program);
            assert_null(strstr(diagnostics_text(&loaded), "hunter2"));
            loaded_done(&loaded);
        }
    }
}

/* ---- the JSON syntax ----------------------------------------------------------------------------
 */

static void test_json(void **state)
{
    (void)state;
    TfSource source = {
        "main.tf.json",
        SLICE("{\"//\": \"comment\",\n"
              "\"variable\": {\"n\": {\"type\": \"number\", \"default\": 2}},\n"
              "\"locals\": {\"p\": \"app-${var.n}\", \"l\": [\"${var.n}\", \"$${x}\"]},\n"
              "\"resource\": {\n"
              " \"aws_security_group\": {\"g\": {\"name\": \"g\",\n"
              "   \"ingress\": {\"from_port\": 1, \"cidr_blocks\": [\"${local.p}\"]}}},\n"
              " \"aws_db_proxy\": {\"p\": [{\"name\": \"p\", \"//\": \"x\",\n"
              "   \"auth\": [{\"secret_arn\": \"a\"}, {\"secret_arn\": \"b\"}]}]},\n"
              " \"aws_db_instance\": {\"i\": {\"count\": \"${var.n}\",\n"
              "   \"instance_class\": \"${count.index}-%{ if true }x%{ endif }\",\n"
              "   \"tags\": {\"${local.p}\": 1}, \"depends_on\": [\"aws_db_proxy.p\"],\n"
              "   \"lifecycle\": {\"ignore_changes\": [\"tags\"], \"prevent_destroy\": true}}}},\n"
              "\"output\": {\"o\": {\"value\": \"${local.l}\"}}}\n")};
    Loaded loaded = load_many(&source, 1, NULL, 0);
    must_load(&loaded);
    assert_string_equal(evaluated(&loaded, "aws_security_group.g"),
                        "{ingress = [{cidr_blocks = [\"app-2\"], from_port = 1}], name = \"g\"}");
    assert_string_equal(evaluated(&loaded, "aws_db_proxy.p"),
                        "{auth = [{secret_arn = \"a\"}, {secret_arn = \"b\"}], name = \"p\"}");
    assert_string_equal(evaluated(&loaded, "aws_db_instance.i[1]"),
                        "{instance_class = \"1-x\", tags = {app-2 = \"1\"}}");
    assert_string_equal(output_of(&loaded, "o"), "[2, \"${x}\"]");
    const TfInstance *instance = tf_instance_find(loaded.program, "aws_db_instance.i[0]");
    assert_true(instance->prevent_destroy);
    assert_int_equal(instance->ignore_changes_len, 1);
    assert_int_equal(instance->depends_len, 1);
    assert_int_equal(tf_pos_line(tf_instance_pos(instance, "tags")), 11);
    loaded_done(&loaded);
}

static void test_json_errors(void **state)
{
    (void)state;
    const TfSource sources[] = {
        {"a.tf.json", SLICE("{\"resource\": {\"aws_db_proxy\": {\"p\": {\n\"name\": \"${var.x}\",\n"
                            "\"auth\": 5, \"nam\": 1}}},\n\"locals\": [{\"a\": 1, \"a\": 2}], "
                            "\"output\": 5}")},
        {"b.tf.json", SLICE("{\n \"a\": nul}")},
        {"c.tf.json", SLICE("[]")},
    };
    Loaded loaded = load_many(sources, ARRAY_LEN(sources), NULL, 0);
    assert_null(loaded.program);
    assert_string_equal(diagnostics_text(&loaded),
                        "error: a.tf.json:2: var.x is not declared\n"
                        "  2 | \"name\": \"${var.x}\",\n"
                        "    declare it: variable \"x\" { default = … }\n"
                        "error: a.tf.json:3: auth of aws_db_proxy is a block\n"
                        "  3 | \"auth\": 5, \"nam\": 1}}},\n"
                        "    write auth { … } without \"=\"\n"
                        "error: a.tf.json:3: unknown argument \"nam\" in aws_db_proxy\n"
                        "  3 | \"auth\": 5, \"nam\": 1}}},\n"
                        "    did you mean \"name\"?\n"
                        "error: a.tf.json:4: \"a\" is set twice\n"
                        "  4 | \"locals\": [{\"a\": 1, \"a\": 2}], \"output\": 5}\n"
                        "error: a.tf.json:4: an object is expected here, for \"output\"\n"
                        "  4 | \"locals\": [{\"a\": 1, \"a\": 2}], \"output\": 5}\n"
                        "error: b.tf.json:2: a JSON value is expected here\n"
                        "  2 |  \"a\": nul}\n"
                        "error: c.tf.json:1: the file must hold one JSON object\n"
                        "  1 | []\n");
    loaded_done(&loaded);
}

/* ---- several files ------------------------------------------------------------------------------
 */

static void test_files(void **state)
{
    (void)state;
    const TfSource sources[] = {
        {"b.tf", SLICE("\xef\xbb\xbfoutput \"o\" { value = local.a }\r\n")},
        {"a.tf", SLICE("locals {\r\n  a = <<EOT\r\nx\r\nEOT\r\n}\r\n")},
        {"empty.tf", SLICE("")},
    };
    Loaded loaded = load_many(sources, ARRAY_LEN(sources), NULL, 0);
    must_load(&loaded);
    assert_non_null(strstr(output_of(&loaded, "o"), "x"));
    loaded_done(&loaded);
}

/* Every prefix of a text is an error or a program, and nothing else. */
static void test_truncated(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof(tier) - 1; len += 3) {
        TfSource source = {"main.tf", {tier, len}};
        Loaded loaded = load_many(&source, 1, NULL, 0);
        loaded_done(&loaded);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),          cmocka_unit_test(test_stages),
        cmocka_unit_test(test_set_attributes), cmocka_unit_test(test_late_error),
        cmocka_unit_test(test_positions),      cmocka_unit_test(test_lifecycle),
        cmocka_unit_test(test_for_each),       cmocka_unit_test(test_count_zero),
        cmocka_unit_test(test_blocks),         cmocka_unit_test(test_output_depends_on),
        cmocka_unit_test(test_needs),          cmocka_unit_test(test_inputs),
        cmocka_unit_test(test_bad_inputs),     cmocka_unit_test(test_private_inputs),
        cmocka_unit_test(test_json),           cmocka_unit_test(test_json_errors),
        cmocka_unit_test(test_files),          cmocka_unit_test(test_truncated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
