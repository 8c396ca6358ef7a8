/**
 * The stock client of Proxmox Backup Server, for one snapshot of one storage as Proxmox has it configured. Passwords and
 * keys are read by name only: neither is ever in an argument or an answer [R44].
 */
import { join } from 'node:path';
import type { VolumeId } from '@felhom/protocol';
import type { CommandEnd, HostCommand } from '../../ports/host-command.ts';
import { readSmall } from './node-guests.ts';
import type { NodePlaces } from './node-guests.ts';

export interface PbsSnapshot {
  /** `ct/9001/2026-11-24T00:46:17Z`. */
  readonly snapshot: string;
  /** `ct/9001`. */
  readonly group: string;
  /** Seconds since the epoch, which name the snapshot in its group. */
  readonly takenAt: number;
  /** Server, datastore, namespace and certificate: what a copy lies on. */
  readonly repository: string;
  /** The key that the storage has now; `undefined` = none. */
  readonly key: { readonly file: string; readonly text: string } | undefined;
  readonly client: (...args: readonly string[]) => Promise<CommandEnd>;
}

export type PbsAnswer =
  { readonly is: 'found'; readonly pbs: PbsSnapshot } | { readonly is: 'refused'; readonly why: string };

const snapshotId = /^([A-Za-z][A-Za-z0-9_.-]*):backup\/(((?:ct|vm)\/[1-9]\d{2,8})\/(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ))$/;

/** Whether the id is of a snapshot on such a server, by its form. */
export const isPbsSnapshot = (archive: VolumeId): boolean => snapshotId.test(archive);

/** `env`: with variables and the client behind it, because that is how the client is told all but names. */
export function pbsSnapshot(places: NodePlaces, env: HostCommand, archive: VolumeId): PbsAnswer {
  const [, storage, snapshot, group, time] = snapshotId.exec(archive) ?? [];
  if (storage === undefined || snapshot === undefined || group === undefined || time === undefined)
    return { is: 'refused', why: 'it is not the volume id of a snapshot on Proxmox Backup Server' };
  const secrets = join(places.etcPve, 'priv/storage');
  const keyFile = join(secrets, `${storage}.enc`);
  const entry = storageOf(readSmall(join(places.etcPve, 'storage.cfg'))?.text ?? '', storage);
  const text = readSmall(keyFile)?.text;
  const server = entry?.['server'];
  const datastore = entry?.['datastore'];
  if (entry === undefined || server === undefined || datastore === undefined)
    return { is: 'refused', why: `${storage} is no storage on Proxmox Backup Server` };
  const host = server.includes(':') ? `[${server}]` : server;
  const port = entry['port'] === undefined ? '' : `:${entry['port']}`;
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
  const named = [server, entry['port'] ?? '8007', datastore, entry['namespace'] ?? '', entry['fingerprint'] ?? ''];
  return {
    is: 'found',
    pbs: {
      snapshot,
      group,
      takenAt: Date.parse(time) / 1000,
      repository: `pbs:${named.join(':')}`,
      key: text === undefined ? undefined : { file: keyFile, text },
      client: (...args) => env([...variables, '/usr/bin/proxmox-backup-client', ...args, ...where]),
    },
  };
}

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
