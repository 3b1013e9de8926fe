"""How long an INVITE takes through a node: from one peer's socket to the other's, a call at a time.

Nobody answers: the called side is busy (486), and nothing is left of the call.
"""

import re
import time

from held_calls import endpoint, message, receive, sdp
from node import CARRIER, GATEWAY, PBX

PSTN = "+14155550199"
CARRIERS_CALLER = "+14015550101"
PERIOD_S = 0.005
"""From one call to the next: media ports rest after a call, and a test's node has few."""
MEDIA_PORT = 9
"""Where nobody sends to: no call is answered."""


def origination(node, pbx_port, numbers):
    """Seconds of the INVITE for each of the numbers from the carrier to the PBX."""
    here = f"{GATEWAY}:{node.sip_port}"
    with endpoint(CARRIER, 0) as carrier, endpoint(PBX, pbx_port) as pbx:
        return [_transit(node, carrier, pbx, f"sip:{number}@{here}", CARRIERS_CALLER) for number in numbers]


def termination(node, carrier_port, callers):
    """Seconds of the INVITE of each (host, number) from the PBX to the carrier."""
    with endpoint(PBX, 0) as pbx, endpoint(CARRIER, carrier_port) as carrier:
        return [_transit(node, pbx, carrier, f"sip:{PSTN}@{host}", number) for host, number in callers]


def _transit(node, caller, called, uri, number):
    gateway = (GATEWAY, node.sip_port)
    here = "{}:{}".format(*caller.getsockname())
    mark = time.monotonic_ns()
    start = f"SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{mark}\r\nMax-Forwards: 70\r\n"
    common = f"From: <sip:{number}@{here}>;tag=a{mark}\r\nCall-ID: transit-{mark}@{here}\r\n"
    contact = f"Contact: <sip:{number}@{here}>\r\n"
    invite = message(f"INVITE {uri} {start}{common}{contact}To: <{uri}>\r\nCSeq: 1 INVITE\r\n", sdp(MEDIA_PORT))
    began = time.perf_counter()
    caller.sendto(invite, gateway)
    arrived, source = receive(called, "INVITE ")
    took = time.perf_counter() - began
    kept = "".join(line + "\r\n" for line in arrived.split("\r\n") if re.match(r"(Via|From|To|Call-ID|CSeq):", line))
    kept = re.sub(r"(?m)^(To:.*?)\r$", rf"\1;tag=b{mark}\r", kept)
    called.sendto(message(f"SIP/2.0 486 Busy Here\r\n{kept}"), source)
    receive(called, "ACK ")
    refusal, _ = receive(caller, "SIP/2.0 486 ")
    to = re.search(r"(?m)^To:.*?(?=\r$)", refusal).group()
    caller.sendto(message(f"ACK {uri} {start}{common}{to}\r\nCSeq: 1 ACK\r\n"), gateway)
    time.sleep(max(0, began + PERIOD_S - time.perf_counter()))
    return took
