/**
 * A server that moved: the same target under another address, certificate, user or credential. What Proxmox can change in its
 * entry it changes. Where it cannot, the entry is replaced by another one, and only while no guest has a volume there: that
 * would get another place under its old name. The same twice does it once, and goes on where the first ended.
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
import type { ChangeAnswer, StorageWorld } from './world.ts';

export interface RePointPlan {
  readonly declared: DeclaredTarget;
  readonly to: StorageTarget;
  /** Its entry has to be replaced: where the old one had the share mounted, if it was a share. */
  readonly replaces: { readonly mountedAt: string | undefined } | undefined;
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
  const isOf = (target: StorageTarget): boolean =>
    entry.entry === undefined || !fixedDiffers(entry.entry, entryOf({ target, state: 'attached' }, host.node));
  const replaces = !isOf(to);
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
  return { is: 'plan', plan: { declared, to, replaces: replaces ? { mountedAt: path } : undefined } };
}

const fixedDiffers = (found: EntryOptions, wanted: EntryOptions): boolean =>
  entryDifferences(found, wanted).some(({ fixed }) => fixed);

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
  const kept = replaces === undefined ? undefined : await replaceEntry(world, to, replaces.mountedAt);
  if (kept !== undefined) return begun(kept);
  const defined = await defineStorage(world, name, true);
  if (defined.is !== 'done') return begun(defined.text);
  declare(world.registry, moved);
  return { is: 'done' };
}

/** `undefined`: it is another one now; else why it is not. */
async function replaceEntry(
  world: StorageWorld,
  to: StorageTarget,
  mountedAt: string | undefined,
): Promise<string | undefined> {
  const host = world.node();
  if ('bad' in host) return host.bad;
  const place = { storage: to.storage, pool: host.pool };
  // Proxmox mounts again what is switched on.
  const off = await onEntry(world.tools.perl, place, { act: 'update', params: { disable: '1' }, remove: [] });
  if (off.is === 'failed') return off.text;
  const left = mountedAt === undefined ? undefined : await unmountShare(world, mountedAt);
  if (left !== undefined) return left;
  const secret = 'credential' in to ? await readCredential(world, to.credential) : undefined;
  const params = {
    ...entryOf({ target: to, state: 'attached' }, host.node),
    ...(secret?.is === 'secret' ? { password: secret.secret } : {}),
  };
  const replaced = await onEntry(world.tools.perl, place, { act: 'replace', params });
  return replaced.is === 'failed' ? replaced.text : undefined;
}

/** Never lazy: what still writes there would go on writing where nobody looks. */
async function unmountShare(world: StorageWorld, path: string): Promise<string | undefined> {
  if ((await mountsAt(world.tools, path)).length === 0) return undefined;
  const { stderr } = await world.systemctl(['stop', `${escapePath(path)}.mount`]);
  if ((await mountsAt(world.tools, path)).length === 0) return undefined;
  return `what was mounted at ${path} is in use, or its server hangs; restarting the host lets go of it: ${stderr.trim().slice(0, 300)}`;
}
