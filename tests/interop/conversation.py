"""Conversations: calls from a PBX through a Trunkline node to a carrier whose ends are `media` and `agent`, plain or with SRTP.

Each end has a tone of its own, and what a side hears must be the other's and nothing else; each side's sender reports must
arrive at the other, readable.
"""

import asyncio
import itertools
import sys
from contextlib import AsyncExitStack, asynccontextmanager

from agent import Agent, Failed
from calls import expect
from media import sdp
from media.endpoint import Endpoint, samples
from media.libsrtp import SUITES, Key
from media.tone import SNR_DB_MIN, snr_db
from node import GATEWAY, PBX, Connector, Node

RTP = "RTP"
LEGS = [RTP, *SUITES]
OPTIONAL = "optional"
PLAIN_PBX, TLS_PBX, IPV6_PBX = "pbx", "pbx-tls", "pbx-ipv6"
STRANGER = {"id": "AKIDOFANOTHERACCOUNT", "secret": "a-secret-of-another-account", "account": "444455556666"}
PACKETS = 50
CHANGE_PACKETS = 10
ESTABLISHED_S = 10
TONES_HZ = range(300, 3_350, 50)


class Leg:
    """What a peer's side of a call is: plain RTP, or SRTP under one suite."""

    def __init__(self, endpoint, suite, profile=None):
        """`profile`: the one it offers and answers where it is not that of its suite."""
        self.endpoint = endpoint
        self.suite = suite
        self.profile = profile
        self.key = None if suite == RTP else Key(suite)
        self.tag = 1
        self.version = 0
        self.wants_mux = endpoint.mux

    def offer(self, **more):
        """An offer, with the key there is."""
        self.version += 1
        self.tag = 1
        keys = {1: self.key} if self.key else {}
        return sdp.write(self.endpoint, keys=keys, profile=self.profile, version=self.version, **more)

    def answered(self, text):
        """The other side has answered."""
        answer = sdp.read(text)
        expect(answer is not None, f"every stream was declined:\n{text}")
        expect(answer.mux == self.endpoint.mux, "rtcp-mux was offered and not answered" if self.endpoint.mux else "rtcp-mux")
        self.use(answer)
        return answer

    def answer(self, text, **more):
        """The answer to an offer, or an offer where there is none."""
        if text is None:
            return self.offer(**more)
        offer = sdp.read(text)
        self.endpoint.mux = self.wants_mux and offer.mux
        self.tag = next((tag for tag, key in offer.keys.items() if key.suite == self.suite), None)
        self.use(offer)
        self.version += 1
        keys = {self.tag: self.key} if self.key else {}
        return sdp.write(self.endpoint, keys=keys, profile=offer.profile, version=self.version, **more)

    def use(self, remote):
        """Sends and receives as the other side's description says from now on."""
        secure = self.suite != RTP
        profile = self.profile or ("RTP/SAVP" if secure else "RTP/AVP")
        expect(remote.profile == profile, f"{remote.profile} where {profile} was to be")
        expect(not secure or self.tag in remote.keys, f"no key of {self.suite} among {list(remote.keys.values())}")
        key = remote.keys[self.tag] if secure else None
        expect(not key or key.suite == self.suite, f"a key of {key and key.suite} answers {self.suite}")
        # Best effort is RTP/AVP with keys, which nobody has to take (RFC 8643).
        expect(secure or self.profile or not remote.keys, "keys in a plain stream")
        self.endpoint.secure(self.key, key)
        self.endpoint.towards(remote.rtp, remote.rtp if self.endpoint.mux else remote.rtcp)


