/**
 * What differs between one guest as it is wanted and as it is. Pure. Everything that differs becomes an effect, also
 * what only a signature allows: the gate blocks it and shows it. What nobody can ask for becomes a finding.
 */
import type { DesiredGuest, DesiredVolume, Finding, GuestName, GuestUid, Vmid } from '@felhom/protocol';
import type { GuestEffect, GuestRef } from '../authority/effects.ts';
import { markerLine, refOf } from '../authority/guest-record.ts';
import type { GuestRecord } from '../authority/guest-record.ts';
import { identify } from '../authority/identity.ts';
import type { Identity } from '../authority/identity.ts';
import type { HostPolicy } from '../host-policy.ts';
import type { GuestDisk } from '../ports/guest-disks.ts';
import type { GuestRow } from '../ports/proxmox.ts';
import { describeDesiredNet, describeNet, formatTags, storageOf, writableLabel } from './pve-config.ts';
import type { GuestView } from './pve-config.ts';

export type SeenConfig =
  | { readonly is: 'present'; readonly view: GuestView }
  | { readonly is: 'absent' }
  | { readonly is: 'forbidden' }
  | { readonly is: 'unreadable'; readonly why: string };

/** One guest of ours as a pass sees it. */
export interface GuestSight {
  readonly record: GuestRecord;
  readonly row: GuestRow | undefined;
  readonly seen: SeenConfig;
  /** UPIDs of creates, restores and destroys on its VMID that were not ours. */
  readonly foreignTasks: readonly string[];
  /** Wall time in milliseconds at which somebody else stopped it, where that was its last power task. */
  readonly personStoppedAt: number | undefined;
}

export interface GuestPlan {
  readonly effects: readonly GuestEffect[];
  readonly findings: readonly Finding[];
  readonly standing: GuestStanding;
}

/** How a guest stands, for reports and `felhom-agent status`. */
export interface GuestStanding {
  readonly name: GuestName;
  readonly uid: GuestUid | undefined;
  readonly vmid: Vmid | undefined;
  readonly status: 'running' | 'stopped' | 'missing' | 'coming-up' | 'unknown';
  /** Differences that no effect will mend, in words. */
  readonly drift: readonly string[];
  /** Something about it is wanted and cannot be asked for now: it is missing, not ours, locked, or left alone. */
  readonly waiting: boolean;
  readonly held: boolean;
}

/** After a person's stop the guest is left alone this long. */
export const personsStopMs = 10 * 60_000;

export function identityOf(sight: GuestSight): Identity {
  const { record, seen } = sight;
  if (seen.is !== 'present') return identify(record, { is: seen.is });
  const { marker } = seen.view;
  return identify(record, {
    is: 'present',
    vmid: record.vmid,
    marker:
      marker === undefined
        ? { is: 'missing' }
        : { is: 'present', uid: marker.uid, incarnation: marker.incarnation, n: marker.marker },
    volumes: seen.view.disks.map((disk) => disk.volid),
    ctimes: new Map(),
    foreignTasks: sight.foreignTasks,
  });
}

