"""A model of a disk that loses its power: what lies there for sure, and what may lie there, of a recording by `shim.c`.

Of what no sync had reached, each sector of 512 bytes stays or goes by a coin, a file has one of the lengths it had since its
last sync, and each new, moved or removed name stays or goes by a coin. Syncing a file also keeps its own name and the folders
above it, as on ext4. Not modelled: a sector that is half written, one that answers with other bytes, names that come back in
another folder, a disk that lies about its syncs (a control of `power` does that on purpose)."""

import collections
import os
import struct

SECTOR_BYTES = 512
HEAD = struct.Struct("<cQQHI")


def records(path):
    """The records of a recording, and after each the byte where the next begins."""
    with open(path, "rb") as log:
        at = 0
        while head := log.read(HEAD.size):
            kind, a, b, n_name, n_data = HEAD.unpack(head)
            at += HEAD.size + n_name + n_data
            yield (kind.decode(), a, b, log.read(n_name).decode(), log.read(n_data)), at


class Content:
    """The bytes of a file. Its length may reach further than `data`: the rest is zeros."""

    def __init__(self, data=b""):
        self.length, self.data = len(data), bytearray(data.rstrip(b"\0"))

    def copy(self):
        other = Content()
        other.length, other.data = self.length, self.data[:]
        return other

    def write(self, at, data):
        self.length = max(self.length, at + len(data))
        if at >= len(self.data):
            if data.count(0) == len(data):
                return
            self.data.extend(bytes(at - len(self.data)))
        self.data[at : at + len(data)] = data

    def resize(self, length):
        self.length = length
        del self.data[length:]

    def apply(self, at, data):
        self.resize(at) if data is None else self.write(at, data)

    def save(self, path):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as out:
            out.write(self.data)
            out.truncate(self.length)


class File:
    """One inode: what is safe, and what has been asked for since."""

    def __init__(self, safe=b""):
        self.safe = Content(safe)
        self.ops = []  # (offset, bytes) or (length, None)
        self.begun = []

    def sync(self):
        reached = self.begun.pop(0)
        for op in self.ops[:reached]:
            self.safe.apply(*op)
        self.ops = self.ops[reached:]
        self.begun = [max(0, other - reached) for other in self.begun]

    def drop(self):
        """A sync failed: what it was to make safe is gone, whatever a later sync says."""
        self.ops, self.begun = [], [0 for _ in self.begun]

    def now(self):
        out = self.safe.copy()
        for op in self.ops:
            out.apply(*op)
        return out

    def cut(self, coin):
        """Lengths change in order, up to some point; data come and go sector by sector."""
        if not self.ops:
            return self.safe
        last = coin.randint(0, len(self.ops))
        out = self.safe.copy()
        length = out.length
        for number, (at, data) in enumerate(self.ops):
            if data is None:
                if number < last:
                    out.resize(at)
                    length = at
                continue
            if number < last:
                length = max(length, at + len(data))
            for start, stop in kept(at, len(data), coin):
                out.write(start, data[start - at : stop - at])
        out.resize(length)
        return out


def kept(at, n_bytes, coin):
    """The parts of a write that stay: neighbouring sectors that stay are one part."""
    first, end = at // SECTOR_BYTES, at + n_bytes
    n_sectors = (end - 1) // SECTOR_BYTES - first + 1 if n_bytes else 0
    bits, begin = coin.getrandbits(n_sectors) if n_sectors else 0, None
    for number in range(n_sectors + 1):
        stays = number < n_sectors and bits >> number & 1
        if stays and begin is None:
            begin = number
        elif not stays and begin is not None:
            yield max(at, (first + begin) * SECTOR_BYTES), min(end, (first + number) * SECTOR_BYTES)
            begin = None


class Disk:
    """A folder as the program sees it, and as a power cut may leave it."""

    def __init__(self, root, base=None, ignores=None):
        self.root, self.ignores = root, ignores or (lambda path: False)
        self.inodes, self.live = {}, {}
        self.safe, self.waiting, self.marks = {}, [], collections.defaultdict(list)
        if base:  # what lay there before the recording began is safe
            for folder, folders, names in os.walk(base):
                for name in folders:
                    self.live[self.moved(os.path.join(folder, name), base)] = None
                for name in names:
                    path = os.path.join(folder, name)
                    with open(path, "rb") as file:
                        self.inodes[os.stat(path).st_ino] = self.live[self.moved(path, base)] = File(file.read())
            self.safe = dict(self.live)

    def moved(self, path, base):
        return self.root + path[len(base) :]

    def play(self, record):
        kind, a, b, name, data = record
        if kind == "W":
            self.inodes[a].ops.append((b, data))
        elif kind == "T":
            self.inodes[a].ops.append((b, None))
        elif kind == "B":
            self.inodes[a].begun.append(len(self.inodes[a].ops))
        elif kind == "E" and self.ignores(self.name_of(self.inodes[a])):
            self.inodes[a].begun.pop(0)
        elif kind == "E":
            self.inodes[a].sync()
            self.keep([op for op in self.waiting if op[2] is self.inodes[a]])
        elif kind == "D":
            self.inodes[a].drop()
        elif kind == "F":
            self.marks[name].append(self.waiting[-1] if self.waiting else None)
        elif kind == "G":
            last = self.marks[name].pop(0)
            if last:
                here = self.waiting[: self.waiting.index(last) + 1] if last in self.waiting else []
                self.keep([op for op in here if os.path.dirname(op[1]) == name or op[3] and os.path.dirname(op[3]) == name])
        elif kind == "C":
            self.inodes[a] = self.live[name] = File()
            self.waiting.append(("put", name, self.inodes[a], None))
        elif kind == "M":
            self.live[name] = None
            self.waiting.append(("put", name, None, None))
        elif kind in "UX":
            self.waiting.append(("drop", name, self.live.pop(name), None))
        elif kind == "R":
            old, new = name.split("\0")
            file = self.live[new] = self.live.pop(old)
            if file is None:
                raise RuntimeError("a folder was renamed: the model has no rule for it")
            self.waiting.append(("move", old, file, new))

    def name_of(self, file):
        return next((path for path, known in self.live.items() if known is file), "")

    def keep(self, ops):
        for op in ops:
            if op not in self.waiting:
                continue
            self.waiting.remove(op)
            name_op(self.safe, op)
            self.keep_above(op[3] or op[1])

    def keep_above(self, path):
        """The folders of a name that is safe are safe."""
        above = os.path.dirname(path)
        if len(above) > len(self.root) and above not in self.safe:
            self.keep([op for op in self.waiting if op[0] == "put" and op[1] == above])

    def cut(self, folder, coin, keeps_all=False):
        """Writes what a power cut leaves."""
        names = dict(self.safe)
        for op in self.waiting:
            if keeps_all or coin.random() < 0.5:
                name_op(names, op)
        os.makedirs(folder)
        for path, file in sorted(names.items(), key=lambda item: item[0]):
            to = folder + path[len(self.root) :]
            if file is None:
                if os.path.isdir(os.path.dirname(to)):
                    os.makedirs(to, mode=0o700, exist_ok=True)
            elif os.path.isdir(os.path.dirname(to)):
                (file.now() if keeps_all else file.cut(coin)).save(to)


def name_op(names, op):
    what, path, file, new = op
    if what == "put":
        names[path] = file
    elif what == "drop":
        if names.get(path) is file:
            names.pop(path, None)
    else:
        if names.get(path) is file:
            del names[path]
        names[new] = file
