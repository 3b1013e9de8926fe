"""Number masking: proxy sessions that boto3 makes, and calls of SIPp through them, with a `kill -9` in between.

    .venv/current/bin/python tests/interop/proxy_sessions.py

Caller and called are both in the PSTN: one SIPp plays the carrier's host that calls come from, another one that calls go to.
When a session expires, to the second, is the simulation's and the API's tests' to show; here it lasts longer than the run.
"""

import re
import sys
import time

from calls import expect, play
from matrix import Table
from node import CARRIER, GATEWAY, PBX, Connector, Node
from sipp import Sipp

CALLED_CARRIER = "127.0.0.4"
ANNA, BORIS = "+14255550123", "+13605550145"
CLARA = "+15035550167"
STRANGER, FALLBACK = "+12025550177", "+12025550188"
NUMBERS = ["+12065550100", "+12065550101"]
CALLS = 3
RATE = 10
HOLD_MS = 600
KEPT_S = 10


class Masking:
    """A node with a connector whose two numbers stand for participants."""

    def __init__(self):
        node = self.node = Node(shards=2)
        self.called_port = node.ports.take()
        node.carrier_routes = [(CALLED_CARRIER, self.called_port, "udp", "")]

    def __enter__(self):
        self.node.__enter__()
        try:
            self._provision()
        except BaseException:
            self.node.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *error):
        self.node.__exit__(*error)

    def _provision(self):
        connector = Connector(self.node, "masking", NUMBERS[0]).terminate([f"{PBX}/32"])
        self.api, self.connector = connector.api, {"VoiceConnectorId": connector.id}
        order = self.api.create_phone_number_order(ProductType="VoiceConnector", E164PhoneNumbers=NUMBERS[1:])
        expect(order["PhoneNumberOrder"]["Status"] == "Successful", f"{order}")
        errors = self.api.associate_phone_numbers_with_voice_connector(**self.connector, E164PhoneNumbers=NUMBERS[1:])
        expect(not errors["PhoneNumberErrors"], f"{errors}")
        self.put_proxy()

    def put_proxy(self, **more):
        """The connector's proxy configuration."""
        self.api.put_voice_connector_proxy(
            **self.connector, DefaultSessionExpiryMinutes=60, PhoneNumberPoolCountries=["US"], **more,
        )

    def create(self, *pair):
        """A new session of two people."""
        made = self.api.create_proxy_session(
            **self.connector, ParticipantPhoneNumbers=list(pair), Capabilities=["Voice"], ExpiryMinutes=30,
        )
        session = made["ProxySession"]
        expect(session["Status"] == "Open", f"a new session is {session['Status']}")
        return session

    def get(self, session):
        """A session as it is now."""
        answer = self.api.get_proxy_session(**self.connector, ProxySessionId=session["ProxySessionId"])
        return answer["ProxySession"]

    def wait_status(self, session, status):
        """Returns when the session has this status."""
        deadline = time.monotonic() + KEPT_S
        while (found := self.get(session))["Status"] != status:
            expect(time.monotonic() < deadline, f"after {KEPT_S} s the session is {found['Status']}, not {status}")
            time.sleep(0.05)
        return found

    def reaches(self, caller, dialled, called, shown):
        """Calls from a number of the PSTN to one of the connector's reach another one of the PSTN, which sees who `shown` is
        and nothing of the caller, who hears nothing of it."""
        offset = self.node.log_size()
        answering = Sipp(
            "uas", CALLED_CARRIER, self.node.ports, self.node.directory, port=self.called_port, count=CALLS, echo=True,
            trace=True,
        )
        calling = self._calling("uac_telling", caller, dialled, hold_ms=HOLD_MS)
        play(self, answering, calling, CALLS)
        check_heard(answering.received(), called, shown, hidden=caller)
        check_hidden(calling.received(), called)
        kinds = {call["kind"] for call in self.node.ended_calls(offset)}
        expect(kinds == {"Proxy"}, f"calls of a proxy session are written down as {kinds}")

    def refuses(self, caller, dialled):
        """Such calls are answered 404."""
        with self._calling("uac_not_found", caller, dialled) as calling:
            calling.wait()

    def _calling(self, scenario, caller, dialled, **options):
        host = f"{GATEWAY}:{self.node.sip_port}"
        return Sipp(
            scenario, CARRIER, self.node.ports, self.node.directory, target=(GATEWAY, self.node.sip_port), count=CALLS,
            rate=RATE, trace=True, extra=["-key", "host", host, "-key", "caller", caller, "-s", dialled], **options,
        )


