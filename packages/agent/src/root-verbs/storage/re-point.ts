/**
 * A server that moved: the same target under another address, certificate, user or credential. What Proxmox can change in its
 * entry it changes. Where it cannot, or where the entry is gone, another one takes its place, and only while no guest has a
 * volume there: that would get another place under its old name. An entry that Proxmox does not take leaves all as it was.
 * The same twice does it once, and goes on where the first ended.
 */
import { notMoved, targetIdentity } from '@felhom/protocol';
import type { StorageTarget } from '@felhom/protocol';
import { entryDifferences, entryOf } from '../../storage-entry.ts';
import type { EntryOptions } from '../../storage-entry.ts';
import type { DeclaredTarget } from '../../storage-manifest.ts';
import { readCredential } from './credentials.ts';
import { defineStorage } from './define.ts';
import { guestsOn } from './detach.ts';
import { mountsAt } from './disks.ts';
import { onEntry, reachServer } from './proxmox.ts';
import { declare, declaredIn } from './registry.ts';
import { escapePath } from './units.ts';
import { busyWith, refusedBy } from './world.ts';
import type { ChangeAnswer, StorageWorld } from './world.ts';

export interface RePointPlan {
  readonly declared: DeclaredTarget;
  readonly to: StorageTarget;
  readonly replaces: Replaces | undefined;
}

/** Another entry stands for it afterwards. */
interface Replaces {
  /** There is one to be replaced; else it is made. */
  readonly entry: boolean;
  /** Where the share of the old one is mounted, if it was a share. */
  readonly mountedAt: string | undefined;
}

export type RePointPlanAnswer =
  { readonly is: 'plan'; readonly plan: RePointPlan } | { readonly is: 'refused' | 'busy'; readonly text: string };

/** Looks and asks the server; changes nothing. */
export async function planRePoint(world: StorageWorld, name: string, to: StorageTarget): Promise<RePointPlanAnswer> {
  const no = (is: 'refused' | 'busy', why: string): RePointPlanAnswer => ({
    is,
    text: `cannot re-point ${name}: ${why}`,
  });
  const found = declaredIn(world.registry, name);
  if (found.is !== 'declared') return no(found.is, found.text);
  const { declared } = found;
  if (declared.state !== 'attached')
    return no('refused', 'it is decommissioned; attach the new address under a new name');
  const from = declared.movingFrom ?? declared.target;
  const other = notMoved(from, to);
  if (other !== undefined) return no('refused', other);
  const held = world.registry.read();
  const taken = (held.is === 'held' ? held.manifest.targets : []).find(
    ({ target }) => target.name !== name && targetIdentity(target) === targetIdentity(to),
  );
  if (taken !== undefined) return no('refused', `${targetIdentity(to)} is target ${taken.target.name} already`);
  const noCredential = await credentialTrouble(world, to);
  if (noCredential !== undefined) return no('refused', noCredential);
  const host = world.node();
  if ('bad' in host) return no('busy', host.bad);
  const entry = await onEntry(world.tools.perl, { storage: to.storage, pool: host.pool }, { act: 'read' });
  if (entry.is === 'failed') return no('busy', `Proxmox does not tell its storages: ${entry.text}`);
  const isOf = (target: StorageTarget): boolean => standsFor(entry.entry, target, host.node);
  // Without an entry the share may be mounted still: whatever it was known as, it has to be let go of.
  const moves = [from, declared.target].some((target) => targetIdentity(target) !== targetIdentity(to));
  const replaces = entry.entry === undefined ? moves : !isOf(to);
  if (replaces && !isOf(from)) return no('refused', `storage ${to.storage} of Proxmox stands for something else`);
  const guests = replaces ? guestsOn(world, to.storage) : [];
  if (guests.length > 0)
    return no(
      'refused',
      `Proxmox cannot change that in an entry, and in another one guests would find other volumes under their names: ${guests.join(', ')} have volumes there. ` +
        'Attach the new address under a new name and move the volumes there',
    );
  const silent = await reachServer(world.tools.perl, addressOf(to));
  if (silent !== undefined) return no('refused', silent);
  const path =
    'server' in from && from.type !== 'pbs' ? (entry.entry?.['path'] ?? `/mnt/pve/${to.storage}`) : undefined;
  return {
    is: 'plan',
    plan: { declared, to, replaces: replaces ? { entry: entry.entry !== undefined, mountedAt: path } : undefined },
  };
}

/** None there stands for anything. */
const standsFor = (found: EntryOptions | undefined, target: StorageTarget, node: string): boolean =>
  found === undefined ||
  !entryDifferences(found, entryOf({ target, state: 'attached' }, node)).some(({ fixed }) => fixed);

