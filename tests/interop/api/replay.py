"""The reference's sample requests, sent as they stand, but for ids: what they are about is made before."""

import http.client
import json
import time
import urllib.parse

from . import shapes
from .coverage import operations
from .samples import DESCRIBED, NULL, SHOWN, TWO, USER_PATH
from .signed import address, send
from .site import options

USER = USER_PATH.removeprefix("/accounts/").replace("/users/", "/")
"""The page's, as a config has it."""
SAMPLES = {}
for _sample in (*SHOWN, *DESCRIBED):
    SAMPLES.setdefault(_sample.action, []).append(_sample)


def run(store, node, endpoint, key, models):
    """Replays all of them; how many passed and failed."""
    started = time.monotonic()
    page = Page(endpoint, key, models)
    try:
        numbers(page)
        connector(page, node)
        sessions(page)
        groups(page)
        applications(page)
        account(page)
        end(page)
    except (AssertionError, KeyError) as error:
        page.faults.append(f"the rest is left out after {type(error).__name__}: {error}")
    for action in {name for name, only in operations().items() if only in (None, "chime")} - page.seen:
        page.faults.append(f"{action}: never replayed")
    for fault in page.faults:
        print(f"{store:10} reference: FAILED  {fault}", flush=True)
    total = f"{page.count} sample requests of {len(page.seen)} actions"
    print(f"{store:10} reference: {total}, {len(page.faults)} failed  {time.monotonic() - started:5.1f} s", flush=True)
    return page.held, len(page.faults)


class Page:
    """The page against one node."""

    def __init__(self, endpoint, key, models):
        self._connection = http.client.HTTPConnection(address(endpoint), timeout=30)
        self._key = key
        self._models = models
        self._ids = {}
        self.seen = set()
        self.count = self.held = 0
        self.faults = []

    def replay(self, *actions):
        """All samples of each action."""
        for action in actions:
            for sample in SAMPLES[action]:
                self._replay(sample)

    def make(self, name, action, *path):
        """Replays an action and keeps the id that its answer has at the path, as {name}."""
        answer = self._replay(*SAMPLES[action])
        for member in path:
            answer = answer[member]
        self._ids[name] = answer

    def keep(self, name, value):
        """Another id."""
        self._ids[name] = value

    def call(self, method, path, body=None):
        """What no sample does, but the next one needs."""
        status, _, content = self._send(method, path, body)
        if status >= 300:
            raise AssertionError(f"{method} {path}: {status} {content}")
        return json.loads(content or b"null")

    def _send(self, method, path, body):
        quoted = {name: urllib.parse.quote(value, safe="") for name, value in self._ids.items()}
        return send(self._connection, self._key, method, path.format(**quoted), self._with_ids(body))

    def _with_ids(self, body):
        if isinstance(body, dict):
            return {name: self._with_ids(value) for name, value in body.items()}
        if isinstance(body, list):
            return [self._with_ids(value) for value in body]
        return body.format(**self._ids) if isinstance(body, str) else body

    def _replay(self, sample):
        self.count += 1
        self.seen.add(sample.action)
        status, headers, content = self._send(sample.method, sample.path, sample.body)
        try:
            answer = self._compare(sample, status, headers, content)
            self.held += 1
            return answer
        except AssertionError as fault:
            self.faults.append(str(fault))
            return json.loads(content or b"{}")

    def _compare(self, sample, status, headers, content):
        expect(status == sample.status, f"{sample.action}: {status} {content[:300]}, not {sample.status}")
        expect(headers["x-amzn-RequestId"], f"{sample.action}: no x-amzn-RequestId")
        expect(headers["Content-Type"] == "application/json", f"{sample.action}: {headers['Content-Type']}")
        if sample.exception:
            expect(headers["x-amzn-ErrorType"] == sample.exception, f"{sample.action}: {headers['x-amzn-ErrorType']}")
            answer = json.loads(content)
            same(answer, {"Code": str, "Message": str}, sample.action)
            return answer
        if sample.answer is None:
            expect(content == b"", f"{sample.action}: has a body: {content[:300]}")
            return None
        answer = json.loads(content)
        same(answer, sample.answer, sample.action)
        # What the page, which is older, does not have is as the models have it.
        known = shapes.outputs(self._models, sample.action)
        if known:
            shapes.conform(answer, known, sample.action)
        return answer


def same(value, shown, path):
    """The answer has the members that the page shows, and each is of the type that it has there."""
    if shown is NULL:
        return
    if isinstance(shown, dict):
        expect(isinstance(value, dict), f"{path}: {value!r} is no object")
        for name, member in shown.items():
            expect(member is NULL or name in value, f"{path}: no {name} in {value}")
            same(value.get(name), member, f"{path}.{name}")
    elif isinstance(shown, list):
        expect(isinstance(value, list), f"{path}: {value!r} is no list")
        expect(value or not shown, f"{path}: is empty")
        for index, element in enumerate(value if shown else ()):
            same(element, shown[0], f"{path}[{index}]")
    else:
        expect(type(value) is shown, f"{path}: {value!r} is not of the type {shown.__name__}")


def expect(condition, message):
    """Fails a sample."""
    if not condition:
        raise AssertionError(message)


