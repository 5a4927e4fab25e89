"""A campaign from the real program over SMTP to aiosmtpd, each mail judged by dkimpy: neither is ours.

The history is made up: customers who ordered three times and not since. Keys come from what `fineline doctor` says to
publish; nothing is looked up in the DNS. Each tampering is a control: dkimpy must notice it.
"""

import csv
import datetime
import email
import os
import re
import sys
import time
from email import policy
from html.parser import HTMLParser

import dkim
from aiosmtpd.controller import Controller

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "tests", "gates"))
import house as gates

gates.PROGRAM = os.environ.get("FINELINE") or os.path.join(TOP, "target", "debug", "fineline")
CUSTOMERS = 200
MAILS_MIN = 50
WAIT_S = 120
ITEMS = [("85123A", "WHITE KITCHEN MUG"), ("22423", "RED KITCHEN MUG"), ("21212", "BLUE KITCHEN MUG"), ("84879", "GREEN KITCHEN MUG")]
SIGNED = [b"from", b"to", b"subject", b"date", b"message-id", b"list-unsubscribe", b"list-unsubscribe-post"]
score = gates.Score()


class Sink:
    def __init__(self):
        self.mails = []

    async def handle_DATA(self, server, session, envelope):
        self.mails.append(bytes(envelope.content))
        return "250 kept"


