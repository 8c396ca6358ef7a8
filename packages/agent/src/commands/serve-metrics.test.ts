import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { emptyReport } from '@felhom/protocol/report.fixture';
import type { Clock } from '../kernel/index.ts';
import { serveMetrics } from './serve-metrics.ts';

const vitals = { at: 1, uptimeSeconds: 7, targets: [] };

function world() {
  const stop = new AbortController();
  const errors: string[] = [];
  let ms = 0;
  let made = 0;
  let slept: () => void = () => {};
  const clock: Clock = {
    now: () => 1000,
    monotonicMs: () => ms,
    bootMs: () => ms,
    sleep: () => new Promise((resolve) => (slept = resolve)),
  };
  const agent = { report: () => ((made += 1), emptyReport({})), vitals: () => vitals };
  const log = { info: () => {}, warn: () => {}, error: (text: string) => void errors.push(text) };
  const served = (port: number) =>
    new Promise<{ url: string; ended: Promise<void> }>((resolve) => {
      const ended = serveMetrics({ metrics: { port } }, agent, { clock, log, signal: stop.signal }, (at) =>
        resolve({ url: `http://127.0.0.1:${at}`, ended }),
      );
    });
  return { stop, errors, served, made: () => made, pass: (more: number) => (ms += more), wakeUp: () => slept() };
}

test('metrics are read on loopback, made once per second at most, and nothing else is there', async () => {
  const { served, stop, made, pass } = world();
  const { url, ended } = await served(0);
  const first = await fetch(`${url}/metrics`);
  assert.equal(first.status, 200);
  assert.match(first.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  assert.match(await first.text(), /^felhom_host_uptime_seconds 7$/m);
  await (await fetch(`${url}/metrics?x`)).text();
  assert.equal(made(), 1);
  pass(1000);
  await (await fetch(`${url}/metrics`)).text();
  assert.equal(made(), 2);
  for (const [path, method] of [
    ['/', 'GET'],
    ['/metrics', 'POST'],
    ['/v1/status', 'GET'],
  ] as const)
    assert.equal((await fetch(`${url}${path}`, { method })).status, 404);
  stop.abort();
  await ended;
  await assert.rejects(fetch(`${url}/metrics`));
});

test('without a port nobody listens', async () => {
  const { clock, log, signal } = { clock: {} as Clock, log: {} as never, signal: new AbortController().signal };
  await serveMetrics({ metrics: undefined }, {} as never, { clock, log, signal });
});

test('a port that is taken is tried again, and said once', async (t) => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  t.after(() => other.close());
  const { port } = other.address() as AddressInfo;
  const { served, stop, errors, wakeUp } = world();
  const serving = served(port);
  const until = async (condition: () => boolean) => {
    while (!condition()) await new Promise((resolve) => setImmediate(resolve));
  };
  await until(() => errors.length === 1);
  wakeUp();
  await new Promise<void>((resolve) => other.close(() => resolve()));
  let done = false;
  void serving.then(() => (done = true));
  await until(() => {
    wakeUp();
    return done;
  });
  assert.match(errors.join(), /cannot serve metrics on port/);
  assert.equal(errors.length, 1);
  stop.abort();
  await (
    await serving
  ).ended;
});
