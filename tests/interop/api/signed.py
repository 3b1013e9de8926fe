"""Requests over HTTP, signed with Signature Version 4, without a client in between."""

import json
import urllib.parse

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def send(connection, key, method, path, body=None):
    """One request over an `http.client` connection; the answer's status, headers and body."""
    content = b"" if body is None else json.dumps(body).encode()
    request = AWSRequest(method, f"http://{connection.host}:{connection.port}{path}", data=content)
    request.headers["Content-Type"] = "application/json"
    SigV4Auth(Credentials(*key), "chime", "us-east-1").add_auth(request)
    connection.request(method, path, content, dict(request.headers))
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def address(endpoint):
    """Host and port of an endpoint."""
    return urllib.parse.urlsplit(endpoint).netloc