def numbers(page):
    page.replay("SearchAvailablePhoneNumbers")
    page.make("order", "CreatePhoneNumberOrder", "PhoneNumberOrder", "PhoneNumberOrderId")
    page.replay(
        "GetPhoneNumberOrder", "ListPhoneNumberOrders", "UpdatePhoneNumber", "AssociatePhoneNumberWithUser",
        "DisassociatePhoneNumberFromUser", "BatchUpdatePhoneNumber", "ListSupportedPhoneNumberCountries",
    )
    # The page's next examples have both numbers at a voice connector.
    page.call("POST", "/phone-numbers/" + TWO[0], {"ProductType": "VoiceConnector"})


def connector(page, node):
    page.make("connector", "CreateVoiceConnector", "VoiceConnector", "VoiceConnectorId")
    page.replay(
        "GetVoiceConnector", "ListVoiceConnectors", "UpdateVoiceConnector", "AssociatePhoneNumbersWithVoiceConnector",
        "GetPhoneNumber", "ListPhoneNumbers", "PutVoiceConnectorTermination",
    )
    page.call("PUT", "/voice-connectors/{connector}/termination", {"Termination": {
        "CallingRegions": ["US"], "CidrAllowedList": ["127.0.0.1/32"], "DefaultPhoneNumber": TWO[0],
    }})
    made = page.call("PUT", "/voice-connectors/{connector}", {"Name": "newName", "RequireEncryption": False})
    health(page, node, made["VoiceConnector"]["OutboundHostName"])
    page.replay(
        "GetVoiceConnectorTermination", "GetVoiceConnectorTerminationHealth", "PutVoiceConnectorTerminationCredentials",
        "ListVoiceConnectorTerminationCredentials", "DeleteVoiceConnectorTerminationCredentials",
        "PutVoiceConnectorOrigination", "GetVoiceConnectorOrigination",
        "PutVoiceConnectorLoggingConfiguration", "GetVoiceConnectorLoggingConfiguration",
        "PutVoiceConnectorStreamingConfiguration", "GetVoiceConnectorStreamingConfiguration",
        "DeleteVoiceConnectorStreamingConfiguration", "PutVoiceConnectorEmergencyCallingConfiguration",
        "GetVoiceConnectorEmergencyCallingConfiguration", "DeleteVoiceConnectorEmergencyCallingConfiguration",
        # Emergency calling needs it.
        "DeleteVoiceConnectorOrigination",
    )


def health(page, node, host):
    """A PBX has shown itself, as the page's has."""
    options(node.sip_port, host)
    deadline = time.monotonic() + 10
    while True:
        read = page.call("GET", "/voice-connectors/{connector}/termination/health")
        if read["TerminationHealth"]["Source"] or time.monotonic() > deadline:
            return
        time.sleep(0.02)


def sessions(page):
    page.replay("PutVoiceConnectorProxy", "GetVoiceConnectorProxy")
    page.make("session", "CreateProxySession", "ProxySession", "ProxySessionId")
    page.replay(
        "GetProxySession", "ListProxySessions", "UpdateProxySession", "DeleteProxySession", "DeleteVoiceConnectorProxy",
    )


def groups(page):
    page.replay("DisassociatePhoneNumbersFromVoiceConnector")
    page.make("group", "CreateVoiceConnectorGroup", "VoiceConnectorGroup", "VoiceConnectorGroupId")
    page.replay(
        "GetVoiceConnectorGroup", "ListVoiceConnectorGroups", "UpdateVoiceConnectorGroup",
        "AssociatePhoneNumbersWithVoiceConnectorGroup", "DisassociatePhoneNumbersFromVoiceConnectorGroup",
    )
    page.call("PUT", "/voice-connector-groups/{group}", {"Name": "newGroupName", "VoiceConnectorItems": []})
    page.replay("DeleteVoiceConnectorGroup")


def applications(page):
    page.make("application", "CreateSipMediaApplication", "SipMediaApplication", "SipMediaApplicationId")
    page.replay(
        "GetSipMediaApplication", "ListSipMediaApplications", "UpdateSipMediaApplication",
        "PutSipMediaApplicationLoggingConfiguration", "GetSipMediaApplicationLoggingConfiguration",
        "CreateSipMediaApplicationCall", "UpdateSipMediaApplicationCall",
    )
    page.make("rule", "CreateSipRule", "SipRule", "SipRuleId")
    page.replay("GetSipRule", "ListSipRules", "UpdateSipRule", "DeleteSipRule", "DeleteSipMediaApplication")


def account(page):
    page.replay(
        "UpdateGlobalSettings", "GetGlobalSettings", "UpdatePhoneNumberSettings", "GetPhoneNumberSettings",
        "ValidateE911Address", "CreateMeetingDialOut",
    )
    arn = page.call("GET", "/voice-connectors/{connector}")["VoiceConnector"]["VoiceConnectorArn"]
    page.keep("arn", arn)
    page.replay("TagResource", "ListTagsForResource", "UntagResource")


def end(page):
    page.replay(
        # A number is not deleted while it is the DefaultPhoneNumber.
        "DeleteVoiceConnectorTermination", "DeletePhoneNumber", "RestorePhoneNumber", "BatchDeletePhoneNumber",
        "DeleteVoiceConnector",
    )
