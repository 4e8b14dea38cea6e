// SPDX-License-Identifier: MIT
// Put before all else into a report by the browser test: collects what goes wrong.
'use strict';

window.probeErrors = [];
addEventListener('error', (event) => probeErrors.push(String(event.message)));
addEventListener('unhandledrejection', (event) => probeErrors.push(String(event.reason)));
for (const kind of ['error', 'warn']) {
  const usual = console[kind];
  console[kind] = (...words) => {
    probeErrors.push(words.join(' '));
    usual(...words);
  };
}
