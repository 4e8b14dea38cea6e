# SPDX-License-Identifier: MIT
"""tools/gpu/gpu_check.sh without a GPU: what it says where there is none, and what it collects from
stand-ins of nvidia-smi and of all programs."""

import contextlib
import io
import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "gpu" / "gpu_check.sh"
sys.path.insert(0, str(ROOT / "tools" / "gpu"))
sys.dont_write_bytecode = True

import gpu_check  # noqa: E402  pylint: disable=wrong-import-position
import gpu_model  # noqa: E402  pylint: disable=wrong-import-position
import gpu_programs  # noqa: E402  pylint: disable=wrong-import-position
import gpu_sanitizer  # noqa: E402  pylint: disable=wrong-import-position
import gpu_steps  # noqa: E402  pylint: disable=wrong-import-position

# One program under many names; FAKE_FAIL lists what fails: programs, each with words of its arguments.
STAND_IN = r'''#!PYTHON
import json, os, pathlib, sys, time
name, words = os.path.basename(sys.argv[0]), sys.argv[1:]
given = {pathlib.Path(word).stem for word in words}
failing = [entry.split() for entry in os.environ.get("FAKE_FAIL", "").split(";") if entry]
if "--count" not in words and name == "cuda_tests":
    given.add("vendor" if "test_cuda_mma" not in given and any(word.startswith("--source-file=") for word in words) else "own")
fails = "--count" not in words and any(f[0] == name and set(f[1:]) <= given for f in failing)
def value(option):
    return words[words.index(option) + 1]
def times(ms):
    return {"median": ms, "min": ms, "max": ms}
def report(figures):
    pathlib.Path(value("--json")).write_text(json.dumps(figures))
steps = {"architecture_step_ms": times(2.0), "weight_step_ms": times(3.0)}
if name == "nvidia-smi":
    card = os.environ.get("FAKE_CARD", "NVIDIA Test 1 (x)")
    print("100" if "--query-gpu=memory.used" in words else card + ", 999.1, 81559, 9.0, 700, 1980")
elif name == "ldd":
    print("\tstatically linked")
elif name in ("cuda_tests", "drnas_tests") and "--count" in words:
    print("[doctest] unskipped test cases passing the current filters: 30")
elif name in ("cuda_tests", "drnas_tests"):
    if fails:
        print("TEST CASE:  adds up\n  wrong")
    print(f"[doctest] test cases:  30 |  {29 if fails else 30} passed | {int(fails)} failed | 0 skipped")
elif name == "compute-sanitizer" and "--help" not in words and os.environ.get("FAKE_SANITIZER") and (
        os.environ.get("FAKE_SANITIZER_TOOL", "memcheck") in words):
    known = ["--report-api-errors", "no", "--kernel-regex", "kns=drnas"]
    assert all(word in words for word in known), words
    first = int(next(word for word in words if word.startswith("--first=")).split("=")[1])
    print(os.environ["FAKE_SANITIZER"] if first > int(os.environ.get("FAKE_SANITIZER_AFTER", "0"))
          else "========= ERROR SUMMARY: 0 errors", flush=True)
    if "late" in os.environ and first > int(os.environ.get("FAKE_SANITIZER_AFTER", "0")):
        time.sleep(60)
elif name == "compute-sanitizer" and "racecheck" in words:
    print(f"========= RACECHECK SUMMARY: {int(fails)} hazards displayed (0 errors, 0 warnings)")
elif name == "compute-sanitizer":
    print(f"========= ERROR SUMMARY: {int(fails)} errors")
elif name == "parity":
    print(f"file\n  largest              1.50e-0{2 if fails else 5}  ok (tolerance 1e-03)")
elif name == "bench_device" and "--json" in words and not fails:
    report({"copy": {"best_gb_per_s": 3000.0}, "matrix": {"tflops_fp32": 50.0}, "launch": {"microseconds_per_node": 1.0}})
elif name == "bench_step" and "--json" in words:
    network = {"space": "nas-bench-201", "channels": 16, "cells": 5, "batch_size": 64, "image_size": 32,
               "partial_channels": int(value("--partial-channels")), "precision": "bf16",
               "raw_outputs": value("--raw-outputs") if "--raw-outputs" in words else "store"}
    report({**network, **steps, "card_bytes": {"used_at_end": 300 << 20}, "launches": {"architecture": 400, "weight": 500}})
elif name == "bench_train" and "--json" in words:
    report({"training_step_ms": times(7.0), "launches": 900})
elif name == "drnas_search" and "--epochs" in words:
    out = pathlib.Path(value("--out"))
    out.mkdir()
    loss = 2.0 + fails  # ends well, with another result
    fails = False
    for epoch in range(int(value("--epochs"))):
        time.sleep(0.3)
        with open(out / "log.jsonl", "a") as log:
            seconds = {"train": 3.0, "trajectory": 0.0, "hessian": 1.0}
            log.write(json.dumps({"epoch": epoch + 1, "train_loss": 2.0, "val_loss": loss,
                                  "concentrations": [[1.0]], "genotype": "g", "seconds": seconds, "hessian": {}}) + "\n")
elif name == "python-with-torch" and "--json" in words:
    layout = value("--layout")
    report({**steps, "torch": "9.9", "tf32_convolutions": value("--tf32") != "off", "card_used_at_end_bytes": 900 << 20})
sys.exit(3 if fails else 0)
'''


