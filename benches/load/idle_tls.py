#!/usr/bin/env python3
"""Idle TLS connections: what they cost in memory, and what they do to others.

    python3 benches/load/idle_tls.py --pid PID --tls 127.0.0.1:5061 --udp 127.0.0.1:5060 [--connections N]

Opens N connections, each of which sends one OPTIONS and then nothing, and one more that reads one byte a
second. They come from 127.0.0.1, which has to be a carrier's or a customer's source, and the node needs room for them:
`limits.connections_max` and `limits.known_source_connections_max`. Prints the node's resident memory per connection, and the round trip of an
OPTIONS over UDP before and while they are there. Raise `ulimit -n` for the node and for this program.
"""

import argparse
import resource
import socket
import ssl
import statistics
import threading
import time


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def options(number, transport, port):
    return (
        "OPTIONS sip:voiceconnector.localhost SIP/2.0\r\n"
        f"Via: SIP/2.0/{transport} 127.0.0.1:{port};branch=z9hG4bK-idle-{number};rport\r\n"
        "Max-Forwards: 70\r\n"
        f"From: <sip:probe@127.0.0.1>;tag={number}\r\n"
        "To: <sip:voiceconnector.localhost>\r\n"
        f"Call-ID: idle-{number}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def round_trips(node, count):
    """Seconds of each of so many OPTIONS over UDP, one after another."""
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.connect(node)
    probe.settimeout(5)
    port = probe.getsockname()[1]
    times = []
    for number in range(count):
        begin = time.perf_counter()
        probe.send(options(number, "UDP", port))
        probe.recv(4096)
        times.append(time.perf_counter() - begin)
    return times


def connect(node, context):
    raw = socket.create_connection(node, timeout=20)
    return context.wrap_socket(raw, server_hostname="localhost")


def read_slowly(stream, stop):
    """Asks for much and reads one byte a second."""
    for number in range(200):
        stream.sendall(options(f"slow-{number}", "TLS", 5061))
    while not stop.wait(1):
        stream.recv(1)


def show(name, times):
    times = sorted(times)
    p99 = times[int(len(times) * 0.99)]
    print(f"{name:8} OPTIONS round trip: median {statistics.median(times) * 1e6:.0f} us, p99 {p99 * 1e6:.0f} us")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--tls", type=address, required=True)
    parser.add_argument("--udp", type=address, required=True)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--probes", type=int, default=3_000)
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    connect(arguments.tls, context).close()
    show("before", round_trips(arguments.udp, arguments.probes))
    before = resident_bytes(arguments.pid)
    began = time.perf_counter()
    idle = []
    for number in range(arguments.connections):
        stream = connect(arguments.tls, context)
        stream.sendall(options(f"idle-{number}", "TLS", 5061))
        stream.recv(4096)
        idle.append(stream)
    took = time.perf_counter() - began
    each = (resident_bytes(arguments.pid) - before) / len(idle)
    print(f"{len(idle)} connections in {took:.1f} s; {each:.0f} bytes resident for each")
    stop = threading.Event()
    slow = connect(arguments.tls, context)
    reader = threading.Thread(target=read_slowly, args=(slow, stop))
    reader.start()
    show("while", round_trips(arguments.udp, arguments.probes))
    stop.set()
    reader.join()


if __name__ == "__main__":
    main()
