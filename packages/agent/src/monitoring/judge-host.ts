/**
 * What a host tells of itself, judged: numbers, services, clock, a restart that is due. Pure. Texts hold no number that
 * moves, because a finding is part of the report and an unchanged host must stay unchanged.
 *
 * Silent while the host goes down or has just come up, about load that our own work makes, and about what is off on
 * purpose.
 */
import type { Finding } from '@felhom/protocol';
import type { HostPolicy } from '../host-policy.ts';
import type { HostSample, UnitState } from '../ports/host-facts.ts';
import { growthOf } from './growth.ts';
import type { Growth } from './growth.ts';
import { latch } from './latch.ts';
import type { Latch, Moment, Threshold } from './latch.ts';

export interface HostLook {
  readonly sample: HostSample;
  /** Of Proxmox's services and of `shutdown.target`; those that systemd did not tell are absent. */
  readonly units: readonly UnitState[];
  readonly clockSynchronised: boolean | undefined;
  readonly rebootPending: string | undefined;
  /** Backups, restores or tests of ours are under way: they load the host, and they are meant to. */
  readonly working: boolean;
}

export interface HostMemory {
  readonly latches: ReadonlyMap<string, Latch>;
  readonly rootDisk: Growth;
}

export const noHostMemory: HostMemory = { latches: new Map(), rootDisk: [] };

export const shutdownTarget = 'shutdown.target';

/** Without the first ones nothing of Proxmox can be done; without the others it does not see or plan. */
const services: readonly (readonly [unit: string, severity: Finding['severity'], without: string])[] = [
  ['pve-cluster.service', 'critical', 'the configuration of Proxmox cannot be read or written'],
  ['pvedaemon.service', 'critical', 'nothing can be done with guests'],
  ['pveproxy.service', 'critical', 'the API does not answer, so the agent can do nothing'],
  ['pvestatd.service', 'warning', 'Proxmox shows old numbers, and guests of unknown state after five minutes'],
  ['pvescheduler.service', 'warning', 'jobs that Proxmox has planned do not run'],
];
export const proxmoxServices: readonly string[] = services.map(([unit]) => unit);
export const watchedUnits: readonly string[] = [...proxmoxServices, shutdownTarget];

const graceMs = 5 * 60_000;
/** Longer than a service takes to be restarted by an upgrade, or to come up in its turn. */
const serviceHoldMs = 90_000;
const clockHoldMs = 10 * 60_000;
const fullSoonHours = 24;

/** Whether nothing that is not yet settled may be held against the host. */
export function unsettled({ sample, units }: Pick<HostLook, 'sample' | 'units'>): boolean {
  const goesDown = units.some(({ unit, job, active }) => unit === shutdownTarget && (job || active !== 'inactive'));
  return goesDown || (sample.uptimeSeconds !== undefined && sample.uptimeSeconds * 1000 < graceMs);
}

