/** The two documents between agent and helper. Strict on both sides: an unknown field means another version. */
import {
  digest,
  foundVolume,
  hostEpoch,
  manifestPath,
  manifestVolume,
  maxEnvelopeBytes,
  targetName,
  vmid,
  volumeId,
} from '@felhom/protocol';
import { z } from 'zod';

const operation = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,199}$/);
/** As the kernel names whole disks; no path, so nothing can be climbed. */
const diskName = z.string().regex(/^(?:sd[a-z]{1,2}|vd[a-z]{1,2}|nvme[0-9]{1,2}n[0-9]{1,2}|mmcblk[0-9]{1,2})$/);
const v = z.literal(1);

/**
 * Which opening of which journal asks: root refuses to change anything for one that was overtaken [R49]. Absent: of an agent
 * of an earlier release, or of a person's own script.
 */
const fence = z.strictObject({ epoch: hostEpoch, opening: z.number().int().min(0).max(999_999_999_999) }).optional();

export const helperRequest = z.discriminatedUnion('verb', [
  z.strictObject({ v, fence, verb: z.literal('volumes-of'), vmid }),
  z.strictObject({ v, fence, verb: z.literal('reap-stub'), operation, vmid, volumes: z.array(volumeId).max(256) }),
  z.strictObject({ v, fence, verb: z.literal('unlock'), operation, vmid }),
  z.strictObject({ v, fence, verb: z.literal('pool-ensure'), operation, vmid }),
  z.strictObject({ v, fence, verb: z.literal('tunnel-apply'), operation, envelope: z.string().max(maxEnvelopeBytes) }),
  z.strictObject({ v, fence, verb: z.literal('tunnel-restart'), operation }),
  z.strictObject({ v, fence, verb: z.literal('tunnel-show') }),
  z.strictObject({ v, fence, verb: z.literal('credential-test'), target: targetName }),
  z.strictObject({ v, fence, verb: z.literal('archive-digest'), archive: volumeId }),
  z.strictObject({
    v,
    fence,
    verb: z.literal('scratch-read'),
    vmid,
    volumes: z
      .array(z.strictObject({ path: manifestVolume.shape.path, samples: z.array(manifestPath).max(200) }))
      .min(1)
      .max(33),
  }),
  z.strictObject({ v, fence, verb: z.literal('guest-mounts'), vmid }),
  z.strictObject({ v, fence, verb: z.literal('key-test'), archive: volumeId }),
  z.strictObject({ v, fence, verb: z.literal('trust-update'), operation, envelope: z.string().max(maxEnvelopeBytes) }),
  z.strictObject({
    v,
    fence,
    verb: z.literal('break-glass-open'),
    operation,
    envelope: z.string().max(maxEnvelopeBytes),
  }),
  z.strictObject({ v, fence, verb: z.literal('break-glass-close'), operation }),
  z.strictObject({ v, fence, verb: z.literal('break-glass-show') }),
  z.strictObject({
    v,
    fence,
    verb: z.literal('witness'),
    epoch: hostEpoch,
    count: z.number().int().min(0).max(999_999_999_999),
  }),
  z.strictObject({ v, fence, verb: z.literal('mount'), operation, target: targetName }),
  z.strictObject({ v, fence, verb: z.literal('unmount'), operation, target: targetName }),
  z.strictObject({ v, fence, verb: z.literal('storage-define'), operation, target: targetName }),
  z.strictObject({ v, fence, verb: z.literal('target-apply'), operation, envelope: z.string().max(maxEnvelopeBytes) }),
  z.strictObject({ v, fence, verb: z.literal('smart'), device: diskName }),
  z.strictObject({ v, fence, verb: z.literal('show'), operation }),
]);
export type HelperRequest = z.output<typeof helperRequest>;
export type HelperFence = NonNullable<HelperRequest['fence']>;
export type HelperVerb = HelperRequest['verb'];

const receipt = z.strictObject({ operation, verb: z.string().max(40), at: z.number().int().min(0) });

export const helperAnswer = z.discriminatedUnion('is', [
  z.strictObject({
    v,
    is: z.literal('done'),
    volumes: z.array(volumeId).max(10_000).optional(),
    receipt: receipt.nullable().optional(),
    archive: z
      .strictObject({
        kind: z.enum(['file', 'pbs-index']),
        sizeBytes: z.number().int().min(0),
        sha256: digest,
        device: z.string().max(200),
      })
      .optional(),
    found: z.array(foundVolume).max(33).optional(),
    guestMounts: z
      .strictObject({
        running: z.boolean(),
        mounts: z
          .array(
            z.strictObject({
              path: z.string().min(1).max(1_000),
              target: targetName,
              state: z.enum(['live', 'dead', 'unknown']),
              why: z.string().max(500),
            }),
          )
          .max(257),
      })
      .optional(),
    keyTest: z
      .discriminatedUnion('is', [
        z.strictObject({ is: z.literal('opens'), fingerprint: z.string().max(200) }),
        z.strictObject({ is: z.literal('not-encrypted') }),
        z.strictObject({ is: z.literal('wrong-key'), text: z.string().max(500) }),
      ])
      .optional(),
    /** witness: what was remembered before. */
    witnessed: z.number().int().min(0).optional(),
    /** break-glass-show: milliseconds since the epoch; null = closed. */
    openUntil: z.number().int().min(0).nullable().optional(),
    /** tunnel-show: its fence by port is loaded. */
    tunnelFence: z.boolean().optional(),
    /** smart: JSON as smartctl prints it. */
    smart: z.string().max(262_144).optional(),
  }),
  z.strictObject({ v, is: z.literal('refused'), text: z.string().min(1).max(1_000) }),
  z.strictObject({ v, is: z.literal('busy'), text: z.string().min(1).max(1_000) }),
  z.strictObject({ v, is: z.literal('absent'), text: z.string().min(1).max(1_000) }),
]);
export type HelperAnswer = z.output<typeof helperAnswer>;
