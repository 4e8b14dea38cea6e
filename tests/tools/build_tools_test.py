#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests what builds and lints: the cards a build is for, the length of functions, refusals of scripts."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
import check_functions  # noqa: E402


class Cards(unittest.TestCase):
    """drnas_cuda_cards with made-up drivers and compilers."""

    def cards(self, capabilities, known="80 86 90 120"):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder)
            programs = {"nvidia-smi": capabilities, "nvcc": "".join(f"compute_{n}\n" for n in known.split())}
            for name, text in programs.items():
                (path / name).write_text(f"#!/bin/sh\nprintf '%s' '{text}'\n", encoding="utf-8")
                (path / name).chmod(0o755)
            (path / "print.cmake").write_text(
                f"include({ROOT}/cmake/CudaCards.cmake)\ndrnas_cuda_cards(CARDS {path}/nvcc)\n"
                'message("<${CARDS}>")\n', encoding="utf-8")
            environment = dict(os.environ, PATH=f"{folder}:{os.environ['PATH']}")
            done = subprocess.run(["cmake", "-P", path / "print.cmake"], env=environment, text=True,
                                  capture_output=True, check=True)
        return re.search(r"<(.*)>", done.stderr).group(1)

    def test_one_card_and_several(self):
        self.assertEqual(self.cards("9.0\n"), "90")
        self.assertEqual(self.cards("8.6\n8.6\n"), "86")
        self.assertEqual(self.cards("8.0\n12.0\n"), "80;120")

    def test_cards_that_the_engine_cannot_use(self):
        self.assertEqual(self.cards("7.5\n"), "")
        self.assertEqual(self.cards("7.5\n9.0\n"), "90")

    def test_cards_that_the_compiler_does_not_know(self):
        self.assertEqual(self.cards("13.0\n"), "90")
        self.assertEqual(self.cards("8.9\n"), "80")

    @unittest.skipIf(os.path.exists("/dev/nvidia0"), "this machine's card would be found")
    def test_no_driver(self):
        self.assertEqual(self.cards("Failed to initialize NVML: error 9.99\n"), "")
        self.assertEqual(self.cards(""), "")


class Sanitizers(unittest.TestCase):
    """What cmake/Sanitizer.cmake refuses, in a project of one line."""

    def refused(self, **settings):
        with tempfile.TemporaryDirectory() as folder:
            project = ("cmake_minimum_required(VERSION 3.25)\nproject(one LANGUAGES NONE)\n"
                       f"include({ROOT}/cmake/Sanitizer.cmake)\n")
            pathlib.Path(folder, "CMakeLists.txt").write_text(project, encoding="utf-8")
            done = subprocess.run(["cmake", "-S", folder, "-B", f"{folder}/build"]
                                  + [f"-D{name}={value}" for name, value in settings.items()],
                                  text=True, capture_output=True, check=False)
        return "" if done.returncode == 0 else " ".join(done.stderr.split())

    def test_tools(self):
        self.assertEqual(self.refused(), "")
        self.assertEqual(self.refused(DRNAS_SANITIZE="OFF"), "")
        self.assertIn("DRNAS_SANITIZE=memory: expected OFF, address, thread or valgrind",
                      self.refused(DRNAS_SANITIZE="memory"))
        self.assertIn("GNU found, expected Clang", self.refused(DRNAS_SANITIZE="thread", CMAKE_CXX_COMPILER_ID="GNU"))
        self.assertIn("expected -DDRNAS_NATIVE=OFF",
                      self.refused(DRNAS_SANITIZE="valgrind", DRNAS_VALGRIND="/bin/true", DRNAS_NATIVE="ON"))


class Functions(unittest.TestCase):
    """Lengths that check_functions counts."""

    def lengths(self, text):
        lines = text.splitlines()
        return {name: check_functions.code_lines(lines[first - 1:last])
                for name, first, last in check_functions.cpp_functions(text)}

    def test_functions_of_files_and_classes(self):
        body = "  a();\n" * 70
        self.assertEqual(self.lengths(f"void f(int a,\n       int b) {{\n{body}}}\n"), {"f": 73})
        inner = "    a();\n" * 70
        text = (f"namespace n {{\nclass A final\n    : public B {{\n public:\n  void g() {{\n{inner}  }}\n"
                f"  int x = 0;\n}};\n\ntemplate <class T>\nstruct C {{\n  C() : x(0) {{\n{inner}  }}\n}};\n\n"
                f"int h() {{ return 1; }}\nint k() {{\n{body}}}\n}}  // namespace n\n")
        self.assertEqual(self.lengths(text), {"g": 72, "C": 72, "k": 72})

    def test_what_does_not_count(self):
        lines = ["  a();", "", "  // why", '  {"row", 1},', "#ifdef B"]
        self.assertEqual(self.lengths("void f() {\n" + "\n".join(lines) + "\n}\n"), {"f": 3})
        self.assertEqual(self.lengths('const char* text = R"(void f() {\n}\n)";\nvoid g() {\n  a();\n}\n'), {"g": 3})
        self.assertEqual(self.lengths("enum class A {\n  b,\n};\nconst auto f = [] {\n  a();\n};\n"), {})


class Refusals(unittest.TestCase):
    """One line and exit code 2."""

    def test_scripts(self):
        for command, part in ((["tools/install_deps.sh", "all"], "all: unknown purpose"),
                              (["tools/install_deps.sh", "lint", "build"], "build: expected one purpose"),
                              (["tools/lint.sh", "--files", "some"], "--files some: expected"),
                              (["tools/lint.sh", "--base"], "--base: expected a value"),
                              (["tools/lint.sh", "--quick"], "--quick: unknown option"),
                              (["tools/check_aarch64.sh", "--jobs", "all"], "--jobs all: expected")):
            with self.subTest(command=command):
                done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
                self.assertEqual(done.returncode, 2)
                self.assertEqual(done.stdout, "")
                self.assertRegex(done.stderr, f"^error: {part}[^\n]*\n$")


if __name__ == "__main__":
    unittest.main()
