#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
What tests do with sockets beyond client.ts and server.ts. Each command prints one JSON object.

    sockets.py serve PORT               TCP: takes or gives bytes (see bulk); UDP: sends each datagram back
    sockets.py bulk ADDRESS PORT BYTES  sends BYTES and receives BYTES over TCP, compares hashes
    sockets.py udp ADDRESS PORT BYTES TRIES
                                        sends a datagram until it comes back whole
    sockets.py connect ADDRESS PORT     the error of a TCP connection attempt, or null
    sockets.py refused ADDRESS PORT     the error of a connected UDP socket after sending, or null
    sockets.py shared tcp|udp PORT ADDRESS PORT ADDRESS PORT ROUNDS
                                        two connected sockets of one source port, asked in turn
    sockets.py hold ADDRESS PORT COUNT  opens connections, says "ready"; at SIGUSR1 asks each one
    sockets.py survey                   asks each place of standard input: see survey()
    sockets.py ports tcp|udp COUNT      local ports that the kernel gives sockets which ask for none
    sockets.py datagram ADDRESS PORT    sends the hexadecimal datagrams of standard input

With `--bind ADDRESS` before the command, once a family, sockets of bulk, udp, refused, connect and survey send from there.
"""
import concurrent.futures
import errno
import hashlib
import json
import random
import resource
import signal
import socket
import struct
import sys
import threading
import time

CHUNK = 1 << 16


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


bound: dict = {}


def open_udp(address: str) -> socket.socket:
    client = socket.socket(family(address), socket.SOCK_DGRAM)
    if family(address) in bound:
        client.bind((bound[family(address)], 0))
    return client


def open_tcp(address: str, port: int, seconds: float) -> socket.socket:
    source = (bound[family(address)], 0) if family(address) in bound else None
    return socket.create_connection((address, port), timeout=seconds, source_address=source)


def chunks(count: int):
    """Bytes that no shift or repetition of a segment leaves the same."""
    generator = random.Random(count)
    block = generator.randbytes(CHUNK)
    for index in range(0, count, CHUNK):
        yield struct.pack(">Q", index) + block[8 : min(CHUNK, count - index)]


def receive(connection: socket.socket, count: int) -> str:
    digest = hashlib.sha256()
    while count > 0:
        data = connection.recv(min(count, 1 << 20))
        if not data:
            raise ConnectionError("closed early")
        digest.update(data)
        count -= len(data)
    return digest.hexdigest()


def give(connection: socket.socket, count: int) -> str:
    digest = hashlib.sha256()
    for chunk in chunks(count):
        digest.update(chunk)
        connection.sendall(chunk)
    return digest.hexdigest()


def read_line(connection: socket.socket) -> str:
    line = b""
    while not line.endswith(b"\n"):
        data = connection.recv(1)
        if not data:
            raise ConnectionError("closed early")
        line += data
    return line.decode().strip()


def serve_connection(connection: socket.socket) -> None:
    with connection:
        direction, count = read_line(connection).split()
        work = receive if direction == "take" else give
        connection.sendall((work(connection, int(count)) + "\n").encode())
        connection.recv(1)


def serve(port: str) -> None:
    listener = socket.create_server(("::", int(port)), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
    datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    datagrams.bind(("::", int(port)))

    def echo() -> None:
        while True:
            try:
                data, peer = datagrams.recvfrom(65535)
                datagrams.sendto(data, peer)
            except OSError:
                continue  # an ICMP error about an answer

    threading.Thread(target=echo, daemon=True).start()
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve_connection, args=(connection,), daemon=True).start()


def bulk(address: str, port: str, count: str) -> dict:
    result = {}
    for direction, own in (("take", give), ("give", receive)):
        with open_tcp(address, int(port), 20) as connection:
            began = time.monotonic()
            connection.sendall(f"{direction} {count}\n".encode())
            mine = own(connection, int(count))
            result[direction] = mine == read_line(connection)
            result[direction + "Seconds"] = round(time.monotonic() - began, 3)
    return result


def udp(address: str, port: str, count: str, tries: str) -> dict:
    data = b"".join(chunks(int(count)))
    with open_udp(address) as client:
        client.settimeout(1)
        client.connect((address, int(port)))
        for attempt in range(1, int(tries) + 1):
            try:
                client.send(data)
                answer = client.recv(65535)
                return {"whole": answer == data, "tries": attempt}
            except OSError as error:
                last = errno.errorcode.get(error.errno or 0, str(error))
        return {"whole": False, "tries": int(tries), "error": last}


def connect(address: str, port: str) -> dict:
    began = time.monotonic()
    error = None
    try:
        open_tcp(address, int(port), 5).close()
    except OSError as failure:
        error = errno.errorcode.get(failure.errno or 0, str(failure))
    return {"error": error, "seconds": round(time.monotonic() - began, 3)}


def refused(address: str, port: str) -> dict:
    began = time.monotonic()
    error = None
    with open_udp(address) as client:
        client.settimeout(3)
        client.connect((address, int(port)))
        try:
            client.send(b"who\n")
            client.recv(100)
        except OSError as failure:
            error = errno.errorcode.get(failure.errno or 0, str(failure))
    return {"error": error, "seconds": round(time.monotonic() - began, 3)}


def ask(connection: socket.socket) -> str:
    connection.sendall(b"who\n")
    if connection.type == socket.SOCK_DGRAM:
        return connection.recv(65535).decode().strip()
    return read_line(connection)


def shared(protocol: str, source: str, a1: str, p1: str, a2: str, p2: str, rounds: str) -> dict:
    connections = []
    for address, port in ((a1, p1), (a2, p2)):
        client = socket.socket(family(address), socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        client.settimeout(5)
        client.bind(("::" if ":" in address else "0.0.0.0", int(source)))
        client.connect((address, int(port)))
        connections.append(client)
        ask(client)
    answers = [[ask(client).split()[0] for client in connections] for _ in range(int(rounds))]
    return {
        "answers": [sorted(set(column)) for column in zip(*answers)],
        "rounds": len(answers),
        "ports": [client.getsockname()[1] for client in connections],
    }


def allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, count + 64)), hard))


def ports(protocol: str, count: str) -> list:
    allow_files(int(count))
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    sockets = [socket.socket(socket.AF_INET6, kind) for _ in range(int(count))]
    for one in sockets:
        one.bind(("::", 0))
    return [one.getsockname()[1] for one in sockets]


def hold(address: str, port: str, count: str) -> dict:
    allow_files(int(count))
    go = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: go.set())
    connections = [socket.create_connection((address, int(port)), timeout=10) for _ in range(int(count))]
    for connection in connections:
        ask(connection)
    print("ready", flush=True)
    go.wait()
    alive, errors = 0, {}
    for connection in connections:
        try:
            ask(connection)
            alive += 1
        except OSError as failure:
            name = errno.errorcode.get(failure.errno or 0, str(failure))
            errors[name] = errors.get(name, 0) + 1
    return {"alive": alive, "errors": errors}


def outcome(address: str, port: int, udp: bool) -> str:
    """What the server says of itself and of the client, or the name of an error."""
    try:
        with open_udp(address) if udp else open_tcp(address, port, 5) as client:
            client.settimeout(5)
            if udp:
                client.connect((address, port))
            client.sendall(b"who\n")
            return client.recv(100).decode().strip()
    except TimeoutError:
        return "ETIMEDOUT"
    except OSError as failure:
        return errno.errorcode.get(failure.errno or 0, str(failure))


def survey() -> list:
    """Lines ADDRESS PORT tcp|udp COUNT on stdin: for each how often which outcome came."""

    def place(line: str) -> dict:
        address, port, protocol, count = line.split()
        by: dict = {}
        for _ in range(int(count)):
            text = outcome(address, int(port), protocol == "udp")
            by[text] = by.get(text, 0) + 1
        return by

    # Most of the time is spent waiting where packets are dropped.
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        return list(pool.map(place, sys.stdin))


def datagram(address: str, port: str) -> dict:
    sent = 0
    with socket.socket(family(address), socket.SOCK_DGRAM) as client:
        for line in sys.stdin:
            client.sendto(bytes.fromhex(line), (address, int(port)))
            sent += 1
    return {"sent": sent}


COMMANDS = {
    "survey": survey,
    "serve": serve,
    "bulk": bulk,
    "udp": udp,
    "connect": connect,
    "refused": refused,
    "shared": shared,
    "hold": hold,
    "ports": ports,
    "datagram": datagram,
}
arguments = sys.argv[1:]
while arguments[0] == "--bind":
    bound[family(arguments[1])] = arguments[1]
    arguments = arguments[2:]
print(json.dumps(COMMANDS[arguments[0]](*arguments[1:])), flush=True)
