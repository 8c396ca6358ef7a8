/** From the bytes of an envelope to a job or a reason, with everything that is not believed on the way. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  digestOfPayload,
  digestOfText,
  digestOfTrust,
  ed25519Line,
  payloadOf,
  trustDocument,
  writeEnvelope,
} from '@felhom/protocol';
import { armourSshsig, sshsigSignedData } from '@felhom/protocol';
import type { CanonicalValue, TrustDocument } from '@felhom/protocol';
import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto';
import type { TrustRead } from '../ports/trust-store.ts';
import { takeEnvelope } from './inbox.ts';
import type { InboxNeeds } from './inbox.ts';
import type { JobRecord } from './job-record.ts';

const now = 1_800_000_000_000;
const { signal } = new AbortController();

function person(name: string) {
  const seed = createHash('sha256').update(name).digest();
  const pkcs8 = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  const key = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  const raw = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32);
  const signWith = (payload: Uint8Array, namespace = 'felhom-job@1') =>
    armourSshsig(raw, namespace, sign(null, sshsigSignedData(namespace, payload), key));
  return { line: ed25519Line(raw), sign: signWith };
}
const [alice, bob, mallory] = [person('alice'), person('bob'), person('mallory')];

const document: TrustDocument = trustDocument.parse({
  v: 1,
  host: 'box-1',
  version: 1,
  issuedAt: now - 1000,
  expiresAt: now + 90 * 86_400_000,
  signers: [
    { principal: 'alice', key: alice.line, signs: ['felhom-job@1'], touch: false },
    { principal: 'bob', key: bob.line, signs: ['felhom-job@1'], touch: false },
  ],
  revoked: [],
  thresholds: { destroy: 1, disclose: 1, deploy: 1, divert: 1, removal: 2, trust: 1 },
  loneOperator: false,
  floors: { keepDays: 0, keepWeeks: 0, backupEveryHours: 24, restoreTestEveryDays: 30, tiers: 1 },
});

const plain = {
  v: 1,
  kind: 'break-glass-close',
  params: {},
  jobId: 'a'.repeat(26),
  host: 'box-1',
  hostEpoch: 'e'.repeat(32),
  challenge: `7.${'c'.repeat(32)}`,
  nonce: '0'.repeat(32),
  issuedAt: now,
  notBefore: now,
  expiresAt: now + 3_600_000,
} satisfies Record<string, CanonicalValue>;
const payload = payloadOf(plain);

interface Desk {
  readonly trust?: TrustRead;
  readonly records?: readonly JobRecord[];
  readonly full?: boolean;
}
/** Believes every signature whose question names the right person: what is tried here comes before and after it. */
function needs({
  trust = { is: 'held', document, digest: digestOfTrust(document) },
  records = [],
  full = false,
}: Desk) {
  const asked: string[] = [];
  const inbox: InboxNeeds = {
    verifier: {
      verify: async (question) => {
        asked.push(question.principal);
        return { is: 'valid' };
      },
    },
    trust: { read: () => trust },
    store: { find: (id) => records.find(({ jobId }) => jobId === id), all: () => records, isFullFor: () => full },
    now,
  };
  return { inbox, asked };
}

function record(changes: Partial<JobRecord> = {}): JobRecord {
  return {
    v: 1,
    jobId: plain.jobId,
    kind: plain.kind,
    digest: digestOfPayload(payload),
    payload: payload.toString('base64'),
    signatures: [],
    envelopes: [],
    state: 'waiting',
    text: '',
    people: [],
    missing: 0,
    guest: '',
    forgetAt: 0,
    since: 0,
    at: 0,
    ...changes,
  };
}

const good = writeEnvelope(payload, [alice.sign(payload)]);
const other = payloadOf({ ...plain, nonce: '1'.repeat(32) });
const raw = (text: string): string => {
  const bytes = Buffer.from(text, 'utf8');
  return writeEnvelope(bytes, [alice.sign(bytes)]);
};

