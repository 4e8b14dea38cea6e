# SPDX-License-Identifier: MIT
"""What gpu_check.py runs: commands with a time limit, and the programs, carried or built here."""

import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

PROGRAMS = ("cuda_tests", "parity", "bench_device", "bench_step", "bench_train", "drnas_search")
OPTIONAL = ("drnas_tests",)
BUILT_AT = {
    "cuda_tests": "tests",
    "drnas_tests": "tests",
    "parity": "tests",
    "bench_device": "bench",
    "bench_step": "bench",
    "bench_train": "bench",
    "drnas_search": ".",
}
TAIL = 4000  # characters of a failed command's output that are kept


class CheckError(Exception):
    """A one-line message."""


class Skipped(Exception):
    """The step does not apply on this machine."""


class Failed(Exception):
    """The step ran and something was wrong; figures are kept."""

    def __init__(self, why, figures=None):
        super().__init__(why)
        self.figures = figures or {}


class Partial(Exception):
    """The step ran out of time, and nothing was wrong in what it reached."""

    def __init__(self, why, figures):
        super().__init__(why)
        self.figures = figures


class Done:
    """How a command ended."""

    def __init__(self, code, output, seconds, over):
        self.code, self.output, self.seconds, self.over = code, output, seconds, over

    def problem(self, limit):
        """Empty where it ended well, else one line."""
        if self.over:
            return f"ran past its limit of {limit:.0f} s"
        if self.code != 0:
            lines = [line for line in self.output.strip().splitlines() if line.strip()]
            how = f"signal {-self.code}" if self.code < 0 else f"exit code {self.code}"
            return how + (": " + lines[-1].strip()[:300] if lines else "")
        return ""


def run(command, limit, environment=None, cwd=None, watch=None):
    """Runs a command in a session of its own and ends that after `limit` seconds. `watch` is
    called about ten times a second."""
    begin = time.monotonic()
    with tempfile.TemporaryFile() as stream:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            return Done(127, f"{command[0]}: {error.strerror}", 0.0, False)
        over = False
        try:
            while process.poll() is None:
                if time.monotonic() - begin > limit:
                    over = True
                    break
                if watch:
                    watch()
                time.sleep(0.1 if time.monotonic() - begin > 1 else 0.02)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        seconds = time.monotonic() - begin
        stream.seek(0)
        output = stream.read().decode("utf-8", "replace")
    return Done(process.returncode, output, seconds, over)


def unpack(archive, folder, limit=120):
    """Unpacks a tar archive of any compression."""
    os.makedirs(folder, exist_ok=True)
    if shutil.which("tar") and run(["tar", "xf", archive, "-C", folder], limit).code == 0:
        return
    try:
        with tarfile.open(archive) as file:
            if hasattr(tarfile, "data_filter"):
                file.extractall(folder, filter="data")
            else:
                file.extractall(folder)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise CheckError(f"{archive}: cannot be unpacked: {error}") from None


def missing_libraries(programs, opened, environment):
    """Names that the dynamic linker does not find, or finds too old, for the programs or when they open them."""
    missing = set()
    for name in opened:
        if run([sys.executable, "-c", f"import ctypes; ctypes.CDLL({name!r})"], 30, environment).code != 0:
            missing.add(name)
    for program in programs:
        done = run(["ldd", program], 30, environment)
        missing.update(re.findall(r"^\s*(\S+) => not found", done.output, re.MULTILINE))
        old = re.findall(r"(\S+): version `\S+' not found", done.output)
        missing.update(os.path.basename(path) for path in old)
    return sorted(missing)


def library_folders():
    """Where CUDA and cuDNN lie when the linker does not know of them."""
    patterns = [os.path.join(os.environ[key], "lib64") for key in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(key)]
    patterns += ["/usr/local/cuda/lib64", "/usr/local/cuda/targets/*/lib", "/usr/local/cuda-*/lib64"]
    for path in sys.path:
        if path.endswith("-packages"):
            patterns.append(os.path.join(path, "nvidia", "*", "lib"))
    return [folder for pattern in patterns for folder in sorted(glob.glob(pattern))]


