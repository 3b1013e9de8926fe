"""What a Trunkline node does with media streams, whatever keys they have: telephone events whose payload types differ, T.38 within
a call, an attacker that sprays its ports, and what tshark makes of a call on the wire.

    .venv/current/bin/python tests/interop/streams.py
"""

import asyncio
import http.client
import json
import os
import re
import struct
import subprocess
import sys
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path

from api.signed import send
from calls import expect
from conversation import (
    ESTABLISHED_S, IPV6_PBX, PACKETS, PLAIN_PBX, RTP, STRANGER, TLS_PBX, Leg, Talk, Trunk, ended, ends, talk, together,
)
from matrix import Table
from media import sdp
from media.endpoint import Endpoint
from node import ACCESS_KEY, GATEWAY, PBX, SECRET_KEY

SHARDS = 2
SUITE, OTHER_SUITE = "AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM"
ATTACKER = "127.0.0.66"
# Where peers behind a NAT say that they are: nobody is there.
ELSEWHERE = "127.0.0.77"
ATTACK_S = 0.2
ATTACK_SSRC = 0xBADBADBA
ATTACKERS = 3
EVENTS = 5
FAX_PACKETS = 30
CAPTURE_S = 20


async def telephone_events(trunk, left, right):
    """The caller's telephone-event is 101, the called side's 96: each is sent its own number."""
    ours, theirs = 101, 96
    way = trunk.to_carrier(right)
    async with talk(trunk, way, left, right, more=({"events": ours}, {"events": theirs})) as call:
        answer = sdp.read(call.calling.remote)
        expect(answer.payload_type("telephone-event/8000") == ours, f"the caller is told {answer.attributes}")
        await call.is_heard()
        caller, called = call.caller.endpoint, call.called.endpoint
        caller.send_event(EVENTS, ours)
        await called.wait(lambda: is_over(called, EVENTS), f"event {EVENTS} was to come")
        expect({kind for _, kind in events(called)} == {theirs}, f"events came as {events(called)}")
        # By its own number, as most do, and by the one that it was offered (RFC 3264 §6.1).
        for event, number in ((EVENTS + 1, theirs), (EVENTS + 2, offered(call))):
            called.send_event(event, number)
            await caller.wait(lambda: is_over(caller, event), f"event {event} was to come")
        expect({kind for _, kind in events(caller)} == {ours}, f"events came as {events(caller)}")
        await call.is_heard()


def offered(call):
    """The payload type that the called side was offered for telephone events."""
    return sdp.read(call.answering.remote).payload_type("telephone-event/8000")


def events(end):
    """Event and payload type of each packet of a telephone event that arrived."""
    return [(packet.payload[0], packet.payload_type) for packet in end.heard if len(packet.payload) == 4]


def is_over(end, event):
    """Whether the last of an event's packets is there, which says three times that it has ended."""
    return sum(
        len(packet.payload) == 4 and packet.payload[0] == event and bool(packet.payload[1] & 0x80) for packet in end.heard
    ) >= 3


async def fax(trunk, by_called):
    """A call becomes a T.38 one by a re-INVITE, and an audio call again."""
    async with talk(trunk, trunk.to_carrier(RTP), RTP, RTP) as call:
        await call.is_heard()
        sides = [(call.calling, call.caller), (call.answering, call.called)]
        (asking, asked_leg), (answering, answering_leg) = reversed(sides) if by_called else sides
        answering.answer = lambda offer: fax_answer(answering_leg, offer)
        for leg in (asked_leg, answering_leg):
            leg.endpoint.quiet()
            leg.endpoint.raw = True
        asked_leg.version += 1
        answer = sdp.read(await asking.invite(sdp.write_fax(asked_leg.endpoint, asked_leg.version)))
        expect((answer.kind, answer.profile.lower()) == ("image", "udptl"), f"{answer}")
        expect("T38FaxUdpEC:t38UDPRedundancy" in answer.attributes, f"{answer.attributes}")
        asked_leg.endpoint.towards(answer.rtp, None)
        await together([pages(asked_leg.endpoint, answering_leg.endpoint), pages(answering_leg.endpoint, asked_leg.endpoint)])
        for leg in (asked_leg, answering_leg):
            leg.endpoint.raw = False
        answering.answer = answering_leg.answer
        asked_leg.answered(await asking.invite(asked_leg.offer()))
        call.play()
        await call.is_heard()


