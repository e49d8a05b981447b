# A database tier: PostgreSQL with a synchronous standby and two read replicas, a connection proxy in front of it, and a
# Redis group of three nodes for the cache.
#
#     weir up examples/guide.tf
#
# The file is plain Terraform for the AWS provider: it holds nothing that only Weir knows. Passwords that are given no value
# are generated once and kept encrypted (`weir env` shows them to the application).

variable "db_password" {
  description = "Password of the master user dbadmin."
  type        = string
  sensitive   = true
}

variable "redis_auth_token" {
  description = "Password of the Redis group, 16 to 128 characters."
  type        = string
  sensitive   = true
}

variable "app_cidr" {
  description = "Where the application connects from."
  type        = string
  default     = "127.0.0.0/8"
}

variable "subnet_ids" {
  description = "A subnet for each Availability Zone that the tier is spread over."
  type        = list(string)
  default     = ["subnet-0000000000000000a", "subnet-0000000000000000b", "subnet-0000000000000000c"]
}

variable "proxy_role_arn" {
  description = "The role in which the proxy reads the secret."
  type        = string
  default     = "arn:aws:iam::000000000000:role/rds-proxy"
}

locals {
  postgres_port = 5432
  redis_port    = 6379

  tags = {
    Environment = "production"
  }
}

# Network: who may connect to what.

resource "aws_db_subnet_group" "primary" {
  name        = "app-db-subnets"
  description = "Zones of the database"
  subnet_ids  = var.subnet_ids
}

resource "aws_elasticache_subnet_group" "redis" {
  name        = "app-redis-subnets"
  description = "Zones of the cache"
  subnet_ids  = var.subnet_ids
}

resource "aws_security_group" "db_sg" {
  name        = "app-db"
  description = "PostgreSQL, directly"

  ingress {
    description = "application"
    from_port   = local.postgres_port
    to_port     = local.postgres_port
    protocol    = "tcp"
    cidr_blocks = [var.app_cidr]
  }
}

resource "aws_security_group" "proxy_sg" {
  name        = "app-db-proxy"
  description = "PostgreSQL through the proxy"

  ingress {
    description = "application"
    from_port   = local.postgres_port
    to_port     = local.postgres_port
    protocol    = "tcp"
    cidr_blocks = [var.app_cidr]
  }
}

resource "aws_security_group" "redis_sg" {
  name        = "app-redis"
  description = "Redis"

  ingress {
    description = "application"
    from_port   = local.redis_port
    to_port     = local.redis_port
    protocol    = "tcp"
    cidr_blocks = [var.app_cidr]
  }
}

# PostgreSQL: a primary with its standby, and two replicas to read from.

resource "aws_db_parameter_group" "postgres15" {
  name        = "app-postgres15"
  family      = "postgres15"
  description = "Primary"

  parameter {
    name  = "log_min_duration_statement"
    value = "500"
  }

  parameter {
    name  = "idle_in_transaction_session_timeout"
    value = "60000"
  }

  parameter {
    name  = "random_page_cost"
    value = "1.1"
  }

  # Takes a restart; a replica may not have less than its source.
  parameter {
    name         = "max_locks_per_transaction"
    value        = "128"
    apply_method = "pending-reboot"
  }
}

resource "aws_db_parameter_group" "postgres15_readonly" {
  name        = "app-postgres15-readonly"
  family      = "postgres15"
  description = "Read replicas"

  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }

  # Long reports may run: vacuum on the primary waits for them.
  parameter {
    name  = "hot_standby_feedback"
    value = "1"
  }

  parameter {
    name  = "max_standby_streaming_delay"
    value = "60000"
  }

  parameter {
    name         = "max_locks_per_transaction"
    value        = "128"
    apply_method = "pending-reboot"
  }
}

resource "aws_db_instance" "primary" {
  identifier     = "app-primary-db"
  engine         = "postgres"
  engine_version = "15"
  instance_class = "db.r6g.large"
  multi_az       = true

  db_name  = "app_database"
  username = "dbadmin"
  password = var.db_password

  storage_type          = "gp3"
  allocated_storage     = 100
  max_allocated_storage = 1000
  storage_encrypted     = true

  db_subnet_group_name   = aws_db_subnet_group.primary.name
  vpc_security_group_ids = [aws_security_group.db_sg.id]
  parameter_group_name   = aws_db_parameter_group.postgres15.name

  backup_retention_period = 7
  backup_window           = "03:00-04:00"
  maintenance_window      = "sun:04:30-sun:05:30"

  performance_insights_enabled = true
  monitoring_interval          = 60

  deletion_protection       = true
  skip_final_snapshot       = false
  final_snapshot_identifier = "app-primary-final-snapshot"

  tags = local.tags
}