def check_heard(messages, called, shown, hidden):
    """The INVITEs ask for `called` and say that `shown` calls."""
    invites = [message for message in messages if message.startswith("INVITE ")]
    expect(len(invites) >= CALLS, f"{len(invites)} INVITEs arrived, not {CALLS}")
    for invite in invites:
        expect(invite.startswith(f"INVITE sip:{called}@"), f"called was {invite.splitlines()[0]}")
        for name in ("From", "P-Asserted-Identity"):
            field = re.search(rf"^{name}: .*$", invite, re.MULTILINE)
            expect(field and f"<sip:{shown}@" in field[0], f"{name} is not {shown}: {field and field[0]}")
    check_hidden(messages, hidden)


def check_hidden(messages, number):
    """No message has the number in it, in whatever form."""
    expect(messages, "nothing was received")
    telling = [message for message in messages if number[2:] in message]
    expect(not telling, f"{len(telling)} of {len(messages)} messages tell {number}: {telling[:1]}")


def proxy_of(session, number):
    """What a participant dials to reach the other one, and is called from."""
    found = [one["ProxyPhoneNumber"] for one in session["Participants"] if one["PhoneNumber"] == number]
    expect(len(found) == 1 and found[0] in NUMBERS, f"{number} has the proxy numbers {found}")
    return found[0]


def joined(masking, session, one, other):
    """Each of the two reaches the other."""
    for caller, called in ((one, other), (other, one)):
        masking.reaches(caller, proxy_of(session, caller), called, proxy_of(session, called))


def in_progress(masking, session):
    """A session is Open until the first call through it."""
    expect(masking.get(session)["Status"] == "Open", "it is not Open before its first call")
    joined(masking, session, ANNA, BORIS)
    masking.wait_status(session, "InProgress")


def beside(masking, with_boris, with_anna):
    """Other sessions have the same numbers and people; who calls which number tells what is meant."""
    joined(masking, with_boris, BORIS, CLARA)
    joined(masking, with_anna, ANNA, CLARA)


def third_person(masking, session):
    """Who is no participant reaches nobody, then the FallBackPhoneNumber, then nobody again."""
    dialled = proxy_of(session, ANNA)
    masking.refuses(STRANGER, dialled)
    masking.put_proxy(FallBackPhoneNumber=FALLBACK)
    masking.reaches(STRANGER, dialled, FALLBACK, dialled)
    masking.put_proxy()
    masking.refuses(STRANGER, dialled)


def killed(masking, session):
    """A node that is killed in the middle of a session has it when it is back."""
    before = masking.get(session)
    masking.node.kill()
    masking.node.start()
    expect(masking.get(session) == before, f"{masking.get(session)} was {before}")
    joined(masking, session, ANNA, BORIS)
    masking.refuses(STRANGER, proxy_of(session, ANNA))


def ended(masking, session, other):
    """After DeleteProxySession its participants are third persons, also after another kill; other sessions go on."""
    masking.api.delete_proxy_session(**masking.connector, ProxySessionId=session["ProxySessionId"])
    closed = masking.get(session)
    expect(closed["Status"] == "Closed", f"a deleted session is {closed['Status']}")
    expect(closed["EndedTimestamp"] >= closed["CreatedTimestamp"], f"{closed}")
    masking.refuses(ANNA, proxy_of(session, ANNA))
    masking.node.kill()
    masking.node.start()
    expect(masking.get(session) == closed, f"{masking.get(session)} was {closed}")
    masking.refuses(BORIS, proxy_of(session, BORIS))
    masking.reaches(BORIS, proxy_of(other, BORIS), CLARA, proxy_of(other, CLARA))


def untold(masking):
    """The log has nobody's number in it."""
    log = masking.node.log_path.read_text(errors="replace")
    told = [number for number in (ANNA, BORIS, CLARA, STRANGER, FALLBACK) if number[1:] in log]
    expect(not told, f"the log tells {told}")


def main():
    table = Table("SIPp")
    with Masking() as masking:
        # Each number can be a pair's once: these leave Anna and Boris one number each, and not the same.
        with_boris, with_anna = masking.create(BORIS, CLARA), masking.create(ANNA, CLARA)
        session = masking.create(ANNA, BORIS)
        expect(proxy_of(session, ANNA) != proxy_of(session, BORIS), "one number stands for both")

        def check(what, run, *arguments):
            table.check(what, "udp", "proxy", masking.node.shards, lambda: run(masking, *arguments))

        check("participants reach each other", in_progress, session)
        check("three sessions on two numbers", beside, with_boris, with_anna)
        check("a third person, and the fallback", third_person, session)
        check("kill -9 within a session", killed, session)
        check("after the end of a session", ended, session, with_boris)
        check("no number is in the log", untold)
        check("nothing is left", lambda masking: masking.node.wait_idle())
        if table.failed:
            masking.node.show_log()
    return table.end()


if __name__ == "__main__":
    sys.exit(main())
