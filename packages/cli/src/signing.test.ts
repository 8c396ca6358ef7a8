import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { digestOfBlocked, job, parseEnvelope, parsePublicKey } from '@felhom/protocol';
import type { Job } from '@felhom/protocol';
import {
  detailOf,
  hostWithKey,
  jobIn,
  noOpenssh,
  operator,
  peopleByOpenssh,
  removal,
  reportOf,
  scriptedHub,
  shrink,
  startedAt,
  trustOf,
} from './signing.fixture.ts';

const approveRemoval = ['approve', 'alpha', digestOfBlocked(removal).slice(0, 12), '--yes'];
const payloadOf = (text: string): Job => {
  const parsed = parseEnvelope(text);
  assert.equal(parsed.is, 'ok');
  return job.parse(JSON.parse(Buffer.from(parsed.is === 'ok' ? parsed.value.payload : '').toString('utf8')));
};

/** A pinned host that three people may sign for, and a hub that shows what the host last said. */
async function world(t: TestContext, more: Readonly<Record<string, unknown>> = {}) {
  const hub = await scriptedHub(t);
  const host = hostWithKey();
  const people = { anna: operator(t, hub), bela: operator(t, hub), cili: operator(t, hub) };
  const keys: (readonly [string, string])[] = [];
  for (const [name, person] of Object.entries(people)) keys.push([name, await person.key('id')]);
  const trust = trustOf(keys, more);
  let sequence = 10;
  const say = (parts: Readonly<Record<string, unknown>> = {}): void => {
    sequence += 1;
    const said = reportOf(trust, parts);
    hub.shown = detailOf(said, host.sign(said, { sequence }));
  };
  say();
  for (const person of Object.values(people)) await person.felhom(['hosts', 'trust', 'alpha', host.fingerprint]);
  return { hub, host, trust, keys, say, ...people };
}

test(
  'an approval names the digest, host, epoch and challenge, is signed as OpenSSH signs, and is followed to its end',
  { skip: noOpenssh },
  async (t) => {
    const w = await world(t);
    w.hub.onPut = (text) => w.say({ jobs: [jobIn(text, 'done', { text: 'memory of photos is 512 MiB' })] });
    const { code, out } = await w.anna.felhom(['approve', 'alpha'], { answers: ['2', 'yes'] });
    assert.equal(code, 0, out);
    assert.match(out, /alpha did it: memory of photos is 512 MiB/);
    assert.match(out, /One person must sign|one person must sign/);
    const [text = ''] = w.hub.mailbox;
    const made = payloadOf(text);
    assert.deepEqual(
      [made.kind, made.host, made.hostEpoch, made.challenge, made.params],
      ['approve', 'alpha', 'a'.repeat(32), `5.${'c'.repeat(32)}`, { digest: digestOfBlocked(shrink) }],
    );
    assert.equal(made.expiresAt - made.notBefore, 24 * 3_600_000);
    assert.deepEqual(peopleByOpenssh(text, w.keys, w.anna.home, writeFileSync), ['anna']);
  },
);

test('a person says no, or there is nobody to ask: nothing is signed', { skip: noOpenssh }, async (t) => {
  const w = await world(t);
  const asked = approveRemoval.slice(0, -1);
  for (const answers of [['no'], ['y'], ['']]) assert.equal((await w.anna.felhom(asked, { answers })).code, 1);
  assert.equal((await w.anna.felhom(asked)).code, 2);
  assert.equal((await w.anna.felhom(['approve', 'alpha'])).code, 2);
  assert.equal((await w.anna.felhom(['approve', 'alpha'], { answers: ['3'] })).code, 1);
  assert.equal((await w.anna.felhom(['approve', 'alpha', digestOfBlocked(removal).slice(0, 7), '--yes'])).code, 1);
  assert.equal(w.anna.made.signatures, 0);
});

test(
  'two of three: the second reads for herself and signs the same bytes; nobody signs twice',
  { skip: noOpenssh },
  async (t) => {
    const w = await world(t);
    w.hub.onPut = (text) => w.say({ jobs: [jobIn(text, 'waiting', { missing: 1, text: 'one more has to sign' })] });
    const first = await w.anna.felhom(approveRemoval);
    assert.equal(first.code, 7);
    assert.match(first.out, /What would be lost:\n {2}local:9000\/photos.raw\n {2}local:9000\/root.raw\n/);
    assert.match(first.out, /2 people must sign/);
    const { jobId } = payloadOf(w.hub.mailbox[0] ?? '');
    assert.match(first.out, new RegExp(`felhom job cosign alpha ${jobId}`));

    const again = await w.anna.felhom(['job', 'cosign', 'alpha', jobId.slice(0, 8), '--yes']);
    assert.equal(again.code, 1);
    assert.match(again.err, /anna has signed it already .*people count, not keys/);

    w.hub.onPut = (text) => w.say({ jobs: [jobIn(text, 'cooling-off', { by: ['anna', 'bela'], text: 'in an hour' })] });
    const second = await w.bela.felhom(['job', 'cosign', 'alpha', jobId.slice(0, 8)], { answers: ['yes'] });
    assert.equal(second.code, 0, second.err);
    assert.match(second.out, /What would be lost:\n {2}local:9000\/photos.raw/);
    assert.match(second.out, /signed by anna, SHA256:/);
    const [one = '', both = ''] = w.hub.mailbox;
    assert.deepEqual(payloadOf(one), payloadOf(both));
    assert.deepEqual(peopleByOpenssh(both, w.keys, w.bela.home, writeFileSync), ['anna', 'bela']);
    const shown = await w.cili.felhom(['jobs', 'alpha']);
    assert.match(shown.out, /cooling-off approve[^]*signed by anna, bela/);
  },
);

