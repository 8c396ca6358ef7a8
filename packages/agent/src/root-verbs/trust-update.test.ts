import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { digestOfTrust, hostId, isSignedByHost, payloadOf, reason, writeEnvelope } from '@felhom/protocol';
import type { CanonicalValue, TrustDocument } from '@felhom/protocol';
import { createTrustFile } from '../adapters/trust-file/index.ts';
import type { SignatureVerifier } from '../ports/signatures.ts';
import { writeTrustText } from '../trust/index.ts';
import type { TrustJob } from '../trust/index.ts';
import {
  alice,
  bob,
  carol,
  day,
  makeDocument,
  makeFloorJob,
  makeSigner,
  makeTrustJob,
  mallory,
  now,
} from '../trust/test/people.ts';
import { replaceTrustFile, trustUpdate, writeFirstTrustFile } from './index.ts';

const never = new AbortController().signal;
const uid = process.getuid?.() ?? 0;
const current = makeDocument();
const next = makeDocument({ version: 4, issuedAt: now, expiresAt: now + 90 * day });

const verifier: SignatureVerifier = {
  verify: async ({ principal, allowedSigners, namespace, payload, signature }) => {
    const lines = allowedSigners.split('\n').filter((line) => line.startsWith(`${principal} `));
    const keys = lines.map((line) => line.split(' ').slice(2).join(' '));
    return keys.some((key) => isSignedByHost(key, namespace, payload, signature))
      ? { is: 'valid' }
      : { is: 'invalid', text: 'bad' };
  },
};

function setUp(t: TestContext, document: TrustDocument | undefined = current) {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-trust-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'trust.json');
  if (document !== undefined) writeFileSync(file, writeTrustText(document), { mode: 0o644 });
  const trust = createTrustFile(file, { ownerUids: [uid] });
  const options = { file, trust, verifier, host: hostId.parse('box-1'), now };
  return { folder, file, trust, options };
}

type Person = { sign(payload: Uint8Array): string };

function envelopeOf(job: TrustJob | object, ...people: readonly Person[]): string {
  const payload = payloadOf(JSON.parse(JSON.stringify(job)) as CanonicalValue);
  return writeEnvelope(
    payload,
    people.map((person) => person.sign(payload)),
  );
}

test('the next document lies in the place of the present one, readable for the agent, and nothing beside it', async (t) => {
  const { options, folder, file, trust } = setUp(t);
  const envelope = envelopeOf(makeTrustJob(current, next), alice, bob);
  assert.deepEqual(await trustUpdate(options, envelope, never), { is: 'done', version: 4 });
  const read = trust.read();
  assert.ok(read.is === 'held' && read.digest === digestOfTrust(next));
  assert.equal(statSync(file).mode & 0o777, 0o644);
  assert.deepEqual(readdirSync(folder), ['trust.json']);
});

test('twice is the same as once, also when the signers are gone from the new document', async (t) => {
  const { options, file } = setUp(t);
  const without = makeDocument({
    version: 4,
    issuedAt: now,
    expiresAt: now + day,
    signers: [makeSigner(carol), makeSigner(mallory)],
    revoked: [alice.key, bob.key],
  });
  const envelope = envelopeOf(makeTrustJob(current, without), alice, bob);
  assert.equal((await trustUpdate(options, envelope, never)).is, 'done');
  const written = readFileSync(file, 'utf8');
  const inode = statSync(file).ino;
  assert.deepEqual(await trustUpdate({ ...options, now: now + 30 * day }, envelope, never), { is: 'done', version: 4 });
  assert.equal(readFileSync(file, 'utf8'), written);
  assert.equal(statSync(file).ino, inode);
});

test('a floor, twice', async (t) => {
  const { options, trust } = setUp(t);
  const envelope = envelopeOf(makeFloorJob(current, 'tiers', 1, 2), carol);
  for (let times = 0; times < 2; times += 1)
    assert.deepEqual(await trustUpdate(options, envelope, never), { is: 'done', version: 4 });
  const read = trust.read();
  assert.ok(read.is === 'held' && read.document.floors.tiers === 2);
});

