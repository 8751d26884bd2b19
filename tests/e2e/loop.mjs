// The newcomer's loop with real programs: swaks and curl as a person's mail program, Chromium at the width of a phone
// as the recipient's browser.
//
//   node loop.mjs READY SHOTS
//
// READY is quickstart's ready line, SHOTS a folder for screenshots.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';

const [, , readyLine, shots] = process.argv;
const ready = JSON.parse(readyLine);
const person = name => ready.users.find(user => user.address.startsWith(`${name}@`));
const port = name => ready.listeners[name].split(':').pop();
const alice = person('alice');
const folder = await mkdtemp(join(tmpdir(), 'sealpost-loop-'));
const exec = promisify(execFile);

const subject = 'Your blood count of Monday';
const secret = 'Your ferritin is at 18, please take the tablets with orange juice.';
const question = 'Thank you. With breakfast, or before it?';
const result = Buffer.from(`%PDF-1.4\n${'0123456789abcdef\n'.repeat(40_000)}%%EOF\n`);
const photo = Buffer.from(Array.from({ length: 70_000 }, (_, at) => (at * 7919) % 251));

try {
  await submit();
  const link = await notice();
  const receipt = await theReceipt();
  await withBrowser(page => loop(page, link, receipt));
  console.log('the loop is whole');
} finally {
  await rm(folder, { recursive: true });
}

async function loop(page, link, receipt) {
  await open(page, link);
  await giveCode(page, receipt.code);
  await read(page);
  await reply(page);
  await aliceReads();
  await anotherBrowser(page, link);
  await retract(page, receipt.status);
}

// ---------------------------------------------------------------- alice's mail program

async function submit() {
  await writeFile(join(folder, 'blood count.pdf'), result);
  await run('swaks', [
    '--server', 'localhost', '--port', port('submission'), '--tls', '--tls-verify', '--tls-ca-path', ready.ca,
    '--auth', 'PLAIN', '--auth-user', alice.address, '--auth-password', alice.app_password,
    '--from', alice.address, '--to', 'pat@outside.example', '--ehlo', 'laptop.example',
    '--header', `Subject: ${subject}`, '--body', `Dear Pat,\n\n${secret}\n\nAlice\n`,
    '--attach-type', 'application/pdf', '--attach-name', 'blood count.pdf', '--attach', `@${join(folder, 'blood count.pdf')}`,
  ]);
  say('swaks submitted over STARTTLS');
}

async function notice() {
  const list = await until('a notice in the outside inbox', async () => {
    const url = new URL('/outside.json?to=pat@outside.example', ready.outside);
    const all = JSON.parse(await curl([url.href]));
    return all.length > 0 && all;
  });
  assert.equal(list.length, 1);
  const whole = JSON.stringify(list[0]) + Buffer.from(list[0].raw, 'base64');
  for (const word of [subject, 'ferritin', 'blood', 'Alice']) {
    assert.ok(!whole.toLowerCase().includes(word.toLowerCase()), `the notice says ${word}`);
  }
  const lines = list[0].text.split(/\r?\n/).filter(line => line.includes('/pickup/'));
  assert.equal(lines.length, 1, list[0].text);
  assert.match(lines[0], /^https:\/\/localhost:\d+\/pickup\/[a-z2-7]{26}$/);
  assert.ok(lines[0].length <= 72);
  assert.ok(list[0].html.includes(lines[0]), 'the HTML part has the same link');
  say('the notice holds a link and nothing else');
  return lines[0];
}

async function theReceipt() {
  const text = await until('a receipt in INBOX', () => inbox('pat@outside.example'));
  const code = text.match(/\bCode: (\d{3}) ?(\d{3})\b/);
  const status = text.match(/https:\/\/localhost:\d+\/sent\/[a-z2-7]+/);
  assert.ok(code && status, text);
  say('alice has a receipt with a code, by curl over IMAP');
  return { code: code[1] + code[2], status: status[0] };
}

