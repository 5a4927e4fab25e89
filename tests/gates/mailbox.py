"""A mail server on the loopback that keeps what it gets, and a second opinion on its signatures (dkimpy, not our code)."""

import email
import email.policy
import os
import re
import subprocess
import sys

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
VENV = os.path.join(TOP, "target", "mail", "venv")


def under_its_own_python():
    """Runs this script again under the Python that has aiosmtpd and dkimpy, installed from the lock file."""
    python = os.path.join(VENV, "bin", "python")
    if os.path.realpath(sys.prefix) == os.path.realpath(VENV):
        return
    if subprocess.run([python, "-c", "import aiosmtpd, dkim, nacl"], capture_output=True).returncode if os.path.exists(python) else True:
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        wanted = os.path.join(TOP, "tests", "mail", "requirements.txt")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", wanted], check=True)
    os.execv(python, [python, *sys.argv])


class Mailbox:
    """Keeps every message, by address."""

    def __init__(self):
        from aiosmtpd.controller import Controller
        from house import free_port

        self.mails = {}
        self.port = free_port()
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self.controller.start()

    async def handle_DATA(self, server, session, envelope):
        for address in envelope.rcpt_tos:
            self.mails.setdefault(address, []).append(bytes(envelope.content))
        return "250 kept"

    def close(self):
        self.controller.stop()


class Mail:
    """One message, opened."""

    def __init__(self, raw):
        self.raw = raw
        self.message = email.message_from_bytes(raw, policy=email.policy.default)
        self.text = self.message.get_body(("plain",)).get_content()
        self.html = self.message.get_body(("html",)).get_content()
        self.token = re.search(r"/m/([^/\s)>]+)", self.text).group(1)

    def is_signed(self, records, raw=None):
        """Whether every signature holds; `records` maps DNS names to TXT records."""
        import dkim

        look_up = lambda name, timeout=5: records.get(name.decode().rstrip("."), "").encode()
        signed = dkim.DKIM(raw or self.raw)
        n_signatures = sum(1 for name, _ in signed.headers if name.lower() == b"dkim-signature")
        try:
            return n_signatures > 0 and all(signed.verify(idx=number, dnsfunc=look_up) for number in range(n_signatures))
        except dkim.DKIMException:
            return False

    def signs(self, header):
        """Whether every signature covers a header."""
        signatures = self.message.get_all("DKIM-Signature")
        names = lambda text: re.search(r"\bh=([^;]+)", re.sub(r"\s+", "", text)).group(1).lower().split(":")
        return bool(signatures) and all(header.lower() in names(signature) for signature in signatures)

    def tracks(self):
        """Whether opening it would tell anybody."""
        return bool(re.search(r"<img|background=|url\(|<iframe|<link", self.html, re.I))
