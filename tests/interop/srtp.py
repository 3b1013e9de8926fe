"""Calls between peers with SRTP by libsrtp2 through a Trunkline node: the matrix {RTP, six suites} × {RTP, six suites}, and what
happens to keys and streams within a call.

    .venv/current/bin/python tests/interop/srtp.py
"""

import asyncio
import sys

from agent import Failed
from calls import expect
from conversation import LEGS, OPTIONAL, PACKETS, PLAIN_PBX, RTP, TLS_PBX, Trunk, talk, together
from matrix import Table
from media import sdp
from media.endpoint import Endpoint
from media.libsrtp import SUITES, Key
from node import PBX

SHARDS = 2
SUITE, OTHER_SUITE = "AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM"
# A sequence number that comes round half-way through what is heard.
NEAR_THE_END = 0x10000 - PACKETS // 2
BEST_EFFORT = "RTP/AVP"


async def to_every_leg(trunk, left):
    """From one kind of leg to each, all at once; RTP and RTCP share a port in every second call."""
    async def one(place, right):
        mux = bool((place + LEGS.index(left)) % 2)
        async with talk(trunk, trunk.to_carrier(right), left, right, mux=mux) as call:
            await call.is_heard()

    await together(one(place, right) for place, right in enumerate(LEGS))


async def from_every_leg(trunk, right, pbx):
    """From a carrier of each kind to the PBX."""
    async def one(left):
        async with talk(trunk, trunk.to_pbx(left, pbx), left, right) as call:
            await call.is_heard()

    await together(map(one, LEGS))


async def required(trunk):
    """A connector that requires encryption has it, by each suite."""
    async def one(suite):
        async with talk(trunk, trunk.to_carrier(RTP, TLS_PBX), suite, RTP) as call:
            await call.is_heard()

    await together(map(one, SUITES))


async def rekeyed(trunk, by_called, left, right):
    """One side's re-INVITE has a new key, and audio goes on."""
    async with talk(trunk, trunk.to_carrier(right), left, right) as call:
        await call.is_heard()
        for _ in range(2):
            dialog, leg = (call.answering, call.called) if by_called else (call.calling, call.caller)
            leg.key = Key(leg.suite)
            leg.answered(await dialog.invite(leg.offer()))
            await call.settles()
            await call.is_heard()


async def rekeyed_after_wrap(trunk, left, right):
    """New keys of both sides once their numbers have come round: the rollover counters go on."""
    def begin(caller, called):
        caller.sequence = called.sequence = NEAR_THE_END

    async with talk(trunk, trunk.to_carrier(right), left, right, begin=begin) as call:
        await call.is_heard()
        for dialog, leg in ((call.calling, call.caller), (call.answering, call.called)):
            leg.key = Key(leg.suite)
            leg.answered(await dialog.invite(leg.offer()))
            await call.settles()
        await call.is_heard()


async def other_suite(trunk):
    """One side's re-INVITE has a key of another suite, and audio goes on."""
    async with talk(trunk, trunk.to_carrier(RTP), SUITE, RTP) as call:
        await call.is_heard()
        call.caller.suite, call.caller.key = OTHER_SUITE, Key(OTHER_SUITE)
        call.caller.answered(await call.calling.invite(call.caller.offer()))
        await call.settles()
        await call.is_heard()


async def held(trunk, left, right):
    """Hold and resume with the keys there are."""
    async with talk(trunk, trunk.to_carrier(right), left, right) as call:
        await call.is_heard()
        for direction in ("sendonly", "inactive", None):
            offered = []
            call.answering.answer = lambda offer: offered.append(offer) or call.called.answer(offer, direction=answering(offer))
            call.caller.answered(await call.calling.invite(call.caller.offer(direction=direction)))
            expect(sdp.read(offered[0]).direction == (direction or "sendrecv"), f"{direction} was offered as {offered}")
        await call.is_heard()


