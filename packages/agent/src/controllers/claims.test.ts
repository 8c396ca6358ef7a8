import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guestName } from '@felhom/protocol';
import { Bench, mailUid, photosRef } from './test/bench.ts';

const mail = { uid: mailUid, incarnation: 1, name: guestName.parse('mail') };
const minute = 60_000;

interface Row {
  readonly name: string;
  readonly given?: (bench: Bench, secret: string) => void;
  readonly inEnv?: boolean;
  readonly guest?: typeof photosRef;
  readonly shows?: 'the claim' | 'nothing' | 'something else';
  readonly alone?: boolean;
  /** How it was redeemed, or how much it means that it was tried. */
  readonly expect: 'secret' | 'port' | 'info' | 'warning' | 'critical';
}

const redeemed = (bench: Bench, secret: string): void =>
  void bench.claims.redeem({ guest: photosRef, secret, alone: true });
const later = (ms: number) => (bench: Bench) => void (bench.now += ms);

const rows: readonly Row[] = [
  { name: 'by its secret', expect: 'secret' },
  { name: 'by its secret, whoever else was started', alone: false, expect: 'secret' },
  { name: 'by its port, where the secret may not have arrived', shows: 'nothing', expect: 'port' },
  { name: 'by its port, other guests started, with a secret in env', shows: 'nothing', alone: false, expect: 'port' },
  { name: 'by its port alone, on a node without env', inEnv: false, shows: 'nothing', expect: 'port' },
  {
    name: 'by its port on a node without env, another guest was started',
    inEnv: false,
    shows: 'nothing',
    alone: false,
    expect: 'warning',
  },
  { name: 'in its last moment', given: later(10 * minute - 1), expect: 'secret' },
  { name: 'when its time is over', given: later(10 * minute), expect: 'warning' },
  { name: 'by port when its time is over', shows: 'nothing', given: later(10 * minute), expect: 'warning' },
  { name: 'issued under a clock that was ahead', given: later(-minute), expect: 'warning' },
  { name: 'a second time from the same port', given: redeemed, expect: 'info' },
  { name: 'a second time by port', given: redeemed, shows: 'nothing', expect: 'info' },
  { name: 'a guess', shows: 'something else', expect: 'critical' },
  { name: 'at the port of another guest', guest: mail, expect: 'critical' },
  {
    name: 'spent, at the port of another guest',
    given: redeemed,
    guest: mail,
    expect: 'critical',
  },
  { name: 'of another incarnation', guest: { ...photosRef, incarnation: 2 }, expect: 'critical' },
  {
    name: 'by port in another incarnation',
    guest: { ...photosRef, incarnation: 2 },
    shows: 'nothing',
    expect: 'warning',
  },
  {
    name: 'an earlier one that was never redeemed, after a new one',
    given: (bench) => void bench.claims.mint(photosRef, { inEnv: true }),
    expect: 'critical',
  },
  {
    name: 'a spent one that a restored config brought back, after a new one',
    given: (bench, secret) => {
      redeemed(bench, secret);
      bench.claims.mint({ ...photosRef, incarnation: 2 }, { inEnv: true });
    },
    guest: { ...photosRef, incarnation: 2 },
    expect: 'info',
  },
  {
    name: 'by port, of a guest that never was to have one',
    given: (bench) => bench.claims.forget(photosRef.uid),
    shows: 'nothing',
    expect: 'info',
  },
  {
    name: 'of a guest that is gone',
    given: (bench) => bench.claims.forget(photosRef.uid),
    expect: 'critical',
  },
];

