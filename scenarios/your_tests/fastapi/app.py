"""A shop on FastAPI, with its orders in SQLite."""

import sqlite3
import tempfile
from pathlib import Path

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

FILE = Path(tempfile.mkdtemp()) / "shop.sqlite3"
STOCK = {"tea": 3, "cup": 5}

app = FastAPI()


def database() -> sqlite3.Connection:
    return sqlite3.connect(FILE, timeout=10, isolation_level=None)


with database() as db:
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE orders (number INTEGER PRIMARY KEY, sku TEXT)")


class Order(BaseModel):
    sku: str


@app.get("/items/{sku}")
def item(sku: str) -> dict[str, object]:
    if sku not in STOCK:
        raise HTTPException(404, f"no {sku}")
    return {"sku": sku, "price": STOCK[sku]}


@app.post("/orders", status_code=201)
def order(new: Order) -> dict[str, object]:
    with database() as db:
        return {"number": db.execute("INSERT INTO orders (sku) VALUES (?)", (new.sku,)).lastrowid}


@app.get("/orders/{number}")
def ordered(number: int) -> dict[str, object]:
    with database() as db:
        found = db.execute("SELECT sku FROM orders WHERE number = ?", (number,)).fetchone()
    if found is None:
        raise HTTPException(404, f"no order {number}")
    return {"number": number, "sku": found[0]}


@app.delete("/orders/{number}", status_code=204)
def cancel(number: int) -> None:
    with database() as db:
        db.execute("DELETE FROM orders WHERE number = ?", (number,))
