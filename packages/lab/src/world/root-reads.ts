/**
 * What root reads on the fake node for the agent: archives back from their device, the content of a scratch guest, and
 * whether a key opens an archive. Changes nothing.
 */
import { createHash } from 'node:crypto';
import type { HelperAnswer } from '@felhom/agent';
import type { Digest, FoundVolume } from '@felhom/protocol';
import { perlText } from '../fake-pve/core.ts';
import type { FakeNode as AnyNode } from '../fake-pve/node.ts';
import { treePath } from '../fake-pve/storage/index.ts';
import type { Member, Storage } from '../fake-pve/storage/index.ts';

type FakeNode = AnyNode<Storage>;

type Asked = readonly { readonly path: string; readonly samples: readonly string[] }[];

const refuse = (text: string): HelperAnswer => ({ v: 1, is: 'refused', text });
const sha256 = (bytes: Uint8Array): Digest => createHash('sha256').update(bytes).digest('hex') as Digest;

/** SHA-256 and size of an archive as they are on the disk now, and the device under its storage. */
export async function archiveDigest(node: FakeNode, archive: string): Promise<HelperAnswer> {
  const [storage = ''] = archive.split(':');
  try {
    node.storage.activate(storage);
    const path = node.storage.archives.diskPath(storage, archive.slice(archive.indexOf('/') + 1));
    const read = await node.storage.disk.digestArchive(path);
    if (read === undefined) return { v: 1, is: 'absent', text: `cannot read ${archive}: there is no such archive` };
    const kind = node.storage.type(storage) === 'pbs' ? 'pbs-index' : 'file';
    return {
      v: 1,
      is: 'done',
      archive: { kind, ...read, sha256: read.sha256 as Digest, device: deviceOf(node, storage) },
    };
  } catch (error) {
    return { v: 1, is: 'busy', text: `cannot read ${archive}: ${perlText(error).trim()}` };
  }
}

/** The first part of a path on the disk is the device, written as a name of a file can be. */
function deviceOf(node: FakeNode, storage: string): string {
  return decodeURIComponent(node.storage.archives.diskPath(storage, 'x').split('/').find(Boolean) ?? storage);
}

/** As the guest's own root sees it: the volume that is mounted nearest above a path, other asked paths left out. */
export async function scratchRead(node: FakeNode, vmid: number, asked: Asked): Promise<HelperAnswer> {
  if (!node.guests.exists(vmid)) return refuse(`cannot scratch-read ${vmid}: there is no such guest`);
  if (!node.guests.isRunning(vmid)) return refuse(`cannot scratch-read ${vmid}: it does not run`);
  const mounts = mountsOf(node, vmid);
  const found: FoundVolume[] = [];
  for (const { path, samples } of asked) {
    const [at, volid] = mounts
      .filter(([mounted]) => isWithin(path, mounted))
      .toSorted(([a], [b]) => b.length - a.length)[0] ?? ['/', undefined];
    if (volid === undefined) return refuse(`cannot scratch-read ${vmid}: it has no root file system`);
    const tree = await node.storage.disk.readTree(node.storage.volumeDiskPath(volid));
    const others = asked.map((each) => each.path).filter((other) => other !== path && isWithin(other, path));
    const files = new Map<string, Member>();
    for (const member of tree) {
      const inGuest = `${at === '/' ? '' : at}/${treePath(member.name) ?? ''}`;
      if (member.type !== 'file' || !isWithin(inGuest, path) || others.some((other) => isWithin(inGuest, other)))
        continue;
      files.set(path === '/' ? inGuest.slice(1) : inGuest.slice(path.length + 1), member);
    }
    found.push({
      path,
      files: files.size,
      bytes: [...files.values()].reduce((sum, { content }) => sum + content.length, 0),
      samples: samples.map((name) => {
        const member = files.get(name);
        return member === undefined ? null : { sizeBytes: member.content.length, sha256: sha256(member.content) };
      }),
    });
  }
  return { v: 1, is: 'done', found };
}

/** Whether the key that the storage has now opens an archive on it. The fake node knows keys by fingerprint only. */
export async function keyTest(node: FakeNode, archive: string): Promise<HelperAnswer> {
  const [storage = ''] = archive.split(':');
  try {
    node.storage.activate(storage);
    const made = node.storage.archives.list(storage).find(({ volid }) => volid === archive);
    if (made === undefined) return refuse(`cannot test the key of ${archive}: there is no such archive`);
    const { encrypted } = made;
    if (encrypted === undefined) return { v: 1, is: 'done', keyTest: { is: 'not-encrypted' } };
    const key = node.storage.archives.keyOf(storage);
    if (key === encrypted) return { v: 1, is: 'done', keyTest: { is: 'opens', fingerprint: key } };
    const has = key === undefined ? 'the storage has no key' : `the storage has key ${key}`;
    return { v: 1, is: 'done', keyTest: { is: 'wrong-key', text: `it was made with key ${encrypted}, ${has}` } };
  } catch (error) {
    return { v: 1, is: 'busy', text: `cannot test the key of ${archive}: ${perlText(error).trim()}` };
  }
}

/** Mount path → volume id of the active config. */
function mountsOf(node: FakeNode, vmid: number): readonly (readonly [string, string])[] {
  return [...node.guests.config(vmid).active].flatMap(([key, value]): (readonly [string, string])[] => {
    const volid = value.split(',')[0] ?? '';
    if (key === 'rootfs') return [['/', volid]];
    const at = /^mp\d+$/.test(key) ? /(?:^|,)mp=([^,]+)/.exec(value)?.[1] : undefined;
    return at === undefined ? [] : [[at, volid]];
  });
}

const isWithin = (path: string, root: string): boolean => root === '/' || path === root || path.startsWith(`${root}/`);
