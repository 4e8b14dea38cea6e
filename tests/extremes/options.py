# SPDX-License-Identifier: MIT
"""The options of a program as its --help lists them, with values at and beyond their ends."""

import re

NUMBERS = {"N", "X", "P", "C", "PIXELS", "MINUTES", "SECONDS", "BYTES"}
LISTS = {"A,B,...", "K,...", "N,...", "P,..."}
TEXTS = {"NAME", "NAMES", "FILE", "DIR", "SPEC", "CELL", "TEXT"}

# Values that no option, or only some, can take.
HOSTILE = ["", " ", "-1", "0", "1", "nan", "-nan", "inf", "-inf", "1e308", "-1e308", "1e309", "1e-308", "0x10", "1.5",
           "1,,2", ",", "2147483648", "9223372036854775807", "18446744073709551616", "-9223372036854775809",
           "a\nb", "\x01\x1b[31m", b"\xff\xfe", "\u00e4", "%s%n", "/", "/proc/self/mem", "9" * 100000, "x" * 100000,
           "1," * 50000 + "1"]


def options_of(help_text):
    """Name and placeholder of each option; None for one without a value."""
    found = re.findall(r"^  (?:-\w,)?--([\w-]+)(?: ([A-Z][A-Z,.]*))?(?:[ =]|$)", help_text, re.MULTILINE)
    options = {name: placeholder or None for name, placeholder in found}
    unknown = {placeholder for placeholder in options.values() if placeholder} - NUMBERS - LISTS - TEXTS
    if unknown:
        raise ValueError(f"--help has placeholders {sorted(unknown)}: expected a kind for each in options.py")
    return options


def ends(message):
    """Smallest and largest value that a refusal says it expected, and values just outside."""
    number = r"(-?\d+)"
    for pattern in (rf"expected {number} to {number}", rf"of {number} to {number}"):
        if match := re.search(pattern, message):
            low, high = map(int, match.groups())
            return [str(low), str(high)], [str(low - 1), str(high + 1)]
    if "at least 0 and below 1" in message:
        return ["0", "5e-324", "0.9999999999999999", "1e-30"], ["1", "-5e-324", "1.0000000000000002"]
    if "finite number of at least 0" in message:
        return ["0", "5e-324", "1.7976931348623157e308"], ["-5e-324", "1e309"]
    if "finite number above 0" in message:
        return ["5e-324", "1e-30", "1.7976931348623157e308"], ["0", "-5e-324", "1e309"]
    return [], []
