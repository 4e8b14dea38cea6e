# SPDX-License-Identifier: MIT
"""A report page in headless Chromium: what its probe finds there, pictures and prints."""

import html
import itertools
import json
import pathlib
import re
import shutil
import subprocess
import tempfile

PHONE = 390

COLLECTOR = """<script>
window.probeErrors = [];
addEventListener('error', (event) => probeErrors.push(String(event.message)));
addEventListener('unhandledrejection', (event) => probeErrors.push(String(event.reason)));
for (const kind of ['error', 'warn']) { const old = console[kind]; console[kind] = (...words) => { probeErrors.push(words.join(' ')); old(...words); }; }
</script>"""

PROBE = """<script>
(() => {
  const marks = (node) => node.querySelectorAll('.line path, .line circle, .band path, .band rect, .heat-cell').length;
  const bad = () => [...document.querySelectorAll('svg, svg *, [style]')].flatMap((node) => [...node.attributes]
    .filter((a) => a.name !== 'aria-label' && /NaN|undefined|Infinity|null/.test(a.value)).map((a) => `${node.nodeName} ${a.name}=${a.value.slice(0, 80)}`));
  const wide = () => [...document.querySelectorAll('body *')].filter((node) => !node.closest('.scroll, nav, .tip, .menu-body, .spoken') &&
    node.getBoundingClientRect().right > innerWidth + 1).map((node) => `${node.nodeName} ${node.className.baseVal ?? node.className}`);
  const look = () => ({
    sections: [...document.querySelectorAll('main > section')].map((node) => node.id),
    plots: [...document.querySelectorAll('figure.chart')].map((node) => [node.dataset.plot, marks(node)]),
    bad: bad().slice(0, 5), wide: wide().slice(0, 5), scroll: document.documentElement.scrollWidth, inner: innerWidth,
    height: Math.ceil(document.documentElement.getBoundingClientRect().height),
    heat: document.querySelectorAll('table.heat td').length, pruned: document.querySelectorAll('table.heat td.pruned').length,
    rows: document.querySelectorAll('.summary tbody tr').length, drawings: document.querySelectorAll('.drawing svg').length,
    text: document.body.innerText.length, injected: document.querySelectorAll('main b i, main td b').length,
    addresses: [...document.querySelectorAll('[src], [href]')].map((node) => node.getAttribute('src') ?? node.getAttribute('href')).filter((a) => !a.startsWith('#')),
  });
  const event = (node, name) => node.dispatchEvent(new Event(name, { bubbles: true }));
  function operate() {
    const every = (selector, act) => { for (let i = 0; i < document.querySelectorAll(selector).length; ++i) act(document.querySelectorAll(selector)[i]); };
    every('select', (node) => { for (const option of [...node.options]) { if (!node.isConnected) return; node.value = option.value; event(node, 'change'); } });
    every('input[type=radio]', (node) => node.click());
    every('input[type=range]', (node) => { for (const value of [node.min, node.max / 2, node.max]) { node.value = value; event(node, 'input'); } });
    every('.legend button', (node) => node.click());
    every('.heat tbody button', (node) => node.click());
    every('.chart-image', (node) => { for (const key of ['End', 'ArrowLeft', 'ArrowRight', 'Home', 'Escape'])
      node.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true })); });
    every('input[type=checkbox]', (node) => node.click());
  }
  function probe() {
    const before = look();
    const chart = document.querySelector('.chart-image[tabindex]');
    let read = '';
    if (chart) {
      chart.dispatchEvent(new KeyboardEvent('keydown', { key: 'End', bubbles: true }));
      read = chart.parentNode.querySelector('.tip').innerText;
      chart.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true }));
    }
    if (OPERATE) operate();
    const found = { before, after: look(), read, errors: window.probeErrors };
    const out = document.createElement('pre');
    out.id = 'probe';
    out.hidden = true;
    out.textContent = JSON.stringify(found);
    document.body.append(out);
    if (parent !== window) parent.postMessage(out.textContent, '*');
  }
  addEventListener('load', () => setTimeout(probe, 300));
})();
</script>"""

FRAME = """<!DOCTYPE html><meta charset="utf-8"><style>body{margin:0}iframe{border:0;display:block}</style>
<iframe src="PAGE" width="WIDTH" height="HEIGHT"></iframe>
<script>addEventListener('message', (event) => { const out = document.createElement('pre'); out.id = 'probe'; out.hidden = true;
out.textContent = event.data; document.body.append(out); });</script>"""


class Browser:
    """Runs Chromium on files of a scratch folder."""

    def __init__(self):
        self.program = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome")) if p), None)
        self.scratch = tempfile.TemporaryDirectory(prefix="drnas-report-")
        self.folder = pathlib.Path(self.scratch.name)
        self.counter = itertools.count()  # threads share a browser

    def run(self, page, *options, width=1280, height=900, dark=False):
        return subprocess.run(
            [self.program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=4000",
             f"--user-data-dir={self.folder / f'profile-{next(self.counter)}'}", f"--window-size={width},{height}",
             f"--blink-settings=preferredColorScheme={0 if dark else 1}", *options, page.resolve().as_uri()],
            capture_output=True, text=True, errors="replace", timeout=120, check=False)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def framed(self, page, height):
        return self.write(f"frame-{page.stem}.html", FRAME.replace("PAGE", page.name).replace("WIDTH", str(PHONE)).replace("HEIGHT", str(height)))

    def probe(self, name, text, operate=False, phone=False, dark=False):
        """What the probe finds in a page: dictionary of look() before and after operating it, errors."""
        probed = text.replace("<head>", "<head>" + COLLECTOR, 1)
        cut = probed.rindex("</body>")
        probed = probed[:cut] + PROBE.replace("OPERATE", "true" if operate else "false") + probed[cut:]
        page = self.write(f"{name}-probe.html", probed)
        result = self.run(self.framed(page, 900) if phone else page, "--dump-dom", dark=dark)
        found = re.search(r'<pre id="probe" hidden="">(.*?)</pre>', result.stdout, re.DOTALL)
        if not found:
            raise AssertionError(f"{name}: no answer from the page\n{result.stdout[-500:]}\n{result.stderr[-1500:]}")
        return json.loads(html.unescape(found.group(1)))

    def picture(self, page, out, height, phone=False, dark=False):
        shown = page
        if phone:
            copy = self.write(page.name, page.read_text(encoding="utf-8"))
            shown = self.framed(copy, height)
        self.run(shown, f"--screenshot={out.resolve()}", width=500 if phone else 1280, height=height, dark=dark)

    def pdf(self, page, out, dark=False):
        self.run(page, f"--print-to-pdf={out.resolve()}", "--no-pdf-header-footer", dark=dark)
