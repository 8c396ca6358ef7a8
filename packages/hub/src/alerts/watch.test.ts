import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { alertAcked, alertList, alertTested, digestOfReport, hostId, problem } from '@felhom/protocol';
import { emptyReport } from '@felhom/protocol/report.fixture';
import { createHub } from '../hub.ts';
import type { Hub } from '../hub.ts';
import { openSqliteStore } from '../store/sqlite.ts';
import type { HubStore } from '../store/store.ts';
import { alertSettings, heartbeatSettings } from './settings.ts';
import { createWatch } from './watch.ts';

const minute = 60_000;
const hour = 60 * minute;
const canary = 'canary-77aa-do-not-show';
const never = new AbortController().signal;
const alpha = hostId.parse('alpha');

const report = emptyReport({});

interface Received {
  readonly path: string;
  readonly delivery: string | undefined;
  readonly kind: string | undefined;
  readonly cause: string | undefined;
}

/** A hub on a file with a clock of its own, and a place on loopback that takes what it sends. */
async function world(t: TestContext, routes: Record<string, object> = { ops: {} }, more: { heartbeat?: boolean } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-watch-'));
  const secretFile = join(folder, 'secret');
  writeFileSync(secretFile, canary);
  let now = Date.UTC(2026, 0, 10, 12);
  let seed = 1;
  const random = (count: number) =>
    Uint8Array.from({ length: count }, () => (seed = (seed * 48_271) % 2_147_483_647) & 255);
  const received: Received[] = [];
  const statuses = new Map<string, number>();
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')));
    request.on('end', () => {
      const path = request.url ?? '';
      const body = (text === '' ? {} : JSON.parse(text)) as {
        delivery?: string;
        kind?: string;
        alert?: { cause: string };
      };
      received.push({ path, delivery: body.delivery, kind: body.kind, cause: body.alert?.cause });
      response.writeHead(statuses.get(path) ?? 204).end();
    });
  });
  const listening = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', listening.resolve);
  await listening.promise;
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const alerts = alertSettings.parse({
    routes: Object.fromEntries(
      Object.entries(routes).map(([name, route]) => [
        name,
        { type: 'webhook', url: `${base}/${name}`, secretFile, ...route },
      ]),
    ),
  });
  const heartbeat = more.heartbeat === true ? heartbeatSettings.parse({ url: `${base}/beat` }) : undefined;
  const lines: string[] = [];
  const file = join(folder, 'hub.db');
  const open = (): { hub: Hub; store: HubStore } => {
    const store = openSqliteStore(file);
    const log = { write: (line: string) => void lines.push(line) };
    return { store, hub: createHub({ store, now: () => now, random, log, alerts, heartbeat }) };
  };
  let { hub, store } = open();
  t.after(async () => {
    await hub.watch.idle();
    await hub.close();
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  });
  const { token } = await hub.createOperator('ann', 'operator');
  const reader = await hub.createOperator('wall', 'reader');
  await hub.createHost(alpha);
  let sequence = 0;
  const contact = async (id = alpha) => {
    sequence += 1;
    await store.recordContact(
      id,
      { at: now, hostEpoch: 'e'.repeat(32), sequence, agentVersion: '1', held: '{"is":"never-received"}' },
      { report: { at: now, digest: digestOfReport(report), text: JSON.stringify(report) } },
    );
  };
  return {
    received,
    statuses,
    lines,
    alerts,
    file,
    contact,
    watch: () => hub.watch,
    store: () => store,
    createHost: (id: string) => hub.createHost(hostId.parse(id)),
    now: () => now,
    /** Rounds every five seconds, as the loop does, with a poll of the host every thirty where it is `up`. */
    async pass(ms: number, up = false) {
      for (const end = now + ms; now < end;) {
        now += 5000;
        if (up && now % 30_000 === 0) await contact();
        await hub.watch.round(never);
        await hub.watch.idle();
      }
    },
    jump: (ms: number) => void (now += ms),
    async restart() {
      await hub.watch.idle();
      await hub.close();
      ({ hub, store } = open());
    },
    async call(method: 'GET' | 'POST' | 'PUT', url: string, payload?: object, as = token) {
      const answer = await hub.app.inject({
        method,
        url,
        headers: { authorization: `Bearer ${as}` },
        ...(payload === undefined ? {} : { payload }),
      });
      return {
        status: answer.statusCode,
        json: () => answer.json<unknown>(),
        code: () => problem.parse(answer.json()).code,
      };
    },
    readerToken: reader.token,
    kinds: () => received.map(({ path, kind, cause }) => `${path} ${kind ?? ''} ${cause ?? ''}`.trim()),
  };
}

