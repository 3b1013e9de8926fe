"""A SIP user agent for peers whose SDP the test writes itself: INVITE, ACK, BYE and re-INVITE over UDP or TLS.

It plays what the tests need and no more: no authentication, no routes, no forks, no CANCEL.
"""

import asyncio
import itertools
import re
import secrets
import ssl

from sipp import bracketed

RETRANSMIT_S = 0.5
DEADLINE_S = 15
_serial = itertools.count(1)


class Failed(Exception):
    """A request was answered with a failure."""

    def __init__(self, response):
        super().__init__(f"{response.status} {response.reason} {response.field('warning') or ''}".strip())
        self.status = response.status
        self.warning = response.field("warning") or ""


class Message:
    """A request or a response."""

    def __init__(self, text):
        head, _, self.body = text.partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        self.fields = {}
        for line in lines:
            name, _, value = line.partition(":")
            self.fields.setdefault(name.strip().lower(), []).append(value.strip())
        if first.startswith("SIP/2.0 "):
            _, status, self.reason = first.split(" ", 2)
            self.status, self.method, self.uri = int(status), None, None
        else:
            self.method, self.uri, _ = first.split(" ")
            self.status = self.reason = None

    def field(self, name):
        """The first field of this name, or `None`."""
        return self.fields.get(name, [None])[0]

    @property
    def call_id(self):
        """The Call-ID."""
        return self.field("call-id")

    @property
    def cseq(self):
        """Number and method."""
        number, method = self.field("cseq").split()
        return int(number), method

    @property
    def numbers(self):
        """The digits of who is called, and of who calls."""
        return digits(self.uri), digits(self.field("from"))


