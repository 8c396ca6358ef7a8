/**
 * `key-test`: whether the key that a storage has now opens an encrypted snapshot on Proxmox Backup Server: the stock client
 * decrypts the guest's config in it. Root reads keys and passwords by name only: neither is ever in an argument or an
 * answer [R44].
 */
import { join } from 'node:path';
import type { VolumeId } from '@felhom/protocol';
import { z } from 'zod';
import type { HostCommand } from '../../ports/host-command.ts';
import type { KeyTest } from '../../ports/host-helper.ts';
import { said } from './answer.ts';
import { readSmall } from './node-guests.ts';
import type { NodePlaces } from './node-guests.ts';

export type KeyAnswer =
  { readonly is: 'done'; readonly keyTest: KeyTest } | { readonly is: 'refused' | 'busy'; readonly text: string };

const snapshotId = /^([A-Za-z][A-Za-z0-9_.-]*):backup\/((?:ct|vm)\/[1-9]\d{2,8}\/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)$/;

/** `env`: with variables and the client behind it, because that is how the client is told all but names. */
export async function keyTest(places: NodePlaces, env: HostCommand, archive: VolumeId): Promise<KeyAnswer> {
  const say = said(`cannot test the key of ${archive}`);
  const [, storage, snapshot] = snapshotId.exec(archive) ?? [];
  if (storage === undefined || snapshot === undefined)
    return say.not({ is: 'refused', why: 'it is not the volume id of a snapshot on Proxmox Backup Server' });
  const secrets = join(places.etcPve, 'priv/storage');
  const keyFile = join(secrets, `${storage}.enc`);
  const found = say.proof(() => {
    const entry = storageOf(readSmall(join(places.etcPve, 'storage.cfg'))?.text ?? '', storage);
    const key = readSmall(keyFile)?.text;
    return { is: 'found' as const, entry, fingerprint: key === undefined ? undefined : fingerprintOf(key) };
  });
  if (found.is !== 'found') return say.not(found);
  const { entry, fingerprint } = found;
  const server = entry?.['server'];
  const datastore = entry?.['datastore'];
  if (entry === undefined || server === undefined || datastore === undefined)
    return say.not({ is: 'refused', why: `${storage} is no storage on Proxmox Backup Server` });
  const port = entry['port'] === undefined ? '' : `:${entry['port']}`;
  const host = server.includes(':') ? `[${server}]` : server;
  const variables = [
    'HOME=/root',
    `PBS_PASSWORD_FILE=${join(secrets, `${storage}.pw`)}`,
    ...(entry['fingerprint'] === undefined ? [] : [`PBS_FINGERPRINT=${entry['fingerprint']}`]),
  ];
  const where = [
    '--repository',
    `${entry['username'] ?? 'root@pam'}@${host}${port}:${datastore}`,
    ...(entry['namespace'] === undefined ? [] : ['--ns', entry['namespace']]),
  ];
  const client = (...args: string[]) => env([...variables, '/usr/bin/proxmox-backup-client', ...args, ...where]);
  try {
    const listed = await client('snapshot', 'files', snapshot, '--output-format', 'json');
    if (listed.code !== 0) return say.not({ is: 'busy', why: listed.stderr });
    const files = snapshotFiles.safeParse(JSON.parse(listed.stdout));
    const blob = files.success ? files.data.find(({ filename }) => configBlob.test(filename)) : undefined;
    if (blob === undefined) return say.not({ is: 'busy', why: 'its list names no config' });
    if (blob['crypt-mode'] !== 'encrypt') return { is: 'done', keyTest: { is: 'not-encrypted' } };
    if (fingerprint === undefined) return wrong('the storage has no key that reads');
    const name = blob.filename.replace(/\.blob$/, '');
    const opened = await client('restore', snapshot, name, '-', '--keyfile', keyFile);
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

type Entry = Readonly<Record<string, string>>;

/** PVE: SectionConfig.pm: `pbs: NAME`, then a line for each property, indented. */
function storageOf(text: string, storage: string): Entry | undefined {
  const found: Record<string, string> = Object.create(null) as Record<string, string>;
  let inside = false;
  let isThere = false;
  for (const line of text.split('\n')) {
    const [, type, name] = /^([a-z]+): *(\S+) *$/.exec(line) ?? [];
    if (name !== undefined) {
      inside = type === 'pbs' && name === storage;
      isThere ||= inside;
    }
    const [, key = '', value = ''] = /^\s+([a-z-]+) (.*)$/.exec(line) ?? [];
    if (inside && key !== '') found[key] = value.trim();
  }
  return isThere ? found : undefined;
}

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
