/** Every effect on a signature: the right one, one person short, of something else, and where no signature helps. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { digest, digestOfBlocked, digestOfTrust, guestName, vmid } from '@felhom/protocol';
import {
  dataVolume,
  effects,
  evidences,
  factsFor,
  foreignVolume,
  hour,
  makeGuest,
  makePolicy,
  makeRecord,
  makeTrust,
  now,
  otherUid,
  ref,
  rootVolume,
  stranger,
  thresholds,
} from '../../test/gate-facts.ts';
import { actionDocument } from './action-document.ts';
import { guestRefOf } from './effects.ts';
import type { BuiltEffect, Effect, EffectKind } from './effects.ts';
import type { GateFacts } from './facts.ts';
import { decide } from './gate.ts';
import type { Decision } from './gate.ts';
import { gateTable, isBuilt, isProtectionEffect } from './gate-table.ts';
import type { SignedJob } from './people.ts';

const names = ['alice', 'bob', 'carol', 'dave', 'erin', 'frank', 'grace', 'heidi'];
/** Each threshold another number, so that the number tells which one was asked. */
const apart = { destroy: 3, disclose: 4, deploy: 5, divert: 2, removal: 6, trust: 7 } as const;
const strict = { thresholds: apart, loneOperator: false };
const next = makeTrust();

function sign(effect: BuiltEffect, facts: GateFacts, people: number, change: Partial<SignedJob> = {}): SignedJob {
  return {
    ...evidences['signed-job'],
    people: names.slice(0, people),
    signed: digestOfBlocked(actionDocument(effect, facts)),
    trust: strict,
    next,
    ...change,
  };
}

/** `+` allowed, `<n` so many people short, else the code. */
function shortly(decision: Decision): string {
  if (decision.is === 'allowed') return '+';
  if (decision.is === 'refused' && decision.missing !== undefined) {
    assert.equal(decision.why.code, 'job.more-people');
    return `<${decision.missing}`;
  }
  return decision.why.code.replace(/^(?:gate|job)\./, '');
}

/** The removal comes with its stage where it is signed. */
const signable = (kind: EffectKind): BuiltEffect => {
  const effect = effects[kind];
  assert.ok(isBuilt(effect));
  return effect.kind === 'guest-remove' ? { ...effect, stage: 'quarantine' } : effect;
};

/** Of this kind, with other values. */
const like = (kind: EffectKind, change: Record<string, unknown>): BuiltEffect =>
  ({ ...effects[kind], ...change }) as BuiltEffect;

const somethingElse = digest.parse('5'.repeat(64));
const served = makeGuest();
const fresh = makeGuest({ record: makeRecord({ servedAt: undefined }) });
const foreign = makeGuest({ identity: { is: 'foreign', why: 'stale-marker' } });
const unseen = makeGuest({ identity: { is: 'unknown', why: 'absent' } });
const unproven = makeGuest({ identity: { is: 'ours-unproven', why: 'marker-missing' } });

/**
 * Columns, on a guest that served: people needed; that many; one fewer; a signature over something else; the same on a
 * guest that never served; then with all the people in the world: hold, a policy that does not read, a foreign guest,
 * one that was not seen, one that is likely ours.
 */
