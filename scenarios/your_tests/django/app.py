"""A shop on Django in one file, with its orders in SQLite, or in PostgreSQL where the environment names its PGHOST."""

import os
import secrets
import tempfile
from pathlib import Path

import django
from django.conf import settings

SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": Path(tempfile.mkdtemp()) / "shop.sqlite3",
    "OPTIONS": {"timeout": 10, "init_command": "PRAGMA journal_mode=WAL", "transaction_mode": "IMMEDIATE"},
}
# where it is and who asks say the variables of PostgreSQL itself
POSTGRESQL = {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ.get("PGDATABASE", "shop")}

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=secrets.token_hex(),
    DATABASES={"default": POSTGRESQL if "PGHOST" in os.environ else SQLITE},
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402 - Django has to be set up first
from django.db import connection, models  # noqa: E402
from django.http import HttpRequest, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402


class Order(models.Model):
    sku = models.CharField(max_length=20)

    class Meta:
        app_label = "shop"


def orders(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"number": Order.objects.create(sku=request.POST["sku"]).pk}, status=201)


def order(_: HttpRequest, number: int) -> JsonResponse:
    found = Order.objects.filter(pk=number).first()
    return JsonResponse({"sku": found.sku} if found else {}, status=200 if found else 404)


urlpatterns = [path("orders", orders), path("orders/<int:number>", order)]

# the server and the tests import this one after the other, and share a database of PostgreSQL
if Order._meta.db_table not in connection.introspection.table_names():
    with connection.schema_editor() as editor:
        editor.create_model(Order)

app = get_wsgi_application()
