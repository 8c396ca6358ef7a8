import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createSimClock, type SimClock } from '../simulation/sim-clock.ts';
import type { ApiResponse } from './core.ts';
import { assembleNode, createFakePve } from './node.ts';
import { MemoryDisk } from './storage/index.ts';

function lab() {
  const clock = createSimClock(Date.UTC(2026, 0, 1));
  let seed = 1;
  const random = { int: (below: number) => (seed = (seed * 48_271) % 2_147_483_647) % below };
  const disk = new MemoryDisk(() => Math.floor(clock.now() / 1000));
  const node = createFakePve({ clock, random, disk });
  node.access.addUser('agent@pve', { password: 'secret' });
  const token = node.access.addToken('agent@pve', 'a', { privsep: 0 });
  return { clock, node, authorization: `PVEAPIToken=agent@pve!a=${token.secret}` };
}

/** Lets the three seconds of a 401 pass. */
async function waited(clock: SimClock, answer: Promise<ApiResponse>): Promise<[number, string]> {
  const { status, reason } = await clock.runUntil(answer, 60_000);
  return [status, reason];
}

describe('one call, in order', () => {
  test('who it is comes before what may be done, and that before what was sent', async () => {
    const { clock, node, authorization } = lab();
    const put = { method: 'PUT', path: '/nodes/pve1/lxc/101/config', params: { cores: 'x' } } as const;
    assert.deepEqual(await waited(clock, node.handle(put)), [401, 'No ticket']);
    const wrong = { authorization: `${authorization}0` };
    assert.deepEqual(await waited(clock, node.handle({ ...put, headers: wrong })), [401, 'Authentication failed!']);
    const denied = await node.handle({ ...put, headers: { authorization } });
    assert.equal(denied.status, 403);
    node.access.grant({ path: '/vms', type: 'user', ugid: 'agent@pve', roleid: 'PVEVMAdmin' });
    const refused = await node.handle({ ...put, headers: { authorization } });
    assert.deepEqual([refused.status, refused.reason], [400, 'Parameter verification failed.']);
  });

  test('a 401 takes three seconds', async () => {
    const { clock, node } = lab();
    const before = clock.now();
    await waited(clock, node.handle({ method: 'GET', path: '/version' }));
    assert.equal(clock.now() - before, 3000);
  });

  test('a ticket reads without and writes only with its CSRF token', async () => {
    const { clock, node } = lab();
    const { ticket, csrf } = node.access.issueTicket('root@pam');
    const cookie = `PVEAuthCookie=${encodeURIComponent(ticket)}`;
    const pool = { method: 'POST', path: '/pools', params: { poolid: 'p' } } as const;
    assert.deepEqual(await waited(clock, node.handle({ method: 'GET', path: '/version', headers: { cookie } })), [
      200,
      'OK',
    ]);
    assert.deepEqual(await waited(clock, node.handle({ ...pool, headers: { cookie } })), [
      401,
      'Permission denied - invalid csrf token',
    ]);
    const headers = { cookie, csrfpreventiontoken: csrf };
    assert.deepEqual(await waited(clock, node.handle({ ...pool, headers })), [200, 'OK']);
  });

  test('an expired token and a disabled user are told nothing', async () => {
    const { clock, node, authorization } = lab();
    const read = { method: 'GET', path: '/version', headers: { authorization } } as const;
    const user = node.access.config.users.get('agent@pve');
    const token = user?.tokens.get('a');
    assert.ok(user !== undefined && token !== undefined);
    token.expire = 1;
    assert.deepEqual(await waited(clock, node.handle(read)), [401, 'Authentication failed!']);
    Object.assign(token, { expire: 0 });
    user.enable = 0;
    assert.deepEqual(await waited(clock, node.handle(read)), [401, 'Authentication failed!']);
  });
});

describe('failures on demand', () => {
  const post = { method: 'POST', path: '/pools', params: { poolid: 'p' }, as: 'root@pam' } as const;

  test('a connection lost after the work leaves the work done', async () => {
    const { node } = lab();
    node.faults.add({ method: 'POST', path: /^\/pools$/, fault: { is: 'drop', when: 'after' } });
    const lost = await node.handle(post);
    assert.deepEqual([lost.dropped, node.access.poolExists('p')], [true, true]);
  });

  test('lost before the work it leaves nothing', async () => {
    const { node } = lab();
    const fault = { is: 'status', status: 595, reason: 'Connection refused', when: 'before' } as const;
    node.faults.add({ path: /^\/pools$/, fault });
    const refused = await node.handle(post);
    assert.deepEqual([refused.status, node.access.poolExists('p')], [595, false]);
    assert.equal((await node.handle(post)).status, 200);
  });

  test('something may happen on the node just before', async () => {
    const { node } = lab();
    const act = async (): Promise<void> => {
      await node.handle({ ...post, path: '/pools' });
    };
    node.faults.add({ method: 'POST', path: /^\/pools$/, fault: { is: 'meanwhile', act } });
    const late = await node.handle(post);
    assert.equal(late.reason, "create pool failed: pool 'p' already exists");
  });

  test('after half a minute without an answer the proxy gives up, and the work goes on', async () => {
    const { clock, node } = lab();
    let done = false;
    const slow = assembleNode(
      { clock, random: node.random },
      {
        storage: () => node.storage,
        storageRoutes: [],
        guests: () => node.guests,
        guestRoutes: [
          {
            method: 'GET',
            path: '/nodes/{node}/lxc',
            handler: async () => {
              await clock.sleep(40_000);
              done = true;
              return [];
            },
          },
        ],
      },
    );
    const answer = slow.handle({ method: 'GET', path: '/nodes/pve1/lxc', as: 'root@pam' });
    assert.deepEqual(await waited(clock, answer), [596, 'Connection timed out']);
    assert.equal(done, false);
    await clock.advance(10_000);
    assert.equal(done, true);
  });
});

test('a pool may name guests that do not exist, and their rights hold', async () => {
  const { node } = lab();
  const root = { as: 'root@pam' } as const;
  await node.handle({ method: 'POST', path: '/pools', params: { poolid: 'p' }, ...root });
  await node.handle({ method: 'PUT', path: '/pools', params: { poolid: 'p', vms: '9001,9002' }, ...root });
  node.access.grant({ path: '/pool/p', type: 'user', ugid: 'agent@pve', roleid: 'PVEVMUser' });
  const read = (vmid: number): Promise<ApiResponse> =>
    node.handle({ method: 'GET', path: `/nodes/pve1/lxc/${vmid}/config`, as: 'agent@pve!a' });
  assert.equal((await read(9001)).reason, "Configuration file 'nodes/pve1/lxc/9001.conf' does not exist");
  assert.equal((await read(9003)).reason, 'Permission check failed (/vms/9003, VM.Audit)');
  const list = await node.handle({ method: 'GET', path: '/pools', params: { poolid: 'p' }, ...root });
  assert.deepEqual(list.body, { data: [{ poolid: 'p', members: [] }] });
  assert.equal((await node.handle({ method: 'DELETE', path: '/pools/p', ...root })).status, 200);
});

test('power loss ends every worker without a status', async () => {
  const { clock, node } = lab();
  const who = { user: 'root@pam', full: 'root@pam' };
  const upid = node.tasks.fork(who, 'vzdump', '', (task) => task.work(60_000));
  await clock.settle();
  await node.reboot();
  assert.equal(node.tasks.find(upid)?.exitStatus, 'unexpected status');
  const list = await node.handle({ method: 'GET', path: '/nodes/pve1/tasks', as: 'root@pam' });
  assert.match(JSON.stringify(list.body), /"status":"unexpected status"/);
});