resource "aws_db_instance" "read_replica" {
  count = 2

  identifier          = "app-read-replica-${count.index}"
  replicate_source_db = aws_db_instance.primary.identifier
  instance_class      = "db.r6g.large"
  storage_encrypted   = true
  publicly_accessible = false

  vpc_security_group_ids = [aws_security_group.db_sg.id]
  parameter_group_name   = aws_db_parameter_group.postgres15_readonly.name

  performance_insights_enabled = true
  monitoring_interval          = 60

  skip_final_snapshot = true

  tags = local.tags
}

# The proxy: it signs in to the database with the secret, and so do its clients.

resource "aws_secretsmanager_secret" "db_credentials" {
  name        = "app-db-credentials"
  description = "Master user of app-primary-db"
}

resource "aws_secretsmanager_secret_version" "db_credentials" {
  secret_id = aws_secretsmanager_secret.db_credentials.id
  secret_string = jsonencode({
    username = aws_db_instance.primary.username
    password = var.db_password
  })
}

resource "aws_db_proxy" "primary" {
  name                   = "app-db-proxy"
  engine_family          = "POSTGRESQL"
  role_arn               = var.proxy_role_arn
  require_tls            = true
  idle_client_timeout    = 1800
  debug_logging          = false
  vpc_subnet_ids         = aws_db_subnet_group.primary.subnet_ids
  vpc_security_group_ids = [aws_security_group.proxy_sg.id]

  auth {
    auth_scheme = "SECRETS"
    iam_auth    = "DISABLED"
    secret_arn  = aws_secretsmanager_secret.db_credentials.arn
  }

  tags = local.tags
}

resource "aws_db_proxy_default_target_group" "primary" {
  db_proxy_name = aws_db_proxy.primary.name

  connection_pool_config {
    max_connections_percent      = 100
    max_idle_connections_percent = 50
    connection_borrow_timeout    = 120
  }
}

resource "aws_db_proxy_target" "primary" {
  db_proxy_name          = aws_db_proxy.primary.name
  target_group_name      = aws_db_proxy_default_target_group.primary.name
  db_instance_identifier = aws_db_instance.primary.identifier
}

# Redis: one primary, two replicas, encrypted and with a password.

resource "aws_elasticache_parameter_group" "redis_params" {
  name        = "app-redis7"
  family      = "redis7"
  description = "Cache"

  parameter {
    name  = "maxmemory-policy"
    value = "allkeys-lru"
  }

  parameter {
    name  = "tcp-keepalive"
    value = "60"
  }
}

resource "aws_elasticache_replication_group" "redis_cluster" {
  replication_group_id = "app-redis-cluster"
  description          = "Cache of the application"
  engine               = "redis"
  engine_version       = "7.0"
  node_type            = "cache.r6g.large"
  port                 = local.redis_port

  num_cache_clusters         = 3
  automatic_failover_enabled = true
  multi_az_enabled           = true

  at_rest_encryption_enabled = true
  transit_encryption_enabled = true
  auth_token                 = var.redis_auth_token

  subnet_group_name    = aws_elasticache_subnet_group.redis.name
  security_group_ids   = [aws_security_group.redis_sg.id]
  parameter_group_name = aws_elasticache_parameter_group.redis_params.name

  maintenance_window       = "sun:05:00-sun:06:00"
  snapshot_window          = "00:00-01:00"
  snapshot_retention_limit = 7

  tags = local.tags
}

# What the application needs to know.

output "db_proxy_endpoint" {
  value = aws_db_proxy.primary.endpoint
}

output "db_primary_address" {
  value = aws_db_instance.primary.address
}

output "db_replica_addresses" {
  value = aws_db_instance.read_replica[*].address
}

output "db_secret_arn" {
  value = aws_secretsmanager_secret.db_credentials.arn
}

output "redis_primary_address" {
  value = aws_elasticache_replication_group.redis_cluster.primary_endpoint_address
}

output "redis_reader_address" {
  value = aws_elasticache_replication_group.redis_cluster.reader_endpoint_address
}
