# SPDX-License-Identifier: MIT
"""A report page in headless Chromium: what its probe finds there, pictures and prints."""

import html
import json
import pathlib
import re
import shutil
import subprocess
import tempfile

PHONE, DESKTOP = 390, 1280  # widths in pixels

HERE = pathlib.Path(__file__).resolve().parent


def script(name, **values):
    """A script beside this file as an element; values replace the words of that name."""
    text = (HERE / name).read_text(encoding="utf-8")
    for word, value in values.items():
        text = text.replace(word, value)
    return f"<script>{text}</script>"


# Pages side by side in one browser: starting one costs more than a page. Their frames may be
# narrower than Chromium's windows. Answers of their probes end up in one element.
FRAMES = """<!DOCTYPE html><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<style>body { margin: 0 } iframe { border: 0; display: block }</style>
IFRAMES
<script>
const answers = {};
addEventListener('message', (event) => {
  const frame = [...document.querySelectorAll('iframe')].find((f) => f.contentWindow === event.source);
  answers[frame.id] = JSON.parse(event.data);
  document.getElementById('probe').textContent = JSON.stringify(answers);
});
</script><pre id="probe" hidden></pre>"""


class Browser:
    """Runs Chromium on files of a scratch folder."""

    def __init__(self):
        names = ("chromium", "chromium-browser", "google-chrome", "chrome")
        self.program = next(filter(None, map(shutil.which, names)), None)
        self.scratch = tempfile.TemporaryDirectory(prefix="drnas-report-")
        self.folder = pathlib.Path(self.scratch.name)

    def run(self, page, *options, width=DESKTOP, height=900, dark=False):
        words = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *options]
        words += [
            "--virtual-time-budget=4000",
            f"--user-data-dir={self.folder / 'profile'}",
            f"--window-size={width},{height}",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        ]
        # Ends a browser that hangs; a busy machine may need minutes.
        return subprocess.run(
            [self.program, *words, page.resolve().as_uri()],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=1200,
            check=False,
        )

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def framed(self, sizes):
        """A page of frames: { name of a written page: (width, height) }."""
        frames = [
            f'<iframe id="{name}" src="{name}.html" width="{width}" height="{height}"></iframe>'
            for name, (width, height) in sizes.items()
        ]
        return self.write("frames.html", FRAMES.replace("IFRAMES", "\n".join(frames)))

    def probe(self, pages, dark=False):
        """What the probe finds (report_probe.js) in pages { name: (text, width, operate) }."""
        for name, (text, _, operate) in pages.items():
            probed = text.replace("<head>", "<head>" + script("report_collector.js"), 1)
            cut = probed.rindex("</body>")
            probe = script("report_probe.js", OPERATE="true" if operate else "false")
            self.write(f"{name}.html", probed[:cut] + probe + probed[cut:])
        frames = self.framed({name: (width, 900) for name, (_, width, _) in pages.items()})
        result = self.run(frames, "--dump-dom", dark=dark)
        found = re.search(r'<pre id="probe" hidden="">(.*?)</pre>', result.stdout, re.DOTALL)
        answers = json.loads(html.unescape(found.group(1)) or "{}") if found else {}
        silent = [name for name in pages if name not in answers]
        if silent:
            raise AssertionError(f"no answer from {silent}\n{result.stderr[-1500:]}")
        return answers

    def picture(self, text, out, height, phone=False, dark=False):
        self.write("shown.html", text)
        page = self.framed({"shown": (PHONE if phone else DESKTOP, height)})
        width = max(500, PHONE) if phone else DESKTOP
        self.run(page, f"--screenshot={out.resolve()}", width=width, height=height, dark=dark)

    def pdf(self, text, out, dark=False):
        page = self.write("printed.html", text)
        self.run(page, f"--print-to-pdf={out.resolve()}", "--no-pdf-header-footer", dark=dark)
