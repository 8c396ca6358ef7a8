/** A host that only says that its report stands: what is shown of it, and that its silence is still told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alertList, digestOfReport } from '@felhom/protocol';
import type { Report } from '@felhom/protocol';
import { emptyReport } from '@felhom/protocol/report.fixture';
import { hubWorld, statementOf } from '../world.fixture.ts';
import { readHeartbeat } from './heartbeat.ts';

const minute = 60_000;
const hour = 60 * minute;
/** The host's clock is years behind the hub's in these tests; nobody minds. */
const hostStart = 50_000;

const reported: Report = emptyReport({
  backups: [
    {
      guest: 'cloud',
      uid: 'a'.repeat(26),
      tier: 'nightly',
      target: 'nas',
      state: 'ok',
      newest: { id: 'b', at: hostStart - 10_000, consistency: 'app', mode: 'snapshot', sizeBytes: 5 },
      copies: 1,
      risks: [],
    },
  ],
  findings: [{ key: 'disk.failing', severity: 'critical', subject: 'sda', text: 'x', advice: { text: 'y' }, since: 1 }],
});
const reportDigest = digestOfReport(reported);
const vitals = (at: number) => ({ at, uptimeSeconds: 7, load1: 0.5, targets: [] });

async function heartbeats(t: Parameters<typeof hubWorld>[0]) {
  const w = await hubWorld(t);
  let sequence = 0;
  let hostNow = hostStart;
  const beat = async (more: object = {}) => {
    sequence += 1;
    const times = { at: hostNow, lastPassAt: hostNow - 1000, reportDigest };
    return w.poll({ reportDigest, statement: statementOf(sequence, [], times), vitals: vitals(hostNow), ...more });
  };
  return {
    ...w,
    beat,
    open: async () => alertList.parse((await w.call('GET', '/v1/alerts')).json()).open.map(({ cause }) => cause),
    /** Rounds of the watch every five seconds, with a poll every so often where told. */
    pass: async (ms: number, everyMs?: number, more: object = {}) => {
      for (let gone = 5000; gone <= ms; gone += 5000) {
        w.advance(5000);
        hostNow += 5000;
        if (everyMs !== undefined && gone % everyMs === 0) await beat(more);
        await w.look();
      }
    },
  };
}

test('a report once and heartbeats since: nothing is asked for, ages go on, and its alerts stand', async (t) => {
  const w = await heartbeats(t);
  assert.equal((await w.beat()).sendReport, true, 'the hub has none');
  assert.equal((await w.beat({ report: reported })).sendReport, false);
  await w.look();
  const first = await w.host();
  await w.pass(2 * hour, 30_000);
  const host = await w.host();
  assert.equal((await w.beat()).sendReport, false);
  assert.equal(host.reportAt, first.reportAt, 'kept since it came');
  assert.equal(host.lastContactAt, (first.lastContactAt ?? 0) + 2 * hour);
  assert.equal(host.report?.backups[0]?.rpoMs, 10_000 + 2 * hour);
  assert.deepEqual(host.heartbeat, {
    at: hostStart + 2 * hour,
    lastPassAt: hostStart + 2 * hour - 1000,
    metered: false,
    vitals: vitals(hostStart + 2 * hour),
  });
  assert.equal(host.report?.lastPassAt, hostStart + 2 * hour - 1000);
  assert.equal(digestOfReport(host.report ?? reported), reportDigest, 'whoever verifies it finds what the host signed');
  assert.deepEqual(await w.open(), ['finding:alpha:disk.failing:sda']);
});

test('between two polls ages go on by the clock of the hub; numbers are of the last poll only', async (t) => {
  const w = await heartbeats(t);
  await w.beat({ report: reported });
  await w.pass(20_000);
  assert.equal((await w.host()).report?.backups[0]?.rpoMs, 30_000);
  await w.beat({ vitals: undefined });
  assert.equal((await w.host()).heartbeat?.vitals, undefined);
});

test('the dead man: a host that only sent heartbeats is silent when they end, and heard when they go on', async (t) => {
  const w = await heartbeats(t);
  await w.beat({ report: { ...reported, findings: [] }, reportDigest: digestOfReport({ ...reported, findings: [] }) });
  const quiet = { reportDigest: digestOfReport({ ...reported, findings: [] }) };
  await w.pass(hour, 30_000, quiet);
  assert.deepEqual(await w.open(), []);
  await w.pass(3 * minute);
  assert.deepEqual(await w.open(), ['silence:alpha']);
  assert.equal((await w.host()).heartbeat?.vitals, undefined, 'no numbers of a host that fell silent');
  await w.pass(5 * minute, 30_000, quiet);
  assert.deepEqual(await w.open(), []);
});

test('the dead man of a metered host waits for three of its polls, and no longer', async (t) => {
  const w = await heartbeats(t);
  const digest = digestOfReport({ ...reported, findings: [] });
  const quiet = { reportDigest: digest, metered: true, vitals: undefined };
  await w.beat({ ...quiet, report: { ...reported, findings: [] } });
  await w.pass(2 * hour, 10 * minute, quiet);
  assert.deepEqual(await w.open(), []);
  await w.pass(33 * minute);
  assert.deepEqual(await w.open(), []);
  await w.pass(2 * minute);
  assert.deepEqual(await w.open(), ['silence:alpha']);
  await w.beat({ ...quiet, metered: false });
  await w.look();
  await w.pass(3 * minute);
  assert.deepEqual(await w.open(), ['silence:alpha'], 'the longer window is for as long as it says so');
});

test('a damaged row shows no heartbeat and hides no host', () => {
  for (const heartbeat of ['', '{', 'null', '{"metered":"yes"}'])
    assert.equal(readHeartbeat({ heartbeat }, { is: 'up' }), undefined);
  assert.deepEqual(readHeartbeat({ heartbeat: '{"metered":true}' }, { is: 'up' }), { metered: true });
  assert.equal(readHeartbeat({}, { is: 'up' }), undefined);
});
