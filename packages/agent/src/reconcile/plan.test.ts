import { test } from 'node:test';
import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { desiredState } from '@felhom/protocol';
import type { DesiredGuest, GuestUid, HeldDesiredState, Vmid, VolumeId } from '@felhom/protocol';
import type { GuestEffect } from '../authority/effects.ts';
import { markerLine } from '../authority/guest-record.ts';
import type { GuestRecord } from '../authority/guest-record.ts';
import { viewOf } from '../guests/index.ts';
import { sagaForEffect } from '../saga-for-effect.ts';
import type { SeenConfig } from '../guests/index.ts';
import { formatNet, keyOfNetwork } from '../guests/pve-config.ts';
import { testPolicy, wish } from '../guests/test/world.ts';
import type { GuestDisk } from '../ports/guest-disks.ts';
import type { GuestRow } from '../ports/proxmox.ts';
import type { Observation } from './observe.ts';
import { plan } from './plan.ts';

const now = 1_800_000_000_000;
const idle = { names: new Set<string>(), vmids: new Set<Vmid>() };

function held(...guests: readonly DesiredGuest[]): HeldDesiredState {
  const state = desiredState.parse({ v: 1, lineage: 'a'.repeat(26), generation: 1, guests });
  return { is: 'held', state, digest: 'd', receivedAt: 0 };
}

interface Made {
  readonly record: GuestRecord;
  readonly row: GuestRow;
  readonly values: Record<string, string>;
}

/** A guest exactly as desired, as a bring-up would leave it. */
function made(desired: DesiredGuest, vmid = 9000 as Vmid): Made {
  const uid = desired.name.padEnd(26, 'a').replace(/[^a-z2-7]/g, 'b') as GuestUid;
  const volid = (n: number): VolumeId => `local:${vmid}/vm-${vmid}-disk-${n}.raw` as VolumeId;
  const volumes = [{ name: 'rootfs', ...desired.rootfs }, ...desired.volumes].map((volume, n) => ({
    key: n === 0 ? 'rootfs' : `mp${n - 1}`,
    name: volume.name,
    volid: volid(n),
    sizeGiB: volume.sizeGiB,
    ctime: undefined,
    carriedOver: false,
  }));
  const record: GuestRecord = {
    uid,
    incarnation: 1,
    marker: 'n1',
    name: desired.name,
    vmid,
    golden: desired.golden,
    volumes,
    servedAt: 1,
    configDigest: 'digest',
    createdAt: 0,
    scratch: false,
  };
  const running = desired.power === 'running';
  const values: Record<string, string> = {
    hostname: desired.hostname,
    cores: String(desired.cores),
    memory: String(desired.memoryMiB),
    swap: String(desired.swapMiB),
    onboot: running ? '1' : '0',
    description: `${markerLine(record)}\n${desired.label}`,
    tags: desired.tags.join(';'),
    rootfs: `${volid(0)},size=${desired.rootfs.sizeGiB}G`,
  };
  for (const [n, volume] of desired.volumes.entries())
    values[`mp${n}`] = `${volid(n + 1)},mp=${volume.path},backup=${volume.backup ? 1 : 0},size=${volume.sizeGiB}G`;
  for (const network of desired.networks)
    values[keyOfNetwork(network)] = formatNet(network, { mac: 'BC:24:11:00:00:01', linkDown: false });
  if (desired.startup !== undefined) values['startup'] = `order=${desired.startup.order}`;
  if (desired.timezone !== undefined) values['timezone'] = desired.timezone;
  if (desired.nameservers.length > 0) values['nameserver'] = desired.nameservers.join(' ');
  const row: GuestRow = {
    vmid,
    name: desired.hostname,
    status: running ? 'running' : 'stopped',
    lock: undefined,
    tags: desired.tags,
    cpus: desired.cores,
    maxMemBytes: 0,
    maxDiskBytes: 0,
    uptimeSeconds: 1,
  };
  return { record, row, values };
}

interface Over {
  readonly values?: Readonly<Record<string, string | undefined>>;
  readonly row?: Partial<GuestRow>;
  readonly seen?: SeenConfig;
  readonly digest?: string;
  readonly observed?: Partial<Observation>;
}

