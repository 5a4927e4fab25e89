// The unmodified browser library of Segment, on a page of its own origin: only its public options are set.
import { expect, test } from '@playwright/test';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { openHouse } from '../house.mjs';

const bundle = readFileSync(join(dirname(createRequire(import.meta.url).resolve('@segment/analytics-next/package.json')), 'dist/umd/standalone.js'));
let house;
let shop;
let origin;

test.beforeAll(async () => {
  let page = '';
  shop = createServer((request, response) => {
    if (request.url === '/analytics.js') return response.writeHead(200, { 'content-type': 'text/javascript' }).end(bundle);
    return response.writeHead(200, { 'content-type': 'text/html' }).end(page);
  });
  await new Promise((resolve) => shop.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${shop.address().port}`;
  house = await openHouse({ origin });
  page = `<!doctype html><title>a shop</title><script>
    window.analytics = []; window.analytics._writeKey = ${JSON.stringify(house.keys.web)}; window.analytics._cdn = ${JSON.stringify(house.url)};
    window.analytics._loadOptions = {}; window.analytics.invoked = true;
  </script><script src="/analytics.js"></script>`;
});
test.afterAll(async () => {
  await house.close();
  shop.close();
});

test('a01_the_browser_library_sends_after_a_yes_and_to_nobody_else', async ({ page }) => {
  const foreign = [];
  const posts = [];
  page.on('request', (request) => {
    const { hostname, pathname } = new URL(request.url());
    if (hostname !== '127.0.0.1' && hostname !== 'localhost') foreign.push(request.url());
    if (request.method() === 'POST') posts.push(pathname);
  });
  await page.goto(origin);
  await page.waitForFunction(() => typeof window.analytics?.user === 'function');
  const anonymousId = await page.evaluate(() => window.analytics.user().anonymousId());

  const ask = () => fetch(`${house.url}/v1/consent`, {
    headers: { AnonymousId: anonymousId, authorization: `Basic ${Buffer.from(`${house.keys.web}:`).toString('base64')}` },
  });
  const track = async (n) => {
    const answer = page.waitForResponse((response) => response.url().endsWith('/v1/t') && response.request().method() === 'POST');
    await page.evaluate((path) => void window.analytics.track('Page Viewed', { path }), `/page-${n}`);
    return (await answer).status();
  };
  expect(await track(1)).toBe(200);

  const yes = await fetch(`${house.url}/v1/consent`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`${house.keys.web}:`).toString('base64')}`, 'content-type': 'application/json', origin },
    body: JSON.stringify({ anonymousId, purpose: 'measuring', status: 'given', words: 'Count which pages of our shop are visited.', language: 'en', noticeVersion: 1 }),
  });
  expect(yes.status, await yes.clone().text()).toBe(200);
  expect(await track(2)).toBe(200);
  expect((await ask()).status).toBe(200);
  expect(posts.filter((path) => path === '/v1/m')).toEqual([]);
  expect(foreign).toEqual([]);

  const metrics = await (await fetch(`${house.url}/metrics`)).text();
  expect(metrics, 'one kept, one refused for want of a purpose').toMatch(/no_purpose/);
});