const rows: [name: string, envelope: string, says: RegExp][] = [
  ['one signature of two', envelopeOf(makeTrustJob(current, next), alice), /2 people have to sign, 1 did/],
  ['strangers', envelopeOf(makeTrustJob(current, next), mallory), /is not listed/],
  ['no signature', envelopeOf(makeTrustJob(current, next)), /it carries no signature/],
  ['another host', envelopeOf(makeTrustJob(current, next, { host: 'box-2' }), alice, bob), /the job is for box-2/],
  ['another kind of job', envelopeOf({ v: 1, kind: 'break-glass-close' }, alice, bob), /cannot read job/],
  ['no envelope', 'nothing', /cannot read envelope/],
  ['an envelope too large', 'x'.repeat(70_000), /at most 65536 are taken/],
];
for (const [name, envelope, says] of rows)
  test(`${name}: refused, and the file is as it was`, async (t) => {
    const { options, file } = setUp(t);
    const before = readFileSync(file, 'utf8');
    const answer = await trustUpdate(options, envelope, never);
    assert.ok(answer.is === 'refused', JSON.stringify(answer));
    assert.match(answer.text, says);
    assert.match(answer.text, /^cannot /);
    assert.equal(readFileSync(file, 'utf8'), before);
  });

test('a change that was undone by a later one does not come back', async (t) => {
  const { options, trust } = setUp(t);
  const first = envelopeOf(makeTrustJob(current, next), alice, bob);
  const later = { ...current, version: 5, issuedAt: now };
  await trustUpdate(options, first, never);
  assert.equal((await trustUpdate(options, envelopeOf(makeTrustJob(next, later), alice, bob), never)).is, 'done');
  const again = await trustUpdate(options, first, never);
  assert.ok(again.is === 'refused' && /another document than version 5/.test(again.text));
  assert.equal(trust.read().is, 'held');
});

test('a file that others may write, a missing one, one of another host: nothing is decided from it', async (t) => {
  const envelope = envelopeOf(makeTrustJob(current, next), alice, bob);
  const exposed = setUp(t);
  chmodSync(exposed.file, 0o664);
  assert.equal((await trustUpdate(exposed.options, envelope, never)).is, 'busy');
  const missing = setUp(t, undefined);
  rmSync(missing.file, { force: true });
  assert.equal((await trustUpdate(missing.options, envelope, never)).is, 'refused');
  const other = setUp(t);
  const answer = await trustUpdate({ ...other.options, host: hostId.parse('box-9') }, envelope, never);
  assert.ok(answer.is === 'refused' && /is for box-1, this host is box-9/.test(answer.text));
});

test('without a verdict nothing is changed, and it may be asked again', async (t) => {
  const { options, file } = setUp(t);
  const before = readFileSync(file, 'utf8');
  const why = reason('trust.verifier-missing', 'cannot verify: gone');
  const mute: SignatureVerifier = { verify: async () => ({ is: 'unknown', why }) };
  const envelope = envelopeOf(makeTrustJob(current, next), alice, bob);
  assert.deepEqual(await trustUpdate({ ...options, verifier: mute }, envelope, never), { is: 'busy', text: why.text });
  assert.equal(readFileSync(file, 'utf8'), before);
});

test('a document that changes while signatures are verified is not overwritten', async (t) => {
  const { options, file, trust } = setUp(t);
  const meanwhile = makeDocument({ version: 4, expiresAt: now + day });
  const slow: SignatureVerifier = {
    verify: async (question, signal) => {
      replaceTrustFile(file, meanwhile);
      return verifier.verify(question, signal);
    },
  };
  const envelope = envelopeOf(makeTrustJob(current, next), alice, bob);
  assert.equal((await trustUpdate({ ...options, verifier: slow }, envelope, never)).is, 'busy');
  const read = trust.read();
  assert.ok(read.is === 'held' && read.digest === digestOfTrust(meanwhile));
});

test('a write that fails leaves the present document and no draft; the first document replaces nothing', (t) => {
  const { file, folder } = setUp(t);
  const before = readFileSync(file, 'utf8');
  assert.throws(() => writeFirstTrustFile(file, next), /EEXIST/);
  const broken = { ...next, signers: [1n] } as unknown as TrustDocument;
  assert.throws(() => replaceTrustFile(file, broken));
  assert.equal(readFileSync(file, 'utf8'), before);
  assert.deepEqual(readdirSync(folder), ['trust.json']);
});
