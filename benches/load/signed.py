"""Requests of the API as bytes, signed ahead (Signature Version 4); one is taken for 15 minutes."""

import hashlib
import hmac
import time
import urllib.parse

from node import ACCESS_KEY, GATEWAY, SECRET_KEY

REGION = "us-east-1"
SERVICE = "chime"


class Signer:
    """Makes requests to a node's API."""

    def __init__(self, port):
        self._host = f"{GATEWAY}:{port}"
        self._time = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self._scope = f"{self._time[:8]}/{REGION}/{SERVICE}/aws4_request"
        key = f"AWS4{SECRET_KEY}".encode()
        for part in self._scope.split("/"):
            key = _hmac(key, part)
        self._key = key

    def request(self, method, path, query="", body=b""):
        """`path` and `query` as they stand in the request line, the query's pairs in ascending order."""
        canonical = "\n".join([
            method, urllib.parse.quote(path, safe="/-_.~"), query,
            f"host:{self._host}", f"x-amz-date:{self._time}", "", "host;x-amz-date", hashlib.sha256(body).hexdigest(),
        ])
        text = "\n".join([
            "AWS4-HMAC-SHA256", self._time, self._scope, hashlib.sha256(canonical.encode()).hexdigest(),
        ])
        signature = _hmac(self._key, text).hex()
        target = f"{path}?{query}" if query else path
        kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        head = (
            f"{method} {target} HTTP/1.1\r\nHost: {self._host}\r\nX-Amz-Date: {self._time}\r\n{kind}"
            f"Authorization: AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{self._scope}, "
            f"SignedHeaders=host;x-amz-date, Signature={signature}\r\n\r\n"
        )
        return head.encode() + body


def _hmac(key, text):
    return hmac.digest(key, text.encode(), "sha256")
