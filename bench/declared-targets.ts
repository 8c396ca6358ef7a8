/** Targets that the agent of a bench has declared: loop devices with a record of udev, and a share of the lab's node. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { entryOf } from '../packages/agent/src/storage-entry.ts';
import { manifestText, mountPathOf } from '../packages/agent/src/storage-manifest.ts';
import type { DeclaredTarget, StorageManifest } from '../packages/agent/src/storage-manifest.ts';
import type { HubSide } from '../scripts/vm/hub-side.ts';
import { mustRun, runProgram } from '../scripts/vm/run-program.ts';
import { declarationsOf } from '../scripts/vm/targets.ts';
import type { TestTarget } from '../scripts/vm/targets.ts';

/** Documentation address: nobody is ever there (RFC 5737). */
const server = '192.0.2.10';
const remotePath = '/export';
export const share = {
  name: 'bench-share',
  /** As mountinfo names it. */
  source: `${server}:${remotePath}`,
  path: '/mnt/pve/bench-share',
} as const;

const declaredShare = {
  target: {
    type: 'nfs',
    name: share.name,
    storage: share.name,
    role: 'vzdump-target',
    class: 'slow',
    offsite: true,
    server,
    export: remotePath,
  },
  state: 'attached',
  mark: '0'.repeat(32),
  attachedAt: 0,
} as DeclaredTarget;

/** What is undone in the end, the last first. */
export type Ends = (() => unknown)[];

export async function undo(ends: Ends): Promise<void> {
  for (const end of ends.toReversed()) await end();
}

/** An empty folder to mount at, also where a run that was killed left something there. */
export async function makeMountPoint(path: string, ends: Ends): Promise<void> {
  await runProgram('umount', ['-l', path]);
  mkdirSync(path, { recursive: true });
  ends.push(() => runProgram('rmdir', [path]));
}

/** Mounts the image where the target belongs. `records`: what stands for udev's database. */
export async function mountDisk(disk: TestTarget, file: string, records: string, ends: Ends): Promise<void> {
  const path = mountPathOf(disk.name);
  await makeMountPoint(path, ends);
  const loop = (await mustRun('losetup', ['--find', '--show', file])).trim();
  ends.push(() => runProgram('losetup', ['-d', loop]));
  await mustRun('mount', [loop, path]);
  ends.push(() => runProgram('umount', ['-l', path]));
  const number = (await mustRun('lsblk', ['-dno', 'MAJ:MIN', loop])).trim();
  mkdirSync(records, { recursive: true });
  writeFileSync(join(records, `b${number}`), `E:ID_FS_UUID=${disk.uuid}\nE:ID_FS_TYPE=ext4\n`);
}

/** The node of the lab gets the entry of the share. */
export async function addShare({ stage }: HubSide): Promise<void> {
  const { node, tokenId } = stage.pve;
  node.storage.hardware.add({ id: `nfs:${share.source}`, capacityBytes: 2 ** 34 });
  const [users] = tokenId.split('!');
  const calls = [
    ['POST', '/storage', { storage: share.name, ...entryOf(declaredShare, stage.policy.node) }],
    ['PUT', '/access/acl', { path: `/storage/${share.name}`, roles: 'FelhomStore', users, propagate: 0 }],
  ] as const;
  for (const [method, path, params] of calls) {
    const answer = await node.handle({ method, path, params, as: 'root@pam' });
    if (answer.status !== 200) throw new Error(`cannot prepare the node of the lab: ${path}: ${answer.status}`);
  }
}

/** Of these disks and the share, as root would have declared them. */
export function declarations(disks: readonly TestTarget[]): string {
  const { targets } = JSON.parse(declarationsOf(disks, false)) as StorageManifest;
  return manifestText({ v: 1, targets: [...targets, declaredShare] });
}

/** For the agent's configuration: real mounts, and `folder` for what stands for udev. */
export function seesRealMounts({ stage }: HubSide, folder: string, storageFile: string): Record<string, unknown> {
  const kernel = { proc: '/proc', sys: '/sys', mounts: '/mnt/felhom', run: join(folder, 'run') };
  return { kernel: { ...stage.place.kernel, ...kernel }, storageFile, watchHost: true };
}

export const recordsIn = (folder: string): string => join(folder, 'run/udev/data');
