#!/usr/bin/env python3
"""Records what PostgreSQL 15 answers to the messages of crates/server/tests/fixtures/*.wire, so that the server can be compared with it.

    scripts/oracle/wire.py [NAME...]

It starts a server of its own (see postgres15.py). A conversation is one connection after its login. Its file holds what is sent and what came back:

    > "Q" "select 1" 0            a frontend message: its type, then its body: strings are zero-terminated, b"..." are not, i16:1 and
                                  i32:1 are integers, v:text a counted value, v:null NULL
    .                             sends what stands above in one write
    < "T" ...                     a backend message, as Python shows its body

`.` alone waits for as many ReadyForQuery as there were Query and Sync messages, `. ready 1` for that many; `. 2` for that many messages
of any type; `. end` for the end of the connection. Lines of `<` are written by this script; everything else is kept. What cannot be the same is not recorded:
the fields F, L and R of errors (source positions), and oids of user tables, which become 16384, 16385, ... in order of appearance.
The directive `# ours: REASON` after an answer keeps the lines as they are: there the server differs on purpose.
"""

import pathlib
import re
import socket
import struct
import sys

import postgres15

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "crates" / "server" / "tests" / "fixtures"
TOKEN = re.compile(r'b"((?:[^"\\]|\\.)*)"|"((?:[^"\\]|\\.)*)"|i16:(-?\d+)|i32:(-?\d+)|v:null|v:"((?:[^"\\]|\\.)*)"|(\d+)')


def unescape(text):
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def encode(line):
    """The bytes of a `>` line."""
    tokens = list(TOKEN.finditer(line))
    kind = unescape(tokens[0][2])
    body = b""
    for token in tokens[1:]:
        raw, string, i16, i32, value, byte = token.groups()
        if raw is not None:
            body += unescape(raw)
        elif string is not None:
            body += unescape(string) + b"\0"
        elif i16 is not None:
            body += struct.pack(">h", int(i16))
        elif i32 is not None:
            body += struct.pack(">i", int(i32))
        elif value is not None:
            value = unescape(value)
            body += struct.pack(">i", len(value)) + value
        elif byte is not None:
            body += bytes([int(byte)])
        else:
            body += struct.pack(">i", -1)
    return kind + struct.pack(">I", len(body) + 4) + body, kind


def show(body):
    """Bytes as the fixtures hold them."""
    text = ""
    for byte in body:
        char = chr(byte)
        text += "\\" + char if char in '"\\' else char if 32 <= byte < 127 else f"\\x{byte:02x}"
    return f'"{text}"'


class Connection:
    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), timeout=20)
        self.buffer = b""
        self.oids = {}
        body = b"".join(text.encode() + b"\0" for text in ("user", "postgres", "database", "postgres", "client_encoding", "UTF8"))
        body = struct.pack(">i", 196608) + body + b"\0"
        self.socket.sendall(struct.pack(">I", len(body) + 4) + body)
        while self.receive()[0] != b"Z":
            pass

    def receive(self):
        while True:
            if len(self.buffer) >= 5:
                length = struct.unpack(">I", self.buffer[1:5])[0]
                if len(self.buffer) > length:
                    kind, body = self.buffer[:1], self.buffer[5 : length + 1]
                    self.buffer = self.buffer[length + 1 :]
                    return kind, body
            data = self.socket.recv(65536)
            if not data:
                return None, b""
            self.buffer += data

    def normalize(self, kind, body):
        if kind in b"EN":
            fields = [field for field in body.split(b"\0") if field and field[:1] not in b"FLR"]
            return b"".join(field + b"\0" for field in fields) + b"\0"
        if kind == b"T":
            return self.normalize_oids(body)
        return body

    def normalize_oids(self, body):
        out, at = body[:2], 2
        for _ in range(struct.unpack(">H", body[:2])[0]):
            end = body.index(b"\0", at) + 1
            oid = struct.unpack(">I", body[end : end + 4])[0]
            if oid >= 16384:
                oid = self.oids.setdefault(oid, 16384 + len(self.oids))
            out += body[at:end] + struct.pack(">I", oid) + body[end + 4 : end + 18]
            at = end + 18
        return out


def record(path, host, port):
    connection = Connection(host, port)
    lines = path.read_text().splitlines()
    out, pending, cycles, i = [], b"", 0, 0
    while i < len(lines):
        line = lines[i]
        i += 1
        if line.startswith(">"):
            message, kind = encode(line[1:])
            pending += message
            cycles += kind in (b"Q", b"S")
        elif line.startswith("<"):
            continue
        elif line.startswith("."):
            out.append(line)
            what = line[1:].strip()
            connection.socket.sendall(pending)
            answers, ready = [], 0
            if what.startswith("ready "):
                what, cycles = "", int(what.removeprefix("ready "))
            while True:
                if what == "" and ready == cycles:
                    break
                if what.isdigit() and len(answers) == int(what):
                    break
                kind, body = connection.receive()
                if kind is None:
                    answers.append("< end")
                    break
                ready += kind == b"Z"
                answers.append(f"< {show(kind)} {show(connection.normalize(kind, body))}")
            pending, cycles = b"", 0
            kept = []
            while i < len(lines) and lines[i].startswith("<"):
                kept.append(lines[i])
                i += 1
            ours = i < len(lines) and lines[i].startswith("# ours:")
            out += kept if ours else answers
            continue
        out.append(line)
    path.write_text("\n".join(out) + "\n")
    connection.socket.close()


if __name__ == "__main__":
    names = set(sys.argv[1:])
    for fixture in sorted(FOLDER.glob("*.wire")):
        if not names or fixture.stem in names:
            # Each in a fresh cluster's database, as the test runs each in a fresh directory.
            with postgres15.running() as port:
                record(fixture, "127.0.0.1", port)
            print(fixture.stem)
