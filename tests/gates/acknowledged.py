"""What clients were told, and whether a house still keeps it: the load of the fault gates, and their one question.

Clients send orders, answers about a purpose, "leave me alone" and erasures, and note each acknowledgement. `wrong_about` then
asks a house about each person: every acknowledged event is there exactly once; nobody who was erased is readable, and nobody
hears somebody else's data; no answer about a purpose is older than the last one acknowledged. A request that was cut off may
have happened or not. That the house opens at all is checked by whoever starts it: opening verifies the chain of batches.

It breaks nothing itself: that is the gates' work."""

import base64
import collections
import http.client
import io
import json
import os
import re
import socket
import threading
import urllib.parse
import zipfile

from house import FORM, TOP, House

SHOP = open(os.path.join(TOP, "crates", "promise", "fixtures", "shop.toml")).read()
WORDS = "Send you offers picked from what you bought."
ENGINES = ("fjall", "redb")
TIMEOUT_S = 60

Act = collections.namedtuple("Act", "kind user value")
"""One request that changes something: orders (ids), answer (yes, no), alone, erase."""
WIRE = {"yes": "given", "no": "withdrawn"}

MAPPING = """edition = 1
name = "small"
source = "history"
purpose = "orders"
keep = "36 months"
history_ends = "2026-01-20"
told_notice = 1
[file]
format = "csv"
delimiter = ","
encoding = "utf-8"
[columns]
invoice = "invoice"
item = "item"
description = "description"
quantity = "quantity"
date = "date"
price = "price"
customer = "customer"
[dates]
format = "%Y-%m-%d %H:%M:%S"
zone = "Europe/London"
[money]
currency = "GBP"
[[event]]
invoice_prefix = ""
name = "Order Completed"
says = "orders"
[properties]
order_id = "{invoice}"
total = "{total}"
[catalogue]
titles = "sentence"
[catalogue.not_for_sale]
group = "postage"
codes = []
[[catalogue.plain]]
group = "kitchen"
words = ["cup"]
"""


def new_house(engine, **options):
    """A house with a promise in force and a source key."""
    house = House(SHOP, engine, **options)
    house.command("init")
    house.command("apply", "--as", "Gate", "--yes")
    house.key = house.json("source", "key", "shop")["key"]
    return house


def order(user, name):
    line = {"sku": "22423", "quantity": 1, "price": "4.25"}
    properties = {"order_id": name, "total": "4.25", "currency": "GBP", "products": [line]}
    return {"type": "track", "event": "Order Completed", "userId": user, "messageId": name, "properties": properties}


class Line:
    """One connection that is kept open."""

    def __init__(self, house, timeout=TIMEOUT_S):
        self.http = http.client.HTTPConnection("127.0.0.1", house.port, timeout=timeout)
        key = base64.b64encode(f"{house.key}:".encode()).decode()
        self.headers = {"authorization": f"Basic {key}", "content-type": "application/json"}

    def ask(self, method, path, body=None, headers=None):
        if isinstance(body, dict):
            body = json.dumps(body)
        self.http.request(method, path, body, headers or self.headers)
        answer = self.http.getresponse()
        return answer.status, answer.headers, answer.read()


