"""A media endpoint of the tests' own: tones as G.711 in RTP, SRTP by libsrtp2, SDP, and what was heard."""
