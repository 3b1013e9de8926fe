"""An end of a media stream on loopback: sends a tone and sender reports, keeps what arrives, by SRTP where it has keys.

Everything is on the event loop's thread. Times are real: a tone of a second takes a second.
"""

import asyncio
import random
import struct
from dataclasses import dataclass

from .libsrtp import Refused, Session
from .tone import FRAME_SAMPLES, decoded, frames

PACKET_S = FRAME_SAMPLES / 8_000
FIRST_REPORT_S, REPORT_S = 0.1, 0.5
DEADLINE_S = 15
SENDER_REPORT, SOURCE_DESCRIPTION = 200, 202
PCMU = 0


class NotHeard(Exception):
    """What was waited for did not arrive."""


@dataclass(frozen=True)
class Packet:
    """An RTP packet that arrived."""

    source: tuple
    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


@dataclass(frozen=True)
class Report:
    """A sender report that arrived, with the name in the same compound packet."""

    source: tuple
    ssrc: int
    packets: int
    octets: int
    cname: str


class Endpoint:
    """One stream's two sockets. Use it as an async context manager."""

    def __init__(self, address, ports, mux=False, name="peer"):
        """`ports`: a block to take two from. `mux`: whether it sends RTCP from the RTP socket; may be set once that is agreed
        upon. `name`: what its reports call it."""
        self.address = address
        # Where it says that it is: another address is one behind a NAT.
        self.shown = address
        self.mux = mux
        self.rtp_port = ports.take(2)
        self.cname = f"{name}-{self.rtp_port}@{address}"
        self.ssrc = random.getrandbits(32)
        # RFC 3550 §5.1: at random; low, so that it wraps where a test has it so and nowhere else.
        self.sequence = random.randrange(1, 0x7000)
        self.timestamp = random.getrandbits(32)
        self.sent = self.octets = 0
        self.heard, self.reports, self.datagrams = [], [], []
        self.refused = []
        # Where it is set, datagrams are kept as they are: UDPTL.
        self.raw = False
        self._local = self._remote_key = None
        self._outbound = self._inbound = None
        self._remote = self._remote_rtcp = None
        self._rtp = self._rtcp = None
        self._arrived = asyncio.Event()
        self._tasks = []

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self._rtp, self._rtcp = [
            (await loop.create_datagram_endpoint(
                lambda: _Receiver(self._on_datagram), local_addr=(self.address, self.rtp_port + offset),
            ))[0] for offset in (0, 1)
        ]
        return self

    async def __aexit__(self, *error):
        self.quiet()
        for socket in filter(None, (self._rtp, self._rtcp)):
            socket.close()

    def secure(self, local, remote):
        """From now on sends under `local` and takes what is under `remote`; `None` for neither: plain RTP."""
        if local != self._local:
            self._local, self._outbound = local, _session(self._outbound, local, inbound=False)
        if remote != self._remote_key:
            self._remote_key, self._inbound = remote, _session(self._inbound, remote, inbound=True)

    def towards(self, rtp, rtcp):
        """Where it sends to: (address, port) each."""
        self._remote, self._remote_rtcp = rtp, rtcp

    def play(self, hz, payload_type=PCMU):
        """Sends a tone and reports from now on."""
        self.quiet()
        self._tasks = [asyncio.create_task(self._play(frames(hz), payload_type)), asyncio.create_task(self._report())]

    def quiet(self):
        """Ends the tone."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    def send(self, payload, payload_type, marker=False):
        """Sends one RTP packet; the timestamp stays as it is."""
        head = struct.pack(
            "!BBHII", 0x80, marker << 7 | payload_type, self.sequence & 0xFFFF, self.timestamp & 0xFFFFFFFF, self.ssrc,
        )
        packet = head + payload
        if self._outbound:
            packet = self._outbound.protect_rtp(packet)
        self._rtp.sendto(packet, self._remote)
        self.sequence += 1
        self.sent += 1
        self.octets += len(payload)

    def send_event(self, event, payload_type, packets=5):
        """Sends a telephone event with its repeated end (RFC 4733 §2.5.1)."""
        for number in range(1, packets + 3):
            end = number >= packets
            duration = FRAME_SAMPLES * min(number, packets)
            self.send(struct.pack("!BBH", event, end << 7 | 10, duration), payload_type, marker=number == 1)
        self.timestamp += FRAME_SAMPLES * packets

    def send_raw(self, datagram, to=None):
        """Sends bytes as they are, by default to where its packets go."""
        self._rtp.sendto(datagram, to or self._remote)

    async def wait(self, condition, what):
        """Returns once `condition()` holds; it is looked at whenever something arrives."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not condition():
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            raise NotHeard(
                f"{self.cname}: {what}; {len(self.heard)} packets, {len(self.reports)} reports,"
                f" {len(self.datagrams)} datagrams, {len(self.refused)} refused by libsrtp {self.refused[:3]}"
            ) from None

    async def hears(self, packets):
        """Returns once so many more packets have arrived; those."""
        before = len(self.heard)
        await self.wait(lambda: len(self.heard) >= before + packets, f"{packets} packets were to come")
        return self.heard[before:]

    async def hears_of(self, other):
        """Returns once a report of the other end has arrived that was sent after this was asked."""
        before = len(self.reports)
        await self.wait(
            lambda: any(report.cname == other.cname and report.ssrc == other.ssrc for report in self.reports[before:]),
            f"a report of {other.cname} was to come",
        )

    async def _play(self, frame, payload_type):
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self.send(frame, payload_type)
            self.timestamp += FRAME_SAMPLES
            due += PACKET_S
            await asyncio.sleep(due - loop.time())

    async def _report(self):
        await asyncio.sleep(FIRST_REPORT_S)
        while True:
            self.send_report()
            await asyncio.sleep(REPORT_S)

    def send_report(self):
        """Sends a sender report and its CNAME (RFC 3550 §6.4.1, §6.5)."""
        report = struct.pack(
            "!BBHIQIII", 0x80, SENDER_REPORT, 6, self.ssrc, 0x0123456789ABCDEF, self.timestamp & 0xFFFFFFFF, self.sent,
            self.octets,
        )
        item = struct.pack("!IBB", self.ssrc, 1, len(self.cname)) + self.cname.encode()
        # One zero at least ends the items.
        item += bytes(4 - len(item) % 4)
        packet = report + struct.pack("!BBH", 0x81, SOURCE_DESCRIPTION, len(item) // 4) + item
        if self._outbound:
            packet = self._outbound.protect_rtcp(packet)
        (self._rtp if self.mux else self._rtcp).sendto(packet, self._remote_rtcp)

    def _on_datagram(self, datagram, source):
        if self._remote is None:
            # It is faster than the answer with its keys.
            return
        try:
            self._take(datagram, source)
        except (Refused, struct.error, ValueError) as error:
            self.refused.append(f"{type(error).__name__} {error}")
        self._arrived.set()

    def _take(self, datagram, source):
        if self.raw:
            self.datagrams.append((source, datagram))
        # RFC 5761 §4.
        elif 192 <= datagram[1] <= 223:
            plain = self._inbound.unprotect_rtcp(datagram) if self._inbound else datagram
            self.reports += _reports(plain, source)
        else:
            self.heard.append(_packet(self._inbound.unprotect_rtp(datagram) if self._inbound else datagram, source))


def _session(former, key, inbound):
    if former and key:
        former.rekey(key)
        return former
    return key and Session(key, inbound)


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, take):
        self._take = take

    def datagram_received(self, data, addr):
        self._take(data, addr)


def samples(packets, payload_type=PCMU):
    """What packets sound like, in the order of arrival; those of other payload types are left out."""
    return decoded(b"".join(packet.payload for packet in packets if packet.payload_type == payload_type))


def _packet(packet, source):
    first, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", packet)
    if first != 0x80:
        raise ValueError(f"RTP begins with {first:#x}")
    return Packet(source, second & 0x7F, bool(second & 0x80), sequence, timestamp, ssrc, packet[12:])


def _reports(compound, source):
    """The sender reports of a compound packet, each with the first name that stands in it."""
    reports, cname, at = [], "", 0
    while at < len(compound):
        _, kind, words = struct.unpack_from("!BBH", compound, at)
        end = at + 4 + 4 * words
        if end > len(compound):
            raise ValueError("RTCP lies about its length")
        if kind == SENDER_REPORT:
            reports.append(struct.unpack_from("!I12xII", compound, at + 4))
        elif kind == SOURCE_DESCRIPTION and not cname and compound[at] & 0x1F:
            item, length = struct.unpack_from("!BB", compound, at + 8)
            if item == 1:
                cname = compound[at + 10 : at + 10 + length].decode()
        at = end
    return [Report(source, ssrc, packets, octets, cname) for ssrc, packets, octets in reports]
