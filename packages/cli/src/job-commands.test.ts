import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { digestOfBlocked, digestOfText, job, parseEnvelope, writeEnvelope } from '@felhom/protocol';
import type { Job } from '@felhom/protocol';
import {
  detailOf,
  hostWithKey,
  noOpenssh,
  operator,
  peopleByOpenssh,
  removal,
  reportOf,
  scriptedHub,
  trustOf,
} from './signing.fixture.ts';

const jobOf = (text: string): Job => {
  const parsed = parseEnvelope(text.trim());
  return job.parse(JSON.parse(Buffer.from(parsed.is === 'ok' ? parsed.value.payload : '').toString('utf8')));
};
const strangers = [
  { vmid: 9001, name: 'old-web', configDigest: 'd'.repeat(40), volumes: ['local:9001/root.raw'], why: 'not on record' },
  { vmid: 9002, name: 'Old.DB', configDigest: 'e'.repeat(40), volumes: ['local:9002/root.raw'], why: 'not on record' },
  { vmid: 9003, name: 'empty', configDigest: 'f'.repeat(40), volumes: [], why: 'not on record' },
];

async function world(t: TestContext) {
  const hub = await scriptedHub(t);
  const host = hostWithKey();
  const people = { anna: operator(t, hub), bela: operator(t, hub), cili: operator(t, hub) };
  const keys: (readonly [string, string])[] = [];
  for (const [name, person] of Object.entries(people)) keys.push([name, await person.key('id')]);
  const said = reportOf(trustOf(keys), { strangers });
  hub.shown = detailOf(said, host.sign(said));
  for (const person of Object.values(people)) await person.felhom(['hosts', 'trust', 'alpha', host.fingerprint]);
  return { hub, keys, ...people };
}

test('adopt: one by one, under another name, or all that can be', { skip: noOpenssh }, async (t) => {
  const w = await world(t);
  const list = await w.anna.felhom(['adopt', 'alpha']);
  assert.match(
    list.out,
    /9001 {2}old-web\n {2}config digest d{40}\n {2}volume local:9001\/root.raw[^]*cannot be adopted as it is: its name/,
  );
  assert.equal((await w.anna.felhom(['adopt', 'alpha', '9002', '--yes', '--no-wait'])).code, 1);
  assert.equal((await w.anna.felhom(['adopt', 'alpha', '9003', '--yes', '--no-wait'])).code, 1);
  assert.equal(w.anna.made.signatures, 0);
  await w.anna.felhom(['adopt', 'alpha', '9002', '--name', 'old-db', '--yes', '--no-wait']);
  const all = await w.anna.felhom(['adopt', 'alpha', '--all', '--yes']);
  assert.match(all.err, /VMID 9002 is left out[^]*VMID 9003 is left out/);
  assert.deepEqual(
    w.hub.mailbox.map((text) => jobOf(text).params),
    [
      { vmid: 9002, name: 'old-db', configDigest: 'e'.repeat(40), volumes: ['local:9002/root.raw'] },
      { vmid: 9001, name: 'old-web', configDigest: 'd'.repeat(40), volumes: ['local:9001/root.raw'] },
    ],
  );
});

test('a job from a file is signed only where it is bound to what the host shows', { skip: noOpenssh }, async (t) => {
  const w = await world(t);
  const file = join(w.anna.home, 'hold.json');
  await w.anna.felhom(['job', 'hold', 'alpha', '--yes', '--out', file]);
  const made = jobOf(readFileSync(file, 'utf8'));
  const plain = join(w.bela.home, 'plain.json');
  writeFileSync(plain, JSON.stringify(made, null, 2));
  assert.equal((await w.bela.felhom(['job', 'sign', plain], { answers: ['yes'] })).code, 0);
  const signed = readFileSync(`${plain}.signed.json`, 'utf8').trim();
  assert.deepEqual(jobOf(signed), made);
  assert.deepEqual(peopleByOpenssh(signed, w.keys, w.bela.home, writeFileSync), ['bela']);
  const before = w.bela.made.signatures;
  for (const change of [{ hostEpoch: 'b'.repeat(32) }, { expiresAt: 5 }, { kind: 'destroy-all' }, { host: 'beta' }]) {
    writeFileSync(plain, JSON.stringify({ ...made, ...change }));
    assert.notEqual((await w.bela.felhom(['job', 'sign', plain, '--yes', '--out', `${plain}.x`])).code, 0);
  }
  assert.equal(w.bela.made.signatures, before);
});

