"""A PostgreSQL server of the gates' own: on loopback and a socket in a temporary folder, run by a user that is not root, and
gone with the gate. `PG_BIN` names the binaries where they are not where Debian puts them. `server()` is None, said aloud,
where there are none."""

import atexit
import glob
import os
import shutil
import signal
import subprocess
import tempfile
import time

from house import free_port

_server = None


def binaries():
    places = [os.environ.get("PG_BIN") or "", *sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)]
    return next((place for place in places if os.path.exists(os.path.join(place, "initdb"))), None)


class Server:
    def __init__(self, bin):
        self.bin = bin
        self.folder = tempfile.mkdtemp(prefix="fineline-pg-")
        self.data = os.path.join(self.folder, "data")
        self.port, self.n_schemas, self.process = free_port(), 0, None
        if os.geteuid() == 0:
            shutil.chown(self.folder, "nobody", "nogroup")
        self.run("initdb", "-A", "trust", "-U", "keeper", "-E", "UTF8", "--locale=C", "-D", self.data)
        self.start()
        self.sql("create role fineline login")
        self.sql("create database shop owner fineline")

    def as_user(self, program, *args):
        user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"] if os.geteuid() == 0 else []
        return [*user, os.path.join(self.bin, program), *args]

    def run(self, program, *args):
        subprocess.run(self.as_user(program, *args), cwd="/", check=True, stdout=subprocess.DEVNULL)

    def sql(self, text, database="postgres", check=True):
        done = subprocess.run(
            [os.path.join(self.bin, "psql"), "-qAt", "-h", "127.0.0.1", "-p", str(self.port), "-U", "keeper", "-d", database, "-c", text],
            cwd="/", capture_output=True, text=True,
        )
        if check and done.returncode:
            raise RuntimeError(f"psql: {done.stderr}")
        return done

    def start(self):
        log = open(os.path.join(self.folder, "log"), "ab")
        self.process = subprocess.Popen(
            self.as_user("postgres", "-D", self.data, "-c", "listen_addresses=127.0.0.1", "-c", f"port={self.port}",
                         "-c", f"unix_socket_directories={self.folder}", "-c", "max_connections=200"),
            cwd="/", stdout=log, stderr=log,
        )
        log.close()
        deadline = time.monotonic() + 60
        while self.sql("select 1", check=False).returncode:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: {open(os.path.join(self.folder, 'log')).read()[-2000:]}")
            time.sleep(0.05)

    def stop(self, how=signal.SIGINT):
        """SIGINT ends in order, SIGQUIT as if the power of the server were cut (its memory is lost, its files are not)."""
        if self.process:
            self.process.send_signal(how)
            self.process.wait(60)
            self.process = None

    def crash(self):
        self.stop(signal.SIGQUIT)
        self.start()

    def schema(self):
        """The address of a schema that nobody uses."""
        self.n_schemas += 1
        return f"postgres://fineline@127.0.0.1:{self.port}/shop?schema=gate_{self.n_schemas}"

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def own():
    """A server of this process, whatever its parent has: it may be crashed without anybody else noticing. To be closed."""
    global _server
    _server = Server(binaries())
    return _server


def server():
    global _server
    if _server is None:
        bin = binaries()
        if bin is None:
            print("SKIPPED: no PostgreSQL 15 or newer on this machine (apt-get install postgresql, or PG_BIN=folder)", flush=True)
            return None
        _server = Server(bin)
        atexit.register(_server.close)
    return _server