const table = `
                      served                | never served          | hold    policy            foreign   unseen    unproven
guest-provision       1  +  <1  changed     | 1  +  <1  changed     | on-hold policy-unreadable +         +         +
guest-remove          6  +  <1  changed     | 3  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
guest-start           1  +  <1  changed     | 1  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  +
guest-stop            2  +  <1  changed     | 1  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
guest-onboot-on       1  +  <1  changed     | 1  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  +
guest-onboot-off      2  +  <1  changed     | 1  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
cpu-up                1  +  <1  changed     | 1  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
cpu-down              2  +  <1  changed     | 1  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
memory-up             1  +  <1  changed     | 1  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
memory-down           2  +  <1  changed     | 1  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
swap-up               1  +  <1  changed     | 1  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
swap-down             2  +  <1  changed     | 1  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
volume-add            1  +  <1  changed     | 1  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
volume-grow           1  +  <1  changed     | 1  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
volume-shrink         3  +  <1  changed     | 3  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
volume-remove         3  +  <1  changed     | 3  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
volume-move           4  +  <1  changed     | 4  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
mount-change          2  +  <1  changed     | 1  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
backup-flag-on        1  +  <1  changed     | 1  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
backup-flag-off       3  +  <1  changed     | 3  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
network-change        4  +  <1  changed     | 1  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
nameserver-change     4  +  <1  changed     | 1  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
hostname-change       2  +  <1  changed     | 1  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
label-change          1  +  <1  changed     | 1  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
startup-change        1  +  <1  changed     | 1  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
timezone-change       1  +  <1  changed     | 1  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
marker-repair         1  +  <1  changed     | 1  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
guest-decommission    6  +  <1  changed     | 3  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
guest-lift-quarantine 1  +  <1  changed     | 1  +  <1  changed     | +       policy-unreadable foreign   not-seen  +
guest-adopt           3  +  <1  changed     | 3  +  <1  changed     | on-hold policy-unreadable +         +         +
guest-re-register     3  +  <1  changed     | 3  +  <1  changed     | on-hold policy-unreadable +         +         +
hold-set              2  +  <1  changed     | 2  +  <1  changed     | +       policy-unreadable +         +         +
hold-clear            2  +  <1  changed     | 2  +  <1  changed     | +       policy-unreadable +         +         +
saga-resume           3  +  <1  changed     | 3  +  <1  changed     | +       policy-unreadable +         +         +
saga-abandon          3  +  <1  changed     | 3  +  <1  changed     | +       policy-unreadable +         +         +
trust-change          7  +  <1  changed     | 7  +  <1  changed     | +       policy-unreadable +         +         +
floor-change          3  +  <1  changed     | 3  +  <1  changed     | on-hold policy-unreadable +         +         +
break-glass-open      4  +  <1  changed     | 4  +  <1  changed     | +       policy-unreadable +         +         +
break-glass-close     1  +  <1  changed     | 1  +  <1  changed     | +       policy-unreadable +         +         +
target-attach         4  +  <1  changed     | 4  +  <1  changed     | on-hold policy-unreadable +         +         +
target-detach         4  +  <1  changed     | 4  +  <1  changed     | on-hold policy-unreadable +         +         +
target-wipe           4  +  <1  changed     | 4  +  <1  changed     | on-hold policy-unreadable +         +         +
target-re-point       4  +  <1  changed     | 4  +  <1  changed     | on-hold policy-unreadable +         +         +
tunnel-change         4  +  <1  changed     | 4  +  <1  changed     | on-hold policy-unreadable +         +         +
backup-force          1  +  <1  changed     | 1  +  <1  changed     | +       policy-unreadable foreign   not-seen  +
backup-delete         3  +  <1  changed     | 3  +  <1  changed     | on-hold policy-unreadable +         +         +
backup-unprotect      3  +  <1  changed     | 3  +  <1  changed     | on-hold policy-unreadable +         +         +
restore-overwrite     3  +  <1  changed     | 3  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
restore-in-place      3  +  <1  changed     | 3  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
restore-copy          4  +  <1  changed     | 4  +  <1  changed     | on-hold policy-unreadable +         +         +
guest-rollback        3  +  <1  changed     | 3  +  <1  changed     | on-hold policy-unreadable foreign   not-seen  unproven
restore-undo          3  +  <1  changed     | 3  +  <1  changed     | +       policy-unreadable foreign   not-seen  unproven
restore-finish        3  +  <1  changed     | 3  +  <1  changed     | +       policy-unreadable foreign   not-seen  unproven
`;

const rows = table
  .trim()
  .split('\n')
  .slice(1)
  .map((line) => line.trim().split(/[\s|]+/));

test('the product has a line for everything that this release can carry out', () => {
  const built = (Object.keys(effects) as EffectKind[]).filter(
    (kind) => isBuilt(effects[kind]) && !isProtectionEffect(effects[kind]),
  );
  assert.deepEqual(
    rows.map(([kind]) => kind),
    built,
  );
});

for (const [kind = '', ...cells] of rows)
  test(`${kind} on a signature`, () => {
    const effect = signable(kind as EffectKind);
    const world = (change: Partial<GateFacts>): GateFacts =>
      factsFor(effect, 'guest' in change && guestRefOf(effect) === undefined ? {} : change);
    const ask = (change: Partial<GateFacts>, people: number, signed?: typeof somethingElse): string => {
      const facts = world(change);
      const evidence = sign(effect, facts, people, signed === undefined ? {} : { signed });
      return shortly(decide(effect, evidence, facts, now));
    };
    const onGuest = (guest: typeof served, people: number): string[] => [
      String(people),
      ask({ guest }, people),
      ask({ guest }, people - 1),
      ask({ guest }, 8, somethingElse),
    ];
    const results = [
      ...onGuest(served, Number(cells[0])),
      ...onGuest(fresh, Number(cells[4])),
      ask({ holds: { host: true, guests: [] } }, 8),
      ask({ policy: undefined }, 8),
      ask({ guest: foreign }, 8),
      ask({ guest: unseen }, 8),
      ask({ guest: unproven }, 8),
    ];
    assert.deepEqual(results, cells);
    assert.equal(ask({ policy: makePolicy({ hold: { host: true } }) }, 8), cells[8], "root's hold is a hold");
  });

