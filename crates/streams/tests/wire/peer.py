"""A Python program that sends and receives in runnel's format, with nothing but the standard library.

peer.py repr SEED COUNT   prints keys of every type: what repr makes of them and where they go
peer.py send PORT         sends orders as runnel's producer does
peer.py receive PORT      reads orders as runnel's worker does, and checks every one
"""

import gzip
import hashlib
import json
import random
import socket
import struct
import sys
import unicodedata

PARTITIONS = 16
ORDERS = 200
LINES = 5


class Redis:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.replies = self.socket.makefile("rb")

    def call(self, *words):
        words = [encoded(word) for word in words]
        command = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
        self.socket.sendall(b"*%d\r\n%b" % (len(words), command))
        return self.reply()

    def reply(self):
        line = self.replies.readline().rstrip(b"\r\n")
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            return None if rest == b"-1" else self.replies.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        return int(rest) if kind == b":" else rest


def encoded(value):
    """As runnel's client (aredis) writes a value."""
    if isinstance(value, bytes):
        return value
    return (repr(value) if isinstance(value, float) else str(value)).encode()


def rotated(value, by, bits):
    return (value << by | value >> (bits - by)) & ((1 << bits) - 1)


def xxhash(data, bits):
    """XXH32 or XXH64 with seed 0, from their specification."""
    p = {
        32: (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1),
        64: (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5),
    }[bits]
    mask, lane = (1 << bits) - 1, bits // 8
    turns, merges = ((13, (1, 7, 12, 18)) if bits == 32 else (31, (1, 7, 12, 18)))

    def mixed(state, value):
        return rotated((state + value * p[1]) & mask, turns, bits) * p[0] & mask

    rest, state = data, p[4]
    if len(data) >= 4 * lane:
        lanes = [(p[0] + p[1]) & mask, p[1], 0, -p[0] & mask]
        while len(rest) >= 4 * lane:
            stripe = [int.from_bytes(rest[i * lane : (i + 1) * lane], "little") for i in range(4)]
            lanes = [mixed(state, value) for state, value in zip(lanes, stripe)]
            rest = rest[4 * lane :]
        state = sum(rotated(value, by, bits) for value, by in zip(lanes, merges)) & mask
        if bits == 64:
            for value in lanes:
                state = ((state ^ mixed(0, value)) * p[0] + p[3]) & mask
    state = (state + len(data)) & mask
    while bits == 64 and len(rest) >= 8:
        value = mixed(0, int.from_bytes(rest[:8], "little"))
        state = (rotated(state ^ value, 27, 64) * p[0] + p[3]) & mask
        rest = rest[8:]
    while len(rest) >= 4:
        value = int.from_bytes(rest[:4], "little")
        if bits == 64:
            state = (rotated(state ^ value * p[0] & mask, 23, 64) * p[1] + p[2]) & mask
        else:
            state = rotated((state + value * p[2]) & mask, 17, 32) * p[3] & mask
        rest = rest[4:]
    for byte in rest:
        if bits == 64:
            state = rotated(state ^ byte * p[4] & mask, 11, 64) * p[0] & mask
        else:
            state = rotated((state + byte * p[4]) & mask, 11, 32) * p[0] & mask
    for shift, factor in zip((15, 13, 16) if bits == 32 else (33, 29, 32), (p[1], p[2], 1)):
        state = (state ^ state >> shift) * factor & mask
    return state


def md5_partition(key):
    return int(hashlib.md5(repr(key).encode()).hexdigest(), 16) % PARTITIONS


def xxh64_partition(key):
    return xxhash(repr(key).encode(), 64) % PARTITIONS


def lz4_frame(data, stored):
    """A frame of one block with only literals, whose header is that of Python's lz4.frame."""
    descriptor = b"\x68\x40" + struct.pack("<Q", len(data))
    checksum = bytes([xxhash(descriptor, 32) >> 8 & 0xFF])
    block, size = data, len(data) | 1 << 31
    if not stored:
        more, last = divmod(len(data) - 15, 255)
        lengths = b"\xff" * more + bytes([last]) if len(data) >= 15 else b""
        block = bytes([min(len(data), 15) << 4]) + lengths + data
        size = len(block)
    return b"\x04\x22\x4d\x18" + descriptor + checksum + struct.pack("<I", size) + block + bytes(4)


def lz4_plain(frame):
    assert frame[:4] == b"\x04\x22\x4d\x18", "no LZ4 frame"
    flags, at, out = frame[4], 6, bytearray()
    assert flags >> 6 == 1, "the version is 01"
    at += (8 if flags & 8 else 0) + (4 if flags & 1 else 0)
    assert frame[at] == xxhash(frame[4:at], 32) >> 8 & 0xFF, "the header's checksum"
    at += 1
    while True:
        size = struct.unpack_from("<I", frame, at)[0]
        at += 4
        if size == 0:
            break
        block = frame[at : at + (size & 0x7FFFFFFF)]
        at += len(block) + (4 if flags & 16 else 0)
        if size >> 31:
            out += block
        else:
            lz4_block(block, out)
    if flags & 4:
        assert struct.unpack_from("<I", frame, at)[0] == xxhash(bytes(out), 32), "the checksum"
    return bytes(out)


