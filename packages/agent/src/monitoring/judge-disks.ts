/** Disks: what Proxmox lists of them, and what a disk says of itself. Pure. */
import type { Finding, ReportedDisk } from '@felhom/protocol';
import { z } from 'zod';
import type { HostPolicy } from '../host-policy.ts';
import type { DiskRow } from '../ports/host-facts.ts';

/** Sectors that a disk gave up, cannot read, or waits to give up; errors of the medium of an NVMe. */
export interface BadSpots {
  readonly given: number;
  readonly waiting: number;
}

/** Least that was seen of each disk since the agent runs, by `identityOf`. */
export type DiskMemory = ReadonlyMap<string, number>;

const raw = z.object({ id: z.number(), raw: z.object({ value: z.number() }) });
const smartctl = z.object({
  ata_smart_attributes: z.object({ table: z.array(raw) }).optional(),
  nvme_smart_health_information_log: z.object({ media_errors: z.number().optional() }).optional(),
});

/** Of `smartctl --json --all`; `undefined` where it tells neither. */
export function badSpotsOf(json: string): BadSpots | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch {
    return undefined;
  }
  const read = smartctl.safeParse(parsed);
  if (!read.success) return undefined;
  const { ata_smart_attributes: ata, nvme_smart_health_information_log: nvme } = read.data;
  if (ata !== undefined) {
    // 5 reallocated, 197 pending, 198 offline uncorrectable.
    const of = (wanted: number): number => ata.table.find(({ id }) => id === wanted)?.raw.value ?? 0;
    return { given: of(5), waiting: Math.max(of(197), of(198)) };
  }
  return nvme?.media_errors === undefined ? undefined : { given: nvme.media_errors, waiting: 0 };
}

const known = (text: string): boolean => text !== '' && text !== 'unknown';

/** Of the disk and not of its place: names of devices change from boot to boot. */
export const identityOf = ({ device, model, serial }: DiskRow): string =>
  known(serial) ? `${known(model) ? `${model} ` : ''}${serial}`.slice(0, 120) : device;

export function reportedDisks(rows: readonly DiskRow[]): ReportedDisk[] {
  return rows
    .map(({ device, model, serial, health, wornPercent }) => ({
      device,
      model: known(model) ? model : '',
      serial: known(serial) ? serial : '',
      health,
      ...(wornPercent === undefined ? {} : { wornPercent }),
    }))
    .toSorted((a, b) => (a.device < b.device ? -1 : 1));
}

export function judgeDisks(
  rows: readonly DiskRow[],
  spots: ReadonlyMap<string, BadSpots>,
  before: DiskMemory,
  policy: HostPolicy['monitoring'],
  now: number,
): { readonly findings: readonly Finding[]; readonly memory: DiskMemory } {
  const memory = new Map<string, number>();
  const findings: Finding[] = [];
  for (const disk of rows) {
    const subject = identityOf(disk);
    const named = subject === disk.device ? `Disk ${disk.device}` : `Disk ${subject} (${disk.device} now)`;
    const look = { text: 'What it says of itself shows', command: `smartctl -a /dev/${disk.device}` };
    const find = (key: string, severity: Finding['severity'], text: string, advice: Finding['advice']) =>
      findings.push({ key, severity, subject, text, advice, since: now });
    if (disk.health === 'failed')
      find('disk.failed', 'critical', `${named} says that it fails (SMART).`, {
        text: 'Make sure of a copy elsewhere today, then replace it; what it says of itself shows',
        command: look.command,
      });
    if (disk.wornPercent !== undefined && disk.wornPercent >= policy.wornPercent)
      find('disk.worn', 'warning', `${named} has used up more than ${policy.wornPercent} % of its life.`, {
        text: 'Plan to replace it.',
      });
    const bad = spots.get(disk.device);
    const least = before.get(subject);
    const lowest = bad === undefined ? least : Math.min(least ?? bad.given, bad.given);
    if (lowest !== undefined) memory.set(subject, lowest);
    if (bad !== undefined && bad.waiting > 0)
      find('disk.unreadable-sectors', 'warning', `${named} has sectors that it cannot read.`, look);
    else if (bad !== undefined && lowest !== undefined && bad.given > lowest)
      find('disk.sectors-lost', 'warning', `${named} gives up more and more sectors.`, look);
  }
  return { findings, memory };
}
