/**
 * What each guest's supervisor is told to run, and what it says of it. An image is offered with the signed release that
 * names it, so that the supervisor verifies it itself [R17]. Role and configuration are pinned when they are first
 * offered: another repository or hub channel later is nothing that an unsigned wish may bring.
 */
import { z } from 'zod';
import {
  canonicalDigest,
  compareVersions,
  controllerImage,
  controllerStatus,
  desiredController,
  digest,
  guestUid,
  reason,
} from '@felhom/protocol';
import type {
  ControllerStatus,
  DesiredController,
  DesiredGuest,
  Digest,
  Finding,
  GuestUid,
  Reason,
} from '@felhom/protocol';
import type { GuestRef } from '../authority/effects.ts';
import type { GuestRecord, GuestRegistry } from '../authority/guest-record.ts';
import type { Clock } from '../kernel/clock.ts';
import type { Documents } from '../kernel/journal.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';

const time = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
type Image = NonNullable<DesiredController['image']>;

const stored = z.strictObject({
  uid: guestUid,
  desired: desiredController,
  /** What ran before the image that is offered, until that one has shown that it works. */
  before: controllerImage.optional(),
  /** Did not become healthy here: not offered again. */
  failed: z.array(z.strictObject({ digest, at: time, text: z.string().max(1000) })).max(8),
  status: controllerStatus.optional(),
  heardAt: time.optional(),
});
type Stored = z.output<typeof stored>;

/** What of a stored release the room needs; `jobs/releases.ts` has more. */
export interface ControllerRelease {
  readonly manifest: {
    readonly role: string;
    readonly version: string;
    readonly digests: readonly Digest[];
    /** Oldest version from which it may be reached directly. */
    readonly minFrom?: string | undefined;
  };
  readonly payload: string;
  readonly signatures: readonly string[];
}

export interface ControllersNeeds {
  readonly documents: Pick<Documents, 'get' | 'put' | 'remove' | 'list'>;
  readonly clock: Clock;
  readonly registry: Pick<GuestRegistry, 'byUid'>;
  /** The newest signed release of a role that is in force now: `releases.inForce('controller', role, now)`. */
  readonly release: (role: string) => ControllerRelease | undefined;
  /** As desired state has the guest of this record; `undefined`: it does not name it, or none was received. */
  readonly desiredGuest: (record: GuestRecord) => DesiredGuest | undefined;
}

export interface HeardController {
  readonly status: ControllerStatus;
  /** Wall time of the last word of its supervisor. */
  readonly at: number;
}

export interface Controllers {
  /** What the supervisor should bring about now. `undefined`: no such guest. */
  desiredController(uid: GuestUid): DesiredController | undefined;
  /** Waits until the generation is another than `known`; answers with what is then, or after `waitMs`, or on abort. */
  changed(uid: GuestUid, known: number, waitMs: number, signal: AbortSignal): Promise<DesiredController | undefined>;
  /** Looks at desired state and releases again and wakes who waits. */
  refresh(uid: GuestUid): void;
  heard(uid: GuestUid): HeardController | undefined;
  report(uid: GuestUid, status: ControllerStatus): void;
  /** A newer image than the one offered, that has not failed here; submitted as `controller-update`. */
  newerImage(uid: GuestUid): { readonly role: string; readonly version: string; readonly digest: Digest } | undefined;
  /** Offers an image of the release in force; answers with its generation. Again: the same generation. */
  offer(guest: GuestRef, image: Pick<Image, 'role' | 'version' | 'digest'>): Outcome<{ readonly generation: number }>;
  /** Offers what was before again, with the copy of its state; answers with its generation. Again: the same. */
  revert(uid: GuestUid, failed: { readonly digest: Digest; readonly why: Reason }): number | undefined;
  /** What is offered has shown that it works. */
  keep(uid: GuestUid, image: Digest): void;
  /** What desired state asks for and only a signature may bring. */
  findings(guests: readonly GuestRecord[]): readonly Finding[];
  forget(uid: GuestUid): void;
}

const prefix = 'controller/';