function observed(guests: readonly Made[], over: Over = {}): Observation {
  const rows = new Map(guests.map(({ row }) => [row.vmid, { ...row, ...over.row }]));
  const seen = new Map(
    guests.map(({ record, values }): [Vmid, SeenConfig] => {
      const merged = Object.entries({ ...values, ...over.values });
      const present = Object.fromEntries(merged.filter((entry): entry is [string, string] => entry[1] !== undefined));
      const config = { digest: over.digest ?? 'digest', lock: undefined, values: present };
      return [record.vmid, over.seen ?? { is: 'present', view: viewOf(config) }];
    }),
  );
  return {
    problem: undefined,
    rows,
    seen,
    pending: new Map(),
    foreignTasks: new Map(),
    personStops: new Map(),
    ...over.observed,
  };
}

function planned(desired: HeldDesiredState, guests: readonly Made[], over: Over = {}, inFlight = idle) {
  return plan({
    desired,
    observed: observed(guests, over),
    registry: guests.map(({ record }) => record),
    policy: testPolicy,
    inFlight,
    now,
  });
}

const desiredGuests = fc
  .record({
    cores: fc.integer({ min: 1, max: 8 }),
    memoryMiB: fc.integer({ min: 64, max: 4096 }),
    swapMiB: fc.integer({ min: 0, max: 512 }),
    power: fc.constantFrom('running' as const, 'stopped' as const),
    tags: fc.uniqueArray(fc.constantFrom('a', 'b', 'c')),
    label: fc.constantFrom('', 'a label', 'felhom:x', ' two\nlines '),
    timezone: fc.constantFrom(undefined, 'Europe/Budapest'),
    startup: fc.constantFrom(undefined, { order: 3 }),
    nameservers: fc.constantFrom([], ['1.1.1.1', '9.9.9.9']),
  })
  .map((over) => wish(JSON.parse(JSON.stringify(over)) as Partial<DesiredGuest>));

test('a converged world plans nothing and finds nothing', () => {
  fc.assert(
    fc.property(desiredGuests, (desired) => {
      const clean = { ...desired, label: '' };
      const result = planned(held(clean), [made(clean)]);
      assert.deepEqual(result.effects, []);
      assert.deepEqual(result.findings, []);
      assert.deepEqual(
        result.guests.map((guest) => guest.drift),
        [[]],
      );
    }),
  );
});

const keysOf: Readonly<Partial<Record<GuestEffect['kind'], readonly string[]>>> = {
  'cpu-up': ['cores'],
  'cpu-down': ['cores'],
  'memory-up': ['memory'],
  'memory-down': ['memory'],
  'swap-up': ['swap'],
  'swap-down': ['swap'],
  'label-change': ['tags'],
  'startup-change': ['startup'],
  'timezone-change': ['timezone'],
  'hostname-change': ['hostname'],
  'guest-onboot-on': ['onboot'],
  'guest-onboot-off': ['onboot'],
  'nameserver-change': ['nameserver'],
  'guest-start': [],
  'guest-stop': [],
};

/** What the sagas do, on the model: every effect that a saga carries out brings its field to the wish. */
function applied(guest: Made, effects: readonly GuestEffect[], wanted: DesiredGuest): Made {
  const target = made(wanted, guest.record.vmid);
  const values = { ...guest.values };
  let { row } = guest;
  const take = (...keys: readonly string[]): void => {
    for (const key of keys)
      if (target.values[key] === undefined) delete values[key];
      else values[key] = target.values[key];
  };
  for (const effect of effects) {
    if (sagaForEffect(effect, guest.record).is !== 'saga') continue;
    const keys = keysOf[effect.kind] ?? assert.fail(`the model knows no ${effect.kind}`);
    take(...keys);
    if (effect.kind === 'label-change')
      values['description'] = `${markerLine(guest.record)}\n${wanted.label.replace(/^felhom:/, '> felhom:')}`;
    if (effect.kind === 'guest-start') row = { ...row, status: 'running' };
    if (effect.kind === 'guest-stop') row = { ...row, status: 'stopped' };
  }
  return { ...guest, values, row };
}

test('after the plan was carried out, the next plan holds only what no saga carries out', () => {
  fc.assert(
    fc.property(desiredGuests, desiredGuests, (from, to) => {
      const guest = made({ ...from, label: '' });
      const first = planned(held(to), [guest]);
      const second = planned(held(to), [applied(guest, first.effects, to)]);
      const unsupported = first.effects.filter((effect) => sagaForEffect(effect, guest.record).is !== 'saga');
      assert.deepEqual(second.effects, unsupported);
    }),
  );
});