test('what goes on by itself is opened by no signature: no job asks for it', () => {
  for (const effect of Object.values(effects).filter(isProtectionEffect)) {
    const facts = factsFor(effect);
    assert.equal(shortly(decide(effect, sign(effect, facts, 8), facts, now)), 'no-authority', effect.kind);
  }
});

test('what belongs to a later piece is opened by no signature', () => {
  const later = (Object.keys(effects) as EffectKind[]).filter((kind) => !isBuilt(effects[kind]));
  for (const kind of later)
    for (const people of [[], names])
      assert.equal(
        shortly(decide(effects[kind], { ...evidences['signed-job'], people }, factsFor(effects[kind]), now)),
        'not-built',
        kind,
      );
});

const signed = (effect: BuiltEffect, facts: GateFacts = factsFor(effect), change: Partial<SignedJob> = {}): string =>
  shortly(decide(effect, sign(effect, facts, 8, change), facts, now));

test('the same person twice is one person', () => {
  const effect = signable('guest-stop');
  assert.equal(signed(effect, undefined, { people: ['alice', 'alice'] }), '<1');
  assert.equal(signed(effect, undefined, { people: ['alice', 'bob'] }), '+');
});

test('how many are missing is said, and who has signed', () => {
  const effect = signable('guest-decommission');
  const decision = decide(effect, sign(effect, factsFor(effect), 2), factsFor(effect), now);
  assert.ok(decision.is === 'refused');
  assert.equal(decision.missing, 4);
  assert.match(
    decision.why.text,
    /^cannot remove guest photos .*: 2 of 6 people have signed \(alice, bob\); 4 more must$/,
  );
});

test('a removal says its stage where it is signed, and one signature is good for both', () => {
  const facts = factsFor(effects['guest-remove']);
  assert.ok(effects['guest-remove'].kind === 'guest-remove');
  assert.equal(signed(effects['guest-remove']), 'contradictory');
  for (const kind of ['guest-remove', 'guest-decommission'] as const) {
    const quarantine = like(kind, { stage: 'quarantine' });
    const free = like(kind, { stage: 'free' });
    const evidence = sign(quarantine, facts, 8);
    assert.equal(shortly(decide(quarantine, evidence, facts, now)), '+');
    assert.equal(shortly(decide(free, evidence, facts, now)), '+');
  }
});

test('a volume that came to the guest after the signature voids it', () => {
  for (const kind of ['guest-remove', 'guest-decommission'] as const) {
    const effect = signable(kind);
    const before = sign(effect, factsFor(effect), 8);
    for (const guest of [
      makeGuest({ seenVolumes: [rootVolume, dataVolume, foreignVolume] }),
      makeGuest({ seenVolumes: [foreignVolume] }),
    ])
      assert.equal(shortly(decide(effect, before, factsFor(effect, { guest }), now)), 'changed', kind);
  }
});

test('what was signed for one guest, one host or one life of it is good for no other', () => {
  const effect: BuiltEffect = { kind: 'guest-stop', guest: ref };
  const evidence = sign(effect, factsFor(effect), 8);
  const other = { ...ref, uid: otherUid };
  const guest = makeGuest({ record: makeRecord({ uid: otherUid }) });
  assert.equal(shortly(decide({ ...effect, guest: other }, evidence, factsFor(effect, { guest }), now)), 'changed');
  const again = { ...ref, incarnation: 2 };
  const restored = makeGuest({ record: makeRecord({ incarnation: 2 }) });
  assert.equal(
    shortly(decide({ ...effect, guest: again }, evidence, factsFor(effect, { guest: restored }), now)),
    'changed',
  );
  assert.equal(shortly(decide(effect, evidence, factsFor(effect, { hostEpoch: 'd'.repeat(32) }), now)), 'changed');
  assert.equal(shortly(decide(effect, evidence, factsFor(effect, { guest }), now)), 'unknown-guest');
  assert.equal(shortly(decide(effect, evidence, factsFor(effect, { guest: undefined }), now)), 'unknown-guest');
  const scratch = makeGuest({ record: makeRecord({ scratch: true }) });
  assert.equal(shortly(decide(effect, evidence, factsFor(effect, { guest: scratch }), now)), 'unknown-guest');
});