def write_history(path):
    """Three orders each, all long ago; everybody leaves one of the items out, so that something can be offered."""
    with open(path, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow("invoice,stock_code,description,quantity,invoice_date,price,customer_id,country".split(","))
        for customer in range(CUSTOMERS):
            for n, step in enumerate((1, 2, 3)):
                code, words = ITEMS[(customer + step) % len(ITEMS)]
                row = [500_000 + customer * 3 + n, code, words, 2, f"2011-0{3 + n}-07 12:00:00", "2.55", 10_000 + customer]
                out.writerow([*row, "United Kingdom"])


def promise():
    """The shop's, with quiet hours that begin twelve hours from now."""
    text = open(os.path.join(TOP, "crates", "promise", "fixtures", "shop.toml")).read()
    hour = (datetime.datetime.now(datetime.timezone.utc).hour + 12) % 24
    quiet = re.sub(r'quiet = "[^"]*"', f'quiet = "{hour:02}:00-{(hour + 1) % 24:02}:00"', text)
    assert quiet != text
    return quiet


def send_campaign(sink_port):
    opened = gates.House(promise())
    opened.command("init")
    opened.command("apply", "--as", "Test", "--yes")
    history = opened.path("history.csv")
    write_history(history)
    opened.command("import", os.path.join(TOP, "mappings", "online-retail.toml"), history, "--as", "Test")
    opened.command("campaign", "start", "win_back", "--as", "Test")
    mail = {"FINELINE_RELAY": f"smtp://127.0.0.1:{sink_port}", "FINELINE_MAIL_FROM": "offers@corner.example"}
    opened.serve(env=mail)
    return opened, mail


def published(opened, mail):
    """What the operator is told to publish, as a zone: name to record."""
    os.environ.update(mail)
    said = opened.command("doctor").stdout
    records = re.findall(r"(\S+\._domainkey\.\S+) IN TXT \( ([^)]*)\)", said)
    return {name.rstrip(".") + ".": "".join(re.findall('"([^"]*)"', text)).encode() for name, text in records}


class Pictures(HTMLParser):
    """What a mail program would fetch by itself."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        fetches = {"src", "srcset", "background", "poster", "data"} & {name for name, _ in attributes}
        styled = any(name == "style" and "url(" in (value or "") for name, value in attributes)
        if tag in ("img", "link", "script", "iframe", "object", "embed", "video", "audio") or fetches or styled:
            self.found.append(tag)


def verdicts(mail, zone):
    """Whether each signature of a mail holds."""
    signed = dkim.DKIM(mail)
    count = sum(1 for name, _ in signed.headers if name.lower() == b"dkim-signature")
    look = lambda name, timeout=5: zone.get((name.decode() if isinstance(name, bytes) else name).rstrip(".") + ".")

    def holds(index):
        try:
            return dkim.DKIM(mail, minkey=1024).verify(idx=index, dnsfunc=look)
        except (dkim.DKIMException, ValueError):
            return False

    return [holds(index) for index in range(count)]


def signatures(mail):
    values = email.message_from_bytes(mail, policy=policy.SMTP).get_all("DKIM-Signature", [])
    return [dict(part.strip().split("=", 1) for part in re.sub(r"\s+", "", value).split(";") if "=" in part) for value in values]


def tampered(mail):
    """One byte of the body, one of each header that lets people leave, and a second such header on top."""
    head, body = mail.split(b"\r\n\r\n", 1)
    at = next(n for n in range(len(body) // 2, len(body)) if chr(body[n]).isalpha())
    yield "a byte of the body", head + b"\r\n\r\n" + body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
    for name in (b"List-Unsubscribe", b"List-Unsubscribe-Post", b"Subject"):
        value = re.search(rb"(?mi)^" + name + rb":\s*<?\w", head)
        changed = head[: value.end() - 1] + bytes([head[value.end() - 1] ^ 1]) + head[value.end() :]
        yield f"a byte of {name.decode()}", changed + b"\r\n\r\n" + body
        yield f"{name.decode()} taken out", re.sub(rb"(?mi)^" + name + rb":.*(\r\n[ \t].*)*\r\n", b"", mail, count=1)
        yield f"a second {name.decode()} on top", name + b": <https://elsewhere.example/>\r\n" + mail


sink = Sink()
controller = Controller(sink, hostname="127.0.0.1", port=gates.free_port())
controller.start()
opened, mail = send_campaign(controller.port)
try:
    until, last = time.monotonic() + WAIT_S, (0, time.monotonic())
    while time.monotonic() < until and not (last[0] >= MAILS_MIN and time.monotonic() - last[1] > 2):
        if len(sink.mails) != last[0]:
            last = (len(sink.mails), time.monotonic())
        time.sleep(0.1)
    opened.stop()
    if not score.check(f"at least {MAILS_MIN} mails came", len(sink.mails) >= MAILS_MIN, len(sink.mails)):
        print(open(opened.path("serve.log")).read()[-3000:])
        score.close()
    zone = published(opened, mail)
    score.check("doctor names two keys to publish", len(zone) == 2, sorted(zone))
    held = [verdicts(each, zone) for each in sink.mails]
    score.check("dkimpy verifies both signatures of every mail", all(each == [True, True] for each in held), len(held))
    kinds = {tuple(sorted(each["a"] for each in signatures(each_mail))) for each_mail in sink.mails}
    score.check("one by Ed25519, one by RSA", kinds == {("ed25519-sha256", "rsa-sha256")}, kinds)
    listed = [[name.encode() for name in each["h"].lower().split(":")] for each_mail in sink.mails for each in signatures(each_mail)]
    score.check("both list headers are signed", all(set(SIGNED) <= set(names) for names in listed))
    parsed = [email.message_from_bytes(each, policy=policy.SMTP) for each in sink.mails]
    score.check("one click is enough to leave", all(
        "List-Unsubscribe=One-Click" in each["List-Unsubscribe-Post"] and "<http" in each["List-Unsubscribe"] for each in parsed
    ))
    bodies = [(each.get_body(["plain"]), each.get_body(["html"])) for each in parsed]
    score.check("each has a text and a page", all(plain and html for plain, html in bodies))
    score.check("nothing else is in it", all(
        sorted(part.get_content_type() for part in each.walk() if not part.is_multipart()) == ["text/html", "text/plain"] for each in parsed
    ))
    found = [tag for _, html in bodies for tag in Pictures(html.get_content()).found]
    score.check("nothing in it is fetched when it is opened", not found, found[:5])
    score.control("a tracking pixel", Pictures('<img src="https://x.example/p.gif" width="1">').found == ["img"])
    for what, changed in tampered(sink.mails[0]):
        score.control(what, changed != sink.mails[0] and not any(verdicts(changed, zone)))
    score.control("the keys of another", not any(verdicts(sink.mails[0], {name: zone[other] for name, other in zip(sorted(zone), sorted(zone, reverse=True))})))
finally:
    opened.close()
    controller.stop()
score.close()
