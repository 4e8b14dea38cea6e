#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The report page in a browser: panels, plots with finite coordinates, no error, no overflow on a phone.

Without arguments: pages of made-up runs (report_runs.py), put together as drnas_report does.
--program drnas_report --runs DIR...: the page that the program writes. --keep DIR: pages, pictures and prints.
"""

import argparse
import json
import pathlib
import re
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import report_runs  # noqa: E402  pylint: disable=wrong-import-position
from report_browser import DESKTOP, PHONE, Browser  # noqa: E402  pylint: disable=wrong-import-position

WHOLE = ("groups", "darts", "program")  # looked at in every way
REPORT = pathlib.Path(__file__).resolve().parents[2] / "tools" / "report"


def assemble(runs, title):
    """The page of a report: the template with style, data and scripts in place of its three lines."""
    scripts = sorted(REPORT.glob("*.js"), key=lambda f: (f.name != "base.js", f.name == "main.js", f.name))
    data = {
        "title": title,
        "program": "drnas 0.1.0 (0123abc)",
        "created": "2026-11-28 14:00 UTC",
        "runs": runs,
    }
    parts = {
        "/*STYLE*/": (REPORT / "style.css").read_text(encoding="utf-8"),
        "/*DATA*/": json.dumps(data, ensure_ascii=False).replace("<", "\\u003c"),
        "/*SCRIPT*/": "".join(f.read_text(encoding="utf-8") for f in scripts),
    }
    lines = (REPORT / "page.html").read_text(encoding="utf-8").split("\n")
    missing = [name for name in parts if lines.count(name) != 1]
    if missing:
        raise AssertionError(f"page.html: {missing} must stand alone on one line each")
    return "\n".join(parts.get(line, line) for line in lines)


def check_text(text):
    """Problems of a page that can be seen without a browser."""
    problems = [
        f"refers to the network: {found}"
        for found in re.findall(r'(?:src|href)\s*=\s*["\']?\s*(?:https?:)?//[^"\'>\s]*', text)
    ]
    return problems + [f"{found} in the page" for found in re.findall(r"\burl\(|@import", text)]


def check_look(look, empty_allowed=False):
    problems = [f"attribute {bad}" for bad in look["bad"]]
    if not empty_allowed:
        problems += [f"plot '{title}' has no marks" for title, marks in look["plots"] if not marks]
    problems += [f"address {address}" for address in look["addresses"]]
    if look["injected"]:
        problems.append("text of a run became markup")
    return problems


def check_probe(found, wanted, unwanted):
    """Problems of what the probe saw; hiding all runs may empty a plot, nothing else may."""
    before = found["before"]
    problems = [f"script: {error}" for error in found["errors"]]
    problems += [f"no panel '{name}'" for name in wanted if name not in before["sections"]]
    problems += [f"panel '{name}' without data" for name in unwanted if name in before["sections"]]
    problems += check_look(before) + [
        f"operated: {p}" for p in check_look(found["after"], empty_allowed=True)
    ]
    problems += [
        f"'{title}' reads out nothing" for title, text in found["readings"].items() if "epoch" not in text
    ]
    titles = [title for title, _ in before["plots"]]
    problems += [f"plot '{title}' twice" for title in sorted(set(titles)) if titles.count(title) > 1]
    if "oneHidden" in found and found["oneHidden"]["plots"] == before["plots"]:
        problems.append("hiding runs changes no plot")
    return problems


def check_phone(found):
    look = found["before"]
    problems = [f"script: {error}" for error in found["errors"]]
    if look["inner"] != PHONE:
        problems.append(f"phone is {look['inner']} wide")
    if look["scroll"] > look["inner"]:
        problems.append(f"page scrolls sideways: {look['scroll']} of {look['inner']}: {look['beyond']}")
    return problems


def expected_heat(run, epoch):
    """Mean weights of the first cell after an epoch as numbers, None for pruned operations."""
    cell, values = run["cells"][0], []
    for row in range(cell["first_row"], cell["first_row"] + len(cell["edges"])):
        kept = epoch["kept"][row] if "kept" in epoch else [1] * len(cell["ops"])
        total = sum(value for value, k in zip(epoch["concentrations"][row], kept) if k)
        values += [value / total if k else None for value, k in zip(epoch["concentrations"][row], kept)]
    return values


def check_heat(shown, expected, when):
    if len(shown) != len(expected):
        return [f"heat map {when} has {len(shown)} values, expected {len(expected)}"]
    wrong = [
        (text, value)
        for text, value in zip(shown, expected)
        if (text != "pruned" if value is None else not matches(text, value, 5e-3))
    ]
    return [f"heat map {when}: '{text}' for {value}" for text, value in wrong[:1]]


def matches(text, value, tolerance=1e-3):
    """Whether one of the numbers in a text is this value as far as it is written."""
    numbers = [float(n) for n in re.findall(r"\d+(?:\.\d+)?", text)]
    return any(abs(n - value) <= tolerance * abs(value) for n in numbers)


def check_groups(found, runs):
    """Means over a group that the first plot of the training loss reads out."""
    text = next((t for title, t in found["readings"].items() if title.startswith("Loss")), "")
    last = max(epoch["epoch"] for run in runs for epoch in run["epochs"])
    problems = []
    for group in {run["group"] for run in runs}:
        ends = [run["epochs"][-1] for run in runs if run["group"] == group and run["epochs"]]
        losses = [epoch["train_loss"] for epoch in ends if epoch["epoch"] == last]
        if losses and None not in losses and not matches(text, statistics.mean(losses)):
            problems.append(f"mean loss of {group} is not read out: {text!r}")
    return problems


def check_numbers(found, runs):
    """What the page shows against the runs it was made of."""
    look = found["before"]
    problems = []
    drawn = {run["genotype"] or run["name"]: len(run["cells"]) for run in runs}
    if look["drawings"] != sum(drawn.values()):
        problems.append(f"{look['drawings']} drawings, expected {sum(drawn.values())}")
    if len(look["summary"]) != len(runs):
        problems.append(f"{len(look['summary'])} rows in the summary of {len(runs)} runs")
    for run, row in zip(runs, look["summary"]):
        if run["epochs"] and not matches(row, run["epochs"][-1]["val_top1"]):
            problems.append(f"summary of {run['name']} lacks its accuracy: {row!r}")
    if runs[0]["epochs"]:
        problems += check_heat(look["heat"], expected_heat(runs[0], runs[0]["epochs"][-1]), "at the end")
        problems += check_heat(
            found["firstHeat"], expected_heat(runs[0], runs[0]["epochs"][0]), "at the start"
        )
        problems += check_groups(found, runs)
    return problems


def keep(browser, folder, name, text, heights, whole):
    """Leaves a page there, what it looks like and what it prints."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.html").write_text(text, encoding="utf-8")
    browser.picture(text, folder / f"{name}-light.png", heights[0])
    browser.picture(text, folder / f"{name}-phone.png", heights[1], phone=True)
    if whole:
        browser.picture(text, folder / f"{name}-dark.png", heights[0], dark=True)
        browser.pdf(text, folder / f"{name}.pdf", dark=True)


