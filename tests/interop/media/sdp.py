"""SDP as the test's own peers write and read it (RFC 8866, RFC 3264, RFC 4568)."""

import re
from dataclasses import dataclass, field

from .libsrtp import SUITES, Key


@dataclass
class Description:
    """What a session description says of its first stream that is not declined."""

    kind: str
    address: str
    port: int
    profile: str
    formats: list
    attributes: list
    rtcp: tuple = None
    keys: dict = field(default_factory=dict)

    @property
    def rtp(self):
        """Where the peer wants the stream."""
        return self.address, self.port

    @property
    def mux(self):
        """Whether RTP and RTCP are to share a port."""
        return "rtcp-mux" in self.attributes

    @property
    def direction(self):
        """sendrecv, sendonly, recvonly or inactive."""
        directions = ("sendrecv", "sendonly", "recvonly", "inactive")
        return next((name for name in self.attributes if name in directions), "sendrecv")

    def payload_type(self, name):
        """The number of an encoding such as "telephone-event/8000"; `None` where it has none."""
        for attribute in self.attributes:
            if match := re.fullmatch(rf"rtpmap:(\d+) {re.escape(name)}(/1)?", attribute, re.IGNORECASE):
                return int(match[1])
        return None

    def values(self, name):
        """The values of all attributes of this name."""
        return [attribute.partition(":")[2] for attribute in self.attributes if attribute.startswith(f"{name}:")]


def write(endpoint, keys=(), profile=None, events=None, direction=None, version=1, lines=(), other_lines=()):
    """An offer or answer of PCMU. `keys`: crypto attributes by tag, as `Key`s or texts. `events`: the payload type of
    telephone-event. `lines`: more attributes of the stream; `other_lines`: more media, behind it."""
    profile = profile or ("RTP/SAVP" if keys else "RTP/AVP")
    formats = "0" if events is None else f"0 {events}"
    attributes = ["rtpmap:0 PCMU/8000"]
    if events is not None:
        attributes += [f"rtpmap:{events} telephone-event/8000", f"fmtp:{events} 0-15"]
    for tag, key in dict(keys).items():
        attributes.append(f"crypto:{tag} {key}" if isinstance(key, str) else f"crypto:{tag} {key.suite} inline:{key.sdes()}")
    if endpoint.mux:
        attributes.append("rtcp-mux")
    if direction:
        attributes.append(direction)
    media = [f"m=audio {endpoint.rtp_port} {profile} {formats}", *(f"a={line}" for line in [*attributes, *lines])]
    return _session(endpoint.shown, version, [*media, *other_lines])


def write_fax(endpoint, version=1, declined_audio=False):
    """An offer or answer of T.38 over UDPTL (ITU-T T.38 annex D), with the audio declined in front of it or alone."""
    media = ["m=audio 0 RTP/AVP 0"] if declined_audio else []
    media += [f"m=image {endpoint.rtp_port} udptl t38"]
    media += [
        f"a={line}" for line in
        ("T38FaxVersion:0", "T38MaxBitRate:14400", "T38FaxRateManagement:transferredTCF", "T38FaxUdpEC:t38UDPRedundancy")
    ]
    return _session(endpoint.shown, version, media)


def read(text):
    """The stream that is not declined, or `None`."""
    head, *blocks = re.split(r"^(?=m=)", text.replace("\r\n", "\n"), flags=re.MULTILINE)
    for block in blocks:
        kind, port, profile, *formats = block.splitlines()[0][2:].split()
        if int(port):
            return _stream(head, block, kind, int(port), profile, formats)
    return None


def _stream(head, block, kind, port, profile, formats):
    connection = re.findall(r"^c=IN IP[46] (\S+)", block, re.MULTILINE) or re.findall(
        r"^c=IN IP[46] (\S+)", head, re.MULTILINE
    )
    attributes = re.findall(r"^a=(.*?)\s*$", block, re.MULTILINE)
    stream = Description(kind, connection[0], port, profile, formats, attributes)
    told = stream.values("rtcp")
    stream.rtcp = (stream.address, int(told[0].split()[0]) if told else port + 1)
    for value in stream.values("crypto"):
        tag, suite, inline, *_ = value.split()
        if suite in SUITES:
            stream.keys[int(tag)] = Key.from_sdes(suite, inline.removeprefix("inline:").split("|")[0])
    return stream


def _session(address, version, media):
    family = "IP6" if ":" in address else "IP4"
    lines = ["v=0", f"o=- 4711 {version} IN {family} {address}", "s=-", f"c=IN {family} {address}", "t=0 0", *media]
    return "".join(f"{line}\r\n" for line in lines)