export function createControllers(needs: ControllersNeeds): Controllers {
  const { documents, clock, registry } = needs;
  const waiting = new Map<GuestUid, Set<() => void>>();
  /** Newer than on disk: a supervisor that says the same every few seconds writes nothing. */
  const heardLately = new Map<GuestUid, HeardController>();

  const find = (uid: GuestUid): Stored | undefined => {
    const document = documents.get(prefix + uid);
    return document === undefined ? undefined : stored.parse(document.body);
  };
  const keepRecord = (record: Stored): Stored => {
    documents.put({ key: prefix + record.uid, v: 1, body: stored.parse(record) });
    return record;
  };
  /** Durable with the next generation, where it differs. */
  const want = (record: Stored, desired: Omit<DesiredController, 'generation'>): Stored => {
    if (shapeOf(record.desired) === shapeOf(desired)) return record;
    const generation = record.desired.generation + 1;
    const next = keepRecord({ ...record, desired: { ...desired, generation } });
    for (const wake of waiting.get(record.uid) ?? []) wake();
    return next;
  };

  const current = (uid: GuestUid): Stored | undefined => {
    const guest = registry.byUid(uid);
    if (guest === undefined) return undefined;
    const record = find(uid) ?? keepRecord({ uid, desired: nothingYet, failed: [] });
    const asked = needs.desiredGuest(guest)?.controller;
    const { image } = record.desired;
    const outward = !guest.scratch;
    // An order to revert is carried out once per generation: a new one would bring the old state back a second time.
    const asItIs = (): Stored =>
      record.desired.directive === 'revert' ? record : want(record, { ...record.desired, outward });
    if (image !== null || asked === undefined) return asItIs();
    const release = needs.release(asked.role);
    const first = release === undefined ? undefined : imageOf(release);
    if (first === undefined) return asItIs();
    return want(record, { image: first, config: asked.config, directive: 'run', outward });
  };

  const desiredOf = (uid: GuestUid): DesiredController | undefined => current(uid)?.desired;

  return {
    desiredController: desiredOf,

    async changed(uid, known, waitMs, signal) {
      const first = desiredOf(uid);
      if (first === undefined || first.generation !== known || waitMs <= 0) return first;
      const over = new AbortController();
      const wakers = waiting.get(uid) ?? new Set();
      waiting.set(uid, wakers);
      const wake = (): void => over.abort();
      wakers.add(wake);
      try {
        await clock.sleep(waitMs, AbortSignal.any([signal, over.signal]));
      } catch (error) {
        if (!signal.aborted && !over.signal.aborted) throw error;
      } finally {
        wakers.delete(wake);
        if (wakers.size === 0) waiting.delete(uid);
      }
      return desiredOf(uid);
    },

    refresh: (uid) => void current(uid),

    heard: (uid) => {
      const lately = heardLately.get(uid);
      if (lately !== undefined) return lately;
      const record = find(uid);
      return record?.status === undefined || record.heardAt === undefined
        ? undefined
        : { status: record.status, at: record.heardAt };
    },

    report(uid, status) {
      const at = Math.trunc(clock.now());
      const record = current(uid);
      if (record === undefined) return;
      heardLately.set(uid, { status, at });
      if (says(record.status) === says(status)) return;
      keepRecord({ ...record, status, heardAt: at });
    },

    newerImage(uid) {
      const record = current(uid);
      const image = record?.desired.image;
      if (record === undefined || image === undefined || image === null) return undefined;
      const release = needs.release(image.role);
      const next = release === undefined ? undefined : imageOf(release);
      if (next === undefined || next.digest === image.digest) return undefined;
      const { minFrom = image.version } = release?.manifest ?? {};
      if (compareVersions(image.version, minFrom) < 0) return undefined;
      if (compareVersions(next.version, image.version) <= 0) return undefined;
      if (record.failed.some((one) => one.digest === next.digest)) return undefined;
      return { role: next.role, version: next.version, digest: next.digest };
    },

    offer(guest, image) {
      const what = `cannot offer controller ${image.role} ${image.version} to guest ${guest.name}`;
      const record = current(guest.uid);
      const present = record?.desired.image;
      if (record === undefined || present === undefined || present === null)
        return refused(reason('controller.none', `${what}: it has none that could be updated`));
      if (present.digest === image.digest) return done({ generation: record.desired.generation });
      const release = needs.release(image.role);
      const next = release === undefined ? undefined : imageOf(release);
      if (next === undefined || next.digest !== image.digest || present.role !== image.role)
        return refused(reason('release.not-for-this', `${what}: the release in force does not name it`));
      if (compareVersions(next.version, present.version) <= 0)
        return refused(reason('release.older', `${what}: ${present.version} is offered already`));
      const generation = record.desired.generation + 1;
      const { config, outward } = record.desired;
      want({ ...record, before: present }, { image: next, config, outward, directive: 'run', stateOf: generation });
      return done({ generation });
    },

    revert(uid, { digest: bad, why }) {
      const record = current(uid);
      if (record === undefined) return undefined;
      const { before, desired } = record;
      // Looks before it touches: it was taken back already, or was never offered.
      if (desired.image?.digest !== bad || before === undefined) return desired.generation;
      const { config, outward, stateOf } = desired;
      const { before: _, ...rest } = record;
      const failed = [...record.failed, { digest: bad, at: Math.trunc(clock.now()), text: why.text.slice(0, 1000) }];
      return want(
        { ...rest, failed: failed.slice(-8) },
        { image: before, config, outward, directive: 'revert', ...(stateOf === undefined ? {} : { stateOf }) },
      ).desired.generation;
    },

    keep(uid, image) {
      const record = find(uid);
      if (record?.before === undefined || record.desired.image?.digest !== image) return;
      const { before: _, ...rest } = record;
      keepRecord(rest);
    },

    findings: (guests) => guests.flatMap((guest) => findingsOf(guest, find(guest.uid), needs.desiredGuest(guest))),

    forget(uid) {
      documents.remove(prefix + uid);
      heardLately.delete(uid);
    },
  };
}

