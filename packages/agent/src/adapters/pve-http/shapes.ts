/**
 * The shapes of Proxmox's answers, as far as the agent uses them. Proxmox sends numbers as numbers or as strings
 * depending on the code path, and leaves keys out: everything is normalised here and trusted further in. Unknown keys
 * are dropped, so that a newer Proxmox does not break an older agent.
 */
import { storageId, vmid, volumeId } from '@felhom/protocol';
import type { Upid } from '@felhom/protocol';
import { z } from 'zod';

const number = z.union([z.number(), z.string().regex(/^-?\d+(?:\.\d+)?$/)]).transform(Number);
const count = number.nullish().transform((n) => n ?? 0);
const flag = z
  .union([z.number(), z.string(), z.boolean()])
  .nullish()
  .transform((value) => value === true || value === 1 || value === '1');
const optionalText = z
  .string()
  .nullish()
  .transform((text) => text ?? undefined);
/** Config values whatever JSON type Proxmox chose, as the text that stands in the file. */
const scalar = z.union([z.string(), z.number(), z.boolean()]).transform((value) => {
  if (typeof value === 'boolean') return value ? '1' : '0';
  return String(value);
});
const guestId = number.pipe(vmid);

const upidPattern = /^UPID:[^:]+:[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:[0-9A-Fa-f]{8}:[^:/]+:[^:/]*:[^:]+:$/;
export const upid = z
  .string()
  .regex(upidPattern)
  .transform((text) => text as Upid);

const tags = z
  .string()
  .nullish()
  .transform((text) => (text ?? '').split(/[;, ]+/).filter((tag) => tag !== ''));

function guestState(status: string | null | undefined): 'running' | 'stopped' | 'unknown' {
  return status === 'running' || status === 'stopped' ? status : 'unknown';
}

export const guestRows = z.array(
  z
    .object({
      vmid: guestId,
      name: optionalText,
      status: z.string().nullish(),
      lock: optionalText,
      tags,
      cpus: count,
      maxmem: count,
      maxdisk: count,
      uptime: count,
    })
    .transform((row) => ({
      vmid: row.vmid,
      name: row.name ?? '',
      status: guestState(row.status),
      lock: row.lock,
      tags: row.tags,
      cpus: row.cpus,
      maxMemBytes: row.maxmem,
      maxDiskBytes: row.maxdisk,
      uptimeSeconds: row.uptime,
    })),
);

/** Raw `lxc.*` lines come as pairs; they become one value of lines, so that an audit sees the key `lxc`. */
const rawLines = z.array(z.array(z.string())).transform((pairs) => pairs.map((pair) => pair.join(' = ')).join('\n'));

export const guestConfig = z
  .record(z.string(), z.union([scalar, rawLines]))
  .transform(({ digest, lock, ...values }) => ({
    digest: digest ?? '',
    lock,
    values,
  }));

export const pendingChanges = z.array(
  z
    .object({ key: z.string(), value: scalar.optional(), pending: scalar.optional(), delete: number.nullish() })
    .transform((row) => ({
      key: row.key,
      value: row.value,
      pending: row.pending,
      delete: (row.delete ?? 0) > 0,
    })),
);

export const guestStatus = z
  .object({ status: z.enum(['running', 'stopped']), lock: optionalText, uptime: count, maxdisk: count })
  .transform((row) => ({
    status: row.status,
    lock: row.lock,
    uptimeSeconds: row.uptime,
    maxDiskBytes: row.maxdisk,
  }));

/** `current` is no snapshot but the guest as it is. */
export const snapshotRows = z
  .array(
    z
      .object({
        name: z.string(),
        description: optionalText,
        snaptime: number.nullish(),
        parent: optionalText,
        snapstate: optionalText,
      })
      .transform((row) => ({
        name: row.name,
        description: (row.description ?? '').trimEnd(),
        takenAt: row.snaptime ?? undefined,
        parent: row.parent,
        state: row.snapstate,
      })),
  )
  .transform((rows) => rows.filter((row) => row.name !== 'current'));

export const hasFeature = z.object({ hasFeature: number }).transform((answer) => answer.hasFeature > 0);

export const taskState = z.object({ status: z.string(), exitstatus: optionalText });

export const taskLog = z.array(
  z.object({
    n: number,
    t: z
      .string()
      .nullish()
      .transform((text) => text ?? ''),
  }),
);

export const taskRows = z.array(
  z
    .object({
      upid: z.string(),
      type: z.string(),
      id: z.string().nullish(),
      user: z.string(),
      tokenid: z.string().nullish(),
      starttime: number,
      endtime: number.nullish(),
      status: optionalText,
    })
    .transform((row) => ({
      upid: row.upid as Upid,
      type: row.type,
      id: row.id ?? '',
      user: row.tokenid === undefined || row.tokenid === null ? row.user : `${row.user}!${row.tokenid}`,
      startTime: row.starttime,
      endTime: row.endtime ?? undefined,
      status: row.status,
    })),
);

/** What an option is depends on the type of storage; Perl makes texts of numbers and numbers of texts. */
export const storageEntries = z.array(
  z.looseObject({ storage: storageId }).transform(({ storage, ...options }) => ({
    storage,
    options: new Map(
      Object.entries(options).flatMap(([key, value]): [string, string][] =>
        typeof value === 'string' || typeof value === 'number' ? [[key, String(value)]] : [],
      ),
    ),
  })),
);

export const storageRows = z.array(
  z
    .object({
      storage: storageId,
      type: z.string(),
      content: z
        .string()
        .nullish()
        .transform((text) => (text ?? '').split(',').filter((kind) => kind !== '')),
      active: flag,
      enabled: flag,
      total: count,
      avail: count,
    })
    .transform((row) => ({
      storage: row.storage,
      type: row.type,
      content: row.content,
      active: row.active,
      enabled: row.enabled,
      totalBytes: row.total,
      availableBytes: row.avail,
    })),
);

export const storeItems = z.array(
  z
    .object({
      volid: volumeId,
      content: z.string(),
      vmid: number.nullish(),
      size: count,
      ctime: number.nullish(),
      notes: optionalText,
      protected: flag,
      // A fingerprint, or 1 where the server does not tell it. PVE: Storage/PBSPlugin.pm list_volumes.
      encrypted: z.union([z.string(), z.number()]).nullish(),
      verification: z
        .object({ state: z.enum(['ok', 'failed']) })
        .nullish()
        .catch(undefined),
    })
    .transform((row) => ({
      volid: row.volid,
      content: row.content,
      vmid: row.vmid ?? undefined,
      sizeBytes: row.size,
      ctime: row.ctime ?? undefined,
      notes: row.notes,
      protected: row.protected,
      ...(row.encrypted === undefined || row.encrypted === null || row.encrypted === 0
        ? {}
        : { encrypted: String(row.encrypted) }),
      ...(row.verification === undefined || row.verification === null ? {} : { verified: row.verification.state }),
    })),
);

export const version = z.object({ version: z.string(), release: z.string() });

/** Path → privileges. The value says whether the privilege propagates; either way it holds on the path itself. */
export const permissions = z
  .record(z.string(), z.record(z.string(), z.unknown()))
  .transform((paths) => new Map(Object.entries(paths).map(([path, held]) => [path, new Set(Object.keys(held))])));

/** Words of smartctl as Proxmox hands them on: `PASSED`, `OK` of SAS, `FAILED!`. PVE: Diskmanage.pm get_smart_data. */
function diskHealth(text: string | undefined): 'passed' | 'failed' | 'unknown' {
  if (text === 'PASSED' || text === 'OK') return 'passed';
  return text !== undefined && /^FAIL/i.test(text) ? 'failed' : 'unknown';
}

export const diskRows = z.array(
  z
    .object({
      devpath: z.string(),
      model: optionalText,
      serial: optionalText,
      health: optionalText,
      // What is left, in percent; `N/A` of a disk that does not wear.
      wearout: z.union([z.number(), z.string()]).nullish(),
    })
    .transform((row) => {
      const left = row.wearout === undefined || row.wearout === null || row.wearout === '' ? NaN : Number(row.wearout);
      return {
        device: row.devpath.replace(/^\/dev\//, '').slice(0, 40),
        model: (row.model ?? 'unknown').slice(0, 200),
        serial: (row.serial ?? 'unknown').slice(0, 200),
        health: diskHealth(row.health),
        wornPercent: Number.isFinite(left) ? Math.min(100, Math.max(0, 100 - left)) : undefined,
      };
    }),
);

/** Of users that the caller may see, itself included; with `full` their tokens too. 0: it never ends. */
export const users = z.array(
  z.object({
    userid: z.string(),
    expire: count,
    tokens: z.array(z.object({ tokenid: z.string(), expire: number.nullish() })).nullish(),
  }),
);

export const nodeTime = z.object({ time: number });

export const packageVersions = z.array(
  z.object({
    Package: z.string(),
    OldVersion: z.string().nullish(),
    Version: z.string().nullish(),
    CurrentState: z.string().nullish(),
  }),
);

/** `zpool list`; absent where ZFS is not installed. PVE: API2/Disks/ZFS.pm index. */
export const zfsPools = z.array(
  z.object({ name: z.string(), health: z.string(), size: z.coerce.number(), alloc: z.coerce.number() }),
);

/** `zpool status` of one. PVE: API2/Disks/ZFS.pm detail. */
export const zfsPool = z.object({ errors: z.string().nullish() });

/** Bytes. PVE: API2/Disks/LVMThin.pm index. */
export const thinPools = z.array(
  z.object({
    lv: z.string(),
    vg: z.string(),
    lv_size: z.coerce.number(),
    used: z.coerce.number(),
    metadata_size: z.coerce.number(),
    metadata_used: z.coerce.number(),
  }),
);
