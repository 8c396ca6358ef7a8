/** `credential-test`: whether root can open the sealed credential of a declared target. It is opened, and goes nowhere. */
import { readCredential } from './credentials.ts';
import { declaredIn } from './registry.ts';
import { busyWith, refusedBy } from './world.ts';
import type { StorageAnswer, StorageWorld } from './world.ts';

export async function testCredential(world: StorageWorld, name: string): Promise<StorageAnswer> {
  const found = declaredIn(world.registry, name);
  if (found.is !== 'declared') return { is: found.is, text: `cannot open the credential of ${name}: ${found.text}` };
  const { target } = found.declared;
  if (!('credential' in target)) return refusedBy('open the credential of', name, 'it has none');
  const read = await readCredential(world, target.credential);
  return read.is === 'secret'
    ? { is: 'done' }
    : busyWith('open the credential of', name, read.is === 'none' ? 'there is none of this name' : read.text);
}
