/** Pools. PVE: API2/Pool.pm. A pool may name guests that do not exist: its members are rights, not things. */
import { splitList } from '../api/formats.ts';
import { guestResource } from '../cluster/resources.ts';
import type { Call, Route } from '../core.ts';
import { die, perlText, PveError, textOf } from '../core.ts';
import type { PoolEntry } from './acl.ts';
import { checkModify } from './declared.ts';
import type { AccessRoom } from './room.ts';

export function poolRoutes(access: AccessRoom): readonly Route[] {
  const { pools } = access.config;
  const poolOf = (call: Call): PoolEntry => {
    const poolid = textOf(call.params['poolid']);
    return pools.get(poolid) ?? die(`pool '${poolid}' does not exist`);
  };

  return [
    {
      method: 'GET',
      path: '/pools',
      handler: (call) => {
        if (call.params['poolid'] !== undefined) {
          access.check(call.who, `/pool/${textOf(call.params['poolid'])}`, ['Pool.Audit']);
          const pool = poolOf(call);
          return [{ ...summary(pool), members: members(call, pool) }];
        }
        return [...pools.values()]
          .filter((pool) => access.has(call.who, `/pool/${pool.poolid}`, ['Pool.Audit']))
          .map(summary);
      },
    },
    {
      method: 'GET',
      path: '/pools/{poolid}',
      handler: (call) => {
        const pool = poolOf(call);
        return { ...summary(pool), members: members(call, pool) };
      },
    },
    {
      method: 'POST',
      path: '/pools',
      handler: ({ params }) => {
        const poolid = textOf(params['poolid']);
        if (pools.has(poolid)) die(`create pool failed: pool '${poolid}' already exists`);
        const parent = poolid.split('/').slice(0, -1).join('/');
        if (parent !== '' && !pools.has(parent))
          die(`create pool failed: parent '${parent}' of pool '${poolid}' does not exist`);
        const comment = params['comment'] === undefined ? undefined : textOf(params['comment']);
        pools.set(poolid, { poolid, comment, vms: new Set(), storages: new Set() });
        return null;
      },
    },
    { method: 'PUT', path: '/pools', handler: (call) => update(access, call) },
    { method: 'PUT', path: '/pools/{poolid}', handler: (call) => update(access, call) },
    { method: 'DELETE', path: '/pools', handler: (call) => remove(access, call) },
    { method: 'DELETE', path: '/pools/{poolid}', handler: (call) => remove(access, call) },
  ];
}

function summary(pool: PoolEntry): Record<string, unknown> {
  return { poolid: pool.poolid, ...(pool.comment === undefined ? {} : { comment: pool.comment }) };
}

function members(call: Call, pool: PoolEntry): Record<string, unknown>[] {
  const { pve, params } = call;
  const type = params['type'];
  const guests = [...pool.vms]
    .filter((vmid) => pve.guests.exists(vmid))
    .sort((a, b) => a - b)
    .map((vmid) => guestResource(pve, vmid, 'in-pool'));
  const storages = [...pool.storages].filter((id) => pve.storage.exists(id)).map((id) => pve.storage.row(id));
  return [
    ...(type === undefined || type === 'lxc' ? guests : []),
    ...(type === undefined || type === 'storage' ? storages : []),
  ];
}

function update(access: AccessRoom, call: Call): null {
  try {
    changeMembers(access, call);
  } catch (error) {
    if (!(error instanceof PveError)) throw error;
    die(`update pools failed: ${perlText(error)}`);
  }
  return null;
}

function changeMembers(access: AccessRoom, { params, who }: Call): void {
  const { pools } = access.config;
  const poolid = textOf(params['poolid']);
  const pool = pools.get(poolid) ?? die(`pool '${poolid}' does not exist`);
  const removing = params['delete'] === 1;
  for (const vmid of splitList(textOf(params['vms'])).map(Number)) {
    checkModify(access, who, `/vms/${vmid}`);
    if (removing) {
      if (!pool.vms.delete(vmid)) die(`VM ${vmid} is not a pool member`);
      continue;
    }
    if (pool.vms.has(vmid)) die(`VM ${vmid} is already a pool member`);
    const other = access.poolOfGuest(vmid);
    if (other !== undefined && params['allow-move'] !== 1)
      die(`VM ${vmid} belongs already to pool '${other}' and 'allow-move' is not set`);
    access.addGuestToPool(vmid, poolid);
  }
  for (const storage of splitList(textOf(params['storage']))) {
    checkModify(access, who, `/storage/${storage}`);
    if (removing) {
      if (!pool.storages.delete(storage)) die(`Storage '${storage}' is not a pool member`);
      continue;
    }
    if (pool.storages.has(storage)) die(`Storage '${storage}' is already a pool member`);
    pool.storages.add(storage);
  }
  if (params['comment'] !== undefined) pool.comment = textOf(params['comment']);
}

function remove(access: AccessRoom, { params, pve }: Call): null {
  const { pools } = access.config;
  const poolid = textOf(params['poolid']);
  const failed = (text: string): never => die(`delete pool failed: ${text}`);
  const pool = pools.get(poolid) ?? failed(`pool '${poolid}' does not exist`);
  if ([...pools.keys()].some((other) => other.startsWith(`${poolid}/`)))
    failed(`pool '${poolid}' is not empty (contains pools)`);
  // Members that do not exist do not count.
  for (const vmid of pool.vms)
    if (pve.guests.exists(vmid)) failed(`pool '${poolid}' is not empty (contains VM ${vmid})`);
  for (const storage of pool.storages)
    if (pve.storage.exists(storage)) failed(`pool '${poolid}' is not empty (contains storage '${storage}')`);
  pools.delete(poolid);
  access.config.acl = access.config.acl.filter((entry) => entry.path !== `/pool/${poolid}`);
  return null;
}
