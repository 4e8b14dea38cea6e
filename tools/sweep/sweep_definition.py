# SPDX-License-Identifier: MIT
"""What a sweep runs: a TOML file with `title`, `seeds`, `[options]` of every run, the rows, `[table]`
and `[paper]`.

Rows are `[[rows]]`, each with a name and options of its own, or `[grid]`, an array of values for each
option, of which every combination is a row. Option names are those of drnas_search without dashes in
front; an option of a row takes the place of one in [options]. `[paper."ROW"]` holds the published
numbers of a row, by column of the table: one, or [mean, deviation].
"""

import dataclasses
import itertools
import re
import tomllib

COLUMNS = ("cifar10", "cifar100", "imagenet16_120", "peak", "time")
# What the sweep itself decides, or what is no search.
OWN = {"out", "resume", "dry-run", "seed", "seeds", "config", "plan", "quiet", "threads", "help", "version",
       "then-train", "train-epochs"}
KEYS = {"title", "seeds", "options", "rows", "grid", "table", "paper"}


class SweepError(Exception):
    """A single line that names what is wrong and what was expected."""


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    options: dict  # of this row alone
    paper: dict    # published number by column, or [mean, deviation]

    @property
    def folder(self):
        """A file name of letters, digits, dots, dashes and underscores."""
        return re.sub(r"[^A-Za-z0-9._]+", "-", self.name).strip("-.")


@dataclasses.dataclass(frozen=True)
class Definition:
    title: str
    options: dict  # of every run
    rows: list
    seeds: list
    columns: list
    note: str      # a line below the table, or empty
    source: dict   # the file's content, with what --set changed

    def run_options(self, row):
        return {**self.options, **row.options}


def option_text(value):
    """As the command line takes it."""
    if isinstance(value, list):
        return ",".join(option_text(item) for item in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def option_arguments(options):
    """Switches stand alone where they are true and are left out where false."""
    arguments = []
    for name, value in options.items():
        if value is not False:
            arguments += [f"--{name}"] if value is True else [f"--{name}", option_text(value)]
    return arguments


def setting(text):
    """NAME=VALUE of --set."""
    name, found, value = text.partition("=")
    if not found or not name:
        raise SweepError(f"--set {text}: expected NAME=VALUE, as in data=DIR")
    return name, {"true": True, "false": False}.get(value, value)


def check_options(where, options):
    if not isinstance(options, dict):
        raise SweepError(f"{where}: expected a table of options")
    for name, value in options.items():
        if name in OWN:
            raise SweepError(f"{where}: option '{name}' is the sweep's own, expected it elsewhere or not at all")
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(item, (str, int, float)) for item in items):
            raise SweepError(f"{where}: option '{name}': expected a text, number, true, false or an array of numbers")


def grid_rows(where, grid):
    check_options(where, {name: "" for name in grid})
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise SweepError(f"{where}: '{name}': expected an array of values")
    for values in itertools.product(*grid.values()):
        options = dict(zip(grid, values))
        yield ", ".join(f"{name} {option_text(value)}" for name, value in options.items()), options


def listed_rows(where, rows):
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not isinstance(row.get("name"), str):
            raise SweepError(f"{where} {number}: expected a name")
        yield row["name"], {name: value for name, value in row.items() if name != "name"}


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_published(value):
    return is_number(value) or (isinstance(value, list) and len(value) == 2 and all(map(is_number, value)))


def paper_numbers(path, names, paper, columns):
    """Published numbers, which must belong to a row and a column of the table."""
    for name, numbers in paper.items():
        if name not in names:
            raise SweepError(f"{path}: [paper.\"{name}\"]: no such row, expected one of: {'; '.join(names)}")
        for column, value in numbers.items():
            if column not in columns or not is_published(value):
                raise SweepError(f"{path}: [paper.\"{name}\"]: '{column}': expected a number, or [mean, deviation], "
                                 f"for one of {', '.join(columns)}")
    return paper


def read_rows(path, source, columns):
    if ("rows" in source) == ("grid" in source):
        raise SweepError(f"{path}: expected either [[rows]] or [grid]")
    found = (list(grid_rows(f"{path}: [grid]", source["grid"])) if "grid" in source
             else list(listed_rows(f"{path}: [[rows]]", source["rows"])))
    paper = paper_numbers(path, [name for name, _ in found], source.get("paper", {}), columns)
    rows, folders = [], {}
    for name, options in found:
        check_options(f"{path}: row '{name}'", options)
        row = Row(name, options, paper.get(name, {}))
        if not row.folder or row.folder in folders:
            raise SweepError(f"{path}: row '{name}': folder '{row.folder}' is that of row "
                             f"'{folders.get(row.folder, '')}', expected names that differ in letters or digits")
        folders[row.folder] = name
        rows.append(row)
    if not rows:
        raise SweepError(f"{path}: no rows, expected at least one")
    return rows


def read_columns(path, table):
    columns = table.get("columns", list(COLUMNS))
    unknown = [str(name) for name in columns if name not in COLUMNS]
    unknown += [key for key in table if key not in ("columns", "note")]
    if unknown or not columns:
        raise SweepError(f"{path}: [table]: '{', '.join(unknown)}': expected columns = [...] of {', '.join(COLUMNS)}, "
                         "and note")
    return columns


def read_seeds(path, seeds):
    good = isinstance(seeds, list) and seeds and len(set(map(str, seeds))) == len(seeds)
    if not good or not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise SweepError(f"{path}: seeds: expected an array of different whole numbers, as in [1, 2]")
    return seeds


def parse(path, source, settings):
    """The definition in a file's content. An option given by `settings`, (name, value) pairs, takes
    the place of one in [options]; not of a row's own, which is what is compared."""
    unknown = sorted(set(source) - KEYS)
    if unknown:
        raise SweepError(f"{path}: unknown key '{unknown[0]}', expected {', '.join(sorted(KEYS))}")
    title = source.get("title")
    if not isinstance(title, str):
        raise SweepError(f"{path}: title: expected a text")
    options = {**source.get("options", {}), **dict(settings)}
    check_options(f"{path}: [options]", options)
    columns = read_columns(path, source.get("table", {}))
    rows = read_rows(path, source, columns)
    for name, _ in settings:
        if any(name in row.options for row in rows):
            raise SweepError(f"--set {name}: rows of {path} set it themselves, expected another option")
    return Definition(title, options, rows, read_seeds(path, source.get("seeds")), columns,
                      source.get("table", {}).get("note", ""), {**source, "options": options})


def load(path, settings=()):
    """Reads a definition. Throws SweepError naming the file and key."""
    try:
        with open(path, "rb") as stream:
            source = tomllib.load(stream)
    except OSError as failure:
        raise SweepError(f"{path}: {failure.strerror}, expected a definition of a sweep") from failure
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as failure:
        raise SweepError(f"{path}: no TOML: {failure}") from failure
    return parse(path, source, settings)
