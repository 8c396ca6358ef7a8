/** Branded ids: a string that was checked once, so that a guest's uid is never passed where its name is meant. */
import { z } from 'zod';

declare const brand: unique symbol;
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };

export type HostId = Brand<string, 'HostId'>;
/** Minted by the agent, 128 random bits in lower-case base32. The only name of a guest that signatures bind. */
export type GuestUid = Brand<string, 'GuestUid'>;
/** The operator's stable name for a guest in desired state. A removed name that comes back gets a new uid. */
export type GuestName = Brand<string, 'GuestName'>;
export type Vmid = Brand<number, 'Vmid'>;
/** Proxmox volume id, `storage:path`. */
export type VolumeId = Brand<string, 'VolumeId'>;
export type StorageId = Brand<string, 'StorageId'>;
export type Upid = Brand<string, 'Upid'>;
export type SagaId = Brand<string, 'SagaId'>;
/** SHA-256 in lower-case hex. */
export type Digest = Brand<string, 'Digest'>;

const slug = z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/, 'lower-case letters, digits and -, at most 40');

export const hostId = slug.transform((s) => s as HostId);
export const guestName = slug.transform((s) => s as GuestName);
export const guestUid = z
  .string()
  .regex(/^[a-z2-7]{26}$/)
  .transform((s) => s as GuestUid);
export const vmid = z
  .number()
  .int()
  .min(100)
  .max(999_999_999)
  .transform((n) => n as Vmid);
export const storageId = z
  .string()
  .regex(/^[a-zA-Z][a-zA-Z0-9._-]{0,98}[a-zA-Z0-9]$/)
  .transform((s) => s as StorageId);
export const volumeId = z
  .string()
  .max(300)
  .regex(/^[a-zA-Z][a-zA-Z0-9._-]*:\S+$/)
  .transform((s) => s as VolumeId);
export const digest = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .transform((s) => s as Digest);
/** 128 random bits minted with the journal, in hex: another journal is another epoch, and voids what was signed before. */
export const hostEpoch = z.string().regex(/^[0-9a-f]{32}$/, 'must be 32 hex digits');
