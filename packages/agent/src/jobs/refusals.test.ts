/** What a flood of junk may cost: a bounded number of entries, and one finding per cause. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { finding, reason } from '@felhom/protocol';
import { createRefusals } from './refusals.ts';

const now = 1_800_000_000_000;
const hour = 60 * 60_000;
const why = reason('job.not-signed', 'cannot take an envelope: nobody signed it');

test('entries are limited by the hour, findings count all of it', () => {
  const refusals = createRefusals();
  const noted = Array.from({ length: 500 }, () => refusals.note(why, now)).filter(Boolean).length;
  assert.equal(noted, 20);
  assert.equal(refusals.note(why, now + hour), true);
  const [one, ...more] = refusals.findings(now + hour);
  assert.equal(more.length, 0);
  assert.match(one?.text ?? '', /^501 envelopes were refused/);
  assert.equal(one?.since, now);
  assert.ok(finding.safeParse(one).success);
});

test('each cause is a finding of its own, and gone a day after the last of it', () => {
  const refusals = createRefusals();
  refusals.note(why, now);
  refusals.note(reason('job.unreadable', 'cannot read envelope: it is not JSON'), now + hour);
  assert.equal(refusals.findings(now + hour).length, 2);
  assert.equal(refusals.findings(now + 24.5 * hour).length, 1);
  assert.equal(refusals.findings(now + 30 * hour).length, 0);
});
