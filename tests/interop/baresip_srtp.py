"""Calls of baresip with SRTP as PBX, required and optional, through a Trunkline node; the other side is a peer of the tests' own.

What each side hears has to be the other's tone: baresip's recording, and what arrives at the peer.

    .venv/current/bin/python tests/interop/baresip_srtp.py
"""

import asyncio
import re
import shutil
import sys
from contextlib import asynccontextmanager

from baresip import OWN_HZ, Baresip, is_tone
from calls import expect
from conversation import ESTABLISHED_S, PLAIN_PBX, RTP, TLS_PBX, Leg, Trunk, check_heard
from matrix import Table
from media.endpoint import Endpoint
from node import PBX

SHARDS = 2
PEER_HZ = 1_250
OTHER_SUITE = "AEAD_AES_256_GCM"
BEGINNING_PACKETS = 10
PACKETS = 75
HEARD_S = 1


@asynccontextmanager
async def phone(trunk, connector, transport, encryption, dial=None):
    """A baresip, whose waiting is done beside the event loop."""
    made = Baresip(trunk.node, connector, transport, dial=dial, talk_s=None, encryption=encryption)
    await asyncio.to_thread(made.__enter__)
    try:
        yield made
    except BaseException:
        made.show()
        raise
    finally:
        await asyncio.to_thread(made.end)


async def calls_out(trunk, transport, encryption, right):
    """baresip calls a carrier, encrypted."""
    connector = trunk.encrypted if transport == "tls" else trunk.plain
    carrier, number = trunk.agents[right], trunk.number(right)
    async with Endpoint(carrier.address, trunk.node.ports, name="carrier") as end:
        leg = Leg(end, right)
        expected = carrier.expect(number, leg.answer, caller=connector.number)
        async with phone(trunk, connector, transport, encryption, dial=number) as caller:
            dialog = await asyncio.wait_for(expected, ESTABLISHED_S)
            await conversation(end, right)
            await dialog.bye()
        check_phone(caller, encrypted=True)


async def is_called(trunk, transport, encryption, left):
    """A carrier calls baresip: encrypted where the connector requires it."""
    name = TLS_PBX if transport == "tls" else PLAIN_PBX
    agent, _, number, host, caller_number = trunk.to_pbx(left, name)
    connector = trunk.encrypted if transport == "tls" else trunk.plain
    async with Endpoint(agent.address, trunk.node.ports, name="carrier") as end:
        leg = Leg(end, left)
        async with phone(trunk, connector, transport, encryption) as called:
            port = called.port + 1 if transport == "tls" else called.port
            connector.originate((PBX, port, "TCP" if transport == "tls" else "UDP", 1))
            dialog = await agent.call(number, host, caller_number, leg.offer())
            leg.answered(dialog.remote)
            await conversation(end, left)
            await dialog.bye()
        check_phone(called, encrypted=transport == "tls")


async def conversation(end, suite):
    """The peer plays its tone, and hears baresip's."""
    end.play(PEER_HZ)
    await end.hears(BEGINNING_PACKETS)
    check_heard(await end.hears(PACKETS), OWN_HZ, suite)
    expect(not end.refused, f"libsrtp refused {len(end.refused)} packets: {end.refused[:3]}")
    end.quiet()


def check_phone(phone, encrypted):
    """It has heard the peer's tone, by SRTP or not."""
    is_tone(phone.heard(), PEER_HZ, HEARD_S)
    says = bool(re.search(r"SRTP is Enabled", phone.said()))
    expect(says == encrypted, f"baresip {'has' if says else 'has not'} enabled SRTP")


async def all_checks(trunk, table):
    """Every row, all at once."""
    def row(what, transport, direction, run, *arguments):
        return table.check_beside(what, transport, direction, SHARDS, run(trunk, transport, *arguments))

    async with trunk.peers():
        await asyncio.gather(
            row("calls, SRTP required, to RTP", "udp", "termination", calls_out, "srtp-mand", RTP),
            row("calls, SRTP required, to GCM", "udp", "termination", calls_out, "srtp-mand", OTHER_SUITE),
            row("calls, SRTP optional, to RTP", "udp", "termination", calls_out, "srtp", RTP),
            row("calls, SRTP required, to RTP", "tls", "termination", calls_out, "srtp-mand", RTP),
            row("is called, SRTP required, by RTP", "tls", "origination", is_called, "srtp-mand", RTP),
            row("is called, SRTP optional, by GCM", "udp", "origination", is_called, "srtp", OTHER_SUITE),
        )


def main():
    table = Table("baresip")
    with Trunk(SHARDS) as trunk:
        asyncio.run(all_checks(trunk, table))
        table.check("nothing is left", "all", "both", SHARDS, trunk.node.wait_idle)
        if table.failed:
            trunk.node.show_log()
    return table.end()


if __name__ == "__main__":
    if not shutil.which("baresip"):
        sys.exit("baresip is not installed: apt-get install baresip-core")
    sys.exit(main())