def fax_answer(leg, offer):
    """The answer to T.38."""
    stream = sdp.read(offer)
    expect((stream.kind, stream.profile.lower()) == ("image", "udptl"), f"{stream}")
    leg.endpoint.towards(stream.rtp, None)
    leg.version += 1
    return sdp.write_fax(leg.endpoint, leg.version)


async def pages(sender, receiver):
    """UDPTL packets arrive as they were sent, byte for byte."""
    # A primary IFP packet, of one byte to some hundreds, and no secondary ones (ITU-T T.38 §9.1).
    sent = [
        struct.pack("!HB", number, length) + os.urandom(length) + b"\0\0"
        for number, length in ((number, 1 + number * 4) for number in range(FAX_PACKETS))
    ]
    for datagram in sent:
        sender.send_raw(datagram)
        await asyncio.sleep(0.01)
    await receiver.wait(lambda: len(received(receiver)) >= len(sent), f"{len(sent)} UDPTL packets were to come")
    expect(received(receiver) == sent, "UDPTL packets came otherwise than they were sent")


def received(end):
    """Datagrams that are not left over from the audio."""
    return [datagram for _, datagram in end.datagrams if datagram[:1] != b"\x80"]


async def late_offer(trunk, pbx, left, right):
    """The caller's INVITE has no SDP: the called side offers, and the caller's answer comes in its ACK."""
    async with talk(trunk, trunk.to_carrier(right, pbx), left, right, late=True) as call:
        await call.is_heard()


async def early_media(trunk, left, right):
    """The called side answers in a 183 and plays before it takes the call; the caller is heard then, too."""
    way = calling_agent, called_agent, number, host, caller_number = trunk.to_carrier(right)
    async with ends(trunk, way, left, right) as (caller, called):
        progress = asyncio.get_running_loop().create_future()
        expected = called_agent.expect(number, called.answer, caller_number, early=True)
        calling = asyncio.create_task(
            calling_agent.call(number, host, caller_number, caller.offer(), early=progress.set_result),
        )
        answering = await asyncio.wait_for(expected, ESTABLISHED_S)
        caller.answered(await asyncio.wait_for(progress, ESTABLISHED_S))
        call = Talk(caller, called, None, answering)
        call.play()
        await call.is_heard()
        answering.take()
        call.calling = await calling
        caller.answered(call.calling.remote)
        async with ended(call):
            await call.is_heard()


async def moved(trunk, left, right):
    """The caller goes on from another port, with another key, as its re-INVITE says."""
    async with talk(trunk, trunk.to_carrier(right), left, right) as call, Endpoint(PBX, trunk.node.ports, name="moved") as end:
        await call.is_heard()
        former, call.caller = call.caller, Leg(end, left)
        call.caller.version = former.version
        call.calling.answer = call.caller.answer
        call.caller.answered(await call.calling.invite(call.caller.offer()))
        former.endpoint.quiet()
        end.play(call.caller_hz)
        await call.settles()
        await call.is_heard()


async def across_families(trunk, left, right):
    """From IPv6 to IPv4."""
    async with talk(trunk, trunk.to_carrier(right, IPV6_PBX), left, right) as call:
        await call.is_heard()


class Attack:
    """Sprays ports of the gateway with RTP and RTCP, and keeps what it gets."""

    def __init__(self, ports):
        self.ends = [Endpoint(ATTACKER, ports, name="attacker") for _ in range(ATTACKERS)]
        self._sequence = 0
        self._task = None

    async def __aenter__(self):
        for end in self.ends:
            end.raw = True
            await end.__aenter__()
        return self

    async def __aexit__(self, *error):
        if self._task:
            self._task.cancel()
        for end in self.ends:
            await end.__aexit__(*error)

    def spray(self, targets):
        """A packet from each place to each port."""
        for end in self.ends:
            for port in targets:
                self._sequence += 1
                head = struct.pack("!BBHII", 0x80, 0, self._sequence & 0xFFFF, self._sequence * 160, ATTACK_SSRC)
                end.send_raw(head + bytes(160), (GATEWAY, port))
                end.send_raw(struct.pack("!BBHI", 0x80, 201, 1, ATTACK_SSRC), (GATEWAY, port))

    def keep_on(self, targets):
        """Sprays as often as a stream has packets, from now on."""
        async def spray():
            while True:
                self.spray(targets)
                await asyncio.sleep(0.02)

        self._task = asyncio.create_task(spray())

    def check(self):
        """It has got nothing."""
        got = [datagram for end in self.ends for _, datagram in end.datagrams]
        expect(not got, f"the attacker was sent {len(got)} datagrams, as {got[0][:16].hex() if got else ''}")