export function judgeHost(
  look: HostLook,
  before: HostMemory,
  policy: HostPolicy['monitoring'],
  at: Moment,
): { readonly findings: readonly Finding[]; readonly memory: HostMemory } {
  const { sample } = look;
  const quiet = unsettled(look);
  const latches = new Map<string, Latch>();
  const findings: Finding[] = [];
  const holds = (name: string, value: number | undefined, threshold: Threshold): Latch => {
    const next = latch(before.latches.get(name), quiet ? undefined : value, threshold, at);
    latches.set(name, next);
    return next;
  };
  const find = (key: string, severity: Finding['severity'], since: number, text: string, advice: Finding['advice']) =>
    findings.push({ key, severity, subject: 'host', text, advice, since });
  const holdMs = policy.minutes * 60_000;

  const memory = holds('memory', percent(sample.memory), band(policy.memoryPercent, 5, holdMs));
  if (memory.on)
    find('host.memory-short', 'warning', memory.onAt, `More than ${policy.memoryPercent} % of the memory is used.`, {
      text: 'Lower the memory of a guest or stop one; what takes most shows',
      command: 'ps -eo rss,pid,args --sort=-rss | head',
    });

  const rootDisk = growthOf(before.rootDisk, sample.rootDisk, at);
  judgeRootDisk();

  const ours = look.working;
  const load =
    sample.load1 === undefined || sample.cpu === undefined ? undefined : sample.load1 / sample.cpu.processors;
  const loaded = holds(
    'load',
    ours ? undefined : load,
    band(policy.loadPerProcessor, policy.loadPerProcessor / 4, holdMs),
  );
  if (loaded.on)
    find(
      'host.load-high',
      'warning',
      loaded.onAt,
      `More than ${policy.loadPerProcessor} processes per processor wait.`,
      {
        text: 'Look for a guest that computes, or for a disk that hangs (state D)',
        command: 'ps -eo state,pid,args | grep ^[DR]',
      },
    );
  for (const [of, what, advice] of [
    ['cpu', 'a processor', 'Give a guest fewer cores, or move one.'],
    ['memory', 'memory', 'Lower the memory of a guest or stop one, before the kernel ends a process.'],
    ['io', 'a disk', 'Look for a disk that fails or hangs, and for a guest that writes much.'],
  ] as const) {
    const limit = policy.pressurePercent[of];
    const value = ours && of !== 'memory' ? undefined : sample.pressure?.[of];
    const stalls = holds(`pressure ${of}`, value, band(limit, limit / 4, holdMs));
    if (stalls.on)
      find(`host.pressure-${of}`, 'warning', stalls.onAt, `Work waits for ${what} more than ${limit} % of the time.`, {
        text: advice,
      });
  }

  const hot = holds('hot', sample.hottestC, band(policy.temperatureC, 5, 60_000));
  const veryHot = holds('very hot', sample.hottestC, band(policy.temperatureC + 10, 5, 60_000));
  if (hot.on || veryHot.on)
    find(
      'host.hot',
      veryHot.on ? 'critical' : 'warning',
      hot.on ? hot.onAt : veryHot.onAt,
      `A sensor shows more than ${veryHot.on ? policy.temperatureC + 10 : policy.temperatureC} °C.`,
      { text: 'Look at fans and dust; which sensor it is shows', command: 'sensors' },
    );

  for (const [unit, severity, without] of services) {
    const state = look.units.find((one) => one.unit === unit);
    if (state === undefined) continue;
    const down = holds(`unit ${unit}`, isDown(state), { on: 1, off: 1, holdMs: serviceHoldMs });
    if (down.on)
      findings.push({
        key: 'host.service-down',
        severity,
        subject: unit,
        text: `${unit} does not run: ${without}.`,
        advice: { text: 'See why, then start it again.', command: `systemctl status ${unit}` },
        since: down.onAt,
      });
  }

  const clock = holds(
    'clock',
    asNumber(look.clockSynchronised, (set) => !set),
    { on: 1, off: 1, holdMs: clockHoldMs },
  );
  if (clock.on)
    find('host.clock-unsynchronised', 'warning', clock.onAt, 'The clock of this host is not synchronised.', {
      text: 'Signatures and certificates go by it; see whether a time server answers',
      command: 'timedatectl timesync-status || chronyc tracking',
    });

  if (look.rebootPending !== undefined)
    find('host.reboot-pending', 'info', at.now, `A restart of the host is due: ${look.rebootPending}.`, {
      text: 'Restart it when it suits; guests that start at boot come back by themselves.',
    });
  return { findings, memory: { latches, rootDisk: rootDisk.kept } };

  function judgeRootDisk(): void {
    const used = percent(sample.rootDisk);
    const full = holds('root disk', used, band(policy.rootDiskPercent, 3, 60_000));
    const nearly = holds('root disk nearly', used, band(Math.max(95, policy.rootDiskPercent), 1, 60_000));
    // As a height that a latch understands: the sooner it is full, the higher.
    const hours = rootDisk.hoursToFull;
    const haste = used === undefined ? undefined : hours === undefined || used < 50 ? 0 : fullSoonHours / hours;
    const fast = holds('root disk fast', haste, { on: 1, off: 0.5, holdMs });
    if (!full.on && !nearly.on && !fast.on) return;
    const level = nearly.on ? Math.max(95, policy.rootDiskPercent) : policy.rootDiskPercent;
    const text = [
      ...(full.on || nearly.on ? [`more than ${level} % of the root file system is used`] : []),
      ...(fast.on ? ['at the rate of the last hours the root file system is full within a day'] : []),
    ].join('; ');
    const since = Math.min(...[full, nearly, fast].filter(({ on }) => on).map(({ onAt }) => onAt));
    find(
      'host.root-disk-full',
      nearly.on ? 'critical' : 'warning',
      since,
      `${text[0]?.toUpperCase()}${text.slice(1)}.`,
      {
        text: 'Old kernels, logs, ISO images and backups on the root disk are the usual causes; the largest show',
        command: 'du -xh --max-depth=3 / | sort -h | tail -20',
      },
    );
  }
}

const band = (on: number, width: number, holdMs: number): Threshold => ({ on, off: on - width, holdMs });

const percent = (use: HostSample['memory']): number | undefined =>
  use === undefined || use.totalBytes === 0 ? undefined : (100 * use.usedBytes) / use.totalBytes;

const asNumber = <T>(value: T | undefined, is: (value: T) => boolean): number | undefined =>
  value === undefined ? undefined : Number(is(value));

/** One that is not installed, or that somebody has turned off, is none of our business. */
export function isDown({ load, active, file }: UnitState): number | undefined {
  if (load !== 'loaded') return 0;
  if (active === 'active' || active === 'reloading' || active === 'refreshing') return 0;
  if (active === 'inactive' && !file.startsWith('enabled')) return 0;
  return active === '' ? undefined : 1;
}
