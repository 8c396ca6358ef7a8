/** Everything that binds a job to one host, one life of its journal and one hour. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digest, hostId, job as jobSchema } from '@felhom/protocol';
import type { Job } from '@felhom/protocol';
import { bindJob } from './bind-job.ts';
import type { Here } from './bind-job.ts';

const now = 1_800_000_000_000;
const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

const common = {
  v: 1,
  jobId: 'a'.repeat(26),
  host: 'box-1',
  hostEpoch: 'e'.repeat(32),
  challenge: `7.${'c'.repeat(32)}`,
  nonce: '0'.repeat(32),
  issuedAt: now,
  notBefore: now,
  expiresAt: now + hour,
};
const approve = jobSchema.parse({ ...common, kind: 'approve', params: { digest: digest.parse('d'.repeat(64)) } });
const decommission = jobSchema.parse({
  ...common,
  kind: 'decommission',
  params: { guest: { uid: 'b'.repeat(26), incarnation: 1 }, lossSet: [], backups: 'keep' },
});
const here: Here = {
  host: hostId.parse('box-1'),
  hostEpoch: 'e'.repeat(32),
  ageMs: 5 * minute,
  now: now + minute,
  effectClass: 'divert',
  people: 1,
};

const rows: [name: string, job: Job, here: Partial<Here>, expect: string][] = [
  ['as it should be', approve, {}, 'bound'],
  ['another host', approve, { host: hostId.parse('box-2') }, 'job.other-host'],
  ['another epoch', approve, { hostEpoch: 'f'.repeat(32) }, 'job.other-epoch'],
  ['a challenge that is not ours', approve, { ageMs: undefined }, 'job.not-fresh'],
  ['23 h after the challenge', { ...approve, expiresAt: now + 2 * day }, { ageMs: 23 * hour }, 'bound'],
  ['25 h after the challenge', { ...approve, expiresAt: now + 2 * day }, { ageMs: 25 * hour }, 'job.not-fresh'],
  ['six days, two people', { ...approve, expiresAt: now + 6.5 * day }, { ageMs: 6 * day, people: 2 }, 'bound'],
  ['what destroys, after 59 min', approve, { ageMs: 59 * minute, effectClass: 'destroy', people: 3 }, 'bound'],
  ['what destroys, after 61 min', approve, { ageMs: 61 * minute, effectClass: 'destroy', people: 3 }, 'job.not-fresh'],
  [
    'a decommission after 61 min',
    decommission,
    { ageMs: 61 * minute, effectClass: undefined, people: 2 },
    'job.not-fresh',
  ],
  ['past its own end', approve, { now: now + hour }, 'job.expired'],
  ['before its own beginning', { ...approve, notBefore: now + 10 * minute }, {}, 'wait job.not-yet'],
  [
    'issued next year',
    { ...approve, issuedAt: now + 365 * day, notBefore: now, expiresAt: now + 366 * day },
    {},
    'wait job.not-yet',
  ],
  ['an end before its beginning', { ...approve, notBefore: now + 2 * hour }, {}, 'job.expired'],
  ['a window of eight days', { ...approve, expiresAt: now + 8 * day }, {}, 'job.expired'],
  ['a clock half an hour behind that of the operator', approve, { now: now - 30 * minute }, 'wait job.not-yet'],
];

for (const [name, job, changed, expect] of rows)
  test(`${name} → ${expect}`, () => {
    const bound = bindJob(job, { ...here, ...changed });
    const said = bound.is === 'bound' ? 'bound' : bound.is === 'wait' ? `wait ${bound.why.code}` : bound.why.code;
    assert.equal(said, expect);
  });

test('one that waits keeps its id, one that is refused does not', () => {
  assert.equal(bindJob({ ...approve, notBefore: now + 10 * minute }, here).is, 'wait');
  assert.equal(bindJob(approve, { ...here, ageMs: undefined }).is, 'refused');
});
