/* Golden diagnostics: all errors of a text in one run, each with its place and what to write. */
#include "fixture.h"

static void test_arguments(void **state)
{
    (void)state;
    assert_diagnostics(
        "resource \"aws_db_instance\" \"primary\" {\n"
        "  engin             = \"postgres\"\n"
        "  allocated_storage = \"lots\"\n"
        "  multi_az          = 5\n"
        "  domain            = \"d-1\"\n"
        "  arn               = \"x\"\n"
        "  tags { a = 1 }\n"
        "  identifier        = null\n"
        "  iops_ratio        = 1.5\n"
        "  vpc_security_group_ids = [[]]\n"
        "}\n"
        "resource \"aws_lambda_function\" \"f\" {}\n"
        "resource \"aws_db_instanc\" \"f\" { x = 1 }\n",
        "error: main.tf:1: missing argument \"instance_class\" in aws_db_instance\n"
        "  1 | resource \"aws_db_instance\" \"primary\" {\n"
        "    add: instance_class = \"…\"\n"
        "error: main.tf:2: unknown argument \"engin\" in aws_db_instance\n"
        "  2 |   engin             = \"postgres\"\n"
        "    did you mean \"engine\"?\n"
        "error: main.tf:3: allocated_storage of aws_db_instance must be a whole number, not "
        "\"lots\"\n"
        "  3 |   allocated_storage = \"lots\"\n"
        "    for instance: allocated_storage = 1\n"
        "error: main.tf:4: multi_az of aws_db_instance must be true or false, not 5\n"
        "  4 |   multi_az          = 5\n"
        "    for instance: multi_az = true\n"
        "error: main.tf:5: domain is not supported in aws_db_instance\n"
        "  5 |   domain            = \"d-1\"\n"
        "    take the line out: there is no directory service\n"
        "error: main.tf:6: arn of aws_db_instance cannot be set\n"
        "  6 |   arn               = \"x\"\n"
        "    take the line out; other resources can refer to it\n"
        "error: main.tf:7: tags of aws_db_instance is an argument\n"
        "  7 |   tags { a = 1 }\n"
        "    write tags = { … }\n"
        "error: main.tf:10: vpc_security_group_ids[0] of aws_db_instance must be a string, not a "
        "list\n"
        "  10 |   vpc_security_group_ids = [[]]\n"
        "     for instance: vpc_security_group_ids = [\"…\"]\n"
        "error: main.tf:12: unknown resource type \"aws_lambda_function\"\n"
        "  12 | resource \"aws_lambda_function\" \"f\" {}\n"
        "     there are: aws_db_instance, aws_db_proxy, aws_security_group, "
        "aws_secretsmanager_secret, aws_secretsmanager_secret_version\n"
        "error: main.tf:13: unknown resource type \"aws_db_instanc\"\n"
        "  13 | resource \"aws_db_instanc\" \"f\" { x = 1 }\n"
        "     did you mean \"aws_db_instance\"?\n");
}

