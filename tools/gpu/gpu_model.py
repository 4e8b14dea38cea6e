# SPDX-License-Identifier: MIT
"""The times that bench/gpu_model gave the steps of this card, from its recorded tables."""

import glob
import json
import os
import re

LABEL = "model, not a measurement"
# What must be the same for a table to speak of the steps that were measured.
SAME = ("space", "channels", "cells", "batch_size", "image_size", "partial_channels", "precision")


def names_card(model, name):
    """Whether a model of `rtx4090` is one of the card that nvidia-smi calls NVIDIA GeForce RTX 4090."""
    spaced = re.sub(r"(?<=[a-z])(?=\d)", r"\\s*", re.escape(model))
    return re.search(rf"\b{spaced}\b", name.lower()) is not None


def model_of(folder, name, figures):
    """The table's times for these figures of bench_step, or None; of several, the latest."""
    found = []
    for path in sorted(glob.glob(os.path.join(folder, "gpu_model_*_after.json"))):
        try:
            with open(path, encoding="utf-8") as stream:
                record = json.load(stream)
            if not names_card(record["card"], name) or any(record[key] != figures[key] for key in SAME):
                continue
            times = {f"{step}_ms": round(record["steps"][step]["model_ms"]["total"], 3)
                     for step in ("architecture", "weight")}
            found.append((record["date"], {"what": LABEL, "card": record["card"], **times,
                                           "file": os.path.basename(path), "commit": record["git_commit"]}))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return max(found, key=lambda entry: entry[0])[1] if found else None