// -------------------------------------------------------------------------------------- limits on what is unasked

const touches = ['a', 'b'].map((guest) => ({
  at: now - hour,
  group: 'create' as const,
  guest: guestName.parse(guest),
}));

for (const [what, effect, change, expect] of [
  ['growth beyond the percentage of a day', like('volume-grow', { to: 60 }), {}, 2],
  [
    'a growth that the blast radius stopped',
    effects['volume-grow'],
    { touches: touches.map((t) => ({ ...t, group: 'volumes' as const })) },
    2,
  ],
  ['a new guest that the blast radius stopped', effects['guest-provision'], { touches }, 2],
  [
    'a label that the blast radius stopped',
    effects['label-change'],
    { touches: touches.map((t) => ({ ...t, group: 'display' as const })) },
    2,
  ],
] as const)
  test(`${what} takes the people of what diverts, and no more room than there is`, () => {
    assert.ok(isBuilt(effect));
    const facts = factsFor(effect, change);
    const ask = (people: number): string => shortly(decide(effect, sign(effect, facts, people), facts, now));
    assert.equal(decide(effect, evidences['desired-state'], facts, now).is, 'blocked');
    assert.equal(ask(expect - 1), '<1');
    assert.equal(ask(expect), '+');
  });

for (const [what, effect, change, expect] of [
  ['a growth on a storage that cannot be read', effects['volume-grow'], { storages: new Map() }, 'room-unknown'],
  [
    'a growth on a storage that cannot be read, and beyond the day',
    like('volume-grow', { to: 60 }),
    { storages: new Map() },
    'room-unknown',
  ],
  ['more cores than the host gives', like('cpu-up', { to: 64 }), {}, 'out-of-range'],
  [
    'a bridge that root did not approve',
    like('network-change', { to: { name: 'eth0', bridge: 'wan0', ipv4: 'dhcp', firewall: true } }),
    {},
    'out-of-range',
  ],
  ['a mount over the system', like('mount-change', { to: '/var/lib/docker' }), {}, 'out-of-range'],
  [
    'one guest more than fit',
    effects['guest-provision'],
    { sums: { guests: 4, cores: 0, memoryMiB: 0, swapMiB: 0 } },
    'out-of-range',
  ],
] as const)
  test(`no signature opens ${what}`, () => {
    const asked = effect as BuiltEffect;
    assert.equal(signed(asked, factsFor(asked, change)), expect);
  });

test('a start that was signed for does not wait for the person who stopped the guest', () => {
  const guest = makeGuest({ personStoppedAt: now - 1000 });
  assert.equal(signed(signable('guest-start'), factsFor(effects['guest-start'], { guest })), '+');
});

// ------------------------------------------------------------------------------------------------------ strangers

for (const [what, change, expect] of [
  ['as it was signed for', {}, '+'],
  ['with its volumes in another order', { volumes: stranger.volumes.toReversed() }, '+'],
  ['with a volume more', { volumes: [...stranger.volumes, foreignVolume] }, 'changed'],
  ['with a volume less', { volumes: stranger.volumes.slice(0, 1) }, 'changed'],
  ['with no volume', { volumes: [] }, 'changed'],
  ['under a name that another guest has', { nameTaken: true }, 'name-in-use'],
  ['that is a guest of ours already', { onRecord: true }, 'contradictory'],
  ['somewhere else', { vmid: vmid.parse(9043) }, 'not-seen'],
] as const)
  test(`to adopt or register again what is there ${what}: ${expect}`, () => {
    for (const kind of ['guest-adopt', 'guest-re-register'] as const) {
      const effect = signable(kind);
      assert.equal(signed(effect, factsFor(effect, { stranger: { ...stranger, ...change } })), expect, kind);
    }
  });

test('an edit of the config voids an adoption; a new registration is for what was edited', () => {
  const edited = { stranger: { ...stranger, configDigest: 'c'.repeat(40) } };
  assert.equal(signed(signable('guest-adopt'), factsFor(effects['guest-adopt'], edited)), 'changed');
  assert.equal(signed(signable('guest-re-register'), factsFor(effects['guest-re-register'], edited)), '+');
});

test('what was not seen is not adopted, nor what is outside the range of guests', () => {
  for (const kind of ['guest-adopt', 'guest-re-register'] as const) {
    const effect = signable(kind);
    assert.equal(signed(effect, factsFor(effect, { stranger: undefined })), 'not-seen');
    for (const outside of [8999, 9100].map((n) => vmid.parse(n))) {
      const there = like(kind, { vmid: outside });
      assert.equal(signed(there, factsFor(effect, { stranger: { ...stranger, vmid: outside } })), 'out-of-range', kind);
    }
  }
});

