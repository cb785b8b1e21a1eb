"""A shop on FastAPI, with its orders in SQLite, or in PostgreSQL where DATABASE_URL says so."""

import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

URL = os.environ.get("DATABASE_URL")
FILE = Path(tempfile.mkdtemp()) / "shop.sqlite3"
STOCK = {"tea": 3, "cup": 5}

app = FastAPI()


def execute(query: str, *values: object) -> list[tuple]:
    if URL:
        import psycopg

        with psycopg.connect(URL, autocommit=True) as db:
            cursor = db.execute(query.replace("?", "%s"), values)
            return cursor.fetchall() if cursor.description else []
    with closing(sqlite3.connect(FILE, timeout=10, isolation_level=None)) as db:
        return db.execute(query, values).fetchall()


if URL:
    execute("CREATE TABLE IF NOT EXISTS orders (number SERIAL PRIMARY KEY, sku TEXT)")
else:
    execute("PRAGMA journal_mode=WAL")
    execute("CREATE TABLE orders (number INTEGER PRIMARY KEY, sku TEXT)")


class Order(BaseModel):
    sku: str


@app.get("/items/{sku}")
def item(sku: str) -> dict[str, object]:
    if sku not in STOCK:
        raise HTTPException(404, f"no {sku}")
    return {"sku": sku, "price": STOCK[sku]}


@app.post("/orders", status_code=201)
def order(new: Order) -> dict[str, object]:
    ((number,),) = execute("INSERT INTO orders (sku) VALUES (?) RETURNING number", new.sku)
    return {"number": number}


@app.get("/orders/{number}")
def ordered(number: int) -> dict[str, object]:
    for (sku,) in execute("SELECT sku FROM orders WHERE number = ?", number):
        return {"number": number, "sku": sku}
    raise HTTPException(404, f"no order {number}")


@app.delete("/orders/{number}", status_code=204)
def cancel(number: int) -> None:
    execute("DELETE FROM orders WHERE number = ?", number)
