/** A server that moved: what is led to its new address, what is refused, and what an interruption leads to. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { storageTarget } from '@felhom/protocol';
import type { StorageTarget } from '@felhom/protocol';
import { entryOf } from '../../storage-entry.ts';
import type { DeclaredTarget } from '../../storage-manifest.ts';
import { keepCredential } from './credentials.ts';
import { planRePoint, rePointTarget } from './re-point.ts';
import type { ChangeAnswer } from './world.ts';
import { declaredUsb, makeStorageHost, mark } from './test/storage-host.ts';
import type { MadeHost } from './test/storage-host.ts';

const common = { role: 'vzdump-target', class: 'slow', offsite: true };
const make = (target: object): StorageTarget => storageTarget.parse({ ...common, ...target });
const nas = make({ type: 'nfs', name: 'nas', storage: 'nas', server: 'nas.lan', export: '/export' });
const pbs = make({
  type: 'pbs',
  name: 'pbs',
  storage: 'pbs',
  role: 'pbs-offsite',
  server: 'pbs.lan',
  datastore: 'box',
  user: 'box@pbs',
  credential: 'pbs',
  fingerprint: Array.from({ length: 32 }, () => 'ab').join(':'),
});
const share = make({
  type: 'cifs',
  name: 'smb',
  storage: 'smb',
  server: 'a',
  share: 'b',
  user: 'u',
  credential: 'smb',
});
const declared = (target: StorageTarget, more: Partial<DeclaredTarget> = {}): DeclaredTarget => ({
  target,
  state: 'attached',
  mark,
  attachedAt: 1,
  ...more,
});
const to = (target: StorageTarget, change: object): StorageTarget => storageTarget.parse({ ...target, ...change });

async function setUp(t: TestContext, ...targets: readonly StorageTarget[]): Promise<MadeHost> {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-re-point-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const host = makeStorageHost(folder);
  host.declare(...targets.map((target) => declared(target)));
  for (const target of targets) {
    host.entries.set(target.storage, entryOf({ target, state: 'attached' }, 'pve1'));
    host.pool.add(target.storage);
    if ('credential' in target) await keepCredential(host.world, target.credential, 'hunter2');
  }
  return host;
}

async function rePoint(host: MadeHost, next: StorageTarget): Promise<ChangeAnswer> {
  const planned = await planRePoint(host.world, next.name, next);
  return planned.is === 'plan' ? rePointTarget(host.world, planned.plan) : planned;
}
const held = ({ world }: MadeHost) => {
  const read = world.registry.read();
  return read.is === 'held' ? read.manifest.targets : [];
};
const acts = ({ written }: MadeHost): readonly string[] =>
  written.map((input) => (JSON.parse(input) as { readonly act: string }).act);

test('another address of an NFS server: the entry is replaced, pooled, and what was mounted let go of', async (t) => {
  const host = await setUp(t, nas);
  mountedUntilStopped(host, '/mnt/pve/nas', 'nas.lan:/export');
  const next = to(nas, { server: '10.0.0.9', export: '/volume1/export' });
  assert.deepEqual(await rePoint(host, next), { is: 'done' });
  assert.deepEqual(host.calls, ['stop mnt-pve-nas.mount']);
  assert.deepEqual(acts(host), ['update', 'replace', 'update']);
  assert.deepEqual(host.entries.get('nas'), entryOf({ target: next, state: 'attached' }, 'pve1'));
  assert.ok(host.pool.has('nas'));
  assert.deepEqual(held(host), [declared(next)]);
});

test('what Proxmox can change it changes: a renewed certificate, another port, user and namespace', async (t) => {
  const host = await setUp(t, pbs);
  await keepCredential(host.world, 'other', 'correct horse');
  const next = to(pbs, {
    fingerprint: Array.from({ length: 32 }, () => 'cd').join(':'),
    port: 8443,
    user: 'box@pbs!agent',
    credential: 'other',
    namespace: 'a',
  });
  // Also where guests have volumes: the entry stays.
  writeFileSync(join(host.folder, 'guests', '9001.conf'), 'mp0: pbs:9001/x,mp=/srv\n');
  assert.deepEqual(await rePoint(host, next), { is: 'done' });
  assert.deepEqual(acts(host), ['update']);
  assert.match(host.written[0] ?? '', /"password":"correct horse"/);
  assert.deepEqual(host.entries.get('pbs'), entryOf({ target: next, state: 'attached' }, 'pve1'));
  assert.ok(!JSON.stringify([host.arguments, held(host)]).includes('correct horse'));
});

const never: [
  name: string,
  target: StorageTarget,
  next: StorageTarget,
  change: (host: MadeHost) => void,
  says: RegExp,
][] = [
  ['another role', nas, to(nas, { role: 'bulk-data' }), () => {}, /its role would be bulk-data and not vzdump-target/],
  ['another storage', nas, to(nas, { storage: 'other' }), () => {}, /its storage would be other/],
  ['another class', nas, to(nas, { class: 'fast' }), () => {}, /its class would be fast/],
  ['no longer away', nas, to(nas, { offsite: false }), () => {}, /its offsite would be false/],
  ['another kind of server', nas, { ...share, name: 'nas' }, () => {}, /its (?:type|storage) would be/],
  [
    'a disk in place of it',
    nas,
    { ...declaredUsb.target, name: 'nas' },
    () => {},
    /attach the new one under a new name/,
  ],
  ['what is nobody’s', nas, to(nas, { name: 'gone' }), () => {}, /not a declared target/],
  [
    'one that was detached',
    nas,
    to(nas, { server: 'x' }),
    (host) => host.declare(declared(nas, { state: 'decommissioned' })),
    /attach the new address under a new name/,
  ],
  [
    'what another target is',
    nas,
    to(nas, { server: 'b' }),
    (host) => host.declare(declared(nas), declared(to(nas, { name: 'b', storage: 'bb', server: 'b' }))),
    /nfs:b:\/export is target b already/,
  ],
  [
    'a server that does not answer',
    nas,
    to(nas, { server: 'b' }),
    (host) => void host.silent.add('b'),
    /b port 2049 does not answer/,
  ],
  [
    'guests’ volumes under another one',
    nas,
    to(nas, { server: 'b' }),
    (host) => writeFileSync(join(host.folder, 'guests', '9001.conf'), 'mp0: nas:9001/x,mp=/srv\n'),
    /9001 have volumes there\. Attach the new address under a new name and move the volumes/,
  ],
  [
    'an entry of somebody else',
    nas,
    to(nas, { server: 'b' }),
    (host) => void host.entries.set('nas', { type: 'dir', path: '/srv' }),
    /stands for something else/,
  ],
  [
    'no password',
    share,
    to(share, { credential: 'none' }),
    () => {},
    /there is no credential none; as root, on stdin: felhom-agent storage credential none/,
  ],
];
for (const [name, target, next, change, says] of never)
  test(`${name}: refused, and nothing changed`, async (t) => {
    const host = await setUp(t, target);
    change(host);
    const before = JSON.stringify([held(host), [...host.entries]]);
    const answer = await rePoint(host, next);
    assert.ok(answer.is === 'refused', JSON.stringify(answer));
    assert.match(answer.text, says);
    assert.match(answer.text, /^cannot re-point /);
    assert.equal(JSON.stringify([held(host), [...host.entries]]), before);
    assert.deepEqual(host.written, []);
  });

/** A share that stays mounted until systemd is told to let go of it. */
function mountedUntilStopped(host: MadeHost, path: string, source: string): void {
  let mounted = true;
  const { findmnt } = host.world.tools;
  Object.assign(host.world, {
    systemctl: async (args: readonly string[]) => {
      host.calls.push(args.join(' '));
      mounted = false;
      return { code: 0, stdout: '', stderr: '' };
    },
    tools: {
      ...host.world.tools,
      findmnt: async (args: readonly string[]) =>
        args.includes(path) && mounted
          ? {
              code: 0,
              stdout: JSON.stringify({ filesystems: [{ source, fstype: 'nfs4', options: 'rw' }] }),
              stderr: '',
            }
          : findmnt(args),
    },
  });
}