class GpuCheck(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.json = self.folder / "results" / "report.json"
        (self.folder / "path").mkdir()
        # Nothing of the machine's own but what the script itself needs.
        for name in ("dirname", "tar"):
            os.symlink(shutil.which(name), self.folder / "path" / name)
        os.symlink(sys.executable, self.folder / "path" / "python3")

    def stand_in(self, name, text=None):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or STAND_IN.replace("PYTHON", sys.executable))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def check(self, *options, **environment):
        clean = {key: text for key, text in os.environ.items() if not key.startswith(("DRNAS_", "CUDA"))}
        return subprocess.run(
            ["/bin/sh", SCRIPT, "--json", self.json, *options],
            env={**clean, "PATH": str(self.folder / "path"), "PYTHONDONTWRITEBYTECODE": "1", **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def machine(self):
        """A GPU machine of stand-ins."""
        for name in ("nvidia-smi", "ldd", "compute-sanitizer", "python-with-torch"):
            self.stand_in(f"path/{name}")
        for name in ("cuda_tests", "parity", "bench_device", "bench_step", "bench_train", "drnas_search"):
            self.stand_in(f"pack/bin/{name}")
        about = {"commit": "abc", "architecture": 90}
        (self.folder / "pack" / "pack.json").write_text(json.dumps(about))
        (self.folder / "data").mkdir(exist_ok=True)
        return {"DRNAS_CIFAR10_DIR": str(self.folder / "data"), "PATH": str(self.folder / "path")}

    def collected(self, code, **environment):
        given = {**self.machine(), **environment}
        done = self.check("--pack", self.folder / "pack", "--python", "python-with-torch", **given)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertEqual(done.stderr, "")
        report = json.loads(self.json.read_text())
        self.assertTrue(report["finished"])
        self.assertEqual([path.name for path in self.json.parent.iterdir()], ["report.json"])
        return report, done.stdout

    def assert_one_line(self, done, text):
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(done.stderr, f"error: {text}\n")
        self.assertFalse(self.json.parent.exists())

    def test_without_a_gpu(self):
        for options in ((), ("--dry-run",), ("--full",)):
            self.assert_one_line(self.check(*options), "no NVIDIA GPU: nvidia-smi not found")

    def test_with_a_driver_that_does_not_answer(self):
        self.stand_in("path/nvidia-smi", "#!/bin/sh\necho driver not loaded\nexit 9\n")
        text = "no NVIDIA GPU: nvidia-smi says: driver not loaded"
        for options in ((), ("--dry-run",)):
            self.assert_one_line(self.check(*options), text)

    def test_dry_run_writes_nothing(self):
        self.machine()
        done = self.check("--dry-run")
        self.assertEqual(done.returncode, 0, done.stderr)
        limits = dict(line.rsplit(None, 1) for line in done.stdout.splitlines()[3:])
        limits = {name.strip(): float(limit) for name, limit in limits.items()}
        self.assertEqual(list(limits)[: len(gpu_steps.VERDICT)], list(gpu_steps.VERDICT))
        self.assertLessEqual(sum(limits[name] for name in gpu_steps.VERDICT), 90)
        for name in ("vendor calls", "bench_step DARTS K 6", "bench_train CIFAR-10", "bench_train ImageNet"):
            self.assertIn(name, limits)
        self.assertFalse(self.json.parent.exists())

    def test_everything_passes(self):
        report, text = self.collected(0)
        self.assertEqual(report["failures"], [])
        self.assertEqual((report["commit"], report["programs"]), ("abc", "carried"))
        self.assertEqual(report["card"]["driver"], "999.1")
        steps = report["steps"]
        others = {name: entry for name, entry in steps.items() if entry["status"] != "passed"}
        self.assertEqual({name: entry["status"] for name, entry in others.items()}, {"drnas_tests": "skipped"})
        self.assertEqual(steps["kernels"]["passed"], 30)
        self.assertEqual(steps["vendor calls"]["passed"], 30)
        self.assertEqual(len(steps["one step"]["files"]), 1)
        self.assertEqual(steps["bench_train ImageNet"]["bench_train"]["launches"], 900)
        self.assertTrue(report["first_verdict"]["good"])
        self.assertNotIn("model", report["first_verdict"])
        self.assertIn("kernels right, one step right, 2.00 + 3.00 ms", text)
        self.assertEqual(steps["memcheck vendor calls"]["cases_checked"], 30)
        self.assertEqual(steps["memcheck"]["cases_checked"], 30)
        self.assertEqual(steps["bench_step K 8"]["process_device_bytes"], 200 << 20)
        self.assertEqual(steps["bench_step K 2"]["bench_step"]["launches"]["weight"], 500)
        self.assertEqual(steps["PyTorch published K 1"]["process_device_bytes"], 800 << 20)
        self.assertGreaterEqual(len(steps["parity"]["files"]), 2)
        self.assertIn("all passed", text)
        self.assertIn("400 + 500", text)
        search = steps["CIFAR-10 search"]
        self.assertTrue(search["total_is_extrapolated"])
        expected = search["start_and_first_epoch_seconds"] + 99 * search["later_epoch_seconds"]
        self.assertAlmostEqual(search["total_100_epochs_seconds"], expected)
        self.assertIn("EXTRAPOLATED", text)

    def test_the_first_verdict_has_the_model_beside_the_measurement(self):
        recorded = json.loads((ROOT / "bench" / "results" / "gpu_model_nb201k1_after.json").read_text())
        expected = [recorded["steps"][step]["model_ms"]["total"] for step in ("architecture", "weight")]
        report, text = self.collected(0, FAKE_CARD="NVIDIA H100 80GB HBM3")
        beside = f"2.00 + 3.00 ms (model, not a measurement: {expected[0]:.2f} + {expected[1]:.2f} ms)"
        self.assertIn(f"kernels right, one step right, {beside}\n", text)
        verdict, steps = report["first_verdict"], report["steps"]
        self.assertTrue(verdict["text"].endswith(beside))
        self.assertEqual((verdict["row"]["architecture_ms"], verdict["row"]["weight_ms"]), (2.0, 3.0))
        self.assertEqual(verdict["model"], steps["bench_step K 1"]["model"])
        self.assertEqual(verdict["model"]["what"], "model, not a measurement")
        self.assertEqual(verdict["model"]["file"], "gpu_model_nb201k1_after.json")
        self.assertEqual(verdict["model"]["weight_ms"], round(expected[1], 3))
        self.assertEqual(steps["bench_step K 4"]["model"]["file"], "gpu_model_nb201k4_after.json")
        # No table of K 2, nor of called steps, nor of rebuilt raw outputs.
        for name in ("bench_step K 2", "bench_step K 1 no-graph", "bench_step K 1 rebuild"):
            self.assertNotIn("model", steps[name])

    def test_models_are_those_of_this_card_and_network(self):
        figures = dict(zip(gpu_model.SAME, ("nas-bench-201", 16, 5, 64, 32, 1, "bf16")))
        record = {**figures, "card": "rtx4090", "date": "2026-12-01", "git_commit": "abc",
                  "steps": {step: {"model_ms": {"total": ms}} for step, ms in (("architecture", 1.0), ("weight", 2.0))}}
        later = {**record, "date": "2026-12-02", "git_commit": "def"}
        files = {"gpu_model_a_after.json": later, "gpu_model_b_after.json": record,
                 "gpu_model_c_before.json": {**record, "date": "2026-12-09"}, "gpu_model_d_after.json": {"card": "rtx4090"}}
        for name, content in files.items():
            (self.folder / name).write_text(json.dumps(content))
        (self.folder / "gpu_model_e_after.json").write_text("{")
        found = gpu_model.model_of(self.folder, "NVIDIA GeForce RTX 4090", figures)
        self.assertEqual((found["file"], found["commit"], found["weight_ms"]), ("gpu_model_a_after.json", "def", 2.0))
        for card in ("NVIDIA GeForce RTX 4080", "NVIDIA A100-SXM4-80GB", "NVIDIA GeForce RTX 40900"):
            self.assertIsNone(gpu_model.model_of(self.folder, card, figures))
        for key in gpu_model.SAME:
            self.assertIsNone(gpu_model.model_of(self.folder, "NVIDIA GeForce RTX 4090", {**figures, key: "other"}))
        self.assertTrue(gpu_model.names_card("a100", "NVIDIA A100-SXM4-80GB"))
        self.assertFalse(gpu_model.names_card("h200", "NVIDIA GH200 480GB"))

    def test_goes_on_after_failures(self):
        cases = {
            "lane order": ("cuda_tests test_cuda_mma", "1 test cases failed: adds up"),
            "kernels": ("cuda_tests own", "1 test cases failed: adds up"),
            "parity": ("parity nb201_c4_n1_k1 fp32", "1 of 2 files: nb201_c4_n1_k1.safetensors"),
            "bench_device": ("bench_device --json", "exit code 3"),
            "bench_step K 4": ("bench_step --json 4", "exit code 3"),
            "evidence": ("drnas_search every=1", "other than without evidence: val_loss"),
            "racecheck": ("compute-sanitizer racecheck", "1 hazards"),
        }
        report, text = self.collected(1, FAKE_FAIL=";".join(failing for failing, _ in cases.values()))
        self.assertEqual([failure["step"] for failure in report["failures"]], list(cases))
        for failure in report["failures"]:
            self.assertIn(cases[failure["step"]][1], failure["why"])
            self.assertIn(f"FAILED {failure['step']}", text)
        self.assertEqual(report["first_verdict"]["good"], False)
        self.assertIn("lane order failed, kernels failed", report["first_verdict"]["text"])
        self.assertEqual(report["steps"]["memcheck"]["status"], "passed")
        self.assertEqual(report["steps"]["vendor calls"]["status"], "passed")
        self.assertEqual(report["steps"]["PyTorch published float32 K 8"]["status"], "passed")

    def memcheck(self, output, limit=30, after=0, late=False):
        """What the step makes of a sanitizer that prints this for test cases beyond `after`."""
        self.machine()
        programs = gpu_programs.Programs({"cuda_tests": str(self.folder / "pack/bin/cuda_tests")}, {}, "carried", "abc")
        context = gpu_steps.Context(None, programs, str(self.folder), str(ROOT), None, None)
        variables = {"FAKE_SANITIZER": output, "FAKE_SANITIZER_AFTER": str(after), "PATH": str(self.folder / "path")}
        if late:
            variables["late"] = "1"
        with unittest.mock.patch.dict(os.environ, variables):
            return gpu_sanitizer.sanitizer(context, "memcheck", "ERROR SUMMARY", gpu_steps.WITHOUT_VENDOR, limit)

    def test_a_sanitizer_step_cut_by_time_is_clean_as_far_as_it_came(self):
        with self.assertRaisesRegex(gpu_programs.Partial, "6 of 30 test cases within the time, nothing found") as caught:
            self.memcheck("========= COMPUTE-SANITIZER", limit=4.5, after=6, late=True)
        self.assertEqual(caught.exception.figures["cases_checked"], 6)
        report = gpu_check.Report(str(self.json), {}, time.monotonic() + 100)

        def cut(limit):
            raise gpu_programs.Partial("6 of 30", {"cases_checked": 6})

        with contextlib.redirect_stdout(io.StringIO()):
            report.step("memcheck", 10, cut)
            self.assertTrue(report.finish())
        entry = json.loads(self.json.read_text())["steps"]["memcheck"]
        self.assertEqual((entry["status"], entry["cases_checked"]), ("partial, clean", 6))

    def test_a_finding_counts_also_where_time_ends_the_step(self):
        finding = "========= Invalid __global__ read of size 4 bytes\n=========     at fill_kernel"
        with self.assertRaisesRegex(gpu_programs.Failed, "test cases 1 to 3: cut by time after a finding"):
            self.memcheck(finding, limit=4, late=True)
        with self.assertRaisesRegex(gpu_programs.Failed, "test cases 7 to 9: ERROR SUMMARY: 2 errors"):
            self.memcheck(finding + "\n========= ERROR SUMMARY: 2 errors", after=6)

    def test_a_sanitizer_that_cannot_work_is_skipped(self):
        for line in ("========= Error: No attachable process found. compute-sanitizer timed-out.",
                     "========= Internal Sanitizer Error: cannot patch\n========= ERROR SUMMARY: 1 error",
                     "========= Error: device not supported. Please refer to the list"):
            with self.assertRaisesRegex(gpu_programs.Skipped, "does not work here: .*" + line[10:30].strip()):
                self.memcheck(line)
        with self.assertRaisesRegex(gpu_programs.Failed, "no summary in its output"):
            self.memcheck("nothing to say")

    def test_only_tests_must_be_reached(self):
        report = gpu_check.Report(str(self.json), {}, time.monotonic() - 1)
        with contextlib.redirect_stdout(io.StringIO()):
            report.step("memcheck", 100, lambda limit: {}, must=True)
            report.step("bench_device", 100, lambda limit: {})
            self.assertFalse(report.finish())
        data = json.loads(self.json.read_text())
        self.assertEqual([failure["step"] for failure in data["failures"]], ["memcheck"])
        self.assertEqual(data["steps"]["bench_device"]["status"], "not reached")

    def test_a_carried_build_for_another_card_is_not_used(self):
        self.machine()
        with self.assertRaisesRegex(gpu_programs.CheckError, "the card has 8.0"):
            gpu_programs.carried_programs(str(self.folder / "pack"), "8.0", str(self.folder))

    def test_carried_libraries_are_used_only_where_they_lack(self):
        # A linker that knows libold in a version too old and, once that is replaced, lacks libnew.
        self.stand_in(
            "path/ldd",
            "#!/bin/sh\nused=${LD_LIBRARY_PATH%%:*}\n"
            "[ -e $used/libold.so.1 ] || echo \"$1: /lib/libold.so.1: version \\`V_2' not found (required by $1)\"\n"
            "[ ! -e $used/libold.so.1 ] || [ -e $used/libnew.so.1 ] || echo '\tlibnew.so.1 => not found'\n"
            "echo '\tlibfound.so.1 => /lib/libfound.so.1 (0x0)'\necho '\tlibgone.so.1 => not found'\n",
        )
        carried = self.folder / "carried"
        carried.mkdir()
        for name in ("libold.so.1", "libnew.so.1", "libfound.so.1"):
            (carried / name).write_text("")
        used = self.folder / "used"
        with unittest.mock.patch.dict(os.environ, {"PATH": f"{self.folder / 'path'}:{os.environ['PATH']}"}):
            environment, missing = gpu_programs.complete_libraries(
                ["program"], ["libc.so.6", "libunopened.so.1"], str(carried), str(used)
            )
        self.assertEqual(sorted(path.name for path in used.iterdir()), ["libnew.so.1", "libold.so.1"])
        self.assertEqual(missing, ["libgone.so.1", "libunopened.so.1"])
        self.assertEqual(environment["LD_LIBRARY_PATH"].split(":")[0], str(used))

    def test_a_command_past_its_limit_is_ended_with_its_children(self):
        mark = self.folder / "late"
        begin = time.monotonic()
        done = gpu_programs.run(["/bin/sh", "-c", f"echo begun; (sleep 1; touch '{mark}') & wait"], 0.3)
        self.assertTrue(done.over)
        self.assertEqual(done.output, "begun\n")
        self.assertLess(time.monotonic() - begin, 0.95)
        time.sleep(1.2)
        self.assertFalse(mark.exists())


class Pack(unittest.TestCase):
    def test_bad_options_are_one_line(self):
        cases = {
            ("--bad",): "--bad: unknown option, expected one of those that --help lists",
            ("--limit-mb", "few"): "--limit-mb few: expected a whole number",
            ("--out", str(ROOT / "tools")): f"{ROOT / 'tools'}: exists and is no pack",
        }
        for options, text in cases.items():
            command = [ROOT / "tools" / "gpu" / "pack_for_gpu.sh", *options]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (2, "", f"error: {text}\n"))

    @unittest.skipUnless(shutil.which("shellcheck"), "shellcheck is not installed")
    def test_scripts_pass_shellcheck(self):
        scripts = sorted((ROOT / "tools").rglob("*.sh"))
        done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)


if __name__ == "__main__":
    unittest.main()
