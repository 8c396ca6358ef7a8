import assert from 'node:assert/strict';
import type { ApiResponse } from '../core.ts';
import { hostActions, type HostActions } from '../guests/index.ts';
import { createFakePve, type FakeNode } from '../node.ts';
import { createSimClock, type SimClock } from '../../simulation/sim-clock.ts';
import { createSimRandom } from '../../simulation/sim-random.ts';
import { fileMember, MemoryDisk, type Disk, type Storage } from './index.ts';

export interface TestNode {
  readonly clock: SimClock;
  readonly node: FakeNode<Storage>;
  readonly host: HostActions;
  readonly disk: Disk;
  call(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, params?: object, as?: string): Promise<ApiResponse>;
  /** `data` of a call that must succeed. */
  data(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, params?: object, as?: string): Promise<unknown>;
  /** Lets a task run to its end and answers its log, `TASK …` included. */
  run(method: 'POST' | 'DELETE', path: string, params?: object, as?: string): Promise<string[]>;
}

export const start = Date.UTC(2026, 10, 23, 23, 0, 0);

/** A node with a `felhom` directory storage and nothing else. */
export async function testNode(makeDisk?: (nowSeconds: () => number) => Disk): Promise<TestNode> {
  const clock = createSimClock(start);
  const nowSeconds = () => Math.floor(clock.now() / 1000);
  const disk = makeDisk?.(nowSeconds) ?? new MemoryDisk(nowSeconds);
  const node = createFakePve({ clock, random: createSimRandom(1), disk });
  const call: TestNode['call'] = (method, path, params = {}, as = 'root@pam') =>
    clock.runUntil(node.handle({ method, path, params: { ...params }, as }));
  const data: TestNode['data'] = async (method, path, params, as) => {
    const { status, reason, body } = await call(method, path, params, as);
    assert.equal(`${status} ${reason}`, '200 OK', `${method} ${path}`);
    assert.ok(typeof body === 'object' && body !== null && 'data' in body);
    return body.data;
  };
  const run: TestNode['run'] = async (method, path, params, as) => {
    const upid = await data(method, path, params, as);
    assert.ok(typeof upid === 'string' && upid.startsWith('UPID:'), `${method} ${path} started a task`);
    await untilEnded(clock, node, upid);
    return [...(node.tasks.find(upid)?.lines ?? [])];
  };
  await data('POST', '/storage', {
    storage: 'felhom',
    type: 'dir',
    path: '/srv/felhom',
    content: 'rootdir,images,vztmpl,backup',
  });
  return { clock, node, host: hostActions(node, node.tasks), disk, call, data, run };
}

/** Simulated time does not know of the file disk's real IO, so it is let through between the steps. */
async function untilEnded(clock: SimClock, node: FakeNode<Storage>, upid: string): Promise<void> {
  for (let round = 0; round < 100_000; round += 1) {
    if (node.tasks.find(upid)?.exitStatus !== undefined) return;
    await clock.advance(100);
    await new Promise<void>((resolve) => void setImmediate(resolve));
  }
  assert.fail(`${upid} never ended`);
}

/** A stopped container with a root filesystem that holds `files`, and a bulk volume without backup. */
export async function makeGuest(
  { node, host }: TestNode,
  vmid: number,
  storage = 'felhom',
  files = [fileMember('./etc/hostname', 'golden\n')],
): Promise<{ rootfs: string; bulk: string }> {
  const rootfs = (await node.storage.allocate(undefined, storage, vmid, 1024 ** 2)).volid;
  const bulk = (await node.storage.allocate(undefined, storage, vmid, 1024 ** 2)).volid;
  await node.storage.disk.writeTree(node.storage.volumeDiskPath(rootfs), files, { skipExisting: false });
  host.setRawConfig(
    vmid,
    [
      'arch: amd64',
      'hostname: golden',
      `mp0: ${bulk},mp=/srv/data,backup=0,size=1G`,
      'ostype: debian',
      `rootfs: ${rootfs},size=1G`,
      'unprivileged: 1',
      '',
    ].join('\n'),
  );
  return { rootfs, bulk };
}