test('an entry that a person removed: what is mounted of the old address is let go of before there is another one', async (t) => {
  const host = await setUp(t, nas);
  host.entries.clear();
  const next = to(nas, { server: 'b' });
  const config = join(host.folder, 'guests', '9001.conf');
  writeFileSync(config, 'mp0: nas:9001/x,mp=/srv\n');
  const refused = await rePoint(host, next);
  assert.match('text' in refused ? refused.text : '', /9001 have volumes there/);
  assert.deepEqual([host.entries.size, held(host)], [0, [declared(nas)]]);
  writeFileSync(config, 'hostname: x\n');
  mountedUntilStopped(host, '/mnt/pve/nas', 'nas.lan:/export');
  assert.deepEqual(await rePoint(host, next), { is: 'done' });
  assert.deepEqual(host.calls, ['stop mnt-pve-nas.mount']);
  assert.deepEqual(acts(host), ['create']);
  assert.equal(host.entries.get('nas')?.['server'], 'b');
  // The same address needs no letting go of: it is made anew.
  host.entries.clear();
  writeFileSync(config, 'mp0: nas:9001/x,mp=/srv\n');
  assert.deepEqual(await rePoint(host, next), { is: 'done' });
});

test('an entry that Proxmox does not take: refused, and the old one is in use again', async (t) => {
  const host = await setUp(t, nas);
  const before = host.entries.get('nas');
  const { perl } = host.world.tools;
  let mountedHalf = false;
  Object.assign(host.world.tools, {
    perl: async (args: readonly string[], input = '') => {
      if (!input.includes('"act":"replace"')) return perl(args, input);
      mountedHalf = true;
      mountedUntilStopped(host, '/mnt/pve/nas', 'b:/export');
      return { code: 255, stdout: '', stderr: "mkdir '/mnt/pve/nas/dump': Permission denied" };
    },
  });
  const answer = await rePoint(host, to(nas, { server: 'b' }));
  assert.ok(answer.is === 'refused' && mountedHalf);
  assert.match(answer.text, /cannot re-point nas: Proxmox does not take it .*as it was: mkdir .*Permission denied/);
  assert.deepEqual(host.calls, ['stop mnt-pve-nas.mount'], 'the new one is not left below the old one');
  assert.deepEqual(held(host), [declared(nas)]);
  const { disable, ...rest } = host.entries.get('nas') ?? {};
  assert.deepEqual([disable, rest], [undefined, before]);
});