async function aliceReads() {
  const raw = await until('the reply in INBOX', () => newest(source => source.includes('With breakfast')));
  assert.match(raw, /^From:.*pat@outside\.example/im);
  assert.match(raw, /^In-Reply-To: <[^>]+>/im);
  assert.equal(Buffer.compare(attachment(raw, 'photo.jpg'), photo), 0, 'the photo came whole');

  const box = `pop3s://localhost:${port('pop3s')}`;
  const listed = (await curl([...login(), `${box}/`])).trim().split(/\r?\n/);
  const last = listed.at(-1).split(' ')[0];
  const popped = await curl([...login(), `${box}/${last}`]);
  assert.ok(popped.includes('With breakfast'), 'the newest message by POP3 is the reply');
  assert.equal(Buffer.compare(attachment(popped, 'photo.jpg'), photo), 0);
  say('alice read the reply by curl, over IMAP and POP3');
}

// The text of the newest message that mentions a word and has more to it than what alice sent.
async function inbox(word) {
  return newest(source => source.includes(word) && /\/sent\/[a-z2-7]+/.test(source));
}

async function newest(wanted) {
  const url = `imaps://localhost:${port('imaps')}/INBOX`;
  const found = await curl([...login(), url, '-X', 'UID SEARCH ALL']);
  const uids = found.replace('* SEARCH', '').trim().split(/\s+/).filter(Boolean).map(Number).sort((a, b) => b - a);
  for (const uid of uids.slice(0, 5)) {
    const source = await curl([...login(), `${url};UID=${uid}`]);
    const text = source + decoded(source);
    if (wanted(text)) return text;
  }
  return false;
}

function login() {
  return ['--user', `${alice.address}:${alice.app_password}`];
}

// ---------------------------------------------------------------- pat's browser

async function open(page, link) {
  await page.goto(link);
  assert.ok(!(await page.content()).includes('ferritin'));
  await shot(page, '1-open');
  await page.getByRole('button', { name: 'Open the message' }).click();
  await page.locator('input[autocomplete="one-time-code"]').waitFor();
  await shot(page, '2-code');
  say('pressed open: asked for the code');
}

async function giveCode(page, code) {
  const wrong = code === '000000' ? '111111' : '000000';
  await page.locator('input[name="code"]').fill(wrong);
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByRole('alert').waitFor();
  assert.match(await page.getByRole('alert').innerText(), /4 tries left/);
  await shot(page, '3-wrong-code');
  await page.locator('input[name="code"]').fill(code);
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByRole('heading', { name: subject }).waitFor();
  say('a wrong code costs a try, the right one opens');
}

async function read(page) {
  assert.ok((await page.locator('main').innerText()).includes(secret));
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), 'fits 390 px');
  await shot(page, '4-message');
  const waiting = page.waitForEvent('download');
  await page.getByRole('link', { name: 'blood count.pdf' }).click();
  const download = await waiting;
  assert.equal(download.suggestedFilename(), 'blood count.pdf');
  assert.equal(Buffer.compare(await readFile(await download.path()), result), 0, 'the attachment came whole');
  say('read it, fetched the attachment');
}

async function reply(page) {
  await page.getByRole('link', { name: 'Reply', exact: true }).click();
  await page.getByLabel('Your message').fill(question);
  await page.locator('input[type="file"]').setInputFiles({ name: 'photo.jpg', mimeType: 'image/jpeg', buffer: photo });
  await shot(page, '5-reply');
  await page.getByRole('button', { name: 'Send reply' }).click();
  await page.getByRole('heading', { name: 'Your reply has been delivered' }).waitFor();
  await shot(page, '6-replied');
  await page.goBack();
  say('replied with an attachment');
}

// A browser that never gave a code is asked for one, even while the other is signed in.
async function anotherBrowser(page, link) {
  const context = await page.context().browser().newContext({ ignoreHTTPSErrors: true });
  const other = await context.newPage();
  await other.goto(link);
  await other.getByRole('button', { name: 'Open the message' }).click();
  await other.locator('input[name="code"]').waitFor();
  await context.close();
  say('the same link in another browser asks for the code again');
}

