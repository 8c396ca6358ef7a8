/** Every effect on every evidence, on a guest that has served and on one that never did. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import {
  basis,
  effects,
  evidences,
  factsFor,
  foreignVolume,
  hour,
  makeDesired,
  makeFacts,
  makeGuest,
  makePolicy,
  makeRecord,
  now,
  otherUid,
  ref,
  seen,
  stranger,
} from '../../test/gate-facts.ts';
import { blockedAction, guestName, isErrorCode, vmid } from '@felhom/protocol';
import { decide } from './gate.ts';
import type { Decision } from './gate.ts';
import { guestRefOf } from './effects.ts';
import type { Effect, EffectKind } from './effects.ts';
import type { Evidence, GateFacts } from './facts.ts';
import type { BlastGroup } from './gate-row.ts';
import { isBuilt, isGuestEffect, isJobEffect, rowOf } from './gate-table.ts';
import type { Identity } from './identity.ts';

const shorter: Readonly<Record<string, string>> = { 'gate.no-authority': '.', 'gate.needs-signature': 'needs' };

/** `+` allowed, `W` allowed with a warrant, `des` blocked for that class, `.` no authority, else the refusal. */
function shortly(decision: Decision): string {
  switch (decision.is) {
    case 'allowed':
      return decision.warrants.length > 0 ? 'W' : '+';
    case 'blocked':
      return decision.action.document.effectClass.slice(0, 3);
    case 'refused':
      return shorter[decision.why.code] ?? decision.why.code.replace('gate.', '');
  }
}

const kinds = Object.keys(effects) as EffectKind[];
const served = { guest: makeGuest() };
const fresh = { guest: makeGuest({ record: makeRecord({ servedAt: undefined }) }) };

/**
 * Columns: desired state and root on a guest that served, the same on one that never did, own saga (both), scratch,
 * the guest itself. */
