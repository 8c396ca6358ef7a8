/**
 * What a hub could send to destroy, disclose or divert unsigned. Each row is one attempt on a guest that serves; the
 * effects are those that an honest planner derives from the document, and those that a mistaken one might.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { desiredState, digest, guestName, storageId } from '@felhom/protocol';
import {
  dataVolume,
  effects,
  evidences,
  foreignVolume,
  makeDesired,
  makeFacts,
  makeGuest,
  makePolicy,
  makeRecord,
  now,
  otherUid,
  ref,
  rootVolume,
} from '../../test/gate-facts.ts';
import type { Effect } from './effects.ts';
import type { GateFacts } from './facts.ts';
import { decide } from './gate.ts';

type Network = Extract<Effect, { kind: 'network-change' }>['to'];
const network = (to: Network): Effect => ({
  kind: 'network-change',
  guest: ref,
  network: 'eth0',
  from: 'name=eth0,bridge=vmbr0,firewall=1',
  to,
});
const eth0 = { name: 'eth0', bridge: 'vmbr0', ipv4: 'dhcp', firewall: true } as const;
const added = (change: object): Effect => ({
  kind: 'volume-add',
  guest: ref,
  volume: { name: 'more', path: '/srv/more', storage: storageId.parse('fast'), sizeGiB: 1, backup: true, ...change },
});
const provision = (change: Record<string, unknown>): Effect => ({
  kind: 'guest-provision',
  desired: makeDesired(change),
});
const volume = { guest: ref, volume: 'data', volid: dataVolume };
const floor = { kind: 'floor-change', before: digest.parse('0'.repeat(64)), floor: 'keepDays' } as const;
const noGuest = { guest: undefined };

const attempts: readonly {
  readonly name: string;
  readonly effect: Effect;
  readonly facts?: Partial<GateFacts>;
  readonly expect: string;
}[] = [
  // ------------------------------------------------------------------------------------------------ destroy
  { name: 'leave the guest out', effect: effects['guest-remove'], expect: 'destroy' },
  { name: 'rename it: the old name vanishes', effect: effects['guest-remove'], expect: 'destroy' },
  {
    name: 'the same name with another spec, as a new guest',
    effect: provision({ name: 'photos' }),
    expect: 'gate.name-in-use',
  },
  {
    name: 'remove a guest of another incarnation',
    effect: { kind: 'guest-remove', guest: { ...ref, incarnation: 2 }, volumes: [] },
    expect: 'gate.unknown-guest',
  },
  {
    name: "remove a guest under another one's name",
    effect: { kind: 'guest-remove', guest: { ...ref, uid: otherUid }, volumes: [] },
    expect: 'gate.unknown-guest',
  },
  {
    name: 'remove what a person put at our VMID',
    effect: effects['guest-remove'],
    facts: { guest: makeGuest({ identity: { is: 'foreign', why: 'foreign-task' } }) },
    expect: 'gate.foreign',
  },
  { name: 'rename a volume: the old one vanishes', effect: { kind: 'volume-remove', ...volume }, expect: 'destroy' },
  { name: 'shrink a volume', effect: { kind: 'volume-shrink', ...volume, from: 20, to: 1 }, expect: 'destroy' },
  {
    name: 'a shrink that calls itself a growth',
    effect: { kind: 'volume-grow', ...volume, from: 20, to: 1 },
    expect: 'gate.contradictory',
  },
  {
    name: 'a growth that names the volume of somebody else',
    effect: { kind: 'volume-grow', ...volume, volid: foreignVolume, from: 20, to: 21 },
    expect: 'gate.contradictory',
  },
  { name: 'a volume under a name that exists', effect: added({ name: 'data' }), expect: 'gate.contradictory' },
  { name: 'take a volume out of the backup', effect: effects['backup-flag-off'], expect: 'destroy' },
  // ----------------------------------------------------------------------------------------------- disclose
  {
    name: 'put a volume onto another storage',
    effect: { kind: 'volume-move', ...volume, to: 'slow' },
    expect: 'disclose',
  },
  { name: 'put it onto a stick', effect: { kind: 'volume-move', ...volume, to: 'usb-stick' }, expect: 'disclose' },
  {
    name: 'a new volume on a storage root did not approve',
    effect: added({ storage: 'usb-stick' }),
    expect: 'gate.out-of-range',
  },
  { name: 'another bridge', effect: network({ ...eth0, bridge: 'vmbr1' }), expect: 'disclose' },
  { name: 'a vlan', effect: network({ ...eth0, vlan: 66 }), expect: 'disclose' },
  {
    name: 'another address and gateway',
    effect: network({ ...eth0, ipv4: { address: '10.0.0.2/24', gateway: '10.0.0.66' } }),
    expect: 'disclose',
  },
  { name: 'the firewall off', effect: network({ ...eth0, firewall: false }), expect: 'disclose' },
  { name: 'no network', effect: network(null), expect: 'disclose' },
  {
    name: 'another nameserver',
    effect: { kind: 'nameserver-change', guest: ref, from: '', to: '6.6.6.6' },
    expect: 'disclose',
  },
  // ------------------------------------------------------------------------------------------------- divert
  { name: 'stop it', effect: effects['guest-stop'], expect: 'divert' },
  { name: 'let it stay off after the next boot', effect: effects['guest-onboot-off'], expect: 'divert' },
  { name: 'starve it of memory', effect: { kind: 'memory-down', guest: ref, from: 4096, to: 64 }, expect: 'divert' },
  {
    name: 'a starving that calls itself more',
    effect: { kind: 'memory-up', guest: ref, from: 4096, to: 64 },
    expect: 'gate.contradictory',
  },
  {
    name: 'memory that is no number',
    effect: { kind: 'memory-up', guest: ref, from: 1, to: Number.NaN },
    expect: 'gate.contradictory',
  },
  { name: 'one core', effect: { kind: 'cpu-down', guest: ref, from: 4, to: 1 }, expect: 'divert' },
  { name: 'no swap', effect: { kind: 'swap-down', guest: ref, from: 512, to: 0 }, expect: 'divert' },
  {
    name: 'swap the path of two volumes',
    effect: { kind: 'mount-change', guest: ref, volume: 'data', from: '/srv/data', to: '/srv/other' },
    expect: 'divert',
  },
  {
    name: 'mount a volume over docker',
    effect: { kind: 'mount-change', guest: ref, volume: 'data', from: '/srv/data', to: '/var/lib/docker' },
    expect: 'divert',
  },
  { name: 'an empty volume over docker', effect: added({ path: '/var/lib/docker' }), expect: 'gate.out-of-range' },
  {
    name: 'an empty volume over data that is mounted',
    effect: added({ path: '/srv/data' }),
    expect: 'gate.out-of-range',
  },
  { name: 'an empty volume above data that is mounted', effect: added({ path: '/srv' }), expect: 'gate.out-of-range' },
  {
    name: 'an empty volume inside data that is mounted',
    effect: added({ path: '/srv/data/albums' }),
    expect: 'gate.out-of-range',
  },
  { name: 'another host name', effect: effects['hostname-change'], expect: 'divert' },
  // -------------------------------------------------------------------------------------------- fill the host
  { name: 'grow to eight terabytes', effect: { kind: 'volume-grow', ...volume, from: 20, to: 8192 }, expect: 'divert' },
  {
    name: 'grow a little every minute',
    effect: { kind: 'volume-grow', ...volume, from: 30, to: 31 },
    facts: { guest: makeGuest({ sizeGiB: 42, grownGiB: 14 }) },
    expect: 'divert',
  },
  { name: 'a new volume larger than the pool', effect: added({ sizeGiB: 500 }), expect: 'gate.out-of-range' },
  {
    name: 'grow on a storage that cannot be read',
    effect: effects['volume-grow'],
    facts: { storages: new Map() },
    expect: 'gate.room-unknown',
  },
  { name: 'all the cores', effect: { kind: 'cpu-up', guest: ref, from: 4, to: 17 }, expect: 'gate.out-of-range' },
  {
    name: 'all the memory',
    effect: { kind: 'memory-up', guest: ref, from: 4096, to: 999_999 },
    expect: 'gate.out-of-range',
  },
  { name: 'all the swap', effect: { kind: 'swap-up', guest: ref, from: 0, to: 999_999 }, expect: 'gate.out-of-range' },
  {
    name: 'guests without end',
    effect: provision({}),
    facts: { ...noGuest, sums: { guests: 4, cores: 0, memoryMiB: 0, swapMiB: 0 } },
    expect: 'gate.out-of-range',
  },
  // -------------------------------------------------------------------------------------------------- deploy
  {
    name: 'a golden that root did not admit',
    effect: provision({ golden: 'evil' }),
    facts: noGuest,
    expect: 'gate.out-of-range',
  },
  {
    name: 'a golden named like a field of every object',
    effect: provision({ golden: 'constructor' }),
    facts: noGuest,
    expect: 'gate.out-of-range',
  },
  {
    name: 'a new guest on a foreign bridge',
    effect: provision({ networks: [{ ...eth0, bridge: 'wan0' }] }),
    facts: noGuest,
    expect: 'gate.out-of-range',
  },
  {
    name: 'a new guest on a foreign storage',
    effect: provision({ rootfs: { storage: 'nas', sizeGiB: 8 } }),
    facts: noGuest,
    expect: 'gate.out-of-range',
  },
  {
    name: 'a new guest whose volume covers its system',
    effect: provision({ volumes: [{ name: 'v', path: '/etc', storage: 'fast', sizeGiB: 1, backup: true }] }),
    facts: noGuest,
    expect: 'gate.out-of-range',
  },
  // ------------------------------------------------------------------------------------------ around the gate
  {
    name: 'claim a guest that carries no marker any more',
    effect: effects['marker-repair'],
    facts: { guest: makeGuest({ identity: { is: 'ours-unproven', why: 'marker-missing' } }) },
    expect: 'gate.unproven',
  },
  {
    name: 'aim at a guest of a restore-test',
    effect: effects['guest-remove'],
    facts: { guest: makeGuest({ record: makeRecord({ scratch: true }) }) },
    expect: 'gate.unknown-guest',
  },
  {
    name: 'touch guest after guest',
    effect: effects['cpu-up'],
    facts: { touches: ['a', 'b'].map((n) => ({ at: now, group: 'capacity' as const, guest: guestName.parse(n) })) },
    expect: 'divert',
  },
  {
    name: 'wake what root holds',
    effect: effects['guest-start'],
    facts: { policy: makePolicy({ hold: { host: true } }) },
    expect: 'gate.on-hold',
  },
  { name: 'set a hold', effect: effects['hold-set'], expect: 'gate.no-authority' },
  { name: 'lift a hold', effect: { kind: 'hold-clear', scope: ref }, expect: 'gate.no-authority' },
  { name: 'decommission it', effect: effects['guest-decommission'], expect: 'gate.no-authority' },
  {
    name: 'free what is in quarantine',
    effect: { kind: 'guest-remove', guest: ref, volumes: [rootVolume], stage: 'free' },
    expect: 'destroy',
  },
  {
    name: 'bring back what is being removed',
    effect: effects['guest-lift-quarantine'],
    expect: 'gate.no-authority',
  },
  { name: 'adopt what somebody else made', effect: effects['guest-adopt'], expect: 'gate.no-authority' },
  { name: 'give a guest another VMID', effect: effects['guest-re-register'], expect: 'gate.no-authority' },
  { name: 'lead a parked saga on', effect: effects['saga-resume'], expect: 'gate.no-authority' },
  {
    name: 'lead a parked saga on that says that it does nothing',
    effect: { kind: 'saga-abandon', sagaId: 's', step: 'x', classes: [], removal: false, loss: [] },
    expect: 'gate.no-authority',
  },
  { name: 'put its own key in charge', effect: effects['trust-change'], expect: 'gate.no-authority' },
  { name: 'lower a floor', effect: effects['floor-change'], expect: 'gate.no-authority' },
  { name: 'raise a floor', effect: { ...floor, from: 3, to: 7 }, expect: 'gate.no-authority' },
  { name: 'open break-glass', effect: effects['break-glass-open'], expect: 'gate.no-authority' },
  { name: 'shut the operator out', effect: effects['break-glass-close'], expect: 'gate.no-authority' },
  { name: 'another storage target', effect: effects['target-attach'], expect: 'gate.no-authority' },
  { name: 'a storage target wiped', effect: effects['target-wipe'], expect: 'gate.no-authority' },
  { name: 'a storage target led elsewhere', effect: effects['target-re-point'], expect: 'gate.no-authority' },
  { name: 'the tunnel to somebody else', effect: effects['tunnel-change'], expect: 'gate.no-authority' },
  { name: 'another hub', effect: effects['hub-re-point'], expect: 'gate.not-built' },
  { name: 'another controller image', effect: effects['controller-image-change'], expect: 'gate.not-built' },
  { name: 'delete a backup', effect: effects['backup-delete'], expect: 'gate.no-authority' },
  { name: 'restore over it', effect: effects['restore-overwrite'], expect: 'gate.no-authority' },
];

for (const { name, effect, facts, expect } of attempts)
  test(`a hub cannot, unsigned: ${name}`, () => {
    const decision = decide(effect, evidences['desired-state'], makeFacts(facts), now);
    assert.equal(
      decision.is === 'blocked'
        ? decision.action.document.effectClass
        : decision.is === 'refused'
          ? decision.why.code
          : decision.is,
      expect,
    );
  });

const document = (guest: Record<string, unknown>, top: Record<string, unknown> = {}): unknown => ({
  v: 1,
  lineage: 'aaaaaaaaaaaaaaaaaaaaaaaaaa',
  generation: 1,
  guests: [{ ...makeDesired(), ...guest }],
  ...top,
});
const [data] = makeDesired().volumes;

test('the document that the next table spoils is good', () => {
  assert.equal(desiredState.safeParse(document({})).success, true);
});

for (const [name, bad] of [
  ['a volume id', document({ volumes: [{ ...data, volid: rootVolume }] })],
  ['mount options', document({ volumes: [{ ...data, options: 'suid' }] })],
  ['a read-only flag', document({ volumes: [{ ...data, ro: true }] })],
  ['a path out of the guest', document({ volumes: [{ ...data, path: '/srv/../etc' }] })],
  ['a path with a comma, which is another option', document({ volumes: [{ ...data, path: '/srv,ro=1' }] })],
  ['a MAC address', document({ networks: [{ ...eth0, hwaddr: 'aa:bb:cc:dd:ee:ff' }] })],
  ['a hook script', document({ hookscript: 'local:snippets/x' })],
  ['a device', document({ dev0: '/dev/sda' })],
  ['features', document({ features: 'mount=nfs' })],
  ['an environment', document({ env: 'A=1' })],
  ['a VMID', document({ vmid: 100 })],
  ['a scratch mark', document({ scratch: true })],
  ['a hold', document({}, { hold: false })],
  ['a blast radius', document({}, { limits: { blastRadius: 1000 } })],
  ['consent', document({}, { consent: true })],
  ['a removal stage', document({ stage: 'free' })],
  ['a floor', document({}, { floors: { keepDays: 0 } })],
  ['whom to trust', document({}, { trust: {} })],
  ['an adoption', document({ adopt: { vmid: 104 } })],
  ['another version', document({}, { v: 2 })],
  ['guests that are null', document({}, { guests: null })],
  ['two guests of one name', document({}, { guests: [makeDesired(), makeDesired()] })],
] as const)
  test(`no document carries ${name}`, () => {
    assert.equal(desiredState.safeParse(bad).success, false);
  });

test('a warrant is never the answer to a hub', () => {
  for (const { effect, facts } of attempts) {
    const decision = decide(effect, evidences['desired-state'], makeFacts(facts), now);
    assert.notEqual(decision.is, 'allowed');
  }
});
