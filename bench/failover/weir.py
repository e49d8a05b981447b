"""Weir itself: a Multi-AZ instance behind its proxy, in a tier of its own."""
import json
import subprocess

from clusters import Cluster, wait_for
from process import Failure, write

INSTANCE, PROXY, USER, PASSWORD, DATABASE = 'meter', 'meter', 'meter', 'failover-meter-0', 'meter'
FAULTS = {'kill-postmaster': 'kill-engine', 'kill-node': 'kill-node', 'stop-node': 'stop-node'}
FILES = f'''
variable "password" {{ default = "{PASSWORD}" }}
resource "aws_db_instance" "meter" {{
  identifier = "{INSTANCE}"
  engine = "postgres"
  instance_class = "db.t3.micro"
  allocated_storage = 20
  db_name = "{DATABASE}"
  username = "{USER}"
  password = var.password
  multi_az = true
  skip_final_snapshot = true
}}
resource "aws_secretsmanager_secret" "meter" {{ name = "meter" }}
resource "aws_secretsmanager_secret_version" "meter" {{
  secret_id = aws_secretsmanager_secret.meter.id
  secret_string = jsonencode({{ username = "{USER}", password = var.password }})
}}
resource "aws_db_proxy" "meter" {{
  name = "{PROXY}"
  engine_family = "POSTGRESQL"
  role_arn = "arn:aws:iam::000000000000:role/meter"
  vpc_subnet_ids = ["subnet-0000000000000000a", "subnet-0000000000000000b"]
  auth {{
    auth_scheme = "SECRETS"
    iam_auth = "DISABLED"
    secret_arn = aws_secretsmanager_secret.meter.arn
  }}
}}
resource "aws_db_proxy_default_target_group" "meter" {{ db_proxy_name = aws_db_proxy.meter.name }}
resource "aws_db_proxy_target" "meter" {{
  db_instance_identifier = aws_db_instance.meter.identifier
  db_proxy_name = aws_db_proxy.meter.name
  target_group_name = aws_db_proxy_default_target_group.meter.name
}}
'''


class Weir(Cluster):
    name = 'weir'

    def __init__(self, program):
        self.program = str(program)
        self.data = None
        self.planned = None

    def missing(self):
        return None

    def command(self, *words, check=True):
        done = subprocess.run([self.program, *words, '--data', self.data], capture_output=True, text=True, check=False,
                              timeout=300)
        if check and done.returncode != 0:
            raise Failure(f'weir {words[0]}: {done.stderr.strip().splitlines()[-1:]}')
        return done.stdout

    def start(self, place):
        folder = place.room('weir')
        folder.chmod(0o711)
        self.data = str(folder / 'data')
        self.command('up', '--detach', '--allow-chaos', write(folder / 'meter.tf', FILES))
        wait_for('the tier as a whole', self.is_whole)

    def conninfos(self):
        env = json.loads(self.command('env', '-o', 'json'))
        proxy, = json.loads(self.command('status', '-o', 'json'))['proxies']
        return [f'host={proxy["Endpoint"]} dbname={DATABASE} user={USER} password={PASSWORD} sslmode=verify-full '
                f'sslrootcert={env["PGSSLROOTCERT"]}']

    def fault(self, fault):
        words = ['failover', INSTANCE] if fault == 'planned' else ['chaos', FAULTS[fault], INSTANCE]
        self.planned = subprocess.Popen([self.program, *words, '--data', self.data], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)

    def is_whole(self):
        status = json.loads(self.command('status', '-o', 'json'))
        nodes = [node for node in status['nodes'] if node['ResourceId'] == INSTANCE]
        return (status['instances'][0]['DBInstanceStatus'] == 'available' and len(nodes) == 2 and
                all(node['State'] == 'running' for node in nodes) and
                sorted(node['Role'] for node in nodes) == ['primary', 'standby'] and
                any(node.get('SyncState') == 'sync' for node in nodes))

    def heal(self):
        self.planned.wait(120)
        wait_for('the tier as a whole', self.is_whole)

    def stop(self):
        self.command('down', '--destroy', '--yes', check=False)
