# SPDX-License-Identifier: MIT
"""The command of a recorded result."""

import shlex


def portable_command(words, places):
    """One line without the machine's places: `--data FOLDER` becomes `--data ...` where places has "data"."""
    options = tuple(f"--{place}" for place in places)
    shown, hide = [], False
    for word in words:
        name, equals, _ = word.partition("=")
        shown.append("..." if hide else f"{name}=..." if equals and name in options else shlex.quote(word))
        hide = word in options
    return " ".join(shown)
