"""What the families of checks find on the node under test: keys, numbers, and what they may make of them."""

import socket
import uuid

UNKNOWN = "abcdefghij0123456789ab"
"""Could be a connector's id, and is none's."""
UNKNOWN_NUMBER = "+12065559999"
"""In no pool."""
ACCOUNT_ID, USER_ID = "team-1", "ada"
"""A user of the config; `bob` is another one of the account."""
FUNCTION = "arn:aws:lambda:us-east-1:111122223333:function:ivr"


def unknown_id():
    """A UUID that nothing has."""
    return str(uuid.uuid4())


class Site:
    """The node, as one client under test has it for its own account."""

    def __init__(self, api, told):
        """`told`: what the runner says of the node."""
        self.api = api
        self.account = told["account"]
        self.key = told["key"]
        self.other = api.with_key(told["other_key"])
        self.reader = api.with_key(told["reading_key"])
        self.full = api.with_key(told["full_key"])
        self.sip_port = told["sip_port"]
        self.throttled_endpoint = told["throttled_endpoint"]
        self._local = iter(told["local_numbers"])
        self._toll_free = iter(told["toll_free_numbers"])

    def connector(self, name="Main office", **more):
        """A new voice connector's id."""
        made = self.api.answers("CreateVoiceConnector", Name=name, RequireEncryption=False, **more)
        return made["VoiceConnector"]["VoiceConnectorId"]

    def application(self, name="ivr", region="us-east-1"):
        """A new SIP media application's id."""
        endpoints = [{"LambdaArn": FUNCTION.replace("us-east-1", region)}]
        made = self.api.answers("CreateSipMediaApplication", Name=name, AwsRegion=region, Endpoints=endpoints)
        return made["SipMediaApplication"]["SipMediaApplicationId"]

    def free_numbers(self, count):
        """Local numbers that this client alone may order, in ascending order."""
        return [next(self._local) for _ in range(count)]

    def free_toll_free_number(self):
        """Likewise."""
        return next(self._toll_free)

    def order(self, count, product_type="VoiceConnector"):
        """So many numbers, ordered."""
        numbers = self.free_numbers(count)
        self.api.answers(
            "CreatePhoneNumberOrder", {"PhoneNumberOrder": {"Status": "Successful"}},
            ProductType=product_type, E164PhoneNumbers=numbers,
        )
        return numbers

    def send_options(self, host):
        """As `options`, to this node."""
        options(self.sip_port, host)


def options(sip_port, host):
    """An OPTIONS to a connector's host, as a PBX sends it, once it is answered."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as pbx:
        pbx.bind(("127.0.0.1", 0))
        pbx.settimeout(10)
        port = pbx.getsockname()[1]
        call = uuid.uuid4().hex
        lines = [
            f"OPTIONS sip:{host} SIP/2.0", f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{call};rport",
            "Max-Forwards: 70", f"From: <sip:pbx@127.0.0.1>;tag={call}", f"To: <sip:{host}>", f"Call-ID: {call}",
            "CSeq: 1 OPTIONS", "Content-Length: 0", "", "",
        ]
        pbx.sendto("\r\n".join(lines).encode(), ("127.0.0.1", sip_port))
        answer = pbx.recv(65_535)
    if not answer.startswith(b"SIP/2.0 200 "):
        raise AssertionError(f"OPTIONS to {host}: {answer.splitlines()[0]!r}")
