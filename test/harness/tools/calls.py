# SPDX-License-Identifier: Apache-2.0
"""Calls on sockets, one a line of JSON on standard input, each answered by a line: what a process sees of its own sockets.

{"op": "serve", "proto": "tcp", "address": "10.0.0.1", "port": 80, "text": "NAME"}   a server that says NAME to whoever asks
{"op": "stop", ...}                                                                  ends it
{"op": "open", "id": 1, "family": 4, "proto": "udp"}
{"op": "connect", "id": 1, "address": "10.0.0.1", "port": 80}      → {"error": null or the name of errno}
{"op": "bind", "id": 1, "address": "10.0.0.1", "port": 80}         → the same
{"op": "disconnect", "id": 1}                                      → the same; UDP
{"op": "send", "id": 1}, with address and port: unconnected        → the same
{"op": "receive", "id": 1}                                         → {"text", "from": [address, port]}
{"op": "peer", "id": 1}                                            → {"peer": [address, port]}
{"op": "close", "id": 1}
"""

import collections
import ctypes
import errno
import json
import os
import resource
import socket
import sys
import threading

SO_NETNS_COOKIE = 71
PATIENCE = 30
HELD = 16  # connections that a server keeps open; who asks often closes them sooner
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
LIBC = ctypes.CDLL(None, use_errno=True)
sockets = {}
servers = {}
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def serve(proto, address, port, text):
    server = socket.socket(family_of(address), KINDS[proto])
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, port))
    if proto == "tcp":
        server.listen(64)
    servers[(proto, address, port)] = server

    def work():
        held = collections.deque()
        while True:
            try:
                if proto == "udp":
                    _, peer = server.recvfrom(2048)
                    server.sendto(text.encode(), peer)
                else:
                    connection, _ = server.accept()
                    connection.sendall(text.encode())
                    held.append(connection)
                    if len(held) > HELD:
                        held.popleft().close()
            except ConnectionError:
                pass  # closed by who asked, before the answer
            except OSError:
                for connection in held:
                    connection.close()
                return

    threading.Thread(target=work, daemon=True).start()


def place(name):
    address = name[0].removeprefix("::ffff:")
    return [address, name[1]]


def run(call):
    op = call["op"]
    if op == "cookie":
        with socket.socket() as sock:
            return {"cookie": int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8), "little")}
    if op == "serve":
        serve(call["proto"], call["address"], call["port"], call["text"])
        return {}
    if op == "stop":
        servers.pop((call["proto"], call["address"], call["port"])).shutdown(socket.SHUT_RDWR)
        return {}
    if op == "open":
        sock = socket.socket(socket.AF_INET6 if call["family"] == 6 else socket.AF_INET, KINDS[call["proto"]])
        sock.settimeout(PATIENCE)
        sockets[call["id"]] = sock
        return {}
    sock = sockets[call["id"]]
    if op == "connect":
        sock.connect((call["address"], call["port"]))
    elif op == "bind":
        sock.bind((call["address"], call["port"]))
    elif op == "disconnect":
        # AF_UNSPEC, which Python does not know
        if LIBC.connect(sock.fileno(), bytes(16), 16):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    elif op == "send":
        if "address" in call:
            sock.sendto(b"?\n", (call["address"], call["port"]))
        else:
            sock.send(b"?\n")
    elif op == "receive":
        if sock.type == socket.SOCK_STREAM:
            return {"text": sock.recv(2048).decode()}
        data, name = sock.recvfrom(2048)
        return {"text": data.decode(), "from": place(name)}
    elif op == "peer":
        return {"peer": place(sock.getpeername())}
    elif op == "close":
        sockets.pop(call["id"]).close()
    return {}


for line in sys.stdin:
    try:
        answer = {"error": None, **run(json.loads(line))}
    except TimeoutError:
        answer = {"error": "TIMEOUT"}
    except OSError as error:
        answer = {"error": errno.errorcode.get(error.errno, str(error))}
    print(json.dumps(answer), flush=True)