test('a guest is registered again at its own VMID, whatever it looks like there, and only under its own uid', () => {
  const effect: BuiltEffect = {
    kind: 'guest-re-register',
    guest: ref,
    vmid: vmid.parse(9000),
    volumes: stranger.volumes,
  };
  const own = { ...stranger, vmid: vmid.parse(9000), onRecord: true };
  for (const guest of [served, foreign, unseen, unproven])
    assert.equal(signed(effect, factsFor(effect, { stranger: own, guest })), '+');
  for (const change of [{ uid: otherUid }, { incarnation: 2 }, { scratch: true }, { name: guestName.parse('mail') }])
    assert.equal(
      signed(effect, factsFor(effect, { stranger: own, guest: makeGuest({ record: makeRecord(change) }) })),
      'unknown-guest',
    );
});

test('an adoption under the name of a guest on record is refused', () => {
  const effect = signable('guest-adopt');
  assert.equal(signed(effect, factsFor(effect, { guest: served })), 'name-in-use');
});

// ---------------------------------------------------------------------------------------------------------- holds

test('a hold on one guest is signed for that guest, seen or not', () => {
  for (const kind of ['hold-set', 'hold-clear'] as const) {
    const effect: BuiltEffect = { kind, scope: ref };
    for (const guest of [served, foreign, unseen, unproven])
      assert.equal(signed(effect, factsFor(effect, { guest })), '+', kind);
    const host: BuiltEffect = { kind, scope: 'host' };
    const overHost = sign(host, factsFor(host), 8);
    assert.equal(shortly(decide(effect, overHost, factsFor(effect), now)), 'changed');
    assert.equal(signed(effect, factsFor(effect, { guest: undefined })), 'unknown-guest');
  }
});

test('a hold on another guest stops nothing here', () => {
  const holds = { host: false, guests: [guestName.parse('other')] };
  assert.equal(signed(signable('guest-stop'), factsFor(effects['guest-stop'], { holds })), '+');
  assert.equal(
    signed(signable('guest-stop'), factsFor(effects['guest-stop'], { holds: { host: false, guests: [ref.name] } })),
    'on-hold',
  );
});

// ---------------------------------------------------------------------------------------------------------- trust

test('a trust change shows the very document that it puts in force', () => {
  const effect = signable('trust-change');
  assert.equal(signed(effect), '+');
  const evidence = sign(effect, factsFor(effect), 8);
  const { next: _, ...without } = evidence;
  assert.equal(shortly(decide(effect, without, factsFor(effect), now)), 'contradictory');
  assert.equal(signed(effect, undefined, { next: makeTrust({ version: 3 }) }), 'contradictory');
  const renewal: BuiltEffect = { kind: 'trust-change', before: digestOfTrust(next), after: digestOfTrust(next) };
  assert.equal(signed(renewal), 'contradictory');
});

test('numbers that are none are refused before anything is compared', () => {
  for (const effect of [
    like('floor-change', { to: 1.5 }),
    like('floor-change', { from: Number.NaN }),
    like('floor-change', { to: -1 }),
    like('break-glass-open', { minutes: 0 }),
    like('break-glass-open', { minutes: Infinity }),
    like('saga-abandon', { loss: Array.from({ length: 1025 }, (_, at) => `v:${at}`) }),
    like('saga-abandon', { loss: [''] }),
  ])
    assert.equal(shortly(decide(effect, { ...evidences['signed-job'], next }, factsFor(effect), now)), 'contradictory');
});

test('without the digest of exactly this action no number of people opens anything', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...rows.map(([kind]) => signable(kind as EffectKind))),
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.boolean(),
      (effect, bytes, loneOperator) => {
        const other = digest.parse(Buffer.from(bytes).toString('hex'));
        const trust = { thresholds, loneOperator };
        assert.notEqual(signed(effect, undefined, { signed: other, trust }), '+');
      },
    ),
  );
});

test('rows that nobody may open are rows of no effect, so that there is nothing to sign', () => {
  const never = ['finding-only', 'never-from-hub', 'refused-document', 'not-in-schema'];
  for (const effect of Object.values(effects) as readonly Effect[])
    if (isBuilt(effect)) {
      const decision = decide(effect, sign(signable(effect.kind), factsFor(effect), 8), factsFor(effect), now);
      assert.ok(!never.includes(gateTable[decision.row].verdict), effect.kind);
    }
});
