/** Rows of `/cluster/resources` and of pool members. PVE: API2Tools.pm extract_vm_stats, Cluster.pm. */
import type { FakePve } from '../core.ts';

/** pvestatd looks at guests and storages this often, milliseconds; until then a new guest is `unknown`. */
export const statusCycleMs = 10_000;

const statistics = [
  'cpu',
  'disk',
  'diskread',
  'diskwrite',
  'maxdisk',
  'maxmem',
  'mem',
  'name',
  'netin',
  'netout',
  'status',
  'uptime',
] as const;

/** One guest. Pool listings leave tags, lock and the pool itself out. */
export function guestResource(pve: FakePve, vmid: number, where: 'in-pool' | 'in-cluster'): Record<string, unknown> {
  const row = pve.guests.row(vmid);
  const base = { id: `lxc/${vmid}`, node: pve.name, type: 'lxc', vmid };
  const pool = pve.access.poolOfGuest(vmid);
  const fromConfig =
    where === 'in-pool'
      ? {}
      : {
          ...(row['tags'] === undefined ? {} : { tags: row['tags'] }),
          ...(row['lock'] === undefined ? {} : { lock: row['lock'] }),
          ...(pool === undefined ? {} : { pool }),
        };
  if (!pve.seen.has(vmid)) return { ...base, ...fromConfig, status: 'unknown' };
  return {
    ...base,
    ...fromConfig,
    ...Object.fromEntries(statistics.map((key) => [key, row[key] ?? 0])),
    maxcpu: row['cpus'] ?? 1,
    memhost: 0,
    template: row['template'] ?? 0,
  };
}
