// A real `fineline serve` on a temporary folder and free loopback ports, for the client and browser tests.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');
export const program = process.env.FINELINE ?? join(root, 'target', 'debug', 'fineline');

export const freePort = () =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

// Starts a house with the shop's promise; `origin` is the page origin that may send from browsers.
export async function openHouse({ origin = 'http://localhost:4000' } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'fineline-test-'));
  const promise = join(folder, 'promise.toml');
  const shop = readFileSync(join(root, 'crates/promise/fixtures/shop.toml'), 'utf8');
  writeFileSync(promise, shop.replaceAll('http://localhost:4000', origin));
  const data = join(folder, 'data');
  const run = (...args) =>
    execFileSync(program, [...args, '--promise', promise, '--data', data], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim();
  run('init');
  run('apply', '--as', 'Test', '--yes');
  const keys = { web: JSON.parse(run('source', 'key', 'web', '--json')).key, shop: JSON.parse(run('source', 'key', 'shop', '--json')).key };
  const [port, consolePort] = [await freePort(), await freePort()];
  const url = `http://127.0.0.1:${port}`;
  const server = spawn(
    program,
    ['serve', '--promise', promise, '--data', data, '--listen', `127.0.0.1:${port}`, '--console-listen', `127.0.0.1:${consolePort}`],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  server.stderr.on('data', (chunk) => (log += chunk));
  await ready(`${url}/readyz`, server, () => log);

  const asServer = (path, body, headers = {}) =>
    fetch(`${url}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { authorization: `Basic ${Buffer.from(`${keys.shop}:`).toString('base64')}`, 'content-type': 'application/json', ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });

  return {
    url,
    consoleUrl: `http://127.0.0.1:${consolePort}`,
    keys,
    folder,
    asServer,
    log: () => log,
    // What the store holds about one person, as the company's server may ask: rows, not the client's own belief.
    async rowsOf(userId) {
      const found = await asServer('/v1/people/lookup', { userId });
      if (found.status === 404) return null;
      const { person } = await found.json();
      const answer = await asServer(`/v1/people/${person}`, undefined, { 'fineline-reason': 'client test' });
      return answer.json();
    },
    async close() {
      const gone = new Promise((resolve) => server.on('exit', resolve));
      server.kill('SIGTERM');
      await gone;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function ready(url, server, log) {
  const until = Date.now() + 30_000;
  while (Date.now() < until) {
    if (server.exitCode !== null) throw new Error(`fineline serve ended with ${server.exitCode}:\n${log()}`);
    const answer = await fetch(url).catch(() => null);
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`not ready within 30 s:\n${log()}`);
}

// The yes of one person, reported by the company's server with the words shown.
export const yesToOffers = (userId) => ({
  userId,
  purpose: 'offers',
  status: 'given',
  level: 'full',
  words: 'Send you offers picked from what you bought.',
  language: 'en',
  noticeVersion: 1,
});
