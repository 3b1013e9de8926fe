"""The API through one boto3 client, with everything that is asserted of an answer, and a record of what held.

A record is (operation, kind, what): the kind says what was asserted, and it is written once the assertion has held.

- positive: the operation did what it is for (`answers`, `lists`)
- negative: the request was refused for a member of it, which the error names (`refuses`, `refuses_body`)
- precondition: what the answer is depends on what was there before (`depends`, `reports`, `pages`)
- unserved: a request that is right is refused all the same, since a node does not do this (`unserved`)
- caller: somebody whom no model knows of is not let in (`rejects`)
"""

import collections
import json
import re

import boto3
import botocore.exceptions
from botocore import xform_name
from botocore.config import Config

from . import constraints, shapes

POSITIVE, NEGATIVE, PRECONDITION = "positive", "negative", "precondition"
UNSERVED, CALLER = "unserved", "caller"


class Api:
    """A client of a service, with the keys of one account."""

    def __init__(self, service, endpoint, key, models, records=None):
        """`key`: id and secret. `models`: of the namespaces, besides the client's own."""
        self.service = service
        self.endpoint = endpoint
        self._client = client(service, endpoint, key, validates=True)
        # Sends what boto3 would refuse by itself.
        self._lax = client(service, endpoint, key, validates=False)
        self._model = self._client.meta.service_model
        self.models = [self._model, *models]
        self.records = collections.Counter() if records is None else records
        self.arguments = {}
        """Of each operation's last positive answer."""
        self.fullest = {}
        """Of its positive answers, those that say most."""
        self._change = None
        self._answer = None
        for one in (self._client, self._lax):
            one.meta.events.register("before-call", self._before)
            one.meta.events.register("after-call", self._after)

    def with_key(self, key, endpoint=None):
        """The same service for another caller; what holds is recorded here."""
        return Api(self.service, endpoint or self.endpoint, key, self.models[1:], self.records)

    @property
    def held(self):
        """How many assertions have held."""
        return sum(self.records.values())

    def has(self, operation):
        """Whether the client has the operation."""
        return operation in self._model.operation_names

    def answers(self, operation, expected=None, /, **arguments):
        """The operation succeeds with the status and the shape of its model, and its answer holds `expected`: members and
        their values, as deep as they are given, or a function that says whether it is right. Returns the answer."""
        answer = self._succeeds(operation, arguments)
        holds(answer, {} if expected is None else expected, operation)
        self._keep(operation, arguments)
        self._record(operation, POSITIVE, "answered")
        return answer

    def lists(self, operation, **arguments):
        """The rows of all pages of a list."""
        rows, token = [], {}
        while True:
            page = self.answers(operation, **arguments, **token)
            rows += rows_of(page)
            if not page.get("NextToken"):
                return rows
            token = {"NextToken": page["NextToken"]}

    def pages(self, operation, insert, /, **arguments):
        """Pages of two hold what was there at the first, each once and in order, though there is more before the next."""
        before = self.lists(operation, **arguments)
        expect(len(before) > 2, f"{operation}: {len(before)} rows are no two pages")
        page = self.answers(operation, MaxResults=2, **arguments)
        seen = rows_of(page)
        insert()
        while page.get("NextToken"):
            page = self.answers(operation, MaxResults=2, NextToken=page["NextToken"], **arguments)
            expect(len(rows_of(page)) <= 2, f"{operation}: {len(rows_of(page))} rows in a page of two")
            seen += rows_of(page)
        old = [row for row in seen if row in before]
        expect(old == before, f"{operation}: pages of two have {old}, not {before}")
        self._record(operation, PRECONDITION, "pages")

    def refuses(self, operation, member, /, **arguments):
        """BadRequestException, which names the member first."""
        error = self._fails(operation, "BadRequestException", arguments)
        message = error["Message"]
        named = re.match(re.escape(member) + r"(: | is required$)", message)
        expect(named, f"{operation}: {message!r} does not name {member}")
        self._record(operation, NEGATIVE, member)
        return message

    def refuses_body(self, operation, member, change, /, **arguments):
        """The same for a request whose body `change` has changed: for what boto3 cannot be made to send."""
        self._change = change
        try:
            return self.refuses(operation, member, **arguments)
        finally:
            self._change = None

    def depends(self, operation, exception, says="", /, **arguments):
        """An exception that the model declares, for what is or is not there; the message has `says`."""
        error = self._fails(operation, exception, arguments)
        expect(says in error["Message"], f"{operation}: {error['Message']!r} does not say {says!r}")
        self._record(operation, PRECONDITION, exception)

    def depends_on_haste(self, operation, exception, says, tries, /, **arguments):
        """The same of one of so many requests in a row."""
        for _ in range(tries):
            try:
                self._call(self._lax, operation, arguments)
            except botocore.exceptions.ClientError as error:
                told = self._told(operation, exception, error)
                expect(says in told["Message"], f"{operation}: {told['Message']!r} does not say {says!r}")
                return self._record(operation, PRECONDITION, exception)
        raise AssertionError(f"{operation}: {tries} requests were answered, none had a {exception}")

    def unserved(self, operation, exception, says, /, **arguments):
        """The refusal of a request that is right, of an operation that no node serves."""
        error = self._fails(operation, exception, arguments)
        expect(says in error["Message"], f"{operation}: {error['Message']!r} does not say {says!r}")
        self._keep(operation, arguments)
        self._record(operation, UNSERVED, exception)

    def unknown(self, member, value, exception, /, *operations):
        """What each operation was answered last time, asked for with the id of nothing: the exception, which names it."""
        for operation in operations:
            if self.has(operation):
                self.depends(operation, exception, value, **self.arguments[operation] | {member: value})

    def reports(self, operation, expected, /, **arguments):
        """The operation succeeds, and its answer tells of what was there before: `expected` is as for `answers`."""
        answer = self._succeeds(operation, arguments)
        holds(answer, expected, operation)
        self._record(operation, PRECONDITION, "reported")
        return answer

    def rejects(self, operation, exception, says, /, **arguments):
        """A caller that is not let in: an error of the signature, which no model declares."""
        try:
            self._call(self._client, operation, arguments)
        except botocore.exceptions.ClientError as error:
            told = error.response["Error"]
            expect(told["Code"] == exception and says in told["Message"], f"{operation}: {told}, not {exception}")
            self._record(operation, CALLER, exception)
        else:
            raise AssertionError(f"{operation}: answered, not {exception}")

    def breaks_every_constraint(self, operation):
        """Everything that the models say of the request's members, against the fullest request that was answered."""
        arguments = self.fullest[operation]
        for fault in constraints.breaks(self.models, operation, arguments):
            if fault.location == "body":
                self.refuses_body(operation, fault.member, lambda body: put(body, fault.path, fault.value), **arguments)
            else:
                self.refuses(operation, fault.member, **arguments | {fault.path[0]: fault.value})

    def members(self, operation):
        """What the client's requests may have."""
        return self._model.operation_model(operation).input_shape.members

    def those_known(self, operation, **arguments):
        """Those that the client's requests may have."""
        return {name: value for name, value in arguments.items() if name in self.members(operation)}

    def method(self, operation):
        """The operation's HTTP method."""
        return self._model.operation_model(operation).http["method"]

    def _keep(self, operation, arguments):
        self.arguments[operation] = arguments
        self.fullest[operation] = max(arguments, self.fullest.get(operation, {}), key=lambda one: len(str(one)))

    def _record(self, operation, kind, what):
        self.records[operation, kind, what] += 1

    def _call(self, client, operation, arguments):
        self._answer = None
        return getattr(client, xform_name(operation))(**arguments)

    def _before(self, params, **_):
        if self._change is not None:
            body = json.loads(params["body"] or b"{}")
            self._change(body)
            params["body"] = json.dumps(body).encode()

    def _after(self, http_response, **_):
        self._answer = http_response

    def _succeeds(self, operation, arguments):
        declared = self._model.operation_model(operation)
        answer = self._call(self._client, operation, arguments)
        metadata = answer.pop("ResponseMetadata")
        status = declared.http.get("responseCode", 200)
        expect(metadata["HTTPStatusCode"] == status, f"{operation}: {metadata['HTTPStatusCode']}, not {status}")
        expect(metadata["RequestId"], f"{operation}: no request id")
        known = shapes.outputs(self.models, operation)
        if known and known[0].members:
            shapes.conform(json.loads(self._answer.content), known, operation)
        else:
            expect(self._answer.content in (b"", b"{}"), f"{operation}: has a body")
        return answer

    def _fails(self, operation, exception, arguments):
        try:
            answer = self._call(self._lax, operation, arguments)
        except botocore.exceptions.ClientError as error:
            return self._told(operation, exception, error)
        shown = {name: value for name, value in arguments.items() if name != "Credentials"}
        raise AssertionError(f"{operation}({shown}): answered {answer}, not {exception}")

    def _told(self, operation, exception, error):
        """What an error says, where it is the exception that it has to be."""
        # An older model may not know of an error that a newer one declares.
        known = [shape for model in shapes.of_models(self.models, operation) for shape in model.error_shapes]
        declared = {shape.name: shape for shape in known}
        expect(exception in declared, f"{operation} declares no {exception}")
        told, metadata = error.response["Error"], error.response["ResponseMetadata"]
        expect(told["Code"] == exception, f"{operation}: {told}, not {exception}")
        expect(isinstance(error, getattr(self._lax.exceptions, exception)), f"{operation}: a {type(error)}")
        status = declared[exception].metadata["error"]["httpStatusCode"]
        expect(metadata["HTTPStatusCode"] == status, f"{operation}: {metadata['HTTPStatusCode']}, not {status}")
        expect(metadata["RequestId"], f"{operation}: no request id")
        return told


def client(service, endpoint, key, validates):
    """A boto3 client that tries once."""
    return boto3.session.Session().client(
        service, endpoint_url=endpoint, region_name="us-east-1",
        aws_access_key_id=key[0], aws_secret_access_key=key[1],
        config=Config(
            retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30, parameter_validation=validates,
        ),
    )


def rows_of(page):
    """The one list of a page."""
    return next(value for value in page.values() if isinstance(value, list))


def holds(value, expected, path):
    """The value is what is expected; of an object, what is expected of it."""
    if callable(expected):
        expect(expected(value), f"{path}: {value} is not right")
    elif isinstance(expected, dict):
        expect(isinstance(value, dict), f"{path}: {value}, not an object")
        for name, member in expected.items():
            expect(name in value, f"{path}: no {name} in {value}")
            holds(value[name], member, f"{path}.{name}")
    else:
        expect(value == expected, f"{path}: {value!r}, not {expected!r}")


def put(body, path, value):
    """Sets a member deep in a body, or takes it out."""
    for step in path[:-1]:
        body = body[step]
    if value is constraints.MISSING:
        del body[path[-1]]
    else:
        body[path[-1]] = value


def expect(condition, message):
    """Fails a check."""
    if not condition:
        raise AssertionError(message)
