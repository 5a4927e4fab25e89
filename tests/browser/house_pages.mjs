// The demo's links, the pages to look at, and how to get in.
export const links = () => JSON.parse(process.env.FINELINE_LINKS);
export const origin = () => new URL(links().shop).origin;

export const PORTAL = ['', '/events', '/choices', '/tastes', '/messages', '/receipts', '/export', '/erase'].map((path) => `/privacy/me${path}`);
export const CONSOLE = ['/', '/segments', '/segments/lapsed', '/campaigns', '/campaigns/win_back', '/reviews', '/log'];

// The shop's server hands its signed-in customer over; one button opens the portal.
export async function enterPortal(page, who = 'mia') {
  await page.goto(`${origin()}/shop/as/${who}`);
  await page.locator('main button').first().click();
  await page.waitForURL('**/privacy/me');
}

// The printed console link leads to a fresh invite; one button signs in.
export async function enterConsole(page) {
  await page.goto(links().console);
  await page.locator('main button.is-main').click();
  await page.waitForURL((url) => url.pathname === '/' && url.origin !== origin());
  return new URL(page.url()).origin;
}

// The why page of the newest message to somebody.
export async function whyLink(page, who = 'mia') {
  await page.goto(links().inbox);
  const row = page.locator('tr', { hasText: `${who}@` }).first();
  await page.goto(new URL(await row.locator('a').first().getAttribute('href'), origin()).href);
  const source = await page.content();
  const frame = page.frames().find((one) => one !== page.mainFrame());
  const text = frame ? await frame.content() : source;
  const found = /https?:\/\/[^"'\s<>&#]*\/m\/[a-z0-9]+/.exec(`${text} ${source}`);
  return found[0];
}
