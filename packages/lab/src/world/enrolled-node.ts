/**
 * A fake node as enrolment leaves a real one: storages, one pool whose VMIDs are declared before they exist, a user
 * with one token and exactly the rights of `requiredAcl`, and a golden image.
 */
import { createHash } from 'node:crypto';
import { hostPolicy, requiredAcl } from '@felhom/agent';
import type { HostPolicy } from '@felhom/agent';
import type { FakeClock, FakeRandom, Pace } from '../fake-pve/core.ts';
import { hostActions } from '../fake-pve/guests/index.ts';
import type { HostActions } from '../fake-pve/guests/index.ts';
import { createFakePve } from '../fake-pve/node.ts';
import type { Disk, Member } from '../fake-pve/storage/index.ts';
import { goldenConfig, goldenMembers } from './golden.ts';
import { createRootHelper } from './root-helper.ts';
import type { RootHelper } from './root-helper.ts';

export type FakePveNode = ReturnType<typeof createFakePve>;

export interface EnrolOptions {
  readonly clock: FakeClock;
  readonly random: FakeRandom;
  readonly disk: Disk;
  readonly pace?: Partial<Pace>;
  /** Changes to the policy that the lab writes by default. */
  readonly policy?: Readonly<Record<string, unknown>>;
  /** How many VMIDs are declared for guests; 20 unless told. */
  readonly guestRange?: number;
  /** Files that the golden image holds besides its own. */
  readonly goldenFiles?: readonly Member[];
}

export interface EnrolledNode {
  readonly node: FakePveNode;
  readonly host: HostActions;
  readonly helper: RootHelper;
  /** `USER@REALM!ID=SECRET`, the line of the token file. */
  readonly token: string;
  readonly tokenId: string;
  readonly policy: HostPolicy;
}

const pool = 'felhom';
const user = 'felhom-agent@pve';
export const goldenOwner = 9900;
const firstGuest = 9000;
const firstScratch = 9800;

export async function enrolNode(options: EnrolOptions): Promise<EnrolledNode> {
  const { clock, random, disk } = options;
  const node = createFakePve({ clock, random, disk, ...(options.pace === undefined ? {} : { pace: options.pace }) });
  const range = { from: firstGuest, to: firstGuest + (options.guestRange ?? 20) - 1 };
  const scratch = { from: firstScratch, to: firstScratch + 9 };
  await defineStorages(node);
  const golden = await placeGolden(node, clock, options.goldenFiles ?? []);
  const policy = hostPolicy.parse({
    v: 1,
    node: node.name,
    pool,
    vmids: { guests: range, scratch },
    bridges: ['vmbr0'],
    storages: ['guests', 'bulk'],
    slowStorages: ['bulk'],
    goldens: { 'debian-13': golden },
    backups: {
      targets: {
        local: { storage: 'backup', class: 'fast' },
        offsite: { storage: 'offsite', class: 'slow', offsite: true },
      },
    },
    ...options.policy,
  });
  const secret = await createIdentity(
    node,
    [...span(range.from, range.to), ...span(scratch.from, scratch.to), goldenOwner],
    // Granted by its path, whether or not there is such a storage.
    policy.restoreTests.storage,
  );
  const host = hostActions(node, node.tasks);
  const tokenId = `${user}!agent`;
  const inRange = (vmid: number): boolean =>
    [policy.vmids.guests, policy.vmids.scratch].some(({ from, to }) => vmid >= from && vmid <= to);
  const isScratch = (vmid: number): boolean => vmid >= scratch.from && vmid <= scratch.to;
  const helper = createRootHelper(node, host, { pool, inRange, isScratch, token: tokenId });
  return { node, host, helper, token: `${tokenId}=${secret}`, tokenId, policy };
}

const span = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, at) => from + at);

async function asRoot(
  node: FakePveNode,
  method: 'POST' | 'PUT',
  path: string,
  params: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  const answer = await node.handle({ method, path, params, as: 'root@pam' });
  if (answer.status !== 200) throw new Error(`cannot enrol the fake node: ${method} ${path}: ${answer.reason}`);
  return (answer.body as { readonly data: unknown }).data;
}

/**
 * `guests` is fast and can snapshot, `bulk` is a plain directory, `backup` holds archives beside them, `offsite` those
 * that lie elsewhere.
 */
async function defineStorages(node: FakePveNode): Promise<void> {
  node.storage.hardware.add({ id: 'lvm:pve/data', capacityBytes: 200 * 2 ** 30 });
  for (const definition of [
    { storage: 'guests', type: 'lvmthin', vgname: 'pve', thinpool: 'data', content: 'rootdir,images' },
    { storage: 'bulk', type: 'dir', path: '/srv/bulk', content: 'rootdir,images' },
    { storage: 'backup', type: 'dir', path: '/srv/backup', content: 'backup', 'prune-backups': 'keep-all=1' },
    { storage: 'offsite', type: 'dir', path: '/srv/offsite', content: 'backup', 'prune-backups': 'keep-all=1' },
  ])
    await asRoot(node, 'POST', '/storage', definition);
}

/** Answers the token's secret. */
async function createIdentity(node: FakePveNode, vmids: readonly number[], scratchStorage?: string): Promise<string> {
  const acl = requiredAcl({
    pool,
    storages: [...new Set(['guests', 'bulk', 'backup', 'offsite'].concat(scratchStorage ?? []))],
    node: node.name,
    bridges: ['vmbr0'],
  });
  for (const role of acl.roles)
    await asRoot(node, 'POST', '/access/roles', {
      roleid: role.name,
      privs: role.privileges.map((privilege) => privilege.name).join(','),
    });
  await asRoot(node, 'POST', '/access/users', { userid: user });
  const created = await asRoot(node, 'POST', `/access/users/${user}/token/agent`, { privsep: 0 });
  await asRoot(node, 'POST', '/pools', { poolid: pool });
  await asRoot(node, 'PUT', '/pools', { poolid: pool, vms: vmids.join(',') });
  for (const entry of acl.entries)
    await asRoot(node, 'PUT', '/access/acl', {
      path: entry.path,
      roles: entry.role,
      users: user,
      propagate: entry.propagate ? 1 : 0,
    });
  return (created as { readonly value: string }).value;
}

/** Root places the archive, as no API can; its name makes `goldenOwner` the owner. */
async function placeGolden(node: FakePveNode, clock: FakeClock, files: readonly Member[]) {
  const stamp = new Date(clock.now())
    .toISOString()
    .slice(0, 19)
    .replaceAll('-', '_')
    .replaceAll(':', '_')
    .replace('T', '-');
  const file = `vzdump-lxc-${goldenOwner}-${stamp}.tar.zst`;
  const path = node.storage.diskPath('backup', `dump/${file}`);
  const written = await node.storage.disk.writeArchive(
    path,
    [...goldenMembers(goldenConfig), ...files],
    'zstd',
    Number.MAX_SAFE_INTEGER,
  );
  if (written.is !== 'written') throw new Error('cannot place the golden image: no space');
  return {
    archive: `backup:backup/${file}`,
    sizeBytes: written.sizeBytes,
    // Stands for the bytes of the archive, which a disk in memory does not have.
    sha256: createHash('sha256').update(goldenConfig).digest('hex'),
  };
}
