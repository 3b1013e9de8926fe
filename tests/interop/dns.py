"""Calls to a carrier that is known by name only: NAPTR, SRV, failover, a new address, a name server that is gone.

The name server is of the test's own, on loopback; caller and called side are SIPp.

    .venv/current/bin/python tests/interop/dns.py
"""

import sys
import time

from calls import accounted, expect
from matrix import Table
from node import CARRIER, GATEWAY, PBX, Connector, Node
from ports import PortBlock
from sipp import Sipp
from zone import Zone

CALLS = 20
RATE = 20
HOLD_MS = 300
TTL_S = 5
CALLED = "+12075550199"
NAME = "trunk.example"


def calls(node, connector, transport, port, count=CALLS):
    """Calls to the PSTN, all of which come to the carrier's SIPp at this port."""
    offset = node.log_size()
    called = Sipp(
        "uas", CARRIER, node.ports, node.directory, port=port, transport=transport, count=count, echo=True,
    )
    caller = Sipp(
        "uac", PBX, node.ports, node.directory, target=(GATEWAY, node.sip_port), count=count, rate=RATE,
        hold_ms=HOLD_MS,
        extra=["-key", "host", connector.host, "-key", "caller", connector.number, "-s", CALLED],
    )
    with called, caller:
        caller.wait()
        called.wait()
    accounted(node, offset, count, audio=True)


def records(first, second, over):
    """The carrier's zone: nobody at `first`, somebody at `second`, spoken with over `over`."""
    service, proto = {"tcp": ("SIP+D2T", "_tcp"), "udp": ("SIP+D2U", "_udp")}[over]
    return {
        (NAME, "NAPTR"): [(10, 10, "SIPS+D2X", "_x.example"), (20, 10, service, f"_sip.{proto}.{NAME}")],
        (f"_sip.{proto}.{NAME}", "SRV"): [(1, 0, first, f"one.{NAME}"), (2, 0, second, f"two.{NAME}")],
        (f"one.{NAME}", "A"): [CARRIER],
        (f"two.{NAME}", "A"): [CARRIER],
    }


def main():
    table = Table("SIPp")
    ports = PortBlock()
    try:
        name_server, nobody, one, other = (ports.take() for _ in range(4))
        with Zone(GATEWAY, name_server, records(nobody, one, "tcp"), TTL_S) as zone:
            node = Node(
                shards=2, ports=ports, carrier_routes=[(NAME, None, None, "")],
                name_servers=[f"{GATEWAY}:{name_server}"],
            )
            with node:
                connector = Connector(node, "dns", "+12065550100").terminate([f"{PBX}/32"])
                table.check(
                    f"{CALLS} calls by NAPTR and SRV, failover", "tcp", "termination", 2,
                    lambda: calls(node, connector, "tcp", one),
                )
                zone.records = records(other, other, "udp")
                time.sleep(2 * TTL_S)
                table.check(
                    f"{CALLS} calls after the records changed", "udp", "termination", 2,
                    lambda: calls(node, connector, "udp", other),
                )
                zone.close()
                time.sleep(2 * TTL_S)
                table.check(
                    f"{CALLS} calls while no name server answers", "udp", "termination", 2,
                    lambda: calls(node, connector, "udp", other),
                )
                if table.failed:
                    node.show_log()
    finally:
        ports.close()
    return table.end()


if __name__ == "__main__":
    sys.exit(main())