/** `desired: undefined`: it is on record and desired state does not name it. */
export function planGuest(
  desired: DesiredGuest | undefined,
  sight: GuestSight,
  policy: Pick<HostPolicy, 'hold'>,
  now: number,
  diskOf: (storage: string) => GuestDisk | undefined = () => undefined,
): GuestPlan {
  const { record, row, seen } = sight;
  const effects: GuestEffect[] = [];
  const findings: Finding[] = [];
  const drift: string[] = [];
  const guest = refOf(record);
  const find = (key: string, severity: Finding['severity'], text: string, advice: Finding['advice']): void =>
    void findings.push({ key, severity, subject: record.name, text: text.slice(0, 1000), advice, since: now });
  const result = (status: GuestStanding['status'], waiting = false): GuestPlan => ({
    effects,
    findings,
    standing: {
      name: record.name,
      uid: record.uid,
      vmid: record.vmid,
      status,
      drift,
      waiting: waiting && desired !== undefined,
      held: policy.hold.host || policy.hold.guests.includes(record.name),
    },
  });

  if (desired === undefined) {
    find(
      'guest.absent-from-desired',
      'warning',
      `guest ${record.name} (${record.vmid}) is here and desired state does not name it`,
      {
        text: 'It stays as it is. Put it back into desired state, or approve its removal.',
      },
    );
    effects.push({ kind: 'guest-remove', guest, volumes: record.volumes.map((volume) => volume.volid) });
  }

  const identity = identityOf(sight);
  if (identity.is === 'unknown') {
    const { key, text, advice } = notSeen[identity.why];
    find(key, 'critical', `guest ${record.name} (${record.vmid}) ${text}`, { text: advice });
    return result(identity.why === 'absent' ? 'missing' : 'unknown', true);
  }
  if (identity.is === 'foreign') {
    find(
      'guest.foreign',
      'critical',
      `what is at VMID ${record.vmid} is not guest ${record.name} as it was left (${identity.why})`,
      {
        text: 'Nothing is done to it. Look at who made or restored it; if it is meant to be this guest, have it adopted.',
      },
    );
    return result('unknown', true);
  }
  if (seen.is !== 'present') return result('unknown', true);
  const { view } = seen;
  const status = row?.status ?? 'unknown';
  if (identity.is === 'ours-unproven') {
    find(`guest.${identity.why}`, 'warning', `guest ${record.name} (${record.vmid}): ${unproven[identity.why]}`, {
      text:
        identity.why === 'marker-missing'
          ? `It is still watched and started; nothing else of it is changed. Put this line back into its notes: ${markerLine(record)}`
          : 'It is still watched and repaired; nothing of it can be removed until this is cleared up.',
    });
    if (identity.why === 'marker-missing') effects.push({ kind: 'marker-repair', guest });
  }
  const lock = view.lock ?? row?.lock;
  // While a backup runs its lock and its snapshot stand in the config.
  if (view.digest !== record.configDigest && lock !== 'backup') {
    drift.push(`its config was edited outside of Felhom (digest ${view.digest.slice(0, 12)})`);
    find(
      'guest.config-edited',
      'info',
      `somebody edited the config of guest ${record.name} (${record.vmid}): digest ${view.digest}, left as ${record.configDigest}`,
      { text: 'What desired state names is put back or shown as blocked; anything else stays as it is.' },
    );
  }
  if (desired === undefined) return result(status);
  if (lock !== undefined) {
    drift.push(`locked (${lock})`);
    if (lock !== 'backup')
      find('guest.locked', 'warning', `guest ${record.name} (${record.vmid}) is locked (${lock})`, {
        text: 'It is left alone while somebody works on it; if no task runs on it any more, the lock is stale.',
      });
    return result(status, true);
  }

  let leftAlone = false;
  effects.push(...settings(desired, view, row, guest, identity.is === 'ours'));
  effects.push(...networks(desired, view, guest));
  const found = findings.length;
  effects.push(...volumes(desired, record, view, guest, find));
  if (findings.length > found) leftAlone = true;
  if (desired.golden !== record.golden)
    drift.push(`made from golden ${record.golden}; ${desired.golden} would only count for a new guest`);
  if (desired.power === 'running' && status === 'stopped') {
    const stoppedAt = sight.personStoppedAt;
    const missing = record.volumes
      .map(({ volid }) => diskOf(storageOf(volid)))
      .find((disk) => disk?.state === 'away' || disk?.state === 'in-use');
    // A clock that went back must not leave it alone until it has caught up.
    if (stoppedAt !== undefined && Math.abs(now - stoppedAt) < personsStopMs) {
      drift.push('stopped by somebody else; it is left alone for 10 minutes after that');
      leftAlone = true;
    } else if (missing !== undefined) {
      // Proxmox would refuse, and what failed waits longer and longer: it is to start when its disk is back.
      drift.push(`waits for target ${missing.target}`);
      find(
        'guest.waits-for-disk',
        'critical',
        `guest ${record.name} (${record.vmid}) cannot start: target ${missing.target} is not attached: ${missing.why}`,
        { text: 'See to the disk; the guest is started by itself once it is there.', command: 'felhom-agent status' },
      );
      leftAlone = true;
    } else effects.push({ kind: 'guest-start', guest });
  }
  if (desired.power === 'stopped' && status === 'running') effects.push({ kind: 'guest-stop', guest });
  return result(status, leftAlone);
}

const notSeen = {
  absent: {
    key: 'guest.missing',
    text: 'is on record and Proxmox has no config for it',
    advice: 'Nothing is done by itself. If somebody removed it on purpose, take it out of desired state.',
  },
  forbidden: {
    key: 'guest.not-visible',
    text: 'cannot be read with the token; that does not mean that it is gone',
    advice: 'Run felhom-agent doctor: the VMID may have left the pool.',
  },
  unreadable: {
    key: 'guest.unreadable',
    text: 'could not be read in this pass',
    advice: 'Nothing at once; it is read again in the next pass.',
  },
} as const;

const unproven = {
  'marker-missing': 'its marker line is gone from the notes; its volumes are the recorded ones',
  'volumes-differ': 'its volumes are not the recorded ones',
  'ctime-differs': 'a volume of it was made anew under its old name',
} as const;

