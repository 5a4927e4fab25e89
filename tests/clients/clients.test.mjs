// The released Segment libraries for Node and Python, unmodified: only the host and the key are set. What counts is what
// the client's own callbacks say and what the store then holds, both.
import { Analytics } from '@segment/analytics-node';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { openHouse, root } from '../house.mjs';

const run = promisify(execFile);
let house;
before(async () => (house = await openHouse()));
after(() => house.close());

const order = (user, number) => ({
  userId: user,
  event: 'Order Completed',
  properties: {
    order_id: `${user}-${number}`,
    total: 12.5,
    currency: 'GBP',
    products: [{ sku: '85123A', quantity: 2, price: 6.25 }],
  },
});

async function sendWithNode(host, key, user, count) {
  const errors = [];
  let delivered = 0;
  const analytics = new Analytics({ host, writeKey: key, maxRetries: 2, flushAt: 5 });
  analytics.on('error', (error) => errors.push(error));
  for (let number = 0; number < count; number += 1) {
    analytics.track(order(user, number), (error) => (error ? errors.push(error) : (delivered += 1)));
  }
  await analytics.closeAndFlush({ timeout: 10_000 });
  return { errors, delivered };
}

const sendWithPython = async (version, host, key, user, encoding, count) => {
  const python = join(root, 'target', 'clients', `python-${version}`, 'bin', 'python');
  const { stdout } = await run(python, [join(root, 'tests/clients/send.py'), host, key, user, encoding, String(count)]);
  return JSON.parse(stdout);
};

const orders = (rows) => rows.events.filter((event) => event.name === 'Order Completed');

test('a01_the_node_library_is_understood', async () => {
  const said = await sendWithNode(house.url, house.keys.shop, 'node-1', 12);
  assert.deepEqual(said, { errors: [], delivered: 12 });
  assert.equal(orders(await house.rowsOf('node-1')).length, 12);
});

for (const version of ['2.4.0', '2.3.6']) {
  for (const encoding of ['plain', 'gzip']) {
    test(`a01_the_python_library_is_understood ${version} ${encoding}`, async () => {
      const user = `python-${version}-${encoding}`;
      assert.deepEqual(await sendWithPython(version, house.url, house.keys.shop, user, encoding, 7), { errors: [] });
      assert.equal(orders(await house.rowsOf(user)).length, 7);
    });
  }
}

test('a01_a_wrong_key_is_told_to_the_client_and_leaves_nothing', async () => {
  const said = await sendWithNode(house.url, 'fl_sec_wrong', 'nobody-1', 1);
  assert.equal(said.delivered, 0);
  assert.ok(said.errors.length > 0);
  const python = await sendWithPython('2.3.6', house.url, 'fl_sec_wrong', 'nobody-1', 'plain', 1);
  assert.equal(python.errors.length, 1);
  assert.equal(await house.rowsOf('nobody-1'), null);
});

// The known-bad control: the same test against a door that answers 202 must see the 2.3.6 client call it an error.
test('a01_control_a_wrong_status_is_noticed', async () => {
  const door = createServer((request, response) => {
    request.resume();
    request.on('end', () => response.writeHead(202, { 'content-type': 'application/json' }).end('{"success":true}'));
  });
  await new Promise((resolve) => door.listen(0, '127.0.0.1', resolve));
  const python = await sendWithPython('2.3.6', `http://127.0.0.1:${door.address().port}`, house.keys.shop, 'x', 'plain', 1);
  door.closeAllConnections();
  door.close();
  assert.equal(python.errors.length, 1, 'control caught');
});

test('a01_without_a_purpose_nothing_is_stored_and_the_client_is_content', async () => {
  const errors = [];
  const analytics = new Analytics({ host: house.url, writeKey: house.keys.shop, maxRetries: 0, flushAt: 1 });
  analytics.track({ userId: 'stranger-1', event: 'Product Viewed', properties: { item: '85123A' } }, (error) => error && errors.push(error));
  await analytics.closeAndFlush({ timeout: 10_000 });
  assert.deepEqual(errors, []);
  assert.equal(await house.rowsOf('stranger-1'), null);
});