static void test_blocks(void **state)
{
    (void)state;
    assert_diagnostics(
        "resource \"aws_db_proxy\" \"p\" {\n"
        "  name = null\n"
        "  auth = []\n"
        "  auth \"x\" { secret_arn = 1 }\n"
        "  auth { iam_auth = [] }\n"
        "  nothing {}\n"
        "}\n"
        "resource \"aws_db_proxy\" \"q\" { name = \"q\" }\n"
        "resource \"aws_db_proxy\" \"r\" {\n"
        "  name = \"r\"\n"
        "  auth { secret_arn = 1 }\n"
        "  auth { secret_arn = 2 }\n"
        "  auth { secret_arn = 3 }\n"
        "}\n"
        "resource \"aws_security_group\" \"g\" {\n"
        "  ingress = [{ from_prt = 1 }, 5, { from_port = \"x\" }]\n"
        "}\n"
        "resource \"aws_security_group\" \"h\" { ingress = 5 }\n",
        "error: main.tf:2: name of aws_db_proxy is required, so it must not be null\n"
        "  2 |   name = null\n"
        "error: main.tf:3: auth of aws_db_proxy is a block\n"
        "  3 |   auth = []\n"
        "    write auth { … } without \"=\"\n"
        "error: main.tf:4: auth of aws_db_proxy has no labels\n"
        "  4 |   auth \"x\" { secret_arn = 1 }\n"
        "error: main.tf:5: missing argument \"secret_arn\" in auth of aws_db_proxy\n"
        "  5 |   auth { iam_auth = [] }\n"
        "    add: secret_arn = \"…\"\n"
        "error: main.tf:5: iam_auth of auth of aws_db_proxy must be a string, not a list\n"
        "  5 |   auth { iam_auth = [] }\n"
        "    for instance: iam_auth = \"…\"\n"
        "error: main.tf:6: unknown block \"nothing\" in aws_db_proxy\n"
        "  6 |   nothing {}\n"
        "    there are: name, idle_client_timeout, vpc_subnet_ids, auth\n"
        "error: main.tf:8: missing block \"auth\" in aws_db_proxy\n"
        "  8 | resource \"aws_db_proxy\" \"q\" { name = \"q\" }\n"
        "    add: auth { … }\n"
        "error: main.tf:9: more than 2 \"auth\" in aws_db_proxy\n"
        "  9 | resource \"aws_db_proxy\" \"r\" {\n"
        "error: main.tf:16: unknown argument \"from_prt\" in ingress of aws_security_group\n"
        "  16 |   ingress = [{ from_prt = 1 }, 5, { from_port = \"x\" }]\n"
        "     did you mean \"from_port\"?\n"
        "error: main.tf:16: missing argument \"from_port\" in ingress of aws_security_group\n"
        "  16 |   ingress = [{ from_prt = 1 }, 5, { from_port = \"x\" }]\n"
        "error: main.tf:16: ingress of aws_security_group must be an object, not 5\n"
        "  16 |   ingress = [{ from_prt = 1 }, 5, { from_port = \"x\" }]\n"
        "error: main.tf:16: from_port of ingress of aws_security_group must be a whole number, not "
        "\"x\"\n"
        "  16 |   ingress = [{ from_prt = 1 }, 5, { from_port = \"x\" }]\n"
        "     for instance: from_port = 1\n"
        "error: main.tf:18: ingress of aws_security_group must be a list of objects, not 5\n"
        "  18 | resource \"aws_security_group\" \"h\" { ingress = 5 }\n");
}

