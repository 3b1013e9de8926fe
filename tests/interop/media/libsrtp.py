"""SRTP by libsrtp2, through ctypes: an implementation that shares nothing with Trunkline's.

A `Session` is one direction with one master key. `Refused` is a packet that libsrtp does not take: a bad tag, a replay.
"""

import base64
import ctypes
import os
from ctypes import POINTER, Structure, byref, c_int, c_ubyte, c_uint, c_ulong, c_void_p

PACKET_BYTES_MAX = 2_048
# SRTP_MAX_TRAILER_LEN is 144 and SRTCP has an index besides.
TRAILER_BYTES_MAX = 160
ANY_INBOUND, ANY_OUTBOUND = 2, 3
WINDOW = 128


class CryptoPolicy(Structure):
    """srtp_crypto_policy_t."""

    _fields_ = [
        ("cipher_type", c_uint), ("cipher_key_len", c_int), ("auth_type", c_uint), ("auth_key_len", c_int),
        ("auth_tag_len", c_int), ("sec_serv", c_int),
    ]


class Ssrc(Structure):
    """srtp_ssrc_t."""

    _fields_ = [("type", c_int), ("value", c_uint)]


class Policy(Structure):
    """srtp_policy_t."""

    _fields_ = [
        ("ssrc", Ssrc), ("rtp", CryptoPolicy), ("rtcp", CryptoPolicy), ("key", POINTER(c_ubyte)), ("keys", c_void_p),
        ("num_master_keys", c_ulong), ("deprecated_ekt", c_void_p), ("window_size", c_ulong), ("allow_repeat_tx", c_int),
        ("enc_xtn_hdr", c_void_p), ("enc_xtn_hdr_count", c_int), ("next", c_void_p),
    ]


# Name in SDP: bytes of key and salt, how libsrtp calls the suite for RTP, and for RTCP: there the short tags are not
# short (RFC 4568 §6.2.2, RFC 6188 §4).
SUITES = {
    "AES_CM_128_HMAC_SHA1_80": (30, "rtp_default", "rtp_default"),
    "AES_CM_128_HMAC_SHA1_32": (30, "aes_cm_128_hmac_sha1_32", "rtp_default"),
    "AES_256_CM_HMAC_SHA1_80": (46, "aes_cm_256_hmac_sha1_80", "aes_cm_256_hmac_sha1_80"),
    "AES_256_CM_HMAC_SHA1_32": (46, "aes_cm_256_hmac_sha1_32", "aes_cm_256_hmac_sha1_80"),
    "AEAD_AES_128_GCM": (28, "aes_gcm_128_16_auth", "aes_gcm_128_16_auth"),
    "AEAD_AES_256_GCM": (44, "aes_gcm_256_16_auth", "aes_gcm_256_16_auth"),
}


class Refused(Exception):
    """libsrtp's status for a packet, srtp_err_status_t: 7 is a bad tag, 9 and 10 are replays."""


class Key:
    """A suite, and a master key with its salt."""

    def __init__(self, suite, master=None):
        """`master`: as SDES carries it; a random one by default."""
        length, *_ = SUITES[suite]
        self.suite = suite
        self.master = master or os.urandom(length)
        if len(self.master) != length:
            raise ValueError(f"{len(self.master)} bytes are no key of {suite}")

    def __eq__(self, other):
        return isinstance(other, Key) and (self.suite, self.master) == (other.suite, other.master)

    def __hash__(self):
        return hash((self.suite, self.master))

    @classmethod
    def from_sdes(cls, suite, inline):
        """From the base64 of a crypto attribute."""
        return cls(suite, base64.b64decode(inline, validate=True))

    def sdes(self):
        """The base64 of a crypto attribute."""
        return base64.b64encode(self.master).decode()


class Session:
    """One direction of RTP and RTCP under one key."""

    def __init__(self, key, inbound):
        self._inbound = inbound
        self._pointer = c_void_p()
        self._buffer = ctypes.create_string_buffer(PACKET_BYTES_MAX + TRAILER_BYTES_MAX)
        self._apply("srtp_create", byref(self._pointer), key)

    def rekey(self, key):
        """Goes on under another key; the rollover counters go on, too (RFC 3711 §3.3.1)."""
        self._apply("srtp_update", self._pointer, key)

    def __del__(self):
        if self._pointer:
            _library().srtp_dealloc(self._pointer)

    def protect_rtp(self, packet):
        """The SRTP packet of an RTP packet."""
        return self._turn(_library().srtp_protect, packet)

    def protect_rtcp(self, packet):
        """The SRTCP packet of a compound RTCP packet."""
        return self._turn(_library().srtp_protect_rtcp, packet)

    def unprotect_rtp(self, packet):
        """The RTP packet of an SRTP packet."""
        return self._turn(_library().srtp_unprotect, packet)

    def unprotect_rtcp(self, packet):
        """The compound RTCP packet of an SRTCP packet."""
        return self._turn(_library().srtp_unprotect_rtcp, packet)

    def _apply(self, function, pointer, key):
        policy = Policy()
        policy.ssrc.type = ANY_INBOUND if self._inbound else ANY_OUTBOUND
        _, rtp, rtcp = SUITES[key.suite]
        _set_policy(rtp, policy.rtp)
        _set_policy(rtcp, policy.rtcp)
        master = (c_ubyte * len(key.master)).from_buffer_copy(key.master)
        policy.key = ctypes.cast(master, POINTER(c_ubyte))
        policy.window_size = WINDOW
        if status := getattr(_library(), function)(pointer, byref(policy)):
            raise RuntimeError(f"{function}: {status}")

    def _turn(self, function, packet):
        if len(packet) > PACKET_BYTES_MAX:
            raise Refused(f"{len(packet)} bytes")
        length = c_int(len(packet))
        self._buffer[: len(packet)] = packet
        status = function(self._pointer, self._buffer, byref(length))
        if status:
            raise Refused(status)
        return self._buffer.raw[: length.value]


_loaded = []


def _library():
    if not _loaded:
        library = ctypes.CDLL("libsrtp2.so.1")
        if status := library.srtp_init():
            raise RuntimeError(f"srtp_init: {status}")
        _loaded.append(library)
    return _loaded[0]


def _set_policy(name, policy):
    getattr(_library(), f"srtp_crypto_policy_set_{name}")(byref(policy))