test('the same input gives the same plan, whatever the order of guests', () => {
  const [a, b] = [wish({ name: 'a', cores: 3 }), wish({ name: 'b', cores: 3 })];
  const guests = [made(wish({ name: 'a' })), made(wish({ name: 'b' }), 9001 as Vmid)];
  assert.deepEqual(planned(held(a, b), guests).effects, planned(held(b, a), guests.toReversed()).effects);
});

test('never received plans nothing and misses nothing', () => {
  const result = planned({ is: 'never-received' }, [made(wish({ cores: 7 }))]);
  assert.deepEqual(result, { effects: [], findings: [], guests: [] });
});

test('an empty document is not never-received: its guests are asked to be removed, which the gate blocks', () => {
  const result = planned(held(), [made(wish())]);
  assert.deepEqual(
    result.effects.map((effect) => effect.kind),
    ['guest-remove'],
  );
  assert.deepEqual(
    result.findings.map((finding) => finding.key),
    ['guest.absent-from-desired'],
  );
});

test('an unreadable world plans nothing', () => {
  const problem = { code: 'pve.unreachable', text: 'cannot list guests: nobody answers', retry: 'later' as const };
  const result = planned(held(wish({ cores: 9 })), [made(wish())], { observed: { problem } });
  assert.deepEqual(result.effects, []);
  assert.deepEqual(
    result.findings.map((finding) => finding.key),
    ['host.unreadable'],
  );
});

const kinds = (desired: DesiredGuest, over: Over = {}, from = wish()): string[] =>
  planned(held(desired), [made(from)], over).effects.map((effect) => effect.kind);

const differences: readonly [string, string[], readonly string[]][] = [
  ['more cores', kinds(wish({ cores: 3 })), ['cpu-up']],
  ['fewer cores', kinds(wish({ cores: 1 })), ['cpu-down']],
  ['more memory', kinds(wish({ memoryMiB: 2048 })), ['memory-up']],
  ['less memory', kinds(wish({ memoryMiB: 512 })), ['memory-down']],
  ['swap', kinds(wish({ swapMiB: 512 })), ['swap-up']],
  ['a larger root', kinds(wish({ rootfs: { storage: 'local', sizeGiB: 9 } })), ['volume-grow']],
  ['a smaller root', kinds(wish({ rootfs: { storage: 'local', sizeGiB: 7 } })), ['volume-shrink']],
  ['a root elsewhere', kinds(wish({ rootfs: { storage: 'other', sizeGiB: 8 } })), ['volume-move']],
  ['no volumes any more', kinds(wish({ volumes: [] })), ['volume-remove', 'volume-remove']],
  ['one more volume', kinds(wish(), {}, wish({ volumes: [] })), ['volume-add', 'volume-add']],
  ['hostname', kinds(wish({ hostname: 'other' })), ['hostname-change']],
  ['nameserver', kinds(wish({ nameservers: ['1.1.1.1'] })), ['nameserver-change']],
  ['label', kinds(wish({ label: 'other' })), ['label-change']],
  ['tags', kinds(wish({ tags: ['x'] })), ['label-change']],
  ['wanted stopped', kinds(wish({ power: 'stopped' })), ['guest-onboot-off', 'guest-stop']],
  ['it is stopped', kinds(wish(), { row: { status: 'stopped' } }), ['guest-start']],
  ['onboot was taken off', kinds(wish(), { values: { onboot: '0' } }), ['guest-onboot-on']],
  ['the network was edited', kinds(wish(), { values: { net0: 'name=eth0,bridge=vmbr9,ip=dhcp' } }), ['network-change']],
  ['a network was added', kinds(wish(), { values: { net1: 'name=eth1,bridge=vmbr0,ip=dhcp' } }), ['network-change']],
  [
    'backups were switched off',
    kinds(wish(), { values: { mp0: 'local:9000/vm-9000-disk-1.raw,mp=/srv/data,size=20G' } }),
    ['backup-flag-on'],
  ],
  [
    'the mount was moved',
    kinds(wish(), { values: { mp0: 'local:9000/vm-9000-disk-1.raw,mp=/x,backup=1,size=20G' } }),
    ['mount-change'],
  ],
  ['the marker is gone', kinds(wish(), { values: { description: 'note' } }), ['marker-repair']],
  [
    'a stale marker is foreign',
    kinds(wish({ cores: 5 }), { values: { description: `felhom:${'a'.repeat(26)}.1.old` } }),
    [],
  ],
  ['a locked guest is left alone', kinds(wish({ cores: 5 }), { row: { lock: 'backup' } }), []],
  ['a missing guest is a finding', kinds(wish({ cores: 5 }), { seen: { is: 'absent' } }), []],
  ['an invisible guest is a finding', kinds(wish({ cores: 5 }), { seen: { is: 'forbidden' } }), []],
  [
    'it changed hands',
    kinds(wish({ cores: 5 }), { observed: { foreignTasks: new Map([[9000 as Vmid, ['UPID:x' as never]]]) } }),
    [],
  ],
  [
    'a person stopped it a minute ago',
    kinds(wish(), { row: { status: 'stopped' }, observed: { personStops: new Map([[9000 as Vmid, now - 60_000]]) } }),
    [],
  ],
  [
    'a person stopped it long ago',
    kinds(wish(), { row: { status: 'stopped' }, observed: { personStops: new Map([[9000 as Vmid, now - 600_000]]) } }),
    ['guest-start'],
  ],
];
for (const [name, found, expect] of differences) test(`plan: ${name}`, () => assert.deepEqual(found, expect));