class Trunk:
    """A node with a carrier for each kind of leg, each at an address of its own, and one with which SRTP is optional; a connector
    without encryption, and one that requires it, with their PBX."""

    def __init__(self, shards):
        self.node = node = Node(
            shards=shards, tls=True, media={"srtp": "accept", "srtp_suites": list(SUITES)}, access_keys=[STRANGER],
        )
        self.carriers = {}
        # From 1212 to 1219, which are all of the United States.
        for place, leg in enumerate([*LEGS, OPTIONAL]):
            self.carriers[leg] = (f"127.0.1.{place + 1}", node.ports.take(), f"121{place + 2}")
            node.carriers.append(self._carrier(leg))
        self.pbx, self.pbx_tls = node.ports.take(), node.ports.take()
        self.agents = {}
        self._serial = 0

    def __enter__(self):
        self.node.__enter__()
        try:
            # baresip's connections come from the node's own address.
            sources = [f"{PBX}/32", f"{GATEWAY}/32"] + (["::1/128"] if self.node.ipv6 else [])
            self.plain = Connector(self.node, "plain", "+12065550100").terminate(sources)
            self.plain.originate((PBX, self.pbx, "UDP", 1))
            self.encrypted = Connector(self.node, "encrypted", "+12065550101", encrypted=True).terminate(sources)
            self.encrypted.originate((PBX, self.pbx_tls, "TCP", 1))
        except BaseException:
            self.node.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *error):
        self.node.__exit__(*error)

    def _carrier(self, leg):
        address, port, prefix = self.carriers[leg]
        suites = list(SUITES) if leg == OPTIONAL else [leg]
        srtp = {"srtp": "off"} if leg == RTP else {
            "srtp": "optional" if leg == OPTIONAL else "required", "srtp_suites": suites,
        }
        route = {"host": address, "port": port, "transport": "udp", "prefix": prefix}
        return {"name": leg.lower(), "sources": [f"{address}/32"], **srtp, "routes": [route]}

    def number(self, carrier):
        """A number of the PSTN that is called by way of this carrier."""
        self._serial += 1
        return f"+{self.carriers[carrier][2]}555{self._serial:04}"

    @asynccontextmanager
    async def peers(self):
        """The agents, in `agents`: of each carrier by its name, of the PBX as `PLAIN_PBX`, over TLS as `TLS_PBX`,
        and as `IPV6_PBX` where the machine has IPv6."""
        node = self.node
        gateway = (GATEWAY, node.sip_port)
        files = (*node.authority.sign("pbx", PBX), node.authority.certificate)
        self.agents = {
            PLAIN_PBX: Agent(PBX, self.pbx, gateway),
            TLS_PBX: Agent(PBX, self.pbx_tls, (GATEWAY, node.tls_port), transport="tls", tls=files),
            **{name: Agent(address, port, gateway) for name, (address, port, _) in self.carriers.items()},
        }
        if node.ipv6:
            self.agents[IPV6_PBX] = Agent("::1", self.pbx, ("::1", node.sip_port))
        async with AsyncExitStack() as stack:
            for agent in self.agents.values():
                await stack.enter_async_context(agent)
            yield

    def to_carrier(self, carrier, pbx=PLAIN_PBX):
        """How a call from the PBX to a carrier goes: who calls and is called, the number, its host, the caller's number."""
        connector = self.encrypted if pbx == TLS_PBX else self.plain
        return self.agents[pbx], self.agents[carrier], self.number(carrier), connector.host, connector.number

    def to_pbx(self, carrier, pbx=PLAIN_PBX):
        """The same for a call from a carrier to the PBX."""
        connector = self.encrypted if pbx == TLS_PBX else self.plain
        host = f"{GATEWAY}:{self.node.sip_port}"
        return self.agents[carrier], self.agents[pbx], connector.number, host, self.number(carrier)


