"""Looks for marks in every byte of every file, in each way a program may have written them down. Written apart from the program's own
`census`, so that one finds what the other overlooks: plain, UTF-16, hexadecimal, base64 at its three alignments, percent, and whatever
of it lies in something compressed (gzip, zlib, raw zip entries, zstd, lz4), also in one another, three deep."""

import base64
import ctypes
import ctypes.util
import os
import zlib

UNPACKED_MAX = 64 << 20
DEPTH_MAX = 3
GZIP, ZIP, ZSTD, LZ4 = b"\x1f\x8b\x08", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"
ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


def spellings(mark):
    """Every way to write a mark down, by name."""
    ways = {}
    for case, text in {"as it is": mark, "in small letters": mark.lower(), "in capitals": mark.upper()}.items():
        raw = text.encode()
        ways[raw] = case
        ways[text.encode("utf-16-le")] = ways[text.encode("utf-16-be")] = f"UTF-16, {case}"
        ways[raw.hex().encode()] = ways[raw.hex().upper().encode()] = f"hexadecimal, {case}"
        ways["".join(f"%{byte:02x}" for byte in raw).encode()] = f"percent, {case}"
        ways["".join(f"%{byte:02X}" for byte in raw).encode()] = f"percent, {case}"
        for shift in range(3):
            padded = b"\0" * shift + raw
            begin, end = -(-shift * 8 // 6), len(padded) * 8 // 6
            ways[base64.b64encode(padded)[begin:end]] = f"base64 at {shift}, {case}"
            ways[base64.urlsafe_b64encode(padded)[begin:end]] = f"base64 for URLs at {shift}, {case}"
    return ways


class Zstd:
    """The system's own library, through its streaming call."""

    class Buffer(ctypes.Structure):
        _fields_ = [("at", ctypes.c_void_p), ("size", ctypes.c_size_t), ("pos", ctypes.c_size_t)]

    def __init__(self):
        name = ctypes.util.find_library("zstd") or "libzstd.so.1"
        self.lib = ctypes.CDLL(name)
        self.lib.ZSTD_createDStream.restype = ctypes.c_void_p
        self.lib.ZSTD_freeDStream.argtypes = [ctypes.c_void_p]
        self.lib.ZSTD_decompressStream.restype = ctypes.c_size_t
        self.lib.ZSTD_decompressStream.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        self.lib.ZSTD_compressBound.restype = self.lib.ZSTD_compress.restype = ctypes.c_size_t
        self.lib.ZSTD_isError.argtypes = [ctypes.c_size_t]

    def pack(self, data):
        room = ctypes.create_string_buffer(self.lib.ZSTD_compressBound(ctypes.c_size_t(len(data))))
        size = self.lib.ZSTD_compress(room, ctypes.c_size_t(len(room)), data, ctypes.c_size_t(len(data)), 3)
        return room.raw[:size]

    def unpack(self, data):
        stream, out = self.lib.ZSTD_createDStream(), bytearray()
        source = ctypes.create_string_buffer(data, len(data))
        room = ctypes.create_string_buffer(1 << 17)
        taken = self.Buffer(ctypes.addressof(source), len(data), 0)
        try:
            while len(out) < UNPACKED_MAX:
                given = self.Buffer(ctypes.addressof(room), len(room), 0)
                left = self.lib.ZSTD_decompressStream(stream, ctypes.byref(given), ctypes.byref(taken))
                if self.lib.ZSTD_isError(left):
                    break
                out += room.raw[: given.pos]
                if left == 0 or (given.pos == 0 and taken.pos == taken.size):
                    break
        finally:
            self.lib.ZSTD_freeDStream(stream)
        return bytes(out)


def unlz4(data):
    """The blocks of one lz4 frame; what stands before the first wrong byte."""
    out, at = bytearray(), 4
    try:
        flags = data[at]
        at += 2 + (8 if flags & 0x08 else 0) + (4 if flags & 0x01 else 0) + 1
        while len(out) < UNPACKED_MAX:
            size = int.from_bytes(data[at : at + 4], "little")
            at += 4
            if size == 0 or at + (size & 0x7FFFFFFF) > len(data):
                break
            block = data[at : at + (size & 0x7FFFFFFF)]
            at += len(block) + (4 if flags & 0x10 else 0)
            if size & 0x80000000:
                out += block
            else:
                lz4_block(block, out)
    except IndexError:
        pass
    return bytes(out)


def lz4_block(block, out):
    at = 0
    while at < len(block):
        token = block[at]
        at += 1
        n = token >> 4
        if n == 15:
            while True:
                more = block[at]
                at, n = at + 1, n + more
                if more != 255:
                    break
        out += block[at : at + n]
        at += n
        if at >= len(block):
            return
        back = int.from_bytes(block[at : at + 2], "little")
        at += 2
        n = (token & 15) + 4
        if token & 15 == 15:
            while True:
                more = block[at]
                at, n = at + 1, n + more
                if more != 255:
                    break
        if back == 0 or back > len(out):
            raise IndexError
        for _ in range(n):
            out.append(out[-back])


class Search:
    """One search for some marks; `findings` name file and way, `n_files` and `n_bytes` say how much was looked through."""

    def __init__(self, marks):
        self.ways = {}
        for mark in marks:
            self.ways.update(spellings(mark))
        self.zstd = Zstd()
        self.findings, self.n_files, self.n_bytes, self.n_unpacked = [], 0, 0, 0

    def folder(self, folder):
        for at, folders, files in os.walk(folder):
            for name in folders + files:
                self.look(name.encode("utf-8", "surrogateescape"), f"the name of {os.path.join(at, name)}", DEPTH_MAX)
            for name in files:
                path = os.path.join(at, name)
                if os.path.islink(path) or not os.path.isfile(path):
                    continue
                with open(path, "rb") as file:
                    data = file.read()
                self.n_files, self.n_bytes = self.n_files + 1, self.n_bytes + len(data)
                self.look(data, path, 0)
        return self

    def look(self, data, where, depth):
        # Pages of zeros, of which engines make plenty, say nothing.
        data = data.rstrip(b"\0")
        for pattern, way in self.ways.items():
            at = data.find(pattern)
            if at >= 0:
                self.findings.append(f"{where}: {way}, at byte {at}")
        # Text in base64 or hexadecimal may be broken into lines.
        if b"\n" in data:
            joined = data.replace(b"\r", b"").replace(b"\n", b"")
            for pattern, way in self.ways.items():
                if ("base64" in way or "hexa" in way) and pattern in joined and pattern not in data:
                    self.findings.append(f"{where}: {way}, over lines")
        if depth < DEPTH_MAX:
            for magic, unpack in self.unpackers():
                at = data.find(magic)
                while at >= 0:
                    inner = unpack(data[at : at + UNPACKED_MAX])
                    if len(inner) > 8:
                        self.n_unpacked += 1
                        self.look(inner, f"{where}, unpacked at byte {at}", depth + 1)
                    at = data.find(magic, at + 1)

    def unpackers(self):
        yield GZIP, lambda data: inflate(data, 31)
        for head in ZLIB:
            yield head, lambda data: inflate(data, 15)
        yield ZIP, unzip
        yield ZSTD, self.zstd.unpack
        yield LZ4, unlz4


def inflate(data, bits):
    try:
        return zlib.decompressobj(bits).decompress(data, UNPACKED_MAX)
    except zlib.error:
        return b""


def unzip(data):
    if len(data) < 30 or int.from_bytes(data[8:10], "little") != 8:
        return b""
    begin = 30 + int.from_bytes(data[26:28], "little") + int.from_bytes(data[28:30], "little")
    return inflate(data[begin:], -15)


def lz4(mark):
    """An lz4 frame that holds a mark of ten letters and nowhere shows it: four of its letters are taken from elsewhere."""
    literals = mark[6:10] + b"--" + mark[:6]
    block = bytes([len(literals) << 4]) + literals + len(literals).to_bytes(2, "little") + bytes([5 << 4]) + b"after"
    # Version 1, independent blocks of up to 64 KiB; the header's check is not looked at.
    return LZ4 + bytes([0x60, 0x40, 0]) + len(block).to_bytes(4, "little") + block + b"\0\0\0\0"


def planted(mark, zstd):
    """A mark, whose first ten letters are one by themselves, written down in every way: (name, bytes)."""
    import gzip
    import io
    import zipfile

    raw = f"before {mark} after".encode()
    base = base64.b64encode
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("inside.txt", raw * 3)
    yield "as it is", raw
    yield "in small letters", raw.lower()
    yield "UTF-16, low byte first", raw.decode().encode("utf-16-le")
    yield "UTF-16, high byte first", raw.decode().encode("utf-16-be")
    yield "hexadecimal, small", raw.hex().encode()
    yield "hexadecimal, capitals", raw.hex().upper().encode()
    for shift in range(3):
        yield f"base64 at {shift}", base(b"x" * shift + mark.encode() + b"tail")
        yield f"base64 for URLs at {shift}", base64.urlsafe_b64encode(b"\xff" * shift + mark.encode() + b"\xfb\xff")
    text = base(raw * 9).decode()
    yield "base64 over lines", "\n".join(text[at : at + 19] for at in range(0, len(text), 19)).encode()
    yield "percent", "".join(f"%{byte:02X}" for byte in raw).encode()
    yield "gzip", b"junk" + gzip.compress(raw)
    yield "zlib", b"junk" + zlib.compress(raw)
    yield "zip", archive.getvalue()
    letters = "".join(chr(97 + at * at % 26 % 7) for at in range(4_000)).encode()
    yield "zstd", b"junk" + zstd.pack(letters + raw + letters[::-1])
    yield "lz4", b"junk" + lz4(mark[:10].encode())
    yield "base64 in gzip in zstd", zstd.pack(gzip.compress(base(raw)))
