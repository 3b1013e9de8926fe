"""Calls go through while others are slow or idle: connections over TLS that say nothing, one that reads a byte a
second, one that sends a byte a second.

    TRUNKLINE_IDLE=10000 .venv/current/bin/python tests/interop/slow_peers.py

TRUNKLINE_IDLE is the number of idle connections, 300 without it; `ulimit -n` has to allow for them. How long it takes
to set a call up and end it is printed for both cases, and no call may fail.
"""

import os
import resource
import socket
import ssl
import sys
import threading
import time

from calls import accounted, expect
from matrix import Table
from node import CARRIER, GATEWAY, PBX, Connector, Node
from sipp import Sipp

IDLE = int(os.environ.get("TRUNKLINE_IDLE", "300"))
CALLS = 200
RATE = 40
HOLD_MS = 500
CALLED = "+12025550123"
OPTIONS = (
    "OPTIONS sip:{host} SIP/2.0\r\nVia: SIP/2.0/TCP {source};branch=z9hG4bK{number}\r\nMax-Forwards: 70\r\n"
    "From: <sip:a@b>;tag={number}\r\nTo: <sip:{host}>\r\nCall-ID: slow-{number}\r\nCSeq: 1 OPTIONS\r\n"
    "Content-Length: 0\r\n\r\n"
)


class SlowPeers:
    """Use it as a context manager: they are there for as long."""

    def __init__(self, node, host):
        self.node = node
        self.host = host
        self.open = []
        self._end = threading.Event()
        self._threads = []

    def __enter__(self):
        context = ssl.create_default_context(cafile=str(self.node.authority.certificate))
        for number in range(IDLE):
            plain = socket.create_connection((GATEWAY, self.node.tls_port))
            session = context.wrap_socket(plain, server_hostname=GATEWAY)
            # So that it is a connection in use, and not one that never said anything.
            text = OPTIONS.format(host=self.host, source=f"{GATEWAY}:9", number=f"i{number}")
            session.sendall(text.encode())
            session.recv(4_096)
            self.open.append(session)
        for slow in (self._read_slowly, self._send_slowly):
            self._threads.append(threading.Thread(target=slow, daemon=True))
            self._threads[-1].start()
        return self

    def __exit__(self, *error):
        self._end.set()
        for thread in self._threads:
            thread.join()
        for session in self.open:
            session.close()

    def _read_slowly(self):
        """Asks for more than it reads, until it is let go of."""
        with socket.create_connection((GATEWAY, self.node.sip_port)) as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            number = 0
            while not self._end.wait(1 if number % 100 == 0 and number else 0):
                number += 1
                text = OPTIONS.format(host=self.host, source=f"{GATEWAY}:9", number=f"r{number}")
                try:
                    peer.sendall(text.encode())
                    if number % 100 == 0:
                        peer.recv(1)
                except OSError:
                    return

    def _send_slowly(self):
        """One byte of a message a second."""
        text = OPTIONS.format(host=self.host, source=f"{GATEWAY}:9", number="s1").encode()
        with socket.create_connection((GATEWAY, self.node.sip_port)) as peer:
            for byte in text:
                try:
                    peer.sendall(bytes([byte]))
                except OSError:
                    return
                if self._end.wait(1):
                    return


def set_up(node, connector, agent):
    """Calls; the mean time that one took beyond what it lasts by its scenario, in ms."""
    statistics = node.directory / f"{time.monotonic_ns()}.csv"
    extra = ["-key", "host", connector.host, "-key", "caller", connector.number, "-s", CALLED]
    extra += ["-trace_stat", "-stf", statistics, "-fd", 1]
    called = Sipp("uas", CARRIER, node.ports, node.directory, port=agent, count=CALLS, echo=True)
    target = (GATEWAY, node.sip_port)
    caller = Sipp(
        "uac", PBX, node.ports, node.directory, target=target, count=CALLS, rate=RATE, hold_ms=HOLD_MS, extra=extra,
    )
    offset = node.log_size()
    with called, caller:
        caller.wait()
        called.wait()
    accounted(node, offset, CALLS, audio=True)
    rows = [line.split(";") for line in statistics.read_text().splitlines()]
    hours, minutes, seconds, micros = rows[-1][rows[0].index("CallLength(C)")].split(":")
    length_ms = 1_000 * (3_600 * int(hours) + 60 * int(minutes) + int(seconds)) + int(micros) / 1_000
    return length_ms - HOLD_MS


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * IDLE + 1_000)), hard))
    table = Table("SIPp")
    room = 2 * IDLE + 1_000
    limits = {"connections_max": room, "known_source_connections_max": room}
    node = Node(shards=2, t1_ms=50, tls=True, limits=limits)
    agent = node.ports.take()
    node.carrier_routes = [(CARRIER, agent, "udp", "")]
    with node:
        connector = Connector(node, "slow", "+12065550100").terminate([f"{PBX}/32", f"{GATEWAY}/32"])

        def among_slow_peers():
            before = set_up(node, connector, agent)
            with SlowPeers(node, connector.host):
                held = sum(shard["connections"] for shard in node.status()["shards"])
                expect(held >= IDLE, f"{held} connections are open, not {IDLE}")
                among = set_up(node, connector, agent)
            print(f"set-up and end: {before:.1f} ms alone, {among:.1f} ms among {IDLE} idle TLS connections and slow peers")

        table.check(f"{CALLS} calls among slow peers", "udp", "termination", 2, among_slow_peers)
        table.check("nothing is left", "all", "both", 2, node.wait_idle)
        if table.failed:
            node.show_log()
    return table.end()


if __name__ == "__main__":
    sys.exit(main())