const table = `
                   served      | never served | own saga         | scratch | itself
                   hub   root  | hub   root   | served     never |         |
guest-provision    +     +     | +     +      | .          .     | .     | .
guest-remove       des   des   | des   des    | holds-data W     | W     | .
guest-start        +     +     | +     +      | .          .     | .     | .
guest-stop         div   +     | +     +      | .          .     | .     | .
guest-onboot-on    +     +     | +     +      | .          .     | .     | .
guest-onboot-off   div   +     | +     +      | .          .     | .     | .
cpu-up             +     +     | +     +      | .          .     | .     | .
cpu-down           div   +     | +     +      | .          .     | .     | .
memory-up          +     +     | +     +      | .          .     | .     | .
memory-down        div   +     | +     +      | .          .     | .     | .
swap-up            +     +     | +     +      | .          .     | .     | .
swap-down          div   +     | +     +      | .          .     | .     | .
volume-add         +     +     | +     +      | .          .     | .     | .
volume-grow        +     +     | +     +      | .          .     | .     | .
volume-shrink      des   des   | des   des    | .          .     | .     | .
volume-remove      des   des   | des   des    | W          W     | .     | .
volume-move        dis   dis   | dis   dis    | .          .     | .     | .
mount-change       div   +     | +     +      | .          .     | .     | .
backup-flag-on     +     +     | +     +      | .          .     | .     | .
backup-flag-off    des   des   | des   des    | .          .     | .     | .
network-change     dis   dis   | +     +      | .          .     | .     | .
nameserver-change  dis   dis   | +     +      | .          .     | .     | .
hostname-change    div   +     | +     +      | .          .     | .     | .
label-change       +     +     | +     +      | .          .     | .     | .
startup-change     +     +     | +     +      | .          .     | .     | .
timezone-change    +     +     | +     +      | .          .     | .     | .
marker-repair      +     +     | +     +      | .          .     | .     | .
guest-decommission .     needs | .     needs  | .          .     | .     | .
guest-lift-quarantine . +      | .     +      | .          .     | .     | .
guest-adopt        .     needs | .     needs  | .          .     | .     | .
guest-re-register  .     needs | .     needs  | .          .     | .     | .
hold-set           .     +     | .     +      | .          .     | .     | .
hold-clear         .     +     | .     +      | .          .     | .     | .
saga-resume        .     +     | .     +      | .          .     | .     | .
saga-abandon       .     +     | .     +      | .          .     | .     | .
trust-change       .     needs | .     needs  | .          .     | .     | .
floor-change       .     needs | .     needs  | .          .     | .     | .
break-glass-open   .     needs | .     needs  | .          .     | .     | .
break-glass-close  .     +     | .     +      | .          .     | .     | .
target-attach      .     needs | .     needs  | .          .     | .     | .
target-detach      .     needs | .     needs  | .          .     | .     | .
target-wipe        .     needs | .     needs  | .          .     | .     | .
target-re-point    .     needs | .     needs  | .          .     | .     | .
tunnel-change      .     needs | .     needs  | .          .     | .     | .
backup-force       .     +     | .     +      | .          .     | .     | .
backup-delete      .     needs | .     needs  | .          .     | .     | .
backup-unprotect   .     needs | .     needs  | .          .     | .     | .
restore-overwrite  .     needs | .     needs  | .          .     | .     | .
restore-in-place   .     needs | .     needs  | .          .     | .     | .
restore-copy       .     needs | .     needs  | .          .     | .     | .
guest-rollback     .     needs | .     needs  | .          .     | .     | .
restore-undo       .     needs | .     needs  | .          .     | .     | .
restore-finish     .     needs | .     needs  | .          .     | .     | .
backup-run         +     +     | +     +      | .          .     | .     | .
backup-prune       +     +     | +     +      | .          .     | .     | .
marker-renew       +     +     | +     +      | .          .     | .     | .
restore-test       +     +     | +     +      | .          .     | .     | .
scratch-sweep      .     .     | .     .      | .          .     | .     | .
guest-recover      +     +     | +     +      | .          .     | .     | .
checkpoint-drop    +     +     | +     +      | .          .     | .     | .
controller-update  +     +     | +     +      | .          .     | .     | .
claim-issue        +     +     | +     +      | .          .     | .     | .
claim-drop         +     +     | +     +      | .          .     | .     | .
guest-remount      +     +     | +     +      | .          .     | .     | .
snapshot-take      .     .     | .     .      | .          .     | .     | +
self-rollback      .     .     | .     .      | .          .     | .     | +
backup-on-demand   .     .     | .     .      | .          .     | .     | +
`;

const rows = table
  .trim()
  .split('\n')
  .slice(1)
  .map((line) => line.trim().split(/[\s|]+/));

test('the product has a line for everything that this release can carry out', () => {
  const listed = rows.slice(1).map(([kind]) => kind);
  assert.deepEqual(
    listed,
    kinds.filter((kind) => isBuilt(effects[kind])),
  );
  for (const kind of kinds) assert.equal(effects[kind].kind, kind);
});

for (const [kind = '', ...cells] of rows.slice(1))
  test(`${kind} on every evidence, served or not`, () => {
    const effect = effects[kind as EffectKind];
    const asked = (evidence: Evidence, facts: Partial<GateFacts>): string =>
      shortly(decide(effect, evidence, factsFor(effect, guestRefOf(effect) === undefined ? {} : facts), now));
    const results = [
      asked(evidences['desired-state'], served),
      asked(evidences['local-root'], served),
      asked(evidences['desired-state'], fresh),
      asked(evidences['local-root'], fresh),
      asked(evidences['same-saga'], served),
      asked(evidences['same-saga'], fresh),
      asked(evidences.scratch, fresh),
      asked(evidences['guest-itself'], served),
    ];
    assert.deepEqual(results, cells);
  });

test('what belongs to a later piece is refused on every evidence, and the text names the piece', () => {
  const later = kinds.filter((kind) => !isBuilt(effects[kind]));
  assert.equal(later.length, 24);
  for (const kind of later)
    for (const evidence of Object.values(evidences)) {
      const decision = decide(effects[kind], evidence, makeFacts(), now);
      assert.equal(shortly(decision), 'not-built', kind);
      assert.ok(decision.is === 'refused');
      assert.match(decision.why.text, /comes with (?!undefined)/, kind);
    }
});