static void test_references(void **state)
{
    (void)state;
    assert_diagnostics(
        "variable \"db_password\" { default = \"x\" }\n"
        "resource \"aws_db_instance\" \"primary\" {\n"
        "  instance_class = var.db_pasword\n"
        "  password       = var.redis_token\n"
        "  identifier     = local.nam\n"
        "  username       = postgres\n"
        "  engine         = db_password\n"
        "  engine_version = aws_security_group.g.nam\n"
        "  vpc_security_group_ids = [aws_security_group.db_sg.id]\n"
        "}\n"
        "resource \"aws_db_instance\" \"replica\" {\n"
        "  count = 2\n"
        "  instance_class = each.key\n"
        "  identifier = aws_db_instance.primary.identifer\n"
        "  engine = aws_security_grop.x.id\n"
        "  vpc_security_group_ids = [aws_security_group.db_sg.id, var.redis_token]\n"
        "}\n"
        "resource \"aws_security_group\" \"g\" {\n"
        "  name = count.index\n"
        "  depends_on = [aws_security_group.missing, \"x\", local.a]\n"
        "}\n"
        "output \"a\" { value = aws_db_instance.replica[*].endpont }\n"
        "output \"b\" { value = terraform.workspace }\n"
        "output \"c\" { value = data.aws_vpc.main.id }\n"
        "output \"d\" { value = path.cwd }\n"
        "output \"e\" { value = [for v in [1] : w] }\n"
        "output \"f\" { value = aws_db_instance.replica.engine }\n",
        "error: main.tf:3: var.db_pasword is not declared\n"
        "  3 |   instance_class = var.db_pasword\n"
        "    did you mean var.db_password? Otherwise declare it: variable \"db_pasword\" { default "
        "= … }\n"
        "error: main.tf:4: var.redis_token is not declared\n"
        "  4 |   password       = var.redis_token\n"
        "    declare it: variable \"redis_token\" { sensitive = true }\n"
        "    it is also used at main.tf:16\n"
        "error: main.tf:5: local.nam is not declared\n"
        "  5 |   identifier     = local.nam\n"
        "    declare it: locals { nam = … }\n"
        "error: main.tf:6: postgres alone is no value\n"
        "  6 |   username       = postgres\n"
        "    text stands in double quotes: \"postgres\"\n"
        "error: main.tf:7: db_password alone is no value\n"
        "  7 |   engine         = db_password\n"
        "    did you mean var.db_password?\n"
        "error: main.tf:8: aws_security_group has no attribute \"nam\"\n"
        "  8 |   engine_version = aws_security_group.g.nam\n"
        "    did you mean \"name\"?\n"
        "error: main.tf:9: aws_security_group.db_sg is not declared\n"
        "  9 |   vpc_security_group_ids = [aws_security_group.db_sg.id]\n"
        "    declare it: resource \"aws_security_group\" \"db_sg\" { … }\n"
        "    it is also used at main.tf:16\n"
        "error: main.tf:13: each.key is known only in a resource with for_each\n"
        "  13 |   instance_class = each.key\n"
        "     give the resource a for_each\n"
        "error: main.tf:14: aws_db_instance has no attribute \"identifer\"\n"
        "  14 |   identifier = aws_db_instance.primary.identifer\n"
        "     did you mean \"identifier\"?\n"
        "error: main.tf:15: aws_security_grop.x refers to nothing: there is no resource type "
        "\"aws_security_grop\"\n"
        "  15 |   engine = aws_security_grop.x.id\n"
        "     did you mean aws_security_group?\n"
        "error: main.tf:19: count.index is known only in a resource with count\n"
        "  19 |   name = count.index\n"
        "     give the resource a count\n"
        "error: main.tf:20: aws_security_group.missing is not declared\n"
        "  20 |   depends_on = [aws_security_group.missing, \"x\", local.a]\n"
        "     declare it: resource \"aws_security_group\" \"missing\" { … }\n"
        "error: main.tf:20: depends_on takes references to whole resources\n"
        "  20 |   depends_on = [aws_security_group.missing, \"x\", local.a]\n"
        "     depends_on = [aws_db_instance.primary]\n"
        "error: main.tf:20: local.a is not declared\n"
        "  20 |   depends_on = [aws_security_group.missing, \"x\", local.a]\n"
        "     declare it: locals { a = … }\n"
        "error: main.tf:22: aws_db_instance has no attribute \"endpont\"\n"
        "  22 | output \"a\" { value = aws_db_instance.replica[*].endpont }\n"
        "     did you mean \"endpoint\"?\n"
        "error: main.tf:23: there are no workspaces: use a variable instead of "
        "terraform.workspace\n"
        "  23 | output \"b\" { value = terraform.workspace }\n"
        "error: main.tf:24: data sources are not supported: write the value, or a variable for "
        "it\n"
        "  24 | output \"c\" { value = data.aws_vpc.main.id }\n"
        "error: main.tf:25: path.cwd is not supported\n"
        "  25 | output \"d\" { value = path.cwd }\n"
        "     path.module and path.root are \".\"\n"
        "error: main.tf:26: w alone is no value\n"
        "  26 | output \"e\" { value = [for v in [1] : w] }\n"
        "     text stands in double quotes: \"w\"\n"
        "error: main.tf:27: aws_db_instance.replica has count, so it is not one instance but "
        "several\n"
        "  27 | output \"f\" { value = aws_db_instance.replica.engine }\n"
        "     write aws_db_instance.replica[0].engine for one, aws_db_instance.replica[*].engine "
        "for all\n");
}