def check_dark(browser, pages, light):
    """Dark pages show the same plots, and print."""
    problems = []
    dark = browser.probe({name: (text, DESKTOP, False) for name, text in pages.items()}, dark=True)
    for name, text in pages.items():
        look = dark[name]["before"]
        if not look["dark"] or light[name]["before"]["dark"]:
            problems.append(f"{name}: the page does not follow the preferred colours")
        if look["plots"] != light[name]["before"]["plots"] or dark[name]["errors"]:
            problems.append(f"{name}: differs in the dark: {dark[name]['errors']}")
        out = browser.folder / f"{name}.pdf"
        browser.pdf(text, out, dark=True)
        if not out.exists() or out.read_bytes()[:5] != b"%PDF-":
            problems.append(f"{name}: no PDF")
    return problems


def check_pages(browser, pages):
    """Problems of pages { name: (text, wanted panels, unwanted panels, runs) }, what probes found."""
    texts = {name: page[0] for name, page in pages.items()}
    probes = {name: (text, DESKTOP, True) for name, text in texts.items()}
    probes |= {f"{name}-narrow": (text, PHONE, False) for name, text in texts.items()}
    found = browser.probe(probes)
    problems = []
    for name, (text, wanted, unwanted, runs) in pages.items():
        own = check_text(text) + check_probe(found[name], wanted, unwanted)
        own += [f"phone: {p}" for p in check_phone(found[f"{name}-narrow"])]
        if runs is not None:
            own += check_numbers(found[name], runs)
        look = found[name]["before"]
        print(f"{name}: {len(look['sections'])} panels, {len(look['plots'])} plots, {len(own)} problems")
        problems += [f"{name}: {p}" for p in own]
    dark = {name: text for name, text in texts.items() if name in WHOLE}
    return problems + check_dark(browser, dark, found), found


def own_page(program, runs, browser):
    out = browser.folder / "report.html"
    result = subprocess.run([program, *runs, "--out", str(out)], capture_output=True, text=True, check=False)
    if result.returncode:
        raise AssertionError(f"{program}: exit code {result.returncode}: {result.stderr}")
    return out.read_text(encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", help="drnas_report")
    parser.add_argument("--runs", nargs="+", default=[], help="run folders for --program")
    parser.add_argument("--keep", type=pathlib.Path, help="folder for pages, pictures and prints")
    parser.add_argument("--only", help="one page of the made-up runs")
    options = parser.parse_args()
    browser = Browser()
    if not browser.program:
        print("no Chromium: not tested")
        return 77
    if options.program:
        pages = {"program": (own_page(options.program, options.runs, browser), ["summary"], [], None)}
    else:
        pages = {
            name: (assemble(runs, f"Report <i>{name}</i>"), wanted, unwanted, runs)
            for name, (runs, wanted, unwanted) in report_runs.all_pages().items()
            if options.only in (None, name)
        }
    problems, found = check_pages(browser, pages)
    if options.keep:
        for name, (text, *_) in pages.items():
            heights = [found[key]["before"]["height"] for key in (name, f"{name}-narrow")]
            keep(browser, options.keep, name, text, heights, name in WHOLE)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