async def bled(trunk, left, right, nat):
    """RTP Bleed: an attacker that sends to the relay's ports before the call, before the peers send, and while they do, hears
    nothing, and nobody hears it. `nat`: the peers are not where their SDP says they are."""
    def begin(*ends):
        for end in ends:
            end.shown = ELSEWHERE if nat else end.address

    async with Attack(trunk.node.ports) as attack:
        first, last = trunk.node.ports.media()
        attack.spray(range(first, last + 1, 16))
        async with talk(trunk, trunk.to_carrier(right), left, right, begin=begin, play=False) as call:
            targets = relay_ports(call)
            attack.spray(targets)
            attack.keep_on(targets)
            ends = call.caller.endpoint, call.called.endpoint
            await asyncio.sleep(ATTACK_S)
            call.play()
            if nat:
                await asyncio.gather(*(end.hears(5) for end in ends))
            await call.is_heard()
            for end in ends:
                strange = {packet.ssrc for packet in end.heard} - {other.ssrc for other in ends}
                expect(not strange, f"{end.cname} heard SSRC {[hex(ssrc) for ssrc in strange]}")
                expect(not end.refused, f"{end.cname} got {end.refused[:3]}")
        attack.check()


def relay_ports(call):
    """The gateway's ports of a call, RTP and RTCP of both legs."""
    told = [sdp.read(side.remote) for side in (call.calling, call.answering)]
    return sorted({port for stream in told for port in (stream.port, stream.rtcp[1])})