test('a policy file that does not read stops everything on every evidence', () => {
  for (const kind of kinds)
    for (const evidence of Object.values(evidences))
      assert.equal(
        shortly(decide(effects[kind], evidence, factsFor(effects[kind], { policy: undefined }), now)),
        'policy-unreadable',
      );
});

const hub = evidences['desired-state'];
const ask = (kind: EffectKind, facts: Partial<GateFacts> = {}, evidence: Evidence = hub): string =>
  shortly(decide(effects[kind], evidence, factsFor(effects[kind], facts), now));
/** About copies of a guest or what is left of it, so that it goes by the record: the guest itself may even be gone. */
const ofCopies: readonly EffectKind[] = ['backup-prune', 'restore-test', 'guest-recover'];
const allowedToHub = rows
  .slice(1)
  .flatMap(([kind, hubSays]) => (hubSays === '+' ? [kind as EffectKind] : []))
  .filter((kind) => !ofCopies.includes(kind));
/** A hold never stops protection. */
const despiteHold: readonly EffectKind[] = ['backup-run'];

const identities: Record<string, { identity: Identity; open: readonly EffectKind[]; code: string }> = {
  foreign: { identity: { is: 'foreign', why: 'stale-marker' }, open: [], code: 'foreign' },
  'not seen': { identity: { is: 'unknown', why: 'forbidden' }, open: [], code: 'not-seen' },
  'without a marker': {
    identity: { is: 'ours-unproven', why: 'marker-missing' },
    open: ['guest-start', 'guest-onboot-on', 'backup-run'],
    code: 'unproven',
  },
  'with a volume made anew': {
    identity: { is: 'ours-unproven', why: 'ctime-differs' },
    open: ['guest-start', 'guest-onboot-on', 'backup-run'],
    code: 'unproven',
  },
  'with other volumes': {
    identity: { is: 'ours-unproven', why: 'volumes-differ' },
    open: [
      'guest-start',
      'guest-onboot-on',
      'cpu-up',
      'memory-up',
      'swap-up',
      'startup-change',
      'timezone-change',
      'backup-run',
    ],
    code: 'unproven',
  },
};
for (const [who, { identity, open, code }] of Object.entries(identities))
  test(`a guest ${who} is changed by nothing but ${open.join(', ') || 'nothing'}`, () => {
    const facts = { guest: makeGuest({ identity }) };
    for (const kind of allowedToHub.filter((k) => k !== 'guest-provision'))
      assert.equal(ask(kind, facts), open.includes(kind) ? '+' : code, kind);
    for (const kind of ['guest-remove', 'volume-remove', 'volume-shrink', 'backup-flag-off'] as const)
      assert.equal(ask(kind, facts), code, kind);
  });

test('under hold, of host or guest, desired state changes nothing, and what is blocked stays visible', () => {
  for (const hold of [{ host: true }, { guests: ['photos', 'mail'] }]) {
    const policy = makePolicy({ hold });
    for (const kind of allowedToHub)
      assert.equal(ask(kind, { policy }), despiteHold.includes(kind) ? '+' : 'on-hold', kind);
    assert.equal(ask('guest-remove', { policy }), 'des');
    assert.equal(ask('guest-start', { policy }, evidences['local-root']), 'on-hold');
  }
  assert.equal(ask('guest-start', { policy: makePolicy({ hold: { guests: ['other'] } }) }), '+');
});

test('hold does not leave things half-built: compensation and tear-down go on', () => {
  const policy = makePolicy({ hold: { host: true } });
  assert.equal(ask('guest-remove', { ...fresh, policy }, evidences['same-saga']), 'W');
  assert.equal(ask('guest-remove', { ...fresh, policy }, evidences.scratch), 'W');
});