// ---------------------------------------------------------------- alice's browser

async function retract(page, status) {
  const context = await page.context().browser().newContext({ ignoreHTTPSErrors: true });
  const mine = await context.newPage();
  await mine.goto(status);
  await mine.getByLabel('Address').or(mine.locator('input[name="login"]')).first().fill(alice.address);
  await mine.locator('input[name="password"]').fill(alice.password);
  await mine.locator('main form button').click();
  await mine.getByRole('heading', { name: 'pat@outside.example' }).waitFor();
  assert.match(await mine.locator('main').innerText(), /First opened\s+(?!Never)/);
  await shot(mine, '7-status');
  say('/sent says when it was opened');

  await mine.getByRole('link', { name: 'Take back' }).first().click();
  await shot(mine, '8-take-back');
  await mine.locator('main form button').click();
  await mine.getByText('Retracted').first().waitFor();
  await shot(mine, '9-taken-back');
  await context.close();

  await page.reload();
  const left = await page.content();
  assert.ok(!left.includes('ferritin') && !left.includes(subject), 'the open tab still shows the message');
  await page.getByRole('heading', { name: 'The sender took this message back' }).waitFor();
  await shot(page, '10-gone');
  say('taken back: the open tab closed at its next request');
}

async function withBrowser(work) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    chromiumSandbox: false,
    args: ['--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  try {
    // The certificate is checked by curl and swaks; a browser would want the authority in its own store.
    const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 390, height: 844 }, locale: 'en-US' });
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    const foreign = [];
    page.on('request', request => {
      if (!request.url().startsWith(ready.web)) foreign.push(request.url());
    });
    page.on('console', message => {
      if (message.type() === 'error' && /Content.Security.Policy/i.test(message.text())) foreign.push(message.text());
    });
    await work(page);
    assert.deepEqual(foreign, [], 'nothing was asked of another host, and nothing broke the content policy');
  } finally {
    await browser.close();
  }
}

// ---------------------------------------------------------------- small things

async function shot(page, name) {
  await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
}

async function curl(words) {
  return run('curl', ['--silent', '--show-error', '--max-time', '30', '--cacert', ready.ca, ...words]);
}

async function run(program, words) {
  try {
    return (await exec(program, words, { maxBuffer: 1 << 26, encoding: 'latin1' })).stdout;
  } catch (error) {
    throw new Error(`${program} ${words.join(' ')}\n${error.stdout}\n${error.stderr ?? error}`);
  }
}

// Asks until there is an answer: what is waited for happens in another process.
async function until(what, ask) {
  const end = Date.now() + 30_000;
  while (Date.now() < end) {
    const answer = await ask();
    if (answer) return answer;
    await pause(50);
  }
  throw new Error(`no ${what} within 30 s`);
}

// All parts of a message, decoded, as one text.
function decoded(source) {
  return parts(source).map(part => part.body.toString('utf8')).join('\n');
}

function attachment(source, name) {
  const part = parts(source).find(part => part.head.includes(name));
  assert.ok(part, `no attachment ${name}`);
  return part.body;
}

function parts(source) {
  const boundaries = [...source.matchAll(/boundary="?([^"\s;]+)/gi)].map(found => found[1]);
  let pieces = [source];
  for (const boundary of boundaries) pieces = pieces.flatMap(piece => piece.split(`--${boundary}`));
  return pieces.map(piece => {
    const at = piece.search(/\r?\n\r?\n/);
    const head = piece.slice(0, at);
    const body = piece.slice(at).replace(/^\r?\n\r?\n/, '');
    if (/transfer-encoding:\s*base64/i.test(head)) return { head, body: Buffer.from(body, 'base64') };
    if (/transfer-encoding:\s*quoted-printable/i.test(head)) {
      const text = body.replace(/=\r?\n/g, '').replace(/=([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
      return { head, body: Buffer.from(text, 'latin1') };
    }
    return { head, body: Buffer.from(body, 'latin1') };
  });
}

function say(words) {
  console.log(`- ${words}`);
}
