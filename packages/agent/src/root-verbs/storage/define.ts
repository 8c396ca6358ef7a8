/**
 * `storage-define`: makes the entry of Proxmox what the declaration says, and puts it into the agent's pool [R5]. An entry
 * that no declaration names is never touched, and one that stands for another thing is never led elsewhere.
 */
import { entryOf } from '../../storage-entry.ts';
import type { DeclaredTarget } from '../../storage-manifest.ts';
import { readCredential } from './credentials.ts';
import { entryChange } from './entry.ts';
import type { EntryChange } from './entry.ts';
import { onEntry } from './proxmox.ts';
import type { FoundEntry } from './proxmox.ts';
import { declaredIn } from './registry.ts';
import { busyWith, refusedBy } from './world.ts';
import type { StorageAnswer, StorageWorld } from './world.ts';

/**
 * The same twice does it once; `rewrite`: writes what Proxmox shows nobody, the password, even where all else is right.
 * Throws where it is not known what the entry says in the end.
 */
export async function defineStorage(world: StorageWorld, name: string, rewrite = false): Promise<StorageAnswer> {
  const verb = 'define the storage of';
  const found = declaredIn(world.registry, name);
  if (found.is !== 'declared') return { is: found.is, text: `cannot ${verb} ${name}: ${found.text}` };
  const { declared } = found;
  const host = world.node();
  if ('bad' in host) return busyWith(verb, name, host.bad);
  const { target } = declared;
  const place = { storage: target.storage, pool: host.pool };
  const before = await onEntry(world.tools.perl, place, { act: 'read' });
  if (before.is === 'failed') return busyWith(verb, name, before.text);
  const change = changeOf(world, declared, host.node, before);
  if (change.is === 'other')
    return refusedBy(verb, name, `${target.storage} stands for something else: ${change.text}`);
  // Nothing to put out of use.
  if (change.is === 'create' && declared.state !== 'attached') return { is: 'done' };
  if (change.is === 'same' && before.pooled && !rewrite) return { is: 'done' };
  const params = change.is === 'same' ? {} : change.params;
  const secret = await passwordOf(world, declared);
  if ('bad' in secret) return refusedBy(verb, name, secret.bad);
  const asked = { ...params, ...secret };
  const after = await onEntry(
    world.tools.perl,
    place,
    change.is === 'create'
      ? { act: 'create', params: asked }
      : { act: 'update', params: asked, remove: change.is === 'update' ? change.remove : [] },
  );
  // Whatever was answered: what is there now tells.
  const now = after.is === 'found' ? after : await onEntry(world.tools.perl, place, { act: 'read' });
  if (now.is === 'failed') throw new Error(`cannot tell what became of ${target.storage}: ${now.text}`);
  if (now.pooled && changeOf(world, declared, host.node, now).is === 'same') return { is: 'done' };
  const why = after.is === 'failed' ? after.text : 'Proxmox wrote something else';
  if (JSON.stringify(now.entry) === JSON.stringify(before.entry)) return busyWith(verb, name, why);
  throw new Error(`cannot make ${target.storage} what was declared: ${why}`);
}

/** What would be done to the entry of a target, for those who only want to see it. */
export const changeOf = (
  { mountRoot }: Pick<StorageWorld, 'mountRoot'>,
  declared: DeclaredTarget,
  node: string,
  found: Pick<FoundEntry, 'entry'>,
): EntryChange => entryChange(found.entry, entryOf(declared, node, mountRoot));

/** Whenever something is written: nobody sees whether the one that Proxmox has is still right. */
async function passwordOf(
  world: StorageWorld,
  { target, state }: DeclaredTarget,
): Promise<{ readonly password?: string } | { readonly bad: string }> {
  if (!('credential' in target) || state !== 'attached') return {};
  const read = await readCredential(world, target.credential);
  if (read.is === 'secret') return { password: read.secret };
  if (read.is === 'bad') return { bad: `the credential ${target.credential} cannot be read: ${read.text}` };
  return {
    bad: `there is no credential ${target.credential}; as root, on stdin: felhom-agent storage credential ${target.credential}`,
  };
}
