import assert from 'node:assert/strict';
import { test } from 'node:test';
import { slowSagas } from './slow-sagas.ts';

const minute = 60_000;
const hour = 60 * minute;
const now = 1_800_000_000_000;
type Seen = Parameters<typeof slowSagas>[0][number];

const rows: readonly (readonly [what: string, of: Partial<Seen>, stillForMs: number, told: boolean])[] = [
  ['a step that moved a moment ago', {}, minute, false],
  ['a step within its time', {}, 30 * minute - 1, false],
  ['a step that says nothing for half an hour', {}, 30 * minute, true],
  ['a step back that says nothing for half an hour', { doing: 'unwinding' }, 30 * minute, true],
  ['an archive is read for hours', { step: 'verify' }, 6 * hour - 1, false],
  ['an archive is read for longer than anything is read', { step: 'verify' }, 6 * hour, true],
  ['a dump that has hung since yesterday', { step: 'dump' }, 24 * hour, true],
  ['one that waits for its turn', { doing: 'waiting-for-lanes', step: undefined }, 24 * hour, false],
  ['a parked one', { doing: 'parked' }, 24 * hour, false],
];

for (const [what, of, stillForMs, told] of rows)
  test(`a saga that stands still is told with its step: ${what}`, () => {
    const movedAt = now - stillForMs;
    const saga: Seen = {
      id: 'backup-1',
      name: 'backup',
      doing: 'running',
      step: 'start',
      progress: undefined,
      movedAt,
      ...of,
    };
    const found = slowSagas([saga], now);
    assert.deepEqual(
      found.map(({ key, subject, since }) => [key, subject, since]),
      told ? [['saga.slow', 'backup-1', movedAt]] : [],
    );
    if (told) assert.match(found[0]?.text ?? '', new RegExp(`step ${saga.step}$`));
  });

test('what the step said last is told too, and nothing of it moves as long as the saga does not', () => {
  const saga: Seen = {
    id: 's',
    name: 'backup',
    doing: 'running',
    step: 'dump',
    progress: { text: 'waiting for the task' },
    movedAt: now - 24 * hour,
  };
  const [first] = slowSagas([saga], now);
  assert.match(first?.text ?? '', /at step dump: waiting for the task$/);
  assert.deepEqual(slowSagas([saga], now + hour), [first]);
});