test(
  'cosigners at the same time are put together; what cannot count is left behind; two jobs of one id are not',
  { skip: noOpenssh },
  async (t) => {
    const w = await world(t);
    const stranger = operator(t, w.hub);
    await stranger.key('id');
    await w.anna.felhom(['approve', 'alpha', digestOfBlocked(removal).slice(0, 12), '--yes', '--no-wait']);
    const [first = ''] = w.hub.mailbox;
    const { jobId } = jobOf(first);
    await w.bela.felhom(['job', 'cosign', 'alpha', jobId, '--yes', '--no-wait']);
    const [, both = ''] = w.hub.mailbox;
    const parsed = parseEnvelope(both);
    assert.equal(parsed.is, 'ok');
    if (parsed.is !== 'ok') return;
    const onlyBela = parsed.value.envelope.signatures.slice(1);
    w.hub.mailbox.splice(0, 2, first, writeEnvelope(parsed.value.payload, [...onlyBela, 'no signature at all']));
    const third = await w.cili.felhom(['job', 'cosign', 'alpha', jobId, '--yes', '--no-wait']);
    assert.equal(third.code, 7, third.err);
    const together = w.hub.mailbox[2] ?? '';
    assert.deepEqual(peopleByOpenssh(together, w.keys, w.cili.home, writeFileSync), ['anna', 'bela', 'cili']);

    assert.equal((await w.anna.felhom(['job', 'withdraw', 'alpha', jobId])).code, 0);
    assert.deepEqual(w.hub.withdrawn, w.hub.mailbox.map(digestOfText));
    const other = Buffer.from(Buffer.from(parsed.value.payload).toString('utf8').replace('alpha', 'bravo'));
    w.hub.mailbox.push(writeEnvelope(other, onlyBela));
    const confused = await w.cili.felhom(['job', 'cosign', 'alpha', jobId, '--yes']);
    assert.equal(confused.code, 1);
    assert.match(confused.err, /several envelopes say so and differ/);
  },
);

test('an envelope for another host or epoch is not cosigned', { skip: noOpenssh }, async (t) => {
  const w = await world(t);
  const file = join(w.anna.home, 'hold.json');
  await w.anna.felhom(['job', 'hold', 'alpha', '--yes', '--out', file]);
  const parsed = parseEnvelope(readFileSync(file, 'utf8').trim());
  assert.equal(parsed.is, 'ok');
  if (parsed.is !== 'ok') return;
  const text = Buffer.from(parsed.value.payload).toString('utf8');
  for (const [from, to] of [
    ['"host":"alpha"', '"host":"bravo"'],
    [`"hostEpoch":"${'a'.repeat(32)}"`, `"hostEpoch":"${'b'.repeat(32)}"`],
  ] as const) {
    writeFileSync(file, writeEnvelope(Buffer.from(text.replace(from, to)), parsed.value.envelope.signatures));
    assert.equal((await w.bela.felhom(['job', 'cosign', 'alpha', file, '--yes'])).code, 1);
  }
  assert.equal(w.bela.made.signatures, 0);
});

test('without OpenSSH the error says what to install', async (t) => {
  const anna = operator(t, { url: 'http://127.0.0.1:1' });
  anna.withEnv({ PATH: anna.home });
  const { code, err } = await anna.felhom(['key', 'create']);
  assert.equal(code, 1);
  assert.match(err, /ssh-keygen is not there\n {2}next: install the client of OpenSSH/);
});

test('completion knows the commands of jobs, also those of two words', async (t) => {
  const anna = operator(t, { url: 'http://127.0.0.1:1' });
  const { out } = await anna.felhom(['completion', 'bash']);
  for (const path of ['"job trust-add"', '"job break-glass open"', '"hosts trust"', '"audit verify"', '"approve"'])
    assert.ok(out.includes(path), path);
});