test('a silence is told once and its end once, and a restart of the hub neither repeats nor forgets', async (t) => {
  const w = await world(t);
  await w.pass(2 * minute, true);
  await w.pass(4 * minute);
  assert.deepEqual(w.kinds(), ['/ops opened silence:alpha']);
  await w.restart();
  await w.pass(10 * minute);
  await w.restart();
  assert.deepEqual(w.kinds(), ['/ops opened silence:alpha'], 'it is still the same silence');
  await w.pass(5 * minute, true);
  assert.deepEqual(w.kinds(), ['/ops opened silence:alpha', '/ops recovered silence:alpha']);
  await w.restart();
  await w.pass(5 * minute, true);
  assert.equal(w.received.length, 2);
  assert.equal(new Set(w.received.map(({ delivery }) => delivery)).size, 2);
});

test('a hub that was away for a night pages nobody; who stays silent after that is told', async (t) => {
  const w = await world(t);
  await w.pass(minute, true);
  w.jump(9 * hour);
  await w.pass(15 * minute);
  assert.deepEqual(w.kinds(), [], 'an agent may still be backing off');
  await w.pass(5 * minute);
  assert.deepEqual(w.kinds(), ['/ops opened silence:alpha']);
});

test('a report that was mended in the database is judged as it is there, under the same digest', async (t) => {
  const w = await world(t);
  await w.pass(minute, true);
  const found = { key: 'storage.hung', severity: 'critical', subject: 'usb1', text: 'it hangs', since: 1 };
  const findings = [{ ...found, advice: { text: 'Pull it.', command: 'true' } }];
  const db = new DatabaseSync(w.file);
  db.prepare('UPDATE host SET report_text = ?').run(JSON.stringify({ ...report, findings }));
  db.close();
  await w.pass(30_000);
  const { open } = alertList.parse((await w.call('GET', '/v1/alerts')).json());
  assert.deepEqual(
    open.map(({ cause }) => cause),
    ['finding:alpha:storage.hung:usb1'],
  );
});

test('what was sent but not written down is sent again under the same delivery', async (t) => {
  const w = await world(t);
  await w.pass(minute, true);
  const { alerts } = w.store();
  let broken = true;
  let minted = 0;
  const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const watch = createWatch(
    {
      store: {
        ...alerts,
        async recordAttempt(...attempt) {
          if (broken) throw new Error('the disk is full');
          await alerts.recordAttempt(...attempt);
        },
      },
      now: w.now,
      random: (count) => new Uint8Array(count).fill((minted += 1)),
      log,
    },
    { pollAfterSeconds: 30, alerts: w.alerts, heartbeat: undefined },
  );
  for (let round = 0; round < 300 && w.received.length < 1; round += 1) {
    w.jump(5000);
    await watch.round(never);
    await watch.idle();
  }
  broken = false;
  await watch.round(never);
  await watch.idle();
  await watch.round(never);
  await watch.idle();
  assert.equal(w.received.length, 2);
  assert.equal(w.received[0]?.delivery, w.received[1]?.delivery);
});

test('a dead route is tried again, is told over the other one, and carries everything once it is back', async (t) => {
  const w = await world(t, { ops: {}, phone: {} });
  w.statuses.set('/ops', 503);
  await w.pass(minute, true);
  await w.pass(65 * minute);
  const tries = w.received.filter(({ path }) => path === '/ops');
  assert.ok(tries.length > 5 && tries.length < 30, `${tries.length} tries in an hour`);
  assert.equal(new Set(tries.map(({ delivery }) => delivery)).size, 1);
  assert.deepEqual(
    w.kinds().filter((line) => line.startsWith('/phone')),
    ['/phone opened silence:alpha', '/phone opened route:ops'],
  );
  const list = alertList.parse((await w.call('GET', '/v1/alerts')).json());
  assert.deepEqual(
    list.routes.map(({ name, health, waiting }) => [name, health, waiting]),
    [
      ['ops', 'failing', 1],
      ['phone', 'ok', 0],
    ],
  );
  w.statuses.clear();
  await w.pass(30 * minute);
  assert.equal(w.received.filter(({ path }) => path === '/ops').length, tries.length + 1);
  assert.equal(w.kinds().at(-1), '/phone recovered route:ops');
});

test('a message that cannot be delivered for a day is given up and counted', async (t) => {
  const w = await world(t);
  w.statuses.set('/ops', 500);
  await w.pass(minute, true);
  await w.pass(10 * minute);
  for (let quarter = 0; quarter < 100; quarter += 1) {
    // Hops below the gap that counts as an absence are too many for a day; this one hub may be away.
    w.jump(14 * minute);
    await w.pass(minute);
  }
  const [ops] = alertList.parse((await w.call('GET', '/v1/alerts')).json()).routes;
  assert.deepEqual([ops?.lost, ops?.waiting, ops?.health], [1, 0, 'failing']);
});

