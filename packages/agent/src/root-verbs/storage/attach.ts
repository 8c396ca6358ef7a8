/**
 * A new target, or one that is attached again: looked at first, then marked, written down, mounted and defined. Never
 * formats anything. Each part can be done again, so whoever is interrupted gives the same order once more.
 */
import { chmodSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { storageTarget, targetIdentity, isDisk } from '@felhom/protocol';
import type { StorageTarget } from '@felhom/protocol';
import { markFile, markText, mountPathOf } from '../../storage-manifest.ts';
import type { DeclaredTarget } from '../../storage-manifest.ts';
import { placeFile } from '../durable-file.ts';
import { readCredential } from './credentials.ts';
import { changeOf, defineStorage } from './define.ts';
import type { FoundDisk } from './disks.ts';
import type { EntryChange } from './entry.ts';
import { markAt } from './folder.ts';
import { forgetMount, mountDisk, mountTarget, rightDisk, takeAway } from './mount.ts';
import { onEntry } from './proxmox.ts';
import { declare } from './registry.ts';
import { fastFrom, measureReads } from './speed.ts';
import { busyWith, refusedBy } from './world.ts';
import type { ChangeAnswer, StorageAnswer, StorageWorld } from './world.ts';

export interface AttachPlan {
  /** Whole: with the class, and with the serial of the disk that was found. */
  readonly target: StorageTarget;
  /** What is declared under that name already; it is the same target. */
  readonly known: DeclaredTarget | undefined;
  readonly disk: FoundDisk | undefined;
  readonly iops: number | undefined;
  /** The class was not said; it comes from the speed. */
  readonly classProposed: boolean;
  readonly entry: EntryChange;
}

export type PlanAnswer =
  { readonly is: 'plan'; readonly plan: AttachPlan } | { readonly is: 'refused' | 'busy'; readonly text: string };

/** Looks and measures; changes nothing. `draft`: a declaration, whose class may be missing. `now`: milliseconds. */
export async function planAttach(world: StorageWorld, draft: object, now: () => number): Promise<PlanAnswer> {
  const classProposed = !('class' in draft);
  const parsed = storageTarget.safeParse(classProposed ? { ...draft, class: 'slow' } : draft);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return { is: 'refused', text: `cannot read the declaration: ${issue?.path.join('.')} ${issue?.message}`.trim() };
  }
  let target = parsed.data;
  const no = (is: 'refused' | 'busy', why: string): PlanAnswer => ({
    is,
    text: `cannot attach ${target.name}: ${why}`,
  });
  const held = world.registry.read();
  if (held.is === 'unreadable') return no('busy', held.why.text);
  const others = held.is === 'held' ? held.manifest.targets : [];
  const known = others.find((one) => one.target.name === target.name);
  if (known?.state === 'wiping') return no('refused', 'its wiping has begun; the same order to wipe it goes on');
  const wiped = held.is === 'held' ? held.manifest.wiped?.find(({ name }) => name === target.name) : undefined;
  if (wiped !== undefined)
    return no(
      'refused',
      `${wiped.identity} had that name and was wiped on ${new Date(wiped.at).toISOString().slice(0, 10)}; take another one`,
    );
  const taken = takenBy(others, target);
  if (taken !== undefined) return no('refused', taken);
  const host = world.node();
  if ('bad' in host) return no('busy', host.bad);
  let disk: FoundDisk | undefined;
  let iops = known?.iops;
  if (isDisk(target)) {
    const right = await rightDisk(world, target);
    if (right.is !== 'disk') return no(right.is, right.text);
    disk = right.disk;
    // A UUID can be copied; what the device says of itself less easily [R8].
    const whole = storageTarget.safeParse({ ...target, serial: target.serial ?? (disk.serial || undefined) });
    if (whole.success) target = whole.data;
    iops ??= await measureReads({ ...disk, now, random: world.random, blockdev: world.tools.blockdev });
  }
  // Set once; what a person says counts more than what was measured.
  if (classProposed) target = { ...target, class: known?.target.class ?? ((iops ?? 0) >= fastFrom ? 'fast' : 'slow') };
  if ('credential' in target) {
    const secret = await readCredential(world, target.credential);
    if (secret.is === 'bad') return no('refused', `its credential cannot be read: ${secret.text}`);
    if (secret.is === 'none')
      return no(
        'refused',
        `there is no credential ${target.credential}; on stdin: felhom-agent storage credential ${target.credential}`,
      );
  }
  const found = await onEntry(world.tools.perl, { storage: target.storage, pool: host.pool }, { act: 'read' });
  if (found.is === 'failed') return no('busy', `Proxmox does not tell its storages: ${found.text}`);
  const entry = changeOf(world, { target, state: 'attached', mark: '', attachedAt: 0 }, host.node, found);
  if (entry.is === 'other')
    return no('refused', `the storage ${target.storage} of Proxmox stands for something else: ${entry.text}`);
  return { is: 'plan', plan: { target, known, disk, iops, classProposed, entry } };
}

