/** What a person should know about the targets of this host, one finding per cause. Pure. */
import type { Finding } from '@felhom/protocol';
import type { DeclaredTarget } from '../storage-manifest.ts';
import { isFlapping } from './judge-target.ts';
import type { Cause, Standing } from './standing.ts';

export interface StandingTarget {
  readonly declared: DeclaredTarget;
  readonly standing: Standing;
  /** What somebody changed in its entry of Proxmox, and since when, though it can be used. */
  readonly drift?: { readonly text: string; readonly since: number } | undefined;
  /** What root's helper answered when it was asked to mend it, as long as it did not. */
  readonly refusal?: string | undefined;
}

interface Row {
  readonly key: string;
  /** Where guests do not live on it. */
  readonly severity: Finding['severity'];
  readonly advice: (target: { readonly name: string; readonly storage: string }) => Finding['advice'];
  /** What to do for those who live on it, where that is more. */
  readonly forGuests?: string;
}

const look = (text: string) => (): Finding['advice'] => ({ text, command: 'felhom-agent status' });

const rows: Readonly<Record<Exclude<Cause, 'not-asked' | 'settling'>, Row>> = {
  absent: {
    key: 'storage.disconnected',
    severity: 'warning',
    advice: () => ({
      text: 'Plug the disk in again and look at its cable and power; it is taken up again by itself.',
      command: 'journalctl -k --since -1h --grep "usb|I/O error|sd[a-z]"',
    }),
  },
  'not-mounted': {
    key: 'storage.not-mounted',
    severity: 'warning',
    advice: ({ name }) => ({
      text: 'It is mounted by itself; where that fails its unit says why.',
      command: `systemctl status "mnt-felhom-${name.replaceAll('-', String.raw`\x2d`)}.mount"`,
    }),
  },
  'in-use': {
    key: 'storage.in-use',
    severity: 'warning',
    advice: ({ name }) => ({
      text: 'Guests on it are restarted by themselves, and then it is mounted. Whatever else uses it has to end.',
      command: `fuser --verbose --mount /mnt/felhom/${name}`,
    }),
  },
  other: {
    key: 'storage.other-disk',
    severity: 'critical',
    advice: look('Nothing is written to it. Put the right one back, or have the new one attached by a signed job.'),
  },
  'no-mark': {
    key: 'storage.no-mark',
    severity: 'critical',
    advice: look(
      'Nothing is written to it. If it is the right disk and was emptied, have it attached anew by a signed job.',
    ),
  },
  'read-only': {
    key: 'storage.read-only',
    severity: 'critical',
    advice: () => ({
      text: 'The disk may be dying: look at its SMART values, then check its file system while it is unmounted.',
      command: 'journalctl -k --since -1d --grep "EXT4-fs|XFS|BTRFS|I/O error"',
    }),
  },
  hung: {
    key: 'storage.hung',
    severity: 'critical',
    advice: () => ({
      text: 'Unplug the disk and plug it in again. What waits for it in the kernel may need a restart of the host.',
      command: 'journalctl -k --since -1h --grep "timing out|reset|I/O error"',
    }),
    forGuests:
      'Guests have volumes on it, and what they read or write waits for it. Unplug the disk and plug it in again: what waits ' +
      'gets an error, and the guests are restarted by themselves. What does not end then takes a restart of the host.',
  },
  failing: {
    key: 'storage.failing',
    severity: 'critical',
    advice: () => ({
      text: 'The disk may be dying: look at its SMART values and replace it.',
      command: 'journalctl -k --since -1h --grep "I/O error"',
    }),
  },
  unreachable: {
    key: 'storage.unreachable',
    severity: 'warning',
    advice: ({ storage }) => ({
      text: 'See to the server and the network to it; it is taken up again by itself.',
      command: `pvesm status --storage ${storage}`,
    }),
    forGuests:
      'Guests have volumes there, and what they read or write waits for the server or fails. See to the server and the network ' +
      'to it first. If it stays away, stop those guests; when it is back, restart those whose programs met errors.',
  },
  'definition-missing': {
    key: 'storage.definition-missing',
    severity: 'warning',
    advice: ({ storage }) => ({
      text: 'The entry is written again by itself; where that fails, the root helper says why.',
      command: `pvesh get /storage/${storage}`,
    }),
  },
  'definition-differs': {
    key: 'storage.definition-differs',
    severity: 'critical',
    advice: ({ storage }) => ({
      text: 'Somebody changed the entry. It is put right by itself; where that fails, the root helper says why.',
      command: `pvesh get /storage/${storage}`,
    }),
  },
  'definition-other': {
    key: 'storage.definition-other',
    severity: 'critical',
    advice: ({ storage }) => ({
      text:
        'Proxmox cannot change that in an entry. Look at what it stands for; if it is in nobody’s way, remove the entry, and it is ' +
        'written anew by itself. Removing it drops rights on it: felhom-agent enrolment prints how to give them again.',
      command: `pvesh get /storage/${storage}`,
    }),
  },
};

export function findingsOf(targets: readonly StandingTarget[], now: number): readonly Finding[] {
  return targets.flatMap(({ declared: { target }, standing, drift, refusal }): Finding[] => {
    const subject = target.name;
    const found: Finding[] = [];
    const { cause, state } = standing;
    const tried = refusal === undefined ? '' : `; mending it failed: ${refusal}`;
    if (state === 'disconnected' && cause !== undefined && cause !== 'not-asked' && cause !== 'settling') {
      const { key, severity, advice, forGuests } = rows[cause];
      // Guests are on it, and write into nothing.
      const worse = target.role === 'primary' || target.role === 'bulk-data';
      found.push({
        key,
        severity: worse ? 'critical' : severity,
        subject,
        text: `target ${subject} is not attached: ${standing.why}${tried}`.slice(0, 1000),
        advice: worse && forGuests !== undefined ? { ...advice(target), text: forGuests } : advice(target),
        since: standing.since,
      });
    }
    if (drift !== undefined)
      found.push({
        key: 'storage.definition-drift',
        severity: 'warning',
        subject,
        text: `somebody changed storage ${target.storage} of Proxmox, target ${subject}: ${drift.text}${tried}`.slice(
          0,
          1000,
        ),
        advice: {
          text: 'It is put right by itself; find out who changed it. Retention is the agent’s, so Proxmox has to keep all.',
          command: `pvesh get /storage/${target.storage}`,
        },
        since: drift.since,
      });
    if (isFlapping(standing))
      found.push({
        key: 'storage.flapping',
        severity: 'warning',
        subject,
        text: `target ${subject} comes and goes`,
        advice: {
          text: 'Look at cable, hub and power of the disk; it counts as attached once it has stayed for five minutes.',
          command: 'journalctl -k --since -1h --grep "usb|sd[a-z]"',
        },
        since: Math.min(now, ...standing.drops),
      });
    return found;
  });
}
