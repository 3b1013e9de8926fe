"""Pings: a node passes over a PBX that is gone, and calls it again once it is back; both are SIPp.

    .venv/current/bin/python tests/interop/health.py
"""

import signal
import sys
import time

from calls import CALLER, expect
from matrix import Table
from node import CARRIER, GATEWAY, PBX, Connector, Node
from sipp import Sipp

HEALTH = {"interval_s": 1, "down_interval_s": 1, "timeout_ms": 500, "down_after": 2, "up_after": 2}
# A route that is silent is left after five seconds: a call that takes less was not sent there.
AT_ONCE_S = 3


def called(node, port, transport):
    """A PBX that answers calls and pings."""
    return Sipp("uas", PBX, node.ports, node.directory, port=port, transport=transport, echo=True)


def call(node, connector):
    """A call from the carrier goes through at once."""
    host = f"{GATEWAY}:{node.sip_port}"
    extra = ["-key", "host", host, "-key", "caller", CALLER, "-s", connector.number]
    started = time.monotonic()
    with Sipp(
        "uac", CARRIER, node.ports, node.directory, target=(GATEWAY, node.sip_port), count=1, hold_ms=100, extra=extra,
    ) as caller:
        caller.wait()
    took = time.monotonic() - started
    expect(took < AT_ONCE_S, f"the call took {took:.1f} s")


def at(port):
    """An address as the log has it."""
    return f"{PBX}:{port}"


def failing_over(node, connector, first, second, transport):
    """Calls go where somebody is."""
    with called(node, second, transport) as spare:
        with called(node, first, transport):
            started = node.log_size()
            call(node, connector)
            node.wait_event("ping answered", address=at(first), status=200, since=started)
            gone = node.log_size()
        node.wait_event("next hop down", address=at(first), since=gone)
        call(node, connector)
        expect(counted(node, "next_hops_down") == 1, "the PBX that is gone is not counted as down")
        back = node.log_size()
        with called(node, first, transport) as again:
            node.wait_event("next hop up", address=at(first), since=back)
            # Nobody else takes the call.
            spare.end()
            call(node, connector)
            again.end()


def told(node, first):
    """An operator asks what is known of each next hop."""
    asked = node.log_size()
    node.process.send_signal(signal.SIGUSR1)
    whole = node.wait_event("health told", since=asked)
    expect(whole["next_hops"] == 2, f"{whole['next_hops']} next hops are told of, not 2")
    hop = node.wait_event("next hop", address=at(first), since=asked)
    expect(hop["last_status"] == 200 and "last_failure" in hop, f"{hop} lacks the last answer or the last failure")


def counted(node, figure):
    """A figure of all shards."""
    return sum(shard[figure] for shard in node.status()["shards"])


def main():
    table = Table("SIPp")
    for transport in ("udp", "tcp"):
        with Node(shards=2, t1_ms=50, health=HEALTH, log_level="debug") as node:
            first, second = node.ports.take(), node.ports.take()
            connector = Connector(node, "pinged", "+12065550100")
            protocol = transport.upper()
            connector.originate((PBX, first, protocol, 1), (PBX, second, protocol, 2))

            def check(what, run):
                table.check(what, transport, "originat.", 2, run)

            check("a PBX that is gone is passed over", lambda: failing_over(node, connector, first, second, transport))
            check("health is told", lambda: told(node, first))
            expect(counted(node, "pings_sent") > counted(node, "pings_unanswered") > 0, "pings are not counted")
            if table.failed:
                node.show_log()
    return table.end()


if __name__ == "__main__":
    sys.exit(main())
