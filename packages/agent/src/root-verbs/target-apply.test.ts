/** Targets by a signed job: whose envelope root believes, for what, and how often. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { bindingOf, digestOfText, payloadOf, storageTarget, writeEnvelope } from '@felhom/protocol';
import type { CanonicalValue, HostId } from '@felhom/protocol';
import { createSshKeygenVerifier } from '../adapters/ssh-keygen/index.ts';
import { createTrustFile } from '../adapters/trust-file/index.ts';
import { writeTrustText } from '../trust/index.ts';
import { alice, bob, day, makeDocument, mallory, now } from '../trust/test/people.ts';
import { markText } from '../storage-manifest.ts';
import { consumedJobsIn } from './consumed-jobs.ts';
import { applyTarget } from './target-apply.ts';
import { declaredUsb, makeStorageHost, usb, uuid } from './storage/test/storage-host.ts';
import type { MadeHost } from './storage/test/storage-host.ts';

const never = new AbortController().signal;
const minute = 60_000;
const right = { device: 'sdb1', uuid, fileSystem: 'ext4', serial: 'WD-123' };
const mark = 'c'.repeat(32);

type Person = { sign(payload: Uint8Array): string };
function jobOf(kind: string, params: object, change: object = {}): object {
  return {
    v: 1,
    jobId: 'a'.repeat(26),
    host: 'box-1',
    hostEpoch: '0'.repeat(32),
    challenge: `1.${'0'.repeat(32)}`,
    nonce: '1'.repeat(32),
    issuedAt: now - minute,
    notBefore: now - minute,
    expiresAt: now + 30 * minute,
    kind,
    params,
    ...change,
  };
}
function envelopeOf(job: object, ...people: readonly Person[]): string {
  const payload = payloadOf(JSON.parse(JSON.stringify(job)) as CanonicalValue);
  return writeEnvelope(
    payload,
    people.map((person) => person.sign(payload)),
  );
}
const attach = (change: object = {}): object => jobOf('target-attach', { declaration: usb }, change);
const bound = { target: 'usb-1', ...bindingOf(usb, mark) };
const detach = (params: object = {}, change: object = {}): object =>
  jobOf('target-detach', { ...bound, ...params }, { jobId: 'b'.repeat(26), ...change });

const wipe = (params: object = {}, change: object = {}): object =>
  jobOf('target-wipe', { ...bound, ...params }, { jobId: 'c'.repeat(26), ...change });

function setUp(t: TestContext, thresholds: object = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-target-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const host = makeStorageHost(join(folder, 'storage'));
  const trustFile = join(folder, 'trust.json');
  const document = makeDocument();
  writeFileSync(trustFile, writeTrustText({ ...document, thresholds: { ...document.thresholds, ...thresholds } }), {
    mode: 0o644,
  });
  const consumed = consumedJobsIn(join(folder, 'state', 'consumed'));
  const apply = (envelope: string, at = now) =>
    applyTarget(
      {
        storage: host.world,
        trust: createTrustFile(trustFile, { ownerUids: [process.getuid?.() ?? 0] }),
        verifier: createSshKeygenVerifier({ directory: join(folder, 'verify') }),
        consumed,
        host: 'box-1' as HostId,
        now: () => at,
      },
      envelope,
      never,
    );
  return { host, apply, consumed };
}

test('attached, then detached, each by its own signature and once', async (t) => {
  const { host, apply } = setUp(t);
  host.plug(right, {});
  const first = envelopeOf(attach(), alice);
  assert.deepEqual(await apply(first), { is: 'done' });
  assert.equal(host.mountedDevice('usb-1'), 'sdb1');
  assert.ok(host.pool.has('usb1'));
  const held = host.world.registry.read();
  assert.ok(held.is === 'held');
  assert.equal(held.manifest.targets[0]?.mark, mark);
  const second = envelopeOf(detach(), bob);
  assert.deepEqual(await apply(second), { is: 'done' });
  assert.equal(host.mountedDevice('usb-1'), undefined);
  const again = await apply(first);
  assert.match(again.is === 'done' ? 'done' : again.text, /was used already/);
  assert.equal(host.mountedDevice('usb-1'), undefined);
  // It is as that one wanted it: its receipt may be lost, and refused would say that nothing was changed.
  assert.deepEqual(await apply(second), { is: 'done' });
  // Attached again by another one, it is not detached by the old one.
  assert.deepEqual(await apply(envelopeOf(attach({ jobId: 'd'.repeat(26) }), alice)), { is: 'done' });
  const late = await apply(second);
  assert.match(late.is === 'done' ? 'done' : late.text, /was used already/);
  assert.equal(host.mountedDevice('usb-1'), 'sdb1');
});

test('what is begun and not done is not spent: the same envelope goes on', async (t) => {
  const { host, apply, consumed } = setUp(t);
  host.plug(right, {});
  const { perl } = host.world.tools;
  Object.assign(host.world.tools, {
    perl: async (args: readonly string[], input = '') =>
      input.includes('"act":"create"') ? { code: 255, stdout: '', stderr: 'got no lock' } : perl(args, input),
  });
  const envelope = envelopeOf(attach(), alice);
  // No answer: refused would say that nothing was changed.
  await assert.rejects(apply(envelope), /declared and not in use yet/);
  assert.ok(!consumed.has('a'.repeat(26)));
  Object.assign(host.world.tools, { perl });
  assert.deepEqual(await apply(envelope), { is: 'done' });
});

const rows: [name: string, envelope: string, says: RegExp, at?: number][] = [
  ['nobody', envelopeOf(attach()), /carries no signature/],
  ['a stranger', envelopeOf(attach(), mallory), /is not listed/],
  ['another host', envelopeOf(attach({ host: 'box-2' }), alice), /is for host box-2/],
  ['another kind', envelopeOf(jobOf('break-glass-close', {}), alice), /of kind break-glass-close/],
  ['a wipe by one person', envelopeOf(wipe(), alice), /2 people have to sign .*, 1 did/],
  ['a wipe by the same person twice', envelopeOf(wipe(), alice, alice), /2 people have to sign .*, 1 did/],
  ['a wipe of what is not there', envelopeOf(wipe(), alice, bob), /cannot wipe usb-1: .*not a declared target/],
  [
    'a wipe of an hour ago',
    envelopeOf(wipe({}, { issuedAt: now - 61 * minute, notBefore: now - 61 * minute }), alice, bob),
    /has expired/,
  ],
  ['a mark in clear', envelopeOf(wipe({ idFile: mark }), alice, bob), /cannot read job/],
  ['a wipe of a path', envelopeOf(wipe({ target: '../sda' }), alice, bob), /cannot read job/],
  ['a wipe of a device', envelopeOf(wipe({ device: '/dev/sda' }), alice, bob), /cannot read job/],
  ['a job of later', envelopeOf(attach({ notBefore: now + minute }), alice), /not valid yet/],
  ['a job of before', envelopeOf(attach({ expiresAt: now - 1 }), alice), /has expired/],
  [
    'a detaching of an hour ago',
    envelopeOf(detach({}, { issuedAt: now - 61 * minute, notBefore: now - 61 * minute }), alice),
    /has expired/,
  ],
  [
    'another serial',
    envelopeOf(attach({ params: { declaration: { ...usb, serial: 'WD-9' } } }), alice),
    /serial is WD-123, not WD-9/,
  ],
  [
    'a declaration with more in it',
    envelopeOf(attach({ params: { declaration: { ...usb, options: 'exec' } } }), alice),
    /cannot read job/,
  ],
  [
    'an export that climbs',
    envelopeOf(
      attach({
        params: {
          declaration: {
            type: 'nfs',
            name: 'n',
            storage: 'nn',
            role: 'bulk-data',
            class: 'slow',
            offsite: true,
            server: 'nas',
            export: '/a/../b',
          },
        },
      }),
      alice,
    ),
    /cannot read job/,
  ],
  ['a target that is not there', envelopeOf(detach(), alice), /not a declared target/],
  ['no envelope', '{}', /cannot read envelope/],
  ['an expired trust document', envelopeOf(attach({ expiresAt: now + 100 * day }), alice), /./, now + 90 * day],
];
for (const [name, envelope, says, at] of rows)
  test(`${name}: refused, and nothing changed`, async (t) => {
    const { host, apply } = setUp(t);
    host.plug(right, {});
    const answer = await apply(envelope, at);
    assert.ok(answer.is === 'refused', JSON.stringify(answer));
    assert.match(answer.text, says);
    assert.match(answer.text, /^cannot /);
    assert.equal(host.world.registry.read().is, 'none');
    assert.equal(host.mountedDevice('usb-1'), undefined);
    assert.deepEqual(host.written, []);
  });

test('as many people as the trust document asks for, whatever the agent thought', async (t) => {
  const { host, apply } = setUp(t, { disclose: 2 });
  host.plug(right, {});
  const one = await apply(envelopeOf(attach(), alice));
  assert.match(one.is === 'done' ? 'done' : one.text, /2 people have to sign .*, 1 did/);
  assert.deepEqual(await apply(envelopeOf(attach(), alice, bob)), { is: 'done' });
});

const others: [name: string, params: object][] = [
  ['serial', { serial: 'WD-9' }],
  ['uuid', { uuid: 'AAAA-BBBB' }],
  ['idFile', { idFile: digestOfText('d'.repeat(32)) }],
];
for (const [name, params] of others)
  test(`a detaching that was signed for another ${name} detaches nothing`, async (t) => {
    const { host, apply } = setUp(t);
    host.plug(right, { '.felhom-target': markText(mark) });
    host.declare({ ...declaredUsb, mark });
    const answer = await apply(envelopeOf(detach(params), alice));
    assert.match(answer.is === 'done' ? 'done' : answer.text, new RegExp(`another ${name} than was signed for`));
    const held = host.world.registry.read();
    assert.ok(held.is === 'held' && held.manifest.targets[0]?.state === 'attached');
  });

test('a disk of another host is not taken over by a signature', async (t) => {
  const { host, apply } = setUp(t);
  host.plug(right, { '.felhom-target': markText('d'.repeat(32)) });
  const answer = await apply(envelopeOf(attach(), alice));
  assert.match(answer.is === 'done' ? 'done' : answer.text, /bears the mark of a target of another host/);
  assert.equal(host.mountedDevice('usb-1'), undefined);
});

test('wiped by two people once it is detached, and by the same envelope no second time', async (t) => {
  const { host, apply, consumed } = setUp(t);
  host.plug(right, { '.felhom-target': markText(mark), 'old.tar': 'x' });
  host.declare({ ...declaredUsb, mark });
  const early = await apply(envelopeOf(wipe(), alice, bob));
  assert.match(early.is === 'done' ? 'done' : early.text, /it is in use; detach it first/);
  assert.ok(!consumed.has('c'.repeat(26)), 'a refusal spends nothing');
  assert.deepEqual(await apply(envelopeOf(detach(), alice)), { is: 'done' });
  for (const [name, params] of others) {
    const answer = await apply(envelopeOf(wipe(params), alice, bob));
    assert.match(answer.is === 'done' ? 'done' : answer.text, new RegExp(`another ${name} than was signed for`));
  }
  assert.deepEqual(host.overwritten, []);
  const envelope = envelopeOf(wipe(), alice, bob);
  assert.deepEqual(await apply(envelope), { is: 'done' });
  assert.deepEqual(host.overwritten, ['/dev/sdb1']);
  const held = host.world.registry.read();
  assert.ok(held.is === 'held');
  assert.deepEqual(held.manifest.targets, []);
  assert.deepEqual(held.manifest.wiped, [{ name: 'usb-1', identity: `ext4:${uuid}`, at: now }]);
  assert.deepEqual(await apply(envelope), { is: 'done' });
  assert.deepEqual(host.overwritten, ['/dev/sdb1']);
  const another = await apply(envelopeOf(wipe({ uuid: 'AAAA-BBBB' }), alice, bob));
  assert.match(another.is === 'done' ? 'done' : another.text, /was used already/);
  const again = await apply(envelopeOf(attach({ jobId: 'd'.repeat(26) }), alice));
  assert.match(again.is === 'done' ? 'done' : again.text, /had that name and was wiped on .*; take another one/);
});

const nas = storageTarget.parse({
  type: 'nfs',
  name: 'nas',
  storage: 'nas',
  role: 'vzdump-target',
  class: 'slow',
  server: 'nas.lan',
  export: '/export',
});
const moved = { ...nas, server: '10.0.0.9' };
const rePoint = (declaration: object = moved, from = nas): object =>
  jobOf('target-re-point', { target: 'nas', ...bindingOf(from, mark), declaration }, { jobId: 'e'.repeat(26) });

test('a server that moved is led to its new address by its signature, and no further', async (t) => {
  const { host, apply } = setUp(t);
  host.declare({ target: nas, state: 'attached', mark, attachedAt: 1 });
  const says = async (job: object): Promise<string> => {
    const answer = await apply(envelopeOf(job, alice));
    return answer.is === 'done' ? 'done' : answer.text;
  };
  assert.match(
    await says(rePoint(moved, { ...nas, server: 'other' } as typeof nas)),
    /another uuid than was signed for/,
  );
  assert.match(await says(rePoint({ ...moved, role: 'bulk-data' })), /its role would be bulk-data/);
  assert.match(await says(rePoint(usb)), /a disk has no address/);
  assert.match(await says(rePoint({ ...moved, server: '-oexec' })), /cannot read job/);
  assert.equal(host.entries.size, 0);
  assert.equal(await says(rePoint()), 'done');
  assert.equal(host.entries.get('nas')?.['server'], '10.0.0.9');
  assert.equal(await says(rePoint()), 'done');
  // Led back by another one, it is not led there again by the old one.
  host.declare({ target: nas, state: 'attached', mark, attachedAt: 1 });
  assert.match(await says(rePoint()), /was used already/);
});

/** What is asked first, what is asked then, and what is to be seen of it: once. */
const finished: [name: string, job: object, seen: (host: MadeHost) => unknown][] = [
  ['wiped', wipe(), ({ overwritten }) => overwritten],
  ['re-pointed', rePoint(), ({ written }) => written],
];
for (const [name, job, seen] of finished)
  test(`killed between ${name} and spent: the same envelope is told that it is done, also when it has expired`, async (t) => {
    const { host, apply, consumed } = setUp(t);
    host.plug(right, { '.felhom-target': markText(mark) });
    host.declare(
      { ...declaredUsb, mark, state: 'decommissioned' },
      { target: nas, state: 'attached', mark, attachedAt: 1 },
    );
    const envelope = envelopeOf(job, alice, bob);
    const working = { ...consumed };
    Object.assign(consumed, {
      add: () => {
        throw new Error('ENOSPC: no space left on device');
      },
    });
    await assert.rejects(apply(envelope), /ENOSPC/);
    const before = JSON.stringify(seen(host));
    assert.notEqual(before, '[]');
    Object.assign(consumed, working);
    const { jobId } = job as { readonly jobId: string };
    for (const at of [now, now + 61 * minute]) {
      assert.deepEqual(await apply(envelope, at), { is: 'done' });
      assert.ok(consumed.has(jobId));
    }
    assert.equal(JSON.stringify(seen(host)), before);
  });

test('killed in the middle of re-pointing is not done, and goes on', async (t) => {
  const { host, apply } = setUp(t);
  host.declare({ target: moved, movingFrom: nas, state: 'attached', mark, attachedAt: 1 });
  assert.deepEqual(await apply(envelopeOf(rePoint(), alice)), { is: 'done' });
  assert.equal(host.entries.get('nas')?.['server'], '10.0.0.9');
});

test('what is declared cannot be read: nothing is said of what was done', async (t) => {
  const { host, apply, consumed } = setUp(t);
  writeFileSync(host.world.registry.file, '{', { mode: 0o644 });
  for (const _ of ['new', 'used']) {
    assert.equal((await apply(envelopeOf(wipe(), alice, bob))).is, 'busy');
    if (!consumed.has('c'.repeat(26))) consumed.add('c'.repeat(26), now);
  }
});