test('a second key of the same person does not make two people', { skip: noOpenssh }, async (t) => {
  const hub = await scriptedHub(t);
  const host = hostWithKey();
  const anna = operator(t, hub);
  const keys = [
    ['anna', await anna.key('id')],
    ['anna', await anna.key('other')],
    ['bela', await operator(t, hub).key('id')],
  ] as const;
  const said = reportOf(trustOf(keys));
  hub.shown = detailOf(said, host.sign(said));
  await anna.felhom(['hosts', 'trust', 'alpha', host.fingerprint]);
  const file = join(anna.home, 'job.json');
  await anna.felhom([...approveRemoval, '--key', join(anna.home, 'id'), '--out', file]);
  const { code, err } = await anna.felhom(['job', 'cosign', 'alpha', file, '--yes', '--key', join(anna.home, 'other')]);
  assert.equal(code, 1);
  assert.match(err, /anna has signed it already/);
  assert.equal(anna.made.signatures, 1);
});

test('a key that the host does not trust is refused before it signs', { skip: noOpenssh }, async (t) => {
  const w = await world(t);
  const stranger = operator(t, w.hub);
  await stranger.key('id');
  await stranger.felhom(['hosts', 'trust', 'alpha', w.host.fingerprint]);
  const { code, err } = await stranger.felhom(approveRemoval);
  assert.equal(code, 1);
  assert.match(err, /its trust document does not let this key sign now/);
  assert.equal(stranger.made.signatures, 0);
});