class Agent:
    """Calls the gateway and is called by it. Use it as an async context manager."""

    def __init__(self, address, port, gateway, transport="udp", tls=None):
        """`gateway`: (address, port) that requests go to. `tls`: (certificate, key, authority), PEM files."""
        self.address = address
        self.port = port
        self.transport = transport
        self._gateway = gateway
        self._tls = tls
        self._calls, self._expected, self._pending, self._answered = {}, {}, {}, {}
        self._udp = self._server = self._connection = None
        self._tasks = set()

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        if self.transport == "udp":
            self._udp, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self), local_addr=(self.address, self.port),
            )
        else:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*self._tls[:2])
            self._server = await asyncio.start_server(self._on_connection, self.address, self.port, ssl=context)
        return self

    async def __aexit__(self, *error):
        for task in self._tasks:
            task.cancel()
        if self._udp:
            self._udp.close()
        if self._connection:
            self._connection.close()
        if self._server:
            self._server.close()

    @property
    def contact(self):
        """Its Contact."""
        return f"<sip:peer@{bracketed(self.address)}:{self.port};transport={self.transport}>"

    async def call(self, number, host, caller, offer=None, answer=None, early=None):
        """Calls; the established `Call`. Without an offer the callee makes one, and `answer(offer)` is the answer to it.
        `early(sdp)` is told of an answer that comes before the call is taken. `Failed` where it is refused."""
        call = Call(self, f"{secrets.token_hex(8)}@{self.address}")
        call.remote_uri = f"<sip:{number}@{host}>"
        call.local_uri = f"<sip:{caller}@{bracketed(self.address)}>;tag={secrets.token_hex(4)}"
        call.target = f"sip:{number}@{host}"
        call.path = await self._path()
        self._calls[call.call_id] = call
        await call.invite(offer, answer, early)
        return call

    def expect(self, number, answer, caller, early=False):
        """A future of the `Call` that a call for this number from this one becomes. `answer(offer)` is the SDP of the answer, or
        an integer: the status that refuses it. `offer` is `None` where the caller wants one; what it answers is then
        `call.remote`. Where `answer` raises, so does the future. `early`: the answer goes out before the call is taken, and
        the future has the call then; `Call.take` takes it."""
        future = asyncio.get_running_loop().create_future()
        self._expected[digits(number), digits(caller)] = (answer, future, early)
        return future

    def take(self, text, path):
        """A message that has arrived; `path` sends bytes back to where it came from."""
        message = Message(text)
        if message.status:
            if message.status > 100 and (waiting := self._pending.get((message.call_id, *message.cseq))):
                waiting.put_nowait(message)
        else:
            self._on_request(message, path)

    def later(self, coroutine):
        """Runs it beside; its failure is shown by whoever waits for what it does not do."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def request(self, call, method, body=None, number=None, early=None):
        """Sends a request within the call; its final response. `early` is told the SDP of provisional ones."""
        number = number or call.next_number()
        wire = call.request(method, number, body)
        responses = asyncio.Queue()
        key = (call.call_id, number, method)
        self._pending[key] = responses
        deadline = asyncio.get_running_loop().time() + DEADLINE_S
        heard = False
        try:
            call.path(wire)
            while asyncio.get_running_loop().time() < deadline:
                try:
                    response = await asyncio.wait_for(responses.get(), RETRANSMIT_S)
                except TimeoutError:
                    if self.transport == "udp" and not heard:
                        call.path(wire)
                    continue
                heard = True
                if response.status >= 200:
                    return response
                if early and response.body:
                    early(response.body)
            raise TimeoutError(f"{method} was not answered within {DEADLINE_S} s")
        finally:
            del self._pending[key]

    def _on_request(self, request, path):
        key = (request.call_id, *request.cseq)
        if request.method == "ACK":
            call = self._calls.get(request.call_id)
            if call:
                call.on_ack(request)
        elif request.method == "OPTIONS":
            path(response(request, 200, "OK", self))
        elif key in self._answered:
            path(self._answered[key])
        elif request.method == "INVITE" and request.field("to").find(";tag=") < 0:
            if request.call_id in self._calls:
                # A copy, while the call rings.
                return
            self._on_call(request, path, key)
        elif call := self._calls.get(request.call_id):
            try:
                self._answer(request, path, key, *call.on_request(request), call)
            except Exception as error:
                # The other end is told, and fails with it.
                self._answer(request, path, key, 500, None, call, reason=f"{error}")
        else:
            self._answer(request, path, key, 481)

    def _on_call(self, request, path, key):
        answer, future, early = self._expected.pop(request.numbers, (lambda offer: 404, None, False))
        call = Call(self, request.call_id)
        call.path = path
        call.local_uri = f"{request.field('to')};tag={secrets.token_hex(4)}"
        call.remote_uri = request.field("from")
        call.target = _uri(request.field("contact"))
        call.remote = request.body or None
        call.established = future
        try:
            body = answer(request.body or None)
        except Exception as error:
            future.set_exception(error)
            body = 500
        if isinstance(body, int):
            self._answer(request, path, key, body)
            if future and not future.done():
                future.set_result(call)
            return
        self._calls[call.call_id] = call
        if early:
            path(response(request, 183, "Session Progress", self, to=call.local_uri, body=body))
            call.take = lambda: self._answer(request, path, key, 200, body, call)
            future.set_result(call)
        else:
            path(response(request, 180, "Ringing", self, to=call.local_uri))
            self._answer(request, path, key, 200, body, call)

    def _answer(self, request, path, key, status, body=None, call=None, reason="OK"):
        wire = response(request, status, reason, self, to=call and call.local_uri, body=body)
        self._answered[key] = wire
        path(wire)

    async def _path(self):
        if self._udp:
            return lambda wire: self._udp.sendto(wire, self._gateway)
        if not self._connection:
            context = ssl.create_default_context(cafile=self._tls[2])
            reader, self._connection = await asyncio.open_connection(
                *self._gateway, ssl=context, local_addr=(self.address, 0),
            )
            self.later(self._read(reader, self._connection))
        return self._connection.write

    async def _on_connection(self, reader, writer):
        try:
            await self._read(reader, writer)
        except asyncio.CancelledError:
            # The test is over. asyncio would take it for a fault.
            pass
        finally:
            writer.close()

    async def _read(self, reader, writer):
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"^content-length\s*:\s*(\d+)", head, re.IGNORECASE | re.MULTILINE)
                body = await reader.readexactly(int(length[1]))
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            self.take((head.lstrip(b"\r\n") + body).decode(), writer.write)


class Call:
    """One call's dialog."""

    def __init__(self, agent, call_id):
        self.call_id = call_id
        # The other side's last offer or answer.
        self.remote = None
        # What becomes of offers within the call; by default they are refused.
        self.answer = lambda offer: 488
        self.established = self.take = None
        self.ended = asyncio.get_running_loop().create_future()
        self.local_uri = self.remote_uri = self.target = self.path = None
        self._agent = agent
        self._number = next(_serial) * 100

    def next_number(self):
        """The next CSeq."""
        self._number += 1
        return self._number

    async def invite(self, offer, answer=None, early=None):
        """An INVITE, or a re-INVITE, and the ACK; the answer, or the offer where it has none. `Failed` where refused."""
        number = self.next_number()
        final = await self._agent.request(self, "INVITE", offer, number, early)
        if final.status >= 300:
            # Of the same transaction, RFC 3261 §17.1.1.3.
            self.path(self.request("ACK", number, None, final))
            raise Failed(final)
        self.remote_uri = final.field("to")
        self.target = _uri(final.field("contact"))
        self.remote = final.body
        self.path(self.request("ACK", number, answer(final.body) if answer else None))
        return final.body

    async def bye(self):
        """Ends the call."""
        final = await self._agent.request(self, "BYE")
        if final.status != 200:
            raise Failed(final)

    def on_ack(self, request):
        """The other side's ACK has come."""
        self.remote = request.body or self.remote
        if self.established and not self.established.done():
            self.established.set_result(self)

    def on_request(self, request):
        """Status and body for a request within the call."""
        if request.method == "BYE":
            if not self.ended.done():
                self.ended.set_result(request)
            return 200, None
        if request.method in ("INVITE", "UPDATE"):
            body = self.answer(request.body or None)
            if isinstance(body, int):
                return body, None
            self.remote = request.body or self.remote
            return 200, body
        return 405, None

    def request(self, method, number, body, failure=None):
        """The bytes of a request; of the ACK of a failure."""
        agent = self._agent
        via = f"SIP/2.0/{agent.transport.upper()} {bracketed(agent.address)}:{agent.port};branch=z9hG4bK{secrets.token_hex(6)}"
        lines = [
            f"{method} {self.target} SIP/2.0",
            f"Via: {failure.field('via') if failure else via}", "Max-Forwards: 70", f"From: {self.local_uri}",
            f"To: {failure.field('to') if failure else self.remote_uri}", f"Call-ID: {self.call_id}",
            f"CSeq: {number} {method}", f"Contact: {agent.contact}", "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE",
        ]
        return _wire(lines, body)


def digits(text):
    """Those of the number in a SIP URI, or of a number."""
    return re.search(r"(?:sips?:)?\+?(\d*)", text[text.find("sip"):] if "sip" in text else text)[1]


def response(request, status, reason, agent, to=None, body=None):
    """The bytes of a response."""
    lines = [f"SIP/2.0 {status} {reason}", *(f"Via: {via}" for via in request.fields["via"])]
    lines += [f"From: {request.field('from')}", f"To: {to or request.field('to')}", f"Call-ID: {request.call_id}"]
    lines += [f"CSeq: {request.field('cseq')}", f"Contact: {agent.contact}"]
    return _wire(lines, body)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, agent):
        self._agent = agent
        self._transport = None

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, addr):
        self._agent.take(data.decode(), lambda wire: self._transport.sendto(wire, addr))


def _wire(lines, body):
    lines = [*lines, *(["Content-Type: application/sdp"] if body else []), f"Content-Length: {len(body or '')}"]
    return ("\r\n".join(lines) + "\r\n\r\n" + (body or "")).encode()


def _uri(contact):
    return re.search(r"<([^>]*)>", contact)[1]
