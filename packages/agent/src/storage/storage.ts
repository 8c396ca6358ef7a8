/**
 * The targets of this host, watched. An event of kernel or udev leads to one cheap look, and what it shows is judged and
 * told at once; what may take its time, asking a disk, Proxmox or root's helper, goes on beside it and is judged when it
 * comes. A slow look is the net below the events.
 */
import { bindingOf, reason, targetIdentity, isDisk } from '@felhom/protocol';
import type { Finding, HostVitals, Reason, ReportedTarget, StorageTarget } from '@felhom/protocol';
import type { HostPolicy } from '../host-policy.ts';
import { within } from '../kernel/index.ts';
import type { Clock, Documents, Random, SagaStatus } from '../kernel/index.ts';
import type { GuestDisks } from '../ports/guest-disks.ts';
import type { Log } from '../ports/log.ts';
import type { StorageEntries, StorageEntry } from '../ports/proxmox.ts';
import type { SeenDevices, StorageDevices } from '../ports/storage-devices.ts';
import type { StorageHelper } from '../ports/storage-helper.ts';
import type { Pulse } from '../progress.ts';
import { markFile, mountPathOf } from '../storage-manifest.ts';
import type { DeclaredTarget, ManifestRead, StorageManifest } from '../storage-manifest.ts';
import { createAsking } from './asking.ts';
import { findingsOf } from './findings.ts';
import { guestDisk } from './guest-disk.ts';
import { appearanceOf, damping, isFlapping, judgeTarget } from './judge-target.ts';
import type { Remedy } from './judge-target.ts';
import { createMending } from './mending.ts';
import { standing as standingShape } from './standing.ts';
import type { Standing } from './standing.ts';
import { withTargets } from './target-policy.ts';

export interface StorageNeeds {
  readonly devices: StorageDevices;
  readonly manifest: () => ManifestRead;
  readonly mountRoot?: string;
  /** As Proxmox calls this host; `undefined`: nobody knows at the moment. */
  readonly node: () => string | undefined;
  readonly helper: Pick<StorageHelper, 'mount' | 'unmount' | 'storageDefine'>;
  readonly entries: StorageEntries;
  readonly documents: Documents;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Whether anything may be changed on this host now. */
  readonly mayMend: () => boolean;
  /** Whoever works on a storage holds its lane. */
  readonly status: () => readonly SagaStatus[];
  /** A target went away or came back: for what waited for it, or is going on with it. */
  readonly changed: () => void;
  /** Whoever watches that the looks go on. */
  readonly watch: () => Pulse;
}

export type Guarded<T> = { readonly is: 'ended'; readonly value: T } | { readonly is: 'dropped'; readonly why: Reason };

