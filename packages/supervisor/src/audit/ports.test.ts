import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { test, type TestContext } from 'node:test';
import { findPortHolder, listListeners } from './ports.js';

async function listen(t: TestContext, host: string): Promise<number> {
  const server: Server = createServer().listen(0, host);
  await once(server, 'listening');
  t.after(() => new Promise((closed) => server.close(closed)));
  return (server.address() as AddressInfo).port;
}

test('the holder of a port is named with pid and command', async (t) => {
  const port = await listen(t, '127.0.0.1');
  const holder = await findPortHolder(port, '127.0.0.1');
  assert.equal(holder?.pid, process.pid);
  assert.ok(holder.command.includes('node'), holder.command);
  assert.equal((await findPortHolder(port))?.pid, process.pid, 'any address will do where none is given');
  assert.equal(
    (await findPortHolder(port, 'localhost'))?.pid,
    process.pid,
    'a name may stand for any address',
  );
});

test('a wildcard clashes with every address, one address not with another', async (t) => {
  const everywhere = await listen(t, '0.0.0.0');
  assert.equal((await findPortHolder(everywhere, '127.0.0.1'))?.pid, process.pid);
  const one = await listen(t, '127.0.0.1');
  assert.equal((await findPortHolder(one, '0.0.0.0'))?.pid, process.pid);
  assert.equal(await findPortHolder(one, '127.0.0.2'), undefined);
});

test('IPv6 addresses are read too', async (t) => {
  let port: number;
  try {
    port = await listen(t, '::1');
  } catch (error) {
    return t.skip(`no IPv6 here: ${(error as Error).message}`);
  }
  const [listener] = (await listListeners()).filter((candidate) => candidate.port === port);
  assert.deepEqual(listener, { address: '::1', port, pids: [process.pid] });
});

test('a port that nobody holds has no holder', async (t) => {
  const port = await listen(t, '127.0.0.1');
  assert.equal(
    (await listListeners()).some((listener) => listener.port === port),
    true,
  );
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port: freed } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  assert.equal(await findPortHolder(freed, '127.0.0.1'), undefined);
});