static void test_names_and_cycles(void **state)
{
    (void)state;
    assert_diagnostics("variable \"a\" { default = 1 }\n"
                       "variable \"a\" { default = 2 }\n"
                       "locals {\n"
                       "  x = local.y\n"
                       "  y = [local.z, local.self]\n"
                       "  z = aws_security_group.g.id\n"
                       "  self = local.self\n"
                       "  x = 2\n"
                       "}\n"
                       "resource \"aws_security_group\" \"g\" { name = local.x }\n"
                       "resource \"aws_security_group\" \"g\" { name = \"other\" }\n"
                       "resource \"aws_security_group\" \"h i\" { name = \"other\" }\n"
                       "output \"o\" { value = 1 }\n"
                       "output \"o\" { value = local.x }\n",
                       "error: main.tf:2: var.a is declared twice\n"
                       "  2 | variable \"a\" { default = 2 }\n"
                       "    it is declared at main.tf:1 already; choose another name\n"
                       "error: main.tf:4: these need each other: local.x -> local.y -> local.z -> "
                       "aws_security_group.g -> local.x\n"
                       "  4 |   x = local.y\n"
                       "    one of these must do without the next\n"
                       "error: main.tf:7: it refers to itself: local.self -> local.self\n"
                       "  7 |   self = local.self\n"
                       "    take the reference to itself out\n"
                       "error: main.tf:8: \"x\" is set twice\n"
                       "  8 |   x = 2\n"
                       "    it is set at line 4 already\n"
                       "error: main.tf:11: aws_security_group.g is declared twice\n"
                       "  11 | resource \"aws_security_group\" \"g\" { name = \"other\" }\n"
                       "     it is declared at main.tf:10 already; choose another name\n"
                       "error: main.tf:12: \"h i\" is no name\n"
                       "  12 | resource \"aws_security_group\" \"h i\" { name = \"other\" }\n"
                       "     a name has letters, digits, _ and -, and begins with a letter or _\n"
                       "error: main.tf:14: output.o is declared twice\n"
                       "  14 | output \"o\" { value = local.x }\n"
                       "     it is declared at main.tf:13 already; choose another name\n");
}

static void test_top_level(void **state)
{
    (void)state;
    assert_diagnostics(
        "x = 1\n"
        "data \"aws_vpc\" \"v\" {}\n"
        "module \"m\" { source = \"./m\" }\n"
        "resorce \"a\" \"b\" {}\n"
        "resource \"aws_security_group\" {}\n"
        "variable \"v\" {\n  typ = string\n  type = strin\n  default = var.w\n}\n"
        "output \"o\" {\n  value = 1\n  precondition {}\n}\n"
        "provider \"google\" {}\n"
        "provider \"aws\" {\n  alias = \"west\"\n}\n"
        "provider \"aws\" {\n  region = var.region\n}\n"
        "terraform {\n  required_version = \">= 1.5\"\n  backend \"s3\" {}\n  experiments = []\n"
        "  required_providers {\n    aws = { source = \"hashicorp/aws\" }\n  }\n}\n"
        "locals {\n  b { a = 1 }\n}\n"
        "import {}\n",
        "error: main.tf:1: an argument cannot stand outside of a block\n"
        "  1 | x = 1\n"
        "    values stand in a block, for instance locals { … }\n"
        "error: main.tf:2: data blocks are not supported\n"
        "  2 | data \"aws_vpc\" \"v\" {}\n"
        "    write the value, or a variable for it\n"
        "error: main.tf:3: module blocks are not supported\n"
        "  3 | module \"m\" { source = \"./m\" }\n"
        "    write the module's resources into this configuration\n"
        "error: main.tf:4: unknown block \"resorce\"\n"
        "  4 | resorce \"a\" \"b\" {}\n"
        "    did you mean resource?\n"
        "error: main.tf:5: resource takes 2 names, not 1\n"
        "  5 | resource \"aws_security_group\" {}\n"
        "    write resource \"TYPE\" \"NAME\" { … }\n"
        "error: main.tf:7: unknown argument \"typ\" in variable \"v\"\n"
        "  7 |   typ = string\n"
        "    did you mean \"type\"?\n"
        "error: main.tf:8: this is no type\n"
        "  8 |   type = strin\n"
        "    types are string, number, bool, any, list(string), set(string), map(string), object({ "
        "name = string }), tuple([string, number])\n"
        "error: main.tf:9: a default cannot refer to other things\n"
        "  9 |   default = var.w\n"
        "error: main.tf:13: unknown block \"precondition\" in output \"o\"\n"
        "  13 |   precondition {}\n"
        "     there are: value, description, sensitive, depends_on\n"
        "error: main.tf:15: no resource type of the provider \"google\" is known\n"
        "  15 | provider \"google\" {}\n"
        "     take the block out\n"
        "error: main.tf:17: there is one region, so there are no aliases of providers\n"
        "  17 |   alias = \"west\"\n"
        "     take the block out\n"
        "error: main.tf:20: var.region is not declared\n"
        "  20 |   region = var.region\n"
        "     declare it: variable \"region\" { default = … }\n"
        "warning: main.tf:24: backend has no effect\n"
        "  24 |   backend \"s3\" {}\n"
        "     weir keeps no state file: it asks the API what there is\n"
        "error: main.tf:25: experiments is not supported in terraform\n"
        "  25 |   experiments = []\n"
        "error: main.tf:31: a locals block holds only arguments\n"
        "  31 |   b { a = 1 }\n"
        "     write NAME = { … }\n"
        "error: main.tf:33: import blocks are not supported\n"
        "  33 | import {}\n"
        "     take the block out: what exists under the same identifier is taken over\n");
}