const nothingYet: DesiredController = { generation: 0, image: null, config: {}, directive: 'run', outward: true };

/** A manifest of a controller names one image. */
function imageOf(release: ControllerRelease): Image | undefined {
  const [first] = release.manifest.digests;
  if (first === undefined) return undefined;
  const { role, version } = release.manifest;
  return controllerImage.parse({
    role,
    version,
    digest: first,
    release: { payload: release.payload, signatures: [...release.signatures] },
  });
}

/** The release beside an image may be signed by one more person: that is no other image. */
function shapeOf(desired: Omit<DesiredController, 'generation'>): Digest {
  const { image, config, directive, stateOf, outward } = desired;
  return canonicalDigest({ image: image?.digest ?? null, config, directive, stateOf: stateOf ?? null, outward });
}

/** What of a status is worth writing down. */
function says(status: ControllerStatus | undefined): string | undefined {
  if (status === undefined) return undefined;
  const { digest: running, generation, health, stateCopyOf, restarts, stoppedStacks } = status;
  return JSON.stringify([running, generation, health, stateCopyOf, restarts, stoppedStacks]);
}

function findingsOf(guest: GuestRecord, record: Stored | undefined, desired: DesiredGuest | undefined): Finding[] {
  if (record === undefined || desired?.controller === undefined) return [];
  const { image, config } = record.desired;
  const { role, config: asked } = desired.controller;
  const subject = guest.name;
  const since = guest.createdAt;
  if (image === null)
    return [
      {
        key: 'controller.no-release',
        severity: 'warning',
        subject,
        text: `guest ${subject} is to have a controller ${role}, and no signed release of it is in force here`,
        advice: { text: 'Publish a signed release of this role, or take the controller out of the desired state.' },
        since,
      },
    ];
  const last = record.failed.at(-1);
  return [
    ...(role !== image.role || canonicalDigest(config) !== canonicalDigest(asked)
      ? [
          {
            key: 'controller.config-differs',
            severity: 'warning' as const,
            subject,
            text: `desired state asks for another role or configuration of the controller of ${subject}; it keeps what it has`,
            advice: {
              text: 'Put the old values back: changing them takes a signature, which this release cannot carry out.',
            },
            since,
          },
        ]
      : []),
    ...(last === undefined
      ? []
      : [
          {
            key: 'controller.update-failed',
            severity: 'warning' as const,
            subject,
            text: `an image of the controller of ${subject} did not become healthy and is not offered again: ${last.text}`.slice(
              0,
              1000,
            ),
            advice: { text: 'Look at the controller in the guest; a newer release is tried by itself.' },
            since: last.at,
          },
        ]),
  ];
}