test('an alert escalates until somebody takes it; who may do what', async (t) => {
  const w = await world(t, { ops: {}, boss: { level: 1 } });
  await w.pass(minute, true);
  await w.pass(5 * minute);
  assert.deepEqual(w.kinds(), ['/ops opened silence:alpha']);
  const [open] = alertList.parse((await w.call('GET', '/v1/alerts', undefined, w.readerToken)).json()).open;
  assert.ok(open !== undefined);
  const ack = `/v1/alerts/${open.id}/ack`;
  assert.deepEqual(
    [(await w.call('POST', ack, {}, w.readerToken)).status, (await w.call('POST', ack, {}, 'fop1.x.y')).status],
    [403, 401],
  );
  await w.pass(31 * minute);
  assert.equal(w.kinds().at(-1), '/boss escalated silence:alpha');
  const taken = alertAcked.parse((await w.call('POST', ack, {})).json()).alert;
  assert.equal(taken.ack?.by, 'ann');
  await w.pass(minute);
  const [still] = alertList.parse((await w.call('GET', '/v1/alerts')).json()).open;
  assert.equal(still?.ack?.by, 'ann', 'a round does not write over it');
  await w.pass(3 * minute, true);
  // Routes do not wait for each other, so either may be first.
  assert.deepEqual(w.kinds().slice(2).toSorted(), ['/boss recovered silence:alpha', '/ops recovered silence:alpha']);
  const list = alertList.parse((await w.call('GET', '/v1/alerts')).json());
  assert.deepEqual([list.open.length, list.recent.length, list.recent[0]?.ack?.by], [0, 1, 'ann']);
  assert.equal((await w.call('POST', ack, {})).code(), 'alert.unknown');
  assert.equal((await w.call('POST', '/v1/alerts/nonsense/ack', {})).code(), 'alert.unknown');
});

test('an acknowledgement before its time stops the escalation', async (t) => {
  const w = await world(t, { ops: {}, boss: { level: 1 } });
  await w.pass(minute, true);
  await w.pass(5 * minute);
  const [open] = alertList.parse((await w.call('GET', '/v1/alerts')).json()).open;
  await w.call('POST', `/v1/alerts/${open?.id ?? ''}/ack`, {});
  await w.pass(65 * minute);
  assert.deepEqual(w.kinds(), ['/ops opened silence:alpha']);
});

test('snooze and expectation of a host, and their limits', async (t) => {
  const w = await world(t);
  await w.pass(minute, true);
  assert.equal((await w.call('POST', '/v1/hosts/alpha/snooze', { hours: 1 })).status, 200);
  await w.pass(30 * minute);
  assert.deepEqual(w.kinds(), []);
  assert.ok(alertList.parse((await w.call('GET', '/v1/alerts')).json()).hosts[0]?.snoozedUntil !== undefined);
  assert.equal((await w.call('PUT', '/v1/hosts/alpha/expect', { windowSeconds: 7200 })).status, 200);
  assert.equal((await w.call('POST', '/v1/hosts/alpha/snooze', { hours: 0 })).status, 200);
  await w.pass(30 * minute);
  assert.deepEqual(w.kinds(), [], 'two hours are expected now');
  const [host] = alertList.parse((await w.call('GET', '/v1/alerts')).json()).hosts;
  assert.deepEqual([host?.expectSeconds, host?.windowSeconds, host?.snoozedUntil], [7200, 7200, undefined]);
  assert.equal((await w.call('PUT', '/v1/hosts/alpha/expect', { windowSeconds: null })).status, 200);
  await w.pass(minute);
  assert.deepEqual(w.kinds(), ['/ops opened silence:alpha']);
  for (const [url, body] of [
    ['/v1/hosts/alpha/snooze', { hours: 721 }],
    ['/v1/hosts/alpha/snooze', { hours: -1 }],
    ['/v1/hosts/alpha/snooze', {}],
  ] as const)
    assert.equal((await w.call('POST', url, body)).status, 400);
  assert.equal((await w.call('PUT', '/v1/hosts/alpha/expect', { windowSeconds: 5 })).status, 400);
  assert.equal((await w.call('POST', '/v1/hosts/beta/snooze', { hours: 1 })).code(), 'host.unknown');
  assert.equal((await w.call('POST', '/v1/hosts/alpha/snooze', { hours: 1 }, w.readerToken)).status, 403);
});