const rows: [name: string, text: string, desk: Desk, expect: string][] = [
  ['a signed job', good, {}, 'job'],
  [
    'one that is known by its bytes',
    good,
    { records: [record({ envelopes: [digestOfText(good)], state: 'done' })] },
    'known',
  ],
  ['one that is over', good, { records: [record({ state: 'done' })] }, 'known'],
  ['one that is at work', good, { records: [record({ state: 'running' })] }, 'known'],
  ['more signatures for one that waits', good, { records: [record()] }, 'job'],
  ['another job of the same id', writeEnvelope(other, [alice.sign(other)]), { records: [record()] }, 'job.same-id'],
  [
    'another job of an id that is over',
    writeEnvelope(other, [alice.sign(other)]),
    { records: [record({ state: 'done' })] },
    'job.same-id',
  ],
  ['nobody signed', writeEnvelope(payload, []), {}, 'job.not-signed'],
  ['a stranger signed', writeEnvelope(payload, [mallory.sign(payload)]), {}, 'job.not-signed'],
  [
    'a signature of another namespace',
    writeEnvelope(payload, [alice.sign(payload, 'felhom-release@1')]),
    {},
    'job.not-signed',
  ],
  [
    'junk beside a good signature',
    writeEnvelope(payload, ['junk', mallory.sign(payload), bob.sign(payload)]),
    {},
    'job',
  ],
  ['not JSON', '{', {}, 'job.unreadable'],
  ['another version', '{"v":2,"payload":"AAAA","signatures":[]}', {}, 'job.unreadable'],
  ['a field nobody knows', good.replace('{"v":1', '{"scratch":true,"v":1'), {}, 'job.unreadable'],
  [
    'nine signatures',
    writeEnvelope(
      payload,
      Array.from({ length: 9 }, () => alice.sign(payload)),
    ),
    {},
    'job.unreadable',
  ],
  ['too large', `${good}${' '.repeat(70_000)}`, {}, 'job.unreadable'],
  [
    'base64 with stray bits',
    good.replace(/"payload":"([^"]+)"/, (_, text: string) => `"payload":"${text}=="`),
    {},
    'job.unreadable',
  ],
  ['a payload with a key twice', raw('{"a":1,"a":2}'), {}, 'job.unreadable'],
  ['a payload that is no job', raw('{"v":1}'), {}, 'job.unreadable'],
  ['no trust document', good, { trust: { is: 'none' } }, 'later trust.none'],
  ['no room', good, { full: true }, 'later job.too-many'],
];

for (const [name, text, desk, expect] of rows)
  test(`${name} → ${expect}`, async () => {
    const answer = await takeEnvelope(text, needs(desk).inbox, signal);
    const said =
      answer.is === 'refused' ? answer.why.code : answer.is === 'later' ? `later ${answer.why.code}` : answer.is;
    assert.equal(said, expect);
  });

test('what is known costs no verification, and what is kept are valid signatures of distinct people', async () => {
  const known = needs({ records: [record({ envelopes: [digestOfText(good)] })] });
  await takeEnvelope(good, known.inbox, signal);
  assert.deepEqual(known.asked, []);
  const fresh = needs({});
  const text = writeEnvelope(payload, ['junk', alice.sign(payload), alice.sign(payload), bob.sign(payload)]);
  const answer = await takeEnvelope(text, fresh.inbox, signal);
  assert.ok(answer.is === 'job');
  assert.deepEqual(answer.parts.people, ['alice', 'bob']);
  assert.equal(answer.parts.signatures.length, 2);
});

test('a verifier that cannot say leaves the envelope for later', async () => {
  const { inbox } = needs({});
  const why = { code: 'trust.verifier-missing', text: 'cannot run', retry: 'operator' } as const;
  const answer = await takeEnvelope(
    good,
    { ...inbox, verifier: { verify: async () => ({ is: 'unknown', why }) } },
    signal,
  );
  assert.deepEqual(answer, { is: 'later', why });
});
