#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Raw frames on an interface, for packets that no socket would send or show. Hexadecimal text, one frame a line.

    frames.py send IFACE                     sends the frames of standard input, then says how many
    frames.py sniff IFACE [--match HEX]... [--count N] [--seconds S] [--outgoing]
                                             says "ready", then each received frame that holds every HEX
"""
import argparse
import select
import socket
import sys
import time

ETH_P_ALL = 3
PACKET_OUTGOING = 4


def open_socket(interface: str) -> socket.socket:
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    raw.bind((interface, ETH_P_ALL))
    return raw


def send(args: argparse.Namespace) -> None:
    # Protocol 0: a sender needs no copy of what it sees.
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
    raw.bind((args.interface, 0))
    sent = 0
    for line in sys.stdin:
        if line.strip():
            raw.send(bytes.fromhex(line))
            sent += 1
    print(f"sent {sent}")


def sniff(args: argparse.Namespace) -> None:
    raw = open_socket(args.interface)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
    matches = [bytes.fromhex(text) for text in args.match]
    print("ready", flush=True)
    left = args.count
    end = time.monotonic() + args.seconds
    while left > 0:
        wait = end - time.monotonic()
        if wait <= 0 or not select.select([raw], [], [], wait)[0]:
            break
        frame, address = raw.recvfrom(65535)
        if (address[2] == PACKET_OUTGOING) != args.outgoing:
            continue
        if all(match in frame for match in matches):
            print(frame.hex(), flush=True)
            left -= 1
    print("end", flush=True)


parser = argparse.ArgumentParser()
commands = parser.add_subparsers(required=True)
sender = commands.add_parser("send")
sender.add_argument("interface")
sender.set_defaults(run=send)
sniffer = commands.add_parser("sniff")
sniffer.add_argument("interface")
sniffer.add_argument("--match", action="append", default=[])
sniffer.add_argument("--count", type=int, default=1)
sniffer.add_argument("--seconds", type=float, default=5)
sniffer.add_argument("--outgoing", action="store_true")
sniffer.set_defaults(run=sniff)
arguments = parser.parse_args()
arguments.run(arguments)
