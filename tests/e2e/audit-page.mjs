// The page that verifies an export, in Chromium: a good export is green, each altered byte is red, and nobody is asked
// for anything.
//
//   node audit-page.mjs PAGE EXPORT FINGERPRINT SHOTS
//
// PAGE is what `sealpost audit page` prints, EXPORT what `audit export --opened` wrote, SHOTS a folder for screenshots.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const [, , pageFile, exportFile, fingerprint, shots] = process.argv;
const url = pathToFileURL(pageFile).href;
const good = await readFile(exportFile);
const lines = good.toString('utf8').split('\n').slice(0, -1);
const asked = [];

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  chromiumSandbox: false,
  args: ['--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
try {
  for (const [theme, width] of [['light', 1280], ['dark', 1280], ['light', 390], ['dark', 390]]) await looks(theme, width);
  await bytes();
  await withoutEd25519();
  await byKeyboard();
} finally {
  await browser.close();
}
assert.deepEqual(asked, [], 'nobody is asked for anything');
console.log('the page tells good from bad');

async function open(options, prepare) {
  const context = await browser.newContext({ locale: 'en-US', viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on('request', request => { if (request.url() !== url) asked.push(request.url()); });
  page.on('pageerror', error => asked.push(`error: ${error.message}`));
  if (prepare) await page.addInitScript(prepare);
  await page.goto(url);
  return page;
}

async function verdict(page, buffer, key = '') {
  await page.evaluate(() => { const v = document.getElementById('verdict'); v.dataset.state = ''; });
  await page.locator('#key').evaluate((field, value) => { field.value = value; }, key);
  await page.locator('#file').setInputFiles({ name: 'export.jsonl', mimeType: 'application/jsonl', buffer });
  await page.locator('#verdict[data-state=good], #verdict[data-state=bad]').waitFor();
  const state = await page.locator('#verdict').getAttribute('data-state');
  return { state, text: await page.locator('#verdict').innerText() };
}

async function looks(theme, width) {
  const page = await open({ colorScheme: theme, viewport: { width, height: 844 } });
  const name = `audit-page-${theme}-${width}`;
  await page.screenshot({ path: join(shots, `${name}-1-empty.png`) });
  const right = await verdict(page, good, fingerprint);
  assert.equal(right.state, 'good', right.text);
  assert.match(right.text, /Genuine and complete/);
  assert.match(await page.locator('#look').innerText(), /the one that you gave/);
  assert.match(await page.locator('#facts').innerText(), new RegExp(fingerprint));
  await page.screenshot({ path: join(shots, `${name}-2-good.png`), fullPage: true });
  const changed = lines.map((line, n) => n === 3 ? line.replace('"outcome":"0"', '"outcome":"1"') : line);
  assert.notDeepEqual(changed, lines);
  await page.getByRole('button', { name: 'Español' }).click();
  const wrong = await verdict(page, Buffer.from(changed.join('\n') + '\n'), fingerprint);
  assert.equal(wrong.state, 'bad');
  const position = JSON.parse(lines[3]).position;
  assert.match(wrong.text, new RegExp(`posición ${position} no es lo que se escribió|acompaña la entrada de la posición ${position}`));
  await page.screenshot({ path: join(shots, `${name}-3-bad.png`), fullPage: true });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `${name} is ${wide} px too wide`);
  await page.context().close();
}

async function bytes() {
  const page = await open({});
  assert.equal((await verdict(page, good)).state, 'good');
  assert.match(await page.locator('#look').innerText(), /gave no fingerprint/);
  const step = Math.max(1, Math.floor(good.length / 120));
  const places = [];
  for (let at = 0; at < good.length; at += step) places.push(at);
  places.push(good.length - 2, good.length - 1);
  for (const at of places) {
    const other = Buffer.from(good);
    other[at] ^= at % 2 ? 1 : 0x20;
    const { state } = await verdict(page, other);
    assert.equal(state, 'bad', `byte ${at} of ${good.length}: ${good.toString('utf8', Math.max(0, at - 30), at + 1)}`);
  }
  const joined = list => Buffer.from(list.join('\n') + '\n');
  for (const [what, list] of [
    ['an entry taken out', lines.toSpliced(3, 1)],
    ['two swapped', lines.toSpliced(3, 2, lines[4], lines[3])],
    ['one twice', lines.toSpliced(3, 0, lines[3])],
    ['the end cut off', lines.slice(0, -1)],
    ['only a header', lines.slice(0, 1)],
    ['something behind the end', [...lines, '{}']],
  ]) assert.equal((await verdict(page, joined(list))).state, 'bad', what);
  assert.equal((await verdict(page, Buffer.from(''))).state, 'bad', 'nothing');
  assert.equal((await verdict(page, Buffer.from('hello\n'))).state, 'bad', 'something else');
  assert.match((await verdict(page, good, '00'.repeat(32))).text, /another key/);
  await page.context().close();
}

// A browser that does not know Ed25519 uses the page's own.
async function withoutEd25519() {
  const page = await open({}, () => {
    const importKey = crypto.subtle.importKey.bind(crypto.subtle);
    crypto.subtle.importKey = (form, key, algorithm, ...rest) => {
      globalThis.refused = true;
      return algorithm?.name === 'Ed25519' ? Promise.reject(new DOMException('no', 'NotSupportedError')) : importKey(form, key, algorithm, ...rest);
    };
  });
  assert.equal((await verdict(page, good)).state, 'good');
  assert.ok(await page.evaluate(() => globalThis.refused), 'the browser’s was asked first');
  const header = JSON.parse(lines[0]);
  const at = header.checkpoint.length - 20;
  header.checkpoint = header.checkpoint.slice(0, at) + (header.checkpoint[at] === 'A' ? 'B' : 'A') + header.checkpoint.slice(at + 1);
  const other = [JSON.stringify(header), ...lines.slice(1)].join('\n') + '\n';
  assert.match((await verdict(page, Buffer.from(other))).text, /not signed/);
  await page.context().close();
}

async function byKeyboard() {
  const page = await open({});
  const reached = [];
  for (let n = 0; n < 5; n++) {
    await page.keyboard.press('Tab');
    reached.push(await page.evaluate(() => document.activeElement.id || document.activeElement.textContent));
  }
  assert.deepEqual(reached.slice(0, 4), ['English', 'Español', 'file', 'key']);
  await verdict(page, good);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'verdict', 'the verdict is read out');
  await page.context().close();
}
