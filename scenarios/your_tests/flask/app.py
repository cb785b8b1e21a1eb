"""A shop on Flask, where one logs in to order, with its orders in SQLite."""

import secrets
import sqlite3
import tempfile
from pathlib import Path

from flask import Flask, jsonify, request, session

FILE = Path(tempfile.mkdtemp()) / "shop.sqlite3"

app = Flask(__name__)
app.secret_key = secrets.token_hex()


def database() -> sqlite3.Connection:
    return sqlite3.connect(FILE, timeout=10, isolation_level=None)


with database() as db:
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE orders (number INTEGER PRIMARY KEY, name TEXT)")


@app.post("/login")
def login():
    session["name"] = request.get_json()["name"]
    return jsonify(name=session["name"])


@app.post("/orders")
def order():
    if "name" not in session:
        return jsonify(error="log in first"), 401
    with database() as db:
        number = db.execute("INSERT INTO orders (name) VALUES (?)", (session["name"],)).lastrowid
    return jsonify(number=number), 201


@app.get("/orders/<int:number>")
def ordered(number: int):
    with database() as db:
        found = db.execute("SELECT name FROM orders WHERE number = ?", (number,)).fetchone()
    return (jsonify(number=number, name=found[0]), 200) if found else (jsonify(error="no such order"), 404)