export interface Storage extends GuestDisks {
  /** Watches until aborted. Rejects only when the journal cannot be written. */
  run(signal: AbortSignal): Promise<void>;
  report(): ReportedTarget[];
  findings(): readonly Finding[];
  /** How full the targets are, as they were asked last; for whoever makes the vitals. */
  vitals(): HostVitals['targets'];
  /** The host's policy with the declared targets in it. */
  policyWith(policy: HostPolicy): HostPolicy;
  /** Why nothing may begin on a storage; `undefined`: nothing is known against it. */
  away(storage: string): Reason | undefined;
  /** The same, after a look and a question to the target itself. */
  check(storage: string): Promise<Reason | undefined>;
  /** Another word after each time that the target was away; `undefined`: the storage is no declared target. */
  attachment(storage: string): string | undefined;
  /** Work whose signal is aborted when the target goes away meanwhile. */
  whileAttached<T>(
    storage: string,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<Guarded<T>>;
}

const slowLookMs = 30_000;
/** After an event: udev and systemd need a moment until all of it is done. */
const looksAfterEventMs = [100, 500, 2_000];
/** Between two looks, however many events come. */
const shortestGapMs = 50;
/** What is read of kernel and udev comes from memory. */
const lookLimitMs = 5_000;
const entriesEveryMs = 60_000;
/** Longer than a question to Proxmox may take. */
const entriesLimitMs = 45_000;
/** A disk that nobody uses may sleep. */
const askEveryMs = { used: 60_000, idle: 6 * 3_600_000, share: 60_000, troubled: 30_000 };
/** A disk under load answers late; a soft mount gives its error after a minute. */
const probeLimitMs = { disk: 20_000, share: 10_000 };

const keyOf = (name: string): string => `storage/${name}`;

export function createStorage(needs: StorageNeeds): Storage {
  const { devices, documents, clock, log } = needs;
  let read: ManifestRead = { is: 'none' };
  /** The last one that could be read: a file that somebody is mending takes no disk away. */
  let manifest: StorageManifest = { v: 1, targets: [] };
  let seen: SeenDevices = { mounts: [], disks: [] };
  let entries: ReadonlyMap<string, StorageEntry> | undefined;
  let entriesAt = Number.NEGATIVE_INFINITY;
  let manifestTroubleSince = 0;
  const standings = new Map<string, Standing>();
  for (const { key, body } of documents.list('storage/')) {
    const kept = standingShape.safeParse(body);
    if (kept.success) standings.set(key.slice('storage/'.length), kept.data);
  }
  const remedies = new Map<string, Remedy>();
  const drifts = new Map<string, { readonly text: string; readonly since: number }>();
  const asking = createAsking({ devices, clock, log, answered: () => judge() });
  const onDrop = new Set<() => void>();

  const inUseByRoot = (): readonly DeclaredTarget[] => manifest.targets.filter(({ state }) => state === 'attached');
  const byStorage = (storage: string): DeclaredTarget | undefined =>
    manifest.targets.find(({ target }) => target.storage === storage);

  /** Where a target is mounted; `undefined`: nowhere. */
  const pathOf = (target: StorageTarget): string | undefined => {
    if (isDisk(target)) return mountPathOf(target.name, needs.mountRoot);
    // PVE: NFSPlugin and CIFSPlugin, `path` default /mnt/pve/<storage>.
    return target.type === 'pbs'
      ? undefined
      : (entries?.get(target.storage)?.options.get('path') ?? `/mnt/pve/${target.storage}`);
  };
  /** What tells one plugging in of its disk from the next; empty: it is not there, or there is no disk. */
  const pluggedIn = (target: StorageTarget): string =>
    isDisk(target) ? (seen.disks.find(({ uuid }) => uuid === target.uuid)?.appearance ?? '') : '';
  const mountOf = (target: StorageTarget) => seen.mounts.find(({ path }) => path === pathOf(target));

  // --------------------------------------------------------------------------------------------------- looking

  const readManifest = (): void => {
    const next = needs.manifest();
    if (next.is === 'unreadable' && read.is !== 'unreadable') {
      manifestTroubleSince = clock.now();
      log.warn('storage manifest', { why: next.why.text });
    }
    read = next;
    if (next.is === 'held') manifest = next.manifest;
    if (next.is === 'none') manifest = { v: 1, targets: [] };
  };

  // Sagas that go on after a restart ask before anybody has looked.
  readManifest();

  let looksAway = 0;
  /** `false`: nobody can look now, because a look does not come back. */
  const glance = async (): Promise<boolean> => {
    readManifest();
    if (manifest.targets.length === 0 && standings.size === 0) return true;
    if (looksAway > 0) return false;
    const look = devices.look(manifest.targets.flatMap(({ target }) => pathOf(target) ?? []));
    try {
      const came = await within(look, lookLimitMs, clock);
      if (came.is === 'late') {
        looksAway += 1;
        const back = (): void => void (looksAway -= 1);
        void look.then(back, back);
        log.warn('cannot look at the mounts: the kernel does not answer');
        return false;
      }
      seen = came.value;
    } catch (error) {
      log.warn('cannot look at the mounts', { why: String(error) });
      return true;
    }
    judge();
    return true;
  };

  /** Whether that is news. */
  const drifted = (name: string, text: string | undefined, now: number): boolean => {
    const known = drifts.get(name);
    if (known?.text === text) return false;
    log.info('storage entry', { target: name, drift: text ?? 'none any more' });
    if (text === undefined) drifts.delete(name);
    else drifts.set(name, { text, since: known?.since ?? now });
    return true;
  };

  const judge = (): void => {
    const now = clock.now();
    const node = needs.node();
    let news = false;
    for (const declared of manifest.targets) {
      const { target } = declared;
      const before = standings.get(target.name);
      const { standing, remedy, drift } = judgeTarget({
        declared,
        mount: mountOf(target),
        disks: seen.disks,
        probe: asking.last(target.name),
        entry: entries === undefined ? 'unknown' : (entries.get(target.storage) ?? 'missing'),
        before,
        now,
        node,
        mountRoot: needs.mountRoot,
      });
      remedies.set(target.name, remedy);
      news = drifted(target.name, drift, now) || news;
      if (JSON.stringify(standing) === JSON.stringify(before)) continue;
      documents.put({ key: keyOf(target.name), v: 1, body: standing });
      standings.set(target.name, standing);
      if (standing.state === before?.state && standing.why === before.why) continue;
      // A moment later it is known.
      if (standing.cause === 'not-asked' && before?.state !== 'attached') continue;
      log.info('storage target', { target: target.name, state: standing.state, why: standing.why });
      news = true;
    }
    for (const name of standings.keys()) {
      if (manifest.targets.some(({ target }) => target.name === name)) continue;
      standings.delete(name);
      drifts.delete(name);
      documents.remove(keyOf(name));
      news = true;
    }
    if (!news) return;
    for (const tell of onDrop) tell();
    needs.changed();
  };

  // ---------------------------------------------------------------------------------------------------- asking

  const ask = (declared: DeclaredTarget): Promise<void> => {
    const { target } = declared;
    const question =
      target.type === 'pbs'
        ? ({ is: 'pbs', server: target.server, port: target.port } as const)
        : ({ is: 'path', path: pathOf(target) ?? '', markFile } as const);
    return asking.ask({
      name: target.name,
      of: appearanceOf({ declared, mount: mountOf(target) }),
      question,
      limitMs: isDisk(target) ? probeLimitMs.disk : probeLimitMs.share,
    });
  };

  const canBeAsked = ({ target }: DeclaredTarget): boolean => {
    const mount = mountOf(target);
    if (target.type === 'pbs') return true;
    return mount !== undefined && (!isDisk(target) || mount.disk !== undefined);
  };

  const isDueToAsk = (declared: DeclaredTarget, used: ReadonlySet<string>): boolean => {
    const { target } = declared;
    const last = asking.last(target.name);
    if (last === undefined || last.of !== appearanceOf({ declared, mount: mountOf(target) })) return true;
    // The systems of guests live on a primary one, so it never sleeps.
    const inUse = used.has(target.storage) || target.role === 'primary';
    const usual = isDisk(target) ? (inUse ? askEveryMs.used : askEveryMs.idle) : askEveryMs.share;
    return clock.monotonicMs() - last.at >= (last.found.is === 'answers' ? usual : askEveryMs.troubled);
  };

  const askWhereDue = (failed: (error: unknown) => void): void => {
    const used = new Set(needs.status().flatMap(({ lanes }) => lanes.map((lane) => lane.replace(/^storage:/, ''))));
    for (const declared of inUseByRoot())
      if (canBeAsked(declared) && isDueToAsk(declared, used)) void ask(declared).catch(failed);
  };

  const readEntries = async (signal: AbortSignal): Promise<void> => {
    entriesAt = clock.monotonicMs();
    const answer = await within(needs.entries.entries(signal), entriesLimitMs, clock);
    // What was known stays: an unreachable Proxmox takes no disk away.
    if (answer.is === 'late' || answer.value.is !== 'done') return;
    entries = new Map(answer.value.value.map((entry) => [entry.storage, entry]));
    judge();
  };

  // --------------------------------------------------------------------------------------------------- mending

  const mending = createMending({
    ...needs,
    remedies: () =>
      inUseByRoot().map(({ target }) => ({
        name: target.name,
        remedy: remedies.get(target.name) ?? 'none',
        of: `${standings.get(target.name)?.cause ?? ''} ${pluggedIn(target)}`,
      })),
    // What it did is looked at, never believed.
    mended: async (signal) => {
      await glance();
      await readEntries(signal);
    },
  });

  // ---------------------------------------------------------------------------------------------------- running

  const run = async (signal: AbortSignal): Promise<void> => {
    let poked = false;
    let after: number[] = [];
    let cut: (() => void) | undefined;
    let broken: { readonly error: unknown } | undefined;
    let watching = false;
    const pulse = needs.watch();
    const poke = (): void => {
      poked = true;
      cut?.();
    };
    const failed = (error: unknown): void => {
      if (signal.aborted) return;
      broken ??= { error };
      cut?.();
    };
    const pause = async (ms: number, mayBeCut: boolean): Promise<void> => {
      const end = new AbortController();
      if (mayBeCut) cut = () => end.abort();
      try {
        await clock.sleep(ms, AbortSignal.any([signal, end.signal]));
      } catch (error) {
        if (!signal.aborted && !end.signal.aborted) throw error;
      } finally {
        cut = undefined;
      }
    };
    while (!signal.aborted) {
      if (poked) after = [...looksAfterEventMs];
      poked = false;
      // What moves is the looks: an agent that cannot look any more begins again.
      const looked = await glance();
      if (looked) pulse.moved();
      if (broken !== undefined) throw broken.error;
      if (manifest.targets.length > 0) {
        // Nobody has to watch a host without targets.
        if (!watching) devices.watch(poke, signal);
        watching = true;
        askWhereDue(failed);
        void mending.run(signal).catch(failed);
        if (clock.monotonicMs() - entriesAt >= entriesEveryMs) void readEntries(signal).catch(failed);
      }
      await pause(shortestGapMs, false);
      if (signal.aborted || poked) continue;
      const restMs = after.shift() ?? untilNext();
      if (looked) pulse.rests(restMs);
      await pause(restMs - shortestGapMs, true);
    }
  };

  /** Milliseconds. */
  const untilNext = (): number => {
    const mono = clock.monotonicMs();
    const mends = mending.times().map((at) => at - mono);
    const settles = [...standings.values()].flatMap(({ cause, wellSince }) =>
      cause === 'settling' && wellSince !== undefined ? [wellSince + damping.settleMs - clock.now()] : [],
    );
    return Math.max(1_000, Math.min(slowLookMs, ...mends, ...settles));
  };

  // ---------------------------------------------------------------------------------------------------- telling

  const away: Storage['away'] = (storage) => {
    const declared = byStorage(storage);
    if (declared === undefined) return undefined;
    const now = standings.get(declared.target.name);
    if (now?.state === 'attached') return undefined;
    const why = now === undefined ? 'it was not looked at yet' : now.why;
    return reason('storage.target-away', `target ${declared.target.name} (${storage}) is not attached: ${why}`);
  };

  const attachment: Storage['attachment'] = (storage) => {
    const declared = byStorage(storage);
    if (declared === undefined) return undefined;
    const now = standings.get(declared.target.name);
    return now?.state === 'attached' ? `${now.appearance ?? ''} since ${now.since}` : 'away';
  };

  const check: Storage['check'] = async (storage) => {
    const declared = byStorage(storage);
    if (declared === undefined) return undefined;
    await glance();
    if (canBeAsked(declared)) await ask(declared);
    return away(storage);
  };

  let joined:
    { readonly policy: HostPolicy; readonly manifest: StorageManifest; readonly both: HostPolicy } | undefined;

  return {
    run,
    report: () =>
      manifest.targets.map(({ target, mark, iops, attachedAt }) => {
        const now = standings.get(target.name);
        return {
          name: target.name,
          type: target.type,
          storage: target.storage,
          role: target.role,
          class: target.class,
          ...(iops === undefined ? {} : { iops }),
          identity: targetIdentity(target),
          binding: bindingOf(target, mark),
          offsite: target.offsite,
          state: now?.state ?? 'disconnected',
          since: now?.since ?? attachedAt,
          why: now?.why ?? 'it was not looked at yet',
          flapping: now !== undefined && isFlapping(now),
        };
      }),
    findings: () => [
      ...(read.is === 'unreadable' ? [manifestFinding(read.why, manifestTroubleSince)] : []),
      ...findingsOf(
        manifest.targets.flatMap((declared) => {
          const now = standings.get(declared.target.name);
          return now === undefined
            ? []
            : [
                {
                  declared,
                  standing: now,
                  drift: drifts.get(declared.target.name),
                  refusal: mending.refusal(declared.target.name),
                },
              ];
        }),
        clock.now(),
      ),
    ],
    vitals: () =>
      inUseByRoot().flatMap(({ target: { name } }) => {
        const found = asking.last(name)?.found;
        return standings.get(name)?.state === 'attached' && found?.is === 'answers' && found.sizes !== undefined
          ? [{ name, ...found.sizes }]
          : [];
      }),
    policyWith: (policy) => {
      if (joined?.policy !== policy || joined.manifest !== manifest)
        joined = { policy, manifest, both: withTargets(policy, manifest) };
      return joined.both;
    },
    away,
    check,
    attachment,
    disk: (storage) => {
      const declared = byStorage(storage);
      return declared === undefined ? undefined : guestDisk(declared, standings.get(declared.target.name), clock.now());
    },
    bringBack: async (storage, signal) => {
      const name = byStorage(storage)?.target.name;
      if (name === undefined) return undefined;
      await glance();
      // What kept it away may have ended just now.
      await mending.now(name, signal);
      return check(storage);
    },
    whileAttached: async (storage, signal, work) => {
      const before = attachment(storage);
      const dropped = new AbortController();
      const look = (): void => {
        if (attachment(storage) !== before || away(storage) !== undefined) dropped.abort();
      };
      const why = (): Reason =>
        away(storage) ?? reason('storage.target-away', `the target of ${storage} was away meanwhile`);
      onDrop.add(look);
      try {
        look();
        if (dropped.signal.aborted) return { is: 'dropped', why: why() };
        const value = await work(AbortSignal.any([signal, dropped.signal]));
        return dropped.signal.aborted ? { is: 'dropped', why: why() } : { is: 'ended', value };
      } catch (error) {
        if (dropped.signal.aborted && !signal.aborted) return { is: 'dropped', why: why() };
        throw error;
      } finally {
        onDrop.delete(look);
      }
    },
  };
}

const manifestFinding = (why: Reason, since: number): Finding => ({
  key: 'storage.manifest-unreadable',
  severity: 'critical',
  subject: 'host',
  text: why.text.slice(0, 1000),
  advice: {
    text: 'Mend the file as root. The last one that could be read goes on; after a restart of the agent there is none.',
    command: 'felhom-agent doctor',
  },
  since,
});