for (const [when, stoppedAt, expected] of [
  ['a second ago', now - 1000, 'person-stopped'],
  ['9 min 59 s ago', now - 599_000, 'person-stopped'],
  ['10 min ago', now - 600_000, '+'],
  ['in a future that a clock jump made', now + 60_000, 'person-stopped'],
  ['in a far future that a clock jump made', now + 10 * hour, '+'],
] as const)
  test(`a guest that a person stopped ${when}: ${expected}`, () => {
    const guest = makeGuest({ personStoppedAt: stoppedAt });
    assert.equal(ask('guest-start', { guest }), expected);
    assert.equal(ask('guest-start', { guest }, evidences['local-root']), '+');
  });

for (const [what, change] of [
  ['of another uid', { uid: otherUid }],
  ['of an older incarnation', { incarnation: 2 }],
  ['of another name', { name: guestName.parse('mail') }],
  ['that is scratch', { scratch: true }],
] as const)
  test(`an effect meets a record ${what}: refused, whatever it is`, () => {
    const facts = { guest: makeGuest({ record: makeRecord(change) }) };
    for (const kind of kinds.filter((k) => isGuestEffect(effects[k]) && k !== 'guest-provision')) {
      const answer = ask(kind, facts);
      assert.ok(answer === 'unknown-guest' || answer === 'contradictory', `${kind}: ${answer}`);
    }
  });

test('an effect for which there is no record is refused', () => {
  for (const kind of kinds.filter((k) => isGuestEffect(effects[k]) && k !== 'guest-provision'))
    assert.ok(['unknown-guest', 'contradictory'].includes(ask(kind, { guest: undefined })), kind);
});

test('signed holds stop what holds of the policy file stop, of the host or of the guest', () => {
  for (const holds of [
    { host: true, guests: [] },
    { host: false, guests: [ref.name, guestName.parse('mail')] },
  ]) {
    for (const kind of allowedToHub)
      assert.equal(ask(kind, { holds }), despiteHold.includes(kind) ? '+' : 'on-hold', kind);
    assert.equal(ask('guest-start', { holds }, evidences['local-root']), 'on-hold');
    assert.equal(ask('guest-remove', { holds }), 'des', 'what is blocked stays visible');
    assert.equal(ask('guest-remove', { ...fresh, holds }, evidences['same-saga']), 'W');
    for (const kind of ['hold-clear', 'saga-resume', 'saga-abandon', 'guest-lift-quarantine'] as const)
      assert.equal(ask(kind, { holds }, evidences['local-root']), '+', kind);
  }
  assert.equal(ask('guest-start', { holds: { host: false, guests: [guestName.parse('other')] } }), '+');
});

for (const [group, kind, other] of [
  ['create', 'guest-provision', 'cpu-up'],
  ['capacity', 'cpu-up', 'volume-grow'],
  ['volumes', 'volume-grow', 'cpu-up'],
  ['display', 'label-change', 'cpu-up'],
] as const satisfies readonly (readonly [BlastGroup, EffectKind, EffectKind])[])
  test(`blast radius of ${group}: per rolling day, per group, per distinct guest`, () => {
    const touch = (guest: string, ago: number) => ({ at: now - ago, group, guest: guestName.parse(guest) });
    const self = kind === 'guest-provision' ? 'mail' : 'photos';
    const two = [touch('a', hour), touch('b', 23 * hour)];
    assert.equal(ask(kind, { touches: two }), 'div');
    assert.equal(ask(other, { touches: two }), '+', 'another group is counted apart');
    assert.equal(ask('guest-start', { touches: two }), '+');
    assert.equal(ask(kind, { touches: [touch('a', hour), touch('a', 2 * hour)] }), '+', 'one guest counts once');
    assert.equal(ask(kind, { touches: [...two, touch(self, hour)] }), '+', 'what was begun may be finished');
    assert.equal(ask(kind, { touches: [touch('a', hour), touch('b', 24 * hour)] }), '+', 'the window rolls');
    assert.equal(ask(kind, { touches: [touch('a', hour), touch('b', 24 * hour - 1)] }), 'div');
    assert.equal(
      ask(kind, { touches: [touch('a', -hour), touch('b', -48 * hour)] }),
      'div',
      'a clock set back frees nothing',
    );
  });

