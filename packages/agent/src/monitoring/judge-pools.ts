/**
 * Pools that guests' volumes lie on: whether ZFS has lost a disk or data, and whether one fills up. A pool that is full
 * stops every guest on it in the middle of writing, so that is told early. Pure.
 */
import type { Finding } from '@felhom/protocol';
import type { PoolRow } from '../ports/host-facts.ts';

/** Percent. It has to fall this far below before the finding goes, so that none comes and goes. */
const back = 3;
const high = 80;
const brim = 92;

/** Pools that are told to be full, by finding and name. */
export type PoolMemory = ReadonlySet<string>;

export function judgePools(
  pools: readonly PoolRow[],
  before: PoolMemory,
  now: number,
): { readonly findings: readonly Finding[]; readonly memory: PoolMemory } {
  const findings: Finding[] = [];
  const memory = new Set<string>();
  const fills = (key: string, name: string, what: string, percent: number, advice: Finding['advice']): void => {
    const id = `${key} ${name}`;
    const critical = percent >= (before.has(`${id} brim`) ? brim - back : brim);
    if (critical) memory.add(`${id} brim`);
    if (percent < (before.has(id) ? high - back : high)) return;
    memory.add(id);
    const text = `${what} is more than ${critical ? brim : high} % full. When it is full, every guest on it stops writing.`;
    findings.push({ key, severity: critical ? 'critical' : 'warning', subject: name, text, advice, since: now });
  };
  for (const pool of pools) {
    const { name } = pool;
    if (pool.is === 'lvm-thin') {
      const command = `lvs -a ${name}`;
      fills('pool.full', name, `The thin pool ${name}`, pool.usedPercent, {
        text: 'Free something on it, or add a disk to its volume group and extend it.',
        command,
      });
      fills('pool.metadata-full', name, `The metadata of the thin pool ${name}`, pool.metadataPercent, {
        text: 'Extend it while the volume group has room: lvextend --poolmetadatasize.',
        command,
      });
      continue;
    }
    const status = `zpool status -v ${name}`;
    if (pool.health !== 'ONLINE')
      findings.push({
        key: 'pool.unwell',
        severity: pool.health === 'DEGRADED' ? 'warning' : 'critical',
        subject: name,
        text:
          pool.health === 'DEGRADED'
            ? `The ZFS pool ${name} has lost a disk and goes on without it (DEGRADED): the next one may take the data.`
            : `The ZFS pool ${name} does not serve its data (${pool.health.slice(0, 40)}).`,
        advice: { text: 'See which disk it is, and replace it: zpool replace.', command: status },
        since: now,
      });
    if (pool.errors !== undefined && pool.errors !== 'No known data errors')
      findings.push({
        key: 'pool.data-errors',
        severity: 'critical',
        subject: name,
        text: `The ZFS pool ${name} has files that it cannot give back (${pool.errors.slice(0, 200)}).`,
        advice: { text: 'It names them; restore them from a copy, then: zpool clear.', command: status },
        since: now,
      });
    if (pool.usedPercent !== undefined)
      fills('pool.full', name, `The ZFS pool ${name}`, pool.usedPercent, {
        text: 'Free something on it; snapshots that nobody needs hold space too.',
        command: `zfs list -r -o space ${name}`,
      });
  }
  return { findings, memory };
}