const finds: readonly [string, Over, readonly string[]][] = [
  ['edited without a difference', { digest: 'other' }, ['guest.config-edited']],
  ['with what a backup writes into it while it runs', { digest: 'other', row: { lock: 'backup' } }, []],
  ['missing', { seen: { is: 'absent' } }, ['guest.missing']],
  ['invisible', { seen: { is: 'forbidden' } }, ['guest.not-visible']],
  ['a lock that is no backup', { row: { lock: 'snapshot' } }, ['guest.locked']],
  ['a backup lock is daily life', { row: { lock: 'backup' } }, []],
  ['a volume is detached', { values: { mp0: undefined } }, ['guest.volume-detached', 'guest.volumes-differ']],
  ['a stale marker', { values: { description: `felhom:${'a'.repeat(26)}.1.old` } }, ['guest.foreign']],
];
for (const [name, over, expect] of finds)
  test(`findings: ${name}`, () =>
    assert.deepEqual(
      planned(held(wish()), [made(wish())], over).findings.map((finding) => finding.key),
      expect,
    ));

const standings: readonly [string, Over, string, boolean][] = [
  ['as wanted', {}, 'running', false],
  ['missing', { seen: { is: 'absent' } }, 'missing', true],
  ['invisible', { seen: { is: 'forbidden' } }, 'unknown', true],
  ['locked', { row: { lock: 'backup' } }, 'running', true],
  ['foreign', { values: { description: `felhom:${'a'.repeat(26)}.1.old` } }, 'unknown', true],
  [
    'stopped by a person',
    { row: { status: 'stopped' }, observed: { personStops: new Map([[9000 as Vmid, now - 1]]) } },
    'stopped',
    true,
  ],
  ['a volume is detached', { values: { mp0: undefined } }, 'running', true],
  ['stopped by itself', { row: { status: 'stopped' } }, 'stopped', false],
];
for (const [name, over, status, waiting] of standings)
  test(`standing: ${name}`, () => {
    const [standing] = planned(held(wish()), [made(wish())], over).guests;
    assert.deepEqual([standing?.status, standing?.waiting], [status, waiting]);
  });

test('a new name is provisioned once', () => {
  assert.deepEqual(
    planned(held(wish()), []).effects.map((effect) => effect.kind),
    ['guest-provision'],
  );
  const busy = planned(held(wish()), [], {}, { names: new Set(['photos']), vmids: new Set() });
  assert.deepEqual(busy.effects, []);
  assert.deepEqual(
    busy.guests.map((guest) => guest.status),
    ['coming-up'],
  );
});

