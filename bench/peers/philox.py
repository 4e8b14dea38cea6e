# SPDX-License-Identifier: MIT
"""Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011) in NumPy, and the uniform numbers that the
engine makes of it: a number is a function of seed, step, purpose, element and attempt."""

import numpy as np

WORD = np.uint64(0xFFFFFFFF)
MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
MIXING, PERTURBATION = 4, 10  # purposes

# The known answers that the authors give with their code (kat_vectors).
KNOWN_ANSWERS = (
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)


def philox(counter, key):
    """Four words, each an array where an entry of the counter is one."""
    c = [np.asarray(word, np.uint64) for word in np.broadcast_arrays(*counter)]
    k = list(key)
    for _ in range(ROUNDS):
        first, second = MULTIPLIERS[0] * c[0], MULTIPLIERS[1] * c[2]
        c = [
            (second >> np.uint64(32)) ^ c[1] ^ np.uint64(k[0]),
            second & WORD,
            (first >> np.uint64(32)) ^ c[3] ^ np.uint64(k[1]),
            first & WORD,
        ]
        k = [(word + add) & 0xFFFFFFFF for word, add in zip(k, WEYL)]
    return c


def uniform(seed, step, purpose, elements, attempt=0):
    """Numbers of (0, 1), odd multiples of 2^-53, one for each of the elements."""
    key = (seed & 0xFFFFFFFF, seed >> 32)
    high, low, _, _ = philox((step, purpose, np.asarray(elements), attempt), key)
    bits = (high << np.uint64(32) | low) >> np.uint64(12)
    return (2 * bits + np.uint64(1)).astype(np.float64) * 2.0**-53


def check():
    """Raises ValueError where the known answers do not come out."""
    for counter, key, expected in KNOWN_ANSWERS:
        if tuple(int(word) for word in philox(counter, key)) != expected:
            raise ValueError("philox: known answers do not come out")
