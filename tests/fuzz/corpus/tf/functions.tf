output "a" { value = [abs(-1), ceil(1.5), floor(1.5), max(1, 2), min(1, 2), sum([1, 2.5]), range(1, 9, 2)] }
output "b" { value = [chomp("a\n"), indent(2, "a\nb"), join("-", ["a", 1]), lower("A"), upper("a"), title("a b"), replace("aba", "a", "x"), split(",", "a,b"), substr("hello", -3, 2), trim("xax", "x"), trimspace(" a "), strcontains("ab", "b")] }
output "c" { value = [compact(["a", ""]), concat([1], [2]), contains([1], 1), distinct([1, 1]), element([1, 2], 3), flatten([[1], [[2]]]), index(["a"], "a"), length("é"), one([1]), reverse([1, 2]), slice([1, 2, 3], 0, 2), sort(["b", "a"]), setunion(["a"], ["b"])] }
output "d" { value = [keys({ a = 1 }), lookup({ a = 1 }, "b", 2), merge({ a = 1 }, null), values({ a = 1 }), zipmap(["a"], [1])] }
output "e" { value = [base64encode("hi"), base64decode("aGk="), jsonencode({ b = [1, null] }), jsondecode("{\"a\":[1.5]}"), tostring(1), tonumber("2"), tobool("true"), tolist(toset(["a"])), tomap({ a = 1 }), try(1 / 0, "x"), can({}.a)] }
output "f" { value = [format("%s %05.2f %-4d|%x %q %v %#v %%", "a", 1.5, 3, 255, "q", [1], {}), formatlist("%s-%s", ["a", "b"], 1)] }
output "g" { value = [cidrsubnet("10.0.0.0/16", 8, 2), cidrhost("fd00::/64", 5), cidrnetmask("10.0.0.0/8"), coalesce(null, "", 1), nonsensitive(sensitive(1))] }
output "h" { value = [[{ a = 1 }, { a = 2 }][*].a, [[1], [2]].*.0, { a = { b = [1] } }.a.b[0], true ? 1 : "x", !false && 1 < 2 || 3 >= 4, -(2 * 3 % 4), "a" != "b"] }
