"""Calls through a Trunkline node that stay up, their audio's ports given to somebody else.

Carrier and PBX are two sockets of this process; a call at a time is set up, and none is ended.
"""

import re
import socket

from node import CARRIER, GATEWAY, PBX

ANSWER_S = 5


def hold(node, connector, pbx_port, count, have_own_ports=True):
    """Sets `count` calls up and returns a line `A relayA B relayB` for each, as `rtp` reads it. Where no RTP is to flow, all
    may name the same ports for their peers' audio."""
    with endpoint(CARRIER, 0) as carrier, endpoint(PBX, pbx_port) as pbx:
        gateway = (GATEWAY, node.sip_port)
        step = 2 if have_own_ports else 0
        first = node.ports.take(max(2, step * count))
        return [
            _call(index, carrier, pbx, gateway, connector.number, first + step * index) for index in range(count)
        ]


def endpoint(address, port):
    """A peer's socket, at a free port where that is 0."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(ANSWER_S)
    made.bind((address, port))
    return made


def _call(index, carrier, pbx, gateway, number, a):
    b = a + 1
    here = f"{CARRIER}:{carrier.getsockname()[1]}"
    common = (
        f"Max-Forwards: 70\r\nFrom: <sip:+14015550101@{here}>;tag=a{index}\r\n"
        f"Call-ID: held-{index}@{here}\r\nContact: <sip:+14015550101@{here}>\r\n"
    )
    uri = f"sip:{number}@{gateway[0]}:{gateway[1]}"
    carrier.sendto(
        message(
            f"INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bKinvite{index}\r\n"
            f"{common}To: <{uri}>\r\nCSeq: 1 INVITE\r\n", sdp(a),
        ), gateway,
    )
    invite, source = receive(pbx, "INVITE ")
    kept = "".join(line + "\r\n" for line in invite.split("\r\n") if re.match(r"(Via|From|To|Call-ID|CSeq):", line))
    kept = re.sub(r"(?m)^(To:.*?)\r$", rf"\1;tag=b{index}\r", kept)
    contact = f"Contact: <sip:{PBX}:{pbx.getsockname()[1]}>\r\n"
    pbx.sendto(message(f"SIP/2.0 200 OK\r\n{kept}{contact}", sdp(b)), source)
    answer, _ = receive(carrier, "SIP/2.0 200 ")
    to = re.search(r"(?m)^To:.*?(?=\r$)", answer).group()
    target = re.search(r"(?m)^Contact: *<(.*?)>", answer).group(1)
    carrier.sendto(
        message(
            f"ACK {target} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bKack{index}\r\n"
            f"{common}{to}\r\nCSeq: 1 ACK\r\n",
        ), gateway,
    )
    receive(pbx, "ACK ")
    return f"{a} {_audio_port(answer)} {b} {_audio_port(invite)}"


def receive(at, start):
    """The next message that begins so; provisional responses and repetitions are passed over."""
    while True:
        received, source = at.recvfrom(65_535)
        text = received.decode()
        if text.startswith(start):
            return text, source


def _audio_port(answer):
    return int(re.search(r"(?m)^m=audio (\d+) ", answer).group(1))


def sdp(port):
    """An offer or an answer of one audio stream."""
    return (
        f"v=0\r\no=- 1 1 IN IP4 {GATEWAY}\r\ns=-\r\nc=IN IP4 {GATEWAY}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
    )


def message(head, body=""):
    """A SIP message as bytes."""
    kind = "Content-Type: application/sdp\r\n" if body else ""
    return f"{head}{kind}Content-Length: {len(body)}\r\n\r\n{body}".encode()