class Wire:
    """One connection on which many requests are sent at once; a server answers them in order."""

    AT_ONCE = 16  # few enough that none of them waits for room on the way while an answer waits too

    def __init__(self, house, timeout=TIMEOUT_S):
        self.socket = socket.create_connection(("127.0.0.1", house.port), timeout)
        self.answers = self.socket.makefile("rb")
        key = base64.b64encode(f"{house.key}:".encode()).decode()
        self.headers = f"host: 127.0.0.1\r\nauthorization: Basic {key}\r\ncontent-type: application/json\r\nfineline-reason: {REASON}\r\n"

    def send(self, requests):
        """Each is (method, path, body)."""
        self.socket.sendall(b"".join(self.written(*request) for request in requests))

    def written(self, method, path, body):
        return f"{method} {path} HTTP/1.1\r\n{self.headers}content-length: {len(body)}\r\n\r\n".encode() + body

    def answer(self):
        """(status, body) of the next."""
        first = self.answers.readline()
        if not first.startswith(b"HTTP/1.1 "):
            raise ConnectionError("the connection ended before the answer")
        n_bytes = None
        while (line := self.answers.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                n_bytes = int(value)
        if n_bytes is None:
            raise ConnectionError("an answer without a length")
        body = self.answers.read(n_bytes)
        if len(body) < n_bytes:
            raise ConnectionError("the connection ended within an answer")
        return int(first[9:12]), body

    def close(self):
        self.answers.close()
        self.socket.close()


def ask_all(wires, requests):
    """The answers to many requests in their order, spread over some connections: what a reading has to write down before it is
    answered then shares batches."""
    told = []
    step = len(wires) * Wire.AT_ONCE
    for first in range(0, len(requests), step):
        part = requests[first : first + step]
        for number, wire in enumerate(wires):
            wire.send(part[number :: len(wires)])
        told += [wires[number % len(wires)].answer() for number in range(len(part))]
    return told


# ── sending ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Client(threading.Thread):
    """One connection that sends one request after the other about its own people, and notes what came of each.

    `sent` has one entry per request: the act or None (a page that was only read), and whether it was acknowledged: True, False
    (refused), None (cut off: nobody knows)."""

    def __init__(self, house, people, session, rng, n_requests=None, timeout=TIMEOUT_S):
        super().__init__(daemon=True)
        self.house, self.people, self.session, self.rng = house, people, session, rng
        self.n_requests, self.timeout, self.is_over = n_requests, timeout, False
        self.sent, self.failed, self.port = [], None, None
        self.statuses = collections.Counter()

    def run(self):
        try:
            self.line = Line(self.house, self.timeout)
            self.line.http.connect()
            self.port = self.line.http.sock.getsockname()[1]
            number = 0
            while not self.is_over and number != self.n_requests:
                self.step(number)
                number += 1
        except (OSError, http.client.HTTPException) as error:  # cut off: whoever cut it knows why
            self.failed = error

    def ask(self, act, method, path, body=None, headers=None):
        self.sent.append([act, None])
        status, headers, body = self.line.ask(method, path, body, headers)
        self.statuses[status] += 1
        self.sent[-1][1] = status < 400 if status < 500 else None
        return status, headers, body

    def step(self, number):
        user = self.rng.choice(self.people)
        draw = self.rng.random()
        name = f"{self.session}-{user}-{number}"
        if draw < 0.45:
            self.ask(Act("orders", user, [name]), "POST", "/v1/track", order(user, name))
        elif draw < 0.65:
            names = [f"{name}-{each}" for each in range(4)]
            self.ask(Act("orders", user, names), "POST", "/v1/batch", {"batch": [order(user, each) for each in names]})
        elif draw < 0.88:
            self.answer(user, self.rng.choice(["yes", "no"]))
        elif draw < 0.93:
            answer = self.rng.choice(["yes", "no"])
            self.at_the_portal(Act("answer", user, answer), "choices", purpose="offers", answer=answer)
        elif draw < 0.95:
            self.leaves(Act("alone", user, None), "alone")
        else:
            self.leaves(Act("erase", user, None), "erase", when=self.rng.choice(["now", "day"]))

    def answer(self, user, answer):
        body = {"userId": user, "purpose": "offers", "status": WIRE[answer], "words": WORDS, "language": "en", "noticeVersion": 1}
        code, _, body = self.ask(Act("answer", user, answer), "POST", "/v1/consent", body)
        if code == 200 and not json.loads(body)["recorded"]:  # a no of somebody unknown is as if there were none
            self.sent[-1][1] = False

    def leaves(self, act, page, **fields):
        """Somebody goes, and somebody new comes; also when nobody knows whether it was heard: what they send may be refused."""
        is_leaving = True
        try:
            is_leaving = self.at_the_portal(act, page, **fields)
        finally:
            if is_leaving:
                self.people.remove(act.user)
                first, _, serial = act.user.partition(".")
                self.people.append(f"{first}.{int(serial or 0) + 1}")

    def at_the_portal(self, act, page, **fields):
        """Signs in and sends one form; whether it was sent."""
        status, _, body = self.ask(None, "POST", "/v1/portal_sessions", {"userId": act.user})
        if status != 200:  # never seen yet
            return False
        path = urllib.parse.urlsplit(json.loads(body)["url"]).path
        _, headers, _ = self.ask(None, "POST", path, b"", FORM)
        if "set-cookie" not in headers:
            return False
        cookie = {**FORM, "cookie": headers["set-cookie"].split(";")[0]}
        found = re.search(r'name="csrf" value="([^"]+)"', self.ask(None, "GET", "/privacy/me", None, cookie)[2].decode())
        if not found:
            return False
        body = urllib.parse.urlencode({"csrf": found.group(1), **fields})
        self.ask(act, "POST", f"/privacy/me/{page}", body, cookie)
        return True


def names(n_people, n_clients):
    """Who there is, by client."""
    return [[f"p{number}" for number in range(n_people) if number % n_clients == client] for client in range(n_clients)]


def import_file(house, known, users, serial):
    """A small history about these people, and about some who are gone and must not come back: the file, the mapping, the acts."""
    mapping, file = house.path("small.toml"), house.path(f"history-{serial}.csv")
    with open(mapping, "w") as out:
        out.write(MAPPING)
    gone = [user for user, person in known.people.items() if person.is_gone][-3:]
    acts = []
    with open(file, "w") as out:
        out.write("invoice,item,description,quantity,date,price,customer\n")
        for number, user in enumerate([*users, *gone]):
            name = f"I{serial}-{user}"
            out.write(f"{name},22423,CUP,1,2026-01-{1 + number % 19:02} 10:00:00,4.25,{user}\n")
            if user not in gone:
                acts.append(Act("orders", user, [name]))
    return ["import", mapping, file, "--as", "Gate", "--json"], acts


# ── knowing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Person:
    """What clients know about one person."""

    def __init__(self):
        self.orders, self.may_be_orders = set(), set()
        self.answers = {"no"}  # what stands now may be any of these; no answer counts as a no
        self.is_gone = self.may_be_gone = self.is_alone = self.may_be_alone = False


class Known:
    """What clients know at one moment."""

    def __init__(self, sent=()):
        self.people = collections.defaultdict(Person)
        for act, was_told in sent:
            self.note(act, was_told)

    def note(self, act, was_told):
        """An act that was acknowledged (True), refused (False) or cut off (None)."""
        if act is None or was_told is False:
            return
        person = self.people[act.user]
        if act.kind == "orders":
            (person.orders if was_told else person.may_be_orders).update(act.value)
        elif act.kind == "answer":
            person.answers = {act.value} if was_told else {*person.answers, act.value}
        elif act.kind == "alone":
            person.is_alone, person.may_be_alone = person.is_alone or bool(was_told), True
        else:
            person.is_gone, person.may_be_gone = person.is_gone or bool(was_told), True


# ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────────────

REASON = "fault gate"


def read(line, user):
    """What a house says about somebody: None (nobody), or the page of the person's copy and whether they are left alone."""
    status, _, body = line.ask("POST", "/v1/people/lookup", {"userId": user})
    if status == 404:
        return None
    if status != 200:
        raise Unreadable(f"lookup: {status}")
    person = json.loads(body)["person"]
    status, _, _ = line.ask("GET", f"/v1/people/{person}", None, {**line.headers, "fineline-reason": REASON})
    if status not in (200, 403):
        raise Unreadable(f"page: {status}")
    is_alone = status == 403
    status, _, body = line.ask("POST", f"/v1/people/{person}/export", b"", {**line.headers, "fineline-reason": REASON})
    if status != 200:
        raise Unreadable(f"copy: {status}")
    return json.loads(zipfile.ZipFile(io.BytesIO(body)).read("data.json")), is_alone


def read_all(house, users, n_wires=8):
    """The same about many people at once, by person; what cannot be read is an `Unreadable`."""
    wires, there = [Wire(house) for _ in range(n_wires)], {}
    asked = [("POST", "/v1/people/lookup", json.dumps({"userId": user}).encode()) for user in users]
    found = dict(zip(users, ask_all(wires, asked)))
    people = {user: json.loads(body)["person"] for user, (status, body) in found.items() if status == 200}
    pages = ask_all(wires, [("GET", f"/v1/people/{person}", b"") for person in people.values()])
    copies = ask_all(wires, [("POST", f"/v1/people/{person}/export", b"") for person in people.values()])
    for user, (page, _), (copied, body) in zip(people, pages, copies, strict=True):
        if page not in (200, 403):
            there[user] = Unreadable(f"page: {page}")
        elif copied != 200:
            there[user] = Unreadable(f"copy: {copied}")
        else:
            there[user] = json.loads(zipfile.ZipFile(io.BytesIO(body)).read("data.json")), page == 403
    for user, (status, _) in found.items():
        if status != 200:
            there[user] = None if status == 404 else Unreadable(f"lookup: {status}")
    for wire in wires:
        wire.close()
    return there


class Unreadable(Exception):
    """The house is served and says that it cannot read this."""


def wrong_about(found, user, person):
    """What is wrong with what was found about somebody, as a list of sentences that name nobody."""
    if isinstance(found, Unreadable):
        return [f"a person cannot be read: {found}"]
    if person.is_gone:
        return ["an erased person can be read"] if found else []
    if not found:
        return ["somebody with acknowledged orders is not there"] if person.orders and not person.may_be_gone else []
    page, is_alone = found
    wrong = []
    events = collections.Counter(event["properties"]["order_id"] for event in page["events"])
    if lost := person.orders - set(events):
        wrong.append(f"acknowledged orders are lost ({len(lost)})")
    if any(n > 1 for n in events.values()):
        wrong.append("an order is there twice")
    if any(user not in name.split("-") for name in events):
        wrong.append("somebody else's order is there")
    if set(events) - person.orders - person.may_be_orders:
        wrong.append("an order is there that was never sent")
    if is_alone and not person.may_be_alone:
        wrong.append("somebody is left alone who did not ask for it")
    if person.is_alone and not is_alone:
        wrong.append("an acknowledged \"leave me alone\" is lost")
    status = next((answer["status"] for answer in page["answers"] if answer["purpose"] == "offers"), None)
    stands = "yes" if status == "given" else "no"
    if not person.may_be_alone and stands not in person.answers:
        wrong.append(f"an answer is older than the last one acknowledged: {stands} and not {sorted(person.answers)}")
    return wrong


def wrong_with(house, known, users=None):
    """What is wrong with a house that is served, about these people or everybody."""
    wrong = collections.Counter()
    for user, found in read_all(house, list(known.people if users is None else users)).items():
        wrong.update(wrong_about(found, user, known.people[user]))
    return dict(wrong)


def panics(house):
    """Whether the log of a served house tells of a panic. Such a log names nobody."""
    with open(house.path("serve.log"), errors="replace") as log:
        return "panicked at" in (text := log.read()) or "ended in a panic" in text
