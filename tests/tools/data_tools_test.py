# SPDX-License-Identifier: MIT
"""The scripts of tools/data on files that the tests write."""

import collections
import pathlib
import pickle
import subprocess
import sys
import tempfile
import types
import unittest
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True


def run(tool, *arguments):
    return subprocess.run([sys.executable, "-B", str(ROOT / "tools" / "data" / tool), *map(str, arguments)],
                          capture_output=True, text=True, check=False)


class Case(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="drnas-tools-")
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def check_error(self, result, *parts):
        self.assertEqual(result.returncode, 1, result)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        for part in parts:
            self.assertIn(part, result.stderr)


class MakeSubset(Case):
    def setUp(self):
        super().setUp()
        for name, count in (("ant", 40), ("bee", 80), ("cat", 41)):
            (self.folder / "train" / name).mkdir(parents=True)
            for i in range(count):
                (self.folder / "train" / name / f"{name}_{i}.JPEG").touch()
            (self.folder / "train" / name / "notes.txt").touch()
            (self.folder / "train" / name / ".hidden.jpg").touch()

    def subset(self, out, *arguments):
        return run("make_subset.py", "--data", self.folder, "--out", self.folder / out, *arguments)

    def lists(self, out):
        return [(self.folder / out / name).read_text().splitlines()
                for name in ("train.txt", "val.txt")]

    def test_lists_are_balanced_disjoint_and_exist(self):
        result = self.subset("one", "--share", "0.1", "--share", "0.025", "--seed", "3")
        self.assertEqual(result.returncode, 0, result)
        train, val = self.lists("one")
        for lines, counts in ((train, (4, 8, 4)), (val, (1, 2, 1))):
            found = collections.Counter(line.split("/")[0] for line in lines)
            self.assertEqual(tuple(found[name] for name in ("ant", "bee", "cat")), counts)
            self.assertEqual(len(set(lines)), len(lines))
            for line in lines:
                self.assertTrue((self.folder / "train" / line).is_file(), line)
                self.assertTrue(line.endswith(".JPEG"), line)
        self.assertFalse(set(train) & set(val))
        self.assertIn("16 images of 3 classes", result.stdout)

    def test_a_seed_repeats_and_another_differs(self):
        arguments = ("--share", "0.5", "--share", "0.5")
        for out, seed in (("a", 1), ("b", 1), ("c", 2)):
            (self.folder / "train" / "cat" / "cat_40.JPEG").unlink(missing_ok=True)
            self.assertEqual(self.subset(out, *arguments, "--seed", seed).returncode, 0)
        self.assertEqual(self.lists("a"), self.lists("b"))
        self.assertNotEqual(self.lists("a"), self.lists("c"))
        train, val = self.lists("a")
        self.assertEqual(len(set(train) | set(val)), 160)
        # No share is a prefix of the names in order.
        self.assertNotEqual(train[:20], [f"ant/ant_{i}.JPEG" for i in range(20)])

    def test_errors_are_one_line(self):
        two = ("--share", "0.1", "--share", "0.025")
        self.check_error(self.subset("x", "--share", "0.1"), "--share", "twice")
        self.check_error(self.subset("x", "--share", "0.9", "--share", "0.2"), "at most 1")
        # 20.5 and 20.5 of 41 round up to 42.
        self.check_error(self.subset("x", "--share", "0.5", "--share", "0.5"), "class cat", "42")
        self.check_error(self.subset("x", "--share", "0.1", "--share", "0.001"), "class ant", "none")
        self.check_error(run("make_subset.py", "--data", self.folder / "no", *two, "--out",
                             self.folder), "not found")
        (self.folder / "train" / "dog").mkdir()
        self.check_error(self.subset("x", *two), "dog", "without images")
        self.assertFalse((self.folder / "x").exists())
        self.assertEqual(self.subset("x", "--share", "0", "--share", "1").returncode, 2)


