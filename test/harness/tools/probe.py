#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
A pod that answers on some ports and asks others, many at once: probe.py SOCKET PORT...

It takes TCP connections and sends datagrams back, on all addresses. On the unix socket SOCKET it reads one JSON object a
connection, {"targets": [[protocol, address, port], ...], "expected": [index, ...], "grace": seconds, "patience": seconds},
tries all targets at the same time, each from a new source port, and writes the indexes of those that answered. It waits until
all that are expected have answered and as long again, `grace` at least; `patience` at most.
"""
import json
import os
import select
import socket
import struct
import sys
import threading
import time

# closing sends a reset: no port waits, and no session stays
AT_ONCE = struct.pack("ii", 1, 0)


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def listen(port: int) -> list:
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=512)
    datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    datagrams.bind(("::", port))
    for one in (listener, datagrams):
        one.setblocking(False)
    return [listener, datagrams]


def serve(sockets: list) -> None:
    poll = select.epoll()
    known = {one.fileno(): one for one in sockets}
    for number in known:
        poll.register(number, select.EPOLLIN)
    while True:
        for number, _ in poll.poll():
            one = known[number]
            try:
                if one.type == socket.SOCK_STREAM:
                    one.accept()[0].close()
                else:
                    data, peer = one.recvfrom(2048)
                    one.sendto(data, peer)
            except OSError:
                continue  # gone already, or an ICMP error about an answer


def probe(targets: list, expected: list, grace: float, patience: float) -> list:
    poll = select.epoll()
    tries = {}
    for index, (protocol, address, port) in enumerate(targets):
        kind = socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM
        one = socket.socket(family(address), kind)
        one.setblocking(False)
        if protocol == "TCP":
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        try:
            one.connect((address, port))
            one.send(b"?")
        except BlockingIOError:
            pass  # TCP: under way
        except OSError:
            one.close()
            continue
        tries[one.fileno()] = (index, one)
        poll.register(one.fileno(), select.EPOLLOUT if protocol == "TCP" else select.EPOLLIN)
    answered = []
    missing = set(expected)
    began = time.monotonic()
    until = began + patience
    if not missing:
        until = began + grace
    while time.monotonic() < until:
        for number, event in poll.poll(max(0, until - time.monotonic())):
            index, one = tries[number]
            poll.unregister(number)
            if event & (select.EPOLLERR | select.EPOLLHUP):
                continue
            answered.append(index)
            if index in missing:
                missing.discard(index)
                if not missing:
                    now = time.monotonic()
                    until = min(until, now + max(grace, now - began))
    for _, one in tries.values():
        one.close()
    return answered


def main(path: str, ports: list) -> None:
    sockets = [one for port in ports for one in listen(port)]
    threading.Thread(target=serve, args=(sockets,), daemon=True).start()
    control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if os.path.exists(path):
        os.unlink(path)
    control.bind(path)
    control.listen(8)
    print("ready", flush=True)
    while True:
        connection, _ = control.accept()
        with connection, connection.makefile("rw") as stream:
            asked = json.loads(stream.readline())
            json.dump(probe(**asked), stream)


main(sys.argv[1], [int(port) for port in sys.argv[2:]])
