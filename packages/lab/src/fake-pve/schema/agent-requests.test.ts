/**
 * Every request that the agent's adapters can send, held against Proxmox's own schema: the method is there and open to
 * tokens, each parameter exists there and has its form. One row per call of a port; a call without a row fails.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPveClient, systemClock } from '@felhom/agent';
import type { PveClient, RawRequest } from '@felhom/agent';
import type { StorageId, Upid, Vmid, VolumeId } from '@felhom/protocol';
import { decodeForm } from '../api/form.ts';
import { formatTable } from '../api/formats.ts';
import { checkParams } from '../api/schema-check.ts';
import { loadSchemaFacts } from './facts.ts';

const facts = loadSchemaFacts();
const rules = { formats: formatTable(facts.privileges), propertyStrings: facts.formats };

const vmid = 9001 as Vmid;
const storage = 'backup' as StorageId;
const archive = 'backup:backup/vzdump-lxc-9001-2026_11_24-00_46_17.tar.zst' as VolumeId;
const upid = 'UPID:pve1:00005CD8:00029BFD:6B04C8D0:vzdump:9001:felhom-agent@pve!agent:' as Upid;
const notes = 'felhom 0123456789abcdef abcdefghijklmnop';
const never = new AbortController().signal;

/** A warrant is what only the gate mints; here nobody is asked for one, and nothing is there to lose. */
const warrant = (fields: object) => fields as never;

/** Pools of ZFS and LVM are nothing that the fake node has: its schema names their paths, and no more. */
type Ports = Omit<PveClient, 'close' | 'pools'>;
type Calls = { readonly [P in keyof Ports]: { readonly [M in keyof Ports[P]]: readonly (() => Promise<unknown>)[] } };

const callsOf = (pve: PveClient): Calls => ({
  reader: {
    list: [() => pve.reader.list(never)],
    config: [
      () => pve.reader.config(vmid, { current: true }, never),
      () => pve.reader.config(vmid, { current: false }, never),
    ],
    pending: [() => pve.reader.pending(vmid, never)],
    status: [() => pve.reader.status(vmid, never)],
    isVmidFree: [() => pve.reader.isVmidFree(vmid, never)],
  },
  writer: {
    restore: [
      () =>
        pve.writer.restore(
          {
            vmid,
            archive,
            pool: 'felhom',
            storage,
            values: {
              hostname: 'photos',
              description: 'felhom:abc.1.def',
              cores: '1',
              memory: '256',
              swap: '0',
              onboot: '0',
              protection: '0',
              tags: 'felhom;suite',
              startup: 'order=3',
              nameserver: '192.0.2.53',
              timezone: 'Europe/Budapest',
              env: 'FELHOM_ID=1',
              rootfs: 'guests:2',
              mp0: 'guests:1,mp=/srv/data,backup=1',
              net0: 'name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:09,ip=dhcp,link_down=1',
            },
          },
          never,
        ),
    ],
    configure: [
      () =>
        pve.writer.configure(
          vmid,
          {
            set: { mp1: 'bulk:9001/vm-9001-disk-1.raw,mp=/srv/bulk,backup=0', onboot: '1', protection: '1' },
            delete: ['unused0', 'tags', 'startup'],
            digest: 'da39a3ee5e6b4b0d3255bfef95601890afd80709',
          },
          never,
        ),
    ],
    resize: [() => pve.writer.resize(vmid, 'mp1', 12, never)],
    start: [() => pve.writer.start(vmid, never)],
    shutdown: [() => pve.writer.shutdown(vmid, { timeoutSeconds: 60, force: true }, never)],
    stop: [() => pve.writer.stop(vmid, never)],
  },
  destroyer: {
    destroy: [true, false].map(
      (mayDestroyUnreferenced) => () =>
        pve.destroyer.destroy(warrant({ effect: 'destroy-guest', vmid, mayDestroyUnreferenced }), never),
    ),
  },
  tasks: {
    // Both read a task; without one that ended they would go on asking.
    wait: [() => pve.tasks.wait(upid, {}, never)],
    status: [() => pve.tasks.status(upid, never)],
    find: [
      () => pve.tasks.find({ vmid, type: 'vzdump', sinceSeconds: 1_795_476_444 }, never),
      () => pve.tasks.find({ type: 'imgdel' }, never),
    ],
    abort: [() => pve.tasks.abort(upid, never)],
  },
  stores: {
    list: [() => pve.stores.list(never)],
    contents: [
      () => pve.stores.contents(storage, { content: 'backup', vmid }, never),
      () => pve.stores.contents(storage, { content: 'rootdir' }, never),
      () => pve.stores.contents(storage, {}, never),
    ],
    extractConfig: [() => pve.stores.extractConfig(archive, never)],
  },
  entries: { entries: [() => pve.entries.entries(never)] },
  backups: {
    backup: (['snapshot', 'stop'] as const).map(
      (mode) => () => pve.backups.backup({ vmid, storage, mode, notes }, never),
    ),
    protect: [true, false].map((on) => () => pve.backups.protect(archive, on, never)),
  },
  remover: { remove: [() => pve.remover.remove(warrant({ effect: 'delete-backup', archive }), never)] },
  snapshots: {
    list: [() => pve.snapshots.list(vmid, never)],
    possible: [() => pve.snapshots.possible(vmid, never)],
    config: [() => pve.snapshots.config(vmid, 'felhom-deploy-abcdefgh', never)],
    take: [() => pve.snapshots.take(vmid, 'felhom-deploy-abcdefgh', 'felhom: before the next deploy', never)],
    drop: [true, false].map((force) => () => pve.snapshots.drop(vmid, 'felhom-deploy-abcdefgh', { force }, never)),
    rollback: [
      () => pve.snapshots.rollback(warrant({ effect: 'rollback', vmid, snapshot: 'felhom-deploy-abcdefgh' }), never),
    ],
  },
  mover: { reassign: [() => pve.mover.reassign({ vmid, key: 'mp1' }, { vmid: 9002 as Vmid, key: 'mp1' }, never)] },
  facts: {
    version: [() => pve.facts.version(never)],
    permissions: [() => pve.facts.permissions(never)],
    time: [() => pve.facts.time(never)],
    packages: [() => pve.facts.packages(never)],
  },
  disks: { disks: [() => pve.disks.disks(never)] },
  login: { tokenLife: [() => pve.login.tokenLife(never)] },
});

