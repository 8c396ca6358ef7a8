/**
 * `key-test`: whether the key that a storage has now opens an encrypted snapshot on Proxmox Backup Server: the stock client
 * decrypts the guest's config in it. Root reads keys and passwords by name only: neither is ever in an argument or an
 * answer [R44].
 */
import type { VolumeId } from '@felhom/protocol';
import { z } from 'zod';
import type { HostCommand } from '../../ports/host-command.ts';
import type { KeyTest } from '../../ports/host-helper.ts';
import { said } from './answer.ts';
import type { NodePlaces } from './node-guests.ts';
import { pbsSnapshot } from './pbs-client.ts';

export type KeyAnswer =
  { readonly is: 'done'; readonly keyTest: KeyTest } | { readonly is: 'refused' | 'busy'; readonly text: string };

/** `env`: see `pbsSnapshot`. */
export async function keyTest(places: NodePlaces, env: HostCommand, archive: VolumeId): Promise<KeyAnswer> {
  const say = said(`cannot test the key of ${archive}`);
  const found = say.proof(() => pbsSnapshot(places, env, archive));
  if (found.is !== 'found') return say.not(found);
  const { snapshot, key, client } = found.pbs;
  const fingerprint = key === undefined ? undefined : fingerprintOf(key.text);
  try {
    const listed = await client('snapshot', 'files', snapshot, '--output-format', 'json');
    if (listed.code !== 0) return say.not({ is: 'busy', why: listed.stderr });
    const files = snapshotFiles.safeParse(JSON.parse(listed.stdout));
    const blob = files.success ? files.data.find(({ filename }) => configBlob.test(filename)) : undefined;
    if (blob === undefined) return say.not({ is: 'busy', why: 'its list names no config' });
    if (blob['crypt-mode'] !== 'encrypt') return { is: 'done', keyTest: { is: 'not-encrypted' } };
    if (key === undefined || fingerprint === undefined) return wrong('the storage has no key that reads');
    const name = blob.filename.replace(/\.blob$/, '');
    const opened = await client('restore', snapshot, name, '-', '--keyfile', key.file);
    if (opened.code === 0 && /^[a-z]+\d*: /m.test(opened.stdout))
      return { is: 'done', keyTest: { is: 'opens', fingerprint } };
    // PBS client: crypt config and manifest checks; both mean that bytes were there and the key did not fit.
    if (/wrong key|missing key|unable to decrypt|decryption failed/i.test(opened.stderr))
      return wrong(opened.stderr.trim());
    return say.not({ is: 'busy', why: opened.code === 0 ? 'what came out is no config' : opened.stderr });
  } catch (error) {
    return say.not({ is: 'busy', why: error instanceof SyntaxError ? 'the client answered no JSON' : String(error) });
  }
}

const wrong = (text: string): KeyAnswer => ({
  is: 'done',
  keyTest: { is: 'wrong-key', text: text.slice(0, 500) },
});

const configBlob = /^(?:pct|qemu-server)\.conf\.blob$/;

const snapshotFiles = z.array(
  z.object({ filename: z.string().max(200), 'crypt-mode': z.enum(['none', 'encrypt', 'sign-only']).optional() }),
);

const keyShape = z.object({ data: z.string(), fingerprint: z.string().max(200).optional() });

/** PBS: pbs-key-config. `undefined`: no key that the client could use. */
function fingerprintOf(text: string): string | undefined {
  try {
    const key = keyShape.parse(JSON.parse(text));
    return key.fingerprint ?? 'not written in the key';
  } catch {
    // Words of a parser would show what is in the key.
    return undefined;
  }
}
