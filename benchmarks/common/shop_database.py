"""The SQLite database of a made-up jeweller's shop, and one day's work on it.

Here: `build_database`, which fills customers, suppliers, articles, sales, their lines, payments and stock movements in
proportion to the number of sales, with indexes; and `advance_day`, which changes the file in place as a day at the till
does. Not here: the photos and documents beside it (`shop_files`).

Rules: the page size is SQLite's own (4096) and the journal the default one, as an application gets them that asks for
nothing. The same seed gives the same rows; the bytes may differ between versions of SQLite. Sizes were set by
measurement: 1,200,000 sales make a file of about 700 MB.
"""

from __future__ import annotations

import datetime
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from . import words

Row = tuple[object, ...]

FULL_SALES = 1_200_000
SEED = 20_250_101
FIRST_DAY = datetime.date(2017, 1, 2)
DAYS = 2900
UPDATES_A_DAY = 300
INSERTS_A_DAY = 200

SCHEMA = """
CREATE TABLE suppliers(id INTEGER PRIMARY KEY, name TEXT, street TEXT, town TEXT, phone TEXT, terms TEXT);
CREATE TABLE customers(id INTEGER PRIMARY KEY, number TEXT, first_name TEXT, last_name TEXT, street TEXT, postcode TEXT,
  town TEXT, phone TEXT, email TEXT, birthday TEXT, ring_size REAL, remark TEXT, since TEXT);
CREATE TABLE articles(id INTEGER PRIMARY KEY, number TEXT, ean TEXT, description TEXT, supplier_id INTEGER,
  weight REAL, bought_for REAL, price REAL, stock INTEGER, place TEXT, remark TEXT, changed TEXT);
CREATE TABLE sales(id INTEGER PRIMARY KEY, number TEXT, customer_id INTEGER, employee INTEGER, sold_at TEXT,
  total REAL, discount REAL, state TEXT, remark TEXT);
CREATE TABLE sale_lines(id INTEGER PRIMARY KEY, sale_id INTEGER, article_id INTEGER, position INTEGER,
  quantity INTEGER, price REAL, vat REAL, remark TEXT);
CREATE TABLE payments(id INTEGER PRIMARY KEY, sale_id INTEGER, method TEXT, amount REAL, paid_at TEXT, reference TEXT);
CREATE TABLE stock_movements(id INTEGER PRIMARY KEY, article_id INTEGER, moved_at TEXT, kind TEXT, quantity INTEGER,
  balance INTEGER, document TEXT, employee INTEGER, remark TEXT);
"""
INDEXES = """
CREATE INDEX customers_by_name ON customers(last_name, first_name);
CREATE INDEX articles_by_number ON articles(number);
CREATE INDEX sales_by_customer ON sales(customer_id);
CREATE INDEX sales_by_time ON sales(sold_at);
CREATE INDEX lines_by_sale ON sale_lines(sale_id);
CREATE INDEX lines_by_article ON sale_lines(article_id);
CREATE INDEX payments_by_sale ON payments(sale_id);
CREATE INDEX movements_by_article ON stock_movements(article_id, moved_at);
"""
METHODS = ("cash", "card", "card", "transfer", "voucher")
KINDS = ("sale", "sale", "sale", "delivery", "return", "count")
STATES = ("paid", "paid", "paid", "paid", "open", "ordered", "cancelled")


