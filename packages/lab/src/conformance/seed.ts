/**
 * What the recorded machine had before a set of recordings begins: users and tokens that appear as callers without being
 * created, the storages that are mentioned, the template, the golden guest.
 */
import { textOf } from '../fake-pve/core.ts';
import type { Bench } from './bench.ts';
import { barePath, type Exchange, type Recording } from './exchange.ts';
import { btrfsStorage, ensureStorage, ensureTemplate, goldenConfig, writeArchive } from './world.ts';

const agentPrivileges =
  'VM.Allocate VM.Audit VM.Backup VM.Config.CPU VM.Config.Disk VM.Config.Memory VM.Config.Network VM.Config.Options VM.PowerMgmt VM.Snapshot VM.Snapshot.Rollback Datastore.Allocate Datastore.AllocateSpace Datastore.Audit Sys.Audit SDN.Use';
const agent = 'felhom-agent@pve';

export async function seedBench(bench: Bench, recordings: readonly Recording[]): Promise<void> {
  const calls = recordings.flatMap(({ items }) => items.flatMap((item) => (item.is === 'call' ? [item.call] : [])));
  seedIdentities(bench, calls);
  await seedStorages(bench, calls);
}

function seedIdentities({ node }: Bench, calls: readonly Exchange[]): void {
  const { access } = node;
  const creates = (path: RegExp, key: string, value: string): boolean =>
    calls.some(
      (call) => call.method === 'POST' && call.status === 200 && path.test(call.path) && call.params?.[key] === value,
    );
  const setUp = creates(/^\/access\/users$/, 'userid', agent);
  if (!setUp) {
    access.config.roles.set('FelhomAgent', new Set(agentPrivileges.split(' ')));
    access.addUser(agent, { comment: 'felhom agent' });
    access.addToken(agent, 'agent', { comment: 'agent token' });
    access.grant({ path: '/', type: 'user', ugid: agent, roleid: 'FelhomAgent' });
    access.grant({ path: '/', type: 'token', ugid: `${agent}!agent`, roleid: 'FelhomAgent' });
  }
  access.addToken('root@pam', 'bench', { privsep: 0 });
}

/** Tokens of the bench that no recording creates; they need their user, so they come when they are first used. */
export function seedToken(node: Bench['node'], as: string): void {
  const { access } = node;
  const [userid = '', tokenid] = as.split('!');
  const user = access.config.users.get(userid);
  if (tokenid !== undefined && user !== undefined && !user.tokens.has(tokenid)) access.addToken(userid, tokenid);
}

async function seedStorages(bench: Bench, calls: readonly Exchange[]): Promise<void> {
  const { node } = bench;
  const created = new Set(
    calls.flatMap((call) =>
      call.method === 'POST' && barePath(call) === '/storage' && call.status === 200
        ? [textOf(call.params?.['storage'])]
        : [],
    ),
  );
  const text = JSON.stringify(calls.map(({ params, path, body }) => [params, decodeURIComponent(path), body]));
  // As a word of its own: the agent's user and its privileges have the name of the storage in theirs.
  const mentioned = (storage: string): boolean => new RegExp(`(?<![\\w-])${storage}(?![\\w@!.-])`).test(text);
  const felhom = { storage: 'felhom', type: 'dir', path: '/srv/felhom', content: 'rootdir,images,vztmpl,backup' };
  node.storage.hardware.add({
    id: 'disk-btr',
    capacityBytes: 8_589_934_592,
    filesystem: 'btrfs',
    otherBytes: 6_062_080,
  });
  node.storage.hardware.mount('/mnt/btr', 'disk-btr');
  // Whatever was recorded after the storage had been made has it.
  const isNew = !created.has('felhom');
  if (isNew) await ensureStorage(bench, felhom);
  if (!created.has('btr') && mentioned('btr')) await ensureStorage(bench, btrfsStorage);
  await ensureTemplate(bench, 'local:vztmpl/felhom-base_1.0_amd64.tar.zst');
  if (isNew && mentioned('felhom')) await seedGolden(bench, text);
}

/** The golden guest and every archive of it that a call restores without a list having shown it before. */
async function seedGolden(bench: Bench, text: string): Promise<void> {
  const { node, host } = bench;
  await ensureTemplate(bench, 'felhom:vztmpl/felhom-base_1.0_amd64.tar.zst');
  host.setRawConfig(100, goldenConfig(100));
  for (const disk of [0, 1]) node.storage.createVolume('felhom', `100/vm-100-disk-${disk}.raw`, 1024 ** 3);
  for (const volid of new Set(text.match(/felhom:backup\/vzdump-lxc-100-[\d_-]+\.tar(\.zst|\.gz)?/g) ?? []))
    if (text.includes(`"ostemplate":"${volid}"`)) await writeArchive(bench, volid, goldenConfig(100, volid), 1_000_000);
}