function settings(
  desired: DesiredGuest,
  view: GuestView,
  row: GuestRow | undefined,
  guest: GuestRef,
  proven: boolean,
): GuestEffect[] {
  const effects: GuestEffect[] = [];
  const cores = view.cores ?? row?.cpus ?? 0;
  if (desired.cores !== cores)
    effects.push({ kind: desired.cores > cores ? 'cpu-up' : 'cpu-down', guest, from: cores, to: desired.cores });
  const memory = { guest, from: view.memoryMiB, to: desired.memoryMiB };
  if (memory.from !== memory.to)
    effects.push({ kind: memory.to > memory.from ? 'memory-up' : 'memory-down', ...memory });
  const swap = { guest, from: view.swapMiB, to: desired.swapMiB };
  if (swap.from !== swap.to) effects.push({ kind: swap.to > swap.from ? 'swap-up' : 'swap-down', ...swap });
  if (desired.power === 'running' && !view.onboot) effects.push({ kind: 'guest-onboot-on', guest });
  if (desired.power === 'stopped' && view.onboot) effects.push({ kind: 'guest-onboot-off', guest });
  const changed = (
    kind: 'hostname-change' | 'startup-change' | 'timezone-change' | 'nameserver-change',
    from: string,
    to: string,
  ): void => void (from === to || effects.push({ kind, guest, from, to }));
  changed('hostname-change', view.hostname ?? '', desired.hostname);
  changed('nameserver-change', view.nameservers.join(' '), desired.nameservers.join(' '));
  changed('startup-change', String(view.startupOrder ?? ''), String(desired.startup?.order ?? ''));
  changed('timezone-change', view.timezone ?? '', desired.timezone ?? '');
  // Without a marker the notes are a person's text; they are not overwritten before the marker is back.
  const sameText = !proven || view.label === writableLabel(desired.label);
  if (!sameText || formatTags(view.tags) !== formatTags(desired.tags))
    effects.push({ kind: 'label-change', guest, tags: desired.tags, label: desired.label });
  return effects;
}

function networks(desired: DesiredGuest, view: GuestView, guest: GuestRef): GuestEffect[] {
  const effects: GuestEffect[] = [];
  const wanted = new Map(desired.networks.map((network) => [network.name, network]));
  for (const net of view.networks) {
    const network = wanted.get(net.name);
    if (network === undefined)
      effects.push({ kind: 'network-change', guest, network: net.name || net.key, from: describeNet(net), to: null });
  }
  for (const network of desired.networks) {
    const net = view.networks.find((candidate) => candidate.name === network.name);
    const from = net === undefined ? 'none' : describeNet(net);
    if (from !== describeDesiredNet(network))
      effects.push({ kind: 'network-change', guest, network: network.name, from, to: network });
  }
  return effects;
}

type Find = (key: string, severity: Finding['severity'], text: string, advice: Finding['advice']) => void;

function volumes(
  desired: DesiredGuest,
  record: GuestRecord,
  view: GuestView,
  guest: GuestRef,
  find: Find,
): GuestEffect[] {
  const effects: GuestEffect[] = [];
  const wanted = new Map<string, Pick<DesiredVolume, 'storage' | 'sizeGiB'> & Partial<DesiredVolume>>([
    ['rootfs', desired.rootfs],
    ...desired.volumes.map((volume) => [volume.name, volume] as const),
  ]);
  for (const known of record.volumes) {
    const target = wanted.get(known.name);
    if (target === undefined) {
      effects.push({ kind: 'volume-remove', guest, volume: known.name, volid: known.volid });
      continue;
    }
    const disk = view.disks.find((candidate) => candidate.volid === known.volid);
    if (disk === undefined) {
      find(
        'guest.volume-detached',
        'critical',
        `volume ${known.name} (${known.volid}) of guest ${record.name} is not attached to it`,
        {
          text: `Attach it again as ${known.key}, or take it out of desired state.`,
        },
      );
      continue;
    }
    const volume = { guest, volume: known.name, volid: known.volid };
    const from = disk.sizeGiB ?? known.sizeGiB;
    if (target.sizeGiB !== from)
      effects.push({
        kind: target.sizeGiB > from ? 'volume-grow' : 'volume-shrink',
        ...volume,
        from,
        to: target.sizeGiB,
      });
    if (target.storage !== storageOf(known.volid)) effects.push({ kind: 'volume-move', ...volume, to: target.storage });
    if (target.path !== undefined && target.path !== disk.path)
      effects.push({ kind: 'mount-change', guest, volume: known.name, from: disk.path, to: target.path });
    if (target.backup !== undefined && target.backup !== disk.backup)
      effects.push({ kind: target.backup ? 'backup-flag-on' : 'backup-flag-off', guest, volume: known.name });
  }
  const known = new Set(record.volumes.map((volume) => volume.name));
  for (const volume of desired.volumes) {
    if (known.has(volume.name)) continue;
    const squatter = view.disks.find((disk) => disk.path === volume.path);
    if (squatter === undefined) effects.push({ kind: 'volume-add', guest, volume });
    else
      find(
        'guest.path-taken',
        'warning',
        `volume ${volume.name} of guest ${record.name} cannot be added: ${squatter.volid} is mounted at ${volume.path}`,
        {
          text: 'Unmount what somebody put there, or choose another path.',
        },
      );
  }
  return effects;
}