def complete_libraries(programs, opened, carried, used):
    """LD_LIBRARY_PATH under which the programs start and find the libraries that they open: carried
    libraries only where this machine lacks them, then folders of CUDA. Returns the environment and
    what is still missing."""
    before = [path for path in os.environ.get("LD_LIBRARY_PATH", "").split(":") if path]
    folders = library_folders()
    added = []
    os.makedirs(used, exist_ok=True)
    while True:
        environment = {"LD_LIBRARY_PATH": ":".join([used] + added + before)}
        missing = missing_libraries(programs, opened, environment)
        progress = False
        for name in missing:
            source, target = os.path.join(carried, name), os.path.join(used, name)
            if os.path.exists(source) and not os.path.exists(target):
                shutil.copy(source, target)
                progress = True
                continue
            folder = next((f for f in folders if os.path.exists(os.path.join(f, name)) and f not in added), None)
            if folder:
                added.append(folder)
                progress = True
        if not missing or not progress:
            return environment, missing


class Programs:
    """Paths by name, the environment they need, and where they come from."""

    def __init__(self, paths, environment, source, commit):
        self.paths, self.environment, self.source, self.commit = paths, environment, source, commit


def read_pack(pack):
    """pack.json, or nothing where there is no pack."""
    try:
        with open(os.path.join(pack, "pack.json"), encoding="utf-8") as stream:
            return json.load(stream)
    except OSError:
        return None
    except ValueError as error:
        raise CheckError(f"{pack}/pack.json: {error}") from None


def carried_programs(pack, capability, scratch):
    """The programs of the pack; CheckError where they do not run here."""
    about = read_pack(pack)
    if about is None:
        raise CheckError(f"no carried build in {pack}")
    if float(capability) < about["architecture"] / 10:
        raise CheckError(f"the carried build is for {about['architecture'] / 10}, the card has {capability}")
    paths = {name: os.path.join(pack, "bin", name) for name in PROGRAMS + OPTIONAL}
    paths = {name: path for name, path in paths.items() if os.path.exists(path)}
    lacking = [name for name in PROGRAMS if name not in paths]
    if lacking:
        raise CheckError(f"{pack}/bin lacks {', '.join(lacking)}")
    for path in paths.values():
        if not os.access(path, os.X_OK):
            os.chmod(path, 0o755)
    libraries = os.path.join(scratch, "carried")
    archive = os.path.join(pack, "lib.tar.xz")
    if os.path.exists(archive):
        unpack(archive, libraries)
    used = os.path.join(scratch, "lib")
    environment, missing = complete_libraries(paths.values(), about.get("needs", []), libraries, used)
    if missing:
        raise CheckError(f"the carried build lacks {', '.join(missing)}")
    for name in ("bench_step", "bench_device", "drnas_search"):
        problem = run([paths[name], "--help"], 30, environment).problem(30)
        if problem:
            raise CheckError(f"the carried {name} does not run: {problem}")
    return Programs(paths, environment, "carried", about.get("commit"))


def commit_of(root):
    done = run(["git", "-C", root, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"], 20)
    return done.output.strip() if done.code == 0 else "unknown"


def built_programs(root, folder, limit):
    """Builds what is needed; no package manager, no network."""
    if not os.path.exists(os.path.join(root, "CMakeLists.txt")):
        raise CheckError(f"{root}: no sources to build")
    begin = time.monotonic()
    configure = ["cmake", "-S", root, "-B", folder, "-DDRNAS_CUDA=ON"]
    if not os.path.exists(os.path.join(folder, "CMakeCache.txt")):
        configure += ["-DCMAKE_CUDA_ARCHITECTURES=native"] + (["-G", "Ninja"] if shutil.which("ninja") else [])
    build = ["cmake", "--build", folder, "-j", str(os.cpu_count() or 1), "--target", *PROGRAMS, *OPTIONAL]
    for command in (configure, build):
        left = limit - (time.monotonic() - begin)
        done = run(command, max(left, 1))
        if done.code != 0:
            raise CheckError(f"{' '.join(command[:2])}: {done.problem(limit)}")
    paths = {name: os.path.join(folder, BUILT_AT[name], name) for name in PROGRAMS + OPTIONAL}
    return Programs(paths, {}, "built here", commit_of(root))