test('a test of a route says what happened, at once', async (t) => {
  const w = await world(t);
  const ok = alertTested.parse((await w.call('POST', '/v1/alerts/test', { route: 'ops' })).json());
  assert.equal(ok.is, 'delivered');
  assert.deepEqual(w.kinds(), ['/ops test']);
  w.statuses.set('/ops', 404);
  const failed = alertTested.parse((await w.call('POST', '/v1/alerts/test', { route: 'ops' })).json());
  assert.deepEqual(failed.is === 'failed' ? failed.text : '', 'it answered with status 404');
  assert.equal((await w.call('POST', '/v1/alerts/test', { route: 'nobody' })).code(), 'route.unknown');
  assert.equal(alertList.parse((await w.call('GET', '/v1/alerts')).json()).routes[0]?.health, 'degraded');
});

test('three hosts that fall silent together are one incident, and none of them is told by itself', async (t) => {
  const w = await world(t);
  for (const id of ['beta', 'gamma']) await w.createHost(id);
  await w.pass(minute);
  for (const id of ['alpha', 'beta', 'gamma']) await w.contact(hostId.parse(id));
  await w.pass(20 * minute);
  assert.deepEqual(w.kinds(), ['/ops opened fleet:many-silent']);
  await w.restart();
  await w.pass(5 * minute);
  for (let poll = 0; poll < 6; poll += 1) {
    for (const id of ['alpha', 'beta', 'gamma']) await w.contact(hostId.parse(id));
    await w.pass(30_000);
  }
  assert.deepEqual(w.kinds(), ['/ops opened fleet:many-silent', '/ops recovered fleet:many-silent']);
});

test('a host that was never heard pages nobody', async (t) => {
  const w = await world(t);
  await w.pass(20 * minute);
  assert.deepEqual(w.kinds(), []);
});

test('the secret of a route is in no log, no answer and no table', async (t) => {
  const w = await world(t);
  w.statuses.set('/ops', 500);
  await w.pass(minute, true);
  await w.pass(10 * minute);
  const shown = JSON.stringify((await w.call('GET', '/v1/alerts')).json());
  await w.restart();
  const kept = [w.file, `${w.file}-wal`].map((file) => readFileSync(file).toString('latin1')).join('');
  assert.ok(kept.includes('silence:alpha'), 'this looks at the right file');
  for (const text of [w.lines.join(''), shown, kept]) assert.ok(!text.includes(canary));
});

test('the heartbeat goes out once a minute after rounds that wrote, and not while every route fails', async (t) => {
  const w = await world(t, { ops: {} }, { heartbeat: true });
  await w.pass(10 * minute, true);
  const beats = () => w.received.filter(({ path }) => path === '/beat').length;
  assert.equal(beats(), 10);
  w.statuses.set('/ops', 500);
  await w.pass(50 * minute);
  const muted = beats();
  await w.pass(10 * minute);
  assert.equal(beats(), muted, 'somebody else has to call now');
  w.statuses.clear();
  await w.pass(30 * minute);
  assert.ok(beats() > muted);
});

test('a heartbeat that fails is said once and shown', async (t) => {
  const w = await world(t, { ops: {} }, { heartbeat: true });
  w.statuses.set('/beat', 500);
  await w.pass(10 * minute);
  assert.equal(w.lines.filter((line) => line.includes('cannot give the sign of life')).length, 1);
  const { heartbeat } = alertList.parse((await w.call('GET', '/v1/alerts')).json());
  assert.equal(heartbeat.is === 'on' ? heartbeat.lastFailure?.text : '', 'it answered with status 500');
});

test('the loop goes on after a database that failed, without a heartbeat meanwhile, and ends when told', async (t) => {
  const w = await world(t, { ops: {} }, { heartbeat: true });
  const { alerts } = w.store();
  let broken = true;
  const errors: string[] = [];
  const log = {
    info: () => undefined,
    warn: () => undefined,
    error: (_: object, text: string) => void errors.push(text),
  };
  const url = w.alerts.routes['ops'];
  assert.ok(url?.type === 'webhook');
  const watch = createWatch(
    {
      store: {
        ...alerts,
        async commit(changes) {
          if (broken) throw new Error('disk full');
          await alerts.commit(changes);
        },
      },
      now: w.now,
      random: (count) => new Uint8Array(count),
      log,
    },
    {
      pollAfterSeconds: 30,
      alerts: w.alerts,
      heartbeat: heartbeatSettings.parse({ url: new URL('/beat', url.url).href }),
    },
  );
  const stopping = new AbortController();
  let naps = 0;
  await watch.run(async (ms) => {
    assert.equal(ms, 5000);
    await watch.idle();
    w.jump(ms);
    naps += 1;
    if (naps === 20) {
      assert.equal(w.received.length, 0);
      broken = false;
    }
    if (naps === 40) stopping.abort();
  }, stopping.signal);
  assert.equal(naps, 40, 'it sleeps after every round');
  assert.equal(errors.length, 1);
  assert.equal(w.received.filter(({ path }) => path === '/beat').length, 2);
});