test(
  'without a hub: a challenge out, an envelope back, and what it says can be read anywhere',
  { skip: noOpenssh },
  async (t) => {
    const w = await world(t);
    const challenge = join(w.anna.home, 'challenge.json');
    const file = join(w.anna.home, 'removal.json');
    assert.equal((await w.anna.felhom(['job', 'challenge', 'alpha', '--out', challenge])).code, 0);
    w.hub.shown = undefined;
    const made = await w.anna.felhom([
      'job',
      'decommission',
      'alpha',
      'photos',
      '--yes',
      '--from',
      challenge,
      '--out',
      file,
    ]);
    assert.equal(made.code, 0, made.err);
    assert.match(made.out, /remove guest photos \(uid abc/);
    const text = readFileSync(file, 'utf8').trim();
    assert.deepEqual(payloadOf(text).params, {
      guest: { uid: 'abcdefghijklmnopqrstuvwxyz', incarnation: 1 },
      lossSet: removal.lossSet,
      backups: 'keep',
    });
    assert.equal(payloadOf(text).expiresAt - startedAt, 3_600_000);
    const cosigned = await w.bela.felhom(['job', 'cosign', 'alpha', file, '--yes', '--from', challenge]);
    assert.equal(cosigned.code, 0, cosigned.err);
    const both = readFileSync(`${file}.cosigned.json`, 'utf8').trim();
    assert.deepEqual(peopleByOpenssh(both, w.keys, w.bela.home, writeFileSync), ['anna', 'bela']);
    const shown = await w.cili.felhom(['job', 'show', `${file}.cosigned.json`]);
    assert.equal(shown.out.match(/ {2}signed by SHA256:/g)?.length, 2);
    assert.deepEqual(w.hub.mailbox, []);
    // It is not written over, and not older than fifteen minutes.
    const over = await w.anna.felhom(['job', 'hold', 'alpha', '--yes', '--from', challenge, '--out', file]);
    assert.equal(over.code, 1);
    w.anna.at(startedAt + 16 * 60_000);
    assert.equal(
      (await w.anna.felhom(['job', 'hold', 'alpha', '--yes', '--from', challenge, '--out', `${file}2`])).code,
      6,
    );
    w.cili.at(startedAt + 1000);
    assert.equal((await w.cili.felhom(['job', 'submit', 'beta', file])).code, 2);
    assert.equal((await w.cili.felhom(['job', 'submit', 'alpha', `${file}.cosigned.json`, '--no-wait'])).code, 7);
    assert.equal(w.hub.mailbox[0], both);
  },
);

test(
  'neither key nor passphrase is ever in what felhom says, writes or hands to a program',
  { skip: noOpenssh },
  async (t) => {
    const w = await world(t);
    const passphrase = 'canary-passphrase-7Gq';
    const path = join(w.anna.home, 'id');
    assert.equal(spawnSync('ssh-keygen', ['-q', '-p', '-P', '', '-N', passphrase, '-f', path]).status, 0);
    const askpass = join(w.anna.home, 'askpass');
    writeFileSync(askpass, `#!/bin/sh\necho ${passphrase}\n`);
    chmodSync(askpass, 0o700);
    w.anna.withEnv({ SSH_ASKPASS: askpass, SSH_ASKPASS_REQUIRE: 'force' });
    const said: string[] = [];
    for (const argv of [
      ['key', 'show'],
      ['key', 'trust-line', '--as', 'anna'],
      [...approveRemoval, '--no-wait'],
      ['job', 'hold', 'alpha', '--yes', '--no-wait', '--json'],
    ]) {
      const { out, err } = await w.anna.felhom(argv);
      said.push(out, err);
    }
    assert.equal(w.anna.made.signatures, 2);
    assert.equal(w.hub.mailbox.length, 2, said.join('\n'));
    w.anna.withEnv({ SSH_ASKPASS: '/bin/false' });
    const { code, out, err } = await w.anna.felhom([...approveRemoval, '--no-wait']);
    assert.equal(code, 1);
    assert.match(err, /OpenSSH did not make a signature; nothing was sent/);
    const settings = readFileSync(join(w.anna.home, '.config', 'felhom', 'signing.json'), 'utf8');
    const everything = [...said, out, err, ...w.hub.mailbox, ...w.anna.made.calls.flat(), settings].join('\n');
    const secret = readFileSync(path, 'utf8').split('\n').slice(1, -2);
    for (const canary of [passphrase, 'BEGIN OPENSSH', ...secret]) assert.ok(!everything.includes(canary), canary);
  },
);

test('a key in ssh-agent signs through its public file', { skip: noOpenssh }, async (t) => {
  const w = await world(t);
  const folder = join(w.anna.home, 'agent');
  mkdirSync(folder, { mode: 0o700 });
  const socket = join(folder, 'socket');
  const started = spawnSync('ssh-agent', ['-a', socket], { encoding: 'utf8' });
  const pid = Number(/SSH_AGENT_PID=(\d+)/.exec(started.stdout)?.[1]);
  if (!Number.isInteger(pid)) return t.skip('ssh-agent cannot be started');
  t.after(() => process.kill(pid));
  const path = join(w.anna.home, 'id');
  assert.equal(spawnSync('ssh-add', ['-q', path], { env: { ...process.env, SSH_AUTH_SOCK: socket } }).status, 0);
  const elsewhere = join(folder, 'only.pub');
  writeFileSync(elsewhere, readFileSync(`${path}.pub`));
  w.anna.withEnv({ SSH_AUTH_SOCK: socket });
  assert.equal((await w.anna.felhom(['key', 'use', elsewhere])).code, 0);
  const { code, err } = await w.anna.felhom([...approveRemoval, '--no-wait']);
  assert.equal(code, 7, err);
  assert.deepEqual(peopleByOpenssh(w.hub.mailbox[0] ?? '', w.keys, w.anna.home, writeFileSync), ['anna']);
});

test(
  'a key is never written over, and its choice and the pins are for their owner alone',
  { skip: noOpenssh },
  async (t) => {
    const w = await world(t);
    const { code, err } = await w.anna.felhom(['key', 'create', '--no-passphrase', '--file', join(w.anna.home, 'id')]);
    assert.equal(code, 1);
    assert.match(err, /is there already/);
    for (const name of ['signing.json', 'pins.json']) {
      const path = join(w.anna.home, '.config', 'felhom', name);
      assert.equal(statSync(path).mode & 0o777, 0o600);
      chmodSync(path, 0o644);
      assert.equal((await w.anna.felhom(approveRemoval)).code, 1);
      chmodSync(path, 0o600);
    }
    assert.equal(w.anna.made.signatures, 0);
    const line = (await w.anna.felhom(['key', 'trust-line', '--as', 'anna'])).out;
    assert.equal(parsePublicKey(line)?.line, w.keys[0]?.[1]);
  },
);

test('a public file of somebody else beside a key does not make it somebody else', { skip: noOpenssh }, async (t) => {
  const w = await world(t);
  writeFileSync(join(w.anna.home, 'id.pub'), `${w.keys[1]?.[1] ?? ''}\n`);
  const { code, err } = await w.anna.felhom([...approveRemoval, '--no-wait']);
  assert.equal(code, 1);
  assert.match(err, /cannot sign with .*nothing was sent/);
  assert.deepEqual(w.hub.mailbox, []);
});