def lz4_block(block, out):
    def length(first, at):
        while first >= 15:
            first, at = first + block[at], at + 1
            if block[at - 1] != 255:
                break
        return first, at

    at = 0
    while True:
        token = block[at]
        literals, at = length(token >> 4, at + 1)
        out += block[at : at + literals]
        at += literals
        if at == len(block):
            return
        distance = struct.unpack_from("<H", block, at)[0]
        copied, at = length(token & 15, at + 2)
        for _ in range(copied + 4):
            out.append(out[-distance])


def order(number):
    """The order of this number; tests/wire/order.rs has the same."""
    return {
        "order_id": number,
        "rate": number / 7 * 10.0 ** (number % 25 - 10),
        "paid": number % 2 == 0,
        "note": ("it's", '"é"', "it's \"中\"\n", "\u200b\\")[number % 4] + str(number),
    }


def native(number):
    return {**order(number), "blob": bytes([number % 256, 39, 0])}


def nested(number):
    return {**order(number), "lines": [{"amount": number / 3}] * (number % LINES)}


def read_native(fields):
    return {
        "order_id": int(fields[b"order_id"]),
        "rate": float(fields[b"rate"]),
        # What pydantic takes for true in a record of runnel's.
        "paid": fields[b"paid"].decode().lower() in ("1", "true", "t", "on", "yes", "y"),
        "note": fields[b"note"].decode(),
        "blob": fields[b"blob"],
    }


def dumped(record):
    return json.dumps(record, separators=(",", ":")).encode()


def lz4_dumped(record):
    return lz4_frame(dumped(record), stored=record["paid"])


# Of each stream: how a record is made, written and read, its key, and its hasher.
STREAMS = {
    "prim": (native, None, None, "blob", xxh64_partition),
    "json": (nested, dumped, json.loads, "note", md5_partition),
    "gzip": (nested, lambda it: gzip.compress(dumped(it)), lambda it: json.loads(gzip.decompress(it)), "rate", xxh64_partition),
    "lz4": (nested, lz4_dumped, lambda it: json.loads(lz4_plain(it)), "paid", md5_partition),
}


def send(redis):
    for name, (make, write, _, key, partition) in STREAMS.items():
        for number in range(ORDERS):
            record = make(number)
            fields = {"data": write(record)} if write else record
            words = [word for field in fields.items() for word in field]
            stream = "__strm:shop.%s.%d" % (name, partition(record[key]))
            redis.call("XADD", stream, "MAXLEN", "~", 50000, "*", *words)
    print("sent", len(STREAMS) * ORDERS)


def receive(redis):
    for name, (make, _, read, key, partition) in STREAMS.items():
        seen = []
        for index in range(PARTITIONS):
            stream = "__strm:shop.%s.%d" % (name, index)
            redis.call("XGROUP", "CREATE", stream, "settle", 0, "MKSTREAM")
            reply = redis.call("XREADGROUP", "GROUP", "settle", 1, "COUNT", 1000, "STREAMS", stream, ">")
            for _, words in reply[0][1] if reply else []:
                fields = dict(zip(words[::2], words[1::2]))
                record = read(fields[b"data"]) if read else read_native(fields)
                number = record["order_id"]
                assert record == make(number), (name, record, make(number))
                assert partition(record[key]) == index, (name, record[key], index)
                assert set(fields) == ({b"data"} if read else {field.encode() for field in record}), fields
                seen.append(number)
        assert sorted(seen) == list(range(ORDERS)), (name, sorted(seen))
    print("received", len(STREAMS) * ORDERS)


def is_settled(character):
    """Whether every Python has the same idea of the character, or this one is as old as our table."""
    if unicodedata.category(character) == "Cs":
        return False
    settled = unicodedata.ucd_3_2_0.category(character) != "Cn"
    return settled or unicodedata.unidata_version == "13.0.0"


def characters(chance, count):
    ranges = [(0, 0x80), (0, 0x100), (0, 0x3000), (0, 0x10000), (0, 0x110000)]
    low, high = chance.choice(ranges)
    some = (chance.choice("'\"\\\n") if chance.random() < 0.1 else chr(chance.randrange(low, high)) for _ in range(count))
    return "".join(filter(is_settled, some))


def print_keys(seed, count):
    chance = random.Random(seed)
    keys = [True, False]
    for _ in range(count):
        keys.append(chance.randint(-(2 ** chance.randrange(1, 127)), 2 ** chance.randrange(1, 127)))
        keys.append(struct.unpack("<d", chance.randbytes(8))[0])
        keys.append(round(chance.uniform(-1000, 1000), chance.randrange(6)) * 10.0 ** chance.randrange(-20, 20))
        keys.append(characters(chance, chance.randrange(20)))
        keys.append(chance.randbytes(chance.randrange(40)))
    # Every character that all agree on, many to a key.
    settled = [chr(code) for code in range(0x110000) if is_settled(chr(code))]
    keys.extend("".join(settled[at : at + 1000]) for at in range(0, len(settled), 1000))
    for key in keys:
        portable = {float: lambda: struct.pack(">d", key).hex(), bytes: key.hex if isinstance(key, bytes) else None}
        value = portable.get(type(key), lambda: str(key))()
        print(json.dumps([type(key).__name__, value, repr(key), md5_partition(key), xxh64_partition(key)]))


if __name__ == "__main__":
    assert xxhash(b"'abc'", 64) == 12951018203408166465, "not XXH64"
    if sys.argv[1] == "repr":
        print_keys(int(sys.argv[2]), int(sys.argv[3]))
    else:
        {"send": send, "receive": receive}[sys.argv[1]](Redis(int(sys.argv[2])))
