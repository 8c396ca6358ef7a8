/**
 * Who the guest is: machine-id and SSH host keys, as the directive of its host says [R47]. An image is sealed by an empty
 * machine-id and no host keys, and what is missing is made at any start. A copy of a used guest carries a set identity, so
 * a directive replaces it: once per occasion, since the environment stays the same over restarts.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { guestPaths } from './paths.ts';
import type { GuestFiles, HostKeys, Random } from './ports.ts';
import { readRecord, writeRecord } from './record.ts';
import type { RecordKind } from './record.ts';

export const identityDirectives = ['fresh', 'continue', 'test', 'none'] as const;
export type IdentityDirective = (typeof identityDirectives)[number];

/** The identity that the guest has, and the occasion for which it was last made anew. */
const identityRecord: RecordKind<{ v: 1; machine: string; occasion: string }> = {
  path: guestPaths.identity,
  schema: z.object({ v: z.literal(1), machine: z.string(), occasion: z.string() }),
};

interface IdentityNeeds {
  readonly files: GuestFiles;
  readonly random: Random;
  readonly hostKeys: HostKeys;
}

export const parseDirective = (text: string | undefined): IdentityDirective =>
  identityDirectives.find((known) => known === text) ?? 'none';

/**
 * Carries the directive out. `occasion`: what makes this `fresh` another one than the last, e.g. the digest of the claim.
 * Twice is once.
 */
export async function obeyIdentity(
  needs: IdentityNeeds,
  directive: IdentityDirective,
  occasion: string,
): Promise<'kept' | 'made'> {
  const { files, random } = needs;
  const machine = await machineId(files);
  const held = await readRecord(files, identityRecord);
  const record = held.is === 'held' ? held.value : undefined;
  const here = `${directive}:${occasion}`;
  const wanted = (directive === 'fresh' || directive === 'test') && record?.occasion !== here;
  // A new machine-id beside old host keys: a clone of Proxmox truncates the one and knows nothing of the others.
  const foreign = record !== undefined && machine !== undefined && record.machine !== sha256(machine);
  const keysMissing = !(await hostKeyNames(files)).some((name) => name.endsWith('.pub'));
  if (!wanted && !foreign && !keysMissing && machine !== undefined && record !== undefined) return 'kept';

  const id = machine === undefined || wanted ? hex(random.bytes(16)) : machine;
  if (id !== machine) await files.write(guestPaths.machineId, new TextEncoder().encode(`${id}\n`), 0o444);
  if (wanted || foreign || keysMissing || machine === undefined) {
    for (const name of await hostKeyNames(files)) await files.remove(`${guestPaths.sshFolder}/${name}`);
    await needs.hostKeys.make();
  }
  // Last: until then the next start does all of it again.
  await writeRecord(files, identityRecord, {
    v: 1,
    machine: sha256(id),
    occasion: wanted ? here : (record?.occasion ?? here),
  });
  return wanted || foreign || machine === undefined ? 'made' : 'kept';
}

/** `undefined` while it is empty or missing. */
export async function machineId(files: GuestFiles): Promise<string | undefined> {
  const bytes = await files.read(guestPaths.machineId, 200);
  const text = bytes === undefined ? '' : new TextDecoder().decode(bytes).trim();
  return /^[0-9a-f]{32}$/.test(text) ? text : undefined;
}

async function hostKeyNames(files: GuestFiles): Promise<string[]> {
  const entries = await files.list(guestPaths.sshFolder);
  return entries.map(({ name }) => name).filter((name) => /^ssh_host_[a-z0-9]+_key(?:\.pub)?$/.test(name));
}

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
