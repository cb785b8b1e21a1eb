"""A shop on Flask, where one logs in to order, with its orders in SQLite, or PostgreSQL where DATABASE_URL says so."""

import os
import secrets
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from flask import Flask, jsonify, request, session

URL = os.environ.get("DATABASE_URL")
FILE = Path(tempfile.mkdtemp()) / "shop.sqlite3"

app = Flask(__name__)
app.secret_key = secrets.token_hex()


def execute(query, *values):
    if URL:
        import psycopg

        with psycopg.connect(URL, autocommit=True) as db:
            cursor = db.execute(query.replace("?", "%s"), values)
            return cursor.fetchall() if cursor.description else []
    with closing(sqlite3.connect(FILE, timeout=10, isolation_level=None)) as db:
        return db.execute(query, values).fetchall()


if URL:
    execute("CREATE TABLE IF NOT EXISTS orders (number SERIAL PRIMARY KEY, name TEXT)")
else:
    execute("PRAGMA journal_mode=WAL")
    execute("CREATE TABLE orders (number INTEGER PRIMARY KEY, name TEXT)")


@app.post("/login")
def login():
    session["name"] = request.get_json()["name"]
    return jsonify(name=session["name"])


@app.post("/orders")
def order():
    if "name" not in session:
        return jsonify(error="log in first"), 401
    ((number,),) = execute("INSERT INTO orders (name) VALUES (?) RETURNING number", session["name"])
    return jsonify(number=number), 201


@app.get("/orders/<int:number>")
def ordered(number: int):
    for (name,) in execute("SELECT name FROM orders WHERE number = ?", number):
        return jsonify(number=number, name=name)
    return jsonify(error="no such order"), 404