class Reduced:
    """Pickles as what `reduce` gives."""

    def __init__(self, *reduce):
        self.reduce = reduce

    def __reduce__(self):
        return self.reduce


def stand_ins():
    """numpy's names, as far as a pickle of an array says them."""
    numpy, core, multiarray = (types.ModuleType(name)
                               for name in ("numpy", "numpy.core", "numpy.core.multiarray"))

    def named(name, module):
        def call(*_):
            raise NotImplementedError
        call.__qualname__ = call.__name__ = name
        call.__module__ = module.__name__
        setattr(module, name, call)
        return call
    modules = {m.__name__: m for m in (numpy, core, multiarray)}
    return modules, {name: named(name, module) for name, module in
                     (("ndarray", numpy), ("dtype", numpy), ("_reconstruct", multiarray))}


def array(names, code, shape, data):
    kind = Reduced(names["dtype"], (code, False, True),
                   (3, "|" if code == "u1" else "<", None, None, None, -1, -1, 0))
    return Reduced(names["_reconstruct"], (names["ndarray"], (0,), b"b"),
                   (1, shape, kind, False, data))


class ImageNet16(Case):
    def write(self, name, labels, label_array=False, pixels=768, protocol=2):
        """Returns the images' bytes."""
        data = bytes((7 * i + len(name)) % 251 for i in range(len(labels) * pixels))
        modules, names = stand_ins()
        sys.modules.update(modules)
        try:
            if label_array:
                packed = b"".join(label.to_bytes(8, "little") for label in labels)
                labels = array(names, "i8", (len(labels),), packed)
                count = len(packed) // 8
            else:
                count = len(labels)
            # The release's training batches hold the mean image as well.
            batch = {"data": array(names, "u1", (count, pixels), data), "labels": labels,
                     "mean": array(names, "f8", (2,), b"\0" * 16)}
            (self.folder / name).write_bytes(pickle.dumps(batch, protocol))
        finally:
            for module in modules:
                del sys.modules[module]
        return data

    def convert(self):
        return run("convert_imagenet16.py", "--data", self.folder, "--out", self.folder / "out")

    def test_keeps_120_classes_and_their_pixels(self):
        labels = {f"train_data_batch_{i}": list(range(100 * i - 99, 100 * i + 1))
                  for i in range(1, 11)}
        images = {name: self.write(name, part, protocol=4 if name.endswith("2") else 2)
                  for name, part in labels.items()}
        test = list(range(121, 0, -1)) + [1000, 0]
        test_images = self.write("val_data", test, label_array=True)
        result = self.convert()
        self.assertEqual(result.returncode, 0, result)
        train = (self.folder / "out" / "train.bin").read_bytes()
        self.assertEqual(len(train), 120 * 769)
        for i in range(120):
            name, at = (f"train_data_batch_{1 + i // 100}", i % 100)
            self.assertEqual(train[769 * i], i)
            self.assertEqual(train[769 * i + 1:769 * (i + 1)],
                             images[name][768 * at:768 * (at + 1)])
        records = (self.folder / "out" / "test.bin").read_bytes()
        self.assertEqual([records[769 * i] for i in range(120)], list(range(119, -1, -1)))
        self.assertEqual(records[1:769], test_images[768:2 * 768])

    def test_errors_are_one_line_and_leave_nothing(self):
        self.check_error(self.convert(), "train_data_batch_1", "not found")
        for i in range(1, 11):
            self.write(f"train_data_batch_{i}", [i])
        self.write("val_data", [1])
        self.check_error(self.convert(), "train.bin", "10 classes")
        self.write("train_data_batch_3", [1, 2], pixels=3072)
        self.check_error(self.convert(), "train_data_batch_3", "[2, 3072]", "[2, 768]")
        (self.folder / "train_data_batch_3").write_bytes(b"garbage")
        self.check_error(self.convert(), "train_data_batch_3", "no pickle")
        (self.folder / "train_data_batch_3").write_bytes(pickle.dumps(Reduced(print, ("run",))))
        result = self.convert()
        self.check_error(result, "train_data_batch_3", "builtins.print", "expected arrays")
        self.assertNotIn("run", result.stdout)
        self.assertEqual(list((self.folder / "out").iterdir()), [])