def answering(offer):
    """The direction that answers an offer's."""
    return {"sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}.get(sdp.read(offer).direction)


async def wrapped(trunk, left, right):
    """Both sides' sequence numbers come round, which the other side's rollover counter has to follow."""
    def begin(caller, called):
        caller.sequence = called.sequence = NEAR_THE_END

    async with talk(trunk, trunk.to_carrier(right), left, right, begin=begin) as call:
        await call.is_heard()


async def new_source(trunk, left, right):
    """Both sides go on with another SSRC and other numbers, as after a transfer behind them."""
    async with talk(trunk, trunk.to_carrier(right), left, right) as call:
        await call.is_heard()
        for end in (call.caller.endpoint, call.called.endpoint):
            end.ssrc ^= 0x5A5A5A5A
            end.sequence = (end.sequence + 0x9000) & 0xFFFF
            end.timestamp += 0x1234567
        await call.is_heard(gaps_max=1)


async def restarted(trunk, right):
    """A side of plain RTP begins its sequence numbers anew with the same SSRC; under one key no number may come twice."""
    async with talk(trunk, trunk.to_carrier(right), RTP, right) as call:
        await call.is_heard()
        call.caller.endpoint.sequence = 1 if call.caller.endpoint.sequence > 0x3000 else 0x7000
        await call.is_heard(gaps_max=1)


async def best_effort_offered(trunk, suite):
    """RTP/AVP with a key (RFC 8643) is answered with one."""
    async with talk(trunk, trunk.to_carrier(RTP), suite, RTP, profiles=(BEST_EFFORT, None)) as call:
        await call.is_heard()


async def best_effort_made(trunk, right):
    """A carrier is offered RTP/AVP with keys of all suites, and takes one of them or plain RTP."""
    async with talk(trunk, trunk.to_carrier(OPTIONAL), SUITE, right, profiles=(None, BEST_EFFORT)) as call:
        await call.is_heard()


async def refused(trunk, lines, profile, pbx=PLAIN_PBX):
    """An offer is refused with 488 and a Warning that says why."""
    agent, _, number, host, caller = trunk.to_carrier(RTP, pbx)
    async with Endpoint(PBX, trunk.node.ports) as end:
        try:
            await agent.call(number, host, caller, sdp.write(end, profile=profile, lines=lines))
        except Failed as failure:
            expect(failure.status == 488 and failure.warning, f"{failure}, Warning: {failure.warning!r}")
        else:
            raise AssertionError("the offer was taken")


async def all_checks(trunk, table):
    """Every row, some at once."""
    def row(what, run, *arguments, transport="udp", direction="termination"):
        return table.check_beside(what, transport, direction, SHARDS, run(trunk, *arguments))

    async with trunk.peers():
        for some in (LEGS[:3], LEGS[3:5], LEGS[5:]):
            await asyncio.gather(*(row(f"{left} to each", to_every_leg, left) for left in some))
        await asyncio.gather(
            row("each to RTP", from_every_leg, RTP, PLAIN_PBX, direction="origination"),
            row(f"each to {SUITE}", from_every_leg, SUITE, TLS_PBX, transport="tls", direction="origination"),
            row("each suite, required", required, transport="tls"),
        )
        await asyncio.gather(*(
            row(f"{what}, {short(left)}-{short(right)}", run, left, right)
            for left, right in ((SUITE, RTP), (RTP, OTHER_SUITE), (OTHER_SUITE, SUITE))
            for what, run in (("held", held), ("wrapped numbers", wrapped), ("a new source", new_source))
        ))
        await asyncio.gather(
            row("new keys of the caller", rekeyed, False, SUITE, OTHER_SUITE),
            row("new keys of the called side", rekeyed, True, SUITE, OTHER_SUITE),
            row("new keys after wrapped numbers", rekeyed_after_wrap, SUITE, OTHER_SUITE),
            row("another suite", other_suite),
            row("restarted numbers", restarted, SUITE),
            row("RTP/AVP with a key", best_effort_offered, SUITE),
            row("RTP/AVP with keys, none taken", best_effort_made, RTP),
            row("RTP/AVP with keys, the first taken", best_effort_made, SUITE),
            row("RTP/AVP with keys, the last taken", best_effort_made, OTHER_SUITE),
            row("SRTP required, not offered: 488", refused, [], "RTP/AVP", TLS_PBX, transport="tls"),
            row("unknown suite alone: 488", refused, [f"crypto:1 F8_128_HMAC_SHA1_80 inline:{'A' * 40}"], "RTP/SAVP"),
            row("key that does not parse: 488", refused, [f"crypto:1 {SUITE} inline:AAAA"], "RTP/SAVP"),
            row("SRTP without a key: 488", refused, [], "RTP/SAVP"),
        )


def main():
    table = Table("libsrtp")
    with Trunk(SHARDS) as trunk:
        asyncio.run(all_checks(trunk, table))
        table.check("nothing is left", "all", "both", SHARDS, trunk.node.wait_idle)
        if table.failed:
            trunk.node.show_log()
    return table.end()


def short(leg):
    """A leg's name for a table."""
    return {SUITE: "CM", OTHER_SUITE: "GCM"}.get(leg, leg)


if __name__ == "__main__":
    sys.exit(main())
