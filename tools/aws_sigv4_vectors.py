#!/usr/bin/python3
"""Makes tests/data/sigv4.json: requests signed by botocore's own signer at a fixed time, for the
unit test of src/aws. Run by hand. The keys are AWS's published examples."""
import datetime
import json
import os
from unittest import mock

import botocore.auth
import botocore.session
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.signers import RequestSigner, generate_db_auth_token

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'tests', 'data', 'sigv4.json')
NOW = datetime.datetime(2026, 1, 31, 12, 0, 0)
KEYS = Credentials('AKIDEXAMPLE', 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY')
FORM = {'content-type': 'application/x-www-form-urlencoded; charset=utf-8'}


class Clock(datetime.datetime):
    @classmethod
    def utcnow(cls):
        return NOW


def case(name, method, url, service, headers=None, body=b'', presign=0, region='eu-west-1'):
    request = AWSRequest(method=method, url='https://127.0.0.1:4566' + url, data=body,
                         headers=dict(headers or {}))
    if presign:
        signer = botocore.auth.SigV4QueryAuth(KEYS, service, region, expires=presign)
    else:
        signer = botocore.auth.SigV4Auth(KEYS, service, region)
    with mock.patch('botocore.auth.datetime.datetime', Clock):
        signer.add_auth(request)
    path, _, query = request.url[len('https://127.0.0.1:4566'):].partition('?')
    sent = [['host', '127.0.0.1:4566']]
    sent += [[key, str(value)] for key, value in request.headers.items()]
    return {'name': name, 'method': method, 'path': path, 'query': query, 'headers': sent,
            'body': body.decode(), 'region': region, 'service': service,
            'presigned': bool(presign)}


def cases():
    yield case('rds form', 'POST', '/', 'rds', FORM,
               b'Action=DescribeDBInstances&Version=2014-10-31')
    yield case('secretsmanager json', 'POST', '/', 'secretsmanager',
               {'content-type': 'application/x-amz-json-1.1',
                'x-amz-target': 'secretsmanager.GetSecretValue'},
               b'{"SecretId": "\xc3\xa4"}')
    yield case('empty body', 'POST', '/', 'ec2', FORM)
    yield case('get with a query', 'GET',
               '/?Version=2011-06-15&Action=GetCallerIdentity&b=&a=2&a=1&c=%20x%2F~', 'sts')
    yield case('unsigned payload', 'POST', '/', 'elasticache',
               {**FORM, 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD'}, b'Action=X')
    yield case('values with spaces', 'POST', '/', 'rds',
               {**FORM, 'x-amz-meta': '  a   b  c ', 'X-Amz-UPPER': 'Y'}, b'Action=X')
    yield case('a path', 'GET', '/a/b%20c/../d//e/./%C3%A4', 'rds')
    yield case('a path that ends with a slash', 'GET', '/a/b/', 'rds')
    yield case('session token', 'POST', '/', 'rds', {**FORM, 'x-amz-security-token': 'abc//+='},
               b'Action=X')
    yield case('presigned', 'GET', '/?Action=GetCallerIdentity&Version=2011-06-15', 'sts',
               presign=900)
    yield case('database token', 'GET', '/?Action=connect&DBUser=app', 'rds-db', presign=900)


def client(keys):
    session = botocore.session.get_session()
    return session.create_client('rds', 'eu-west-1', aws_access_key_id=keys.access_key,
                                 aws_secret_access_key=keys.secret_key, aws_session_token=keys.token)


def token(name, host, port, user, region='eu-west-1', keys=KEYS):
    """As `aws rds generate-db-auth-token` and boto3 make it."""
    with mock.patch('botocore.auth.datetime.datetime', Clock):
        text = generate_db_auth_token(client(keys), host, port, user, Region=region)
    return {'name': name, 'token': text, 'user': user, 'region': region}


def signed(name, parameters, service='rds-db', expires=900):
    """The same by hand."""
    signer = RequestSigner(botocore.session.get_session().get_service_model('rds').service_id, 'eu-west-1',
                           service, 'v4', KEYS, botocore.session.get_session().get_component('event_emitter'))
    request = {'url_path': '/', 'query_string': '', 'headers': {}, 'body': parameters, 'method': 'GET',
               'url': 'https://db.test:5432/', 'context': {}}
    with mock.patch('botocore.auth.datetime.datetime', Clock):
        url = signer.generate_presigned_url(request, operation_name='connect', region_name='eu-west-1',
                                            expires_in=expires, signing_name=service)
    return {'name': name, 'token': url[len('https://'):], 'user': 'app', 'region': 'eu-west-1'}


def tokens():
    yield token('plain', 'db.test', 5432, 'app')
    yield token('address', '127.1.2.3', 5432, 'app')
    yield token('capitals', 'DB.test', 5432, 'App')
    yield token('ipv6', '[::1]', 5432, 'app')
    yield token('https port', 'db.test', 443, 'app')
    yield token('odd user', 'db.test', 5432, 'a b+c&d=\u00e4/%~')
    yield token('other port', 'db.test', 6432, 'app')
    yield token('other region', 'db.test', 5432, 'app', region='us-east-1')
    yield token('session token', 'db.test', 5432, 'app',
                keys=Credentials(KEYS.access_key, KEYS.secret_key, 'abc//+='))
    yield token('other key', 'db.test', 5432, 'app', keys=Credentials('AKIDOTHER', KEYS.secret_key))
    yield token('other secret', 'db.test', 5432, 'app', keys=Credentials(KEYS.access_key, 'other'))
    connect = {'Action': 'connect', 'DBUser': 'app'}
    yield signed('by hand', connect)
    yield signed('a minute', connect, expires=60)
    yield signed('an hour', connect, expires=3600)
    yield signed('other service', connect, service='rds')
    yield signed('other action', {**connect, 'Action': 'DescribeDBInstances'})


def main():
    with open(OUT, 'w', encoding='utf-8') as out:
        json.dump({'access_key': KEYS.access_key, 'secret_key': KEYS.secret_key,
                   'now_ms': int(NOW.replace(tzinfo=datetime.timezone.utc).timestamp() * 1000),
                   'cases': list(cases()), 'tokens': list(tokens())}, out, indent=1)
        out.write('\n')


if __name__ == '__main__':
    main()