test('one that was interrupted is known by both addresses, and the same order goes on', async (t) => {
  const host = await setUp(t, nas);
  const next = to(nas, { server: 'b' });
  const { perl } = host.world.tools;
  let dead = false;
  Object.assign(host.world.tools, {
    perl: async (args: readonly string[], input = '') => {
      dead ||= input.includes('"act":"replace"');
      return dead ? { code: 255, stdout: '', stderr: 'got no lock' } : perl(args, input);
    },
  });
  const first = await rePoint(host, next);
  assert.ok(first.is === 'begun');
  assert.match(first.text, /the same order again goes on: got no lock/);
  Object.assign(host.world.tools, { perl });
  assert.deepEqual(held(host), [declared(next, { movingFrom: nas })]);
  assert.equal(host.entries.get('nas')?.['disable'], '1', 'nothing goes to the old address any more');
  // Not somewhere else instead.
  assert.match(
    JSON.stringify(await rePoint(host, { ...next, name: 'nas', storage: 'x' as typeof next.storage })),
    /its storage/,
  );
  assert.deepEqual(await rePoint(host, next), { is: 'done' });
  assert.deepEqual(held(host), [declared(next)]);
  assert.equal(host.entries.get('nas')?.['server'], 'b');
});

test('a share that is in use at its old address stops it, and nothing is mounted over it', async (t) => {
  const host = await setUp(t, nas);
  const { findmnt } = host.world.tools;
  Object.assign(host.world.tools, {
    findmnt: async (args: readonly string[]) =>
      args.includes('/mnt/pve/nas')
        ? {
            code: 0,
            stdout: JSON.stringify({ filesystems: [{ source: 'nas.lan:/export', fstype: 'nfs4', options: 'rw' }] }),
            stderr: '',
          }
        : findmnt(args),
  });
  const answer = await rePoint(host, to(nas, { server: 'b' }));
  assert.ok(answer.is === 'begun');
  assert.match(answer.text, /what was mounted at \/mnt\/pve\/nas is in use, or its server hangs/);
  assert.deepEqual(acts(host), ['update']);
});
