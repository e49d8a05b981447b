"""What Django does, one line per step; "?" lets a stranger in, as in story.js."""
import os
import sys

import django
from django.conf import settings

settings.configure(
    DATABASES={'default': {'ENGINE': 'django.db.backends.postgresql', 'NAME': os.environ['PGDATABASE'],
                           'USER': os.environ['PGUSER'], 'PASSWORD': os.environ['PGPASSWORD'],
                           'HOST': os.environ['PGHOST'], 'PORT': os.environ['PGPORT'], 'CONN_MAX_AGE': None}},
    USE_TZ=True, TIME_ZONE='Europe/Paris', DEFAULT_AUTO_FIELD='django.db.models.AutoField')
django.setup()

from django.db import DatabaseError, IntegrityError, connection, models, transaction  # noqa: E402
from django.utils import timezone  # noqa: E402


class Person(models.Model):
    name = models.CharField(max_length=40, unique=True)
    seen = models.DateTimeField(null=True)

    class Meta:
        app_label = 'story'


def tell(*what):
    print(repr(what), flush=True)


def meanwhile():
    print('?', flush=True)
    sys.stdin.readline()


def story():
    people = [Person(name=f'p{n}', seen=timezone.datetime(2026, 1, n + 1, tzinfo=timezone.utc)) for n in range(20)]
    Person.objects.bulk_create(people)
    meanwhile()
    tell(list(Person.objects.filter(seen__day__lt=4).order_by('id').values_list('id', 'name', 'seen')))
    with transaction.atomic():
        Person.objects.create(name='outer')
        try:
            with transaction.atomic():
                Person.objects.create(name='p0')
        except IntegrityError as error:
            tell(str(error))
        tell(Person.objects.count())
    meanwhile()
    try:
        with transaction.atomic():
            Person.objects.all().delete()
            raise KeyError
    except KeyError:
        tell(Person.objects.count())
    meanwhile()
    tell(len(list(Person.objects.order_by('id').iterator(chunk_size=3))))  # a cursor WITH HOLD
    meanwhile()
    with transaction.atomic():
        tell(Person.objects.select_for_update().get(name='p1').name)
    tell(Person.objects.get_or_create(name='new')[1], Person.objects.update(seen=None))
    with connection.cursor() as cursor:
        for text in ('SHOW TimeZone', 'SELECT 1/0', "SELECT '2026-01-02 00:00Z'::timestamptz::text"):
            try:
                cursor.execute(text)
                tell(cursor.fetchall())
            except DatabaseError as error:
                tell(str(error))
            meanwhile()


with connection.schema_editor() as editor:
    editor.create_model(Person)
try:
    story()
finally:
    with connection.schema_editor() as editor:
        editor.delete_model(Person)
    connection.close()
