/**
 * A storage target as operators declare it: what it is, how it is told from any other, and what it is for. On the host
 * the declarations lie in a root-owned file that only the root helper writes; a new or changed one discloses, so it
 * takes a signature or root at the host [R15]. No secret is in it: a credential is named, never spelled.
 */
import { z } from 'zod';
import { digestOfText } from './desired-state.ts';
import { digest, storageId } from './ids.ts';

export const targetName = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,22}[a-z0-9])?$/, 'lower-case letters, digits and -, at most 24');

/** What `blkid` calls UUID: hex digits and dashes, whatever the file system makes of them. */
const fsUuid = z.string().regex(/^[0-9A-Fa-f]{4}(?:[0-9A-Fa-f-]{0,34}[0-9A-Fa-f])$/, 'a file system UUID');
const serial = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._+:-]{0,79}$/, 'a serial number');
/** A host name or address; nothing that a mount helper could take for an option. */
const server = z.string().regex(/^[A-Za-z0-9](?:[A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?$/, 'a host name or an address');
const remotePath = z.string().regex(/^(?:\/[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}){1,12}$/, 'an absolute path');
const word = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,59}$/);
const credential = z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/, 'the name of a credential');

const common = {
  name: targetName,
  /** The entry of Proxmox that stands for it. */
  storage: storageId,
  role: z.enum(['primary', 'vzdump-target', 'pbs-offsite', 'bulk-data']),
  class: z.enum(['fast', 'slow']),
  /** Away from this host: what is left when it burns. */
  offsite: z.boolean().default(false),
};

const disk = {
  ...common,
  uuid: fsUuid,
  fileSystem: z.enum(['ext4', 'xfs', 'btrfs']),
  /** Of the device, because a UUID can be copied [R8]. */
  serial: serial.optional(),
};

export const storageTarget = z
  .discriminatedUnion('type', [
    /** A file system on a disk that stays. */
    z.strictObject({ type: z.literal('local-dir'), ...disk }),
    /** The same on one that may be pulled. */
    z.strictObject({ type: z.literal('usb'), ...disk }),
    z.strictObject({ type: z.literal('nfs'), ...common, server, export: remotePath }),
    z.strictObject({ type: z.literal('cifs'), ...common, server, share: word, user: word, credential }),
    z.strictObject({
      type: z.literal('pbs'),
      ...common,
      server,
      port: z.number().int().min(1).max(65_535).default(8007),
      datastore: word,
      namespace: z
        .string()
        .regex(/^[A-Za-z0-9_][A-Za-z0-9_-]{0,60}(?:\/[A-Za-z0-9_][A-Za-z0-9_-]{0,60}){0,6}$/)
        .optional(),
      /** `USER@REALM` or `USER@REALM!TOKEN`. */
      user: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,59}@[a-z0-9-]{1,20}(?:![A-Za-z0-9][A-Za-z0-9._-]{0,59})?$/),
      credential,
      /** SHA-256 of the certificate as Proxmox writes it. */
      fingerprint: z.string().regex(/^(?:[0-9a-f]{2}:){31}[0-9a-f]{2}$/, 'AA:BB:… of 32 bytes, in lower case'),
    }),
  ])
  .refine(({ type, role }) => (type === 'pbs') === (role === 'pbs-offsite'), 'pbs and pbs-offsite belong together');
export type StorageTarget = z.output<typeof storageTarget>;
export type TargetType = StorageTarget['type'];

/** A file system on a disk of the host; all others are servers, which Proxmox mounts or asks by itself. */
export type DiskTarget = Extract<StorageTarget, { type: 'local-dir' | 'usb' }>;
export const isDisk = (target: StorageTarget): target is DiskTarget =>
  target.type === 'local-dir' || target.type === 'usb';

/** Whether data that goes there leaves the host. */
export const leavesHost = (target: StorageTarget): boolean => !isDisk(target);

/**
 * What tells the target from any other, as signatures and reports name it: `ext4:<uuid>` of a disk, which is also how the
 * helper names the device below an archive; `nfs:<server>:<export>`; `cifs:<server>/<share>`;
 * `pbs:<server>:<port>:<datastore>:<namespace>:<fingerprint>`.
 */
export function targetIdentity(target: StorageTarget): string {
  switch (target.type) {
    case 'local-dir':
    case 'usb':
      return `${target.fileSystem}:${target.uuid}`;
    case 'nfs':
      return `nfs:${target.server}:${target.export}`;
    case 'cifs':
      return `cifs:${target.server}/${target.share}`;
    case 'pbs':
      return `pbs:${target.server}:${target.port}:${target.datastore}:${target.namespace ?? ''}:${target.fingerprint}`;
  }
}

/**
 * What a signature about a declared target binds, and what the host reports for it. The mark itself is in neither: it is
 * what a copy of the disk lacks, so whoever read it in a report or in a mailbox could make a copy that has it [R8].
 */
export const targetBinding = z.strictObject({
  /** As declared; `-` where none is. */
  serial: z.string().min(1).max(300),
  /** Of the file system; of a server its identity. */
  uuid: z.string().min(1).max(400),
  /** Digest of the mark. */
  idFile: digest,
});
export type TargetBinding = z.output<typeof targetBinding>;

/** `mark`: 32 hex digits, as root drew them when the target was attached. */
export const bindingOf = (target: StorageTarget, mark: string): TargetBinding => ({
  serial: (isDisk(target) ? target.serial : undefined) ?? '-',
  uuid: isDisk(target) ? target.uuid : targetIdentity(target),
  idFile: digestOfText(mark),
});

/** Fields in which a server that moved may differ: where it is, how it is known, and as whom the host comes. */
const movable: readonly string[] = [
  'server',
  'export',
  'share',
  'port',
  'datastore',
  'namespace',
  'fingerprint',
  'user',
  'credential',
];

/** Why the second declaration is not the first one at another address; `undefined`: it is. */
export function notMoved(from: StorageTarget, to: StorageTarget): string | undefined {
  if (isDisk(from) || isDisk(to)) return 'a disk has no address: attach the new one under a new name';
  const before: Readonly<Record<string, unknown>> = from;
  const after: Readonly<Record<string, unknown>> = to;
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  const other = [...keys].find((key) => before[key] !== after[key] && !movable.includes(key));
  return other === undefined
    ? undefined
    : `its ${other} would be ${String(after[other])} and not ${String(before[other])}: that is another target`;
}