test('a removal loses everything that anybody knows of: what is asked, on record, and seen', () => {
  const decision = decide(
    { kind: 'guest-remove', guest: ref, volumes: [] },
    hub,
    makeFacts({ guest: makeGuest({ seenVolumes: [foreignVolume] }) }),
    now,
  );
  assert.ok(decision.is === 'blocked');
  assert.deepEqual(decision.action.document.lossSet, [
    'fast:vm-9000-disk-0',
    'fast:vm-9000-disk-1',
    'fast:vm-9000-disk-7',
  ]);
});

test('the digest holds still while times and observed sizes move, and moves with the target and the loss', () => {
  const digestOf = (effect: Effect, facts: GateFacts, at: number): string => {
    const decision = decide(effect, hub, facts, at);
    assert.ok(decision.is === 'blocked');
    return decision.action.digest;
  };
  const down = (from: number, to: number): Effect => ({ kind: 'memory-down', guest: ref, from, to });
  const first = digestOf(down(4096, 1024), makeFacts(), now);
  fc.assert(
    fc.property(
      fc.integer({ min: 1025, max: 100_000 }),
      fc.integer({ min: 0, max: 10 * 365 * 24 * hour }),
      fc.integer({ min: 0, max: 500 }),
      (from, later, sizeGiB) => {
        const guest = makeGuest({ sizeGiB, record: makeRecord({ configDigest: String(later), servedAt: later }) });
        assert.equal(digestOf(down(from, 1024), makeFacts({ guest }), now + later), first);
      },
    ),
  );
  assert.notEqual(digestOf(down(4096, 1023), makeFacts(), now), first);
  assert.notEqual(digestOf(down(4096, 1024), makeFacts({ hostEpoch: 'd'.repeat(32) }), now), first);
  const bulkAttachedMeanwhile = makeGuest({ seenVolumes: [foreignVolume] });
  assert.notEqual(
    digestOf(effects['guest-remove'], makeFacts({ guest: bulkAttachedMeanwhile }), now),
    digestOf(effects['guest-remove'], makeFacts(), now),
  );
});

test('a label is free text: provisioning with another one is the same blocked action', () => {
  const touches = ['a', 'b'].map((guest) => ({ at: now, group: 'create' as const, guest: guestName.parse(guest) }));
  const digestOf = (change: Record<string, unknown>): string => {
    const effect: Effect = { kind: 'guest-provision', desired: makeDesired(change) };
    const decision = decide(effect, hub, factsFor(effect, { touches }), now);
    assert.ok(decision.is === 'blocked');
    return decision.action.digest;
  };
  assert.equal(digestOf({ label: 'x' }), digestOf({ label: 'y\ud800' }));
  assert.notEqual(digestOf({ cores: 1 }), digestOf({ cores: 2 }));
});

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constant('x'.repeat(5000)),
  fc.constant('\ud800'),
);
const anyNumber = fc.oneof(fc.double(), fc.integer());
const anyEffect = fc.oneof(
  fc.constantFrom(...Object.values(effects)),
  fc.record({
    kind: fc.constantFrom('hostname-change', 'nameserver-change', 'timezone-change'),
    guest: fc.constant(ref),
    from: anyText,
    to: anyText,
  }),
  fc.record({
    kind: fc.constantFrom('cpu-up', 'cpu-down', 'memory-up', 'swap-down'),
    guest: fc.constant(ref),
    from: anyNumber,
    to: anyNumber,
  }),
  fc.record({
    kind: fc.constant('mount-change' as const),
    guest: fc.constant(ref),
    volume: anyText,
    from: anyText,
    to: anyText,
  }),
) as fc.Arbitrary<Effect>;