static void test_meta(void **state)
{
    (void)state;
    assert_diagnostics(
        "variable \"s\" {\n  sensitive = true\n  default = 1\n}\n"
        "resource \"aws_security_group\" \"a\" {\n  count = \"x\"\n}\n"
        "resource \"aws_security_group\" \"b\" {\n  count = 2000\n}\n"
        "resource \"aws_security_group\" \"c\" {\n  count = var.s\n}\n"
        "resource \"aws_security_group\" \"d\" {\n  count = aws_security_group.e.id\n}\n"
        "resource \"aws_security_group\" \"e\" {\n  for_each = [\"a\"]\n}\n"
        "resource \"aws_security_group\" \"f\" {\n  for_each = 5\n}\n"
        "resource \"aws_security_group\" \"g\" {\n  count = 1\n  for_each = {}\n}\n"
        "resource \"aws_security_group\" \"h\" {\n  provider = aws.west\n  lifecycle {\n"
        "    ignore_changes = [nam, \"x\"]\n    prevent_destroy = var.s\n"
        "    create_before_destroy = true\n    replace_triggered_by = []\n"
        "    postcondition {}\n  }\n  provisioner \"local-exec\" {}\n}\n"
        "resource \"aws_security_group\" \"i\" {\n  dynamic \"ingres\" {\n    for_each = []\n"
        "    content {}\n  }\n  dynamic \"ingress\" {\n    for_each = []\n  }\n}\n",
        "error: main.tf:6: count must be a whole number between 0 and 1024, not \"x\"\n"
        "  6 |   count = \"x\"\n"
        "error: main.tf:9: count must be a whole number between 0 and 1024, not 2000\n"
        "  9 |   count = 2000\n"
        "error: main.tf:12: count must not be sensitive\n"
        "  12 |   count = var.s\n"
        "     use a value that is written in the configuration\n"
        "error: main.tf:15: aws_security_group.e has for_each, so it is not one instance but "
        "several\n"
        "  15 |   count = aws_security_group.e.id\n"
        "     write aws_security_group.e[\"KEY\"].id for one, values(aws_security_group.e)[*].id "
        "for all\n"
        "error: main.tf:18: for_each takes a map or a set of strings, not a list\n"
        "  18 |   for_each = [\"a\"]\n"
        "     write toset(…) around it\n"
        "error: main.tf:21: for_each takes a map or a set of strings\n"
        "  21 |   for_each = 5\n"
        "error: main.tf:25: aws_security_group.g has both count and for_each\n"
        "  25 |   for_each = {}\n"
        "     take one of them out\n"
        "error: main.tf:28: there is one region, so there are no aliases of providers\n"
        "  28 |   provider = aws.west\n"
        "     take the line out\n"
        "error: main.tf:30: aws_security_group has no argument \"nam\"\n"
        "  30 |     ignore_changes = [nam, \"x\"]\n"
        "     did you mean \"name\"?\n"
        "error: main.tf:30: ignore_changes takes names of arguments\n"
        "  30 |     ignore_changes = [nam, \"x\"]\n"
        "     ignore_changes = [engine_version]\n"
        "error: main.tf:31: prevent_destroy cannot refer to other things\n"
        "  31 |     prevent_destroy = var.s\n"
        "warning: main.tf:32: create_before_destroy has no effect\n"
        "  32 |     create_before_destroy = true\n"
        "     what must be replaced is destroyed first\n"
        "error: main.tf:33: replace_triggered_by is not supported in lifecycle\n"
        "  33 |     replace_triggered_by = []\n"
        "     take the line out\n"
        "error: main.tf:34: postcondition is not supported in lifecycle\n"
        "  34 |     postcondition {}\n"
        "     use a validation block of a variable\n"
        "error: main.tf:36: provisioner blocks are not supported\n"
        "  36 |   provisioner \"local-exec\" {}\n"
        "     run the command after weir apply\n"
        "error: main.tf:39: unknown block \"ingres\" in aws_security_group\n"
        "  39 |   dynamic \"ingres\" {\n"
        "     did you mean \"ingress\"?\n"
        "error: main.tf:43: a dynamic block has for_each and one content block\n"
        "  43 |   dynamic \"ingress\" {\n"
        "     dynamic \"NAME\" { for_each = …  content { … } }\n");
}