/** A name, a storage of Proxmox and a place are of one target each, decommissioned ones included. */
function takenBy(others: readonly DeclaredTarget[], target: StorageTarget): string | undefined {
  for (const { target: other } of others) {
    const same = targetIdentity(other) === targetIdentity(target);
    if (other.name === target.name) {
      if (same && other.storage === target.storage) continue;
      return `${other.name} is declared already, as ${targetIdentity(other)} with storage ${other.storage}; take another name`;
    }
    if (same) return `${targetIdentity(other)} is target ${other.name} already`;
    if (other.storage === target.storage) return `storage ${other.storage} is of target ${other.name}`;
  }
  return undefined;
}

export interface AttachOptions {
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** A disk that bears a mark this host did not give it becomes a target of this host. */
  readonly takeOver: boolean;
}

/** Throws where it is not known how far it came; the same order again goes on from there. */
export async function attachTarget(
  world: StorageWorld,
  { target, known, disk, iops }: AttachPlan,
  { now, takeOver }: AttachOptions,
): Promise<ChangeAnswer> {
  const { name } = target;
  let mark = known?.mark ?? world.newMark();
  if (isDisk(target)) {
    if (disk === undefined) return refusedBy('attach', name, 'its disk was not found');
    const mounted = await mountDisk(world, target, disk);
    if (mounted.is !== 'mounted') return mounted;
    const there = await markAt(world.tools.dd, mounted.path);
    if (there !== known?.mark) {
      if (!takeOver) {
        await letGo(world, name, known);
        return refusedBy('attach', name, foreign(there, known));
      }
      mark = world.newMark();
    }
    try {
      if (there !== mark) writeMark(mounted.path, mark);
    } catch (error) {
      await letGo(world, name, known);
      return busyWith('attach', name, `its mark cannot be written: ${(error as Error).message}`);
    }
  }
  declare(world.registry, {
    target,
    state: 'attached',
    mark,
    ...(iops === undefined ? {} : { iops }),
    attachedAt: known?.state === 'attached' ? known.attachedAt : now,
  });
  const on = isDisk(target) ? await mountTarget(world, name) : undefined;
  if (on !== undefined && on.is !== 'done') return afterAll(name, on);
  return afterAll(name, await defineStorage(world, name));
}

const foreign = (there: string | undefined, known: DeclaredTarget | undefined): string =>
  there === undefined
    ? 'the disk bears no mark, though it was attached before: it was formatted, or is a copy; --take-over makes it this target'
    : `the disk bears the mark of ${known === undefined ? 'a target of another host, or of an order that was interrupted' : 'another target'}; --take-over makes it one of this host`;

/** Root's, and for all to read: it is a name and no secret. */
function writeMark(path: string, mark: string): void {
  placeFile(join(path, markFile), markText(mark), 0o444, (draft) => renameSync(draft, join(path, markFile)));
  // The agent looks at it as an ordinary user.
  chmodSync(path, 0o755);
}

/** A unit of what is not declared goes too; one of a declared target waits for the right disk. */
async function letGo(world: StorageWorld, name: string, known: DeclaredTarget | undefined): Promise<void> {
  const left = await (known === undefined ? forgetMount : takeAway)(world, name);
  if (left !== undefined) throw new Error(`cannot unmount ${mountPathOf(name, world.mountRoot)}: ${left}`);
}

/** It is written down: that it is not all done is no refusal any more. */
const afterAll = (name: string, answer: StorageAnswer): ChangeAnswer =>
  answer.is === 'done'
    ? answer
    : { is: 'begun', text: `${name} is declared and not in use yet; the same order again goes on: ${answer.text}` };