/** Answers so that no caller asks on: a task that ended, an empty list, an empty object. */
function answerTo(path: string): unknown {
  if (/\/tasks\/[^/]+\/status$/.test(path)) return { status: 'stopped', exitstatus: 'OK' };
  return path.endsWith('/log') || path.endsWith('/tasks') ? [] : {};
}

async function sentBy(call: (pve: PveClient) => Promise<unknown>): Promise<readonly RawRequest[]> {
  const sent: RawRequest[] = [];
  const pve = createPveClient({
    transport: {
      send: (request) => {
        sent.push(request);
        const body = JSON.stringify({ data: answerTo(decodeURIComponent(request.path.split('?')[0] ?? '')) });
        return Promise.resolve({
          is: 'answered',
          answer: { status: 200, reason: 'OK', contentType: 'application/json', body },
        });
      },
      close: () => Promise.resolve(),
    },
    clock: systemClock(),
    node: 'pve1',
    token: 'felhom-agent@pve!agent=00000000-1111-2222-3333-444444444444',
  });
  await call(pve);
  return sent;
}

/** What Proxmox would say against a request before any of its code runs; empty: nothing. */
function faultsOf({ method, path, body }: RawRequest): readonly string[] {
  const [target = '', query = ''] = path.split('?');
  const segments = target.split('/').filter(Boolean).map(decodeURIComponent);
  const found = facts.paths.find(
    (candidate) =>
      candidate.segments.length === segments.length &&
      candidate.segments.every((segment, at) => segment.startsWith('{') || segment === segments[at]),
  );
  if (found === undefined) return [`there is no path ${target}`];
  const known = found.methods.get(method);
  if (known === undefined || known === 'unknown') return [`${found.path} has no ${method}`];
  if (!known.allowToken) return [`${method} ${found.path} is closed to tokens`];
  const params: Record<string, unknown> = {
    ...decodeForm(method === 'GET' || method === 'DELETE' ? query : (body ?? '')),
  };
  found.segments.forEach((segment, at) => {
    if (segment.startsWith('{')) params[segment.slice(1, -1)] = segments[at];
  });
  const checked = checkParams(params, known.properties, rules, known.open);
  return checked.is === 'ok' ? [] : Object.entries(checked.errors).map(([key, text]) => `${key}: ${text}`);
}

test('whatever the adapters send has a place in the schema of Proxmox', async (t) => {
  const dead = createPveClient({
    transport: { send: () => Promise.reject(new Error('only named, never sent')), close: () => Promise.resolve() },
    clock: systemClock(),
    node: 'pve1',
    token: 'felhom-agent@pve!agent=00000000-1111-2222-3333-444444444444',
  });
  const shape = callsOf(dead);
  for (const port of Object.keys(shape) as (keyof Calls)[])
    for (const name of Object.keys(dead[port]))
      await t.test(`${port}.${name}`, async () => {
        const rows = Object.entries(shape[port]).find(([method]) => method === name)?.[1] as
          readonly unknown[] | undefined;
        assert.ok(rows !== undefined && rows.length > 0, 'no row');
        for (let nth = 0; nth < rows.length; nth += 1) {
          const sent = await sentBy(async (pve) => {
            const [, calls] = Object.entries(callsOf(pve)[port]).find(([method]) => method === name) ?? [];
            return (calls as readonly (() => Promise<unknown>)[])[nth]?.();
          });
          assert.ok(sent.length > 0, 'nothing was sent');
          for (const request of sent)
            assert.deepEqual(faultsOf(request), [], `${request.method} ${request.path} ${request.body ?? ''}`);
        }
      });
});

test('a parameter that is not there, or has another form, is a fault', () => {
  const headers = {};
  const take = { method: 'POST', path: '/nodes/pve1/lxc/9001/snapshot', headers } as const;
  for (const [request, fault] of [
    [{ ...take, body: 'snapname=a' }, /invalid configuration ID/],
    [{ ...take, body: 'snapname=abc&nosuch=1' }, /not defined in schema/],
    [{ ...take, body: '' }, /missing/],
    [{ ...take, path: '/nodes/pve1/lxc/9001/snapshots', body: '' }, /no path/],
    [{ ...take, path: '/nodes/pve1/vzdump', body: 'vmid=9001&mode=freeze' }, /enumeration/],
    [{ ...take, path: '/nodes/pve1/vzdump', body: 'vmid=9001&remove=false' }, /boolean/],
  ] as const)
    assert.match(faultsOf(request).join('; '), fault);
});
