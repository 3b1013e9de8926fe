"""Tones as G.711 µ-law, and what of a tone is in what was heard."""

import math

RATE_HZ = 8_000
FRAME_SAMPLES = 160
AMPLITUDE = 8_000
BIAS, CLIP = 0x84, 32_635
# Every window holds whole periods of a tone whose frequency is a multiple of 10 Hz.
WINDOW_SAMPLES = RATE_HZ // 10
# G.711 itself leaves a sine of this amplitude some 37 dB above its quantisation noise.
SNR_DB_MIN = 30


def frames(hz):
    """The frames of a tone without end, each 20 ms; `hz` is a multiple of 50, so that they are all the same."""
    if hz % 50:
        raise ValueError(f"{hz} Hz does not fit into a frame")
    return bytes(_encode(round(AMPLITUDE * math.sin(2 * math.pi * hz * at / RATE_HZ))) for at in range(FRAME_SAMPLES))


def decoded(payload):
    """The samples of µ-law bytes."""
    return [DECODED[byte] for byte in payload]


def share(samples, hz):
    """How much of the samples' energy is in a tone of this frequency, 0 to 1 (Goertzel)."""
    coefficient = 2 * math.cos(2 * math.pi * hz / RATE_HZ)
    before = last = 0.0
    for sample in samples:
        before, last = last, sample + coefficient * last - before
    power = before * before + last * last - coefficient * before * last
    energy = sum(sample * sample for sample in samples)
    return 2 * power / (len(samples) * energy) if energy else 0.0


def snr_db(samples, hz):
    """How far the tone is above everything else that is there, in the worst tenth of a second; minus infinity where there
    is no tone, or nothing at all."""
    windows = range(0, len(samples) - WINDOW_SAMPLES + 1, WINDOW_SAMPLES)
    return min((_decibels(share(samples[at : at + WINDOW_SAMPLES], hz)) for at in windows), default=-math.inf)


def _decibels(part):
    if part <= 0:
        return -math.inf
    return 10 * math.log10(part / max(1 - part, 1e-12))


def _encode(sample):
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), CLIP) + BIAS
    exponent = magnitude.bit_length() - 8
    mantissa = magnitude >> exponent + 3 & 0x0F
    return ~(sign | exponent << 4 | mantissa) & 0xFF


def _decode(byte):
    byte = ~byte & 0xFF
    magnitude = ((byte & 0x0F) << 3) + BIAS << (byte >> 4 & 7)
    return BIAS - magnitude if byte & 0x80 else magnitude - BIAS


DECODED = [_decode(byte) for byte in range(256)]