static void test_unknown_count(void **state)
{
    (void)state;
    assert_diagnostics("resource \"aws_security_group\" \"a\" { name = \"a\" }\n"
                       "resource \"aws_security_group\" \"b\" {\n"
                       "  count = aws_security_group.a.id == \"x\" ? 1 : 2\n}\n"
                       "resource \"aws_security_group\" \"c\" {\n"
                       "  for_each = toset([aws_security_group.a.id])\n}\n"
                       "output \"o\" { value = aws_security_group.b[0].id }\n",
                       "error: main.tf:3: count is known only after apply\n"
                       "  3 |   count = aws_security_group.a.id == \"x\" ? 1 : 2\n"
                       "    use a value that is written in the configuration\n"
                       "error: main.tf:6: for_each is known only after apply\n"
                       "  6 |   for_each = toset([aws_security_group.a.id])\n"
                       "    use keys that are written in the configuration\n");
}

/* After a syntax error reading goes on at the next item, and nothing is reported twice. */
static void test_syntax(void **state)
{
    (void)state;
    assert_diagnostics(
        "resource \"aws_db_instance\" \"a\" {\n"
        "  instance_class = 'db'\n"
        "  engine = \"abc\n"
        "  username = \"${var.x\"\n"
        "  identifier = upper(\"x\"\n"
        "  engine_version = 5 5\n"
        "  password: \"x\"\n"
        "  tags = {\n"
        "    a = 1 b = 2\n"
        "  }\n"
        "  port = 1,\n"
        "}\n"
        "}\n"
        "resource \"aws_db_instance\" \"b\" {\n"
        "  lifecycle {\n"
        "resource \"aws_db_instance\" \"c\" {\n"
        "  enginn = 1\n"
        "  instance_class = \"x\"\n"
        "}\n"
        "locals { a = 1 /* never closed\n",
        "error: main.tf:2: a value is expected here, not \"'\"\n"
        "  2 |   instance_class = 'db'\n"
        "    strings stand in double quotes: \"text\"\n"
        "error: main.tf:3: this string has no end\n"
        "  3 |   engine = \"abc\n"
        "    close it with \", or use a heredoc (<<EOT) for several lines\n"
        "error: main.tf:4: \"}\" is expected here, not a string\n"
        "  4 |   username = \"${var.x\"\n"
        "    a plain ${ in a string is written $${\n"
        "error: main.tf:6: \",\" or \")\" is expected here, not \"engine_version\"\n"
        "  6 |   engine_version = 5 5\n"
        "error: main.tf:6: the end of the line is expected here, not \"5\"\n"
        "  6 |   engine_version = 5 5\n"
        "    write each argument on a line of its own\n"
        "error: main.tf:7: \"=\" or \"{\" is expected here, not \":\"\n"
        "  7 |   password: \"x\"\n"
        "    an argument is  name = value, a block is  name { … }\n"
        "error: main.tf:9: \",\", the end of the line or \"}\" is expected here, not \"b\"\n"
        "  9 |     a = 1 b = 2\n"
        "error: main.tf:11: the end of the line is expected here, not \",\"\n"
        "  11 |   port = 1,\n"
        "     arguments of a block are separated by line ends, without commas\n"
        "error: main.tf:13: this brace closes nothing\n"
        "  13 | }\n"
        "error: main.tf:14: this block has no end\n"
        "  14 | resource \"aws_db_instance\" \"b\" {\n"
        "     close it with }\n"
        "error: main.tf:15: this block has no end\n"
        "  15 |   lifecycle {\n"
        "     close it with }\n"
        "error: main.tf:17: unknown argument \"enginn\" in aws_db_instance\n"
        "  17 |   enginn = 1\n"
        "     did you mean \"engine\"?\n"
        "error: main.tf:20: this block has no end\n"
        "  20 | locals { a = 1 /* never closed\n"
        "     close it with }\n"
        "error: main.tf:20: the end of the line is expected here, not \"/* never closed\"\n"
        "  20 | locals { a = 1 /* never closed\n"
        "     the comment has no end: close it with */\n");
}

