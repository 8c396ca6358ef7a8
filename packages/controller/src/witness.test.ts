import assert from 'node:assert/strict';
import { test } from 'node:test';
import { handClock } from './test/hand-clock.ts';
import { keepWitness } from './witness.ts';
import type { WitnessCheck } from './witness.ts';

function cgroup(broken = false) {
  const names = new Set(['main', 'beat.1', 'ok.gone']);
  const history: string[] = [];
  return {
    names,
    history,
    folder: {
      names: () => Promise.resolve([...names]),
      make: (name: string) => {
        if (broken) return Promise.reject(new Error('EROFS'));
        names.add(name);
        history.push(`+${name}`);
        return Promise.resolve();
      },
      remove: (name: string) => {
        names.delete(name);
        history.push(`-${name}`);
        return Promise.resolve();
      },
    },
  };
}

test('it beats, says which checks pass, and leaves nothing stale', async () => {
  const clock = handClock(1_800_000_000_000);
  const { folder, names, history } = cgroup();
  const stop = new AbortController();
  let web = true;
  const checks: WitnessCheck[] = [
    { name: 'web', probe: () => Promise.resolve(web) },
    { name: 'hangs', probe: () => new Promise(() => undefined) },
    { name: 'throws', probe: () => Promise.reject(new Error('x')) },
    { name: 'Bad/Name', probe: () => Promise.resolve(true) },
  ];
  const usage = (): Promise<Map<string, number>> => Promise.resolve(new Map([['root', 45.6]]));
  const going = keepWitness({ folder, clock, checks, usage }, stop.signal).catch(() => undefined);
  await clock.advance(4_500);
  assert.deepEqual([...names].toSorted(), ['beat.1800000004', 'df.root.46', 'main', 'no.hangs', 'no.throws', 'ok.web']);
  web = false;
  await clock.advance(9_000);
  assert.deepEqual([...names].toSorted(), ['beat.1800000013', 'df.root.46', 'main', 'no.hangs', 'no.throws', 'no.web']);
  const at = (entry: string): number => history.indexOf(entry);
  assert.ok(at('+no.web') < at('-ok.web'), 'a fact was missing in between');
  assert.ok(at('+beat.1800000013') < at('-beat.1800000004'), 'there was no beat in between');
  stop.abort();
  await going;
});

test('a folder that refuses is tried again', async () => {
  const clock = handClock();
  const { folder } = cgroup(true);
  const stop = new AbortController();
  let ended = false;
  const going = keepWitness({ folder, clock, checks: [] }, stop.signal).catch(() => (ended = true));
  await clock.advance(60_000);
  assert.equal(ended, false);
  stop.abort();
  await going;
});