class Talk:
    """An established call, with a leg at each end."""

    def __init__(self, caller, called, calling, answering):
        self.caller, self.called = caller, called
        self.calling, self.answering = calling, answering
        # From the first tone that no call of this run has had for longest.
        self.caller_hz, self.called_hz = next(_TONES), next(_TONES)

    def play(self):
        """Both sides begin to send."""
        self.caller.endpoint.play(self.caller_hz)
        self.called.endpoint.play(self.called_hz)

    async def is_heard(self, packets=PACKETS, gaps_max=0):
        """So many packets arrive at both sides from now on, each side's tone, and its reports. `gaps_max`: jumps in the sequence
        numbers, where nothing is lost either."""
        ends = self.caller.endpoint, self.called.endpoint
        at_caller, at_called, *_ = await asyncio.gather(
            ends[0].hears(packets), ends[1].hears(packets), ends[0].hears_of(ends[1]), ends[1].hears_of(ends[0]),
        )
        check_heard(at_caller, self.called_hz, self.caller.suite, gaps_max)
        check_heard(at_called, self.caller_hz, self.called.suite, gaps_max)
        for end in ends:
            expect(not end.refused, f"libsrtp refused {len(end.refused)} packets: {end.refused[:3]}")

    async def settles(self):
        """After new keys: packets on their way may be lost, while one side has the new keys and the other does not."""
        ends = self.caller.endpoint, self.called.endpoint
        await asyncio.gather(*(end.hears(CHANGE_PACKETS) for end in ends))
        for end in ends:
            expect(len(end.refused) < CHANGE_PACKETS, f"libsrtp refused {len(end.refused)} packets: {end.refused[:3]}")
            end.refused.clear()

    async def end(self, by_called=False):
        """One side hangs up, and the other hears of it."""
        first, second = (self.answering, self.calling) if by_called else (self.calling, self.answering)
        await first.bye()
        await asyncio.wait_for(second.ended, ESTABLISHED_S)
        self.caller.endpoint.quiet()
        self.called.endpoint.quiet()

    async def give_up(self):
        """Ends it after a failure, which nothing here may hide."""
        for dialog in (self.calling, self.answering):
            try:
                if not dialog.ended.done():
                    await dialog.bye()
            except (Failed, OSError, TimeoutError):
                pass


_TONES = itertools.cycle(TONES_HZ)


def check_heard(packets, hz, where, gaps_max=0):
    """It is this tone, whole."""
    found = snr_db(samples(packets), hz)
    expect(found >= SNR_DB_MIN, f"{hz} Hz is {found:.0f} dB above the rest at {where}, not {SNR_DB_MIN}")
    gaps = sum((after.sequence - before.sequence) & 0xFFFF != 1 for before, after in zip(packets, packets[1:]))
    expect(gaps <= gaps_max, f"{gaps} gaps in {len(packets)} packets at {where}")


@asynccontextmanager
async def ends(trunk, way, left, right, profiles=(None, None), mux=False):
    """The legs of a call that is yet to be made."""
    calling_agent, called_agent, *_ = way
    ports = trunk.node.ports
    async with Endpoint(calling_agent.address, ports, mux, "caller") as caller:
        async with Endpoint(called_agent.address, ports, mux, "called") as called:
            yield Leg(caller, left, profiles[0]), Leg(called, right, profiles[1])


@asynccontextmanager
async def talk(trunk, way, left, right, profiles=(None, None), mux=False, begin=lambda caller, called: None, more=({}, {}),
               late=False, play=True):
    """A call, that is ended in the end. `way`: of `to_carrier` or `to_pbx`. `left`, `right`: what the legs are. `profiles`: see
    `Leg`. `begin`: is told the legs' endpoints before anything is sent. `more`: what `sdp.write` is told of each side's first
    description. `late`: the caller makes no offer, and the called side has to. `play`: whether both sides begin to send."""
    calling_agent, called_agent, number, host, caller_number = way
    async with ends(trunk, way, left, right, profiles, mux) as (caller, called):
        begin(caller.endpoint, called.endpoint)
        expected = called_agent.expect(number, lambda offer: called.answer(offer, **more[1]), caller=caller_number)
        offer, answer = (None, caller.answer) if late else (caller.offer(**more[0]), None)
        calling, answering = await both(expected, calling_agent.call(number, host, caller_number, offer, answer))
        if late:
            called.answered(answering.remote)
        else:
            caller.answered(calling.remote)
        call = Talk(caller, called, calling, answering)
        if play:
            call.play()
        async with ended(call):
            yield call


@asynccontextmanager
async def ended(call):
    """An established call, that is ended in the end."""
    call.calling.answer, call.answering.answer = call.caller.answer, call.called.answer
    try:
        yield
    except BaseException:
        await call.give_up()
        raise
    await call.end()


async def both(expected, calling):
    """The call at both ends, once it is established; what went wrong at the called end comes first."""
    try:
        call = await calling
    except Failed:
        if expected.done():
            expected.result()
        raise
    return call, await asyncio.wait_for(expected, ESTABLISHED_S)


async def together(runs):
    """All of them at once; the first failure fails."""
    try:
        async with asyncio.TaskGroup() as group:
            for run in runs:
                group.create_task(run)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
