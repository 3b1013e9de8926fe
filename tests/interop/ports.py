"""Ports of a test run: a block of numbers that nobody else has while this process lives.

No number is fixed, so that two runs can go at once. A block lies outside the range that the kernel gives
to sockets without a port of their own, or any program's outgoing connection could take one of its ports.
"""

import random
import socket

MEDIA = 2_000
"""Media ports in a block."""
OTHERS = 1_200
"""Numbers in a block below them, for everything else."""
LOWEST = 2_048


class NoPorts(Exception):
    """No block of free ports was found."""


class PortBlock:
    """A block of ports. Its first UDP port stays bound: that is the claim other runs see."""

    def __init__(self, others=OTHERS, media=MEDIA):
        self._others, self._size = others, others + media
        starts = _block_starts(self._size)
        random.shuffle(starts)
        for first in starts:
            claim = _claim(first)
            if claim and _is_quiet(range(first + 1, first + self._size)):
                self._claim = claim
                self.first = first
                self._next = first + 2
                return
            if claim:
                claim.close()
        raise NoPorts(f"no {self._size} free ports in a row outside the ephemeral range")

    def take(self, count=1):
        """The first of `count` free ports in a row, even; free for UDP and TCP on every loopback."""
        while self._next + count <= self.first + self._others:
            port = self._next
            self._next += count + count % 2
            if all(_is_free(number) for number in range(port, port + count)):
                return port
        raise NoPorts(f"the block at {self.first} is used up")

    def media(self):
        """First and last of the media ports."""
        return self.first + self._others, self.first + self._size - 1

    def close(self):
        """Gives the block up."""
        self._claim.close()


def has_ipv6():
    """Whether [::1] can be bound here."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


def _block_starts(size):
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        low, high = map(int, file.read().split())
    below = range(LOWEST, low - size, size)
    above = range(high + 1 + (high + 1) % 2, 65_536 - size, size)
    return [*below, *above]


def _claim(port):
    claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        claim.bind(("127.0.0.1", port))
        return claim
    except OSError:
        claim.close()
        return None


def _is_quiet(ports):
    """Whether no socket of this machine has one of the ports."""
    for table in ("udp", "udp6", "tcp", "tcp6"):
        try:
            with open(f"/proc/net/{table}", encoding="ascii") as file:
                lines = file.readlines()[1:]
        except FileNotFoundError:
            continue
        if any(int(line.split()[1].rsplit(":", 1)[1], 16) in ports for line in lines):
            return False
    return True


def _is_free(port):
    addresses = [(socket.AF_INET, "0.0.0.0")]
    if has_ipv6():
        addresses.append((socket.AF_INET6, "::1"))
    for family, address in addresses:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            with socket.socket(family, kind) as probe:
                if kind == socket.SOCK_STREAM:
                    # As servers do: a connection of an earlier run that is still closing is no hindrance.
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((address, port))
                except OSError:
                    return False
    return True
