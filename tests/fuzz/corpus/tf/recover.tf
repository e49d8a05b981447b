# a comment
variable "password" { sensitive = true }
variable "n" {
  type        = number // of replicas
  default     = "2"
  description = "how many"
  validation {
    condition     = var.n > 0 &&   }
}
variable "o" {
  type    = object({ a = string, b = optional(list(number), [1]) })
  default = { a = 1 }
}
locals {
  prefix = "app"
  names  = [for i in range(var.n) : format("%s-%02d", local.prefix, i)]
  groups = { for k, v in { a = 1, b = 2, c = 1 } : v => k... if k != "z" }
}
terraform {
  required_providers { r = { source = "x/r" } }
  backend "s3" {}
}
provider "r" { rr" "primary" {
  name     = "${local.prefix}-primary"
  size     = "100"
  multi_az = var.n > 1 ? true : false
  tags     = merge({ a = 1 }, { "b c" : true })
  ids      = toset([p.x.id, "b", "a"])
  password = var.password
  lifecycle {
    prevent_destroy = true
    ignore_changes  = [size, tags]
  }
}
resource "r" "replica" {
  count      = var.n
  name       = "${r.primary.name}-${count.index}"
  any        = { id = r.primary.id, port = r.primary.port + 1 }
  depends_on = [p.x]
}
resource "r" "keyed" {
  for_each = { x = 1, y = p.x.id }
  name     = each.key
  any      = each.value
}
resource "p" "x" {
  dynamic "auth" {
    for_each = local.names
    iterator = it
    content {
      secret_arn = it.value
      iam_auth   = it.key == 0 ? upper("a") : null
    }
  }
}
output "all" { value = r.replica[*].any.id }
output "keys" { value = values(r.keyed)[*].name }
output "text" {
  sensitive = true
  value     = <<-EOT
    %{ for n in local.names ~}
    server ${n} $${x}
    %{ endfove = true
  value     = <<-EOT
    %{ for n in local.names ~}
    server ${n} $${x}
    %{ endfor ~}
    %{ if var.n == 2 }two%{ else }other%{ endif }
  EOT
}
output "json" { value = jsonencode({ a = local.names, g = local.groups, p = r.primary.port }) }
#vars
n = 3
o = { a = "x", b = ["1", 2] }
