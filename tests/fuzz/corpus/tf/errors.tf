variable "db_password" { sensitive = true }
variable "db_password" {}
variable "size" { type = number }
variable "weird" { type = lst(string) }
resource "r" "primary" {
  identifer = "app"
  engin = "postgres"
  name = "db.r6g.large"
  allocated_storage = "lots"
  vpc_security_group_ids = [aws_security_group.db_sg.id]
  tags = { a = [1] }
  arn = "x"
  engine_version = local.versio
  password = var.db_pasword
}
resource "r" "read_replica" {
  count = 2
  replicate_source_db = r.primry.name2
  engine = postgres
}
resource "r" "r2" {
  name = r.read_replica.engine
  name2 = r.read_replica[0].enigne
  engine = each.key
  engine_version = count.index
  multi_az = fooo("x")
  tags = file("x")
}
resource "aws_lambda" "x" {}
resource "aws_db_instanc" "x" {}
resource "p" "x" { 
  auth = { a = 1 }
  auth { iam_auth = "x" }
  tags { a = 1 }
}
locals {
  version = "14"
  a = local.b
  b = local.c
  c = local.a
  s = local.s
}
data "aws_vpc" "x" {}
module "x" { source = "y" }
output "p" { value = var.db_password }
output "q" { value = data.aws_vpc.x.id }
output "w" { value = terraform.workspace }
resource "r" "s" {
  name = 'db'
  engine = "abc
  name2 = "x"
  tags = {
    a = 1
  b = 2
}
resource "r" "t" {
  name = "${var.size"
  engine = 5 5
  engine_version = <<EOT
foo
EOT
  name2 = foo(1
}
x = 5
foo {}