class Svhn(Case):
    def test_converts_or_says_what_is_missing(self):
        arguments = ("--data", self.folder, "--out", self.folder / "out")
        self.check_error(run("convert_svhn.py", *arguments), "train_32x32.mat", "not found")
        try:
            import numpy
            from scipy.io import savemat
        except ImportError:
            (self.folder / "train_32x32.mat").touch()
            self.check_error(run("convert_svhn.py", *arguments), "scipy", "pip install")
            return
        images = numpy.arange(32 * 32 * 3 * 3, dtype=numpy.uint32).astype(numpy.uint8)
        images = images.reshape(32, 32, 3, 3)
        for part in ("train", "test"):
            savemat(self.folder / f"{part}_32x32.mat",
                    {"X": images, "y": numpy.array([[1], [10], [9]])})
        result = run("convert_svhn.py", *arguments)
        self.assertEqual(result.returncode, 0, result)
        records = (self.folder / "out" / "train.bin").read_bytes()
        self.assertEqual(len(records), 3 * 3073)
        self.assertEqual([records[3073 * i] for i in range(3)], [1, 0, 9])
        self.assertEqual(records[3073 + 1 + 1024 * 2 + 32 * 5 + 7], images[5, 7, 2, 1])
        savemat(self.folder / "test_32x32.mat", {"X": images, "y": numpy.array([[1], [11], [9]])})
        self.check_error(run("convert_svhn.py", *arguments), "label 11 of image 1", "1 to 10")


class PackTable(Case):
    OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    HEADER = "architecture,cifar10_test,cifar100_test,imagenet16_120_test"

    def pack(self, lines, header=HEADER):
        (self.folder / "table.csv").write_text("\n".join([header, *lines]) + "\n")
        return run("pack_nb201_table.py", self.folder / "table.csv", self.folder / "table.bin")

    def rows(self):
        """All cells in a mixed order; accuracies follow from a cell's number."""
        for n in (i * 7 % 5 ** 6 for i in range(5 ** 6)):
            a, b, c, d, e, f = (self.OPERATIONS[n // 5 ** digit % 5] for digit in range(5, -1, -1))
            yield f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|,{n % 10001 / 100:.2f},{n % 101},{n % 7 + 0.004:.3f}"

    def test_planes_of_bytes_by_the_number_of_the_cell(self):
        result = self.pack(list(self.rows()))
        self.assertEqual(result.returncode, 0, result)
        planes = zlib.decompress((self.folder / "table.bin").read_bytes())
        n = 5 ** 6
        self.assertEqual(len(planes), 6 * n)
        values = [[256 * high + low for high, low in zip(planes[2 * s * n:], planes[(2 * s + 1) * n:(2 * s + 2) * n])]
                  for s in range(3)]
        self.assertEqual(values[0], [i % 10001 for i in range(n)])
        self.assertEqual(values[1], [i % 101 * 100 for i in range(n)])
        self.assertEqual(values[2], [i % 7 * 100 for i in range(n)])

    def test_bad_tables_are_named(self):
        row = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
        self.check_error(self.pack([], "architecture,cifar10"), "table.csv: header")
        self.check_error(self.pack([f"{row},1,2,100.1"]), "line 2", "0 to 100")
        self.check_error(self.pack([f"{row},1,2,x"]), "table.csv")
        self.check_error(self.pack([f"{row},1,2,3"]), "1 architectures, expected 15625")
        self.check_error(self.pack(["|conv~0|,1,2,3"]), "'|conv~0|'", "expected six of")


if __name__ == "__main__":
    unittest.main()
