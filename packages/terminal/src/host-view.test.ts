import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HostVitals } from '@felhom/protocol';
import { emptyReport } from '@felhom/protocol/report.fixture';
import { hostFacts, vitalsLine } from './host-view.ts';
import { createStyle, renderReport } from './index.ts';

const now = Date.UTC(2026, 0, 10);
const style = createStyle(false);
const gib = 2 ** 30;
const vitals: HostVitals = {
  at: now,
  uptimeSeconds: 86_400,
  cpuPercent: 12.4,
  load1: 0.52,
  memory: { usedBytes: 3 * gib, totalBytes: 16 * gib },
  rootDisk: { usedBytes: 1 * gib, totalBytes: 10 * gib },
  pressure: { cpu: 0.2, memory: 0, io: 31.4 },
  hottestC: 45.5,
  targets: [{ name: 'nas', usedBytes: gib, totalBytes: 2 * gib }],
};

test('numbers of now; what is not known is not said, and old ones say how old they are', () => {
  assert.equal(
    vitalsLine(vitals, now),
    'CPU 12 %, load 0.5, memory 3 GiB of 16 GiB, root disk 1 GiB of 10 GiB, nas 1 GiB of 2 GiB, 46 °C, waits for io 31 %, up for 1 d',
  );
  const bare = { at: now, uptimeSeconds: 60, targets: [] };
  assert.equal(vitalsLine(bare, now), 'up for 1 min');
  assert.match(vitalsLine(bare, now + 3_600_000), /as of 1 h ago$/);
});

test('tunnel and disks: only what there is, the bad said loudly, and no line of a host becomes one of ours', () => {
  const facts = (more: Readonly<Record<string, unknown>>) =>
    hostFacts(emptyReport({ ...more }), undefined, now, style).map(([name, value]) => `${name}: ${value}`);
  assert.deepEqual(facts({}), []);
  assert.deepEqual(facts({ tunnel: { is: 'up', since: now - 60_000 } }), ['tunnel: up, since 1 min ago']);
  assert.deepEqual(facts({ tunnel: { is: 'no-internet', since: now, why: 'a\nb' } }), [
    'tunnel: no internet, since now: a\\u000ab',
  ]);
  assert.deepEqual(facts({ tunnel: { is: 'unknown', why: 'x' } }), ['tunnel: unknown: x']);
  const disks = [
    { device: 'sda', model: 'WD\n', serial: 'S', health: 'failed', wornPercent: 3.4 },
    { device: 'sdb', model: '', serial: '', health: 'unknown' },
  ];
  assert.deepEqual(facts({ disks }), ['disks: sda WD\\u000a FAILS, 3 % worn; sdb not told']);
});

test('storage targets have a table', () => {
  const target = {
    name: 'nas',
    type: 'nfs',
    storage: 'nas',
    role: 'vzdump-target',
    class: 'slow',
    identity: 'nfs:a:/b',
    offsite: true,
    state: 'disconnected',
    since: now - 60_000,
    why: 'the server\ndoes not answer',
    flapping: true,
  };
  const text = renderReport(emptyReport({ targets: [target] }), { now, style, blockedAdvice: '' });
  assert.match(
    text,
    /Storage targets\n[^]*nas +nfs +vzdump-target +slow +disconnected, since 1 min ago, comes and goes +the server\\u000adoes not answer/,
  );
  assert.doesNotMatch(renderReport(emptyReport({}), { now, style, blockedAdvice: '' }), /Storage targets/);
});
