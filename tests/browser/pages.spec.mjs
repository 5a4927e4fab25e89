// Every page as people see it: no accessibility violation in light and dark, wide and narrow; nothing wider than the screen;
// nothing asked of another host; the person's jobs without scripts.
import AxeBuilder from '@axe-core/playwright';
import { expect, test } from '@playwright/test';
import { mkdirSync } from 'node:fs';
import { CONSOLE, PORTAL, enterConsole, enterPortal, links, origin, whyLink } from './house_pages.mjs';

const pictures = process.env.FINELINE_PICTURES ?? '../../target/pictures';
mkdirSync(pictures, { recursive: true });
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

async function looksRight(page, name, foreign) {
  for (const scheme of ['light', 'dark']) {
    for (const width of [1280, 320]) {
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
      await page.setViewportSize({ width, height: 900 });
      const { violations } = await new AxeBuilder({ page }).withTags(TAGS).analyze();
      const found = violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.target).join(' ')}`);
      expect(found, `${name}, ${scheme}, ${width} px`).toEqual([]);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(overflow, `${name} is wider than ${width} px`).toBeLessThanOrEqual(0);
      await page.screenshot({ path: `${pictures}/${name}-${scheme}-${width}.png` });
    }
  }
  expect(foreign, `${name} asks another host`).toEqual([]);
}

// Requests to anything but this machine's own listeners.
function watch(page) {
  const foreign = [];
  page.on('request', (request) => {
    const { protocol, hostname } = new URL(request.url());
    if (protocol.startsWith('http') && hostname !== 'localhost' && hostname !== '127.0.0.1') foreign.push(request.url());
  });
  return foreign;
}

const nameOf = (path) => path.replaceAll('/', '-').replace(/^-+|-+$/g, '') || 'live';

test('the shop, the inbox and the public pages look right', async ({ page }) => {
  test.setTimeout(120_000);
  const foreign = watch(page);
  for (const [name, path] of [['shop', '/'], ['inbox', '/inbox'], ['privacy', '/privacy'], ['notice', '/privacy/notice']]) {
    await page.goto(origin() + path);
    await looksRight(page, name, foreign);
  }
});

test('the pages of a message look right', async ({ page }) => {
  test.setTimeout(120_000);
  const foreign = watch(page);
  const why = await whyLink(page);
  for (const [name, path] of [['message', ''], ['message-address', '/address']]) {
    const answer = await page.goto(why + path);
    expect(answer.status()).toBe(200);
    await looksRight(page, name, foreign);
  }
});

test('the pages of a person look right', async ({ page }) => {
  test.setTimeout(240_000);
  const foreign = watch(page);
  await enterPortal(page);
  for (const path of PORTAL) {
    const answer = await page.goto(origin() + path);
    expect(answer.status(), path).toBe(200);
    await looksRight(page, nameOf(path), foreign);
  }
});

test('the pages of the company look right', async ({ page }) => {
  test.setTimeout(240_000);
  const foreign = watch(page);
  const base = await enterConsole(page);
  for (const path of CONSOLE) {
    const answer = await page.goto(base + path);
    expect(answer.status(), path).toBe(200);
    await looksRight(page, `console-${nameOf(path)}`, foreign);
  }
});

test('a26_without scripts a person states a taste and sees it', async ({ page }) => {
  await enterPortal(page, 'lena');
  await page.goto(`${origin()}/privacy/me/tastes`);
  const choice = page.locator('main select, main input[type=radio]').first();
  const isSelect = (await choice.evaluate((element) => element.tagName)) === 'SELECT';
  let stated;
  if (isSelect) {
    stated = await choice.locator('option').nth(1).getAttribute('value');
    await choice.selectOption(stated);
  } else {
    stated = await choice.getAttribute('value');
    await choice.check();
  }
  await page.locator('main form button').first().click();
  await page.goto(`${origin()}/privacy/me`);
  await expect(page.locator('main')).toContainText(new RegExp(stated, 'i'));
});

test('d09_without scripts a person takes a copy along', async ({ page }) => {
  await enterPortal(page, 'lena');
  await page.goto(`${origin()}/privacy/me/export`);
  const [download] = await Promise.all([page.waitForEvent('download'), page.locator('main form button').first().click()]);
  expect(download.suggestedFilename()).toMatch(/\.zip$/);
});

test('d17_without scripts one tap in the message makes it less', async ({ page }, { project }) => {
  // Both projects meet the same demonstration, and a second tap would halve once more.
  const why = await whyLink(page, project.name === 'plain' ? 'mia' : 'quentin');
  await page.goto(why);
  await page.getByRole('button', { name: /less/i }).first().click();
  await expect(page).toHaveURL(/\/less$/);
  await expect(page.locator('main')).toContainText('At most 1 message');
  expect(await page.context().cookies()).toEqual([]);
});

test('the shop sends nothing before the answer', async ({ page }) => {
  const sent = [];
  page.on('request', (request) => {
    if (request.method() === 'POST') sent.push(new URL(request.url()).pathname);
  });
  await page.goto(links().shop);
  await page.waitForLoadState('networkidle');
  expect(sent).toEqual([]);
  expect(await page.evaluate(() => Object.keys(localStorage).length + Object.keys(sessionStorage).length)).toBe(0);
});
