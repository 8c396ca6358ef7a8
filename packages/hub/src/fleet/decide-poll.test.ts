import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digest, digestOfText, hostId } from '@felhom/protocol';
import type { HeldReference, PollRequest } from '@felhom/protocol';
import type { DesiredRow, StaleMark } from '../store/store.ts';
import { decidePoll } from './decide-poll.ts';

const lineageA = 'a'.repeat(26);
const lineageB = 'b'.repeat(26);
const zero = digest.parse('0'.repeat(64));

function row(generation: number, more: Partial<DesiredRow> = {}): DesiredRow {
  const text = `A${generation}`;
  return {
    lineage: lineageA,
    generation,
    digest: digestOfText(text),
    text,
    replaces: undefined,
    putAt: 0,
    putBy: 'me',
    ...more,
  };
}
function held(generation: number, lineage = lineageA, text = `A${generation}`): HeldReference {
  return { is: 'held', lineage, generation, digest: digestOfText(text) };
}
function poll(more: Partial<PollRequest> = {}): PollRequest {
  return {
    v: 1,
    hostId: hostId.parse('alpha'),
    hostEpoch: 'e'.repeat(26),
    agentVersion: '1',
    sequence: 10,
    held: { is: 'never-received' },
    reportDigest: zero,
    taken: [],
    ...more,
  };
}
const never: HeldReference = { is: 'never-received' };
const nothing = { contact: undefined, report: undefined, desired: undefined, stale: undefined };

const offers: { name: string; desired: DesiredRow | undefined; held: HeldReference; expect: string; stale: boolean }[] =
  [
    { name: 'hub has none, host has none', desired: undefined, held: never, expect: 'nothing', stale: false },
    { name: 'hub has none, host holds one', desired: undefined, held: held(5), expect: 'withheld', stale: true },
    { name: 'host has none yet', desired: row(5), held: never, expect: 'document', stale: false },
    { name: 'host cannot read its own', desired: row(5), held: { is: 'unreadable' }, expect: 'document', stale: false },
    { name: 'same document', desired: row(5), held: held(5), expect: 'unchanged', stale: false },
    { name: 'host is one behind', desired: row(6), held: held(5), expect: 'document', stale: false },
    { name: 'hub is behind', desired: row(4), held: held(5), expect: 'withheld', stale: true },
    {
      name: 'same generation, other content',
      desired: row(5),
      held: held(5, lineageA, 'other'),
      expect: 'withheld',
      stale: true,
    },
    {
      name: 'other lineage, not declared',
      desired: row(900),
      held: held(5, lineageB),
      expect: 'withheld',
      stale: true,
    },
    {
      name: 'other lineage, declared by an operator',
      desired: row(1, { replaces: lineageB }),
      held: held(5, lineageB),
      expect: 'document',
      stale: false,
    },
  ];
for (const { name, desired, held, expect, stale } of offers)
  test(`offer: ${name} → ${expect}`, () => {
    const decision = decidePoll({ ...nothing, desired }, poll({ held }), 7);
    assert.equal(decision.offer.is, expect);
    assert.equal(decision.stale !== undefined, stale);
    assert.equal(decision.sendHeld, stale);
    if (decision.stale !== undefined) assert.equal(decision.stale.since, 7);
  });

const mark: StaleMark = {
  lineage: lineageA,
  generation: 5,
  digest: digestOfText('A5'),
  since: 1,
  text: undefined,
};

test('stale-hub stands until an operator chose, whatever the host says later', () => {
  for (const [name, reference, desired] of [
    ['it lost its document', never, row(4)],
    ['the numbers caught up', held(5), row(6)],
    ['they agree by accident', held(4), row(4)],
  ] as const) {
    const decision = decidePoll({ ...nothing, desired, stale: mark }, poll({ held: reference }), 9);
    assert.equal(decision.offer.is, 'withheld', name);
  }
});

test('the held text is asked for until it came, and kept with the mark', () => {
  const first = decidePoll({ ...nothing, desired: row(4), stale: mark }, poll({ held: held(5) }), 9);
  assert.equal(first.sendHeld, true);
  assert.equal(first.stale, undefined, 'nothing new to write');
  const second = decidePoll({ ...nothing, desired: row(4), stale: mark }, poll({ held: held(5), heldText: 'A5' }), 9);
  assert.equal(second.sendHeld, false);
  assert.deepEqual(second.stale, { ...mark, text: 'A5' });
});

test('a text that is not the announced document is no copy to adopt', () => {
  const decision = decidePoll({ ...nothing, desired: row(4), stale: mark }, poll({ held: held(5), heldText: 'X' }), 9);
  assert.equal(decision.stale?.text, undefined);
  assert.equal(decision.sendHeld, true);
});

test('a report is asked for when the hub has another one', () => {
  const having = { ...nothing, report: { at: 1, digest: zero, text: '{}' } };
  assert.equal(decidePoll(nothing, poll(), 1).sendReport, true);
  assert.equal(decidePoll(having, poll(), 1).sendReport, false);
  assert.equal(decidePoll(having, poll({ reportDigest: digestOfText('x') }), 1).sendReport, true);
});

const forks: [name: string, last: number, epoch: string, sequence: number, forked: boolean][] = [
  ['next', 9, 'e', 10, false],
  ['a gap', 3, 'e', 10, false],
  ['the same again', 10, 'e', 10, true],
  ['backwards', 11, 'e', 10, true],
  ['backwards in a new epoch', 11, 'f', 10, false],
];
for (const [name, last, epoch, sequence, forked] of forks)
  test(`sequence: ${name} → ${forked ? 'fork' : 'fine'}`, () => {
    const contact = { at: 0, hostEpoch: epoch.repeat(26), sequence: last, agentVersion: '1', held: '{}' };
    const decision = decidePoll({ ...nothing, contact }, poll({ sequence }), 1);
    assert.equal(decision.fork !== undefined, forked);
  });
