#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that functions stay within MAX_LINES lines of code: C++, CUDA and Python, tests and benchmarks too.
Empty lines, comments and rows of a table ({...},) do not count; a lambda counts to the function around it.

clang-tidy's readability-function-size sees no .cu file and only what is tidied. This one reads C++ by its
layout, which clang-format guarantees: a function ends with a lone `}` as far in as the line it began on, a
class with `};`.
"""
import ast
import pathlib
import re
import sys

FOLDERS = ["kernels", "engine", "data", "nas", "tools", "tests", "bench"]
MAX_LINES = 60
RAW_STRING = re.compile(r'R"([^()\\\s]*)\(.*?\)\1"', re.DOTALL)
CLASS_HEAD = re.compile(r"(template\s*<.*>\s*)?(class|struct|union)\b[^()=;]*$")
NAME = re.compile(r"(operator\s*[^\s(]+|[\w:~]+)\s*\(")


def code_lines(lines):
    """How many of them count."""
    return sum(1 for line in map(str.strip, lines)
               if line and not line.startswith(("//", "#")) and not re.fullmatch(r"\{.*\},?", line))


def cpp_functions(text):
    """(name, first line, last line) of every function whose body has lines of its own."""
    text = RAW_STRING.sub(lambda found: '""' + "\n" * found.group().count("\n"), text)
    classes = []    # how far in each class around this line begins
    head = ""       # declaration that a body may follow, the line where it begins
    first = 0
    for number, line in enumerate(text.splitlines(), 1):
        code = line.split("//")[0].strip()
        if not code or code.startswith("#"):
            continue
        indent = len(line) - len(line.lstrip())
        level = classes[-1] + 2 if classes else 0
        if classes and indent == classes[-1] and code.startswith("}"):
            classes.pop()
            head = ""
        elif indent == level and code == "}":
            found = NAME.search(head)
            if found:
                yield found.group(1), first, number
            head = ""
        elif indent == level and not code.startswith(("}", ")")):
            head, first = code, number
            if CLASS_HEAD.match(head) and code.endswith("{"):
                classes.append(indent)
        elif CLASS_HEAD.match(head) and number == first + 1 and indent == level + 4 and code.endswith("{"):
            classes.append(level)    # the head of a class on two lines


def python_functions(text):
    """The same for Python."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.lineno, node.end_lineno


READERS = {".h": cpp_functions, ".cpp": cpp_functions, ".cu": cpp_functions, ".cuh": cpp_functions,
           ".py": python_functions}


def main(root: pathlib.Path) -> int:
    count, problems = 0, 0
    files = sorted(file for folder in FOLDERS for file in (root / folder).rglob("*") if file.suffix in READERS)
    for file in files:
        text = file.read_text(encoding="utf-8")
        lines = text.splitlines()
        for name, first, last in READERS[file.suffix](text):
            count += 1
            length = code_lines(lines[first - 1:last])
            if length > MAX_LINES:
                problems += 1
                where = f"{file.relative_to(root).as_posix()}:{first}"
                print(f"{where}: {name}: {length} lines, expected at most {MAX_LINES}")
    print(f"{count} functions checked, {problems} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