/** Where a server of the kind listens. PVE: NFSPlugin.pm and CIFSPlugin.pm ask there too. */
function addressOf(target: StorageTarget): { readonly server: string; readonly port: number } {
  const server = 'server' in target ? target.server : '';
  return { server, port: target.type === 'pbs' ? target.port : target.type === 'nfs' ? 2049 : 445 };
}

async function credentialTrouble(world: StorageWorld, to: StorageTarget): Promise<string | undefined> {
  if (!('credential' in to)) return undefined;
  const secret = await readCredential(world, to.credential);
  if (secret.is === 'secret') return undefined;
  return secret.is === 'bad'
    ? `its credential cannot be read: ${secret.text}`
    : `there is no credential ${to.credential}; as root, on stdin: felhom-agent storage credential ${to.credential}`;
}

/** Throws where it is not known how far it came; the same order again goes on from there. */
export async function rePointTarget(world: StorageWorld, plan: RePointPlan): Promise<ChangeAnswer> {
  const { declared, to, replaces } = plan;
  const { name } = to;
  const { movingFrom = declared.target, ...rest } = declared;
  const moved = { ...rest, target: to };
  // First, so that nobody puts the old address right meanwhile.
  declare(world.registry, { ...moved, movingFrom });
  const begun = (why: string): ChangeAnswer => ({
    is: 'begun',
    text: `${name} is declared at its new address and not in use yet; the same order again goes on: ${why}`,
  });
  if (replaces !== undefined) {
    const held = await clearPlace(world, to, replaces);
    if (held !== undefined) return begun(held);
    const failed = replaces.entry ? await replaceEntry(world, to) : undefined;
    if (failed !== undefined)
      return (
        (await goBack(world, { ...rest, target: movingFrom }, { mountedAt: replaces.mountedAt, why: failed })) ??
        begun(failed)
      );
  }
  const defined = await defineStorage(world, name, true);
  if (defined.is !== 'done') return begun(defined.text);
  declare(world.registry, moved);
  return { is: 'done' };
}

/** `undefined`: nothing is mounted there, and Proxmox mounts nothing; else why not. */
async function clearPlace(
  world: StorageWorld,
  { storage }: StorageTarget,
  { entry, mountedAt }: Replaces,
): Promise<string | undefined> {
  const host = world.node();
  if ('bad' in host) return host.bad;
  if (entry) {
    // Proxmox mounts again what is switched on.
    const act = { act: 'update', params: { disable: '1' }, remove: [] } as const;
    const off = await onEntry(world.tools.perl, { storage, pool: host.pool }, act);
    if (off.is === 'failed') return off.text;
  }
  return unmountShare(world, mountedAt);
}

/** `undefined`: it is another one now; else why it is not. */
async function replaceEntry(world: StorageWorld, to: StorageTarget): Promise<string | undefined> {
  const host = world.node();
  if ('bad' in host) return host.bad;
  const secret = 'credential' in to ? await readCredential(world, to.credential) : undefined;
  const params = {
    ...entryOf({ target: to, state: 'attached' }, host.node),
    ...(secret?.is === 'secret' ? { password: secret.secret } : {}),
  };
  const place = { storage: to.storage, pool: host.pool };
  const replaced = await onEntry(world.tools.perl, place, { act: 'replace', params });
  return replaced.is === 'failed' ? replaced.text : undefined;
}

/** To the old entry, where Proxmox says that it is still there. `undefined`: nothing is known, or it cannot be left yet. */
async function goBack(
  world: StorageWorld,
  was: DeclaredTarget,
  { mountedAt, why }: { readonly mountedAt: string | undefined; readonly why: string },
): Promise<ChangeAnswer | undefined> {
  const { name, storage } = was.target;
  const host = world.node();
  if ('bad' in host) return undefined;
  const now = await onEntry(world.tools.perl, { storage, pool: host.pool }, { act: 'read' });
  if (now.is === 'failed' || now.entry === undefined || !standsFor(now.entry, was.target, host.node)) return undefined;
  // Proxmox may have mounted the new one before it did not like it.
  if ((await unmountShare(world, mountedAt)) !== undefined) return undefined;
  declare(world.registry, was);
  const back = await defineStorage(world, name, true);
  return back.is === 'done'
    ? refusedBy('re-point', name, `Proxmox does not take it at its new address, at the old one it is as it was: ${why}`)
    : busyWith('re-point', name, `it is declared at its old address again, and not in use yet: ${back.text}; ${why}`);
}

/** Never lazy: what still writes there would go on writing where nobody looks. */
async function unmountShare(world: StorageWorld, path: string | undefined): Promise<string | undefined> {
  if (path === undefined || (await mountsAt(world.tools, path)).length === 0) return undefined;
  const { stderr } = await world.systemctl(['stop', `${escapePath(path)}.mount`]);
  if ((await mountsAt(world.tools, path)).length === 0) return undefined;
  return `what was mounted at ${path} is in use, or its server hangs; restarting the host lets go of it: ${stderr.trim().slice(0, 300)}`;
}
