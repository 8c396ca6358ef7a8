/**
 * What a host says of itself besides its guests. Two kinds: *states*, which change when something happens and are part of
 * the report; and *vitals*, numbers that change all the time and travel beside it, so that an unchanged host stays a
 * heartbeat. A reader gets vitals of now or none.
 */
import { z } from 'zod';
import { storageId } from './ids.ts';
import { targetBinding, targetName } from './storage-target.ts';

const shortText = z.string().max(200);
const longText = z.string().max(1000);
const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
/** Milliseconds since the epoch on the host's clock. */
const hostTime = count;
const percent = z.number().min(0).max(100);

export const targetStates = ['attached', 'disconnected', 'decommissioned'] as const;

export const reportedTarget = z.strictObject({
  name: targetName,
  type: z.enum(['local-dir', 'usb', 'nfs', 'cifs', 'pbs']),
  storage: storageId,
  role: z.enum(['primary', 'vzdump-target', 'pbs-offsite', 'bulk-data']),
  class: z.enum(['fast', 'slow']),
  /** Random reads per second as measured when it was attached; absent: not measured. */
  iops: count.optional(),
  /** As `targetIdentity` names it. */
  identity: z.string().max(400),
  /** What a signed job about it has to name. Absent where an older agent reports. */
  binding: targetBinding.optional(),
  offsite: z.boolean(),
  state: z.enum(targetStates),
  /** Of this state. */
  since: hostTime,
  /** Why it is not attached; empty where it is. */
  why: longText,
  /** It comes and goes: `since` is of the first time. */
  flapping: z.boolean().default(false),
});
export type ReportedTarget = z.output<typeof reportedTarget>;

export const reportedTunnel = z.discriminatedUnion('is', [
  /** This host has none. */
  z.strictObject({ is: z.literal('none') }),
  z.strictObject({ is: z.literal('up'), since: hostTime }),
  /** The internet is there and the tunnel is not: the tunnel's own trouble. */
  z.strictObject({ is: z.literal('down'), since: hostTime, why: longText }),
  z.strictObject({ is: z.literal('no-internet'), since: hostTime, why: longText }),
  z.strictObject({ is: z.literal('unknown'), why: longText }),
]);
export type ReportedTunnel = z.output<typeof reportedTunnel>;

export const reportedDisk = z.strictObject({
  /** As the kernel names it now, e.g. `sda`. */
  device: z.string().max(40),
  model: shortText,
  serial: shortText,
  /** SMART's own verdict. */
  health: z.enum(['passed', 'failed', 'unknown']),
  /** Percent of an SSD's life that is used up. */
  wornPercent: percent.optional(),
});
export type ReportedDisk = z.output<typeof reportedDisk>;

/** Numbers of now. */
export const hostVitals = z.strictObject({
  at: hostTime,
  uptimeSeconds: count,
  cpuPercent: percent.optional(),
  load1: z.number().min(0).optional(),
  memory: z.strictObject({ usedBytes: count, totalBytes: count }).optional(),
  /** Of the file system that `/` is on. */
  rootDisk: z.strictObject({ usedBytes: count, totalBytes: count }).optional(),
  /** Percent of the last minute in which something waited for it (pressure stall information, `some avg60`). */
  pressure: z.strictObject({ cpu: percent, memory: percent, io: percent }).optional(),
  /** The hottest sensor, degrees Celsius. */
  hottestC: z.number().min(-50).max(200).optional(),
  targets: z
    .array(z.strictObject({ name: targetName, usedBytes: count, totalBytes: count }))
    .max(64)
    .default([]),
});
export type HostVitals = z.output<typeof hostVitals>;