test('guests of others in our range are reported, those in flight and outside are not', () => {
  const stranger = { ...made(wish()).row, vmid: 9005 as Vmid, name: 'x' };
  const rows = (vmid: number): Partial<Observation> => ({
    rows: new Map([[vmid as Vmid, { ...stranger, vmid: vmid as Vmid }]]),
  });
  const keys = (vmid: number, inFlight = idle): string[] =>
    planned(held(), [], { observed: rows(vmid) }, inFlight).findings.map((finding) => finding.key);
  assert.deepEqual(keys(9005), ['guest.foreign-in-range']);
  assert.deepEqual(keys(9025), ['guest.foreign-in-range'], 'scratch range too');
  assert.deepEqual(keys(101), []);
  assert.deepEqual(keys(9005, { names: new Set(), vmids: new Set([9005 as Vmid]) }), []);
});

test('a copy of one of ours is named as what it is', () => {
  const guest = made(wish());
  const copy = made(wish(), 9007 as Vmid);
  const both = observed([guest, { ...copy, values: guest.values }]);
  const result = plan({
    desired: held(wish()),
    observed: both,
    registry: [guest.record],
    policy: testPolicy,
    inFlight: idle,
    now,
  });
  assert.deepEqual(
    result.findings.map((finding) => finding.key),
    ['guest.stray'],
  );
  assert.match(result.findings[0]?.text ?? '', /guest photos, which is 9000/);
});

test('a guest of a lost journal is not made a second time beside itself', () => {
  const before = made(wish());
  const input = { desired: held(wish()), observed: observed([before]), policy: testPolicy, now };
  const lost = plan({ ...input, registry: [], inFlight: idle });
  assert.deepEqual(lost.effects, []);
  assert.deepEqual(lost.findings.map((finding) => finding.key).toSorted(), ['guest.stray', 'guest.twin']);
  assert.ok(lost.guests[0]?.waiting);
  const inFlight = { names: new Set<string>(), vmids: new Set([before.record.vmid]) };
  const own = plan({ ...input, registry: [], inFlight });
  assert.deepEqual(
    own.effects.map((effect) => effect.kind),
    ['guest-provision'],
    'what a saga of ours is at is no twin',
  );
  const other = plan({ ...input, desired: held(wish({ hostname: 'music' })), registry: [], inFlight: idle });
  assert.deepEqual(
    other.effects.map((effect) => effect.kind),
    ['guest-provision'],
  );
});

test('a clock that went back does not leave a stopped guest alone until it has caught up', () => {
  const guest = made(wish());
  const stopped = { ...guest, row: { ...guest.row, status: 'stopped' as const } };
  const effectsAt = (stoppedAt: number) =>
    plan({
      desired: held(wish()),
      observed: { ...observed([stopped]), personStops: new Map([[guest.record.vmid, stoppedAt]]) },
      registry: [guest.record],
      policy: testPolicy,
      inFlight: idle,
      now,
    }).effects.map((effect) => effect.kind);
  assert.deepEqual(effectsAt(now - 60_000), []);
  assert.deepEqual(effectsAt(now + 3_600_000), ['guest-start']);
});

test('a guest whose disk is away is not tried: it says so, and starts when the disk is there', () => {
  const guest = made(wish());
  const stopped = { ...guest, row: { ...guest.row, status: 'stopped' as const } };
  const plannedOn = (state: GuestDisk['state']) =>
    plan({
      desired: held(wish()),
      observed: observed([stopped]),
      registry: [guest.record],
      policy: testPolicy,
      inFlight: idle,
      diskOf: (storage) =>
        storage === 'local'
          ? { target: 'usb-1', state, attachment: '', flapping: false, since: 1, why: '' }
          : undefined,
      now,
    });
  for (const state of ['away', 'in-use'] as const) {
    const { effects, findings, guests } = plannedOn(state);
    assert.deepEqual(effects, []);
    assert.deepEqual([findings[0]?.key, guests[0]?.waiting], ['guest.waits-for-disk', true]);
  }
  for (const state of ['attached', 'unclear'] as const)
    assert.deepEqual(
      plannedOn(state).effects.map(({ kind }) => kind),
      ['guest-start'],
    );
});

test('removals come first and provisions last', () => {
  const guests = [made(wish({ name: 'gone' })), made(wish({ name: 'kept' }), 9001 as Vmid)];
  const result = planned(held(wish({ name: 'kept', cores: 3, memoryMiB: 512 }), wish({ name: 'new' })), guests);
  assert.deepEqual(
    result.effects.map((effect) => effect.kind),
    ['guest-remove', 'memory-down', 'cpu-up', 'guest-provision'],
  );
});