class Shop:
    """Makes rows; every number and word comes from one seeded source."""

    def __init__(self, source: random.Random, *, sales: int) -> None:
        self.sales = max(sales, 50)
        self.customers = max(self.sales // 12, 20)
        self.articles = max(self.sales // 20, 20)
        self.suppliers = max(self.sales // 3000, 5)
        self.source = source
        self.remark = words.remarks(source)
        self.description = words.descriptions(source)
        self.times = [f"{hour:02}:{minute:02}:{minute * 7 % 60:02}" for hour in range(9, 19) for minute in range(60)]
        self.days = [(FIRST_DAY + datetime.timedelta(days=day)).isoformat() for day in range(DAYS)]

    def below(self, end: int) -> int:
        """A number from 0 up to but not with `end`; `randrange` takes five times as long."""
        return int(self.source.random() * end)

    def moment(self, share: float) -> str:
        """A time of day on the day that lies at `share` of the shop's history."""
        return f"{self.days[min(int(share * DAYS), DAYS - 1)]} {self.times[self.below(len(self.times))]}"

    def price(self) -> float:
        """Most things are cheap and few are dear."""
        return round(9 + 2500 * self.source.random() ** 4, 2)

    def phone(self) -> str:
        return f"+49 {self.below(900) + 100} {self.below(9_000_000) + 1_000_000}"

    def supplier(self, row: int) -> Row:
        choose = self.source.choice
        name = f"{choose(words.LAST_NAMES)} {choose(words.COMPANIES)} GmbH"
        return row, name, choose(words.STREETS), choose(words.TOWNS), self.phone(), f"{self.below(60)} days"

    def customer(self, row: int) -> Row:
        choose = self.source.choice
        first, last = choose(words.FIRST_NAMES), choose(words.LAST_NAMES)
        street = f"{choose(words.STREETS)} {self.below(180) + 1}"
        email = f"{first}.{last}{self.below(10_000)}@mail.example".lower()
        where = (street, f"{self.below(90_000) + 10_000}", choose(words.TOWNS), self.phone(), email)
        born = f"{1935 + self.below(72)}-{self.below(12) + 1:02}-{self.below(28) + 1:02}"
        rest = (born, 44 + self.below(30) / 2, self.remark(), self.days[self.below(DAYS)])
        return row, f"K{row:07}", first, last, *where, *rest

    def article(self, row: int) -> Row:
        price = self.price()
        what = (f"A{row:07}", f"{4_000_000_000_000 + self.below(10**12)}", self.description())
        money = (round(self.source.random() * 40, 2), round(price * 0.45, 2), price)
        place = f"{'ABCDEFGH'[self.below(8)]}{self.below(40):02}"
        tail = (self.below(30), place, self.remark(), self.moment(self.source.random()))
        return row, *what, self.below(self.suppliers) + 1, *money, *tail

    def sale(self, row: int) -> Row:
        when = self.moment(row / self.sales)
        who = (self.below(self.customers) + 1, self.below(9) + 1)
        state = STATES[self.below(len(STATES))]
        return row, f"{when[:4]}-{row:07}", *who, when, self.price(), float(self.below(4) * 5), state, self.remark()

    def line(self, row: int, sale: int) -> Row:
        price = self.price()
        vat = round(price * 0.19, 2)
        return row, sale, self.below(self.articles) + 1, row % 4 + 1, self.below(3) + 1, price, vat, self.remark()

    def payment(self, row: int, sale: int) -> Row:
        reference = f"{self.below(1 << 48):012x}"
        when = self.moment(sale / self.sales)
        return row, sale, METHODS[self.below(len(METHODS))], self.price(), when, reference

    def movement(self, row: int, share: float) -> Row:
        kind = KINDS[self.below(len(KINDS))]
        document = f"D{self.below(10_000_000):08}"
        counts = (self.below(7) - 3, self.below(40), document, self.below(9) + 1)
        return row, self.below(self.articles) + 1, self.moment(share), kind, *counts, self.remark()


def _fill(connection: sqlite3.Connection, table: str, rows: Iterator[Row], columns: int) -> None:
    connection.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * columns)})", rows)


