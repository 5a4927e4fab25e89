"""What the gates have in common: the release program, a temporary house, counting, and the closing line."""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
# FINELINE names a copied binary: a long gate goes on while the next one is built.
PROGRAM = os.environ.get("FINELINE") or os.path.join(TOP, "target", "release", "fineline")
SEED = int(os.environ.get("GATE_SEED") or 1)
DATA = os.environ.get("FINELINE_DATA") or os.path.join(TOP, "..", "shared", "data")
RETAIL = [os.path.join(DATA, "online-retail-ii", name) for name in ("year-2009-2010.csv.gz", "year-2010-2011-sales-only.csv.gz")]
LINES, POUNDS = 1_034_664, "19756254.468"


class Score:
    """Counts what held and what did not; `control` counts planted faults that must be caught."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, what, holds, detail=""):
        self.passed, self.failed = self.passed + bool(holds), self.failed + (not holds)
        print(f"{'ok  ' if holds else 'FAIL'} {what}{f': {detail}' if detail != '' else ''}", flush=True)
        return holds

    def control(self, what, caught):
        return self.check(f"control {'caught' if caught else 'NOT caught'}: {what}", caught)

    def close(self, figures=""):
        if figures:
            print(figures)
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(1 if self.failed else 0)


def build():
    if "FINELINE" not in os.environ:
        subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "-p", "fineline"], cwd=TOP, check=True)


def room(bytes_needed=4 << 30):
    """A folder in memory when there is one with room, so that many small houses are made quickly; None = the usual one."""
    memory = "/dev/shm"
    try:
        there = os.statvfs(memory)
    except OSError:
        return None
    return memory if os.access(memory, os.W_OK) and there.f_bavail * there.f_frsize > bytes_needed else None


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class House:
    """A house in a temporary folder, driven through the command line and HTTP as a user would."""

    def __init__(self, promise, engine=None, program=None, within=None):
        self.folder = tempfile.TemporaryDirectory(prefix="fineline-gate-", dir=within)
        self.program = program or PROGRAM
        # Nobody balances load here, so that a stop need not wait for anybody to notice; how full this machine is is its own affair.
        self.env = {"FINELINE_STOP_ACCEPT_SECONDS": "0", "FINELINE_DISK_KEPT_PERCENT": "0"}
        if engine == "postgres":
            import postgres

            self.env["FINELINE_STORE"] = postgres.server().schema()
        elif engine:
            self.env["FINELINE_ENGINE"] = engine
        self.promise = os.path.join(self.folder.name, "promise.toml")
        self.data = os.path.join(self.folder.name, "data")
        with open(self.promise, "w") as file:
            file.write(promise)
        self.server = None

    def path(self, *parts):
        return os.path.join(self.folder.name, *parts)

    def command(self, *args, check=True, stdin=None):
        done = subprocess.run(
            [self.program, *args, "--promise", self.promise, "--data", self.data],
            input=stdin, capture_output=True, text=True, env={**os.environ, **self.env},
        )
        if check and done.returncode:
            sys.exit(f"fineline {' '.join(args)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return done

    def json(self, *args, stdin=None):
        """The last line of the command's JSON answer."""
        out = self.command(*args, "--json", stdin=stdin).stdout.strip().splitlines()
        return json.loads(out[-1])

    def popen(self, *args, **options):
        env = {**os.environ, **self.env, **(options.pop("env", None) or {})}
        return subprocess.Popen([self.program, *args, "--promise", self.promise, "--data", self.data], env=env, **options)

    def begin(self, *args, env=None):
        """Starts to serve, and does not wait."""
        self.port, self.console_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = open(self.path("serve.log"), "ab")
        self.server = self.popen(
            "serve", "--listen", f"127.0.0.1:{self.port}", "--console-listen", f"127.0.0.1:{self.console_port}", *args,
            stdout=self.log, stderr=self.log, env=env,
        )
        self.log.close()
        return self

    @classmethod
    def beside(cls, house, data):
        """Another data folder of the same house."""
        other = cls.__new__(cls)
        other.__dict__.update(house.__dict__, data=data, server=None, env={**house.env})
        other.env.pop("FINELINE_WITNESS", None)
        return other

    def serve(self, *args, env=None, n_tries=5):
        self.begin(*args, env=env)
        return self.wait_until_ready(*args, env=env, n_tries=n_tries)

    def wait_until_ready(self, *args, env=None, n_tries=1):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.server.poll() is not None:
                if "in use" in open(self.path("serve.log")).read()[-300:] and n_tries > 1:  # somebody else took the port
                    return self.serve(*args, env=env, n_tries=n_tries - 1)
                raise RuntimeError(f"serve ended with {self.server.returncode}: {open(self.path('serve.log')).read()[-2000:]}")
            line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
            try:
                line.request("GET", "/readyz")
                if line.getresponse().status == 200:
                    return self
            except (OSError, http.client.HTTPException):
                pass
            finally:
                line.close()
            time.sleep(0.003)
        raise RuntimeError("serve was not ready within 60 s")

    def stop(self, kill=False):
        if self.server:
            self.server.kill() if kill else self.server.terminate()
            status = self.server.wait(60)
            self.server = None
            return status

    def close(self):
        self.stop()
        self.folder.cleanup()


class Browser:
    """A signed-in person without scripts: one cookie, and the hidden word that every form carries."""

    def __init__(self, house, key, user):
        self.house = house
        status, _, body = request(house.url + "/v1/portal_sessions", {"userId": user}, key=key)
        if status != 200:
            raise RuntimeError(f"no way in: {status} {body[:200]}")
        url = json.loads(body)["url"]
        _, headers, _ = request(url, b"", headers=FORM)
        self.cookie = headers["set-cookie"].split(";")[0]
        self.csrf = re.search('name="csrf" value="([^"]+)"', self.get("/privacy/me")).group(1)

    def get(self, path):
        return self.raw(path).decode()

    def raw(self, path):
        return request(self.house.url + path, headers={"cookie": self.cookie})[2]

    def post(self, path, **fields):
        """Sends a form; (status, where it leads, bytes)."""
        body = urllib.parse.urlencode({"csrf": self.csrf, **fields}).encode()
        status, headers, body = request(self.house.url + path, body, headers={**FORM, "cookie": self.cookie})
        return status, headers.get("location"), body


FORM = {"content-type": "application/x-www-form-urlencoded"}


def request(url, body=None, key=None, method=None, headers=None, timeout=30):
    """(status, headers, bytes) of one request; JSON bodies are written as JSON."""
    headers = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        headers.setdefault("content-type", "application/json")
    if key:
        import base64

        headers["authorization"] = "Basic " + base64.b64encode(f"{key}:".encode()).decode()
    call = urllib.request.Request(url, data=body, headers=headers, method=method)

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args):
            return None

    try:
        with urllib.request.build_opener(Stay).open(call, timeout=timeout) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()

