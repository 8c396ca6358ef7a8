/** The host itself as people read it: its numbers of now, its tunnel, its disks, its storage targets. */
import type { HostVitals, Report, ReportedTunnel } from '@felhom/protocol';
import type { Style } from './style.ts';
import { renderTable } from './table.ts';
import { formatAge, formatBytes, formatDuration } from './units.ts';
import { printableLine } from './width.ts';

type Fact = readonly [name: string, value: string];

/** Numbers older than this are of another time, and are called so. */
const freshMs = 10 * 60_000;

/** "CPU 12 %, load 0.5, memory 3 GiB of 16 GiB, …"; what is not known is not said. */
export function vitalsLine(vitals: HostVitals, now: number): string {
  const { cpuPercent, load1, memory, rootDisk, pressure, hottestC, targets, uptimeSeconds, at } = vitals;
  const of = ({ usedBytes, totalBytes }: { readonly usedBytes: number; readonly totalBytes: number }): string =>
    `${formatBytes(usedBytes)} of ${formatBytes(totalBytes)}`;
  const stalls = Object.entries(pressure ?? {}).filter(([, percent]) => percent >= 1);
  return [
    ...(cpuPercent === undefined ? [] : [`CPU ${Math.round(cpuPercent)} %`]),
    ...(load1 === undefined ? [] : [`load ${load1.toFixed(1)}`]),
    ...(memory === undefined ? [] : [`memory ${of(memory)}`]),
    ...(rootDisk === undefined ? [] : [`root disk ${of(rootDisk)}`]),
    ...targets.map((target) => `${target.name} ${of(target)}`),
    ...(hottestC === undefined ? [] : [`${Math.round(hottestC)} °C`]),
    ...stalls.map(([what, percent]) => `waits for ${what} ${Math.round(percent)} %`),
    `up for ${formatDuration(uptimeSeconds * 1000)}`,
    ...(now - at > freshMs ? [`as of ${formatAge(at, now)}`] : []),
  ].join(', ');
}

const tunnelTones = { up: 'good', down: 'bad', 'no-internet': 'bad', unknown: 'warn' } as const;

function tunnelLine(tunnel: Exclude<ReportedTunnel, { is: 'none' }>, now: number, style: Style): string {
  const word = style.paint(tunnelTones[tunnel.is], tunnel.is === 'no-internet' ? 'no internet' : tunnel.is);
  const since = 'since' in tunnel ? `, since ${formatAge(tunnel.since, now)}` : '';
  return `${word}${since}${'why' in tunnel ? `: ${printableLine(tunnel.why)}` : ''}`;
}

/** Rows for the head of a report; a host without a tunnel and disks has none. */
export function hostFacts(report: Report, vitals: HostVitals | undefined, now: number, style: Style): readonly Fact[] {
  const { tunnel, disks } = report;
  const told = disks.map(({ device, model, health, wornPercent }) => {
    const word = health === 'failed' ? style.paint('bad', 'FAILS') : health === 'passed' ? 'good' : 'not told';
    const worn = wornPercent === undefined ? '' : `, ${Math.round(wornPercent)} % worn`;
    return `${printableLine(`${device}${model === '' ? '' : ` ${model}`}`)} ${word}${worn}`;
  });
  return [
    ...(vitals === undefined ? [] : [['host', vitalsLine(vitals, now)] as const]),
    ...(tunnel.is === 'none' ? [] : [['tunnel', tunnelLine(tunnel, now, style)] as const]),
    ...(told.length === 0 ? [] : [['disks', told.join('; ')] as const]),
  ];
}

const targetTones = { attached: 'good', disconnected: 'bad', decommissioned: 'dim' } as const;

export function renderTargets(targets: Report['targets'], now: number, style: Style): string {
  return renderTable(
    [
      { title: 'target' },
      { title: 'type' },
      { title: 'role' },
      { title: 'pace' },
      { title: 'state' },
      { title: 'why' },
    ],
    targets.map(({ name, type, role, class: pace, iops, state, since, flapping, why }) => [
      name,
      type,
      role,
      iops === undefined ? pace : `${pace}, ${iops} reads/s`,
      `${style.paint(targetTones[state], state)}, since ${formatAge(since, now)}${flapping ? ', comes and goes' : ''}`,
      printableLine(why),
    ]),
    style,
  );
}