def build_database(path: Path, *, sales: int) -> None:
    """Make the database at `path`, which must not exist."""
    shop = Shop(random.Random(SEED), sales=sales)
    lines, movements = shop.sales * 2, shop.sales * 2
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous=OFF")  # a half-made database is made anew
        connection.execute("PRAGMA journal_mode=OFF")
        connection.executescript(SCHEMA)
        _fill(connection, "suppliers", (shop.supplier(row) for row in range(1, shop.suppliers + 1)), 6)
        _fill(connection, "customers", (shop.customer(row) for row in range(1, shop.customers + 1)), 13)
        _fill(connection, "articles", (shop.article(row) for row in range(1, shop.articles + 1)), 12)
        _fill(connection, "sales", (shop.sale(row) for row in range(1, shop.sales + 1)), 9)
        _fill(connection, "sale_lines", (shop.line(row, (row + 1) // 2) for row in range(1, lines + 1)), 8)
        _fill(connection, "payments", (shop.payment(row, row) for row in range(1, shop.sales + 1)), 6)
        _fill(connection, "stock_movements", (shop.movement(row, row / movements) for row in range(1, movements)), 9)
        connection.commit()
        connection.executescript(INDEXES)
        connection.execute("PRAGMA journal_mode=DELETE")


def advance_day(path: Path, day: int) -> None:
    """Change the database in place: 300 updates and 200 inserts, spread over the tables as a shop's day is."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous=OFF")  # changes when bytes are synced, not which
        counts = {name: _last(connection, name) for name in ("customers", "articles", "sales", "payments")}
        shop = Shop(random.Random(SEED + day), sales=counts["sales"])
        updates = _updates(shop, counts)
        for turn in range(UPDATES_A_DAY):
            statement, values = updates[turn % len(updates)]()
            connection.execute(statement, values)
            if turn % 10 == 9:  # an application commits each piece of work, not the day
                connection.commit()
        _insert_a_day(connection, shop)
        connection.commit()


def _last(connection: sqlite3.Connection, table: str) -> int:
    (last,) = connection.execute(f"SELECT max(id) FROM {table}").fetchone()
    return int(last)


def _updates(shop: Shop, counts: dict[str, int]) -> list[Callable[[], tuple[str, Row]]]:
    """Half of the updates are prices and stock; the rest customers, sales and payments, of any age."""

    def stock() -> tuple[str, Row]:
        return "UPDATE articles SET stock=? WHERE id=?", (shop.below(30), shop.below(counts["articles"]) + 1)

    def price() -> tuple[str, Row]:
        values = (shop.price(), shop.moment(1), shop.below(counts["articles"]) + 1)
        return "UPDATE articles SET price=?, changed=? WHERE id=?", values

    def customer() -> tuple[str, Row]:
        values = (shop.phone(), shop.remark(), shop.below(counts["customers"]) + 1)
        return "UPDATE customers SET phone=?, remark=? WHERE id=?", values

    def sale() -> tuple[str, Row]:
        values = (shop.source.choice(STATES), shop.remark(), shop.below(counts["sales"]) + 1)
        return "UPDATE sales SET state=?, remark=? WHERE id=?", values

    def payment() -> tuple[str, Row]:
        return "UPDATE payments SET amount=? WHERE id=?", (shop.price(), shop.below(counts["payments"]) + 1)

    return [stock, price, stock, customer, sale, payment]


def _insert_a_day(connection: sqlite3.Connection, shop: Shop) -> None:
    """200 rows: 40 sales with two lines and a payment each, 36 stock movements, 4 customers."""
    sales = INSERTS_A_DAY // 5
    sale, line = _last(connection, "sales") + 1, _last(connection, "sale_lines") + 1
    payment, movement = _last(connection, "payments") + 1, _last(connection, "stock_movements") + 1
    customer = _last(connection, "customers") + 1
    _fill(connection, "customers", (shop.customer(customer + row) for row in range(4)), 13)
    _fill(connection, "sales", (shop.sale(sale + row) for row in range(sales)), 9)
    _fill(connection, "sale_lines", (shop.line(line + row, sale + row // 2) for row in range(2 * sales)), 8)
    _fill(connection, "payments", (shop.payment(payment + row, sale + row) for row in range(sales)), 6)
    _fill(connection, "stock_movements", (shop.movement(movement + row, 1) for row in range(sales - 4)), 9)
