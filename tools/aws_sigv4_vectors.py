#!/usr/bin/python3
"""Makes tests/data/sigv4.json: requests signed by botocore's own signer at a fixed time, for the
unit test of src/aws. Run by hand. The keys are AWS's published examples."""
import datetime
import json
import os
from unittest import mock

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

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


def main():
    with open(OUT, 'w', encoding='utf-8') as out:
        json.dump({'access_key': KEYS.access_key, 'secret_key': KEYS.secret_key,
                   'now_ms': int(NOW.replace(tzinfo=datetime.timezone.utc).timestamp() * 1000),
                   'cases': list(cases())}, out, indent=1)
        out.write('\n')


if __name__ == '__main__':
    main()
