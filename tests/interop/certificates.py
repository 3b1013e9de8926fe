"""Certificates of a test's own, made by openssl: an authority, and what it signs."""

import subprocess
from pathlib import Path


class Authority:
    """Signs certificates for loopback addresses."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.certificate = self.directory / "ca.pem"
        self._key = self.directory / "ca.key"
        _openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=Interop Authority", "-keyout", self._key, "-out", self.certificate,
        )

    def sign(self, name, *addresses):
        """Certificate and key, PEM files, for these IP addresses."""
        key, request, certificate = (self.directory / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
        names = self.directory / f"{name}.names"
        names.write_text("subjectAltName=" + ",".join(f"IP:{address}" for address in addresses) + "\n")
        _openssl(
            "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", f"/CN={name}", "-keyout", key, "-out", request,
        )
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial",
            "-days", "2", "-extfile", names, "-out", certificate,
        )
        return certificate, key


def _openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