test('the gate is total: whatever is asked gets an answer whose code is in the catalogue', () => {
  const facts = fc.record({
    policy: fc.constantFrom(undefined, makePolicy(), makePolicy({ hold: { host: true } })),
    guest: fc.constantFrom(
      undefined,
      makeGuest(),
      fresh.guest,
      makeGuest({ identity: { is: 'unknown', why: 'absent' } }),
    ),
    storages: fc.constantFrom(new Map(), makeFacts().storages),
  });
  fc.assert(
    fc.property(
      anyEffect,
      fc.constantFrom(...Object.values(evidences)),
      facts,
      fc.integer(),
      (effect, evidence, change, at) => {
        const decision = decide(effect, evidence, makeFacts(change), at);
        if (decision.is === 'allowed') return;
        assert.ok(isErrorCode(decision.why.code));
        assert.match(decision.why.text, /^cannot /);
        if (decision.is === 'blocked') assert.equal(blockedAction.safeParse(decision.action).success, true);
      },
    ),
  );
});

test('unsigned, nothing that one of the gates guards happens to a guest that serves, whatever the facts', () => {
  const facts = fc.record({
    policy: fc.constantFrom(makePolicy(), makePolicy({ limits: { blastRadius: 1 } })),
    stranger: fc.constantFrom(undefined, stranger),
    storages: fc.constantFrom(new Map(), makeFacts().storages),
    touches: fc.constantFrom([], [{ at: now, group: 'capacity' as const, guest: ref.name }]),
  });
  const unsigned = fc.constantFrom(hub, evidences['local-root'], evidences['same-saga'], evidences.scratch);
  fc.assert(
    fc.property(anyEffect, unsigned, facts, fc.integer(), (effect, evidence, change, at) => {
      const decision = decide(effect, evidence, factsFor(effect, change), at);
      if (decision.is !== 'allowed') return;
      if (evidence.is === 'same-saga' || evidence.is === 'scratch') {
        assert.ok(decision.warrants.length > 0, 'only what it made itself');
        return;
      }
      const row = rowOf(effect.kind);
      if (evidence.is === 'desired-state') assert.ok(!isJobEffect(effect) && row.verdict !== 'signed', effect.kind);
      else if (!isJobEffect(effect))
        assert.ok(
          row.classes.every((gate) => gate === 'divert'),
          effect.kind,
        );
    }),
    { numRuns: 500 },
  );
});

test('no warrant without the own saga or a scratch record, whatever the facts', () => {
  fc.assert(
    fc.property(
      anyEffect,
      fc.constantFrom(hub, evidences['local-root'], evidences['signed-job']),
      (effect, evidence) => {
        const decision = decide(effect, evidence, factsFor(effect, fresh), now);
        if (decision.is === 'allowed') assert.deepEqual(decision.warrants, []);
      },
    ),
  );
});

test('own-saga evidence covers its own guest only', () => {
  const other = { ...ref, uid: otherUid };
  for (const guest of [other, { ...ref, incarnation: 2 }]) {
    const decision = decide(
      { kind: 'guest-remove', guest, volumes: [] },
      evidences['same-saga'],
      makeFacts(fresh),
      now,
    );
    assert.equal(shortly(decision), '.');
  }
});

test('a surprise under the VMID refuses the compensation, and so does bulk on record', () => {
  const surprised: Evidence = { is: 'same-saga', sagaId: 's', basis, seen: { ...seen, unused: [foreignVolume] } };
  assert.equal(ask('guest-remove', fresh, surprised), 'holds-data');
  const [root, data] = makeRecord().volumes;
  assert.ok(root !== undefined && data !== undefined);
  const record = makeRecord({ servedAt: undefined, volumes: [root, { ...data, carriedOver: true }] });
  assert.equal(ask('guest-remove', { guest: makeGuest({ record }) }, evidences['same-saga']), 'holds-data');
  assert.equal(ask('volume-remove', { guest: makeGuest({ record }) }, evidences['same-saga']), 'holds-data');
});

for (const [what, change] of [
  ['not marked scratch', { scratch: false }],
  ['below the scratch range', { vmid: basis.vmid }],
  ['above the scratch range', { vmid: vmid.parse(9200) }],
  ['that has served', { servedAt: 1 }],
  ['of another guest', { uid: otherUid }],
] as const)
  test(`a scratch record ${what} opens nothing`, () => {
    const record = { ...evidences.scratch.record, ...change };
    const evidence: Evidence = { ...evidences.scratch, record, seen: { ...evidences.scratch.seen, vmid: record.vmid } };
    assert.notEqual(ask('guest-remove', fresh, evidence), 'W');
  });