for (const { name, given, inEnv = true, guest = photosRef, shows = 'the claim', alone = true, expect } of rows)
  test(`a claim ${name}: ${expect}`, () => {
    const bench = new Bench();
    const secret = bench.claims.mint(photosRef, { inEnv });
    given?.(bench, secret);
    const presented = { 'the claim': secret, nothing: undefined, 'something else': 'x'.repeat(43) }[shows];
    const answer = bench.claims.redeem({ guest, secret: presented, alone });
    assert.equal(answer.is === 'redeemed' ? answer.by : answer.severity, expect);
    if (answer.is === 'refused') {
      const severities = bench.claims.findings().map(({ severity }) => severity);
      assert.ok(severities.includes(answer.severity), 'whoever looks is told');
    }
  });

test('what was redeemed by secret is not to be had by port afterwards, nor the other way round', () => {
  for (const [first, second] of [
    [true, false],
    [false, true],
  ] as const) {
    const bench = new Bench();
    const secret = bench.claims.mint(photosRef, { inEnv: true });
    const by = (withSecret: boolean) =>
      bench.claims.redeem({ guest: photosRef, secret: withSecret ? secret : undefined, alone: true }).is;
    assert.deepEqual([by(first), by(second)], ['redeemed', 'refused']);
  }
});

test('the disk holds no secret', () => {
  const bench = new Bench();
  const secret = bench.claims.mint(photosRef, { inEnv: true });
  assert.equal(secret.length, 43);
  assert.ok(!bench.disk().includes(secret));
});

test('a node shows which way works on it', () => {
  const bench = new Bench();
  assert.equal(bench.claims.delivery(), 'unknown');
  bench.claims.mint(photosRef, { inEnv: false });
  assert.equal(bench.claims.redeem({ guest: photosRef, secret: undefined, alone: true }).is, 'redeemed');
  assert.equal(bench.claims.delivery(), 'unknown', 'a port says nothing of an env that was not written');
  bench.claims.mint(photosRef, { inEnv: true });
  bench.claims.redeem({ guest: photosRef, secret: undefined, alone: true });
  assert.equal(bench.claims.delivery(), 'env-does-not-arrive');
  assert.ok(bench.claims.findings().some(({ key }) => key === 'claim.env-does-not-arrive'));
  const secret = bench.claims.mint(photosRef, { inEnv: true });
  bench.claims.redeem({ guest: photosRef, secret, alone: true });
  assert.equal(bench.claims.delivery(), 'env-works');
  assert.ok(!bench.claims.findings().some(({ key }) => key === 'claim.env-does-not-arrive'));
});

test('what may still stand in a config is looked at once an hour until it is gone', () => {
  const bench = new Bench();
  const secret = bench.claims.mint(photosRef, { inEnv: true });
  assert.deepEqual(bench.claims.leftInEnv(), [], 'it is still good');
  bench.claims.redeem({ guest: photosRef, secret, alone: true });
  assert.deepEqual(bench.claims.leftInEnv(), [photosRef.uid]);
  bench.claims.lookedAtEnv(photosRef.uid, false);
  assert.deepEqual(bench.claims.leftInEnv(), []);
  bench.now += 60 * minute;
  assert.deepEqual(bench.claims.leftInEnv(), [photosRef.uid]);
  bench.claims.lookedAtEnv(photosRef.uid, true);
  bench.now += 60 * minute;
  assert.deepEqual(bench.claims.leftInEnv(), []);
});

test('a window says since when it is open, and whether the guest must be alone', () => {
  const bench = new Bench();
  assert.equal(bench.claims.openWindow(photosRef), undefined);
  bench.claims.mint(photosRef, { inEnv: false });
  assert.deepEqual(bench.claims.openWindow(photosRef), {
    since: bench.now,
    until: bench.now + 10 * minute,
    aloneNeeded: true,
  });
  assert.equal(bench.claims.openWindow({ ...photosRef, incarnation: 2 }), undefined);
});

test('an alarm is over after a day', () => {
  const bench = new Bench();
  bench.claims.redeem({ guest: photosRef, secret: 'x'.repeat(43), alone: true });
  assert.equal(bench.claims.findings().length, 1);
  bench.now += 24 * 60 * minute + 1;
  assert.deepEqual(bench.claims.findings(), []);
});
