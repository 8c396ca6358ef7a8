import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alertList, digestOfText, hostList, report as reportSchema } from '@felhom/protocol';
import type { HostId } from '@felhom/protocol';
import { emptyReport } from '@felhom/protocol/report.fixture';
import { hubWorld } from '../world.fixture.ts';
import { createHostViews } from './host-view.ts';

const report = emptyReport({});

test('the list of hosts and the alerts never disagree about who is there', async (t) => {
  const w = await hubWorld(t);
  const both = async () => {
    const list = hostList.parse((await w.call('GET', '/v1/hosts')).json());
    const alerts = alertList.parse((await w.call('GET', '/v1/alerts')).json());
    assert.equal(list.hosts[0]?.snoozedUntil, alerts.hosts[0]?.snoozedUntil);
    assert.equal((await w.host()).state, list.hosts[0]?.state);
    return [list.hosts[0]?.state, alerts.hosts[0]?.state];
  };
  const { look } = w;
  const lookOften = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 20_000) {
      w.advance(20_000);
      await look();
    }
  };
  assert.deepEqual(await both(), ['never-seen', 'never-seen']);
  await look();
  await w.poll({ report });
  assert.deepEqual(await both(), ['ok', 'up']);
  await lookOften(100_000);
  assert.deepEqual(await both(), ['late', 'late']);
  await w.call('PUT', '/v1/hosts/alpha/expect', { windowSeconds: 3600 });
  assert.deepEqual(await both(), ['ok', 'up'], 'its operator expects silence of an hour');
  await w.call('PUT', '/v1/hosts/alpha/expect', { windowSeconds: null });
  await w.call('POST', '/v1/hosts/alpha/snooze', { hours: 1 });
  await lookOften(60_000);
  assert.deepEqual(await both(), ['silent', 'silent']);
  assert.equal(typeof (await w.host()).snoozedUntil, 'number', 'no alert opens, but it is no less silent');
  await w.poll();
  w.advance(600_000);
  assert.deepEqual(await both(), ['unknown', 'unknown'], 'before its loop noticed');
  await look();
  assert.deepEqual(await both(), ['unknown', 'unknown'], 'the hub itself was away');
  await w.poll();
  assert.deepEqual(await both(), ['ok', 'up']);
});

test('jobs that wait for more people are counted, those that are over are not', async (t) => {
  const w = await hubWorld(t);
  const job = (state: string, missing: number) => ({
    jobId: 'a'.repeat(26),
    kind: 'hold',
    digest: digestOfText('x'),
    text: '',
    by: ['ann'],
    since: 1,
    at: 1,
    state,
    missing,
  });
  const jobs = [job('waiting', 1), job('waiting', 0), job('cancelled', 1)];
  const signed = reportSchema.parse({ ...report, jobs });
  await w.poll({ report: signed });
  assert.equal((await w.host()).jobsToSign, 1);
});

test('backups are counted: those that are fresh and proven, and bulk without any copy', async (t) => {
  const w = await hubWorld(t);
  const line = (state: string) => ({
    guest: 'web',
    uid: 'a'.repeat(26),
    tier: state,
    target: 'nas',
    state,
    copies: 1,
    risks: [],
  });
  const bulk = (decision: string, more: object = {}) => ({ guest: 'web', volume: 'media', decision, ...more });
  await w.poll({
    report: reportSchema.parse({
      ...report,
      backups: [line('ok'), line('late'), line('unproven')],
      bulk: [bulk('undecided'), bulk('none-acknowledged'), bulk('controller'), bulk('controller', { newestAt: 1 })],
    }),
  });
  assert.deepEqual((await w.host()).backups, { lines: 3, ok: 1, unprotectedBulk: 2 });
});

test('a report that was mended in the database is shown as it is there, under the same digest', () => {
  const digest = digestOfText('a report');
  const views = createHostViews();
  const hold = (text: string): boolean =>
    views.summarise(
      {
        hostId: 'alpha' as HostId,
        secret: { salt: '', hash: '' },
        createdAt: 1,
        contact: undefined,
        report: { at: 1, digest, text },
        desired: undefined,
        stale: undefined,
        fork: undefined,
        auditFork: undefined,
        snoozedUntil: undefined,
        expectSeconds: undefined,
      },
      { is: 'never-seen', windowMs: 1 },
      1,
    ).hold;
  assert.equal(hold(JSON.stringify({ ...report, hold: true })), true);
  assert.equal(hold(JSON.stringify(report)), false);
});
