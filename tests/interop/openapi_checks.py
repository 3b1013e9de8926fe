"""What schemathesis is told of the API: how requests are signed, what there is, and what every refusal has to be.

openapi.py has it loaded (SCHEMATHESIS_HOOKS). The access key comes in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, what
there is in TRUNKLINE_OPENAPI_KNOWN: lists of values by the members' names, those of one place belonging together.
"""

import json
import os
import zlib

import requests.auth
import schemathesis
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KNOWN = json.loads(os.environ["TRUNKLINE_OPENAPI_KNOWN"])
# Keys of queries that stand for members with other names.
IN_QUERY = {"arn": "ResourceARN", "sip-media-application": "SipMediaApplicationId"}


class Signature(requests.auth.AuthBase):
    """Signature Version 4, over the request as it is sent."""

    def __init__(self, credentials):
        self._credentials = credentials

    def __call__(self, request):
        for header in ("Authorization", "X-Amz-Date"):
            request.headers.pop(header, None)
        # A space is a + only in forms; here that is a plus.
        request.url = request.url.replace("+", "%20")
        signed = AWSRequest(method=request.method, url=request.url, data=request.body or b"")
        SigV4Auth(self._credentials, "chime", "us-east-1").add_auth(signed)
        for header in ("Authorization", "X-Amz-Date"):
            request.headers[header] = signed.headers[header]
        return request


schemathesis.auth.set_from_requests(
    Signature(Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]))
)


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """Has most requests name what there is: nobody guesses an id. The request itself says which."""
    choice = zlib.crc32(repr((case.path_parameters, case.query, case.body)).encode(errors="replace"))
    if choice % 4 == 0:
        return
    for names, rename in ((case.path_parameters, lambda name: name[:1].upper() + name[1:]), (case.query, IN_QUERY.get)):
        for name, value in (names or {}).items():
            names[name] = known(rename(name), value, choice)
    case.body = known(None, case.body, choice)


def known(name, value, choice):
    """The value with every text that has a known name replaced."""
    if isinstance(value, dict):
        return {name: known(name, value, choice) for name, value in value.items()}
    if isinstance(value, list):
        return [known(name, element, choice + place) for place, element in enumerate(value)]
    if isinstance(value, str) and name in KNOWN:
        return KNOWN[name][choice % len(KNOWN[name])]
    return value


@schemathesis.check
def refusal_conformance(ctx, response, case):
    """A status of 400 and more comes with the exception's name and the error body, and the signature was never why.

    414 and 431 are said before a request is read, without either.
    """
    if response.status_code < 400 or response.status_code in (414, 431):
        return
    exception = response.headers.get("x-amzn-errortype", [""])[0]
    assert exception.endswith("Exception"), f"x-amzn-ErrorType is {exception!r}"
    if case.method == "HEAD":
        return
    error = response.json()
    for member in ("Code", "Message"):
        assert isinstance(error.get(member), str) and error[member], f"{member} is {error.get(member)!r}"
    unsigned = ("MissingAuthenticationToken", "IncompleteSignature", "InvalidClientTokenId", "SignatureDoesNotMatch")
    assert error["Code"] not in unsigned, f"the signature was refused: {error}"
