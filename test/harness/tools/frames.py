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
import struct
import sys
import time

ETH_P_ALL = 3
PACKET_OUTGOING = 4
SOL_PACKET = 263
PACKET_AUXDATA = 8
AUXDATA = struct.Struct("IIIHHHH")
TP_STATUS_VLAN_VALID = 0x10
TP_STATUS_VLAN_TPID_VALID = 0x40


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


def receive(raw: socket.socket) -> tuple:
    """A frame with the 802.1Q tag that the kernel took out of it, and its address."""
    frame, ancillary, _, address = raw.recvmsg(65535, socket.CMSG_SPACE(AUXDATA.size))
    for level, kind, data in ancillary:
        if level != SOL_PACKET or kind != PACKET_AUXDATA:
            continue
        status, _, _, _, _, tci, tpid = AUXDATA.unpack(data[: AUXDATA.size])
        if status & TP_STATUS_VLAN_VALID:
            tpid = tpid if status & TP_STATUS_VLAN_TPID_VALID else 0x8100
            frame = frame[:12] + struct.pack(">HH", tpid, tci) + frame[12:]
    return frame, address


def sniff(args: argparse.Namespace) -> None:
    raw = open_socket(args.interface)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
    raw.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    matches = [bytes.fromhex(text) for text in args.match]
    print("ready", flush=True)
    left = args.count
    end = time.monotonic() + args.seconds
    while left > 0:
        wait = end - time.monotonic()
        if wait <= 0 or not select.select([raw], [], [], wait)[0]:
            break
        frame, address = receive(raw)
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