class Capture:
    """What dumpcap sees of a node's ports on loopback."""

    def __init__(self, node):
        self.path = Path(node.directory) / "calls.pcapng"
        first, last = node.ports.first, node.ports.media()[1]
        self._command = ["dumpcap", "-q", "-i", "lo", "-f", f"udp portrange {first}-{last}", "-w", str(self.path)]
        self._sip_port = node.sip_port

    @contextmanager
    def running(self):
        """While the context lasts; `OSError` where capturing is not permitted."""
        process = subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True)
        try:
            said = []
            # It names the file once it captures.
            while line := process.stderr.readline():
                said.append(line)
                if line.startswith("File:"):
                    break
            else:
                raise PermissionError("dumpcap: " + " ".join(said).strip())
            yield
        finally:
            process.terminate()
            process.communicate(timeout=CAPTURE_S)

    def read(self, *arguments):
        """tshark's lines about it."""
        command = ["tshark", "-n", "-r", str(self.path), "-d", f"udp.port=={self._sip_port},sip", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return [line for line in done.stdout.splitlines() if line.strip()]


async def captured(trunk, pairs):
    """Calls on the wire are SIP, SDP, and the streams that it describes, without a fault."""
    async def one(left, right):
        async with talk(trunk, trunk.to_carrier(right), left, right) as call:
            await call.is_heard()

    capture = Capture(trunk.node)
    try:
        with capture.running():
            await together(one(*pair) for pair in pairs)
    except PermissionError as error:
        if os.environ.get("CI") == "true":
            raise
        print(f"not checked, capturing is not permitted here: {error}")
        return
    faults = capture.read("-Y", "_ws.malformed or _ws.expert.severity == error or icmp")
    expect(not faults, f"tshark finds {len(faults)} faults, as {faults[:2]}")
    # How tshark names a packet, and not its layers, tells SRTP from RTP.
    columns = ("-e", "_ws.col.Protocol", "-e", "udp.srcport", "-e", "udp.dstport")
    flows = {tuple(line.split()) for line in capture.read("-T", "fields", *columns, "-Y", "udp and not sip")}
    found = Counter(protocol for protocol, *_ in flows)
    legs = Counter("RTP" if leg == RTP else "SRTP" for pair in pairs for leg in pair)
    # Each leg has two directions, of the stream and of its RTCP.
    wanted = {"RTP": 2 * legs["RTP"], "RTCP": 2 * legs["RTP"], "SRTP": 2 * legs["SRTP"], "SRTCP": 2 * legs["SRTP"]}
    expect(found == wanted, f"tshark finds {dict(found)}, and {wanted} should be there")
    # Columns: times, addresses and ports, SSRC, payload, packets, lost (with its share), jitters and problems.
    streams = [line for line in capture.read("-q", "-z", "rtp,streams") if re.search(r"\b0x[0-9A-F]{8}\b", line)]
    expect(len(streams) == 4 * len(pairs), f"tshark finds {len(streams)} streams in {len(pairs)} calls")
    lossy = [line for line in streams if not re.search(r"\s0 \(0\.0%\)", line)]
    expect(not lossy, f"streams with loss: {lossy}")


async def listed(trunk, left, right):
    """`GET /calls` tells a key of the account of its calls as they are, and nobody else."""
    def ask(key, query=""):
        connection = http.client.HTTPConnection(GATEWAY, trunk.node.api_port, timeout=10)
        with closing(connection):
            status, _, body = send(connection, key, "GET", f"/calls{query}")
        return status, json.loads(body)

    ours, others = (ACCESS_KEY, SECRET_KEY), (STRANGER["id"], STRANGER["secret"])
    async with talk(trunk, trunk.to_carrier(right), left, right) as call:
        await call.is_heard()
        status, calls = await asyncio.to_thread(ask, ours, "?limit=1000")
        expect(status == 200, f"{status}: {calls}")
        [told] = [one for one in calls if one["call_id"] == call.calling.call_id]
        expect(told["direction"] == "Termination" and told["voice_connector_id"] == trunk.plain.id, f"{told}")
        expect(told["caller"].startswith("+1") and told["caller"] != trunk.plain.number, f"{told['caller']} is not masked")
        for side, leg, end in (("a", left, call.caller), ("b", right, call.called)):
            expect(told[side]["srtp"] == (None if leg == RTP else leg), f"{side}: {told[side]}")
            for stream in ("from_peer", "to_peer"):
                expect(told[side][stream]["rtp_packets"] >= PACKETS, f"{side}: {told[side]}")
            expect(not any(told[side]["dropped"].values()), f"{side}: {told[side]}")
        expect(len((await asyncio.to_thread(ask, ours, "?limit=1"))[1]) == 1, "limit=1 tells of one call")
        expect(await asyncio.to_thread(ask, others) == (200, []), "another account is told of this one's calls")
        status, refusal = await asyncio.to_thread(ask, ours, "?limit=0")
        expect(status == 400 and "limit" in refusal["Message"], f"{status}: {refusal}")
        status, refusal = await asyncio.to_thread(ask, (ACCESS_KEY, "not the secret"))
        expect(status == 403, f"{status}: {refusal}")
    calls = (await asyncio.to_thread(ask, ours))[1]
    expect(not [one for one in calls if one["call_id"] == call.calling.call_id], "a call that has ended is told of")


async def all_checks(trunk, table):
    """Every row, some at once."""
    def row(what, run, *arguments, transport="udp"):
        return table.check_beside(what, transport, "termination", SHARDS, run(trunk, *arguments))

    async with trunk.peers():
        await asyncio.gather(
            row("telephone-event 101 and 96", telephone_events, RTP, RTP),
            row("telephone-event 101 and 96, SRTP", telephone_events, SUITE, OTHER_SUITE),
            row("T.38, asked for by the called side", fax, True),
            row("T.38, asked for by the caller", fax, False),
            row("late offer", late_offer, PLAIN_PBX, RTP, RTP),
            row("late offer, SRTP called", late_offer, PLAIN_PBX, RTP, OTHER_SUITE),
            row("late offer, SRTP calling", late_offer, TLS_PBX, SUITE, RTP, transport="tls"),
            row("early media", early_media, RTP, RTP),
            row("early media, SRTP", early_media, SUITE, OTHER_SUITE),
            row("another port", moved, RTP, RTP),
            row("another port, SRTP", moved, SUITE, OTHER_SUITE),
            *(
                row(f"IPv6 to IPv4, {kind}", across_families, *legs, transport="udp6")
                for kind, legs in (("RTP", (RTP, RTP)), ("SRTP", (SUITE, OTHER_SUITE))) if trunk.node.ipv6
            ),
            row("RTP Bleed", bled, RTP, RTP, False),
            row("RTP Bleed, NAT", bled, RTP, RTP, True),
            row("RTP Bleed, SRTP", bled, SUITE, SUITE, False),
            row("RTP Bleed, SRTP, NAT", bled, SUITE, SUITE, True),
        )
        await row("GET /calls", listed, SUITE, RTP)
        await row("tshark reads RTP and SRTP", captured, [(RTP, RTP), (SUITE, RTP), (SUITE, OTHER_SUITE)])


def main():
    table = Table("RTP peer")
    with Trunk(SHARDS) as trunk:
        asyncio.run(all_checks(trunk, table))
        table.check("nothing is left", "all", "both", SHARDS, trunk.node.wait_idle)
        if table.failed:
            trunk.node.show_log()
    return table.end()


if __name__ == "__main__":
    sys.exit(main())