test('what is about copies goes by the record, whatever is seen of the guest, and stops at a scratch record', () => {
  for (const kind of ofCopies) {
    for (const { identity } of Object.values(identities))
      assert.equal(ask(kind, { guest: makeGuest({ identity }) }), '+', kind);
    assert.equal(ask(kind, { guest: makeGuest({ record: makeRecord({ scratch: true }) }) }), 'unknown-guest', kind);
    assert.equal(ask(kind, { guest: undefined }), 'unknown-guest', kind);
  }
  const policy = makePolicy({ hold: { host: true } });
  assert.deepEqual(
    ofCopies.map((kind) => ask(kind, { policy })),
    ['on-hold', '+', 'on-hold'],
  );
});

for (const [kind, used, limit] of [
  ['snapshot-take', { snapshots: 3 }, 'out-of-range'],
  ['snapshot-take', { snapshots: 2 }, '+'],
  ['backup-on-demand', { onDemandToday: 4 }, 'out-of-range'],
  ['backup-on-demand', { onDemandToday: 3 }, '+'],
  ['self-rollback', { tasksThisHour: 30 }, 'out-of-range'],
  ['snapshot-take', { tasksThisHour: 30 }, 'out-of-range'],
  ['backup-on-demand', { tasksThisHour: 30 }, 'out-of-range'],
  ['self-rollback', { tasksThisHour: 29 }, '+'],
] as const)
  test(`a guest that used ${JSON.stringify(used)} asks for ${kind}: ${limit}`, () => {
    const self = { snapshots: 0, onDemandToday: 0, tasksThisHour: 0, ...used };
    assert.equal(ask(kind, { self }, evidences['guest-itself']), limit);
    assert.equal(ask(kind, { self: undefined }, evidences['guest-itself']), 'room-unknown', 'unknown is never room');
  });

test('a guest asks for itself and for its own protection only', () => {
  for (const kind of kinds.filter((k) => isBuilt(effects[k]))) {
    const own = ['snapshot-take', 'self-rollback', 'backup-on-demand'].includes(kind);
    assert.equal(ask(kind, {}, evidences['guest-itself']), own ? '+' : '.', kind);
    assert.equal(ask(kind, {}, { is: 'guest-itself', uid: otherUid }), '.', kind);
  }
});

test('below the reserve of its storages no guest gets a snapshot', () => {
  const storages = new Map([...makeFacts().storages].map(([name, facts]) => [name, { ...facts, availableGiB: 0.1 }]));
  assert.equal(ask('snapshot-take', { storages }, evidences['guest-itself']), 'out-of-range');
  assert.equal(ask('snapshot-take', { storages: new Map() }, evidences['guest-itself']), 'room-unknown');
});

test('what a restore-test left is swept where it is on record as scratch, and nothing else is', () => {
  const scratch = { guest: makeGuest({ record: makeRecord({ scratch: true }) }) };
  assert.equal(ask('scratch-sweep', scratch), '+');
  assert.equal(ask('scratch-sweep', { ...scratch, policy: makePolicy({ hold: { host: true } }) }), '+');
  assert.equal(ask('scratch-sweep', served), '.');
});

test('the end of an undo window frees what its restore was signed for, not before its time, and opens nothing else', () => {
  const over = evidences['restore-window'];
  for (const kind of kinds.filter((k) => isBuilt(effects[k])))
    assert.equal(ask(kind, {}, over), kind === 'restore-finish' ? '+' : '.', kind);
  for (const [what, evidence] of Object.entries({
    'of another restore': { ...over, sagaId: 't' },
    'that is open': { ...over, endedAt: now + 1 },
    'with a volume more': { ...over, loss: [...over.loss, foreignVolume] },
    'with a volume less': { ...over, loss: [] },
  } satisfies Record<string, Evidence>))
    assert.equal(ask('restore-finish', {}, evidence), '.', what);
  for (const { identity, code } of Object.values(identities))
    assert.equal(ask('restore-finish', { guest: makeGuest({ identity }) }, over), code);
});
