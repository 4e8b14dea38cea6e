#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The report page in a browser: every panel, plots with marks and finite coordinates, no error, no overflow on a phone.

Without arguments: pages of made-up runs (report_runs.py), put together as drnas_report does.
--program drnas_report --runs DIR...: the page that the program writes. --keep DIR: pages, pictures and prints."""

import argparse
import concurrent.futures
import json
import pathlib
import re
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import report_runs  # noqa: E402  pylint: disable=wrong-import-position
from report_browser import PHONE, Browser  # noqa: E402  pylint: disable=wrong-import-position

WHOLE = ("groups", "darts", "program")  # looked at in every way
REPORT = pathlib.Path(__file__).resolve().parent.parent / "tools" / "report"


def assemble(runs, title):
    """The page of a report: the template with style, data and scripts in place of its three lines."""
    scripts = sorted(REPORT.glob("*.js"), key=lambda f: (f.name != "base.js", f.name == "main.js", f.name))
    data = {"title": title, "program": "drnas 0.1.0 (0123abc)", "created": "2026-11-28 14:00 UTC", "runs": runs}
    parts = {"/*STYLE*/": (REPORT / "style.css").read_text(encoding="utf-8"),
             "/*DATA*/": json.dumps(data, ensure_ascii=False).replace("<", "\\u003c"),
             "/*SCRIPT*/": "".join(f.read_text(encoding="utf-8") for f in scripts)}
    lines = (REPORT / "page.html").read_text(encoding="utf-8").split("\n")
    missing = [name for name in parts if lines.count(name) != 1]
    if missing:
        raise AssertionError(f"page.html: {missing} must stand alone on one line each")
    return "\n".join(parts.get(line, line) for line in lines)


def check_text(text):
    """Problems of a page that can be seen without a browser."""
    problems = [f"refers to the network: {found}" for found in re.findall(r'(?:src|href)\s*=\s*["\']?\s*(?:https?:)?//[^"\'>\s]*', text)]
    return problems + [f"{found} in the page" for found in re.findall(r"\burl\(|@import", text)]


def check_look(look, empty_allowed=False):
    problems = [f"attribute {bad}" for bad in look["bad"]]
    if not empty_allowed:
        problems += [f"plot '{title}' has no marks" for title, marks in look["plots"] if not marks]
    problems += [f"address {address}" for address in look["addresses"]]
    if look["injected"]:
        problems.append("text of a run became markup")
    return problems


def check_probe(found, wanted=(), unwanted=()):
    """Problems of what the probe saw; hiding all runs may empty a plot, nothing else may."""
    before = found["before"]
    problems = [f"script: {error}" for error in found["errors"]]
    problems += [f"no panel '{name}'" for name in wanted if name not in before["sections"]]
    problems += [f"panel '{name}' without data" for name in unwanted if name in before["sections"]]
    problems += check_look(before) + [f"operated: {p}" for p in check_look(found["after"], empty_allowed=True)]
    if before["plots"] and "epoch" not in found["read"]:
        problems.append(f"read-out says '{found['read']}'")
    titles = [title for title, _ in before["plots"]]
    problems += [f"plot '{title}' twice" for title in sorted(set(titles)) if titles.count(title) > 1]
    return problems


def check_phone(found):
    look = found["before"]
    problems = [f"script: {error}" for error in found["errors"]]
    if look["inner"] != PHONE:
        problems.append(f"phone is {look['inner']} wide")
    if look["scroll"] > look["inner"]:
        problems.append(f"page scrolls sideways: {look['scroll']} of {look['inner']}: {look['wide']}")
    return problems


def check_numbers(found, runs):
    """What the page shows against the runs it was made of."""
    look = found["before"]
    problems = []
    drawn = {run["genotype"] or run["name"]: len(run["cells"]) for run in runs}
    if look["drawings"] != sum(drawn.values()):
        problems.append(f"{look['drawings']} drawings, expected {sum(drawn.values())}")
    if look["rows"] < len(runs):
        problems.append(f"{look['rows']} rows in the summary of {len(runs)} runs")
    if runs[0]["cells"] and runs[0]["epochs"]:
        cell = runs[0]["cells"][0]
        if look["heat"] != len(cell["edges"]) * len(cell["ops"]):
            problems.append(f"heat map has {look['heat']} values")
        kept = runs[0]["epochs"][-1].get("kept", [])[:len(cell["edges"])]
        pruned = sum(row.count(0) for row in kept)
        if look["pruned"] != pruned:
            problems.append(f"{look['pruned']} pruned values marked, expected {pruned}")
    return problems


def keep(browser, folder, name, text, height, variants):
    page = folder / f"{name}.html"
    page.write_text(text, encoding="utf-8")
    browser.picture(page, folder / f"{name}-light.png", height)
    if variants:
        browser.picture(page, folder / f"{name}-dark.png", height, dark=True)
    phone = browser.probe(f"{name}-phone", text, phone=True)["before"]["height"]
    browser.picture(page, folder / f"{name}-phone.png", phone, phone=True)
    browser.pdf(page, folder / f"{name}.pdf", dark=True)


def check_pdf(browser, name, text):
    page, out = browser.write(f"{name}-print.html", text), browser.folder / f"{name}.pdf"
    browser.pdf(page, out, dark=True)
    return [] if out.exists() and out.read_bytes()[:5] == b"%PDF-" else ["no PDF"]


def check_page(browser, name, text, wanted, unwanted, runs, whole):
    """Problems of a page and what it looks like; `whole`: in the dark and on paper, too."""
    problems = check_text(text)
    found = browser.probe(name, text, operate=True)
    problems += check_probe(found, wanted, unwanted)
    problems += [f"phone: {p}" for p in check_phone(browser.probe(f"{name}-narrow", text, phone=True))]
    if runs is not None:
        problems += check_numbers(found, runs)
    if whole:
        dark = browser.probe(f"{name}-night", text, dark=True)
        if dark["before"]["plots"] != found["before"]["plots"] or dark["errors"]:
            problems.append(f"dark differs: {dark['errors']}")
        problems += check_pdf(browser, name, text)
    return [f"{name}: {p}" for p in problems], found["before"]


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
        pages = {name: (assemble(runs, f"Report <i>{name}</i>"), wanted, unwanted, runs)
                 for name, (runs, wanted, unwanted) in report_runs.all_pages().items() if options.only in (None, name)}
    failed = []
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        answers = {name: pool.submit(check_page, browser, name, *page, name in WHOLE) for name, page in pages.items()}
    for name, answer in answers.items():
        problems, look = answer.result()
        failed += problems
        print(f"{name}: {len(look['plots'])} plots, {len(look['sections'])} panels, {len(problems)} problems", flush=True)
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            keep(browser, options.keep, name, pages[name][0], look["height"], name in WHOLE)
    for problem in failed:
        print(problem)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