static void test_long_lines(void **state)
{
    (void)state;
    CLEANUP(buf_done) Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    buf_append_str(&text, "locals {\n\ta = \"\x1b[31m");
    for (int i = 0; i < 300; i++) {
        buf_append_str(&text, "é");
    }
    buf_append_str(&text, "\n}\n");
    Loaded loaded = load_text(buf_str(&text));
    assert_int_equal(loaded.diagnostics.list.len, 1);
    const char *line = loaded.diagnostics.list.items[0].source_line;
    assert_true(slice_starts(slice_of(line), "\ta = \" [31mé"));
    assert_true(slice_ends(slice_of(line), "é…"));
    assert_true(strlen(line) < 400);
    assert_int_equal(loaded.diagnostics.list.items[0].column, 6);
    loaded_done(&loaded);
}

static void test_many_errors(void **state)
{
    (void)state;
    CLEANUP(buf_done) Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    buf_append_str(&text, "locals {\n");
    for (int i = 0; i < TF_DIAGNOSTICS_MAX + 50; i++) {
        buf_printf(&text, "  a%d = 1 / 0\n", i);
    }
    buf_append_str(&text, "}\n");
    Loaded loaded = load_text(buf_str(&text));
    assert_int_equal(loaded.diagnostics.list.len, TF_DIAGNOSTICS_MAX);
    assert_int_equal(loaded.diagnostics.dropped, 50);
    loaded_done(&loaded);
}

static void test_limits(void **state)
{
    (void)state;
    char *large = mem_alloc(TF_SOURCE_MAX + 2);
    memset(large, '\n', TF_SOURCE_MAX + 1);
    assert_diagnostics(large, "error: main.tf has more than 1048576 bytes\n");
    mem_free(large);
    assert_diagnostics("a = \"\xff\"\n", "error: main.tf:1: this is not UTF-8 text\n"
                                         "  save the file as UTF-8\n");
    CLEANUP(buf_done) Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    buf_append_str(&text, "locals {\n");
    for (int i = 0; i <= TF_BODY_ITEMS_MAX; i++) {
        buf_printf(&text, "  a%d = 1\n", i);
    }
    buf_append_str(&text, "}\n");
    Loaded loaded = load_text(buf_str(&text));
    assert_string_equal(loaded.diagnostics.list.items[0].message,
                        "more than 2048 arguments and blocks in one body");
    loaded_done(&loaded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arguments),     cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_references),    cmocka_unit_test(test_names_and_cycles),
        cmocka_unit_test(test_top_level),     cmocka_unit_test(test_meta),
        cmocka_unit_test(test_unknown_count), cmocka_unit_test(test_syntax),
        cmocka_unit_test(test_long_lines),    cmocka_unit_test(test_many_errors),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
