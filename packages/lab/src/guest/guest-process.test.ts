import assert from 'node:assert/strict';
import { X509Certificate, createHash, randomInt } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { formatClaim } from '@felhom/protocol';
import { checkLedger, guestPaths, realFiles } from '@felhom/controller';
import { FileDisk } from '../fake-pve/storage/index.ts';
import { createAuthority } from '../stage/certificates.ts';
import { enrolNode } from '../world/enrolled-node.ts';
import { runLabGuests } from './index.ts';
import type { LabGuestsOptions } from './index.ts';

const realClock = {
  now: (): number => Date.now(),
  sleep: async (ms: number, signal?: AbortSignal): Promise<void> =>
    wait(ms, undefined, signal === undefined ? {} : { signal }),
};
const secret = 'c'.repeat(43);
const token = `felhom1_${'t'.repeat(43)}`;

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 30_000;
  while (!(await condition())) {
    if (Date.now() > end) assert.fail(`it did not happen: ${what}`);
    await wait(30);
  }
}

/** A host that hands out a token, and answers everything else with what is least. */
async function localApi(t: TestContext) {
  const authority = createAuthority('felhom host', Date.now());
  const { cert, key } = authority.issue();
  const seen: { readonly path: string; readonly from: string; readonly auth: string; readonly body: string }[] = [];
  const server = createServer({ cert: `${cert}${authority.ca}`, key }, (request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString('utf8')));
    request.on('end', () => {
      const path = (request.url ?? '').split('?')[0] ?? '';
      const auth = request.headers.authorization ?? '';
      seen.push({ path, from: request.socket.remoteAddress ?? '', auth, body });
      const redeemed = { token, guest: 'g'.repeat(26), name: 'shop', ca: [authority.ca], identity: 'none' };
      const answers: Record<string, unknown> = {
        '/v1/bootstrap/redeem': redeemed,
        '/v1/controller': { generation: 0, image: null, config: {}, directive: 'run', outward: true },
        '/v1/backup/due': { due: [] },
      };
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(answers[path] ?? {}));
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const spki = new X509Certificate(authority.ca).publicKey.export({ type: 'spki', format: 'der' });
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const spkiSha256 = createHash('sha256').update(spki).digest('hex');
  return { address, seen, claim: formatClaim({ secret, address, spkiSha256 }) };
}

async function labNode(t: TestContext, options: Partial<LabGuestsOptions> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'lab-guests-'));
  const enrolled = await enrolNode({
    clock: realClock,
    random: { int: (below) => randomInt(below) },
    disk: new FileDisk(join(folder, 'disk')),
    pace: { restoreMs: 1, startMs: 1, stopMs: 1, allocateMs: 1 },
  });
  const { node } = enrolled;
  const kernel = { arp: join(folder, 'arp'), net: join(folder, 'net'), cgroup: join(folder, 'cgroup') };
  const guests = runLabGuests({
    node,
    folder: join(folder, 'guests'),
    kernel,
    agent: () => undefined,
    bootMs: 10,
    beatMs: 100,
    ...options,
  });
  t.after(async () => {
    await guests.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const root = async (method: 'POST' | 'DELETE', path: string, params: Record<string, unknown> = {}): Promise<void> => {
    const answer = await node.handle({ method, path: `/nodes/${node.name}/lxc${path}`, params, as: 'root@pam' });
    assert.equal(answer.status, 200, answer.reason);
    await node.tasks.settled((answer.body as { readonly data: string }).data);
  };
  const create = (vmid: number, more: Record<string, unknown>): Promise<void> =>
    root('POST', '', {
      vmid,
      ostemplate: Object.values(enrolled.policy.goldens)[0]?.archive,
      restore: 1,
      rootfs: 'guests:1',
      mp0: 'guests:1,mp=/srv/data,backup=1',
      net0: 'name=eth0,bridge=vmbr0,hwaddr=BC:24:11:AA:00:01,type=veth',
      unprivileged: 1,
      ...more,
    });
  const witness = (vmid: number): string[] => {
    const path = join(kernel.cgroup, `lxc/${vmid}/ns/system.slice/felhom-witness.service`);
    return existsSync(path) ? readdirSync(path) : [];
  };
  return { node, guests, kernel, create, root, witness };
}

test('a started guest redeems its claim from its own address, works, beats and is gone when it is stopped', async (t) => {
  const host = await localApi(t);
  const { guests, kernel, create, root, witness } = await labNode(t);
  await create(9001, { env: `FELHOM_CLAIM=${host.claim}\0FELHOM_IDENTITY=fresh` });
  await root('POST', '/9001/status/start');
  await until('it reports', () => host.seen.some(({ path }) => path === '/v1/controller/status'));
  const redeemed = host.seen.find(({ path }) => path === '/v1/bootstrap/redeem');
  assert.equal(redeemed?.from, '127.9.35.41');
  assert.equal((JSON.parse(redeemed?.body ?? '') as { claim: string }).claim, secret);
  await until('it asks what is due', () =>
    host.seen.some(({ path, auth }) => path === '/v1/backup/due' && auth === `Bearer ${token}`),
  );
  await until('it beats', () => witness(9001).some((name) => name.startsWith('beat.')));
  await until('its apps pass', () => witness(9001).includes('ok.apps'));

  const files = realFiles(guests.rootMap(9001));
  assert.match(new TextDecoder().decode(await files.read(guestPaths.machineId, 100)), /^[0-9a-f]{32}\n$/);
  assert.ok((await files.read('/etc/ssh/ssh_host_ed25519_key.pub', 1000)) !== undefined);
  await until('its app works', async () => (await checkLedger(files, '/srv/data/ledger')).count > 2);

  assert.match(readFileSync(kernel.arp, 'utf8'), /^127\.9\.35\.41 +0x1 +0x2 +bc:24:11:aa:00:01 +\* +vmbr0$/m);
  const port = readFileSync(join(kernel.net, 'vmbr0/brif/veth9001i0/port_no'), 'latin1');
  const table = readFileSync(join(kernel.net, 'vmbr0/brforward'));
  assert.equal(table.length, 16);
  assert.equal(table.subarray(0, 6).toString('hex'), 'bc2411aa0001');
  assert.equal(table.readUInt8(6), Number(port.trim()));

  await root('POST', '/9001/status/stop');
  assert.deepEqual(guests.running(), []);
  assert.equal(existsSync(join(kernel.cgroup, 'lxc/9001')), false);
  assert.doesNotMatch(readFileSync(kernel.arp, 'utf8'), /vmbr0/);
});

test('a guest that is only looked at gets an identity, runs and connects to nobody', async (t) => {
  const host = await localApi(t);
  const { guests, kernel, create, root, witness } = await labNode(t, { agent: () => host.address });
  const net0 = 'name=eth0,bridge=vmbr0,hwaddr=BC:24:11:AA:00:02,type=veth,link_down=1';
  await create(9801, { env: `FELHOM_CLAIM=${host.claim}\0FELHOM_IDENTITY=test`, net0 });
  await root('POST', '/9801/status/start');
  await until('its apps pass', () => witness(9801).includes('ok.apps'));
  await wait(300);
  assert.deepEqual(host.seen, []);
  assert.doesNotMatch(readFileSync(kernel.arp, 'utf8'), /127\.9/);
  assert.deepEqual((await checkLedger(realFiles(guests.rootMap(9801)), '/srv/data/ledger')).is, 'empty');
  await root('POST', '/9801/status/stop');
});

test('programs that are killed take their facts along and come back; where no env reaches them the port is enough', async (t) => {
  const host = await localApi(t);
  const { guests, create, root, witness } = await labNode(t, { agent: () => host.address, envReaches: false });
  await create(9002, {});
  await root('POST', '/9002/status/start');
  await until('it beats', () => witness(9002).some((name) => name.startsWith('beat.')));
  await until('it redeemed', () =>
    host.seen.some(({ path, body }) => path === '/v1/bootstrap/redeem' && !body.includes('claim')),
  );
  await until('it reports', () => host.seen.some(({ path }) => path === '/v1/controller/status'));
  await guests.killPrograms(9002, 200);
  assert.deepEqual(
    witness(9002).filter((name) => name.startsWith('beat.')),
    [],
  );
  await until('it beats again', () => witness(9002).some((name) => name.startsWith('beat.')));
  await wait(200);
  assert.equal(host.seen.filter(({ path }) => path === '/v1/bootstrap/redeem').length, 1);
});
